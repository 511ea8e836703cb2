package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/internal/verify"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestTilesOfSeries requests tiles of a DICOM series while one of its files is replaced by that
// of another slide: no answer has tissue of the other one under the revision of the first.
func TestTilesOfSeries(t *testing.T) {
	for _, how := range []string{"overwritten", "replaced"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
			st, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: dir})
			if err != nil {
				t.Fatal(err)
			}
			files := dicomtest.Series(t, "1.1", slidetest.Pyramid{Seed: 1})
			for i, b := range files {
				writeFile(t, filepath.Join(dir, fmt.Sprint(i, ".dcm")), b)
			}
			syncer := &scan.Syncer{Catalog: c, Now: func() time.Time { return time.Now().Add(time.Hour) }}
			if _, err := syncer.Sync(t.Context(), st.ID, scan.Options{}); err != nil {
				t.Fatal(err)
			}
			im, err := c.Images.ByPath(t.Context(), st.ID, "~1.1")
			if err != nil || im.State != catalog.Available {
				t.Fatal(im, err)
			}
			if r, err := (&verify.Verifier{Catalog: c}).Store(t.Context(), st.ID, verify.Options{}); err != nil || r.Hashed != 1 || r.Bytes != im.Identity.Size {
				t.Errorf("verify: %+v, %v", r, err)
			}
			var changed atomic.Int64
			tiles := tile.New(tile.Options{
				Open: (&images{catalog: c}).open, Blank: render.Blank, Changed: func(string) { changed.Add(1) },
				Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
			})
			defer tiles.Close()
			if err := (&follow.Follower{Catalog: c, Tiles: tiles}).Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(&nethttp.Handler{Tiles: tiles})
			defer srv.Close()
			url := srv.URL + "/api/v1/images/" + im.ID + "/tiles/2/1/0?v=" + im.Revision
			if got := fetch(t, url, ""); got.status != 200 || !bytes.Equal(got.body, storedTile(t, 1)) {
				t.Fatalf("status %d, %d bytes", got.status, len(got.body))
			}
			other := dicomtest.Series(t, "1.1", slidetest.Pyramid{Seed: 2})[0]
			if how == "overwritten" {
				writeFile(t, filepath.Join(dir, "0.dcm"), other)
			} else {
				writeFile(t, filepath.Join(dir, ".0"), other)
				if err := os.Rename(filepath.Join(dir, ".0"), filepath.Join(dir, "0.dcm")); err != nil {
					t.Fatal(err)
				}
			}
			got := fetch(t, url, "")
			if got.status != 503 || changed.Load() == 0 {
				t.Errorf("status %d, %d changes reported", got.status, changed.Load())
			}
			if _, err := syncer.Sync(t.Context(), st.ID, scan.Options{}); err != nil {
				t.Fatal(err)
			}
			if err := (&follow.Follower{Catalog: c, Tiles: tiles}).Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := fetch(t, url, ""); got.status != 404 {
				t.Errorf("old revision: status %d", got.status)
			}
			now, err := c.Images.Get(t.Context(), im.ID)
			if err != nil || now.Digest != nil {
				t.Fatalf("digest %v of other files, %v", now.Digest, err)
			}
			if got := fetch(t, srv.URL+"/api/v1/images/"+im.ID+"/tiles/2/1/0?v="+now.Revision, ""); got.status != 200 || !bytes.Equal(got.body, storedTile(t, 2)) {
				t.Errorf("new revision: status %d, %d bytes", got.status, len(got.body))
			}
		})
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// storedTile returns a tile of the slide that the series is of.
func storedTile(t *testing.T, seed uint8) []byte {
	t.Helper()
	b := slidetest.Pyramid{Seed: seed}.Bytes()
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	tile, err := s.AppendTile(nil, 0, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return tile
}

// TestTilesDuringSeriesImport requests tiles of a series while a managed store imports it: nobody
// notices, whether its slide is open or not.
func TestTilesDuringSeriesImport(t *testing.T) {
	t.Parallel()
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	st, err := managed.AddStore(t.Context(), c, catalog.Store{Mode: catalog.Managed, Root: filepath.Join(t.TempDir(), "archive")})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range dicomtest.Series(t, "1.1", slidetest.Pyramid{Seed: 1}) {
		writeFile(t, filepath.Join(st.Incoming, "1.1", fmt.Sprint(i, ".dcm")), b)
	}
	syncer := &scan.Syncer{Catalog: c, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	if _, err := syncer.Sync(t.Context(), st.ID, scan.Options{}); err != nil {
		t.Fatal(err)
	}
	im, err := c.Images.ByPath(t.Context(), st.ID, "incoming/1.1/~1.1")
	if err != nil || im.State != catalog.Available {
		t.Fatal(im, err)
	}
	tiles := tile.New(tile.Options{
		Open: (&images{catalog: c}).open, Blank: render.Blank,
		Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
	})
	defer tiles.Close()
	follower := &follow.Follower{Catalog: c, Tiles: tiles}
	if err := follower.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { follower.Run(ctx) })
	srv := httptest.NewServer(&nethttp.Handler{Tiles: tiles})
	defer srv.Close()
	url := srv.URL + "/api/v1/images/" + im.ID + "/tiles/2/1/0?v=" + im.Revision
	imported := make(chan error, 1)
	go func() {
		_, err := syncer.Import(t.Context(), im.ID, nil)
		imported <- err
	}()
	for done := false; !done; {
		select {
		case err := <-imported:
			if err != nil {
				t.Fatal(err)
			}
			done = true // and one more
		default:
		}
		if got := fetch(t, url, ""); got.status != 200 || !bytes.Equal(got.body, storedTile(t, 1)) {
			t.Fatalf("status %d, %d bytes", got.status, len(got.body))
		}
	}
	if now, err := c.Images.Get(t.Context(), im.ID); err != nil || now.Path != managed.SeriesPath("1.1") {
		t.Errorf("%+v, %v", now, err)
	}
}
