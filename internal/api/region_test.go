package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/codec"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/picture"
)

// pixelsOf decodes a picture.
func pixelsOf(t *testing.T, a answer) *image.RGBA {
	t.Helper()
	var img image.Image
	var err error
	switch a.header.Get("Content-Type") {
	case "image/png":
		img, err = png.Decode(bytes.NewReader(a.body))
	case "image/jpeg":
		img, err = jpeg.Decode(bytes.NewReader(a.body))
	case "application/octet-stream":
		w, _ := strconv.Atoi(a.header.Get("X-Region-Width"))
		h, _ := strconv.Atoi(a.header.Get("X-Region-Height"))
		if len(a.body) != 3*w*h {
			t.Fatalf("%d bytes of %d×%d pixels", len(a.body), w, h)
		}
		return picture.FromRGB(a.body, w, h)
	default:
		t.Fatalf("%d %v %.200s", a.status, a.header, a.body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return picture.RGBA(img)
}

// assembled returns the stored pixels of the largest level.
func (st *site) assembled(id string, width, height, tile int) *image.RGBA {
	st.t.Helper()
	z := int(st.object("GET", "/api/v1/images/"+id, "", 200)["max_zoom"].(float64))
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range (height + tile - 1) / tile {
		for x := range (width + tile - 1) / tile {
			img, err := codec.DecodeRGBA(st.get(fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d", id, z, x, y)).body, codec.Options{})
			if err != nil {
				st.t.Fatal(err)
			}
			draw.Draw(out, img.Rect.Add(image.Pt(tile*x, tile*y)), img, image.Point{}, draw.Src)
		}
	}
	return out
}

// cropped returns a part of img on white.
func cropped(img *image.RGBA, x, y, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(out, img.Rect.Sub(image.Pt(x, y)), img, image.Point{}, draw.Src)
	return out
}

// TestRegion checks the pixels and headers of regions against the stored tiles.
func TestRegion(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	whole := st.assembled(id, 700, 500, 128)
	at := "/api/v1/images/" + id + "/region?"
	const same, lossy, scaled = 0.0, 3.0, 8.0
	for _, tt := range []struct {
		query        string
		want         *image.RGBA
		most         float64 // mean difference
		box, clipped string
	}{
		{"format=png", whole, same, "0,0,700,500", ""},
		{"format=raw", whole, same, "0,0,700,500", ""},
		{"", whole, lossy, "0,0,700,500", ""},
		{"quality=95", whole, lossy, "0,0,700,500", ""},
		{"x=100&y=90&w=333&h=222&format=png", cropped(whole, 100, 90, 333, 222), same, "100,90,333,222", ""},
		{"x=101&y=91&w=33&h=22&format=raw", cropped(whole, 101, 91, 33, 22), same, "101,91,33,22", ""},
		{"x=127&y=127&w=2&h=2&format=png", cropped(whole, 127, 127, 2, 2), same, "127,127,2,2", ""},
		{"x=690&y=490&w=50&h=50&format=png", cropped(whole, 690, 490, 50, 50), same, "690,490,50,50", "690,490,10,10"},
		{"x=690&y=490&w=50&h=50&format=png&fill=clip", cropped(whole, 690, 490, 10, 10), same, "690,490,10,10", "690,490,10,10"},
		{"x=-30&y=-20&w=50&h=50&format=raw", cropped(whole, -30, -20, 50, 50), same, "-30,-20,50,50", "0,0,20,30"},
		{"x=-30&y=-20&w=50&h=50&format=raw&fill=clip", cropped(whole, 0, 0, 20, 30), same, "0,0,20,30", "0,0,20,30"},
		{"x=-100&y=-100&w=900&h=700&format=png", cropped(whole, -100, -100, 900, 700), same, "-100,-100,900,700", "0,0,700,500"},
		{"x=50&y=60&level=0&width=100&height=120&format=png", cropped(whole, 50, 60, 100, 120), same, "50,60,100,120", ""},
		{"x=690&y=490&level=0&width=20&height=20&format=raw&fill=clip", cropped(whole, 690, 490, 10, 10), same, "690,490,10,10", "690,490,10,10"},
		{"x=128&y=128&w=256&h=256&width=128&format=png", shrunk(cropped(whole, 128, 128, 256, 256), 128, 128), scaled, "128,128,256,256", ""},
		{"x=100&y=92&w=257&h=255&width=100&height=100", shrunk(cropped(whole, 100, 92, 257, 255), 100, 100), scaled, "100,92,257,255", ""},
		{"width=70", shrunk(whole, 70, 50), scaled, "0,0,700,500", ""},
	} {
		a := st.get(at + tt.query)
		if a.status != 200 {
			t.Errorf("%s: %d %s", tt.query, a.status, a.body)
			continue
		}
		img := pixelsOf(t, a)
		if d := picture.Difference(tt.want, img); d < 0 || d > tt.most {
			t.Errorf("%s: %v pixels, %v away, want %v and %v at most", tt.query, img.Rect.Size(), d, tt.want.Rect.Size(), tt.most)
		}
		h := a.header
		if h.Get("X-Region-Box") != tt.box || h.Get("X-Region-Clipped") != tt.clipped ||
			h.Get("X-Region-Width") != strconv.Itoa(img.Rect.Dx()) || h.Get("X-Region-Height") != strconv.Itoa(img.Rect.Dy()) {
			t.Errorf("%s: %v, want box %s, clipped %q", tt.query, h, tt.box, tt.clipped)
		}
		tag := h.Get("Etag")
		if a := st.get(at+tt.query, "If-None-Match", tag); a.status != 304 || len(a.body) != 0 || a.header.Get("Etag") != tag {
			t.Errorf("%s with its ETag %q: %d", tt.query, tag, a.status)
		}
		if a := st.ask("HEAD", at+tt.query, ""); a.status != 200 || len(a.body) != 0 || a.header.Get("Etag") != tag || a.header.Get("X-Region-Box") != tt.box {
			t.Errorf("HEAD %s: %d %v", tt.query, a.status, a.header)
		}
	}
}

// TestStoredRegion requests JPEGs of regions that begin on a block: each sample is as it is stored,
// also with the colour profile. Those with a quality, or that begin elsewhere, are encoded again.
func TestStoredRegion(t *testing.T) {
	st := newSite(t)
	id := st.colored()["scanner.tiff"]
	stored := image.NewRGBA(image.Rect(0, 0, 500, 400))
	for y := range 4 {
		for x := range 4 {
			tile := st.get(fmt.Sprintf("/api/v1/images/%s/tiles/2/%d/%d", id, x, y))
			draw.Draw(stored, image.Rect(0, 0, 128, 128).Add(image.Pt(128*x, 128*y)), pixelsOf(t, tile), image.Point{}, draw.Src)
		}
	}
	for query, same := range map[string]bool{
		"x=16&y=32&w=256&h=160": true, "x=128&y=128&w=128&h=128": true, "x=0&y=0": true, "x=48&y=112&w=77&h=55&icc=embed": true,
		"x=16&y=32&width=256&height=160&level=0": true,
		"x=16&y=32&w=256&h=160&quality=85":       false, "x=16&y=32&w=256&h=160&icc=srgb": false, "x=17&y=32&w=256&h=160": false,
	} {
		a := st.get("/api/v1/images/" + id + "/region?" + query)
		got := pixelsOf(t, a)
		var x, y, w, h int
		fmt.Sscanf(a.header.Get("X-Region-Box"), "%d,%d,%d,%d", &x, &y, &w, &h)
		if d := picture.Difference(cropped(stored, x, y, w, h), got); (d == 0) != same || d < 0 {
			t.Errorf("%s: %v pixels, %v away from those stored; the same: %t", query, got.Rect.Size(), d, same)
		}
		if p, err := slide.JPEGProfile(a.body); err != nil || (len(p) > 0) != strings.Contains(query, "embed") {
			t.Errorf("%s: a profile of %d bytes, %v", query, len(p), err)
		}
	}
}

// Different regions have different ETags, and the revision decides how long one is kept.
func TestRegionTags(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	at := "/api/v1/images/" + id + "/region?"
	seen := map[string]string{}
	for _, q := range []string{"w=9&h=9", "w=9&h=10", "x=1&w=9&h=9", "w=9&h=9&width=5", "w=9&h=9&format=png", "w=9&h=9&format=raw", "w=9&h=9&quality=85", "width=9&height=9&level=1", "w=9&h=9&x=-1", "w=9&h=9&x=-1&fill=clip"} {
		a := st.get(at + q)
		tag := a.header.Get("Etag")
		if seen[tag] != "" || len(tag) < 10 || a.header.Get("Cache-Control") != "private, max-age=60" {
			t.Errorf("%s: %d, ETag %s (also of %q), Cache-Control %q", q, a.status, tag, seen[tag], a.header.Get("Cache-Control"))
		}
		seen[tag] = q
	}
	im, err := st.api.Catalog.Images.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if a := st.get(at + "w=9&h=9&v=" + im.Revision); a.status != 200 || a.header.Get("Cache-Control") != "private, max-age=31536000, immutable" {
		t.Errorf("current revision: %d, Cache-Control %q", a.status, a.header.Get("Cache-Control"))
	}
	st.refused("GET", at+"w=9&h=9&v=0123", "", 404, "revision")
	st.refused("GET", "/api/v1/images/none/region?w=9&h=9", "", 404, "no such image")
	if _, err := st.api.Catalog.Stores.Update(t.Context(), st.store, func(s *catalog.Store) error { s.Public = true; return nil }); err != nil {
		t.Fatal(err)
	}
	st.load()
	if a := st.get(at + "w=9&h=9"); !strings.HasPrefix(a.header.Get("Cache-Control"), "public, ") {
		t.Errorf("of a public store: %d, Cache-Control %q", a.status, a.header.Get("Cache-Control"))
	}
}

// TestRegionScale draws by pixel size and magnification: sizes and boxes follow.
func TestRegionScale(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	im := st.object("GET", "/api/v1/images/"+id, "", 200)
	mpp := im["mpp_x"].(float64)
	at := "/api/v1/images/" + id + "/region?format=raw&"
	for query, want := range map[string]string{
		fmt.Sprintf("x=0&y=0&w=%v&h=%v&unit=um", 100*mpp, 50*mpp):            "100×50 0,0,100,50",
		fmt.Sprintf("x=0&y=0&w=200&h=100&mpp=%v", 2*mpp):                     "100×50 0,0,200,100",
		fmt.Sprintf("x=10&y=20&width=50&height=40&mpp=%v", 4*mpp):            "50×40 10,20,200,160",
		fmt.Sprintf("x=0&y=0&w=200&h=100&magnification=%v", 10/mpp/2):        "100×50 0,0,200,100",
		fmt.Sprintf("x=1&y=1&width=20&height=10&magnification=%v", 10/mpp/4): "20×10 1,1,80,40",
		"x=3&y=3&level=1&width=20&height=10":                                 "20×10 2,2,40,20",
		"x=0&y=0&w=10&h=10&width=30":                                         "30×30 0,0,10,10",
	} {
		a := st.get(at + query)
		if got := fmt.Sprintf("%s×%s %s", a.header.Get("X-Region-Width"), a.header.Get("X-Region-Height"), a.header.Get("X-Region-Box")); a.status != 200 || got != want {
			t.Errorf("%s: %d %s, want %s %.200s", query, a.status, got, want, a.body)
		}
	}
	// The pixels of a stored level are those of its tiles.
	level, err := codec.DecodeRGBA(st.get("/apiv1/slides/a.tiff/1/1/1").body, codec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := picture.Difference(level, pixelsOf(t, st.get(at+"x=256&y=256&level=1&width=128&height=128"))); level.Rect.Dx() == 128 && d != 0 {
		t.Errorf("a tile of level 1 is %v away", d)
	}
}

func TestRegionRefused(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	for query, want := range map[string]struct {
		status int
		words  string
	}{
		"x=NaN":                              {400, "not a number"},
		"w=Inf&h=1":                          {400, "not a number"},
		"w=0":                                {400, `"w=\"0\" must`},
		"w=1e9&h=1e9":                        {400, "out of range"},
		"w=1e8&h=1e8":                        {413, "16384"},
		"width=16385":                        {413, "16384"},
		"width=1000000000":                   {413, "16384"},
		"width=0":                            {400, "at least 1"},
		"x=100000&y=0&w=10&h=10":             {400, "outside of the image"},
		"level=77&width=1&height=1":          {400, "levels 0 to"},
		"level=0&w=5&h=5":                    {400, "instead of w and h"},
		"format=webp":                        {400, "not supported"},
		"zoom=3":                             {400, "Unknown parameter"},
		"x=1&x=2":                            {400, "given 2 times"},
		"x=1&pass=a&pass=b":                  {400, "given 2 times"},
		"%zz":                                {400, "malformed"},
		"icc=p3":                             {400, "none or srgb or embed"},
		"w=1e8&h=1e-3&width=1&height=1":      {0, ""},
		"w=1e-8&h=1e-8&width=1":              {0, ""},
		"x=-9e7&y=-9e7&w=1e8&h=1e8&width=64": {0, ""},
	} {
		a := st.get("/api/v1/images/" + id + "/region?" + query)
		if want.status == 0 { // rendered or refused, and at once
			if a.status >= 500 {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
			continue
		}
		if a.status != want.status || !strings.Contains(string(a.body), want.words) || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s, want %d and %q", query, a.status, a.body, want.status, want.words)
		}
		st.isProblem(a)
	}
}

// TestRegionOfChangedFile fails if an overwritten file is shown, or if a later request gets
// something that was rendered before.
func TestRegionOfChangedFile(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	path := "/api/v1/images/" + id + "/region?w=100&h=100"
	before := st.get(path)
	wantJPEG(t, path, before, 100, 100)
	file := filepath.Join(st.path("slides"), "a.tiff")
	if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, headers := range [][]string{nil, {"If-None-Match", before.header.Get("Etag")}} {
		a := st.get(path, headers...)
		if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Etag") != "" {
			t.Errorf("GET %s: %d, %v, want 503", path, a.status, a.header)
		}
		st.isProblem(a)
	}
}

// TestLargeRegion draws regions of several bands: as JPEG, PNG and raw.
func TestLargeRegion(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	whole := st.assembled(id, 700, 500, 128)
	at := "/api/v1/images/" + id + "/region?"
	const w, h = 1936, 2240 // two bands: the slide lies in both
	for _, format := range []string{"raw", "png", "jpeg"} {
		a := st.get(fmt.Sprintf("%sx=-1000&y=-1700&w=%d&h=%d&format=%s", at, w, h, format))
		img := pixelsOf(t, a)
		most := 0.0
		if format == "jpeg" {
			most = 0.5
		}
		if d := picture.Difference(cropped(whole, -1000, -1700, w, h), img); d < 0 || d > most {
			t.Errorf("%s: %v pixels, %v away", format, img.Rect.Size(), d)
		}
		if c := a.header.Get("Content-Length"); (c != "") != (format == "raw") || format == "raw" && c != strconv.Itoa(3*w*h) {
			t.Errorf("%s: Content-Length %q", format, c)
		}
	}
	if a := st.ask("HEAD", fmt.Sprintf("%sx=-1000&y=-1700&w=%d&h=%d&format=raw", at, w, h), ""); a.status != 200 || a.header.Get("Content-Length") != strconv.Itoa(3*w*h) {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
}

// TestRegionTIFF cuts out a part: its pixels are those of the slide, and the box says where it
// lies.
func TestRegionTIFF(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	whole := st.assembled(id, 700, 500, 128)
	path := "/api/v1/images/" + id + "/region?x=100&y=90&w=333&h=222&format=tiff"
	a := st.get(path)
	if a.status != 200 || a.header.Get("Content-Type") != "image/tiff" || a.header.Get("X-Region-Box") != "96,80,352,240" || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Fatalf("%d %v %.200s", a.status, a.header, a.body)
	}
	img := firstTile(t, a.body, 352, 240)
	const inner = 16 // within one tile of the slide, where no other chroma is blended
	if d := picture.Difference(cropped(whole, 96, 80, inner, inner), cropped(img, 0, 0, inner, inner)); d != 0 {
		t.Errorf("the first pixels are %v away", d)
	}
	if a := st.get(path, "If-None-Match", a.header.Get("Etag")); a.status != 304 {
		t.Errorf("with its ETag: %d", a.status)
	}
}

// firstTile returns the first tile of a TIFF, whose largest level must have that size.
func firstTile(t *testing.T, file []byte, width, height int) *image.RGBA {
	t.Helper()
	s, err := slide.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Levels[0]; l.Width != width || l.Height != height {
		t.Errorf("%d×%d pixels, want %d×%d", l.Width, l.Height, width, height)
	}
	b, err := s.AppendTile(nil, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	img, err := codec.DecodeRGBA(b, codec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}
