package rendercache

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// TestRegions renders regions of a slide: losslessly without a worker where its blocks allow
// it, from the kept overview, and from the cache if they show the entire slide.
func TestRegions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Seed: 7, Width: 4000, Height: 3000, TileSize: 256}).Write(path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	budget := render.NewBudget(64 << 20)
	k := New(Options{Cache: openCache(t, 1<<20), Workers: 1, Memory: budget})
	lease := tile.Lease{Store: "s", Current: func() bool { return true }}
	region := func(v render.View) []byte {
		t.Helper()
		b, err := k.Region(t.Context(), request(s, lease), Region{View: v})
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds() != image.Rect(0, 0, v.Width, v.Height) {
			t.Fatalf("%+v: %v, %v", v, img.Bounds(), err)
		}
		return b
	}
	k.workers <- struct{}{} // all workers are at work
	aligned := region(render.ViewOf(image.Rect(160, 320, 672, 832), 512, 512))
	if b, err := k.Stored(t.Context(), request(s, lease), render.ViewOf(image.Rect(160, 320, 672, 832), 512, 512)); err != nil || !bytes.Equal(b, aligned) {
		t.Errorf("Stored returns %d bytes, want the %d of the region (%v)", len(b), len(aligned), err)
	}
	<-k.workers
	stitched, _, err := render.Stitch(t.Context(), s, 0, image.Rect(160, 320, 672, 832), nil, render.StitchOptions{})
	if err != nil || !bytes.Equal(aligned, stitched) {
		t.Errorf("an aligned region has %d bytes, want the %d of the stored blocks (%v)", len(aligned), len(stitched), err)
	}
	region(render.ViewOf(image.Rect(161, 320, 673, 832), 512, 512))

	whole := region(render.Whole(s, 1000, 750))
	if n := k.o.Cache.Stats().Misses; n != 1 {
		t.Errorf("%d images were looked up, want 1", n)
	}
	if again := region(render.Whole(s, 1000, 750)); !bytes.Equal(whole, again) || k.o.Cache.Stats().Hits != 1 {
		t.Error("the second picture of the entire slide is not from the cache")
	}
	other := New(Options{Cache: openCache(t, 1<<20), Kept: 1})
	b, err := other.Region(t.Context(), request(s, lease), Region{View: render.Whole(s, 900, 675)})
	if err != nil || !bytes.Equal(b, region(render.Whole(s, 900, 675))) {
		t.Errorf("a picture from the kept overview differs from one from the tiles (%v)", err)
	}
	ctx, end := budget.Begin(t.Context(), time.Second)
	defer end()
	if err := render.Take(ctx, 64<<20); err != nil {
		t.Errorf("memory is taken after all regions were rendered: %v", err)
	}
}
