package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// A house is a managed store, a catalog and a clock.
type house struct {
	*site
	in string // where files arrive
}

// newHouse makes a managed store with an incoming folder, below its root if in is "".
func newHouse(t *testing.T, url, in string) *house {
	t.Helper()
	dir := t.TempDir()
	var c *catalog.Catalog
	if url == "" {
		c = catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	} else {
		var err error
		if c, err = catalog.Open(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	st := &site{t: t, root: filepath.Join(dir, "store"), now: time.Now().Truncate(time.Microsecond)}
	put, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.Managed, Root: st.root, Incoming: in})
	if err != nil {
		t.Fatal(err)
	}
	if err := managed.Prepare(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	st.store = put.ID
	st.Syncer = &Syncer{Catalog: c, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return st.now }}
	return &house{st, put.Incoming}
}

// otherDisk is a folder on another file system than temporary ones.
func otherDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ptiffstore-test-")
	if err != nil {
		t.Skip("no second file system: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "in")
}

// arrive puts a file into the incoming folder.
func (h *house) arrive(name string, data []byte) {
	h.t.Helper()
	at := filepath.Join(h.in, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o644)); err != nil {
		h.t.Fatal(err)
	}
}

// imported has files of these names arrive and imports them.
func (h *house) imported(names ...string) {
	h.t.Helper()
	for i, n := range names {
		h.arrive(n, slidetest.Pyramid{Seed: uint8(i)}.Bytes())
	}
	h.later(time.Minute)
	if r := h.scan(Options{Import: true}); r.Imported != len(names) || len(r.Failed) > 0 {
		h.t.Fatalf("%+v, want %d imported", r, len(names))
	}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// files returns the files in the folders of the store, without sidecars and markers, by
// their paths in the catalog. Times and ids in names are left out.
func (h *house) files() []string {
	h.t.Helper()
	var list []string
	for _, dir := range []string{managed.Incoming, managed.Staging, managed.Slides, managed.Quarantine, managed.Trash} {
		base := filepath.Join(h.root, dir)
		if dir == managed.Incoming {
			base = h.in
		}
		err := filepath.WalkDir(base, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasSuffix(p, ".json") || e.Name() == managed.MarkerName {
				return err
			}
			name := strings.TrimPrefix(p, base)
			name = strings.TrimPrefix(name, "/")
			when, rest, _ := strings.Cut(name, "-")
			switch _, err := time.Parse("20060102T150405Z", when); {
			case dir == managed.Trash && err == nil:
				name = filepath.Ext(rest)
			case dir == managed.Quarantine:
				_, name, _ = strings.Cut(name, "-")
			}
			list = append(list, dir+name)
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	slices.Sort(list)
	return list
}

func (h *house) wantFiles(want ...string) {
	h.t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, h.files()); diff != "" {
		h.t.Errorf("files (-want +got):\n%s", diff)
	}
}

// only returns the one image there is.
func (h *house) only() *catalog.Image {
	h.t.Helper()
	all := h.images()
	if len(all) != 1 {
		h.t.Fatalf("%d images, want 1: %v", len(all), h.states())
	}
	return all[0]
}

// images returns all images in the order of their paths.
func (h *house) images() []*catalog.Image {
	h.t.Helper()
	var list []*catalog.Image
	err := h.Catalog.Images.Each(h.t.Context(), h.store, func(im *catalog.Image) error {
		one := *im
		list = append(list, &one)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// onEach runs a test with the incoming folder in the store's folder, and on another
// disk.
func onEach(t *testing.T, f func(t *testing.T, h *house)) {
	for _, on := range []struct {
		name string
		make func(t *testing.T) *house
	}{
		{"one disk", func(t *testing.T) *house { return newHouse(t, "", "") }},
		{"two disks", func(t *testing.T) *house { return newHouse(t, "", otherDisk(t)) }},
		{"postgres", func(t *testing.T) *house { return newHouse(t, catalogtest.Postgres(t), "") }},
	} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			f(t, on.make(t))
		})
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, h *house) {
		data := slidetest.Pyramid{Seed: 1}.Bytes()
		h.arrive("sub/a.tiff", data)
		h.later(time.Minute)
		if r := h.scan(Options{}); r.Added != 1 || r.Count != 1 {
			t.Fatalf("%+v, want 1 added", r)
		}
		before := h.only()
		if before.Path != "incoming/sub/a.tiff" || before.State != catalog.Available || before.Digest != nil {
			t.Fatalf("%s at %q, digest %v; want it available where it arrived", before.State, before.Path, before.Digest)
		}
		var last, total int64
		r, err := h.Import(t.Context(), before.ID, func(n, of int64) { last, total = n, of })
		if err != nil {
			t.Fatal(err)
		}
		digest := digestOf(data)
		if want := (managed.Imported{Image: before.ID, Digest: digest}); r != want {
			t.Errorf("%+v, want %+v", r, want)
		}
		if last != int64(len(data)) || total != last {
			t.Errorf("progress %d of %d, want %d", last, total, len(data))
		}
		im := h.only()
		if im.ID != before.ID || im.Path != managed.SlidePath(digest) || im.Digest == nil || *im.Digest != digest || im.VerifiedAt == nil {
			t.Errorf("%s at %q, digest %v; want %s under its digest", im.ID, im.Path, im.Digest, before.ID)
		}
		if im.Revision != before.Revision || im.FileName != "a.tiff" || im.State != catalog.Available {
			t.Errorf("revision %s, name %q, %s; want revision %s, a.tiff, available", im.Revision, im.FileName, im.State, before.Revision)
		}
		got, err := os.ReadFile(filepath.Join(h.root, im.Path))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v, want the %d that arrived", len(got), err, len(data))
		}
		if st, err := os.Stat(filepath.Join(h.root, im.Path)); err != nil || st.Mode().Perm() != 0o444 {
			t.Errorf("mode %v, %v, want it read-only", st.Mode(), err)
		}
		h.wantFiles(im.Path)
		if side, err := managed.ReadSidecar(&catalog.Store{Root: h.root}, im.Path); err != nil || side.ID != im.ID || side.FileName != "a.tiff" {
			t.Errorf("sidecar %+v, %v, want one of the image", side, err)
		}
		for _, o := range []Options{{}, {Resync: true}, {}} {
			if r := h.scan(o); r.Added+r.Missing+r.Moved+r.Imported+len(r.Failed) > 0 || r.Count != 1 {
				t.Errorf("scan %+v: %+v, want nothing", o, r)
			}
		}
		if again := h.only(); again.Revision != im.Revision || again.Path != im.Path || again.FileName != "a.tiff" || again.Digest == nil {
			t.Errorf("after a resync: %+v", again)
		}
		if _, err := h.Import(t.Context(), im.ID, nil); err != nil {
			t.Errorf("import of what is: %v", err)
		}
		if err := h.Catalog.Images.Drop(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		if r := h.scan(Options{}); r.Added != 1 || h.only().ID != im.ID || h.only().FileName != "a.tiff" {
			t.Errorf("forgotten: %+v, %+v, want it back", r, h.only())
		}
	})
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		do       func(root string) error
		incoming string // below root
		want     error
	}{
		{"nothing there", func(string) error { return nil }, "", nil},
		{"empty", func(root string) error { return os.Mkdir(root, 0o755) }, "", nil},
		{"files in the incoming folder", func(root string) error { return os.MkdirAll(root+"/incoming/a", 0o755) }, "", nil},
		{"a file", func(root string) error {
			return errors.Join(os.Mkdir(root, 0o755), os.WriteFile(root+"/a.tiff", nil, 0o644))
		}, "", managed.ErrNotEmpty},
		{"another's", func(root string) error {
			return errors.Join(os.Mkdir(root, 0o755), os.WriteFile(root+"/"+managed.MarkerName, []byte("other\n"), 0o644))
		}, "", managed.ErrOtherStore},
		{"its own", func(root string) error {
			return errors.Join(os.MkdirAll(root+"/slides/ab", 0o755), os.WriteFile(root+"/"+managed.MarkerName, []byte("me\n"), 0o644))
		}, "", nil},
		{"incoming is the root", func(string) error { return nil }, ".", managed.ErrBadFolders},
		{"incoming is in slides", func(string) error { return nil }, "slides/x", managed.ErrBadFolders},
		{"incoming is in originals", func(string) error { return nil }, "originals/x", managed.ErrBadFolders},
		{"incoming is around", func(string) error { return nil }, "..", managed.ErrBadFolders},
		{"incoming is another's", func(root string) error {
			return errors.Join(os.MkdirAll(root+"/incoming", 0o755), os.WriteFile(root+"/incoming/"+managed.MarkerName, []byte("other\n"), 0o644))
		}, "", managed.ErrOtherStore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "store")
			if err := tt.do(root); err != nil {
				t.Fatal(err)
			}
			st := &catalog.Store{ID: "me", Mode: catalog.Managed, Root: root, Incoming: filepath.Join(root, "incoming")}
			if tt.incoming != "" {
				st.Incoming = filepath.Join(root, tt.incoming)
			}
			for range 2 {
				if err := managed.Prepare(t.Context(), st); !errors.Is(err, tt.want) {
					t.Fatalf("%v, want %v", err, tt.want)
				}
			}
			id, err := managed.Marked(root)
			if tt.want == nil && (id != "me" || err != nil) {
				t.Errorf("marked %q, %v, want me", id, err)
			}
		})
	}
}

func TestNoMarker(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.imported("a.tiff", "b.tiff")
	away := h.root + ".away"
	h.rename(h.root, away)
	if err := os.MkdirAll(filepath.Join(h.root, "incoming"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := h.Sync(t.Context(), h.store, Options{Confirm: true})
	if !errors.Is(err, managed.ErrNoMarker) || !errors.Is(err, ErrNoRoot) || !strings.Contains(err.Error(), "check that its disk is mounted") {
		t.Errorf("%v, want %v", err, managed.ErrNoMarker)
	}
	if got := len(h.states()); got != 2 {
		t.Errorf("%d images, want 2", got)
	}
	for path, state := range h.states() {
		if state != catalog.Available {
			t.Errorf("%s is %s, want it left as it was", path, state)
		}
	}
}

// TestIncomingNotMounted removes the disk of the incoming folder while a file waits in
// it.
func TestIncomingNotMounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", otherDisk(t))
	h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
	h.later(time.Minute)
	h.scan(Options{})
	h.rename(h.in, h.in+".away")
	if _, err := h.Sync(t.Context(), h.store, Options{}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("the folder is gone: %v, want %v", err, ErrNoRoot)
	}
	if err := os.Mkdir(h.in, 0o755); err != nil {
		t.Fatal(err)
	}
	if r := h.scan(Options{}); r.Missing != 0 || len(r.Failed) != 1 {
		t.Errorf("the folder is empty: %+v, want a word of it and nothing missing", r)
	}
	h.want(map[string]catalog.State{"incoming/a.tiff": catalog.Available})
}

func TestSlidesVanishAndReturn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.imported("a.tiff", "b.tiff")
	a := h.images()[0]
	at := filepath.Join(h.root, a.Path)
	h.rename(at, h.root+".a")
	if r := h.scan(Options{}); r.Missing != 1 || r.Count != 1 {
		t.Errorf("%+v, want 1 missing", r)
	}
	h.rename(h.root+".a", at)
	if r := h.scan(Options{}); r.Returned != 1 || r.Missing != 0 {
		t.Errorf("%+v, want 1 returned", r)
	}
	if got := h.images()[0]; got.ID != a.ID || got.State != catalog.Available || got.FileName != a.FileName || *got.Digest != *a.Digest {
		t.Errorf("%+v, want it as it was", got)
	}
	// The bytes change, although the mode forbids writing.
	if err := os.WriteFile(at, slidetest.Pyramid{Seed: 99}.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Resync: true}} {
		h.scan(o)
		if got := h.images()[0]; got.State != catalog.Broken || got.Reason != notItself {
			t.Errorf("%+v: %s %q, want it broken", o, got.State, got.Reason)
		}
	}
}

// TestLostCatalog removes a store from the catalog and adds its folder again.
func TestLostCatalog(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	ctx := t.Context()
	h.imported("a.tiff", "b.tiff", "c.tiff")
	all := h.images()
	if err := h.Remove(ctx, all[2].ID); err != nil {
		t.Fatal(err)
	}
	h.arrive("broken.tiff", slidetest.Pyramid{Seed: 9}.Bytes()[:7000])
	h.arrive("waits.tiff", slidetest.Pyramid{Seed: 10}.Bytes())
	h.arrive("again.tiff", readAll(t, filepath.Join(h.root, all[0].Path)))
	h.later(time.Hour)
	h.scan(Options{Import: true})
	label := "L"
	if _, err := h.Catalog.Images.Update(ctx, all[1].ID, func(im *catalog.Image) error { im.Label = &label; return nil }); err != nil {
		t.Fatal(err)
	}
	h.scan(Options{})
	type brief struct {
		ID, Path, Name, Aliases, Digest, Label string
		State                                  catalog.State
		Deleted                                bool
	}
	list := func() (l []brief) {
		for _, im := range h.images() {
			b := brief{im.ID, im.Path, im.FileName, strings.Join(im.Aliases, ","), "", "", im.State, im.DeletedAt != nil}
			if im.Digest != nil {
				b.Digest = *im.Digest
			}
			if im.Label != nil {
				b.Label = *im.Label
			}
			l = append(l, b)
		}
		return l
	}
	want, files := list(), h.files()
	if len(want) != 5 {
		t.Fatalf("%d images, want 5: %v", len(want), want)
	}
	old, err := h.Catalog.Stores.Get(ctx, h.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Catalog.Stores.Delete(ctx, h.store); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, h.files()); diff != "" {
		t.Errorf("removing a store touched files (-want +got):\n%s", diff)
	}
	id, err := managed.Marked(h.root)
	if err != nil || id != h.store {
		t.Fatalf("marked %q, %v, want %q", id, err, h.store)
	}
	again, err := h.Catalog.Stores.Put(ctx, catalog.Store{ID: id, Mode: catalog.Managed, Root: old.Root, Incoming: old.Incoming})
	if err != nil {
		t.Fatal(err)
	}
	if err := managed.Prepare(ctx, again); err != nil {
		t.Fatal(err)
	}
	if r := h.scan(Options{DryRun: true}); r.Added != 5 || len(h.images()) != 0 {
		t.Errorf("dry run: %+v, %d images, want 5 to be added and none there", r, len(h.images()))
	}
	if r := h.scan(Options{}); r.Added != 5 || len(r.Failed) != 0 {
		t.Errorf("%+v, want 5 added", r)
	}
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(files, h.files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	first := func(h *house) string {
		return filepath.Join(h.root, managed.SlidePath(digestOf(slidetest.Pyramid{}.Bytes())))
	}
	tests := []struct {
		name  string
		do    func(h *house)
		names string // of the second file
		alias []string
		trash []string
	}{
		{"another name", func(*house) {}, "b.tiff", []string{"b.tiff"}, []string{"trash/.tiff"}},
		{"the same name", func(*house) {}, "a.tiff", nil, []string{"trash/.tiff"}},
		{"the first is lost", func(h *house) { os.Remove(first(h)) }, "b.tiff", []string{"b.tiff"}, nil},
		{"the first is lost, and that is known", func(h *house) { os.Remove(first(h)); h.scan(Options{}) }, "b.tiff", []string{"b.tiff"}, nil},
		{"the first is damaged", func(h *house) {
			os.WriteFile(first(h), slidetest.Pyramid{Seed: 77}.Bytes(), 0o644)
		}, "b.tiff", []string{"b.tiff"}, []string{"trash/.damaged"}},
		{"the first is nobody's", func(h *house) {
			h.Catalog.Images.Drop(h.t.Context(), h.only().ID)
		}, "b.tiff", []string{"b.tiff"}, []string{"trash/.tiff"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, h *house) {
				h.imported("a.tiff")
				before := h.only()
				h.arrive("x/"+tt.names, slidetest.Pyramid{}.Bytes())
				tt.do(h)
				h.later(time.Minute)
				r, err := h.Syncer.Sync(t.Context(), h.store, Options{})
				if err != nil {
					t.Fatalf("%+v, %v", r, err)
				}
				var second string
				for _, im := range h.images() {
					if strings.HasPrefix(im.Path, managed.Incoming) {
						second = im.ID
					}
				}
				got, err := h.Import(t.Context(), second, nil)
				if err != nil {
					t.Fatal(err)
				}
				if want := (managed.Imported{Image: before.ID, Digest: *before.Digest, Duplicate: true}); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
				im := h.only()
				if im.ID != before.ID || im.FileName != "a.tiff" || im.State != catalog.Available || im.DamagedAt != nil {
					t.Errorf("%s %q %s %q, want the first", im.ID, im.FileName, im.State, im.Reason)
				}
				if diff := cmp.Diff(tt.alias, im.Aliases); diff != "" {
					t.Errorf("aliases (-want +got):\n%s", diff)
				}
				h.wantFiles(append(tt.trash, im.Path)...)
				if got := readAll(t, filepath.Join(h.root, im.Path)); !bytes.Equal(got, (slidetest.Pyramid{}.Bytes())) {
					t.Error("the slide has other bytes")
				}
				if r := h.scan(Options{}); r.changed() {
					t.Errorf("next scan: %+v, want nothing", r)
				}
			})
		})
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, h *house) {
		long := strings.Repeat("ä", 120) + ".tiff"
		h.arrive("sub/"+long, slidetest.Pyramid{}.Bytes()[:7000])
		h.arrive("no.tiff", slidetest.Pyramid{Seed: 2, Striped: true}.Bytes())
		h.later(time.Hour)
		if r := h.scan(Options{}); r.Quarantined != 2 {
			t.Errorf("%+v, want 2 in quarantine", r)
		}
		for _, im := range h.images() {
			if im.State != catalog.Quarantined || im.Reason == "" || !strings.HasPrefix(im.Path, managed.Quarantine+im.ID+"-") || im.FileName != long && im.FileName != "no.tiff" {
				t.Errorf("%s %q at %q, want it in quarantine", im.State, im.Reason, im.Path)
			}
			if _, err := os.Stat(filepath.Join(h.root, im.Path)); err != nil {
				t.Error(err)
			}
		}
		if r := h.scan(Options{}); r.changed() {
			t.Errorf("next scan: %+v, want nothing", r)
		}
		for _, im := range h.images() {
			if im.FileName != long {
				continue
			}
			h.arrive("sub/"+long, slidetest.Pyramid{Seed: 5}.Bytes())
			if err := h.Retry(t.Context(), im.ID); !errors.Is(err, managed.ErrInTheWay) || strings.Contains(err.Error(), long) {
				t.Errorf("a file is in the way: %v, want %v", err, managed.ErrInTheWay)
			}
			if err := os.Remove(filepath.Join(h.in, "sub", long)); err != nil {
				t.Fatal(err)
			}
			// The rest of the file has arrived.
			if err := os.WriteFile(filepath.Join(h.root, im.Path), slidetest.Pyramid{}.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			h.scan(Options{})
			if err := h.Retry(t.Context(), im.ID); err != nil {
				t.Fatal(err)
			}
			back, err := h.Catalog.Images.Get(t.Context(), im.ID)
			if err != nil || back.Path != "incoming/sub/"+long || back.State != catalog.Available {
				t.Fatalf("%+v, %v, want it available where it arrived", back, err)
			}
			h.later(time.Minute)
			h.scan(Options{Import: true})
			if back, err = h.Catalog.Images.Get(t.Context(), im.ID); err != nil || !strings.HasPrefix(back.Path, managed.Slides) || back.State != catalog.Available || back.FileName != long {
				t.Errorf("%+v, %v, want it imported", back, err)
			}
		}
		h.wantFiles("quarantine/no.tiff", managed.SlidePath(digestOf(slidetest.Pyramid{}.Bytes())))
	})
}

// An upload is complete when it is in the incoming folder: if it is not a slide then, no
// scan calls it arriving.
func TestUploadDoesNotArrive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, h *house) {
		part := slidetest.Pyramid{}.Bytes()[:7000]
		h.arrive("copied.tiff", part)
		h.arrive("sent.tiff", part)
		info, err := os.Stat(filepath.Join(h.in, "sent.tiff"))
		if err != nil {
			t.Fatal(err)
		}
		hidden := filepath.Join(h.in, managed.Uploads)
		if err := os.Mkdir(hidden, 0o700); err != nil {
			t.Fatal(err)
		}
		record := fmt.Sprintf(`{"As":"sent.tiff","MTime":%d,"Length":%d,"Offset":%[2]d}`, info.ModTime().UnixNano(), info.Size())
		if err := os.WriteFile(filepath.Join(hidden, "id.json"), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		h.scan(Options{})
		got := map[string]catalog.State{}
		for _, im := range h.images() {
			got[im.FileName] = im.State
		}
		want := map[string]catalog.State{"copied.tiff": catalog.Arriving, "sent.tiff": catalog.Quarantined}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestRemoveAndRestore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.imported("a.tiff")
		h.arrive("b.tiff", slidetest.Pyramid{Seed: 7}.Bytes())
		h.arrive("bad.tiff", []byte("no slide"))
		h.later(time.Hour)
		h.scan(Options{})
		want, before := h.files(), h.images()
		if len(before) != 3 {
			t.Fatalf("%d images, want 3", len(before))
		}
		for _, im := range before {
			if err := h.Remove(ctx, im.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Catalog.Images.Get(ctx, im.ID); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("removed: %v, want %v", err, catalog.ErrNotFound)
			}
		}
		h.wantFiles("trash/.tiff", "trash/.tiff", "trash/.tiff")
		if r := h.scan(Options{}); r.changed() {
			t.Errorf("next scan: %+v, want nothing", r)
		}
		for _, im := range before {
			if err := h.Restore(ctx, im.ID); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, h.files()); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		for i, im := range h.images() {
			if im.ID != before[i].ID || im.Path != before[i].Path || im.State != before[i].State {
				t.Errorf("%s %q, want %s %q", im.State, im.Path, before[i].State, before[i].Path)
			}
		}
		if r := h.scan(Options{}); r.changed() {
			t.Errorf("scan after: %+v, want nothing", r)
		}
	})
}

// TestDeletedFirst has a slide arrive again whose first copy was deleted in the
// catalog, and whose file still exists or is lost.
func TestDeletedFirst(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost: ", lost), func(t *testing.T) {
			h := newHouse(t, "", "")
			h.imported("a.tiff")
			first := h.only()
			h.arrive("b.tiff", slidetest.Pyramid{}.Bytes())
			h.later(time.Minute)
			h.scan(Options{})
			second, err := h.Catalog.Images.ByPath(t.Context(), h.store, "incoming/b.tiff")
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Catalog.Images.Delete(t.Context(), first.ID); err != nil {
				t.Fatal(err)
			}
			want := []string{first.Path, "trash/.tiff"}
			if lost {
				h.remove(first.Path)
				want = want[:1]
			}
			r, err := h.Import(t.Context(), second.ID, nil)
			if err != nil || r.Duplicate || r.Image != second.ID {
				t.Errorf("%+v, %v, want it imported as the image it is", r, err)
			}
			h.wantFiles(want...)
			if r := h.scan(Options{}); r.changed() {
				t.Errorf("next scan: %+v, want nothing", r)
			}
		})
	}
}

// TestStagedIsIncoming interrupts an import after its first step, while another process
// does the imports.
func TestStagedIsIncoming(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
	h.later(time.Minute)
	h.scan(Options{})
	im := h.only()
	if err := managed.WriteSidecar(&catalog.Store{Root: h.root}, managed.Staging+im.ID+".tiff", managed.MovedFrom(im)); err != nil {
		t.Fatal(err)
	}
	h.rename(h.path(im.Path), h.path(managed.Staging+im.ID+".tiff"))
	var arrived []string
	h.Arrived = func(image string) { arrived = append(arrived, image) }
	h.scan(Options{})
	im = h.only()
	st, err := h.Catalog.Stores.Get(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	if !managed.AwaitsImport(st, im) || len(arrived) != 1 || arrived[0] != im.ID || im.State != catalog.Available {
		t.Errorf("%s at %q, handed over: %q; want it to be imported", im.State, im.Path, arrived)
	}
	if _, err := h.Import(t.Context(), im.ID, nil); err != nil {
		t.Error(err)
	}
	h.wantFiles(managed.SlidePath(digestOf(slidetest.Pyramid{}.Bytes())))
}

// TestInPlaceIsNotWritten removes, restores and retries images of an in-place store.
func TestInPlaceIsNotWritten(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	ctx := t.Context()
	st.write("a.tiff", slidetest.Pyramid{}.Bytes())
	st.write("b.tiff", slidetest.Pyramid{Seed: 1}.Bytes()[:7000])
	st.later(time.Hour)
	st.scan(Options{})
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Broken})
	list := func() (names []string) {
		entries, err := os.ReadDir(st.root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before, a, b := list(), st.image("a.tiff"), st.image("b.tiff")
	if err := st.Remove(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	st.scan(Options{})
	if _, err := st.Catalog.Images.Get(ctx, a.ID); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("removed: %v, want %v", err, catalog.ErrNotFound)
	}
	if n, err := st.emptyTrash(); n != 0 || err != nil {
		t.Errorf("trash: %d, %v, want none", n, err)
	}
	if err := st.Restore(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Catalog.Images.Get(ctx, a.ID); err != nil {
		t.Errorf("restored: %v", err)
	}
	if _, err := st.Import(ctx, a.ID, nil); !errors.Is(err, managed.ErrNotReady) {
		t.Errorf("import: %v, want %v", err, managed.ErrNotReady)
	}
	if err := os.WriteFile(st.path("b.tiff"), slidetest.Pyramid{Seed: 1}.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	st.later(time.Hour)
	if err := st.Retry(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available})
	if err := st.Retry(ctx, "nobody"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("retry of nobody: %v, want %v", err, catalog.ErrNotFound)
	}
	if diff := cmp.Diff(before, list()); diff != "" {
		t.Errorf("folder (-want +got):\n%s", diff)
	}
}

// emptyTrash empties the trash as a scan does, and returns how many files it removed.
func (st *site) emptyTrash() (int, error) {
	st.t.Helper()
	store, err := st.Catalog.Stores.Get(st.t.Context(), st.store)
	if err != nil || store.Mode != catalog.Managed {
		return 0, err
	}
	p, err := st.begin(store, st.folder(st.store), Options{})
	if err != nil {
		return 0, err
	}
	defer p.src.Close()
	return st.managedStore(store).EmptyTrash(st.t.Context(), p.c)
}

func TestEmptyTrash(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	ctx := t.Context()
	h.imported("a.tiff", "b.tiff")
	all := h.images()
	empty := func(want int) {
		t.Helper()
		if n, err := h.emptyTrash(); err != nil || n != want {
			t.Errorf("%d files, %v, want %d", n, err, want)
		}
	}
	if err := h.Remove(ctx, all[0].ID); err != nil {
		t.Fatal(err)
	}
	h.later(20 * 24 * time.Hour)
	if err := h.Remove(ctx, all[1].ID); err != nil {
		t.Fatal(err)
	}
	empty(0)
	h.later(-40 * 24 * time.Hour)
	empty(0)
	h.later(51 * 24 * time.Hour)
	empty(1)
	h.wantFiles("trash/.tiff")
	if err := h.Restore(ctx, all[0].ID); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("restore after the trash was emptied: %v, want %v", err, catalog.ErrNotFound)
	}
	// The same slide arrives again while the first is in the trash.
	h.arrive("c.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	h.arrive("d.tiff", slidetest.Pyramid{Seed: 0}.Bytes())
	h.later(time.Minute)
	if r := h.scan(Options{Import: true}); r.Imported != 2 {
		t.Errorf("%+v, want 2 imported", r)
	}
	if err := h.Restore(ctx, all[1].ID); !errors.Is(err, managed.ErrInTheWay) {
		t.Errorf("restore of what came again: %v, want %v", err, managed.ErrInTheWay)
	}
	h.later(40 * 24 * time.Hour)
	h.scan(Options{})
	empty(0) // the scan did
	h.wantFiles(managed.SlidePath(digestOf(slidetest.Pyramid{}.Bytes())), managed.SlidePath(digestOf(slidetest.Pyramid{Seed: 1}.Bytes())))
	if got := len(h.images()); got != 2 {
		t.Errorf("%d images, want 2", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	at := func(name string) string { return filepath.Join(h.in, name) }
	h.arrive("real/a.tiff", slidetest.Pyramid{}.Bytes())
	if err := errors.Join(os.Symlink(at("real/a.tiff"), at("l.tiff")), syscall.Mkfifo(at("p.tiff"), 0o644), os.Mkdir(at("d.tiff"), 0o755)); err != nil {
		t.Fatal(err)
	}
	h.arrive("d.tiff/b.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	h.later(time.Minute)
	r := h.scan(Options{Import: true})
	var words []string
	for _, f := range r.Failed {
		words = append(words, f.Reason)
	}
	for _, what := range []string{"a symbolic link", "a named pipe", "a folder"} {
		if !strings.Contains(strings.Join(words, "\n"), what) {
			t.Errorf("%q, want that one is %s", words, what)
		}
	}
	if r.Imported != 1 || len(r.Failed) != 3 || strings.Contains(strings.Join(words, ""), ".tiff") {
		t.Errorf("%+v, want 1 imported, 3 refused, and no names", r)
	}
}

// TestImportReplaced imports files that have changed since their inspection.
func TestImportReplaced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(h *house, at string)
		want error
	}{
		{"replaced", func(h *house, at string) {
			h.arrive("x", slidetest.Pyramid{Seed: 4}.Bytes())
			h.rename(filepath.Join(h.in, "x"), at)
		}, managed.ErrReplaced},
		{"written to", func(_ *house, at string) { os.WriteFile(at, slidetest.Pyramid{Seed: 4}.Bytes(), 0o644) }, managed.ErrReplaced},
		{"gone", func(_ *house, at string) { os.Remove(at) }, managed.ErrReplaced},
		{"a link now", func(h *house, at string) { os.Remove(at); os.Symlink(h.outside("x", slidetest.Pyramid{}.Bytes()), at) }, managed.ErrReplaced},
		{"another process works on it", func(h *house, at string) {
			f, err := os.Open(at)
			if err != nil || !fsx.TryLock(f) {
				h.t.Fatal(err)
			}
			h.t.Cleanup(func() { f.Close() })
		}, ErrBusy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, h *house) {
				h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
				h.later(time.Minute)
				h.scan(Options{})
				im := h.only()
				tt.do(h, filepath.Join(h.in, "a.tiff"))
				before := h.files()
				if _, err := h.Import(t.Context(), im.ID, nil); !errors.Is(err, tt.want) || strings.Contains(fmt.Sprint(err), "a.tiff") {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if diff := cmp.Diff(before, h.files()); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestReplacedWhileHashed writes to the file, or replaces it, while it is read.
func TestReplacedWhileHashed(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"written to", "replaced"} {
		t.Run(how, func(t *testing.T) {
			onEach(t, func(t *testing.T, h *house) {
				h.arrive("sub/a.tiff", slidetest.Pyramid{}.Bytes())
				f, err := os.OpenFile(filepath.Join(h.in, "sub/a.tiff"), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				h.later(time.Minute)
				h.scan(Options{})
				im := h.only()
				next := slidetest.Pyramid{Seed: 50}.Bytes()
				_, err = h.Import(t.Context(), im.ID, func(done, total int64) {
					if how == "written to" {
						if _, err := f.WriteAt(next, 0); err != nil {
							t.Error(err)
						}
					} else {
						h.arrive("new", next)
						h.rename(filepath.Join(h.in, "new"), filepath.Join(h.in, "sub/a.tiff"))
					}
				})
				taken := how == "replaced" && !strings.Contains(h.in, "/dev/shm")
				if taken != (err == nil) || err != nil && !errors.Is(err, managed.ErrReplaced) {
					t.Errorf("%v, want %v", err, managed.ErrReplaced)
				}
				h.later(time.Hour)
				h.scan(Options{Import: true})
				h.later(time.Minute)
				h.scan(Options{Import: true})
				want := []string{managed.SlidePath(digestOf(next))}
				if taken {
					want = append(want, managed.SlidePath(digestOf(slidetest.Pyramid{}.Bytes())))
				}
				h.wantFiles(want...)
				for path, state := range h.states() {
					if state != catalog.Available || !slices.Contains(want, path) {
						t.Errorf("%q is %s, want the slides only", path, state)
					}
				}
			})
		})
	}
}

// TestImportOddNames imports files with unusual names.
func TestImportOddNames(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, h *house) {
		names := []string{"\xff\xfe.tiff", "a\nb.tiff", strings.Repeat("n", 250) + ".tiff", "incoming/slides/x.tiff", "-rf *.tiff"}
		h.imported(names...)
		if got := len(h.images()); got != len(names) {
			t.Errorf("%d images, want %d", got, len(names))
		}
		if r := h.scan(Options{}); r.changed() {
			t.Errorf("%+v, want nothing", r)
		}
	})
}

// TestLinkedFile imports a file with a second name, through which it could be written
// to.
func TestLinkedFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.arrive("a.tiff", slidetest.Pyramid{}.Bytes())
	other := h.root + ".other"
	if err := os.Link(filepath.Join(h.in, "a.tiff"), other); err != nil {
		t.Fatal(err)
	}
	h.later(time.Minute)
	h.scan(Options{Import: true})
	if err := os.WriteFile(other, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, filepath.Join(h.root, h.only().Path)); !bytes.Equal(got, (slidetest.Pyramid{}.Bytes())) {
		t.Error("a write under the second name changed the slide")
	}
}

// TestDiskFull has a store on a disk that is too small.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=96k"); err != nil {
		t.Skip("no disk can be mounted: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	h := newHouse(t, "", "")
	ctx := t.Context()
	st, err := h.Catalog.Stores.Put(ctx, catalog.Store{Mode: catalog.Managed, Root: filepath.Join(dir, "store"), Incoming: h.root + ".in"})
	if err != nil {
		t.Fatal(err)
	}
	if err := managed.Prepare(ctx, st); err != nil {
		t.Fatal(err)
	}
	h.store, h.root, h.in = st.ID, st.Root, st.Incoming
	data := append(slidetest.Pyramid{}.Bytes(), make([]byte, 200<<10)...)
	h.arrive("a.tiff", data)
	h.later(time.Minute)
	r := h.scan(Options{Import: true})
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Reason, ErrFull.Error()) {
		t.Errorf("%+v, want %v", r, ErrFull)
	}
	h.wantFiles("incoming/a.tiff")
	h.want(map[string]catalog.State{"incoming/a.tiff": catalog.Available})
}

// TestManagedDryRun has work of every kind to do, and expects no change.
func TestManagedDryRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	ctx := t.Context()
	h.imported("a.tiff", "b.tiff", "c.tiff", "d.tiff")
	all := h.images()
	h.remove(all[0].Path)
	if err := h.Catalog.Images.Drop(ctx, all[1].ID); err != nil {
		t.Fatal(err)
	}
	if err := h.Catalog.Images.Delete(ctx, all[2].ID); err != nil {
		t.Fatal(err)
	}
	h.arrive("new.tiff", slidetest.Pyramid{Seed: 10}.Bytes())
	h.arrive("begun.tiff", slidetest.Pyramid{Seed: 11}.Bytes())
	h.later(time.Minute)
	h.scan(Options{})
	if err := h.Catalog.Images.Drop(ctx, all[1].ID); err != nil {
		t.Fatal(err)
	}
	h.arrive("newer.tiff", slidetest.Pyramid{Seed: 12}.Bytes())
	h.later(time.Minute)
	begun, err := h.Catalog.Images.ByPath(ctx, h.store, "incoming/begun.tiff")
	if err != nil {
		t.Fatal(err)
	}
	h.rename(h.path("incoming/begun.tiff"), h.path(managed.Staging+begun.ID+".tiff"))
	files, images := h.files(), h.images()
	r := h.scan(Options{DryRun: true, Import: true})
	if diff := cmp.Diff(files, h.files()); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(images, h.images()); diff != "" {
		t.Errorf("images (-before +after):\n%s", diff)
	}
	if r.Added != 2 || r.Imported != 2 || r.Missing != 0 {
		t.Errorf("%+v, want 2 added (one of them a slide that was forgotten) and 2 imported", r)
	}
}

// TestClockBackwards sets the clock back between each step.
func TestClockBackwards(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	h.imported("a.tiff")
	h.later(-48 * time.Hour)
	h.arrive("b.tiff", slidetest.Pyramid{Seed: 3}.Bytes())
	h.scan(Options{})
	h.later(-48 * time.Hour)
	if r := h.scan(Options{Import: true}); r.Missing+len(r.Failed) > 0 {
		t.Errorf("%+v, want nothing lost", r)
	}
	h.later(97 * time.Hour)
	h.scan(Options{Import: true})
	h.later(-48 * time.Hour)
	for _, im := range h.images() {
		if !strings.HasPrefix(im.Path, managed.Slides) || im.State != catalog.Available {
			t.Errorf("%s at %q, want it imported", im.State, im.Path)
		}
		if err := errors.Join(h.Remove(t.Context(), im.ID), h.Restore(t.Context(), im.ID)); err != nil {
			t.Error(err)
		}
	}
	if r := h.scan(Options{Resync: true}); r.Missing+len(r.Failed) > 0 || r.Count != 2 {
		t.Errorf("%+v, want both as they were", r)
	}
}

func TestManagedNoNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "", "")
	var log bytes.Buffer
	h.Log = slog.New(slog.NewTextHandler(&log, nil))
	h.arrive("SECRET-a.tiff", slidetest.Pyramid{}.Bytes())
	h.arrive("SECRET-b.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	h.later(time.Hour)
	r := h.scan(Options{Import: true})
	logResult(h.Log, h.store, &r)
	im := h.images()[0]
	if err := os.Chmod(filepath.Join(h.root, "trash"), 0); err != nil {
		t.Fatal(err)
	}
	err := h.Remove(t.Context(), im.ID)
	if s := fmt.Sprint(r, err, log.String()); strings.Contains(s, "SECRET") || strings.Contains(s, "secret") {
		t.Errorf("a name in %s", s)
	}
}
