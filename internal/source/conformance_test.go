package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
	"github.com/slideatlas/ptiffstore/test/s3test"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// A world is a source and operations of others on its items.
type world struct {
	Source
	prefix string
	path   func(name string) string       // of the item that the tests call so
	put    func(name string, data []byte) // replaces the item
	remove func(name string)
	slide  func(t *testing.T, name string) // puts a slide
	names  []string                        // names that are selected, sorted by path
	others []string                        // names that are not
	series bool                            // each item is several files
	etags  bool                            // the identity is that of the bytes and the second
}

// files returns the source if its items are files.
func (w *world) files() (Files, bool) {
	f, ok := w.Source.(Files)
	return f, ok && !w.series
}

// kinds creates an empty world of each kind of source. Its filter selects *.tiff and
// excludes everything below "old".
var kinds = map[string]func(t *testing.T) *world{
	"directory": func(t *testing.T) *world { return directoryWorld(t, t.TempDir(), "") },
	"directory with a prefix": func(t *testing.T) *world {
		return directoryWorld(t, t.TempDir(), "incoming/")
	},
	"series":               func(t *testing.T) *world { return seriesWorld(t, t.TempDir(), "") },
	"series with a prefix": func(t *testing.T) *world { return seriesWorld(t, t.TempDir(), "incoming/") },

	"database":   databaseWorld,
	"dump":       func(t *testing.T) *world { return dumpWorld(t, false) },
	"dump, gzip": func(t *testing.T) *world { return dumpWorld(t, true) },

	"bucket":               func(t *testing.T) *world { return bucketWorld(t, "") },
	"bucket with a prefix": func(t *testing.T) *world { return bucketWorld(t, "scanner 1/ü/") },
}

// bucketWorld returns the world of a part of a bucket, beside which others have a similar prefix.
func bucketWorld(t *testing.T, prefix string) *world {
	s := s3test.New(t)
	return worldOfBucket(t, s, s.URL, s.Bucket(t), prefix)
}

// worldOfBucket is bucketWorld for the bucket of a server that answers at another URL.
func worldOfBucket(t *testing.T, s *s3test.Server, url, name, prefix string) *world {
	pool := &Pool{Bucket: bucketSettings(url)}
	src, err := pool.Open(&catalog.Store{ID: "s", Kind: catalog.S3, Root: "s3://" + name + "/" + prefix, Include: []string{"*.tiff"}, Exclude: []string{"old"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(src.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		Source: src,
		path:   func(name string) string { return name },
		etags:  true,
		put: func(path string, data []byte) {
			if strings.HasSuffix(path, "/") { // the marker of a folder
				data = nil
			}
			s.Put(t, name, prefix+path, data)
		},
		remove: func(path string) { s.Remove(t, name, prefix+path) },
		slide:  func(t *testing.T, path string) { s.Put(t, name, prefix+path, slidetest.Pyramid{}.Bytes()) },
		names:  []string{"a.tiff", "b c/ü/a.TIFF", "b/&+?.tiff"},
		others: []string{"a.txt", ".a.tiff", "old/a.tiff", "b/a.tiff.part", "b/folder.tiff/"},
	}
	if prefix != "" {
		s.Put(t, name, strings.TrimSuffix(prefix, "/")+"-old/a.tiff", nil)
	}
	return w
}

// bucketSettings are those of the test server.
func bucketSettings(url string) bucket.Settings {
	return bucket.Settings{Endpoint: url, PathStyle: true}
}

func TestMain(m *testing.M) {
	os.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	os.Exit(m.Run())
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
		path:   func(name string) string { return name },
		names:  []string{prefix + "a.tiff", prefix + "b c/ü/a.TIFF", prefix + "b/\xff.tiff"},
		others: []string{prefix + "a.txt", prefix + ".a.tiff", prefix + "old/a.tiff", prefix + "b/a.tiff.part"},
		slide: func(t *testing.T, name string) {
			if err := os.WriteFile(at(name), slidetest.Pyramid{}.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		},
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

// seriesWorld returns the world of a directory in which each item is a DICOM series of two
// files.
func seriesWorld(t *testing.T, dir, prefix string) *world {
	w := directoryWorld(t, dir, prefix)
	d, err := OpenDirectory(dir, prefix, NewFilter([]string{"*.dcm"}, []string{"old"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	files := func(name string) []string {
		name = strings.TrimPrefix(name, prefix)
		if n := len(name) - len(".tiff"); strings.EqualFold(name[n:], ".tiff") {
			name = name[:n] + ".dcm"
		}
		end := path.Ext(name)
		return []string{filepath.Join(dir, strings.TrimSuffix(name, end)+" 1"+end), filepath.Join(dir, strings.TrimSuffix(name, end)+" 2"+end)}
	}
	w.Source, w.series = d, true
	w.path = func(name string) string { return catalog.SeriesPath(path.Dir(name), dicom.UID(name)) }
	slices.SortFunc(w.names, func(a, b string) int { return strings.Compare(w.path(a), w.path(b)) })
	w.put = func(name string, data []byte) {
		for i, f := range files(name) {
			b := object(dicom.UID(name), dicom.UID(name, strconv.Itoa(i)), data)
			if err := errors.Join(os.MkdirAll(filepath.Dir(f), 0o755), os.WriteFile(f+".new", b, 0o644), os.Rename(f+".new", f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.remove = func(name string) {
		for _, f := range files(name) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.slide = func(t *testing.T, name string) {
		into := filepath.Dir(files(name)[0])
		writeSeries(t, into, dicom.UID(name), 0)
	}
	return w
}

// An atlas is a database of SlideAtlas or the dump of one.
type atlas interface {
	Put(t testing.TB, images ...atlastest.Image)
	Remove(t testing.TB, id string)
}

func databaseWorld(t *testing.T) *world {
	d := atlastest.NewDatabase(t, mongotest.New(t).Host, "t"+catalog.NewID())
	return atlasWorld(t, catalog.Store{ID: "s", Root: d.URI, Kind: catalog.MongoDB}, d)
}

func dumpWorld(t *testing.T, zip bool) *world {
	dir := t.TempDir()
	return atlasWorld(t, catalog.Store{ID: "s", Root: "dump://" + dir, Kind: catalog.Dump}, &atlastest.Dump{Dir: dir, Zip: zip})
}

// atlasWorld returns the world of an atlas, which has one image that the filter does not
// select. Items are images with one tile.
func atlasWorld(t *testing.T, st catalog.Store, a atlas) *world {
	pool := &Pool{Indexes: t.TempDir(), Timeout: time.Minute}
	st.Include, st.Exclude = []string{"*.tiff"}, []string{"old*"}
	src, err := pool.Open(&st)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(src.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		Source: src, path: atlastest.ID, names: []string{"a.tiff", "ü.TIFF", "c c.tiff"}, others: []string{"a.txt", "old.tiff"},
		put: func(name string, data []byte) {
			im := atlastest.New(name, 0)
			im.Extra = bson.D{{Key: "bytes", Value: int64(len(data))}} // FerretDB's sizes are rounded
			im.Tiles = map[string][]byte{"t.jpg": data}
			a.Put(t, im)
		},
		remove: func(name string) { a.Remove(t, atlastest.ID(name)) },
		slide:  func(t *testing.T, name string) { a.Put(t, atlastest.New(name, 7)) },
	}
	slices.SortFunc(w.names, func(a, b string) int { return strings.Compare(atlastest.ID(a), atlastest.ID(b)) })
	a.Put(t, atlastest.New("another.jpg", 0))
	return w
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
				{"list a part", testBelow},
				{"slide", testSlide},
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
	for _, name := range slices.Concat(w.names, w.others) {
		w.put(name, []byte("abc"))
	}
	var want []string
	for _, name := range w.names {
		want = append(want, w.path(name))
	}
	if diff := cmp.Diff(want, paths(w.list(t, ListOptions{}))); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	w.remove(w.names[0])
	if got := paths(w.list(t, ListOptions{})); !slices.Equal(got, want[1:]) {
		t.Errorf("after one was removed: %q, want %q", got, want[1:])
	}
	if _, err := w.Identify(want[0]); !fsx.IsGone(err) {
		t.Errorf("the removed one has an identity: %v", err)
	}
	if _, err := w.Root(); err != nil {
		t.Errorf("Root: %v", err)
	}
}

// testBelow lists a part of a source of files.
func testBelow(t *testing.T, w *world) {
	if _, ok := w.Source.(Files); !ok {
		t.Skip("the items are not files")
	}
	if got := w.list(t, ListOptions{}); len(got) != 0 {
		t.Errorf("an empty source lists %v", paths(got))
	}
	var want []string
	for _, name := range w.names {
		w.put(name, []byte("abc"))
		if strings.HasPrefix(name, w.prefix+"b/") {
			want = append(want, w.path(name))
		}
	}
	if got := paths(w.list(t, ListOptions{Below: w.prefix + "b"})); !slices.Equal(got, want) {
		t.Errorf("below b: %q, want %q", got, want)
	}
}

// testIdentity expects List, Identify, Slide and Open to agree, and every change to be seen.
func testIdentity(t *testing.T, w *world) {
	name := w.prefix + "x/a.tiff"
	path := w.path(name)
	seen := map[fsx.Identity]string{}
	for _, data := range []string{"abc", "abcd", "abcd"} {
		w.put(name, []byte(data))
		id, err := w.Identify(path)
		if err != nil || id.Size < int64(len(data)) {
			t.Fatalf("Identify: %+v, %v", id, err)
		}
		if again, err := w.Identify(path); err != nil || again != id {
			t.Errorf("Identify: %+v and then %+v, %v", id, again, err)
		}
		if listed := w.list(t, ListOptions{})[path].Identity; listed != id {
			t.Errorf("List says %+v, Identify %+v", listed, id)
		}
		s, err := w.Slide(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Identity != id {
			t.Errorf("Slide says %+v, Identify %+v", s.Identity, id)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		files, ok := w.files()
		if was, same := seen[id]; same && (ok && !w.etags || was != data) {
			t.Errorf("%q has the identity of %q", data, was)
		}
		seen[id] = data
		if !ok {
			continue
		}
		o, err := files.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if now, err := o.Current(); o.Identity() != id || now != id || err != nil {
			t.Errorf("Open says %+v and %+v, Identify %+v, %v", o.Identity(), now, id, err)
		}
		o.Close()
	}
}

// testSlide reads a tile of a slide.
func testSlide(t *testing.T, w *world) {
	name := w.prefix + "a.tiff"
	w.slide(t, name)
	s, err := w.Slide(t.Context(), w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Err != nil {
		t.Fatal(s.Err)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	if b, err := s.AppendTile(nil, len(s.Levels)-1, 0, 0); err != nil || len(b) == 0 {
		t.Errorf("AppendTile: %d bytes, %v", len(b), err)
	}
	w.put(w.prefix+"b.tiff", []byte("no slide"))
	other, err := w.Slide(t.Context(), w.path(w.prefix+"b.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Err == nil {
		if err := other.Check(); err == nil {
			t.Error("an item that is not a slide is one")
		}
	}
}

func testRead(t *testing.T, w *world) {
	files, ok := w.files()
	if !ok {
		t.Skip("the items are not files")
	}
	path, data := w.prefix+"a.tiff", bytes.Repeat([]byte("0123456789"), 1000)
	w.put(path, data)
	o, err := files.Open(path)
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
	files, ok := w.files()
	if !ok {
		t.Skip("the items are not files")
	}
	path := w.prefix + "a.tiff"
	w.put(path, []byte("first"))
	o, err := files.Open(path)
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
	for _, path := range []string{w.path(w.prefix + "absent.tiff"), w.prefix + "absent.tiff", w.prefix + "x", w.prefix + "x/a.tiff/b.tiff", w.prefix + "x/absent.tiff"} {
		if _, err := w.Identify(path); !fsx.IsGone(err) {
			t.Errorf("Identify(%q): %v, want no such item", path, err)
		}
		if s, err := w.Slide(t.Context(), path); !fsx.IsGone(err) {
			t.Errorf("Slide(%q): %v, %v, want no such item", path, s, err)
		}
		if files, ok := w.files(); ok {
			if o, err := files.Open(path); !fsx.IsGone(err) {
				t.Errorf("Open(%q): %v, %v, want no such item", path, o, err)
			}
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
