package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
)

func TestVersion(t *testing.T) { // not beside others, which read the version as well
	old := version
	version = "v1.2.3"
	t.Cleanup(func() { version = old })
	j2k := "none: this build is pure Go"
	if codec.Native() {
		j2k = jpeg2000.Name()
	}
	want := fmt.Sprintf("ptiffstore v1.2.3 (%s, %s/%s)\nJPEG decoder: %s\nJPEG 2000 decoder: %s\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, codec.Name(), j2k)
	if r := command(t, "version"); r.code != exitOK || r.out != want {
		t.Errorf("%v, want %q", r, want)
	}
	r := command(t, "version", "--json")
	var got map[string]string
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("%v in %q", err, r.out)
	}
	delete(got, "commit") // set only if the test was built with version control information
	fields := map[string]string{
		"version": "v1.2.3", "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH, "jpeg_decoder": codec.Name(),
	}
	if codec.Native() {
		fields["jpeg2000_decoder"] = jpeg2000.Name()
	}
	if diff := cmp.Diff(fields, got); diff != "" {
		t.Errorf("--json (-want +got):\n%s", diff)
	}
	if strings.Count(r.out, "\n") != 1 {
		t.Errorf("--json gives %q, want one line", r.out)
	}
}
