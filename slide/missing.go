package slide

import "slices"

// A tileSet is a set of tiles of a level.
type tileSet struct {
	columns, rows int
	bits          []uint64
}

func newTileSet(columns, rows int) *tileSet {
	return &tileSet{columns: columns, rows: rows, bits: make([]uint64, ceilDiv(columns*rows, 64))}
}

func (t *tileSet) add(col, row int) {
	i := row*t.columns + col
	t.bits[i/64] |= 1 << (i % 64)
}

// has reports whether the set contains a tile of the level's grid.
func (t *tileSet) has(col, row int) bool {
	i := row*t.columns + col
	return col < t.columns && row < t.rows && t.bits[i/64]>>(i%64)&1 != 0
}

// missingTiles returns the tiles of a smaller Aperio level that were not written, and those
// that were made from them and therefore show a hole; nil if there are no such tiles. An error of
// the scanner's encoder leaves out tiles of tissue, with a byte count of 0 (OpenSlide
// renders them from the larger level, too). A tile of level 0 cannot be derived.
//
// The caller holds the lock of src. It takes those of larger levels only.
func (s *Slide) missingTiles(src *source, t *table) (*tileSet, error) {
	level := slices.Index(s.sources, src)
	if level < 1 {
		return nil, nil
	}
	l := &s.Levels[level]
	if l.Columns*l.Rows > maxMissing {
		return nil, nil
	}
	set := newTileSet(l.Columns, l.Rows)
	found := false
	for row := range l.Rows {
		for col := range l.Columns {
			if _, _, err := t.extent(src, 0, col, row); err != nil {
				set.add(col, row)
				found = true
			}
		}
	}
	if level > 1 {
		larger := s.sources[level-1]
		above, err := s.load(larger, &s.Levels[level-1].Layout)
		if err != nil {
			return nil, err
		}
		if above.missing != nil {
			found = true
			set.addShadow(above.missing, &s.Levels[level-1], l)
		}
	}
	if !found {
		return nil, nil
	}
	s.mem.Add(int64(8 * len(set.bits)))
	return set, nil
}

// maxMissing is the largest grid of a smaller level that is searched for missing tiles.
const maxMissing = 16 << 20

// addShadow adds the tiles of level l that show a tile in missing, which are of the next
// larger level.
func (t *tileSet) addShadow(missing *tileSet, larger, l *Level) {
	across := float64(larger.Width) / float64(l.Width) * float64(l.TileWidth)
	down := float64(larger.Height) / float64(l.Height) * float64(l.TileHeight)
	for row := range missing.rows {
		for col := range missing.columns {
			if !missing.has(col, row) {
				continue
			}
			x, y := float64(col*larger.TileWidth), float64(row*larger.TileHeight)
			for r := int(y / down); r < t.rows && float64(r)*down < y+float64(larger.TileHeight); r++ {
				for c := int(x / across); c < t.columns && float64(c)*across < x+float64(larger.TileWidth); c++ {
					t.add(c, r)
				}
			}
		}
	}
}
