package task

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	_, open := os.Open("/no/such/DOE JANE.svs")
	rename := os.Rename("/no/such/DOE JANE.svs", "/no/such/slides/ab.svs")
	tests := []struct {
		err  error
		want string
	}{
		{nil, "<nil>"},
		{errors.New("no luck"), "no luck"},
		{open, "open (file): no such file or directory"},
		{fmt.Errorf("image x: %w", open), "image x: open (file): no such file or directory"},
		{rename, "rename (file) (file): no such file or directory"},
		{errors.Join(errors.New("first"), fmt.Errorf("then: %w", open)), "first\nthen: open (file): no such file or directory"},
		{&fs.PathError{Op: "read", Path: ".", Err: errors.New("3.5 of 7")}, "read .: 3.5 of 7"},
	}
	for _, tt := range tests {
		got := scrub(tt.err)
		if s := fmt.Sprint(got); s != tt.want {
			t.Errorf("scrub(%v) = %q, want %q", tt.err, s, tt.want)
		}
		if !errors.Is(got, tt.err) {
			t.Errorf("scrub(%v) is another error", tt.err)
		}
	}
}

// TestNoFileNames: neither the task nor the log contains a file name, whatever error a
// function returns.
func TestNoFileNames(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		var log safeBuffer
		fail := func(wrap func(error) error) func(context.Context, *Task) (any, error) {
			return func(context.Context, *Task) (any, error) {
				_, err := os.Open("/no/such/DOE JANE.svs")
				return nil, wrap(err)
			}
		}
		svc := open(t, url,
			Kind{Name: SyncStore, Run: fail(Permanent)},
			Kind{Name: HashImage, MaxAttempts: 1, Run: fail(func(err error) error { return err })})
		svc.Log = slog.New(slog.NewTextHandler(&log, nil))
		work(t, svc, one)
		for _, kind := range []string{SyncStore, HashImage} {
			v := wait(t, svc, submit(t, svc, Submission{Kind: kind}).ID)
			if v.State != Failed || v.Attempts != 1 || v.Error == nil || *v.Error != "open (file): no such file or directory" {
				t.Errorf("%s: %+v", kind, v)
			}
		}
		if s := log.String(); !strings.Contains(s, "task failed") || strings.Contains(s, "DOE") {
			t.Errorf("log:\n%s", s)
		}
	})
}
