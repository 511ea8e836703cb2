package managed

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

func TestUploaded(t *testing.T) {
	in := t.TempDir()
	s := &catalog.Store{Mode: catalog.Managed, Root: t.TempDir(), Incoming: in}
	hidden := filepath.Join(in, Uploads)
	id := fsx.Identity{Size: 10, MTime: 7, CTime: time.Now().UnixNano()}
	if Uploaded(s, Incoming+"a.tiff", id) {
		t.Error("without any upload")
	}
	if err := os.Mkdir(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(hidden, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("broken.json", "{")
	write("unfinished.json", `{"As":"b.tiff","MTime":7,"Length":10,"Offset":9,"State":"uploading"}`)
	write("x.json", `{"As":"a.tiff","MTime":7,"Length":10,"Offset":10,"State":"received"}`)
	for _, tt := range []struct {
		name string
		file string
		id   fsx.Identity
		want bool
	}{
		{"the upload", "a.tiff", id, true},
		{"written to since", "a.tiff", fsx.Identity{Size: 10, MTime: 8, CTime: id.CTime}, false},
		{"another size", "a.tiff", fsx.Identity{Size: 11, MTime: 7, CTime: id.CTime}, false},
		{"incomplete", "b.tiff", id, false},
		{"in a subfolder", "sub/a.tiff", id, false},
		{"copied", "c.tiff", id, false},
		{"long after the record", "a.tiff", fsx.Identity{Size: 10, MTime: 7, CTime: id.CTime + int64(time.Hour)}, false},
	} {
		if got := Uploaded(s, Incoming+tt.file, tt.id); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if Uploaded(s, Slides+"a.tiff", id) {
		t.Error("a file that is not in the incoming folder")
	}
}
