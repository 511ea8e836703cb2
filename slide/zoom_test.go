package slide

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pyramid describes levels of tiles of so many pixels.
func pyramid(tile int, sizes ...[2]int) []Level {
	var levels []Level
	for _, s := range sizes {
		l := Level{Width: s[0], Height: s[1], TileWidth: tile, TileHeight: tile}
		l.Columns, l.Rows = ceilDiv(l.Width, tile), ceilDiv(l.Height, tile)
		levels = append(levels, l)
	}
	for i := range levels {
		levels[i].Downsample = downsample(&levels[0], &levels[i])
	}
	return levels
}

func TestLadder(t *testing.T) {
	otherTiles := pyramid(512, [2]int{2048, 1024}, [2]int{1024, 512})
	otherTiles[1].TileWidth = 640 // which are two columns as well
	tests := []struct {
		name   string
		levels []Level
		want   []Zoom
	}{
		{
			"every power of two", pyramid(512, [2]int{2048, 1024}, [2]int{1024, 512}, [2]int{512, 256}),
			[]Zoom{{512, 256, 1, 1, 2}, {1024, 512, 2, 1, 1}, {2048, 1024, 4, 2, 0}},
		},
		{
			"steps of four, and none beyond the smallest", pyramid(512, [2]int{8192, 4096}, [2]int{2048, 1024}),
			[]Zoom{{512, 256, 1, 1, -1}, {1024, 512, 2, 1, -1}, {2048, 1024, 4, 2, 1}, {4096, 2048, 8, 4, -1}, {8192, 4096, 16, 8, 0}},
		},
		{
			"one tile", pyramid(512, [2]int{300, 200}, [2]int{150, 100}),
			[]Zoom{{300, 200, 1, 1, 0}},
		},
		{
			"odd sizes, halved down", pyramid(100, [2]int{777, 555}, [2]int{388, 277}, [2]int{194, 138}),
			[]Zoom{{98, 70, 1, 1, -1}, {195, 139, 2, 2, 2}, {389, 278, 4, 3, 1}, {777, 555, 8, 6, 0}},
		},
		{
			"halved down onto a whole tile: a column short of the ladder", pyramid(100, [2]int{801, 100}, [2]int{400, 50}),
			[]Zoom{{51, 7, 1, 1, -1}, {101, 13, 2, 1, -1}, {201, 25, 3, 1, -1}, {401, 50, 5, 1, -1}, {801, 100, 9, 1, 0}},
		},
		{
			"other tiles than level 0", otherTiles,
			[]Zoom{{512, 256, 1, 1, -1}, {1024, 512, 2, 1, -1}, {2048, 1024, 4, 2, 0}},
		},
		{
			"a third is no half", pyramid(512, [2]int{3072, 512}, [2]int{1024, 171}),
			[]Zoom{{384, 64, 1, 1, -1}, {768, 128, 2, 1, -1}, {1536, 256, 3, 1, -1}, {3072, 512, 6, 1, 0}},
		},
		{
			"taller than wide", pyramid(512, [2]int{512, 2049}),
			[]Zoom{{64, 257, 1, 1, -1}, {128, 513, 1, 2, -1}, {256, 1025, 1, 3, -1}, {512, 2049, 1, 5, 0}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ladder(tt.levels)); diff != "" {
				t.Errorf("ladder (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLadderGrids checks on many sizes that a zoom's grid is what its size needs,
// that the four tiles below one exist, and that zoom 0 is one tile.
func TestLadderGrids(t *testing.T) {
	for w := 1; w < 3000; w += 37 {
		for h := 1; h < 3000; h += 53 {
			levels := pyramid(64, [2]int{w, h}, [2]int{max(w/2, 1), max(h/2, 1)}, [2]int{max(w/4, 1), max(h/4, 1)})
			zooms := ladder(levels)
			for z, zoom := range zooms {
				if zoom.Columns != ceilDiv(zoom.Width, 64) || zoom.Rows != ceilDiv(zoom.Height, 64) {
					t.Fatalf("%d×%d zoom %d: %+v", w, h, z, zoom)
				}
				if z > 0 && (zooms[z-1].Columns != half(zoom.Columns) || zooms[z-1].Rows != half(zoom.Rows)) {
					t.Fatalf("%d×%d zoom %d: %+v above %+v", w, h, z, zooms[z-1], zoom)
				}
			}
			if zooms[0].Columns != 1 || zooms[0].Rows != 1 || zooms[len(zooms)-1].Level != 0 {
				t.Fatalf("%d×%d: %+v", w, h, zooms)
			}
		}
	}
}
