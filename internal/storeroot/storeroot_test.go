package storeroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/storeroot"
)

// newRoots returns a root with the folder a, a file, a link to a folder elsewhere and one to
// a, and a second root that does not exist.
func newRoots(t *testing.T) (roots storeroot.Roots, top, elsewhere string) {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere = t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(top, "a"), 0o750), os.WriteFile(filepath.Join(top, "file"), nil, 0o600),
		os.Symlink(elsewhere, filepath.Join(top, "out")), os.Symlink("a", filepath.Join(top, "in")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return storeroot.Roots{top, filepath.Join(top, "absent")}, top, elsewhere
}

func TestList(t *testing.T) {
	t.Parallel()
	roots, top, _ := newRoots(t)
	list := roots.List()
	if list[0].Free == nil || *list[0].Free <= 0 {
		t.Errorf("free space %v", list[0].Free)
	}
	list[0].Free = nil
	want := []storeroot.Folder{{Path: top, Exists: true, Writable: true}, {Path: filepath.Join(top, "absent")}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	roots, top, elsewhere := newRoots(t)
	for _, tt := range []struct{ path, want, err string }{
		{top, "", ""},
		{top + "/a", "a", ""},
		{top + "/a/../a/.", "a", ""},
		{top + "/in", "a", ""},
		{top + "/b", "", "does not exist"},
		{top + "/file", "", "not a folder"},
		{"a", "", "whole path"},
		{"", "", "whole path"},
		{top + "/a\x00", "", "whole path"},
		{top + "/out", "", storeroot.ErrOutside.Error()},
		{top + "/out/b", "", storeroot.ErrOutside.Error()},
		{top + "/../b", "", storeroot.ErrOutside.Error()},
		{top + "b", "", storeroot.ErrOutside.Error()},
		{elsewhere, "", storeroot.ErrOutside.Error()},
		{"/", "", storeroot.ErrOutside.Error()},
	} {
		got, err := roots.Check(tt.path)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Check(%q): error %v, want %q", tt.path, err, tt.err)
			}
		} else if err != nil || got != filepath.Join(top, tt.want) {
			t.Errorf("Check(%q) = %q, %v, want %q", tt.path, got, err, filepath.Join(top, tt.want))
		}
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	roots, top, elsewhere := newRoots(t)
	roots = append(roots, filepath.Join(elsewhere, "gone")) // it does not exist
	for _, tt := range []struct {
		path string
		made bool
		err  string
	}{
		{path: top + "/b/c", made: true},
		{path: top + "/in/c", made: true},
		{path: top + "/a"},
		{path: top + "/out/c"},
		{path: elsewhere + "/c"},
		{path: "b"},
		{path: top + "/file/c"},
		{path: filepath.Join(elsewhere, "gone", "c"), err: "create it on the server"},
	} {
		_, before := os.Stat(tt.path)
		remove, err := roots.Make(tt.path)
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Make(%q): error %v, want %q", tt.path, err, tt.err)
		}
		info, after := os.Stat(tt.path)
		if made := before != nil && after == nil; made != tt.made || made && info.Mode().Perm()&0o027 != 0 {
			t.Errorf("Make(%q): folder %v, want %v, closed to others", tt.path, info, tt.made)
		}
		remove()
		if _, err := os.Stat(tt.path); tt.made && !errors.Is(err, os.ErrNotExist) || before == nil && err != nil {
			t.Errorf("Make(%q): after the removal %v", tt.path, err)
		}
	}
}
