package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// TestMoveTo renames files in both ways there are, and never over another.
func TestMoveTo(t *testing.T) {
	t.Parallel()
	for how, move := range map[string]func(from, to spot) error{"rename": spot.moveTo} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644), os.WriteFile(filepath.Join(dir, "b"), []byte("b"), 0o644)); err != nil {
				t.Fatal(err)
			}
			at := func(name string) spot {
				s, err := spotAt(dir, name, true)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.close)
				return s
			}
			if err := move(at("a"), at("b")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over another: %v, want %v", err, fs.ErrExist)
			}
			if err := move(at("a"), at("x/y/c")); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"b": "b", "x/y/c": "a"} {
				if got := string(readAll(t, filepath.Join(dir, name))); got != want {
					t.Errorf("%s holds %q, want %q", name, got, want)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old name: %v, want it gone", err)
			}
		})
	}
}

// TestSpotIsNotLed wants no symbolic link on the way to a spot to be followed.
func TestSpotIsNotLed(t *testing.T) {
	t.Parallel()
	dir, secret := t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(secret+"/f", nil, 0o644), os.Symlink(secret, dir+"/l"), os.Symlink(secret+"/f", dir+"/f")); err != nil {
		t.Fatal(err)
	}
	if _, err := spotAt(dir, "l/f", true); !fsx.IsGone(err) {
		t.Errorf("a link on the way: %v, want no such file", err)
	}
	if _, err := spotAt(dir, "../f", false); err == nil {
		t.Error("a way out of the folder was taken")
	}
	s, err := spotAt(dir, "f", false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.open(); !fsx.IsGone(err) {
		t.Errorf("a link: %v, want no such file", err)
	}
}

func TestBare(t *testing.T) {
	t.Parallel()
	_, err := os.Open("/nowhere/SECRET.tiff")
	link := os.Rename("/nowhere/SECRET.tiff", "/nowhere/SECRET2.tiff")
	for _, err := range []error{err, link, errors.Join(link, err)} {
		if got := trouble("id", "opening", err); strings.Contains(got.Error(), "SECRET") || !errors.Is(got, unix.ENOENT) {
			t.Errorf("%v, want no such file and no name", got)
		}
	}
	if err := trouble("id", "opening", nil); err != nil {
		t.Errorf("of none: %v", err)
	}
}
