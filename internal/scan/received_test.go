package scan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestReceived hands over the digest of a file, deliberately a wrong one, and changes the
// file in ways after which it must not be believed.
func TestReceived(t *testing.T) {
	t.Parallel()
	const wrong = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	data, other := slidetest.Pyramid{Seed: 1}.Bytes(), slidetest.Pyramid{Seed: 2}.Bytes()
	tests := []struct {
		name   string
		change func(h *house, at string) error
		want   string // digest
		read   bool   // the import has read the file
	}{
		{"unchanged", func(*house, string) error { return nil }, wrong, false},
		{"mode changed", func(_ *house, at string) error { return os.Chmod(at, 0o600) }, digestOf(data), true},
		{"renamed", func(_ *house, at string) error {
			return errors.Join(os.Rename(at, at+".part"), os.Rename(at+".part", at))
		}, digestOf(data), true},
		{"written to, with its old mtime", func(_ *house, at string) error {
			was, err := os.Stat(at)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(at, other, 0o644), os.Chtimes(at, was.ModTime(), was.ModTime()))
		}, digestOf(other), true},
		{"replaced", func(h *house, at string) error {
			h.arrive("new", other)
			return os.Rename(filepath.Join(h.in, "new"), at)
		}, digestOf(other), true},
		{"with a second name", func(_ *house, at string) error { return os.Link(at, at+".link") }, digestOf(data), true},
		{"after a restart", func(h *house, _ string) error { h.Received = managed.NewReceived(); return nil }, digestOf(data), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, "", "")
			h.Received = managed.NewReceived()
			h.arrive("a.tiff", data)
			at := filepath.Join(h.in, "a.tiff")
			id, err := fsx.Stat(at)
			if err != nil {
				t.Fatal(err)
			}
			h.Received.Put(id, wrong, inspectFile(t, at))
			time.Sleep(20 * time.Millisecond) // times of files have the resolution of a clock tick
			if err := tt.change(h, at); err != nil {
				t.Fatal(err)
			}
			h.later(time.Minute)
			if r := h.scan(Options{Import: true}); r.Imported != 1 || len(r.Failed) > 0 {
				t.Fatalf("%+v, want 1 imported", r)
			}
			im := h.only()
			if im.State != catalog.Available || im.Path != managed.SlidePath(tt.want) || im.Digest == nil || *im.Digest != tt.want || (im.VerifiedAt != nil) != tt.read {
				t.Errorf("%s at %s, verified at %v; want it at %s, read: %v", im.State, im.Path, im.VerifiedAt, managed.SlidePath(tt.want), tt.read)
			}
		})
	}
}

// TestReceivedInspection expects a scan to use the inspection that was handed over: the
// file itself is no slide.
func TestReceivedInspection(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.Received = managed.NewReceived()
	h.arrive("whole", slidetest.Pyramid{}.Bytes())
	for _, name := range []string{"a.tiff", "b.tiff"} {
		h.arrive(name, []byte("no slide"))
		id, err := fsx.Stat(filepath.Join(h.in, name))
		if err != nil {
			t.Fatal(err)
		}
		h.Received.Put(id, digestOf([]byte("no slide")), inspectFile(t, filepath.Join(h.in, "whole")))
	}
	time.Sleep(20 * time.Millisecond)
	if err := os.Chmod(filepath.Join(h.in, "b.tiff"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Arrived = func(string) {}
	h.later(time.Minute)
	h.scan(Options{})
	a, b := h.image("incoming/a.tiff"), h.image("incoming/b.tiff")
	if a.State != catalog.Available || a.Width != 150 || b.State != catalog.Arriving {
		t.Errorf("unchanged: %s, %d pixels wide, mode changed: %s; want %s, 150, %s", a.State, a.Width, b.State, catalog.Available, catalog.Arriving)
	}
}

func inspectFile(t *testing.T, path string) inspect.Inspection {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return inspect.File(t.Context(), source.In(root), filepath.Base(path))
}
