package synth

import (
	"runtime"
	"slices"
	"sync"
)

// cellSize is the side of a cell in pixels. It is a multiple of every MCU.
const cellSize = 64

// A cell is a square of a level. Cells are shared and never changed.
type cell struct {
	pix   []byte     // RGB; nil if not needed
	half  []byte     // RGB, half the size: its part of the next level
	code  coded      // empty unless tiles are JPEGs
	patch *tissueBit // the patch of the stock it is from; nil for a cell of its own
	x, y  int        // in cells, where in the patch
}

// A cellRow is a row of cells of a level, with the colour shifts at their corners: one
// more than cells. A row without cells is bare glass.
type cellRow struct {
	cells       []*cell
	top, bottom []shift // empty where pixels are shifted already
}

// A pyramid writes all levels of a slide at once, from the top down: a row of cells of
// level 0, every second time one of level 1, and so on. It holds no more of a level
// than a row of tiles needs.
type pyramid struct {
	progress func(share float64) // nil for none
	scene    *scene
	coder    *coder
	encode   func(t *tile) []byte
	sparse   bool     // omit bare glass
	stages   []*stage // index is how often a level is halved
	glass    *cell
	view     *overview
}

// A stage is a level that is being written.
type stage struct {
	level        int
	tileW, tileH int       // pixels
	cols, rows   int       // of tiles
	out          *levelOut // nil for a level that only serves to compute the next one
	width        int       // columns of cells
	window       []cellRow // those that tiles still need, starting at row first
	first        int
	made         int // rows of tiles
	upper        *cellRow
}

// A tile is a part of a stage's window.
type tile struct {
	p    *pyramid
	st   *stage
	x, y int // pixels of the level
}

func newPyramid(s *scene, c *coder) *pyramid {
	p := &pyramid{scene: s, coder: c}
	pix := make([]byte, 0, 3*cellSize*cellSize)
	for range cellSize * cellSize {
		pix = append(pix, byte(glassColour[0]), byte(glassColour[1]), byte(glassColour[2]))
	}
	p.glass = p.newCell(pix, true)
	return p
}

// addStage adds the next level, of columns × rows of tiles.
func (p *pyramid) addStage(out *levelOut, tileW, tileH, columns, rows int) {
	p.stages = append(p.stages, &stage{
		level: len(p.stages), tileW: tileW, tileH: tileH, cols: columns, rows: rows, out: out,
		width: ceilDiv(columns*tileW, cellSize),
	})
}

// run writes all levels.
func (p *pyramid) run() error {
	rows := 0
	for _, st := range p.stages {
		if st.out != nil {
			rows = max(rows, ceilDiv(st.rows*st.tileH, cellSize)<<st.level)
		}
	}
	for y := range rows {
		if err := p.push(0, p.scene.row(p, y)); err != nil {
			return err
		}
		if p.progress != nil {
			p.progress(float64(y+1) / float64(rows))
		}
	}
	return nil
}

// push adds a row to a level, writes the tiles that it completes, and adds a row to the
// next level if it completes one.
func (p *pyramid) push(level int, row cellRow) error {
	st := p.stages[level]
	p.view.take(level, st.first+len(st.window), row)
	if err := p.tiles(st, row); err != nil {
		return err
	}
	if level+1 == len(p.stages) {
		return nil
	}
	if st.upper == nil {
		st.upper = &row
		return nil
	}
	upper := *st.upper
	st.upper = nil
	y := (st.first + len(st.window) - 1) / 2
	return p.push(level+1, p.halve(level+1, y, upper, row))
}

// tiles adds a row to the window of a stage and writes the tiles it completes.
func (p *pyramid) tiles(st *stage, row cellRow) error {
	st.window = append(st.window, row)
	end := (st.first + len(st.window)) * cellSize
	for ; st.out != nil && st.made < st.rows && (st.made+1)*st.tileH <= end; st.made++ {
		made := make([][]byte, st.cols)
		parallel(st.cols, func(i int) {
			t := tile{p, st, i * st.tileW, st.made * st.tileH}
			if !p.sparse || !t.bare() {
				made[i] = p.encode(&t)
			}
		})
		for _, b := range made {
			if err := st.out.add(b); err != nil {
				return err
			}
		}
	}
	keep := st.made * st.tileH / cellSize
	if st.out == nil || st.made == st.rows {
		keep = end / cellSize
	}
	drop := min(max(keep-st.first, 0), len(st.window))
	st.window = slices.Delete(st.window, 0, drop)
	st.first += drop
	return nil
}

// halve computes row y of a level from two rows of the previous level.
func (p *pyramid) halve(level, y int, upper, lower cellRow) cellRow {
	if upper.cells == nil && lower.cells == nil {
		return cellRow{}
	}
	row := cellRow{cells: make([]*cell, p.stages[level].width)}
	at := func(r cellRow, x int) *cell {
		if x < len(r.cells) {
			return r.cells[x]
		}
		return p.glass
	}
	parallel(ceilDiv(len(row.cells), 8), func(i int) {
		for x := 8 * i; x < min(8*i+8, len(row.cells)); x++ {
			row.cells[x] = p.join(level, x, y, [4]*cell{
				at(upper, 2*x), at(upper, 2*x+1), at(lower, 2*x), at(lower, 2*x+1),
			})
		}
	})
	if level < p.scene.bake {
		row.top, row.bottom = p.scene.shifts(p, level, y), p.scene.shifts(p, level, y+1)
	}
	return row
}

// join computes a cell of a level from four cells of the previous level.
func (p *pyramid) join(level, x, y int, four [4]*cell) *cell {
	same := true
	for _, c := range four[1:] {
		same = same && (c == four[0] || c.patch != nil && c.patch == four[0].patch)
	}
	if same && four[0] == p.glass {
		return p.glass
	}
	if same && level < len(four[0].patch.levels) {
		return four[0].patch.at(level, four[0].x/2, four[0].y/2)
	}
	pix := paste(four)
	if level == p.scene.bake {
		p.scene.shiftPixels(pix, level, x, y)
	}
	return p.newCell(pix, p.keeps(level))
}

// keeps reports whether the pixels of a level are needed after compression.
func (p *pyramid) keeps(level int) bool {
	return p.coder == nil || p.view != nil && p.view.level == level
}

// paste joins the halves of four cells.
func paste(four [4]*cell) []byte {
	const row = 3 * cellSize / 2
	pix := make([]byte, 3*cellSize*cellSize)
	for i, c := range four {
		to := pix[i/2*cellSize*row+i%2*row:]
		for y := range cellSize / 2 {
			copy(to[2*row*y:], c.half[row*y:row*(y+1)])
		}
	}
	return pix
}

// newCell returns a cell that is not in the stock.
func (p *pyramid) newCell(pix []byte, keep bool) *cell {
	c := &cell{half: halved(pix, cellSize)}
	if p.coder != nil {
		c.code = p.coder.code(pix, cellSize)
	}
	if keep {
		c.pix = pix
	}
	return c
}

// halved shrinks a square picture to half its size; each pixel is the mean of four.
func halved(pix []byte, size int) []byte {
	row, n := 3*size, size/2
	half := make([]byte, 3*n*n)
	for y := range n {
		a, b := pix[2*y*row:(2*y+1)*row], pix[(2*y+1)*row:(2*y+2)*row]
		to := half[3*n*y : 3*n*(y+1)]
		for x := range n {
			for i := range 3 {
				j := 6*x + i
				to[3*x+i] = byte((int(a[j]) + int(a[j+3]) + int(b[j]) + int(b[j+3]) + 2) / 4)
			}
		}
	}
	return half
}

// rows returns the rows of cells that overlap a tile.
func (t *tile) rows() []cellRow {
	from, to := t.y/cellSize, ceilDiv(t.y+t.st.tileH, cellSize)
	return t.st.window[from-t.st.first : to-t.st.first]
}

// bare reports whether a tile contains only glass.
func (t *tile) bare() bool {
	for _, r := range t.rows() {
		if r.cells == nil {
			continue
		}
		for x := t.x / cellSize; x < min(ceilDiv(t.x+t.st.tileW, cellSize), len(r.cells)); x++ {
			if r.cells[x] != t.p.glass {
				return false
			}
		}
	}
	return true
}

// cell returns the cell at a pixel of the level, and the colour shift there.
func (t *tile) cell(x, y int) (*cell, shift) {
	r := &t.st.window[y/cellSize-t.st.first]
	i := x / cellSize
	if i >= len(r.cells) || r.cells[i] == t.p.glass {
		return t.p.glass, shift{}
	}
	if r.top == nil {
		return r.cells[i], shift{}
	}
	u, v := int32(x%cellSize), int32(y%cellSize)
	var s shift
	for k := range s {
		a := r.top[i][k]*(cellSize-u) + r.top[i+1][k]*u
		b := r.bottom[i][k]*(cellSize-u) + r.bottom[i+1][k]*u
		s[k] = (a*(cellSize-v) + b*v) >> 12
	}
	return r.cells[i], s
}

// jpeg compresses a tile.
func (t *tile) jpeg(head []byte) []byte {
	w, h := t.p.coder.mcu()
	s := segment{c: t.p.coder}
	s.b = append(make([]byte, 0, t.st.tileW*t.st.tileH/6), head...)
	for y := t.y; y < t.y+t.st.tileH; y += h {
		for x := t.x; x < t.x+t.st.tileW; x += w {
			c, by := t.cell(x+w/2, y+h/2)
			s.mcu(&c.code, y%cellSize/h*(cellSize/w)+x%cellSize/w, by)
		}
	}
	s.flush()
	return append(s.b, 0xff, 0xd9)
}

// rgb returns the pixels of a tile. All its cells must have theirs.
func (t *tile) rgb() []byte {
	pix := make([]byte, 0, 3*t.st.tileW*t.st.tileH)
	for y := t.y; y < t.y+t.st.tileH; y++ {
		for x := t.x; x < t.x+t.st.tileW; {
			c, _ := t.cell(x, y)
			n := min(cellSize-x%cellSize, t.x+t.st.tileW-x)
			from := 3 * (y%cellSize*cellSize + x%cellSize)
			pix = append(pix, c.pix[from:from+3*n]...)
			x += n
		}
	}
	return pix
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// parallel calls f for 0 to n-1 on all processors.
func parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range workers {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	wg.Wait()
}
