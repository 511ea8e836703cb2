package scan

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// tileServer serves the tiles of a catalog, like a process of its own, until the test
// ends.
func tileServer(t *testing.T, c *catalog.Catalog, changed func(string)) http.Handler {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := tile.New(tile.Options{
		Changed: changed, Log: log,
		Blank:  func(int, int, color.RGBA) ([]byte, error) { return nil, nil },
		Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, tile.ErrBusy },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { (&follow.Follower{Catalog: c, Tiles: s, Log: log}).Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait(); s.Close() })
	return &nethttp.Handler{Tiles: s, Log: log}
}

// firstTile returns the tile at the top left of the largest level, as stored in a file.
func firstTile(t *testing.T, file []byte) []byte {
	t.Helper()
	s, err := slide.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.AppendTile(nil, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTilesDuringImport requests a tile of each slide all the time while the slides
// arrive and are imported, from the importing process and from another. The URL
// contains the revision, and stays valid.
func TestTilesDuringImport(t *testing.T) {
	t.Parallel()
	for _, disks := range []string{"one disk", "two disks"} {
		t.Run(disks, func(t *testing.T) {
			in := ""
			if disks == "two disks" {
				in = otherDisk(t)
			}
			h := newHouse(t, "", in)
			h.Now, h.Pause = nil, 10*time.Millisecond
			w := NewWatchers(h.Syncer)
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { w.Run(ctx) })
			t.Cleanup(func() { cancel(); running.Wait() })
			other, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(filepath.Dir(h.root), "catalog.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { other.Close() })
			servers := map[string]http.Handler{"this process": tileServer(t, h.Catalog, w.Recheck), "another": tileServer(t, other, nil)}

			const slideCount = 5
			var readers sync.WaitGroup
			for i := range slideCount {
				name, data := fmt.Sprintf("%d.tiff", i), slidetest.Pyramid{Seed: uint8(i)}.Bytes()
				h.arrive("."+name, append(data, make([]byte, 8<<20)...)) // takes a while to be hashed
				h.rename(filepath.Join(h.in, "."+name), filepath.Join(h.in, name))
				var im *catalog.Image
				h.eventually(soon, name+" to be available", func() bool {
					list, err := h.Catalog.Images.ByFileName(ctx, h.store, name)
					if err != nil || len(list) == 0 {
						return false
					}
					im = &list[0]
					return im.State == catalog.Available
				})
				want := firstTile(t, data)
				for who, server := range servers {
					readers.Go(func() { readTiles(t, h, server, im, want, who) })
				}
			}
			readers.Wait()
		})
	}
}

// readTiles requests a tile until one arrives some time after the image was imported.
func readTiles(t *testing.T, h *house, server http.Handler, im *catalog.Image, want []byte, who string) {
	counts := map[int]int{}
	var longest time.Duration
	began := time.Now()
	good, known := began, false
	var end time.Time
	for end.IsZero() || good.Before(end) { // until a tile arrived well after the import
		if now, err := h.Catalog.Images.Get(context.Background(), im.ID); err == nil && end.IsZero() && strings.HasPrefix(now.Path, managed.Slides) {
			end = time.Now().Add(1500 * time.Millisecond)
		}
		if time.Since(began) > 2*soon {
			t.Errorf("%s: no tile after the import, or no import: %v, the last good %v ago", who, counts, time.Since(good))
			return
		}
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/v1/images/"+im.ID+"/tiles/2/0/0?v="+im.Revision, nil))
		switch code := rec.Code; {
		case code == http.StatusNotFound && !known: // its follower has not seen the image yet
		case code == http.StatusOK:
			known = true
			if !bytes.Equal(rec.Body.Bytes(), want) {
				t.Errorf("%s: another tile", who)
				return
			}
			longest = max(longest, time.Since(good))
			good = time.Now()
			counts[code]++
		case code == http.StatusServiceUnavailable && rec.Header().Get("Retry-After") != "":
			counts[code]++
		default:
			t.Errorf("%s: status %d: %s", who, code, rec.Body)
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("%s: %v, longest without an answer %v", who, counts, longest)
}
