package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/picture"
)

// A pyramid is a picture as one of SlideAtlas's uploaders stores it. Nothing of it comes from
// the code that is tested.
type pyramid struct {
	picture *image.RGBA // from 0,0
	at      image.Point // of the picture in the square
	tile    int
	levels  int
	stored  map[string][]byte // by name
	smaller map[string]*image.RGBA
}

// newPyramid stores a picture of w × h pixels in tiles. With foot it lies at the foot of the
// square, else at its head. With cut, tiles end with the picture instead of being padded.
func newPyramid(t *testing.T, w, h, tile int, foot, cut bool) *pyramid {
	t.Helper()
	p := &pyramid{picture: picture.Checkered(w, h), tile: tile, levels: 1, stored: map[string][]byte{}, smaller: map[string]*image.RGBA{}}
	for tile<<(p.levels-1) < max(w, h) {
		p.levels++
	}
	if foot {
		p.at.Y = tile<<(p.levels-1) - h
	}
	for z := range p.levels {
		level := p.halved(p.levels-1-z, p.at)
		for y := range 1 << z {
			for x := range 1 << z {
				square := image.Rect(x*tile, y*tile, (x+1)*tile, (y+1)*tile)
				shown := square.Intersect(level.Rect)
				if shown.Empty() {
					continue
				}
				if cut {
					square.Max = shown.Max
				}
				m := image.NewRGBA(square) // padded with black
				draw.Draw(m, m.Rect, image.Black, image.Point{}, draw.Src)
				draw.Draw(m, shown, level, shown.Min, draw.Src)
				var b bytes.Buffer
				if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 97}); err != nil {
					t.Fatal(err)
				}
				p.stored[pathOf(z, x, y)] = b.Bytes()
			}
		}
	}
	return p
}

// pathOf returns the name of a tile: a letter for each quadrant on the way to it.
func pathOf(z, x, y int) string {
	name := "t"
	for half := 1 << z >> 1; half > 0; half >>= 1 {
		switch {
		case x&half == 0 && y&half == 0:
			name += "q"
		case y&half == 0:
			name += "r"
		case x&half == 0:
			name += "t"
		default:
			name += "s"
		}
	}
	return name
}

// halved returns the picture with its corner at a point, halved k times: each pixel is the
// mean of what it covers of the picture.
func (p *pyramid) halved(k int, at image.Point) *image.RGBA {
	key := fmt.Sprint(k, at)
	if m := p.smaller[key]; m != nil {
		return m
	}
	out := picture.Reduced(p.picture, 1<<k, at)
	p.smaller[key] = out
	return out
}

// put adds the pyramid to the site as the image with that id.
func (st *site) put(id string, p *pyramid, origin slide.Origin, without ...string) {
	st.t.Helper()
	im := slideatlas.Image{Grid: slideatlas.Grid{TileSize: p.tile, Levels: p.levels, Bounds: p.picture.Rect.Add(p.at)}}
	s, err := im.Slide(func(dst []byte, tile slideatlas.Tile) ([]byte, error) {
		name := pathOf(tile.Zoom, tile.Column, tile.Row)
		b, ok := p.stored[name]
		for _, w := range without {
			ok = ok && name != w
		}
		if !ok {
			return dst, slideatlas.ErrNoTile
		}
		return append(dst, b...), nil
	})
	if err != nil {
		st.t.Fatal(err)
	}
	st.others.Store(id, s)
	st.api.Tiles.Put(tile.File{
		ID: id, Path: id, Revision: "r" + id,
		Store: &tile.Store{ID: "o" + id, Kind: "mongodb", Origin: origin, Background: color.RGBA{250, 240, 230, 255}},
	})
}

// same reports pictures that differ by more than a mean, or whose edges do.
func (st *site) same(path string, want *image.RGBA, tolerance float64) {
	st.t.Helper()
	got := st.picture(path)
	if d := picture.Difference(got, want); d < 0 || d > tolerance {
		st.t.Errorf("%s: the mean difference is %.2f, %v, want %v", path, d, got.Rect, want.Rect)
		return
	}
	end := got.Rect.Max
	for _, edge := range []image.Rectangle{{Max: image.Pt(end.X, 1)}, {Max: image.Pt(1, end.Y)}, {image.Pt(end.X-1, 0), end}, {image.Pt(0, end.Y-1), end}} {
		// Only brightness: padding has a part in the colours of the last pixels.
		a, b := picture.Mean(got, edge), picture.Mean(want, edge)
		if d := float64(color.GrayModel.Convert(a).(color.Gray).Y) - float64(color.GrayModel.Convert(b).(color.Gray).Y); math.Abs(d) > 3+2*tolerance {
			st.t.Errorf("%s: the edge %v is %v, want %v", path, edge, a, b)
		}
	}
}

// TestBounds requests a picture that lies at the head or the foot of its square under all
// kinds of addresses, and compares the pixels with the picture.
func TestBounds(t *testing.T) {
	for _, tt := range []struct {
		name       string
		w, h, tile int
		foot, cut  bool
	}{
		{"head, cut", 901, 603, 256, false, true},
		{"head, padded", 901, 603, 256, false, false},
		{"foot, padded", 901, 603, 256, true, false},
		{"foot, cut", 901, 603, 256, true, true},
		{"foot, on the grid", 901, 512, 256, true, false},
		{"foot, large tiles", 700, 1101, 512, true, false},
		{"head, large tiles", 700, 1101, 512, false, true},
		{"head, one tile", 131, 77, 256, false, true},
		{"foot, one tile", 131, 77, 256, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := newSite(t)
			p := newPyramid(t, tt.w, tt.h, tt.tile, tt.foot, tt.cut)
			st.put("a", p, slide.BottomLeft)
			p.checkStored(st)
			p.checkDeepZoom(st)
			p.checkZoomify(st)
			p.checkIIIF(st)
			for _, n := range []int{64, 100, 256} {
				w, h := min(n, tt.w), 0
				if h = (tt.h*w + tt.w/2) / tt.w; tt.h > tt.w {
					h = min(n, tt.h)
					w = (tt.w*h + tt.h/2) / tt.h
				}
				if w > tt.w || h > tt.h {
					continue
				}
				st.same(fmt.Sprintf("/api/v1/images/a/thumbnail?width=%d&height=%d", n, n), picture.Scaled(p.picture, p.picture.Rect, w, h), 6)
			}
		})
	}
}

// checkStored requests the tiles of the square: those that are stored are answered byte for
// byte, by zoom level and by name, and others do not exist.
func (p *pyramid) checkStored(st *site) {
	st.t.Helper()
	for z := range p.levels {
		for y := range 1<<z + 1 {
			for x := range 1<<z + 1 {
				want, status := p.stored[pathOf(z, x, y)], 200
				if x >= 1<<z || y >= 1<<z || want == nil {
					want, status = nil, 404
				}
				paths := []string{fmt.Sprintf("/api/v1/images/a/tiles/%d/%d/%d.jpg", z, x, y), fmt.Sprintf("/apiv1/slides/a/%d/%d/%d", x, y, p.levels-1-z)}
				if x < 1<<z && y < 1<<z {
					name := pathOf(z, x, y) + ".jpg"
					paths = append(paths, "/api/v1/images/a/tiles/"+name, "/tile/oa/a/"+name, "/tile?db=oa&img=a&name="+name)
				}
				for _, path := range paths {
					a := st.get(path)
					if a.status != status || status == 200 && !bytes.Equal(a.body, want) {
						st.t.Errorf("%s: %d, %d bytes, want %d, %d bytes", path, a.status, len(a.body), status, len(want))
					}
				}
			}
		}
	}
}

// tolerance is how much a tile of the picture halved k times may differ. Pixels of a level
// that are not those of the halved picture are blended.
func (p *pyramid) tolerance(k int) float64 {
	if (p.at.X|p.at.Y)&(1<<k-1) != 0 {
		return 6
	}
	return 2
}

// tilesOf calls f with the tiles of the picture halved k times, counted from its corner.
func (p *pyramid) tilesOf(k int, f func(x, y int, want *image.RGBA)) {
	small := p.halved(k, image.Point{})
	for y := 0; y*p.tile < small.Rect.Max.Y; y++ {
		for x := 0; x*p.tile < small.Rect.Max.X; x++ {
			r := image.Rect(x*p.tile, y*p.tile, (x+1)*p.tile, (y+1)*p.tile).Intersect(small.Rect)
			want := image.NewRGBA(image.Rectangle{Max: r.Size()})
			draw.Draw(want, want.Rect, small, r.Min, draw.Src)
			f(x, y, want)
		}
	}
}

func (p *pyramid) checkDeepZoom(st *site) {
	st.t.Helper()
	size := p.picture.Rect.Size()
	if a := st.get("/dzi/a.dzi"); !strings.Contains(string(a.body), fmt.Sprintf(`<Size Width="%d" Height="%d"/>`, size.X, size.Y)) {
		st.t.Errorf("descriptor %s", a.body)
	}
	largest := 0
	for 1<<largest < max(size.X, size.Y) {
		largest++
	}
	for k := range largest + 1 {
		p.tilesOf(k, func(x, y int, want *image.RGBA) {
			tolerance := p.tolerance(k)
			if k >= p.levels { // smaller than a tile: the whole picture at that size
				want, tolerance = picture.Scaled(p.picture, p.picture.Rect, want.Rect.Dx(), want.Rect.Dy()), 12
			}
			st.same(fmt.Sprintf("/dzi/a_files/%d/%d_%d.jpg", largest-k, x, y), want, tolerance)
		})
	}
	columns, rows := (size.X+p.tile-1)/p.tile, (size.Y+p.tile-1)/p.tile
	for _, path := range []string{fmt.Sprintf("%d/%d_0", largest, columns), fmt.Sprintf("%d/0_%d", largest, rows), fmt.Sprintf("%d/0_0", largest+1)} {
		if a := st.get("/dzi/a_files/" + path + ".jpg"); a.status != 404 {
			st.t.Errorf("tile %s beyond the picture: %d", path, a.status)
		}
	}
}

func (p *pyramid) checkZoomify(st *site) {
	st.t.Helper()
	size := p.picture.Rect.Size()
	if a := st.get("/zoomify/a/ImageProperties.xml"); !strings.Contains(string(a.body), fmt.Sprintf(`WIDTH="%d" HEIGHT="%d"`, size.X, size.Y)) {
		st.t.Errorf("properties %s", a.body)
	}
	tiers := 1
	for p.tile<<(tiers-1) < max(size.X, size.Y) {
		tiers++
	}
	for k := range tiers {
		p.tilesOf(k, func(x, y int, want *image.RGBA) {
			st.same(fmt.Sprintf("/zoomify/a/TileGroup0/%d-%d-%d.jpg", tiers-1-k, x, y), want, p.tolerance(k))
		})
	}
}

func (p *pyramid) checkIIIF(st *site) {
	st.t.Helper()
	size := p.picture.Rect.Size()
	var info struct {
		Width, Height int
		Sizes         []struct{ Width, Height int }
		Tiles         []struct{ ScaleFactors []int }
	}
	if err := json.Unmarshal(st.get("/iiif/3/a/info.json").body, &info); err != nil {
		st.t.Fatal(err)
	}
	if info.Width != size.X || info.Height != size.Y || len(info.Tiles) != 1 {
		st.t.Fatalf("description %+v", info)
	}
	for _, s := range info.Sizes {
		st.same(fmt.Sprintf("/iiif/3/a/full/%d,%d/0/default.jpg", s.Width, s.Height), picture.Scaled(p.picture, p.picture.Rect, s.Width, s.Height), 6)
	}
	for k, factor := range info.Tiles[0].ScaleFactors {
		p.tilesOf(k, func(x, y int, want *image.RGBA) {
			r := image.Rect(x*p.tile, y*p.tile, (x+1)*p.tile, (y+1)*p.tile)
			r = image.Rectangle{r.Min.Mul(factor), r.Max.Mul(factor)}.Intersect(p.picture.Rect)
			st.same(fmt.Sprintf("/iiif/3/a/%d,%d,%d,%d/%d,%d/0/default.jpg", r.Min.X, r.Min.Y, r.Dx(), r.Dy(), want.Rect.Dx(), want.Rect.Dy()), want, p.tolerance(k))
		})
	}
	for _, r := range []image.Rectangle{image.Rect(3, 5, 103, 67), image.Rect(size.X-51, size.Y-33, size.X, size.Y), image.Rect(7, 0, 57, 20)} {
		exact := picture.Scaled(p.picture, r, r.Dx(), r.Dy())
		path := fmt.Sprintf("/iiif/2/a/%d,%d,%d,%d/", r.Min.X, r.Min.Y, r.Dx(), r.Dy())
		st.same(path+"full/0/default.png", exact, 2.5)
		st.same(path+fmt.Sprintf("%d,%d/0/default.png", r.Dx()/3, r.Dy()/3), picture.Scaled(p.picture, r, r.Dx()/3, r.Dy()/3), 8)
	}
}

// TestBoundsAbsent has tiles that were not stored: the smallest one is made from the next
// larger ones, others are background, and what lies outside of the picture does not exist.
func TestBoundsAbsent(t *testing.T) {
	st := newSite(t)
	p := newPyramid(t, 901, 603, 256, true, false)
	st.put("a", p, slide.TopLeft, "t", "tqt", "ttqq")
	root := p.halved(p.levels-1, p.at)
	got := st.picture("/api/v1/images/a/tiles/t.jpg")
	if got.Rect.Max != image.Pt(256, 256) {
		t.Errorf("the smallest tile has %v", got.Rect)
	}
	shown := image.NewRGBA(image.Rectangle{Max: root.Rect.Size()})
	draw.Draw(shown, shown.Rect, got, root.Rect.Min, draw.Src)
	want := image.NewRGBA(shown.Rect)
	draw.Draw(want, want.Rect, root, root.Rect.Min, draw.Src)
	if d := picture.Difference(shown, want); d > 3 {
		t.Errorf("the smallest tile: the mean difference is %.2f", d)
	}
	if c := got.RGBAAt(100, 20); max(int(c.R)-250, 250-int(c.R)) > 3 || c.B > 235 {
		t.Errorf("above the picture the smallest tile has the colour %v, want that of the background", c)
	}
	if a := st.get("/api/v1/images/a/tiles/tqt.jpg"); a.status != 200 || a.header.Get("X-Tile") != "empty" {
		t.Errorf("an absent tile: %d, %v", a.status, a.header)
	}
	if a := st.get("/api/v1/images/a/tiles/tqt.jpg?v=ra"); a.status != 200 || strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("an absent tile of a revision may be cached: %v", a.header)
	}
	if a := st.get("/api/v1/images/a/tiles/tqq.jpg"); a.status != 404 {
		t.Errorf("a tile above the picture: %d", a.status)
	}
	p.stored["tts"] = p.stored["tts"][:500]
	if a := st.get("/api/v1/images/a/tiles/tts.jpg"); a.status != 502 {
		t.Errorf("a tile that is cut short: %d", a.status)
	}
	if a := st.get("/dzi/a_files/10/2_2.jpg"); a.status == 502 {
		t.Errorf("another part of the picture: %d", a.status)
	}
}
