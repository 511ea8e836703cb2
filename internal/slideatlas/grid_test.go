package slideatlas

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"testing"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		tile Tile
	}{
		{"t.jpg", Tile{0, 0, 0}},
		{"tq.jpg", Tile{1, 0, 0}},
		{"tr.jpg", Tile{1, 1, 0}},
		{"tt.jpg", Tile{1, 0, 1}},
		{"ts.jpg", Tile{1, 1, 1}},
		{"tqr.jpg", Tile{2, 1, 0}},
		{"ttr.jpg", Tile{2, 1, 2}},
		{"tsss.jpg", Tile{3, 7, 7}},
		{"tqsttt.jpg", Tile{5, 8, 15}},
	} {
		if got := tt.tile.Name(); got != tt.name {
			t.Errorf("%v.Name() = %q, want %q", tt.tile, got, tt.name)
		}
		if got, ok := ParseName(tt.name); got != tt.tile || !ok {
			t.Errorf("ParseName(%q) = %v, %t, want %v", tt.name, got, ok, tt.tile)
		}
	}
	for _, name := range []string{"", "t", ".jpg", "q.jpg", "tx.jpg", "TQ.jpg", "tq.png", "tq.jpg.jpg", "t q.jpg", "tqqqqqqqqqqqqqqqqqqqqqqqq.jpg"} {
		if tile, ok := ParseName(name); ok {
			t.Errorf("ParseName(%q) = %v", name, tile)
		}
	}
	for _, tile := range []Tile{{-1, 0, 0}, {0, 1, 0}, {1, 0, 2}, {1, -1, 0}, {MaxLevels, 0, 0}} {
		if name := tile.Name(); name != "" {
			t.Errorf("%v.Name() = %q", tile, name)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("tqrst.jpg")
	f.Fuzz(func(t *testing.T, name string) {
		if tile, ok := ParseName(name); ok && tile.Name() != name {
			t.Errorf("ParseName(%q) = %v, whose name is %q", name, tile, tile.Name())
		}
	})
}

func TestChildren(t *testing.T) {
	parent := Tile{2, 1, 2}
	for i, letter := range "qrts" {
		want := "ttr" + string(letter) + ".jpg"
		if got := parent.Children()[i].Name(); got != want {
			t.Errorf("child %d of %v is %q, want %q", i, parent, got, want)
		}
	}
}

func TestAt(t *testing.T) {
	foot := Grid{TileSize: 256, Levels: 3, Bounds: image.Rect(0, 324, 900, 1024)}
	for _, tt := range []struct {
		zoom, x, y int
		want       Tile
		ok         bool
	}{
		{2, 0, 324, Tile{2, 0, 1}, true},
		{2, 899, 1023, Tile{2, 3, 3}, true},
		{2, 255, 511, Tile{2, 0, 1}, true},
		{2, 256, 512, Tile{2, 1, 2}, true},
		{2, 0, 255, Tile{2, 0, 0}, false},
		{1, 512, 511, Tile{1, 1, 0}, true},
		{0, 1023, 1023, Tile{0, 0, 0}, true},
		{0, 1024, 0, Tile{0, 1, 0}, false},
		{3, 0, 0, Tile{}, false},
		{-1, 0, 0, Tile{}, false},
		{0, -1, 0, Tile{}, false},
	} {
		if got, ok := foot.At(tt.zoom, tt.x, tt.y); got != tt.want || ok != tt.ok {
			t.Errorf("At(%d, %d, %d) = %v, %t, want %v, %t", tt.zoom, tt.x, tt.y, got, ok, tt.want, tt.ok)
		}
	}
}

// A picture whose pixels tell their position.
func positions(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{byte(x), byte(y), byte(x>>8<<4 | y>>8), 255})
		}
	}
	return m
}

// cut divides a picture that lies in a square into tiles, by drawing and halving only: a
// name for each tile that shows a part of the picture.
func cut(square *image.RGBA, covered image.Rectangle, tileSize int) map[string]*image.RGBA {
	tiles := map[string]*image.RGBA{}
	var divide func(name string, area image.Rectangle)
	divide = func(name string, area image.Rectangle) {
		if !area.Overlaps(covered) {
			return
		}
		tiles[name+".jpg"] = square.SubImage(area).(*image.RGBA)
		if area.Dx() == tileSize {
			return
		}
		mid := area.Min.Add(image.Pt(area.Dx()/2, area.Dy()/2))
		divide(name+"q", image.Rect(area.Min.X, area.Min.Y, mid.X, mid.Y))
		divide(name+"r", image.Rect(mid.X, area.Min.Y, area.Max.X, mid.Y))
		divide(name+"s", image.Rect(mid.X, mid.Y, area.Max.X, area.Max.Y))
		divide(name+"t", image.Rect(area.Min.X, mid.Y, mid.X, area.Max.Y))
	}
	divide("t", square.Bounds())
	return tiles
}

// TestAssembly assembles pictures from the tiles of the largest level, and compares the
// pixels. The grid has exactly the tiles that were cut.
func TestAssembly(t *testing.T) {
	for _, tt := range []struct{ w, h, tileSize, levels int }{
		{900, 700, 256, 3}, {1, 1, 256, 3}, {1024, 1024, 256, 3}, {513, 255, 256, 3}, {700, 900, 512, 2}, {257, 1024, 256, 3}, {200, 100, 256, 1}, {100, 33, 32, 4},
	} {
		side := tt.tileSize << (tt.levels - 1)
		for at, corner := range map[string]image.Point{"head": {}, "foot": {0, side - tt.h}, "middle": {(side - tt.w) / 2, (side - tt.h) / 2}} {
			t.Run(fmt.Sprintf("%d×%d at the %s", tt.w, tt.h, at), func(t *testing.T) {
				picture := positions(tt.w, tt.h)
				g := Grid{tt.tileSize, tt.levels, picture.Bounds().Add(corner)}
				square := image.NewRGBA(image.Rect(0, 0, side, side))
				draw.Draw(square, g.Bounds, picture, image.Point{}, draw.Src)
				tiles := cut(square, g.Bounds, tt.tileSize)

				got := image.NewRGBA(picture.Bounds())
				n := 0
				for z := range g.Levels {
					r := g.Tiles(z)
					for y := r.Min.Y; y < r.Max.Y; y++ {
						for x := r.Min.X; x < r.Max.X; x++ {
							n++
							tile := Tile{z, x, y}
							m := tiles[tile.Name()]
							if m == nil {
								t.Fatalf("there is no tile %s", tile.Name())
							}
							if z < g.Levels-1 {
								continue
							}
							v := g.Visible(tile)
							to := v.Add(image.Pt(x*g.TileSize, y*g.TileSize)).Sub(g.Bounds.Min)
							draw.Draw(got, to, m, m.Bounds().Min.Add(v.Min), draw.Src)
						}
					}
				}
				if n != len(tiles) {
					t.Errorf("the grid has %d tiles, want %d", n, len(tiles))
				}
				for i := range got.Pix {
					if got.Pix[i] != picture.Pix[i] {
						t.Fatalf("byte %d of the picture is %d, want %d", i, got.Pix[i], picture.Pix[i])
					}
				}
			})
		}
	}
}

// Zoom levels include partly covered pixels.
func TestWithin(t *testing.T) {
	g := Grid{TileSize: 256, Levels: 3, Bounds: image.Rect(0, 325, 901, 1024)}
	for z, want := range []image.Rectangle{image.Rect(0, 81, 226, 256), image.Rect(0, 162, 451, 512), image.Rect(0, 325, 901, 1024)} {
		check(t, fmt.Sprint("zoom level ", z), g.Within(z), want)
	}
	check(t, "visible part of the root", g.Visible(Tile{0, 0, 0}), image.Rect(0, 81, 226, 256))
	check(t, "visible part of tq", g.Visible(Tile{1, 0, 0}), image.Rect(0, 162, 256, 256))
	check(t, "visible part of a tile outside", g.Visible(Tile{2, 0, 0}), image.Rectangle{})
}
