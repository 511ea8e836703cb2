package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// TestMoveTo renames files by both methods, and never overwrites another.
func TestMoveTo(t *testing.T) {
	t.Parallel()
	for how, move := range map[string]func(from, to Entry) error{"rename": Entry.MoveTo} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644), os.WriteFile(filepath.Join(dir, "b"), []byte("b"), 0o644)); err != nil {
				t.Fatal(err)
			}
			at := func(name string) Entry {
				s, err := EntryAt(dir, name, true)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				return s
			}
			if err := move(at("a"), at("b")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over another: %v, want %v", err, fs.ErrExist)
			}
			if err := move(at("a"), at("x/y/c")); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"b": "b", "x/y/c": "a"} {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
					t.Errorf("%s holds %q, want %q", name, got, want)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old name: %v, want it gone", err)
			}
		})
	}
}

// TestEntryIsNotRedirected expects symbolic links in the path of an entry not to be
// followed.
func TestEntryIsNotRedirected(t *testing.T) {
	t.Parallel()
	dir, secret := t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(secret+"/f", nil, 0o644), os.Symlink(secret, dir+"/l"), os.Symlink(secret+"/f", dir+"/f")); err != nil {
		t.Fatal(err)
	}
	if _, err := EntryAt(dir, "l/f", true); !fsx.IsGone(err) {
		t.Errorf("a link on the way: %v, want no such file", err)
	}
	if _, err := EntryAt(dir, "../f", false); err == nil {
		t.Error("a way out of the folder was taken")
	}
	s, err := EntryAt(dir, "f", false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Open(); !fsx.IsGone(err) {
		t.Errorf("a link: %v, want no such file", err)
	}
}
