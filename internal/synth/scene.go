package synth

import (
	"math"
	"sync"
)

// patchMicrons is the side of a patch of the stock, in micrometres: the distance
// between glands.
const patchMicrons = 128

// maxDrawn is the maximum number of pixels of a picture that is rendered as a whole,
// without repetition. Larger ones are composed from the stock where possible.
const maxDrawn = 24 << 20

// A scene is the picture of a slide, in pixels of level 0.
type scene struct {
	seed          uint64
	width, height int     // pixels
	micron        float64 // pixels
	side          int     // of a patch, in pixels
	whole         bool    // everything is rendered, nothing is taken from the stock
	bake          int     // the first level with shifted pixels
	section       *section

	mu    sync.Mutex
	stock map[stockKey]*tissueBit
}

// newScene returns the picture of a slide of a size in pixels. One pixel is mpp
// micrometres wide.
func newScene(seed uint64, width, height int, mpp float64, whole bool) *scene {
	s := &scene{seed: mix(seed + 1), width: width, height: height, side: 512, stock: map[stockKey]*tissueBit{}}
	for mpp > 0.36 && s.side > cellSize {
		mpp, s.side = mpp/2, s.side/2
	}
	s.micron = float64(s.side) / patchMicrons
	s.whole = whole || width*height <= maxDrawn
	for n := cellSize; n <= s.side && !s.whole; n *= 2 {
		s.bake++
	}
	s.section = newSection(s.seed, float64(width)/s.micron, float64(height)/s.micron)
	return s
}

// row renders a row of cells of level 0.
func (s *scene) row(p *pyramid, y int) cellRow {
	if y*cellSize >= s.height {
		return cellRow{}
	}
	row := cellRow{cells: make([]*cell, min(p.stages[0].width, ceilDiv(s.width, cellSize)))}
	upper, lower := s.spots(y, len(row.cells)), s.spots(y+1, len(row.cells))
	bare := make([]bool, len(row.cells))
	parallel(ceilDiv(len(row.cells), 8), func(i int) {
		for x := 8 * i; x < min(8*i+8, len(row.cells)); x++ {
			around := [4]*spot{&upper[x], &upper[x+1], &lower[x], &lower[x+1]}
			row.cells[x] = s.cell(p, x, y, around)
			bare[x] = row.cells[x] == p.glass
		}
	})
	for _, b := range bare {
		if !b {
			if s.bake > 0 {
				row.top, row.bottom = s.shifts(p, 0, y), s.shifts(p, 0, y+1)
			}
			return row
		}
	}
	return cellRow{}
}

// spots reads the map at the upper corners of a row of cells.
func (s *scene) spots(y, n int) []spot {
	spots := make([]spot, n+1)
	parallel(ceilDiv(n+1, 32), func(i int) {
		for x := 32 * i; x < min(32*i+32, n+1); x++ {
			spots[x] = s.section.at(float64(x*cellSize)/s.micron, float64(y*cellSize)/s.micron)
		}
	})
	return spots
}

// cell renders a cell of level 0, given the map at its corners.
func (s *scene) cell(p *pyramid, x, y int, corners [4]*spot) *cell {
	// The zones at the corners hold for the cell if their margin extends beyond its
	// middle by the size of the largest nucleus.
	reach := float32(cellSize/math.Sqrt2/s.micron + 8)
	pure := true
	for _, c := range corners {
		pure = pure && c.zone == corners[0].zone && c.margin > reach
	}
	switch {
	case pure && corners[0].zone == glass:
		return p.glass
	case pure && !s.whole:
		per := s.side / cellSize
		if k, ok := s.key(corners[0].zone, x/per, y/per); ok {
			return s.stocked(p, k).at(0, x%per, y%per)
		}
	}
	pix := s.draw(nil, x*cellSize, y*cellSize)
	if s.bake == 0 {
		s.shiftPixels(pix, 0, x, y)
	}
	return p.newCell(pix, p.keeps(0))
}

// shifts returns the colour shifts along the upper side of a row of cells of a level.
func (s *scene) shifts(p *pyramid, level, y int) []shift {
	row := make([]shift, p.stages[level].width+1)
	parallel(ceilDiv(len(row), 32), func(i int) {
		for x := 32 * i; x < min(32*i+32, len(row)); x++ {
			row[x] = p.coder.shift(s.shift(x*cellSize<<level, y*cellSize<<level))
		}
	})
	return row
}

// shift is the change of the stain's strength at a pixel of level 0, in 16ths of red,
// green and blue. It varies over half a millimetre and more, and is 0 on glass.
func (s *scene) shift(px, py int) shift {
	x, y := float64(px)/s.micron, float64(py)/s.micron
	share := smooth(10, 120, float32(s.section.rim(x, y)))
	if share == 0 {
		return shift{}
	}
	light := 8*noise(s.seed+31, x/2900, y/2900) + 6*noise(s.seed+32, x/700, y/700) + 6*noise(s.seed+34, x/270, y/270)
	hue := 6 * noise(s.seed+33, x/1900, y/1900)
	var out shift
	for i, v := range [3]float64{light + hue, light - hue, light - hue/2} {
		out[i] = int32(16 * v * float64(share))
	}
	return out
}

// shiftPixels shifts the colours of a cell of a level.
func (s *scene) shiftPixels(pix []byte, level, cx, cy int) {
	const step = 16
	for y := 0; y < cellSize; y += step {
		for x := 0; x < cellSize; x += step {
			var c [4]shift
			for i := range c {
				c[i] = s.shift((cx*cellSize+x+i%2*step)<<level, (cy*cellSize+y+i/2*step)<<level)
			}
			if c == ([4]shift{}) {
				continue
			}
			for v := range int32(step) {
				row := pix[3*((y+int(v))*cellSize+x):]
				for u := range int32(step) {
					for k := range 3 {
						a := c[0][k]*(step-u) + c[1][k]*u
						b := c[2][k]*(step-u) + c[3][k]*u
						by := (a*(step-v) + b*v + 2048) >> 12 // 16 × 16 × 16ths
						row[3*int(u)+k] = byte(min(max(int32(row[3*int(u)+k])+by, 0), 255))
					}
				}
			}
		}
	}
}
