package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/structure"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/s3test"
)

// A remoteSite is a catalog with a slide in a bucket, behind a proxy.
type remoteSite struct {
	*s3test.Server
	*catalog.Catalog
	proxy  *s3test.Proxy
	bucket string
	store  *catalog.Store
	image  catalog.Image
	file   []byte
	slide  *slide.Slide // of the file
}

// settings are those of one process.
func (s *remoteSite) pool(t *testing.T) *source.Pool {
	t.Helper()
	p := &source.Pool{Bucket: bucket.Settings{Endpoint: s.proxy.URL, PathStyle: true}}
	t.Cleanup(func() { p.Close() })
	return p
}

func newRemoteSite(t *testing.T) *remoteSite {
	t.Helper()
	s := &remoteSite{Server: s3test.New(t), Catalog: catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))}
	s3test.Env(t)
	s.proxy, s.bucket = s.Proxy(t), s.Bucket(t)
	s.write(t, 1)
	st, err := s.Stores.Put(t.Context(), catalog.Store{Kind: catalog.S3, Mode: catalog.InPlace, Root: "s3://" + s.bucket})
	if err != nil {
		t.Fatal(err)
	}
	s.store = st
	s.sync(t)
	return s
}

// write puts another slide with the same layout into the bucket.
func (s *remoteSite) write(t *testing.T, seed uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slide.tiff")
	if _, err := (synth.Philips{Seed: seed, Width: 1300, Height: 900, TileSize: 64, Label: true, Macro: true, AssociatedIn: synth.InXML, MPPX: 1, MPPY: 1}).Write(path); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if s.slide, err = slide.Open(bytes.NewReader(s.file), int64(len(s.file))); err != nil {
		t.Fatal(err)
	}
	s.Put(t, s.bucket, "case 1/slide.tiff", s.file)
}

// sync inspects the slide.
func (s *remoteSite) sync(t *testing.T) {
	t.Helper()
	syncer := &scan.Syncer{Catalog: s.Catalog, Sources: s.pool(t)}
	if _, err := syncer.Sync(t.Context(), s.store.ID, scan.Options{}); err != nil {
		t.Fatal(err)
	}
	im, err := s.Images.ByPath(t.Context(), s.store.ID, "case 1/slide.tiff")
	if err != nil {
		t.Fatal(err)
	}
	if im.State != catalog.Available {
		t.Fatalf("the image is %s: %s", im.State, im.Reason)
	}
	s.image = *im
}

// process returns the image of a process that has just started, and whether the slide was opened from its record.
func (s *remoteSite) process(t *testing.T) *tile.Image {
	t.Helper()
	tiles := tile.New(tile.Options{
		Open: (&images{catalog: s.Catalog, sources: s.pool(t)}).open, Blank: render.Blank,
		Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
	})
	t.Cleanup(tiles.Close)
	tiles.Put(tile.File{ID: s.image.ID, Path: s.image.Path, Store: &tile.Store{ID: s.store.ID, Kind: string(s.store.Kind)}, Revision: s.image.Revision, Identity: s.image.Identity})
	im, err := tiles.Image(s.image.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.proxy.ResetCounts()
	return im
}

// get requests a tile of level 0, and compares it with the file.
func (s *remoteSite) get(ctx context.Context, t *testing.T, im *tile.Image, col, row int) error {
	t.Helper()
	ans, err := im.Tile(ctx, &tile.Address{Kind: tile.ByLevel, X: col, Y: row}, "")
	if err != nil {
		return err
	}
	defer ans.Release()
	want, err := s.slide.AppendTile(nil, 0, col, row)
	if err != nil || !bytes.Equal(ans.Body, want) {
		t.Errorf("tile %d,%d: %d bytes, want %d, %v", col, row, len(ans.Body), len(want), err)
	}
	return nil
}

// TestColdTile requests a tile from a process that has just started: it costs exactly one
// request to the bucket, and brings the tiles beside it.
func TestColdTile(t *testing.T) {
	s := newRemoteSite(t)
	for range 2 {
		im := s.process(t)
		if err := s.get(t.Context(), t, im, 10, 5); err != nil {
			t.Fatal(err)
		}
		if n, all := s.proxy.Count("get"), s.proxy.Count(""); n != 1 || all != 1 {
			t.Errorf("%d requests, %d of them GET; want one", all, n)
		}
		for col := 6; col < 14; col++ {
			if err := s.get(t.Context(), t, im, col, 5); err != nil {
				t.Fatal(err)
			}
		}
		if all := s.proxy.Count(""); all != 1 {
			t.Errorf("%d requests for eight tiles of a row, want one", all)
		}
		for row := range s.slide.Levels[0].Rows {
			for col := range s.slide.Levels[0].Columns {
				if err := s.get(t.Context(), t, im, col, row); err != nil {
					t.Fatal(err)
				}
			}
		}
	}

	// The label is read when it is requested, and is the same.
	im := s.process(t)
	want, err := s.slide.ReadAssociated("label")
	if err != nil {
		t.Fatal(err)
	}
	err = im.View(t.Context(), func(o *slide.Slide, _ tile.Lease) error {
		got, err := o.ReadAssociated("label")
		if err == nil && !bytes.Equal(got.JPEG(), want.JPEG()) {
			t.Error("another label")
		}
		return err
	})
	if err != nil || s.proxy.Count("") > 3 {
		t.Errorf("label: %v, %d requests", err, s.proxy.Count(""))
	}
}

// TestScreen requests the tiles of a screen at once, 20 ms away from the bucket.
func TestScreen(t *testing.T) {
	s := newRemoteSite(t)
	s.proxy.Latency(20 * time.Millisecond)
	im := s.process(t)
	began := time.Now()
	var wg sync.WaitGroup
	for row := 4; row < 8; row++ {
		for col := 8; col < 14; col++ {
			wg.Go(func() {
				if err := s.get(t.Context(), t, im, col, row); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	n := s.proxy.Count("")
	t.Logf("24 tiles in %v with %d requests", time.Since(began), n)
	if n > 12 {
		t.Errorf("%d requests for 4 rows of 6 tiles", n)
	}
}

// TestWithoutStructure opens a slide whose record is gone: it is read from the bucket, and
// recorded again.
func TestWithoutStructure(t *testing.T) {
	s := newRemoteSite(t)
	if err := s.Structures.Remove(t.Context(), s.image.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.get(t.Context(), t, s.process(t), 10, 5); err != nil {
		t.Fatal(err)
	}
	if n := s.proxy.Count(""); n < 2 {
		t.Errorf("%d requests without a record", n)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := structure.Find(t.Context(), s.Structures, s.image.ID, s.image.Revision); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if err := s.get(t.Context(), t, s.process(t), 10, 5); err != nil || s.proxy.Count("") != 1 {
		t.Errorf("%v, %d requests after it was recorded", err, s.proxy.Count(""))
	}
}

// TestReplaced replaces a slide by another one with the same layout: no tile of it is sent under the former
// revision, and after a sync a cold tile is again one request.
func TestReplaced(t *testing.T) {
	s := newRemoteSite(t)
	before := s.image.Revision
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // times have seconds
	opened := s.process(t)
	if err := s.get(t.Context(), t, opened, 10, 5); err != nil {
		t.Fatal(err)
	}
	s.write(t, 2)
	for _, im := range []*tile.Image{opened, s.process(t)} {
		for range 2 {
			if err := s.get(t.Context(), t, im, 3, 3); !errors.Is(err, tile.ErrChanged) {
				t.Errorf("after it was replaced: %v", err)
			}
		}
	}
	s.sync(t)
	if s.image.Revision == before {
		t.Fatal("the revision is the same")
	}
	if err := s.get(t.Context(), t, s.process(t), 10, 5); err != nil || s.proxy.Count("") != 1 {
		t.Errorf("after the sync: %v, %d requests", err, s.proxy.Count(""))
	}
}

// TestAbandoned lets all clients go while a tile is read: the request is cancelled. An outage is
// not a tile.
func TestAbandoned(t *testing.T) {
	s := newRemoteSite(t)
	im := s.process(t)
	if err := s.get(t.Context(), t, im, 10, 5); err != nil {
		t.Fatal(err)
	}
	s.proxy.Set(s3test.Fault{Delay: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.get(ctx, t, im, 3, 3); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	s.proxy.Set(s3test.Fault{Status: 503, Code: "SlowDown"})
	if err := s.get(t.Context(), t, im, 3, 3); !errors.Is(err, tile.ErrUnreachable) || time.Since(began) > 10*time.Second {
		t.Errorf("an outage: %v after %v", err, time.Since(began))
	}
	if err := s.get(t.Context(), t, im, 11, 5); err != nil {
		t.Errorf("a tile in memory, during an outage: %v", err)
	}
	s.proxy.Set()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.get(t.Context(), t, im, 3, 3)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after the outage: %v", err)
		}
	}
}
