package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// settled returns a site with available files of these names.
func settled(t *testing.T, names ...string) *site {
	t.Helper()
	st := newSite(t)
	for i, n := range names {
		st.write(n, slidetest.Pyramid{Seed: uint8(i)}.Bytes())
	}
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Count != len(names) || r.Added != len(names) || r.Arriving != 0 {
		t.Fatalf("first scan: %+v, want %d added", r, len(names))
	}
	return st
}

func (st *site) remove(names ...string) {
	st.t.Helper()
	for _, n := range names {
		if err := os.Remove(st.path(n)); err != nil {
			st.t.Fatal(err)
		}
	}
}

// want compares the states of all files.
func (st *site) want(want map[string]catalog.State) {
	st.t.Helper()
	if diff := cmp.Diff(want, st.states()); diff != "" {
		st.t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestSyncAdds(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b/c/d.TIF")
	st.write("b/notes.txt", []byte("no slide"))
	if r := st.scan(Options{}); r.changed() || r.Count != 2 {
		t.Errorf("second scan: %+v, want nothing", r)
	}
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "b/c/d.TIF": catalog.Available})
	im := st.image("b/c/d.TIF")
	id, err := fsx.StatIn(-100, st.path("b/c/d.TIF"))
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Description{
		FileName: "d.TIF", Format: "generic", Width: 150, Height: 130, TileWidth: 64, TileHeight: 64, MaxZoom: 2,
		Levels: []catalog.Level{
			{Width: 150, Height: 130, TileWidth: 64, TileHeight: 64, Columns: 3, Rows: 3, Downsample: 1},
			{Width: 75, Height: 65, TileWidth: 64, TileHeight: 64, Columns: 2, Rows: 2, Downsample: 2},
			{Width: 37, Height: 32, TileWidth: 64, TileHeight: 64, Columns: 1, Rows: 1, Downsample: 4},
		},
		Profile: &catalog.ColorProfile{None: true},
	}
	opt := cmpopts.IgnoreFields(catalog.Description{}, "FirstSeen", "LastChange", "Properties")
	if diff := cmp.Diff(want, im.Description, opt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	if im.Identity != id || im.Revision != id.Revision() {
		t.Errorf("identity %+v, revision %s; the file's is %+v", im.Identity, im.Revision, id)
	}
}

// TestSyncRecordsThatNothingChanged syncs twice within seconds: the second sync must be
// recorded as the last one.
func TestSyncRecordsThatNothingChanged(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	st.later(time.Second)
	st.scan(Options{})
	s, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	if !s.LastSync.Equal(st.now) {
		t.Errorf("last sync at %v, want %v", s.LastSync, st.now)
	}
}

func TestSyncRecordsItself(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	s, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	if s.LastSync == nil || !s.LastSync.Equal(st.now) {
		t.Errorf("last sync at %v, want %v", s.LastSync, st.now)
	}
	var got map[string]any
	if err := json.Unmarshal(s.LastResult, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"count": 1.0, "added": 1.0, "missing": 0.0, "failed": []any{}} {
		if diff := cmp.Diff(want, got[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if s.RootID.Ino == 0 {
		t.Error("the folder's identity is not recorded")
	}
}

func TestSyncMissesAndFindsAgain(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff")
	before := st.image("a.tiff")
	whole, err := os.ReadFile(st.path("a.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	st.remove("a.tiff")
	if r := st.scan(Options{}); r.Missing != 1 || r.Count != 1 {
		t.Errorf("scan after the removal: %+v, want 1 missing", r)
	}
	st.want(map[string]catalog.State{"a.tiff": catalog.Missing, "b.tiff": catalog.Available})
	if im := st.image("a.tiff"); im.MissingSince == nil || !im.MissingSince.Equal(st.now) || im.Width != 150 {
		t.Errorf("missing since %v and %d wide, want since %v, and what was known kept", im.MissingSince, im.Width, st.now)
	}
	if r := st.scan(Options{}); r.changed() {
		t.Errorf("scan after that: %+v, want nothing", r)
	}
	st.write("a.tiff", whole)
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Returned != 1 || r.Added != 0 {
		t.Errorf("scan after the return: %+v, want 1 returned", r)
	}
	im := st.image("a.tiff")
	if im.State != catalog.Available || im.ID != before.ID || im.MissingSince != nil {
		t.Errorf("state %s, id %s, missing since %v; want available under the id %s", im.State, im.ID, im.MissingSince, before.ID)
	}
}

// TestSyncUpdates replaces a slide by another. Annotations by people are kept, data of
// the old file is not.
func TestSyncUpdates(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	before := st.image("a.tiff")
	label, barcode, digest := "L", "B", "D"
	before.Label, before.Barcode, before.BarcodeSource, before.Digest = &label, &barcode, inspect.FromLabel, &digest
	if err := st.Catalog.Images.Put(t.Context(), []*catalog.Image{before}); err != nil {
		t.Fatal(err)
	}
	st.later(time.Minute)
	st.write("a.tiff", slidetest.Pyramid{Seed: 77, Tail: true}.Bytes())
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Updated != 1 {
		t.Errorf("%+v, want 1 updated", r)
	}
	im := st.image("a.tiff")
	if im.ID != before.ID || im.Revision == before.Revision {
		t.Errorf("id %s, revision %s; want the id %s and a revision other than %s", im.ID, im.Revision, before.ID, before.Revision)
	}
	if im.Label == nil || *im.Label != label || im.Barcode != nil || im.Digest != nil {
		t.Errorf("label %v, barcode %v, digest %v; want the label only", im.Label, im.Barcode, im.Digest)
	}
}

func TestResync(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	before := st.image("a.tiff")
	spoiled := *before
	barcode := "read off the label"
	spoiled.Width, spoiled.Levels = 1, nil
	spoiled.Barcode, spoiled.BarcodeSource = &barcode, inspect.FromLabel
	if err := st.Catalog.Images.Put(t.Context(), []*catalog.Image{&spoiled}); err != nil {
		t.Fatal(err)
	}
	if r := st.scan(Options{}); r.changed() {
		t.Fatalf("scan: %+v, want nothing", r)
	}
	if r := st.scan(Options{Resync: true}); r.Updated != 1 {
		t.Errorf("resync: %+v, want 1 updated", r)
	}
	im := st.image("a.tiff")
	if im.ID != before.ID || im.Width != 150 || len(im.Levels) != 3 || im.Barcode == nil {
		t.Errorf("after a resync: id %s, %d wide, %d levels, barcode %v; want it rebuilt where it stood", im.ID, im.Width, len(im.Levels), im.Barcode)
	}
}

// TestJPEG2000 scans a slide of JPEG 2000. If a build that does not read it has recorded it as
// unsupported, one that does corrects that in its next scan, without a resync.
func TestJPEG2000(t *testing.T) {
	t.Parallel()
	tile, err := os.ReadFile("../jpeg2000/testdata/rgb.j2k")
	if err != nil {
		t.Fatal(err)
	}
	st := newSite(t)
	st.write("a.tiff", slidetest.Level{Width: 180, Height: 150, TileWidth: 96, TileHeight: 80, Codec: 33005, Photometric: 2, Tile: tile}.Bytes())
	want := catalog.Unsupported
	if inspect.ReadsJPEG2000() {
		want = catalog.Available
	}
	for range 2 {
		st.later(time.Hour)
		st.scan(Options{})
	}
	im := st.image("a.tiff")
	if im.State != want || im.Width != 180 {
		t.Fatalf("%s, %s, %d wide; want %s", im.State, im.Reason, im.Width, want)
	}
	im.State, im.Reason = catalog.Unsupported, "compression 33005 "+catalog.NotJPEG2000+" is not supported"
	if err := st.Catalog.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{im.Reason, ""} {
		st.later(time.Hour)
		st.scan(Options{})
		if want == catalog.Unsupported && reason == "" {
			return
		}
		if got := st.image("a.tiff"); got.State != want || want == catalog.Unsupported && got.Reason != reason {
			t.Errorf("after another scan: %s, %s; want %s", got.State, got.Reason, want)
		}
	}
	if r := st.scan(Options{}); r.changed() {
		t.Errorf("the next scan: %+v, want nothing", r)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff", "c.tiff")
	st.remove("a.tiff")
	st.later(time.Minute)
	st.write("b.tiff", slidetest.Pyramid{Seed: 50}.Bytes()[:5000])
	st.write("d.tiff", slidetest.Pyramid{Seed: 60}.Bytes())
	st.later(time.Minute)
	dry := st.scan(Options{DryRun: true})
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available, "c.tiff": catalog.Available})
	wet := st.scan(Options{})
	st.want(map[string]catalog.State{"a.tiff": catalog.Missing, "b.tiff": catalog.Arriving, "c.tiff": catalog.Available, "d.tiff": catalog.Available})
	if wet.Added != 1 || wet.Updated != 1 || wet.Missing != 1 || wet.Arriving != 1 {
		t.Errorf("%+v, want 1 added, updated, missing and arriving", wet)
	}
	if diff := cmp.Diff(wet, dry, cmpopts.IgnoreFields(Result{}, "Duration", "Next")); diff != "" {
		t.Errorf("result of the scan and of the dry run (-scan +dry run):\n%s", diff)
	}
}

// TestOddNames scans files whose names are not text, and expects links not to be
// followed.
func TestOddNames(t *testing.T) {
	t.Parallel()
	names := []string{"\xff\xfe\x80.tiff", "new\nline.tiff", "-rf.tiff", "a b's \"c\".tiff", "日本.tiff", "%2e%2e.tiff", strings.Repeat("x", 250) + ".tiff", "d\xe4r/ä.tiff"}
	st := settled(t, names...)
	want := map[string]catalog.State{}
	for _, n := range names {
		want[n] = catalog.Available
	}
	st.want(want)
	if got, want := st.image(names[0]).FileName, "\uFFFD.tiff"; got != want {
		t.Errorf("file name %q, want %q", got, want)
	}
	st.remove(names[0])
	st.scan(Options{})
	if got := st.image(names[0]).State; got != catalog.Missing {
		t.Errorf("after its removal: %s", got)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b/c.tiff")
	outside := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "out.tiff"), slidetest.Pyramid{}.Bytes(), 0o644),
		os.Symlink(filepath.Join(outside, "out.tiff"), st.path("link.tiff")),
		os.Symlink(outside, st.path("b/outside")),
		os.Symlink(st.root, st.path("b/loop")),
		os.Symlink("..", st.path("b/up")),
		os.Symlink("self.tiff", st.path("self.tiff")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Count != 2 || r.changed() || r.Links != 2 {
		t.Errorf("%+v, want 2 slides as before, and 2 links with the name of a slide", r)
	}
}

// TestReplacedByLink replaces a slide by a link. The slide is missing, and the link's
// target is not read.
func TestReplacedByLink(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff")
	other := filepath.Join(t.TempDir(), "other.tiff")
	if err := os.Rename(st.path("a.tiff"), other); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, st.path("a.tiff")); err != nil {
		t.Fatal(err)
	}
	st.scan(Options{})
	st.want(map[string]catalog.State{"a.tiff": catalog.Missing})
}

func TestNestedTooDeep(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", source.MaxDepth) + "a.tiff"
	st := settled(t, deep)
	st.write(strings.Repeat("d/", source.MaxDepth+1)+"b.tiff", slidetest.Pyramid{}.Bytes())
	r := st.scan(Options{})
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Reason, "nested deeper") {
		t.Errorf("failed: %v, want the folder that is too deep", r.Failed)
	}
	st.want(map[string]catalog.State{deep: catalog.Available})
}

func TestRootVanishes(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff")
	last, err := st.Catalog.Stores.Get(t.Context(), st.store)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available}
	away := st.root + ".away"
	if err := os.Rename(st.root, away); err != nil {
		t.Fatal(err)
	}
	st.later(time.Hour)
	if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("no folder: %v, want %v", err, ErrNoRoot)
	}
	st.want(all)

	// This is a mount point without its disk.
	if err := os.Mkdir(st.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("an empty folder in its place: %v, want %v", err, ErrOtherRoot)
	}
	st.want(all)
	st.write("other.tiff", slidetest.Pyramid{Seed: 99}.Bytes())
	if _, err := st.Sync(t.Context(), st.store, Options{}); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("another folder in its place: %v, want %v", err, ErrOtherRoot)
	}
	st.want(all)
	if now, err := st.Catalog.Stores.Get(t.Context(), st.store); err != nil || !now.LastSync.Equal(*last.LastSync) {
		t.Errorf("last sync at %v (%v), want %v: no scan was completed", now.LastSync, err, last.LastSync)
	}

	if err := os.RemoveAll(st.root); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, st.root); err != nil {
		t.Fatal(err)
	}
	if r := st.scan(Options{}); r.changed() {
		t.Errorf("the folder is back: %+v, want nothing to do", r)
	}
}

// TestRootIsRestored replaces the folder by a copy: its identity is another, its slides
// are the same.
func TestRootIsRestored(t *testing.T) {
	t.Parallel()
	st := settled(t, "a.tiff", "b.tiff", "c.tiff")
	old := st.root + ".old"
	if err := os.Rename(st.root, old); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a.tiff", "b.tiff"} {
		b, err := os.ReadFile(filepath.Join(old, n))
		if err != nil {
			t.Fatal(err)
		}
		st.write(n, b)
		id := st.image(n).Identity
		if err := os.Chtimes(st.path(n), time.Unix(0, id.MTime), time.Unix(0, id.MTime)); err != nil {
			t.Fatal(err)
		}
	}
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Missing != 1 || r.Updated != 2 {
		t.Errorf("%+v, want 2 updated and 1 missing", r)
	}
	if r := st.scan(Options{}); r.changed() {
		t.Errorf("then: %+v, want nothing", r)
	}
}

func TestManyMissing(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("%02d.tiff", i))
	}
	st := settled(t, names...)
	count := func(state catalog.State) (n int) {
		for _, s := range st.states() {
			if s == state {
				n++
			}
		}
		return n
	}
	st.remove(names[:8]...)
	if r := st.scan(Options{}); r.Missing != 8 {
		t.Fatalf("%+v, want 8 missing", r)
	}
	// Removing slides one by one counts like removing them at once.
	st.remove(names[8:20]...)
	st.write("new.tiff", slidetest.Pyramid{Seed: 40}.Bytes())
	st.later(time.Minute)
	r, err := st.Sync(t.Context(), st.store, Options{})
	if !errors.Is(err, ErrManyMissing) || !strings.Contains(err.Error(), "20 of 30") {
		t.Errorf("two thirds gone: %v, want %v (20 of 30)", err, ErrManyMissing)
	}
	if got := ErrorCode(err); got != "too_many_missing" {
		t.Errorf("error code %q, want too_many_missing", got)
	}
	if r.Added != 1 || count(catalog.Missing) != 8 {
		t.Errorf("%+v and %d missing, want the new slide added and none more missing", r, count(catalog.Missing))
	}
	if r := st.scan(Options{Confirm: true}); r.Missing != 12 {
		t.Errorf("confirmed: %+v, want 12 missing", r)
	}
	st.later(time.Hour)
	st.remove(names[20:25]...)
	if r := st.scan(Options{}); r.Missing != 5 {
		t.Errorf("an hour later: %+v, want 5 missing", r)
	}
}

// TestFailuresStopNothing has every kind of file in one folder.
func TestFailuresStopNothing(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.write("broken.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.write("empty.tiff", nil)
	st.write("strips.tiff", slidetest.Pyramid{Striped: true}.Bytes())
	st.write("whole.tiff", slidetest.Pyramid{}.Bytes())
	st.write("zeros.tiff", make([]byte, 4096))
	st.later(time.Hour)
	r := st.scan(Options{})
	st.want(map[string]catalog.State{
		"broken.tiff": catalog.Broken, "empty.tiff": catalog.Broken, "strips.tiff": catalog.Unsupported,
		"whole.tiff": catalog.Available, "zeros.tiff": catalog.Broken,
	})
	if len(r.Failed) != 4 || r.Added != 5 {
		t.Errorf("added %d, failed %v; want 5 added, 4 of them failed", r.Added, r.Failed)
	}
	for _, f := range r.Failed {
		if f.Image == "" || f.Reason == "" {
			t.Errorf("failure %+v: want an image and a reason", f)
		}
	}
}

// TestNoNamesInLogs causes errors of all kinds and searches the log for file names.
func TestNoNamesInLogs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	st := newSite(t)
	st.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st.write("Doe_John/broken.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.write("Doe_John/whole.tiff", slidetest.Pyramid{}.Bytes())
	st.later(time.Hour)
	st.scan(Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	NewWatcher(st.Syncer, st.store).Run(ctx)
	st.remove("Doe_John/whole.tiff", "Doe_John/broken.tiff")
	st.remove("Doe_John")
	if err := os.Rename(st.root, st.root+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Sync(t.Context(), st.store, Options{}); strings.Contains(err.Error(), st.root) {
		t.Errorf("the error names the folder: %v", err)
	}
	if strings.Contains(log.String(), "Doe") || strings.Contains(log.String(), ".tiff") {
		t.Errorf("the log names files:\n%s", log.String())
	}
}
