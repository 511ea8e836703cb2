package fsx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, dir string) *os.File {
	t.Helper()
	d, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	writers := map[string]func(path, data string) error{
		"WriteFile": func(path, data string) error { return WriteFile(path, []byte(data), 0o600) },
		"WriteFileIn": func(path, data string) error {
			fi, err := WriteFileIn(d, filepath.Base(path), []byte(data), 0o600)
			if err == nil && fi.Size() != int64(len(data)) {
				err = fmt.Errorf("%d bytes", fi.Size())
			}
			return err
		},
	}
	for name, writeFile := range writers {
		path := filepath.Join(dir, name)
		for _, data := range []string{"first", "second"} {
			if err := writeFile(path, data); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := read(t, path); got != data {
				t.Errorf("%s: the file holds %q, want %q", name, got, data)
			}
		}
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", name, fi.Mode(), err)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != len(writers) {
		t.Errorf("the directory holds %v, want no temporary files", names)
	}
}

// TestWriteFails leaves a file unchanged, and no other file.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	write(t, path, "before")
	broken := errors.New("broken")
	half := func(f *os.File) error {
		f.WriteString("half")
		return broken
	}
	for name, err := range map[string]error{"Create": Create(path, 0o644, half), "CreateNew": CreateNew(path, 0o644, half)} {
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v, want %v", name, err, broken)
		}
	}
	if err := CreateNew(path, 0o644, func(*os.File) error { return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreateNew over a file: %v, want %v", err, fs.ErrExist)
	}
	if err := WriteFile(filepath.Join(dir, "no", "a"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile in no directory: %v, want %v", err, fs.ErrNotExist)
	}
	if got := read(t, path); got != "before" {
		t.Errorf("the file holds %q, want it as it was", got)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("the directory holds %v, want one file", names)
	}
}

// TestRenameNew renames files and folders by both methods, and never overwrites another.
func TestRenameNew(t *testing.T) {
	t.Parallel()
	ways := map[string]func(from *os.File, name string, to *os.File, newName string) error{
		"rename": RenameNew,
		"link": func(from *os.File, name string, to *os.File, newName string) error {
			return linkNew(int(from.Fd()), name, int(to.Fd()), newName)
		},
	}
	for how, rename := range ways {
		t.Run(how, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			write(t, filepath.Join(dir, "a"), "a")
			write(t, filepath.Join(other, "b"), "b")
			from, to := openDir(t, dir), openDir(t, other)
			if err := rename(from, "a", to, "b"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over another: %v, want %v", err, fs.ErrExist)
			}
			if err := rename(from, "a", to, "c"); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"b": "b", "c": "a"} {
				if got := read(t, filepath.Join(other, name)); got != want {
					t.Errorf("%s holds %q, want %q", name, got, want)
				}
			}
			if _, err := os.Lstat(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old name: %v, want it gone", err)
			}
			for _, in := range []string{filepath.Join(dir, "d"), filepath.Join(other, "e")} {
				if err := os.Mkdir(in, 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(in, "f"), in)
			}
			for _, used := range []string{"b", "e"} {
				if err := rename(from, "d", to, used); !errors.Is(err, fs.ErrExist) {
					t.Errorf("a folder over %s: %v, want %v", used, err, fs.ErrExist)
				}
			}
			if err := rename(from, "d", to, "g"); err != nil || read(t, filepath.Join(other, "g/f")) != filepath.Join(dir, "d") {
				t.Errorf("a folder: %v", err)
			}
		})
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second, third := openDir(t, dir), openDir(t, dir), openDir(t, dir)
	if !TryLock(first) {
		t.Fatal("a free lock was not given")
	}
	if TryLock(second) || TryShare(second) {
		t.Error("a lock was given twice")
	}
	first.Close()
	if !TryShare(second) || !TryShare(third) || TryLock(third) {
		t.Error("a released lock is not shared, or is given to one that shares it with another")
	}
}

func TestWithoutPath(t *testing.T) {
	t.Parallel()
	_, open := os.Open("/nowhere/SECRET.tiff")
	rename := os.Rename("/nowhere/SECRET.tiff", "/nowhere/SECRET2.tiff")
	system := &fs.PathError{Path: "SECRET", Err: os.NewSyscallError("SECRET", syscall.ENOENT)}
	for _, err := range []error{open, rename, errors.Join(rename, open), fmt.Errorf("opening: %w", open), system} {
		if got := WithoutPath(err); strings.Contains(got.Error(), "SECRET") || !errors.Is(got, unix.ENOENT) {
			t.Errorf("%v, want no such file and no name", got)
		}
	}
	other := errors.New("other")
	if WithoutPath(nil) != nil || WithoutPath(other) != other { //nolint:errorlint // the same error
		t.Error("an error without a path is not returned as it is")
	}
}

func TestSHA256(t *testing.T) {
	t.Parallel()
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, "abc")
	if got, size, err := SHA256File(t.Context(), path); got != want || size != 3 || err != nil {
		t.Errorf("SHA256File: %s of %d bytes, %v", got, size, err)
	}
	var copied strings.Builder
	var seen int64
	got, err := CopySHA256(t.Context(), &copied, strings.NewReader("abcdef"), 3, func(done, _ int64) { seen = done })
	if got != want || copied.String() != "abc" || seen != 3 || err != nil {
		t.Errorf("CopySHA256: %s, %q, progress %d, %v", got, &copied, seen, err)
	}
	if _, err := SHA256(t.Context(), strings.NewReader("abc"), 4, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file that was truncated: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SHA256(ctx, strings.NewReader("abc"), 3, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestIdentifyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "abc")
	if err := errors.Join(os.Symlink("a", filepath.Join(dir, "link")), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	id, err := StatIn(int(d.Fd()), "a")
	if err != nil || id.Size != 3 {
		t.Errorf("StatIn: %+v, %v", id, err)
	}
	f, err := Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if same, err := IdentifyFile(f); err != nil || same != id {
		t.Errorf("IdentifyFile: %+v, %v, want %+v", same, err, id)
	}
	if _, err := IdentifyFile(d); !errors.Is(err, ErrNotRegular) || !IsGone(err) {
		t.Errorf("IdentifyFile of a directory: %v, want %v", err, ErrNotRegular)
	}
	for _, name := range []string{"link", "pipe", ".", "absent"} {
		if _, err := StatIn(int(d.Fd()), name); !IsGone(err) {
			t.Errorf("StatIn(%q): %v, want no such file", name, err)
		}
	}
}
