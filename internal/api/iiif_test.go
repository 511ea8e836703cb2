package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/test/picture"
)

// picture requests a picture and decodes it.
func (st *site) picture(path string) *image.RGBA {
	st.t.Helper()
	a := st.get(path)
	if a.status != 200 {
		st.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	decode := jpeg.Decode
	if want := "image/png"; strings.Contains(path, ".png") {
		decode = png.Decode
		if got := a.header.Get("Content-Type"); got != want {
			st.t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
	img, err := decode(bytes.NewReader(a.body))
	if err != nil {
		st.t.Fatalf("GET %s: %v", path, err)
	}
	return picture.RGBA(img)
}

// generic is the id of a slide whose size is not a multiple of the tile size.
func (st *site) generic(g synth.Generic) string {
	st.t.Helper()
	st.write(g, "slides/a.tiff")
	return st.slides(nil)["a.tiff"]
}

// TestIIIFPixels checks that a region has the right pixels, stored or rendered.
func TestIIIFPixels(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	at := "/iiif/3/" + id + "/"
	// The complete picture, assembled from its 6 × 4 tiles.
	whole := image.NewRGBA(image.Rect(0, 0, 700, 500))
	im := st.object("GET", "/api/v1/images/"+id, "", 200)
	z := int(im["max_zoom"].(float64))
	for y := range 4 {
		for x := range 6 {
			tile := st.picture(fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d", id, z, x, y))
			draw.Draw(whole, tile.Rect.Add(image.Pt(128*x, 128*y)), tile, image.Point{}, draw.Src)
		}
	}
	part := func(x, y, w, h int) *image.RGBA {
		out := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(out, out.Rect, whole, image.Pt(x, y), draw.Src)
		return out
	}
	for path, want := range map[string]*image.RGBA{
		"full/max/0/default.png":                                         whole,
		"100,90,333,222/max/0/default.png":                               part(100, 90, 333, 222),
		"127,127,2,2/max/0/color.png":                                    part(127, 127, 2, 2),
		"690,490,50,50/max/0/color.png":                                  part(690, 490, 10, 10),
		"square/max/0/default.png":                                       part(100, 0, 500, 500),
		"pct:50,50,10,10/max/0/default.png":                              part(350, 250, 70, 50),
		"10,20,30,40/max/90/default.png":                                 turned(part(10, 20, 30, 40), 1),
		"10,20,30,40/max/180/default.png":                                turned(part(10, 20, 30, 40), 2),
		"10,20,30,40/max/270/default.png":                                turned(part(10, 20, 30, 40), 3),
		"10,20,30,40/max/!0/default.png":                                 mirrored(part(10, 20, 30, 40)),
		"10,20,30,40/max/!90/default.png":                                turned(mirrored(part(10, 20, 30, 40)), 1),
		"10,20,30,40/max/0/gray.png":                                     grey(part(10, 20, 30, 40), false),
		"10,20,30,40/max/0/bitonal.png":                                  grey(part(10, 20, 30, 40), true),
		"%31%30,20,30,40/max/0/bitonal.png?v=" + im["revision"].(string): grey(part(10, 20, 30, 40), true),
	} {
		// The decoder of this test repeats samples of chroma, which the server blends with their
		// neighbours, as libjpeg does.
		const blended = 0.6
		if d := picture.Difference(want, st.picture(at+path)); d < 0 || d > blended {
			t.Errorf("%s is %v away", path, d)
		}
	}
	// Half the size, aligned: each pixel is the mean of four pixels of the stored level.
	for path, most := range map[string]float64{"128,128,256,256/128,128/0/default.png": 6, "100,92,256,256/100,100/0/default.jpg": 8, "full/70,50/0/default.jpg": 8} {
		var x, y, w, h, ow, oh int
		if n, _ := fmt.Sscanf(path, "%d,%d,%d,%d/%d,%d/", &x, &y, &w, &h, &ow, &oh); n != 6 {
			x, y, w, h, ow, oh = 0, 0, 700, 500, 70, 50
		}
		if d := picture.Difference(shrunk(part(x, y, w, h), ow, oh), st.picture(at+path)); d < 0 || d > most {
			t.Errorf("%s is %v away, want %v at most", path, d, most)
		}
	}
}

func turned(img *image.RGBA, quarters int) *image.RGBA {
	for range quarters {
		out := image.NewRGBA(image.Rect(0, 0, img.Rect.Dy(), img.Rect.Dx()))
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				out.SetRGBA(img.Rect.Dy()-1-y, x, img.RGBAAt(x, y))
			}
		}
		img = out
	}
	return img
}

func mirrored(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			out.SetRGBA(img.Rect.Dx()-1-x, y, img.RGBAAt(x, y))
		}
	}
	return out
}

func grey(img *image.RGBA, bitonal bool) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := img.RGBAAt(x, y)
			l := uint8((299*int(c.R) + 587*int(c.G) + 114*int(c.B) + 500) / 1000)
			if bitonal && l < 128 {
				l = 0
			} else if bitonal {
				l = 255
			}
			out.SetRGBA(x, y, color.RGBA{l, l, l, 255})
		}
	}
	return out
}

// shrunk computes each pixel as the mean of the area that it covers.
func shrunk(img *image.RGBA, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			var sum [3]int
			x0, x1, y0, y1 := x*img.Rect.Dx()/w, (x+1)*img.Rect.Dx()/w, y*img.Rect.Dy()/h, (y+1)*img.Rect.Dy()/h
			for v := y0; v < y1; v++ {
				for u := x0; u < x1; u++ {
					c := img.RGBAAt(u, v)
					sum[0], sum[1], sum[2] = sum[0]+int(c.R), sum[1]+int(c.G), sum[2]+int(c.B)
				}
			}
			n := (x1 - x0) * (y1 - y0)
			out.SetRGBA(x, y, color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), 255})
		}
	}
	return out
}

// A region that is a tile has the same bytes as the tile.
func TestIIIFTiles(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 700, Height: 500, TileW: 128, TileH: 128})
	im := st.object("GET", "/api/v1/images/"+id, "", 200)
	z := int(im["max_zoom"].(float64))
	same := func(path, other string) {
		t.Helper()
		a, b := st.get(path), st.get(other)
		if a.status != 200 || !bytes.Equal(a.body, b.body) || a.header.Get("Etag") != b.header.Get("Etag") {
			t.Errorf("%s: %d, %d bytes %s; %s: %d, %d bytes %s", path, a.status, len(a.body), a.header.Get("Etag"), other, b.status, len(b.body), b.header.Get("Etag"))
		}
		if c := st.get(path, "If-None-Match", a.header.Get("Etag")); c.status != 304 || len(c.body) != 0 {
			t.Errorf("%s: %d, want 304", path, c.status)
		}
		if c := st.ask("HEAD", path, ""); c.status != 200 || c.header.Get("Content-Length") != fmt.Sprint(len(a.body)) {
			t.Errorf("HEAD %s: %d, %v", path, c.status, c.header)
		}
	}
	tile := func(z, x, y int) string { return fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d", id, z, x, y) }
	deep := func(k, x, y int) string { return fmt.Sprintf("/dzi/%s_files/%d/%d_%d.jpg", id, 10-k, x, y) }
	same("/iiif/3/"+id+"/128,256,128,128/128,128/0/default.jpg", tile(z, 1, 2))
	same("/iiif/2/"+id+"/128,256,128,128/128,/0/default.jpg", tile(z, 1, 2))
	same("/iiif/2/"+id+"/128,256,128,128/full/0/color.jpg", tile(z, 1, 2))
	same("/iiif/3/"+id+"/256,0,256,256/128,128/0/default.jpg", tile(z-1, 1, 0))
	same("/iiif/3/"+id+"/640,384,60,116/max/0/default.jpg", deep(0, 5, 3))
	same("/iiif/3/"+id+"/512,256,188,244/94,122/0/default.jpg", deep(1, 2, 1))
	same("/iiif/3/"+id+"/full/88,63/0/default.jpg", deep(3, 0, 0))
	same("/zoomify/"+id+"/TileGroup0/3-1-2.jpg", tile(z, 1, 2))
	same("/zoomify/"+id+"/TileGroup0/3-5-3.jpg", deep(0, 5, 3))
	same("/zoomify/"+id+"/TileGroup7/2-0-0.jpg", tile(z-1, 0, 0))
	same("/zoomify/"+id+"/TileGroup0/1-0-0.jpg", deep(2, 0, 0))
	// 700×500 is halved to 88×63 as by libvips, which rounds up.
	if got := st.picture("/zoomify/" + id + "/TileGroup0/0-0-0.jpg"); got.Rect.Size() != image.Pt(88, 63) {
		t.Errorf("tier 0 has %v", got.Rect.Size())
	}
	for _, path := range []string{"/TileGroup0/4-0-0.jpg", "/TileGroup0/3-6-0.jpg", "/TileGroup0/3-0-4.jpg", "/TileGroup0/0-1-0.jpg"} {
		if a := st.get("/zoomify/" + id + path); a.status != 404 {
			t.Errorf("%s: %d, want 404", path, a.status)
		}
	}
	// With the revision in the URL, the response may be cached for a year.
	for _, path := range []string{"/iiif/3/" + id + "/0,0,128,128/max/0/default.jpg?v=", "/iiif/3/" + id + "/5,5,9,9/max/0/default.png?v=", "/zoomify/" + id + "/TileGroup0/0-0-0.jpg?v="} {
		if a := st.get(path + im["revision"].(string)); a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if a := st.get(path + "another"); a.status != 404 || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%sanother: %d %v, want 404", path, a.status, a.header)
		}
	}
}

func TestIIIFInfo(t *testing.T) {
	st := newSite(t)
	id := st.generic(synth.Generic{Width: 1250, Height: 750, TileW: 128, TileH: 128})
	got := st.object("GET", "/iiif/3/"+id+"/info.json", "", 200)
	sizes := []any{}
	for _, s := range [][2]float64{{79, 47}, {157, 94}, {313, 188}, {625, 375}, {1250, 750}} {
		sizes = append(sizes, map[string]any{"width": s[0], "height": s[1]})
	}
	tiles := []any{map[string]any{"width": 128.0, "height": 128.0, "scaleFactors": []any{1.0, 2.0, 4.0, 8.0, 16.0}}}
	want := map[string]any{
		"@context": "http://iiif.io/api/image/3/context.json", "id": st.url + "/iiif/3/" + id, "type": "ImageService3", "protocol": "http://iiif.io/api/image",
		"profile": "level2", "width": 1250.0, "height": 750.0, "maxWidth": 16384.0, "maxHeight": 16384.0, "sizes": sizes, "tiles": tiles,
		"extraQualities": []any{"color", "gray", "bitonal"}, "extraFeatures": []any{"mirroring", "profileLinkHeader"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("version 3 (-want +got):\n%s", diff)
	}
	got = st.object("GET", "/iiif/2/"+id+"/info.json", "", 200)
	if got["@id"] != st.url+"/iiif/2/"+id || got["profile"].([]any)[0] != "http://iiif.io/api/image/2/level2.json" {
		t.Errorf("version 2: %v", got)
	}
	a := st.get("/iiif/3/"+id+"/info.json", "Accept", "application/ld+json")
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil || a.header.Get("Content-Type") != `application/ld+json;profile="http://iiif.io/api/image/3/context.json"` || !strings.Contains(fmt.Sprint(a.header["Vary"]), "Accept") {
		t.Errorf("as JSON-LD: %v %v", a.header, err)
	}
	stay := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Get(st.url + "/iiif/3/" + id + "?sig=a%26b")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/iiif/3/"+id+"/info.json?sig=a%26b" {
		t.Errorf("%d to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	st.api.PublicURL = "https://slides.example.org/"
	if got := st.object("GET", "/iiif/3/"+id+"/info.json", "", 200)["id"]; got != "https://slides.example.org/iiif/3/"+id {
		t.Errorf("id %v", got)
	}
	if a := st.get("/zoomify/" + id + "/ImageProperties.xml"); string(a.body) != `<IMAGE_PROPERTIES WIDTH="1250" HEIGHT="750" NUMTILES="84" NUMIMAGES="1" VERSION="1.8" TILESIZE="128"/>`+"\n" || a.header.Get("Content-Type") != "application/xml" {
		t.Errorf("Zoomify: %s %v", a.body, a.header)
	}
	for path, words := range map[string]string{
		"full/^max/0/default.jpg":        "enlarging is not supported",
		"full/3000,/0/default.jpg":       "larger than the region",
		"0,0,1250,750/1,750/0/color.jpg": "", // flat, and still little to read
		"0,0,10,10/max/45/default.jpg":   "Rotation",
	} {
		if a := st.get("/iiif/3/" + id + "/" + path); (a.status == 400) != (words != "") || !strings.Contains(string(a.body), words) {
			t.Errorf("%s: %d %.200s", path, a.status, a.body)
		}
	}
}

// A signed link of a slide is also valid for IIIF and Zoomify.
func TestIIIFSigned(t *testing.T) {
	g := newGuardedSite(t)
	a := g.as("viewer", "POST", "/api/v1/images/"+g.slide+"/sign", `{}`)
	var v struct{ Query string }
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, path := range []string{"/iiif/3/%s", "/iiif/3/%s/info.json", "/iiif/2/%s/full/max/0/default.jpg", "/iiif/2/%s/0,0,128,128/full/0/default.jpg", "/zoomify/%s/ImageProperties.xml", "/zoomify/%s/TileGroup0/0-0-0.jpg"} {
		if a := g.get(fmt.Sprintf(path, g.slide) + "?" + v.Query); a.status != 200 || !strings.HasPrefix(a.header.Get("Cache-Control"), "private") {
			t.Errorf("%s with a link: %d %v", path, a.status, a.header)
		}
		if a := g.get(fmt.Sprintf(path, g.away) + "?" + v.Query); a.status != 401 {
			t.Errorf("%s with a link to another slide: %d, want 401", path, a.status)
		}
	}
}

// TestLargeIIIF requests an image of several bands, also mirrored.
func TestLargeIIIF(t *testing.T) {
	st := newSite(t)
	const w, h, side = 1936, 2240, 512 // two bands
	id := st.generic(synth.Generic{Width: w, Height: h, TileW: side, TileH: side})
	whole := st.assembled(id, w, h, side)
	flipped := image.NewRGBA(whole.Rect)
	for y := range h {
		copy(flipped.Pix[y*flipped.Stride:][:4*w], whole.Pix[(h-1-y)*whole.Stride:])
	}
	for path, want := range map[string]struct {
		picture *image.RGBA
		most    float64
	}{
		"full/max/0/default.png":    {whole, 0},
		"full/max/!180/default.png": {flipped, 0},
		"full/max/!180/color.jpg":   {flipped, 1},
	} {
		if d := picture.Difference(want.picture, st.picture("/iiif/3/"+id+"/"+path)); d < 0 || d > want.most {
			t.Errorf("%s: %v away", path, d)
		}
	}
}
