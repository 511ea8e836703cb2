package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

// decoded returns a picture with its samples as they are stored.
func (st *site) decoded(path string) image.Image {
	st.t.Helper()
	a := st.get(path)
	m, err := jpeg.Decode(bytes.NewReader(a.body))
	if a.status != 200 || err != nil {
		st.t.Fatalf("%s: status %d, %v: %.200s", path, a.status, err, a.body)
	}
	return m
}

// TestStoredSamples requests parts of a slide that begin with a block of its JPEGs, as
// regions, Deep Zoom tiles of other sizes and IIIF: every sample is as stored. Other parts are
// rendered.
func TestStoredSamples(t *testing.T) {
	const width, height, side = 700, 500, 128
	st := newSite(t)
	id := st.generic(synth.Generic{Width: width, Height: height, TileW: side, TileH: side, Levels: 2})
	levels := [2]map[image.Point]image.Image{{}, {}}
	z := int(st.object("GET", "/api/v1/images/"+id, "", 200)["max_zoom"].(float64))
	sample := func(halved, x, y int) color.Color {
		at := image.Pt(x/side, y/side)
		if levels[halved][at] == nil {
			levels[halved][at] = st.decoded(fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d", id, z-halved, at.X, at.Y))
		}
		return levels[halved][at].At(x%side, y%side)
	}
	// different returns how many of the samples are not as stored; r is in pixels of the level.
	different := func(path string, halved int, r image.Rectangle) (n int) {
		t.Helper()
		got := st.decoded(path)
		if got.Bounds().Size() != r.Size() {
			t.Errorf("%s: %v, want %v", path, got.Bounds(), r)
			return -1
		}
		for y := range r.Dy() {
			for x := range r.Dx() {
				if got.At(x, y) != sample(halved, r.Min.X+x, r.Min.Y+y) {
					n++
				}
			}
		}
		return n
	}
	for _, tt := range []struct {
		part   string
		halved int
		r      image.Rectangle
		stored bool
	}{
		{"96,80,333,222/max", 0, image.Rect(96, 80, 429, 302), true},
		{"0,0,256,256/max", 0, image.Rect(0, 0, 256, 256), true},
		{"672,496,28,4/max", 0, image.Rect(672, 496, 700, 500), true},
		{"64,32,512,256/256,128", 1, image.Rect(32, 16, 288, 144), true},
		{"672,480,28,20/14,10", 1, image.Rect(336, 240, 350, 250), true},
		{"97,80,333,222/max", 0, image.Rect(97, 80, 430, 302), false},
		{"16,32,512,256/256,128", 1, image.Rect(8, 16, 264, 144), false},
	} {
		path := "/iiif/3/" + id + "/" + tt.part + "/0/default.jpg"
		if n := different(path, tt.halved, tt.r); n == 0 != tt.stored {
			t.Errorf("%s: %d samples are not as stored", path, n)
		}
	}
	const largest = 10 // 2^10 pixels
	for _, grid := range []struct {
		size, overlap int
		stored        bool
	}{{128, 0, true}, {256, 0, true}, {240, 16, true}, {64, 64, true}, {256, 1, false}, {250, 0, false}} {
		query := fmt.Sprintf("?tile_size=%d&overlap=%d", grid.size, grid.overlap)
		if a := st.get("/dzi/" + id + ".dzi" + query); !strings.Contains(string(a.body), fmt.Sprintf(`Overlap="%d" TileSize="%d"`, grid.overlap, grid.size)) {
			t.Errorf("descriptor %s", a.body)
		}
		for halved := range 2 {
			w, h := (width+1)>>halved, (height+1)>>halved
			if halved == 0 {
				w, h = width, height
			}
			for y := 0; y*grid.size < h; y++ {
				for x := 0; x*grid.size < w; x++ {
					r := image.Rect(x*grid.size-grid.overlap, y*grid.size-grid.overlap, (x+1)*grid.size+grid.overlap, (y+1)*grid.size+grid.overlap).Intersect(image.Rect(0, 0, w, h))
					path := fmt.Sprintf("/dzi/%s_files/%d/%d_%d.jpg%s", id, largest-halved, x, y, query)
					if n := different(path, halved, r); n > 0 && (grid.stored || r.Min.X%16 == 0 && r.Min.Y%16 == 0) {
						t.Errorf("%s: %d samples are not as stored", path, n)
					}
				}
			}
			if a := st.get(fmt.Sprintf("/dzi/%s_files/%d/%d_0.jpg%s", id, largest-halved, (w+grid.size-1)/grid.size, query)); a.status != 404 {
				t.Errorf("beyond the image: %d", a.status)
			}
		}
	}
	for _, level := range []int{0, 5, 8} { // no level of the slide has these pixels
		if got := st.decoded(fmt.Sprintf("/dzi/%s_files/%d/0_0.jpg?tile_size=512", id, level)); got.Bounds().Dx() != (width+1<<(largest-level)-1)>>(largest-level) {
			t.Errorf("level %d: %v", level, got.Bounds())
		}
	}
	for _, query := range []string{"tile_size=63", "tile_size=4096", "tile_size=x", "overlap=65", "overlap=-1"} {
		if a := st.get("/dzi/" + id + ".dzi?" + query); a.status != 400 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

// TestDeepZoomOfOtherTiles requests Deep Zoom tiles of a slide whose own are not square.
func TestDeepZoomOfOtherTiles(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 64})
	if a := st.get("/dzi/" + id + ".dzi"); !strings.Contains(string(a.body), `TileSize="256"`) {
		t.Errorf("descriptor %s", a.body)
	}
	if got := st.decoded("/dzi/" + id + "_files/10/2_1.jpg"); got.Bounds().Size() != image.Pt(700-512, 500-256) {
		t.Errorf("the last tile is %v", got.Bounds())
	}
}
