package tile

import (
	"context"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// moving returns a server with one slide of a store whose files move, its file, and a
// counter of reported changes.
func moving(t *testing.T) (*Server, File, *atomic.Int64) {
	t.Helper()
	var changed atomic.Int64
	s := New(Options{
		Blank:   func(int, int, color.RGBA) ([]byte, error) { return nil, nil },
		Changed: func(string) { changed.Add(1) },
	})
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 150, Height: 125, TileSize: 128, MPPX: 1}).Write(path); err != nil {
		t.Fatal(err)
	}
	id, err := fsx.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f := File{ID: "a", Store: &Store{ID: "s", Moves: true}, Path: path, Revision: id.Revision(), Identity: id}
	s.Put(f)
	return s, f, &changed
}

// relocated renames the file of a slide, and returns it as the catalog records it then.
func relocated(t *testing.T, f File) File {
	t.Helper()
	to := f.Path + "-moved"
	if err := os.Rename(f.Path, to); err != nil {
		t.Fatal(err)
	}
	id, err := fsx.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	f.Path, f.Identity = to, id
	return f
}

// TestMove renames a slide's file while it is closed, open, and being viewed: requests wait
// until the catalog has recorded it, and are then answered.
func TestMove(t *testing.T) {
	t.Parallel()
	view := func(s *Server) error {
		im, err := s.Image("a")
		if err != nil {
			return err
		}
		return im.View(context.Background(), func(*slide.Slide, Lease) error { return nil })
	}
	for _, tt := range []struct {
		name string
		open bool
		ask  func(*Server) error
	}{
		{"closed", false, func(s *Server) error { return ask(s, "a") }},
		{"open", true, func(s *Server) error { return ask(s, "a") }},
		{"view, closed", false, view},
		{"view, open", true, view},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, f, changed := moving(t)
			s.moveTime = time.Hour
			if tt.open {
				if err := ask(s, "a"); err != nil {
					t.Fatal(err)
				}
			}
			before, err := s.Image("a")
			if err != nil {
				t.Fatal(err)
			}
			f = relocated(t, f)
			answers := make(chan error)
			for range 8 {
				go func() { answers <- tt.ask(s) }()
			}
			for before.move.Load() == nil { // until one of them waits
				time.Sleep(time.Millisecond)
			}
			s.Put(f)
			for range 8 {
				if err := <-answers; err != nil {
					t.Errorf("%v, want the tile", err)
				}
			}
			if n := changed.Load(); n != 0 {
				t.Errorf("%d changes were reported", n)
			}
		})
	}
}

// TestMoveDuringView renames the file while a request reads from it: what was read is
// discarded, and read again from the recorded file.
func TestMoveDuringView(t *testing.T) {
	t.Parallel()
	s, f, _ := moving(t)
	im, err := s.Image("a")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	err = im.View(t.Context(), func(*slide.Slide, Lease) error {
		if calls++; calls == 1 {
			f = relocated(t, f)
			s.Put(f)
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("%d calls, %v, want two", calls, err)
	}
}

// TestMoveInVain has files that were not only moved: requests get an error, the change is
// reported, and further requests don't wait.
func TestMoveInVain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*Server, File) error
		want   []error // any of them
	}{
		{"written to", func(_ *Server, f File) error { return os.Truncate(f.Path, 100) }, []error{ErrChanged}},
		{"touched", func(_ *Server, f File) error { return os.Chmod(f.Path, 0o600) }, []error{ErrChanged}},
		{"removed", func(_ *Server, f File) error { return os.Remove(f.Path) }, []error{ErrChanged, ErrUnreachable}},
		{"another revision", func(s *Server, f File) error {
			err := os.Remove(f.Path)
			f.Revision, f.Path = "other", f.Path+"-other"
			s.Put(f)
			return err
		}, []error{ErrChanged, ErrUnreachable}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, f, changed := moving(t)
			s.moveTime = 10 * time.Millisecond
			im, err := s.Image("a")
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(s, "a"); err != nil {
				t.Fatal(err)
			}
			if err := tt.change(s, f); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				_, err := im.Tile(t.Context(), &Address{}, "")
				if !slices.ContainsFunc(tt.want, func(w error) bool { return errors.Is(err, w) }) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			}
			if cur, _ := s.Image("a"); cur == im && changed.Load() == 0 {
				t.Error("the change was not reported")
			}
		})
	}
}

// TestMoveDeleted deletes an image while requests wait for its file.
func TestMoveDeleted(t *testing.T) {
	t.Parallel()
	s, f, _ := moving(t)
	s.moveTime = time.Hour
	im, err := s.Image("a")
	if err != nil {
		t.Fatal(err)
	}
	relocated(t, f)
	answer := make(chan error)
	go func() { answer <- ask(s, "a") }()
	for im.move.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	s.Delete("a")
	if err := <-answer; !errors.Is(err, ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
}
