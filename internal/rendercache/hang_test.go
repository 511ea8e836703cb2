package rendercache

import (
	"context"
	"errors"
	"image"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A mount is a file system whose server is down until back is closed.
type mount struct {
	io.ReaderAt
	away bool
	back chan struct{}
}

func (m *mount) ReadAt(p []byte, off int64) (int, error) {
	if m.away {
		<-m.back
	}
	return m.ReaderAt.ReadAt(p, off)
}

// mounted returns a slide that is read from a mount.
func mounted(t *testing.T, path string) (*mount, *slide.Slide) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m := &mount{ReaderAt: f, back: make(chan struct{})}
	s, err := slide.Open(m, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	for level := range s.Levels { // their tables are read under a lock, which stops the time of synctest
		if _, err := s.AppendTile(nil, level, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	return m, s
}

// A renderFunc renders the nth image of a slide, each a different one.
type renderFunc func(ctx context.Context, k *Renderer, s *slide.Slide, lease tile.Lease, n int) ([]byte, error)

func request(s *slide.Slide, lease tile.Lease) tile.RenderRequest {
	return tile.RenderRequest{Slide: s, Revision: "rev-" + lease.Store, Lease: lease}
}

var renderFuncs = map[string]renderFunc{
	"tile": func(ctx context.Context, k *Renderer, s *slide.Slide, lease tile.Lease, n int) ([]byte, error) {
		m := request(s, lease)
		m.Width, m.Height = 10*n, 10
		return k.Tile(ctx, m)
	},
	"thumbnail": func(ctx context.Context, k *Renderer, s *slide.Slide, lease tile.Lease, n int) ([]byte, error) {
		return k.Thumbnail(ctx, "rev-"+lease.Store, s, 50+n, 50, color.RGBA{A: 255}, lease)
	},
	"region": func(ctx context.Context, k *Renderer, s *slide.Slide, lease tile.Lease, n int) ([]byte, error) {
		return k.Region(ctx, request(s, lease), Region{View: render.ViewOf(image.Rect(0, 0, 100*n, 100), 50, 50)})
	},
	"stored image": func(ctx context.Context, k *Renderer, s *slide.Slide, lease tile.Lease, _ int) ([]byte, error) {
		return k.Associated(ctx, "rev-"+lease.Store, s, "macro", lease)
	},
}

// TestHangingStore lets the file system of a store hang while its images are rendered. The
// images of other stores get the workers, no further ones of the store are started, waiting
// callers get an error, and memory and file stay in use until the reads end.
func TestHangingStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 400, Height: 300, TileSize: 128, Macro: true}).Write(path); err != nil {
		t.Fatal(err)
	}
	for name, make := range renderFuncs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testHangingStore(t, path, make) })
		})
	}
}

func testHangingStore(t *testing.T, path string, make renderFunc) {
	const memory = 64 << 20
	budget := render.NewBudget(memory)
	// Large images get half of the workers.
	k := New(Options{Cache: openCache(t, 1<<20), Workers: 2 * maxAbandoned, Memory: budget})
	_, near := mounted(t, path)
	m, far := mounted(t, path)
	var held atomic.Int64
	lease := func(store string) tile.Lease {
		return tile.Lease{Store: store, Current: func() bool { return true }, Hold: func() (release func()) {
			held.Add(1)
			return func() { held.Add(-1) }
		}}
	}
	makeFar := func(n int) error { _, err := make(t.Context(), k, far, lease("far"), n); return err }
	makeNear := func(n int) error { _, err := make(t.Context(), k, near, lease("near"), n); return err }
	takeAll := func() error {
		ctx, end := budget.Begin(t.Context(), time.Millisecond)
		defer end()
		return render.Take(ctx, memory)
	}

	m.away = true
	began := time.Now()
	answers := goMake(makeFar, maxAbandoned)
	time.Sleep(workTime)
	synctest.Wait()
	if err := makeNear(1); err != nil {
		t.Errorf("another store, after the workers were released: %v", err)
	}
	if err := makeFar(9); !errors.Is(err, tile.ErrUnreachable) || time.Since(began) != workTime {
		t.Errorf("another image: %v after %v, want %v at once", err, time.Since(began)-workTime, tile.ErrUnreachable)
	}
	for range maxAbandoned {
		if err := <-answers; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != k.o.Timeout || tile.Explain(err).RetryAfter == 0 {
			t.Errorf("callers that wait: %v after %v, want a timeout after %v", err, time.Since(began), k.o.Timeout)
		}
	}
	if err := takeAll(); !errors.Is(err, render.ErrBusy) && !strings.HasPrefix(t.Name(), "TestHangingStore/stored") { // whose size hangs
		t.Errorf("while they hang: taking all memory: %v, want %v", err, render.ErrBusy)
	}
	if held.Load() != maxAbandoned {
		t.Errorf("while they hang: %d files are held, want %d", held.Load(), maxAbandoned)
	}

	m.away = false
	close(m.back)
	synctest.Wait()
	abandoned := k.overdue("far").Count() + k.overdue("near").Count()
	if err := takeAll(); err != nil || held.Load() != 0 || abandoned != 0 || len(k.workers) != 0 {
		t.Errorf("after they ended: %v of memory, %d files, %d abandoned, %d workers in use", err, held.Load(), abandoned, len(k.workers))
	}
	if err := makeFar(1); err != nil {
		t.Errorf("after the store came back: %v", err)
	}
}

// goMake starts to render n images at once.
func goMake(makeOne func(n int) error, count int) <-chan error {
	answers := make(chan error, count)
	for n := range count {
		go func() { answers <- makeOne(n + 1) }()
	}
	return answers
}

// TestSmallImagesPass lets large images wait for a file system that does not answer. A small
// one of another store gets a worker.
func TestSmallImagesPass(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 400, Height: 300, TileSize: 128}).Write(path); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		k := New(Options{Cache: openCache(t, 1<<20), Workers: 2})
		_, near := mounted(t, path)
		m, far := mounted(t, path)
		lease := func(store string) tile.Lease {
			return tile.Lease{Store: store, Current: func() bool { return true }}
		}
		m.away = true
		answers := goMake(func(n int) error {
			_, err := k.Thumbnail(t.Context(), "rev-far", far, 50+n, 50, color.RGBA{A: 255}, lease("far"))
			return err
		}, 5)
		synctest.Wait()
		began := time.Now()
		if _, err := renderFuncs["region"](t.Context(), k, near, lease("near"), 1); err != nil || time.Since(began) != 0 {
			t.Errorf("a small image beside large ones that hang: %v after %v", err, time.Since(began))
		}
		m.away = false
		close(m.back)
		for range 5 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
}
