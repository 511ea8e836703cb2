package synth

import "image"

// An overview is a copy of one of the smaller levels.
type overview struct {
	level int
	img   *image.RGBA
}

// keepView keeps the first level of at most 1500 pixels a side, and adds levels if
// there are too few. Those before bake have no pixels.
func (p *pyramid) keepView() {
	w, h, level := p.scene.width, p.scene.height, p.scene.bake
	for max(w, h)>>level > 1500 {
		level++
	}
	for len(p.stages) <= level {
		p.addStage(nil, cellSize, cellSize, ceilDiv(w, cellSize<<len(p.stages)), 0)
	}
	p.view = &overview{level: level, img: image.NewRGBA(image.Rect(0, 0, max(w>>level, 1), max(h>>level, 1)))}
}

// take copies a row of cells of a level, if it is the kept one.
func (o *overview) take(level, y int, row cellRow) {
	if o == nil || level != o.level {
		return
	}
	r := o.img.Bounds()
	for v := y * cellSize; v < min(y*cellSize+cellSize, r.Max.Y); v++ {
		for u := range r.Max.X {
			c := [3]byte{byte(glassColour[0]), byte(glassColour[1]), byte(glassColour[2])}
			if i := u / cellSize; i < len(row.cells) {
				copy(c[:], row.cells[i].pix[3*(v%cellSize*cellSize+u%cellSize):])
			}
			at := o.img.PixOffset(u, v)
			copy(o.img.Pix[at:], []byte{c[0], c[1], c[2], 0xff})
		}
	}
}
