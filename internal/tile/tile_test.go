package tile_test

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

var store = &tile.Store{ID: "s", Background: color.RGBA{255, 255, 255, 255}, Origin: slide.TopLeft}

// serve returns a server with n slides of the same bytes. It renders nothing, unless o has
// Render.
func serve(t testing.TB, o tile.Options, n int) (*tile.Server, []string) {
	t.Helper()
	if o.Render == nil {
		o.Render = func(context.Context, tile.RenderRequest) ([]byte, error) {
			return nil, errors.New("nothing is made here")
		}
	}
	o.Blank = func(int, int, color.RGBA) ([]byte, error) { return []byte("blank"), nil }
	s := tile.New(o)
	t.Cleanup(s.Close)
	first := filepath.Join(t.TempDir(), "0.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 275, Height: 225, TileSize: 64, MPPX: 1}).Write(first); err != nil {
		t.Fatal(err)
	}
	paths := []string{first}
	for i := 1; i < n; i++ {
		p := filepath.Join(filepath.Dir(first), fmt.Sprint(i, ".tiff"))
		if err := os.Link(first, p); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	identity, err := fsx.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, p := range paths {
		id := fmt.Sprint("image", i)
		s.Put(tile.File{ID: id, Store: store, Path: p, Name: filepath.Base(p), Revision: identity.Revision(), Identity: identity})
		ids = append(ids, id)
	}
	return s, ids
}

func readTile(t testing.TB, s *tile.Server, id string) {
	t.Helper()
	im, err := s.Image(id)
	if err != nil {
		t.Fatal(err)
	}
	a, err := im.Tile(t.Context(), &tile.Address{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Body) == 0 {
		t.Fatal("an empty answer")
	}
	a.Release()
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("only Linux says which files are open")
	}
	return len(list)
}

// The number of open slides never exceeds the limit, and closed slides are closed.
func TestBoundOfOpenFiles(t *testing.T) {
	const bound = 5
	s, ids := serve(t, tile.Options{MaxFiles: bound}, 60)
	before := openFiles(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, id := range ids {
				readTile(t, s, id)
			}
		})
	}
	wg.Wait()
	if n := s.Stats().OpenFiles; n > bound {
		t.Errorf("%d slides are open, the bound is %d", n, bound)
	}
	if n := openFiles(t) - before; n > bound {
		t.Errorf("%d files are open, the bound is %d", n, bound)
	}
	s.Close()
	if n := openFiles(t) - before; n > 0 {
		t.Errorf("%d files are open after Close", n)
	}
}

func TestBoundOfMemory(t *testing.T) {
	const bound = 40 << 10
	s, ids := serve(t, tile.Options{MaxBytes: bound}, 50)
	for _, id := range ids {
		readTile(t, s, id)
	}
	if st := s.Stats(); st.OpenBytes > bound || st.OpenFiles == 0 {
		t.Errorf("%d slides hold %d bytes, the bound is %d", st.OpenFiles, st.OpenBytes, bound)
	}
}

func TestOpenedOnce(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	before := openFiles(t)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { readTile(t, s, ids[0]) })
	}
	wg.Wait()
	if n := openFiles(t) - before; n != 1 {
		t.Errorf("one slide is open %d times", n)
	}
	if st := s.Stats(); st.OpenFiles != 1 || st.Opened != 1 || st.Evicted != 0 || st.MaxFiles == 0 || st.MaxBytes == 0 {
		t.Errorf("figures %+v, want one slide opened", st)
	}
}

// Serving a stored tile allocates its ETag and no more than that.
func TestTileAllocations(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	readTile(t, s, ids[0])
	im, err := s.Image(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	a := &tile.Address{Z: 2, X: 1, Y: 1}
	n := testing.AllocsPerRun(200, func() {
		ans, err := im.Tile(t.Context(), a, "")
		if err != nil {
			t.Fatal(err)
		}
		ans.Release()
	})
	if n > 2 && !raceEnabled() {
		t.Errorf("a tile takes %v allocations, want 2 at most", n)
	}
}

// raceEnabled reports whether the race detector is in use: pools then drop items at random.
func raceEnabled() bool {
	var p sync.Pool
	for range 100 {
		p.Put(new(int))
		if p.Get() == nil {
			return true
		}
	}
	return false
}

// TestByNameInStore: a slide of the same name in another store does not change the result
// for clients of the first store, so they cannot learn about it.
func TestByNameInStore(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	im, _ := s.Image(ids[0])
	twin, other := im.File, *im.File.Store
	other.ID = "other"
	twin.ID, twin.Store = "twin", &other
	ask := func() (got []string) {
		for _, store := range []string{im.File.Store.ID, "other", "none", ""} {
			found, byFile, err := s.Find(&tile.Request{Store: store, Image: "0.tiff", ByFile: true})
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, fmt.Sprint(found.File.ID, byFile))
		}
		return got
	}
	none, ambiguous := tile.ErrNoImage.Error(), tile.ErrAmbiguous.Error()
	if d := cmp.Diff([]string{ids[0] + "true", none, none, ids[0] + "true"}, ask()); d != "" {
		t.Errorf("one of the name:\n%s", d)
	}
	s.Put(twin)
	if d := cmp.Diff([]string{ids[0] + "true", "twintrue", none, ambiguous}, ask()); d != "" {
		t.Errorf("two of the name:\n%s", d)
	}
	twin.ID = "third"
	s.Put(twin)
	if d := cmp.Diff([]string{ids[0] + "true", ambiguous, none, ambiguous}, ask()); d != "" {
		t.Errorf("two in one store:\n%s", d)
	}
}

// An image is found by its external id if that is an ObjectId, and in its store and its former
// stores by their ids and external ids.
func TestByObjectID(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 2)
	first, _ := s.Image(ids[0])
	f, in := first.File, *first.File.Store
	const oid, storeOID = "5356d8b9e67655244bf3273a", "4e695114587718175c000006"
	in.ExternalID = storeOID
	f.Store, f.ExternalID, f.FormerStores = &in, oid, "old 5074589302e31023d4292d97"
	s.Put(f)
	second, _ := s.Image(ids[1])
	g := second.File
	g.ExternalID = "S26-1"
	s.Put(g)
	for _, tt := range []struct{ store, image, want string }{
		{"", oid, ids[0]},
		{"", "5356D8B9E67655244BF3273A", ids[0]},
		{in.ID, oid, ids[0]},
		{storeOID, oid, ids[0]},
		{"old", oid, ids[0]},
		{"5074589302e31023d4292d97", oid, ids[0]},
		{storeOID, ids[0], ids[0]},
		{storeOID, "0.tiff", ids[0] + " by file"},
		{"old", "0.tiff", ids[0] + " by file"},
		{"old 5074589302e31023d4292d97", oid, ""},
		{"5356d8b9e67655244bf3273b", oid, ""},
		{"", "5356d8b9e67655244bf3273b", ""},
		{"", "5356d8b9e67655244bf3273", " by file"},
		{"", "S26-1", " by file"}, // such ids may say something about a patient
	} {
		got := ""
		im, byFile, err := s.Find(&tile.Request{Store: tt.store, Image: tt.image, ByFile: true})
		if err == nil {
			got = im.File.ID
		}
		if byFile {
			got += " by file"
		}
		if got != tt.want {
			t.Errorf("store %q, image %q: %q, %v, want %q", tt.store, tt.image, got, err, tt.want)
		}
	}
	if _, _, err := s.Find(&tile.Request{Image: oid}); !errors.Is(err, tile.ErrNoImage) {
		t.Errorf("on a route of ids: %v, want ErrNoImage", err)
	}
	g.ExternalID = oid
	s.Put(g)
	if _, _, err := s.Find(&tile.Request{Image: oid, ByFile: true}); !errors.Is(err, tile.ErrAmbiguous) {
		t.Errorf("two of one id: %v, want ErrAmbiguous", err)
	}
	s.Delete(ids[0])
	if im, _, err := s.Find(&tile.Request{Image: oid, ByFile: true}); err != nil || im.File.ID != ids[1] {
		t.Errorf("after one went: %v, %v", im, err)
	}
}

// TestNamesWhileTheyChange: names are looked up while images of the same name come and go
// (for the race detector).
func TestNamesWhileTheyChange(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	im, _ := s.Image(ids[0])
	twin, other := im.File, *im.File.Store
	other.ID = "other"
	twin.Store = &other
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			twin.ID = fmt.Sprint("twin", i%3)
			s.Put(twin)
			s.Delete(fmt.Sprint("twin", (i+1)%3))
		}
	})
	for range 200 {
		if _, err := s.ImageByName(im.File.Store.ID, "0.tiff"); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestByName(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 2)
	if im, err := s.ImageByName("", "0.tiff"); err != nil || im.File.ID != ids[0] {
		t.Errorf("ImageByName = %v, %v", im, err)
	}
	im, _ := s.Image(ids[1])
	twin := im.File
	twin.ID, twin.Name = "twin", "0.tiff"
	s.Put(twin)
	if _, err := s.ImageByName("", "0.tiff"); !errors.Is(err, tile.ErrAmbiguous) {
		t.Errorf("two images of one name: %v, want ErrAmbiguous", err)
	}
	s.Delete(ids[0])
	if im, err := s.ImageByName("", "0.tiff"); err != nil || im.File.ID != "twin" {
		t.Errorf("after one went: %v, %v", im, err)
	}
	s.Delete("twin")
	if _, err := s.ImageByName("", "0.tiff"); !errors.Is(err, tile.ErrNoImage) {
		t.Errorf("after both went: %v, want ErrNoImage", err)
	}
	if s.Len() != 1 {
		t.Errorf("%d images are known, want 1", s.Len())
	}
}

// A slide on an unavailable disk is not a tile that does not exist.
func TestUnreachable(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	im, _ := s.Image(ids[0])
	if err := os.Remove(im.File.Path); err != nil {
		t.Fatal(err)
	}
	_, err := im.Tile(t.Context(), &tile.Address{}, "")
	if p := tile.Explain(err); !errors.Is(err, tile.ErrUnreachable) || p.Status != 503 || p.RetryAfter == 0 {
		t.Errorf("tile of a file that is away: %v, %+v; want ErrUnreachable and 503", err, p)
	}
}

// BenchmarkTile simulates viewers: tiles of one open slide, on all processors.
func BenchmarkTile(b *testing.B) {
	s, ids := serve(b, tile.Options{}, 1)
	im, err := s.Image(ids[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		a := &tile.Address{Z: 2, X: 1, Y: 1}
		for pb.Next() {
			ans, err := im.Tile(context.Background(), a, "")
			if err != nil {
				b.Error(err)
				return
			}
			ans.Release()
		}
	})
}
