package tile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
)

// A source is a store that is not a folder: an image of 100 × 60 pixels at the foot of a
// square of 128, in tiles of 32.
type source struct {
	reads, opens, closed atomic.Int64
	read                 func(zoom, col, row int) ([]byte, error) // nil: a JPEG of one colour
	open                 func() error
	identity             fsx.Identity
}

func (s *source) Open(context.Context, *File) (Opened, error) {
	s.opens.Add(1)
	if s.open != nil {
		if err := s.open(); err != nil {
			return Opened{}, err
		}
	}
	sl, err := slide.New(slide.Pyramid{
		Format: "test", TileSize: 32, Zooms: 3, Bounds: image.Rect(0, 68, 100, 128),
		AppendTile: func(dst []byte, zoom, col, row int) ([]byte, error) {
			s.reads.Add(1)
			if s.read == nil {
				return append(dst, plain(uint8(zoom<<6|row<<3|col))...), nil
			}
			b, err := s.read(zoom, col, row)
			return append(dst, b...), err
		},
	})
	return Opened{
		Slide: sl, Identity: s.identity, Close: func() { s.closed.Add(1) },
		Explain: func(err error) error {
			if errors.Is(err, errDown) {
				return fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return err
		},
	}, err
}

var errDown = errors.New("the server is down")

// plain returns a JPEG of a tile of one colour.
func plain(grey uint8) []byte {
	m := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range m.Pix {
		m.Pix[i] = grey
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// serveSource returns a server with the image "a" of a source.
func serveSource(t testing.TB, src *source, o Options) *Server {
	t.Helper()
	o.Open = src.Open
	o.Blank = func(w, h int, _ color.RGBA) ([]byte, error) { return fmt.Appendf(nil, "blank %d×%d", w, h), nil }
	if o.Render == nil {
		o.Render = func(context.Context, RenderRequest) ([]byte, error) { return []byte("rendered"), nil }
	}
	s := New(o)
	t.Cleanup(s.Close)
	s.Put(File{ID: "a", Store: &Store{ID: "s", Kind: "mongodb", Origin: slide.BottomLeft}, Path: "5356d8b9e67655244bf3273a", Revision: "r1", Identity: src.identity})
	return s
}

// fetch requests a tile of the image "a".
func fetch(s *Server, a Address, match string) (Answer, error) {
	im, err := s.Image("a")
	if err != nil {
		return Answer{}, err
	}
	return im.Tile(context.Background(), &a, match)
}

// soon waits until something is so. A slide goes with the last of its references, and that of a
// read that has just ended may still be there.
func soon(is func() bool) bool {
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// TestOpened requests stored tiles: their bytes are unchanged, read once, and their ETag is
// that of the bytes.
func TestOpened(t *testing.T) {
	src := &source{identity: fsx.Identity{Size: 5}}
	s := serveSource(t, src, Options{})
	var tags []string
	for range 3 {
		for _, a := range []Address{{Z: 2, X: 1, Y: 3}, {Kind: ByName, Name: "ttt", Revision: "r1"}, {Kind: ByLevel, X: 1, Y: 3}} {
			ans, err := fetch(s, a, "")
			if err != nil {
				t.Fatal(err)
			}
			want := plain(2<<6 | 3<<3 | 1)
			if a.Kind == ByName { // rows count from the top, whatever the origin of the store is
				want = plain(2<<6 | 3<<3)
			}
			if !bytes.Equal(ans.Body, want) || ans.Empty || ans.Immutable != (a.Revision != "") {
				t.Errorf("%+v: %d bytes, %+v", a, len(ans.Body), ans)
			}
			tags = append(tags, ans.ETag)
			ans.Release()
		}
	}
	if tags[0] != tags[2] || tags[0] == tags[1] || len(tags[0]) < 20 {
		t.Errorf("tags %q", tags[:3])
	}
	if n := src.reads.Load(); n != 2 {
		t.Errorf("%d reads of two tiles", n)
	}
	if ans, err := fetch(s, Address{Z: 2, X: 1, Y: 3}, tags[0]); err != nil || !ans.NotModified || ans.Body != nil {
		t.Errorf("If-None-Match: %+v, %v", ans, err)
	}
	if st := s.Stats(); st.Sending != 0 || st.Cached == 0 || st.OpenFiles != 1 {
		t.Errorf("%+v", st)
	}
	for _, a := range []Address{{Z: 2, X: 1, Y: 1}, {Z: 3}, {Z: 2, X: 4, Y: 3}, {Kind: DeepZoom, Z: 9}} {
		if _, err := fetch(s, a, ""); !errors.Is(err, slide.ErrNoTile) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	s.Close()
	if !soon(func() bool { return src.closed.Load() == 1 }) {
		t.Errorf("closed %d times", src.closed.Load())
	}
	s.Delete("a")
	s.Put(File{ID: "a", Store: &Store{ID: "s", Kind: "mongodb"}, Revision: "r2", Identity: src.identity})
	if _, err := fetch(s, Address{Z: 2, X: 1, Y: 3}, ""); err != nil || src.reads.Load() != 3 {
		t.Errorf("a new revision: %v, %d reads, want 3", err, src.reads.Load())
	}
}

// TestOpenedOnce: many requests for a tile wait for one read, and one that goes away does
// not end it.
func TestOpenedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, hold := &source{}, make(chan struct{})
		src.read = func(int, int, int) ([]byte, error) { <-hold; return plain(1), nil }
		s := serveSource(t, src, Options{})
		im, err := s.Image("a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := im.Tile(ctx, &Address{Z: 2, Y: 3}, "")
			gone <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if ans, err := fetch(s, Address{Z: 2, Y: 3}, ""); err != nil || !bytes.Equal(ans.Body, plain(1)) {
					t.Errorf("%d bytes, %v", len(ans.Body), err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the first one: %v", err)
		}
		s.Close()
		if src.closed.Load() != 0 {
			t.Error("closed while it was read from")
		}
		close(hold)
		wg.Wait()
		synctest.Wait()
		if src.reads.Load() != 1 || src.closed.Load() != 1 {
			t.Errorf("%d reads, closed %d times", src.reads.Load(), src.closed.Load())
		}
	})
}

// TestOpenedErrors maps the errors of reading a tile to the problem that the client gets.
func TestOpenedErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		b       []byte
		err     error
		z       int
		want    error
		status  int // 200 for a tile that is empty or rendered
		retry   bool
		changed bool
	}{
		{name: "down", err: errDown, z: 2, want: ErrUnreachable, status: 503, retry: true},
		{name: "changed", err: ErrChanged, z: 2, want: ErrChanged, status: 503, retry: true, changed: true},
		{name: "no JPEG", b: []byte("text"), z: 2, want: ErrUnreadable, status: 502},
		{name: "cut short", b: plain(1)[:200], z: 2, want: ErrUnreadable, status: 502},
		{name: "no bytes", b: []byte{}, z: 2, want: ErrUnreadable, status: 502},
		{name: "other", err: errors.New("permission denied"), z: 2, want: ErrUnreadable, status: 502},
		{name: "absent", err: slide.ErrEmptyTile, z: 2, status: 200},
		{name: "to be derived", err: slide.ErrMissingTile, z: 0, status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &source{read: func(int, int, int) ([]byte, error) { return tt.b, tt.err }}
			changed := 0
			s := serveSource(t, src, Options{Changed: func(string) { changed++ }})
			y := 0
			if tt.z == 2 {
				y = 3
			}
			ans, err := fetch(s, Address{Z: tt.z, Y: y, Revision: "r1"}, "")
			if !errors.Is(err, tt.want) || tt.status == 200 && err != nil {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if (changed > 0) != tt.changed {
				t.Errorf("%d changes reported", changed)
			}
			if err != nil {
				if p := Explain(err); p.Status != tt.status || (p.RetryAfter > 0) != tt.retry {
					t.Errorf("%+v", p)
				}
				return
			}
			if empty := tt.err == slide.ErrEmptyTile; ans.Empty != empty || empty && (ans.Immutable || string(ans.Body) != "blank 32×32") || !empty && string(ans.Body) != "rendered" {
				t.Errorf("%+v, body %q", ans, ans.Body)
			}
		})
	}
}

// TestOpenedIdentity: an image that is no longer as in the catalog is not served.
func TestOpenedIdentity(t *testing.T) {
	src, changed := &source{}, 0
	s := serveSource(t, src, Options{Changed: func(string) { changed++ }})
	src.identity.Size = 7
	if _, err := fetch(s, Address{Z: 2, Y: 3}, ""); !errors.Is(err, ErrChanged) || changed != 1 || src.closed.Load() != 1 {
		t.Errorf("%v, %d changes reported, closed %d times", err, changed, src.closed.Load())
	}
}

// TestSourceDown stops the server of a store: after some requests have waited for it, others
// fail at once, cached tiles are still served, and when it is back, so are all others.
func TestSourceDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		var down atomic.Bool
		src.read = func(int, int, int) ([]byte, error) {
			if down.Load() {
				time.Sleep(5 * time.Second)
				return nil, errDown
			}
			return plain(1), nil
		}
		s := serveSource(t, src, Options{})
		if _, err := fetch(s, Address{Z: 2, Y: 3}, ""); err != nil {
			t.Fatal(err)
		}
		down.Store(true)
		for range failuresInRow {
			if _, err := fetch(s, Address{Z: 2, X: 1, Y: 3}, ""); !errors.Is(err, ErrUnreachable) {
				t.Fatal(err)
			}
		}
		began := time.Now()
		probe := make(chan error)
		go func() {
			_, err := fetch(s, Address{Z: 2, X: 2, Y: 3}, "")
			probe <- err
		}()
		synctest.Wait()
		for x := range 3 {
			if _, err := fetch(s, Address{Z: 1, X: x % 2, Y: 1}, ""); !errors.Is(err, ErrUnreachable) {
				t.Errorf("while one request waits: %v", err)
			}
		}
		if _, err := fetch(s, Address{Z: 2, Y: 3}, ""); err != nil {
			t.Errorf("a cached tile: %v", err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("the others waited for %v", d)
		}
		if err := <-probe; !errors.Is(err, ErrUnreachable) {
			t.Errorf("%v", err)
		}
		down.Store(false)
		for x := range 4 {
			if _, err := fetch(s, Address{Z: 2, X: x, Y: 3}, ""); err != nil {
				t.Errorf("when it is back: %v", err)
			}
		}
	})
}

// TestSourceHangs has a server that never answers: requests wait for a limited time, and
// then no others are made.
func TestSourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, hold := &source{}, make(chan struct{})
		src.read = func(int, int, int) ([]byte, error) { <-hold; return plain(1), nil }
		s := serveSource(t, src, Options{})
		began := time.Now()
		var wg sync.WaitGroup
		for x := range maxAbandoned {
			wg.Go(func() {
				if _, err := fetch(s, Address{Z: 2, X: x, Y: 3}, ""); !errors.Is(err, ErrUnreachable) {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(began); d != readTime {
			t.Errorf("waited for %v", d)
		}
		if _, err := fetch(s, Address{Z: 1, Y: 1}, ""); !errors.Is(err, ErrUnreachable) || time.Since(began) != readTime || src.reads.Load() != maxAbandoned {
			t.Errorf("%v after %v, %d reads", err, time.Since(began), src.reads.Load())
		}
		close(hold)
		synctest.Wait()
		if _, err := fetch(s, Address{Z: 1, Y: 1}, ""); err != nil {
			t.Errorf("when it answers: %v", err)
		}
	})
}

// TestStoredLimit drops tiles that were not used again, and all when the slide is closed.
func TestStoredLimit(t *testing.T) {
	src := &source{}
	one := newCachedTile(bytes.Clone(plain(1))).cost()
	s := serveSource(t, src, Options{MaxCached: 3*one + one/2})
	get := func(x int) {
		t.Helper()
		if _, err := fetch(s, Address{Z: 2, X: x, Y: 3}, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []int{0, 1, 2, 0, 3} { // 1 goes
		get(x)
	}
	if st := s.Stats(); src.reads.Load() != 4 || st.Cached > 4*one {
		t.Errorf("%d reads, %d bytes", src.reads.Load(), st.Cached)
	}
	for _, x := range []int{0, 2, 3} {
		get(x)
	}
	if n := src.reads.Load(); n != 4 {
		t.Errorf("%d reads, want those tiles in the cache", n)
	}
	get(1)
	if n := src.reads.Load(); n != 5 {
		t.Errorf("%d reads, want the dropped one read again", n)
	}
	s.Close()
	if !soon(func() bool { return s.Stats().Cached == 0 }) {
		t.Errorf("%d bytes are left", s.Stats().Cached)
	}
}

// TestAbsentAgain: a tile that did not exist is asked for again after a while.
func TestAbsentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{read: func(int, int, int) ([]byte, error) { return nil, slide.ErrEmptyTile }}
		s := serveSource(t, src, Options{})
		for range 3 {
			if ans, err := fetch(s, Address{Z: 2, Y: 3}, ""); err != nil || !ans.Empty {
				t.Fatalf("%+v, %v", ans, err)
			}
		}
		if src.reads.Load() != 1 {
			t.Errorf("%d reads", src.reads.Load())
		}
		src.read = nil
		time.Sleep(absentTime)
		if ans, err := fetch(s, Address{Z: 2, Y: 3}, ""); err != nil || ans.Empty {
			t.Errorf("%+v, %v", ans, err)
		}
	})
}

// TestOpenedAllocations: a cached tile takes no more memory than one of a file.
func TestOpenedAllocations(t *testing.T) {
	s := serveSource(t, &source{}, Options{})
	a := &Address{Z: 2, Y: 3}
	if _, err := fetch(s, *a, ""); err != nil {
		t.Fatal(err)
	}
	im, err := s.Image("a")
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(200, func() {
		ans, err := im.Tile(context.Background(), a, "")
		if err != nil {
			t.Fatal(err)
		}
		ans.Release()
	})
	if n > 1 { // 0, but other tests of the package may still end
		t.Errorf("a cached tile takes %v allocations", n)
	}
}

// BenchmarkCachedTile serves a cached tile of a store that is not a folder.
func BenchmarkCachedTile(b *testing.B) {
	s := serveSource(b, &source{}, Options{})
	im, err := s.Image("a")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		a := &Address{Z: 2, Y: 3}
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
