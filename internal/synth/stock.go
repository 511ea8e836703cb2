package synth

import "sync"

// The stock holds patches of every zone, in variants that can be laid side by
// side: what crosses the border of a patch depends on the colours of the corners
// at both ends of that border alone, and what lies on a corner on its colour
// alone (corner tiles; Lagae and Dutré, 2006).

// A stockKey names a patch. Its corners are in reading order.
type stockKey struct {
	zone    zone
	corners [4]uint32
	glands  bool // mucosa with glands at all places
}

// A tissueBit is a patch of the stock in all sizes down to a single cell.
type tissueBit struct {
	once   sync.Once
	levels [][]*cell // of each size its cells, row by row
}

// at returns a cell of a patch that is laid out without end.
func (b *tissueBit) at(level, x, y int) *cell {
	side := 1 << (len(b.levels) - 1 - level)
	return b.levels[level][y%side*side+x%side]
}

// variants is the number of colours of the corners of a zone's patches: fewer for zones
// that are never large.
func (z zone) variants() uint64 {
	switch z {
	case mucosa, submucosa, muscle, fascicles:
		return 3
	}
	return 2
}

// colour of a corner of the patches of a zone.
func (s *scene) colour(z zone, x, y int) uint32 {
	h := hash(s.seed, uint64(z), uint64(x), uint64(y))
	if !s.whole {
		h %= z.variants()
	}
	return uint32(h)
}

// hasGland reports whether there is room for a gland at a place; there are four places
// to a patch.
func (s *scene) hasGland(x, y int) bool {
	spot := s.section.at(float64(x)*patchMicrons/2, float64(y)*patchMicrons/2)
	return spot.zone == mucosa && spot.margin > maxGland
}

// key returns the key of a patch of a zone; false for a patch that is not in stock,
// because there is room for only some of its glands.
func (s *scene) key(z zone, x, y int) (stockKey, bool) {
	k := stockKey{zone: z}
	for i := range k.corners {
		k.corners[i] = s.colour(z, x+i%2, y+i/2)
	}
	for i := 0; i < 9 && z == mucosa; i++ {
		has := s.hasGland(2*x+i%3, 2*y+i/3)
		if i > 0 && has != k.glands {
			return k, false
		}
		k.glands = has
	}
	return k, true
}

// stocked returns a patch, which is rendered at its first use.
func (s *scene) stocked(p *pyramid, k stockKey) *tissueBit {
	s.mu.Lock()
	b := s.stock[k]
	if b == nil {
		b = &tissueBit{}
		s.stock[k] = b
	}
	s.mu.Unlock()
	b.once.Do(func() { b.draw(p, k) })
	return b
}

// draw renders a patch in all its sizes.
func (b *tissueBit) draw(p *pyramid, k stockKey) {
	n := p.scene.side / cellSize
	cells := make([]*cell, n*n)
	for i := range cells {
		cells[i] = b.cell(p, p.scene.draw(&k, i%n*cellSize, i/n*cellSize), i%n, i/n)
	}
	b.levels = append(b.levels, cells)
	for n /= 2; n > 0; n /= 2 {
		larger := cells
		cells = make([]*cell, n*n)
		for i := range cells {
			x, y := i%n, i/n
			up := 2*y*2*n + 2*x
			cells[i] = b.cell(p, paste([4]*cell{larger[up], larger[up+1], larger[up+2*n], larger[up+2*n+1]}), x, y)
		}
		b.levels = append(b.levels, cells)
	}
}

// cell renders a cell of the stock, which has no pixels.
func (b *tissueBit) cell(p *pyramid, pix []byte, x, y int) *cell {
	c := p.newCell(pix, false)
	c.patch, c.x, c.y = b, x, y
	return c
}
