package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A world is a source and operations of others on its items.
type world struct {
	Source
	prefix string
	put    func(path string, data []byte) // replaces the item
	remove func(path string)
}

// kinds creates an empty world of each kind of source. Its filter selects *.tiff and
// excludes everything below "old".
var kinds = map[string]func(t *testing.T) *world{
	"directory": func(t *testing.T) *world { return directoryWorld(t, t.TempDir(), "") },
	"directory with a prefix": func(t *testing.T) *world {
		return directoryWorld(t, t.TempDir(), "incoming/")
	},
}

func directoryWorld(t *testing.T, dir, prefix string) *world {
	d, err := OpenDirectory(dir, prefix, NewFilter([]string{"*.tiff"}, []string{"old"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	at := func(path string) string { return filepath.Join(dir, strings.TrimPrefix(path, prefix)) }
	return &world{
		Source: d, prefix: prefix,
		put: func(path string, data []byte) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(at(path)), 0o755), os.WriteFile(at(path)+".new", data, 0o644), os.Rename(at(path)+".new", at(path))); err != nil {
				t.Fatal(err)
			}
		},
		remove: func(path string) {
			if err := os.Remove(at(path)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// list returns the items by path.
func (w *world) list(t *testing.T, o ListOptions) map[string]Item {
	t.Helper()
	items := map[string]Item{}
	o.Item = func(i Item) { items[i.Path] = i }
	l, err := w.List(t.Context(), o)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	if len(l.Unreadable) > 0 {
		t.Errorf("List: unreadable: %v", l.Unreadable)
	}
	return items
}

func paths(items map[string]Item) []string {
	var list []string
	for p := range items {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// TestConformance tests the contract of every kind of source.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct {
				name string
				test func(*testing.T, *world)
			}{
				{"list", testList},
				{"identity", testIdentity},
				{"read", testRead},
				{"replaced while open", testReplaced},
				{"absent", testAbsent},
				{"cancelled", testCancelled},
			} {
				t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
			}
		})
	}
}

func testList(t *testing.T, w *world) {
	if got := w.list(t, ListOptions{}); len(got) != 0 {
		t.Errorf("an empty source lists %v", paths(got))
	}
	want := []string{w.prefix + "a.tiff", w.prefix + "b c/ü/a.TIFF", w.prefix + "b/\xff.tiff"}
	for _, p := range append(want, w.prefix+"a.txt", w.prefix+".a.tiff", w.prefix+"old/a.tiff", w.prefix+"b/a.tiff.part") {
		w.put(p, []byte("abc"))
	}
	if diff := cmp.Diff(want, paths(w.list(t, ListOptions{}))); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if got, want := paths(w.list(t, ListOptions{Below: w.prefix + "b"})), want[2:]; !slices.Equal(got, want) {
		t.Errorf("below b: %q, want %q", got, want)
	}
	w.remove(want[0])
	if got := paths(w.list(t, ListOptions{})); !slices.Equal(got, want[1:]) {
		t.Errorf("after one was removed: %q, want %q", got, want[1:])
	}
}

// testIdentity expects List, Identify and Open to agree, and every change to be seen.
func testIdentity(t *testing.T, w *world) {
	path := w.prefix + "x/a.tiff"
	seen := map[fsx.Identity]string{}
	for _, data := range []string{"abc", "abcd", "abcd"} {
		w.put(path, []byte(data))
		id, err := w.Identify(path)
		if err != nil || id.Size != int64(len(data)) {
			t.Fatalf("Identify: %+v, %v", id, err)
		}
		if listed := w.list(t, ListOptions{})[path].Identity; listed != id {
			t.Errorf("List says %+v, Identify %+v", listed, id)
		}
		o, err := w.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if now, err := o.Current(); o.Identity() != id || now != id || err != nil {
			t.Errorf("Open says %+v and %+v, Identify %+v, %v", o.Identity(), now, id, err)
		}
		o.Close()
		if was, ok := seen[id]; ok {
			t.Errorf("%q has the identity of %q", data, was)
		}
		seen[id] = data
	}
}

func testRead(t *testing.T, w *world) {
	path, data := w.prefix+"a.tiff", bytes.Repeat([]byte("0123456789"), 1000)
	w.put(path, data)
	o, err := w.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got := make([]byte, 10)
	for _, at := range []int64{5003, 0, int64(len(data)) - 10} {
		if n, err := o.ReadAt(got, at); n != 10 || !bytes.Equal(got, data[at:at+10]) {
			t.Errorf("at %d: %q, %v", at, got[:n], err)
		}
	}
	if n, err := o.ReadAt(got, int64(len(data))-3); n != 3 || err == nil {
		t.Errorf("over the end: %d bytes, %v, want 3 and an error", n, err)
	}
}

// testReplaced expects bytes of an open item never to be taken for those of the item
// that replaced it.
func testReplaced(t *testing.T, w *world) {
	path := w.prefix + "a.tiff"
	w.put(path, []byte("first"))
	o, err := w.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	before := o.Identity()
	w.put(path, []byte("other"))
	if id, err := w.Identify(path); err != nil || id.Same(before) {
		t.Errorf("the new item has the identity of the old one: %+v, %v", id, err)
	}
	got := make([]byte, 5)
	_, err = o.ReadAt(got, 0)
	now, cerr := o.Current()
	if err == nil && cerr == nil && now.Same(before) && string(got) != "first" {
		t.Errorf("read %q under the identity of %q", got, "first")
	}
	if o.Identity() != before {
		t.Error("the identity at the opening has changed")
	}
}

func testAbsent(t *testing.T, w *world) {
	w.put(w.prefix+"x/a.tiff", nil)
	for _, path := range []string{"absent.tiff", "x", "x/a.tiff/b.tiff", "x/absent.tiff"} {
		if _, err := w.Identify(w.prefix + path); !fsx.IsGone(err) {
			t.Errorf("Identify(%q): %v, want no such item", path, err)
		}
		if o, err := w.Open(w.prefix + path); !fsx.IsGone(err) {
			t.Errorf("Open(%q): %v, %v, want no such item", path, o, err)
		}
	}
}

func testCancelled(t *testing.T, w *world) {
	for i := range 10 {
		w.put(fmt.Sprintf("%s%d.tiff", w.prefix, i), nil)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.List(ctx, ListOptions{Item: func(Item) {}}); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want %v", err, context.Canceled)
	}
}

// TestDirectoryHoldsWhatIsNoItem lists entries with the name of a slide that are not
// files.
func TestDirectoryHoldsWhatIsNoItem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "a.tiff")
	if err := errors.Join(
		os.WriteFile(outside, nil, 0o644),
		os.Symlink(outside, filepath.Join(dir, "link.tiff")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.tiff"), 0o644),
		os.Mkdir(filepath.Join(dir, "directory.tiff"), 0o755),
		os.WriteFile(filepath.Join(dir, "directory.tiff", "a.tiff"), nil, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirectory(dir, "", NewFilter(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var items, refused []string
	l, err := d.List(t.Context(), ListOptions{
		Item:    func(i Item) { items = append(items, i.Path) },
		Refused: func(_ uint64, what string) { refused = append(refused, what) },
	})
	slices.Sort(refused)
	if err != nil || len(items) != 0 || l.Links != 1 {
		t.Errorf("items %q, %d links, %v, want no item and one link", items, l.Links, err)
	}
	if diff := cmp.Diff([]string{"a folder", "a named pipe", "a symbolic link"}, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	for _, name := range []string{"link.tiff", "pipe.tiff", "../" + filepath.Base(filepath.Dir(outside)) + "/a.tiff"} {
		if o, err := d.Open(name); err == nil {
			o.Close()
			t.Errorf("Open(%q) worked", name)
		}
	}
	if _, err := OpenDirectory(filepath.Join(dir, "absent"), "", Filter{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenDirectory: %v, want %v", err, fs.ErrNotExist)
	}
}
