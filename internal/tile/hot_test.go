package tile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// hotAddress is a stored tile of the slides of serve.
var hotAddress = tile.Address{Z: 3, X: 1, Y: 1}

// bodyOf returns the bytes of a tile, or the error.
func bodyOf(t testing.TB, s *tile.Server, id string, a tile.Address) ([]byte, error) {
	t.Helper()
	im, err := s.Image(id)
	if err != nil {
		return nil, err
	}
	ans, err := im.Tile(t.Context(), &a, "")
	if err != nil {
		return nil, err
	}
	defer ans.Release()
	return bytes.Clone(ans.Body), nil
}

// A tile of a file comes from memory from the third request on, with the same bytes. Tiles
// that are requested once are not kept.
func TestHot(t *testing.T) {
	s, ids := serve(t, tile.Options{}, 1)
	var all [][]byte
	for range 4 {
		b, err := bodyOf(t, s, ids[0], hotAddress)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if !bytes.Equal(all[0], all[3]) || len(all[0]) == 0 {
		t.Errorf("%d bytes from memory, want the %d of the file", len(all[3]), len(all[0]))
	}
	st := s.Stats()
	if st.Hits != 2 || st.Misses != 2 || st.Cached < int64(len(all[0])) || st.Sending != 0 {
		t.Errorf("%+v, want two hits", st)
	}
	for x := range 3 {
		if _, err := bodyOf(t, s, ids[0], tile.Address{Z: 3, X: x + 2}); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Cached; n != st.Cached {
		t.Errorf("%d bytes after tiles that were requested once, want %d", n, st.Cached)
	}
	s.Close()
	if n := s.Stats().Cached; n != 0 {
		t.Errorf("%d bytes after the slide was closed", n)
	}
}

// While a file changes, no tile is answered from memory: overwritten, truncated, and replaced by
// another one, it is first an error and then has the bytes of the new revision.
func TestHotWhileFileChanges(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.tiff")
	if _, err := (synth.Philips{Seed: 8, Width: 275, Height: 225, TileSize: 64, MPPX: 1}).Write(other); err != nil {
		t.Fatal(err)
	}
	replacement, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(path string) error{
		"overwritten": func(path string) error { return os.WriteFile(path, replacement, 0o644) },
		"truncated":   func(path string) error { return os.Truncate(path, 100) },
		"replaced": func(path string) error {
			err := os.Rename(other, path)
			time.Sleep(tile.PathCheck) // until then requests may get the previous revision
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, ids := serve(t, tile.Options{}, 1)
			var old []byte
			for range 3 {
				if old, err = bodyOf(t, s, ids[0], hotAddress); err != nil {
					t.Fatal(err)
				}
			}
			im, err := s.Image(ids[0])
			if err != nil {
				t.Fatal(err)
			}
			hits := s.Stats().Hits
			if err := change(im.File.Path); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := bodyOf(t, s, ids[0], hotAddress); !errors.Is(err, tile.ErrChanged) {
					t.Fatalf("after the change: %v, want ErrChanged", err)
				}
			}
			if st := s.Stats(); st.Cached != 0 || st.OpenFiles != 0 {
				t.Errorf("%+v, want nothing kept (%d hits before)", st, hits)
			}
			if name == "truncated" {
				return
			}
			f := im.File
			if f.Identity, err = fsx.Stat(f.Path); err != nil {
				t.Fatal(err)
			}
			f.Revision = f.Identity.Revision()
			s.Put(f)
			for range 4 {
				b, err := bodyOf(t, s, ids[0], hotAddress)
				if err != nil || bytes.Equal(b, old) {
					t.Fatalf("the new revision: %v, old bytes %v", err, bytes.Equal(b, old))
				}
			}
		})
	}
}

// The memory of cached tiles never exceeds the limit, and is freed when slides are closed,
// while many clients request them (for the race detector).
func TestHotLimit(t *testing.T) {
	const limit = 40 << 10
	s, ids := serve(t, tile.Options{MaxCached: limit, MaxFiles: 4}, 8)
	want, err := bodyOf(t, s, ids[0], hotAddress)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range 300 {
				a := tile.Address{Z: 3, X: (i + k) % 3, Y: i % 2}
				if i%3 == 0 {
					a = hotAddress
				}
				b, err := bodyOf(t, s, ids[i/40%len(ids)], a)
				if err != nil {
					t.Error(err)
					return
				}
				if a == hotAddress && !bytes.Equal(b, want) {
					t.Errorf("%d bytes, want %d", len(b), len(want))
				}
				if n := s.Stats().Cached; n > limit+limit/8 {
					t.Errorf("%d bytes are cached, the limit is %d", n, limit)
				}
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Hits == 0 || st.Cached > limit {
		t.Errorf("%+v", st)
	}
	s.Close()
	if n := s.Stats().Cached; n != 0 {
		t.Errorf("%d bytes after all slides were closed", n)
	}
}
