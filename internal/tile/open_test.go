package tile

import (
	"context"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// A mount is a file system whose server is down until it is closed.
type mount chan struct{}

func (m mount) open(path string) (*os.File, error) {
	if filepath.Base(filepath.Dir(path)) == "away" {
		<-m
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	return fsx.Open(path)
}

// hanging returns a server with a slide in the store "here", and slides in the store
// "away" that cannot be opened before m is closed.
func hanging(t *testing.T, m mount) *Server {
	t.Helper()
	s := New(Options{Blank: func(int, int, color.RGBA) ([]byte, error) { return nil, nil }})
	s.openFile = m.open
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 150, Height: 125, TileSize: 128, MPPX: 1}).Write(path); err != nil {
		t.Fatal(err)
	}
	id, err := fsx.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Put(File{ID: "here", Store: &Store{ID: "here"}, Path: path, Revision: id.Revision(), Identity: id})
	away := &Store{ID: "away"}
	for i := range 100 {
		s.Put(File{ID: "away" + string(rune('0'+i)), Store: away, Path: filepath.Join(dir, "away", "b.tiff"), Revision: id.Revision(), Identity: id})
	}
	return s
}

// ask requests a tile.
func ask(s *Server, id string) error {
	im, err := s.Image(id)
	if err != nil {
		return err
	}
	a, err := im.Tile(context.Background(), &Address{}, "")
	if err == nil {
		a.Release()
	}
	return err
}

// TestHangingStore lets the file system of a store hang: requests for its slides fail after
// a while, and later ones at once; other stores are served; when it is back, its slides are
// opened again.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := make(mount)
		s := hanging(t, m)
		defer s.Close()
		began := time.Now()
		answers := make(chan error, 100)
		for i := range 100 {
			go func() { answers <- ask(s, "away"+string(rune('0'+i))) }()
		}
		away, busy := 0, 0
		for range 100 {
			switch err := <-answers; {
			case errors.Is(err, ErrUnreachable):
				away++
			case errors.Is(err, ErrBusy):
				busy++
			default:
				t.Errorf("got %v", err)
			}
		}
		if away != opensAtOnce || busy != 100-opensAtOnce || time.Since(began) != openTime {
			t.Errorf("%d got ErrUnreachable, %d ErrBusy, after %v; want %d, %d, %v", away, busy, time.Since(began), opensAtOnce, 100-opensAtOnce, openTime)
		}
		if err := ask(s, "here"); err != nil {
			t.Errorf("the other store: %v", err)
		}
		began = time.Now()
		for i := range 100 {
			if err := ask(s, "away"+string(rune('0'+i))); !errors.Is(err, ErrUnreachable) || Explain(err).RetryAfter == 0 {
				t.Fatalf("got %v, want that it is away", err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("later ones waited for %v", d)
		}
		close(m)
		synctest.Wait()
		if sh := s.state("away"); sh.overdue.Count() != 0 || len(sh.openings) != 0 {
			t.Errorf("%d openings, %d abandoned after all have ended", len(sh.openings), sh.overdue.Count())
		}
		if err := ask(s, "away0"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want that it was opened again", err)
		}
	})
}

// TestHangingPath lets the comparison of a slide's path hang: one request waits for it, and
// the slide is opened again.
func TestHangingPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hanging(t, nil)
		defer s.Close()
		if err := ask(s, "here"); err != nil {
			t.Fatal(err)
		}
		hang := make(chan struct{})
		s.statFile = func(string) (fsx.Identity, error) { <-hang; return fsx.Identity{}, os.ErrNotExist }
		defer close(hang)
		time.Sleep(PathCheck)
		began := time.Now()
		if err := ask(s, "here"); !errors.Is(err, ErrChanged) || time.Since(began) != pathTime {
			t.Errorf("got %v after %v, want %v after %v", err, time.Since(began), ErrChanged, pathTime)
		}
		if err := ask(s, "here"); err != nil {
			t.Errorf("opened again: %v", err)
		}
	})
}

// TestHold keeps the file of a slide open for work that continues after its request was
// answered, although the slide was closed meanwhile.
func TestHold(t *testing.T) {
	s := hanging(t, nil)
	var m RenderRequest
	var release func()
	s.o.Render = func(_ context.Context, made RenderRequest) ([]byte, error) {
		m, release = made, made.Hold()
		return nil, context.DeadlineExceeded
	}
	im, err := s.Image("here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.Tile(context.Background(), &Address{Kind: DeepZoom}, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	h := im.handle.Load()
	s.Close()
	if _, err := m.Slide.AppendTile(nil, 0, 0, 0); err != nil || !m.Current() || m.Store != "here" {
		t.Errorf("reading from the closed slide: %v, current %v, store %q", err, m.Current(), m.Store)
	}
	release()
	if n := h.refs.Load(); n != 0 {
		t.Errorf("%d references are left", n)
	}
}
