package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math/bits"
)

// A Tile is one JPEG of a [Grid]. Without data it is empty: background.
type Tile struct {
	Data  []byte
	Marks *Marks // of Data; see [Index]
}

// A Grid is some tiles of a level, of which [Grid.Stitch] makes one JPEG.
type Grid struct {
	Columns, Rows         int // tiles
	TileWidth, TileHeight int // pixels. The JPEGs of the last column and row may be smaller
	Tiles                 []Tile
	Background            color.RGBA // of empty tiles
	// MaxBytes limits the JPEG; 0 for no limit.
	MaxBytes int
}

// ErrEmpty reports a grid without a JPEG. It is an [ErrNotLossless].
var ErrEmpty = fmt.Errorf("%w: all of the tiles are empty", ErrNotLossless)

// Stitch appends to dst a baseline JPEG with the pixels r of the grid, and returns with it
// the pixels that it shows: r, from the beginning of the MCU at its top left on. Nothing is
// decoded: each sample is that of the tiles, to the last bit. The coefficients are copied
// as they are stored, if the tiles have the same Huffman tables, and otherwise with the
// tables of T.81 K.3. Restart markers are dropped.
//
// The error wraps [ErrNotLossless] if there is no such JPEG: if the tiles differ in their
// sampling, quantization or colours, if r extends over several tiles that do not consist
// of whole MCUs, or if all tiles are empty. It wraps [ErrTooLarge] if the JPEG would have
// more than MaxBytes. Any other error means that a tile is damaged.
func (g *Grid) Stitch(dst []byte, r image.Rectangle) (data []byte, grown image.Rectangle, err error) {
	f, err := g.frame()
	if err != nil {
		return dst, grown, err
	}
	mcuW, mcuH := f.MCU()
	grown = image.Rect(r.Min.X/mcuW*mcuW, r.Min.Y/mcuH*mcuH, r.Max.X, r.Max.Y)
	mcus := image.Rect(r.Min.X/mcuW, r.Min.Y/mcuH, (r.Max.X+mcuW-1)/mcuW, (r.Max.Y+mcuH-1)/mcuH)
	if err := g.check(f, r, grown); err != nil {
		return dst, grown, err
	}
	s := stitcher{g: g, frame: f, out: bitWriter{data: dst}}
	if s.tables = f.tables; !g.sameTables(f) {
		s.tables, s.recode = standardTables(len(f.scan.components)), true
	}
	s.addBackground()
	s.writeHeader(grown.Dx(), grown.Dy())
	if err := s.copyRows(mcus); err != nil {
		return dst, grown, err
	}
	return s.out.end(), grown, nil
}

// frame returns that of the first tile that has one.
func (g *Grid) frame() (*Frame, error) {
	if g.Columns < 1 || g.Rows < 1 || len(g.Tiles) != g.Columns*g.Rows {
		return nil, fmt.Errorf("%d tiles for a grid of %d×%d", len(g.Tiles), g.Columns, g.Rows)
	}
	for i := range g.Tiles {
		if g.Tiles[i].Data != nil {
			return g.Tiles[i].Marks.Frame, nil
		}
	}
	return nil, ErrEmpty
}

// check checks that the pixels r exist, and mean the same in all tiles.
func (g *Grid) check(f *Frame, r, grown image.Rectangle) error {
	if r.Empty() || r.Min.X < 0 || r.Min.Y < 0 || r.Max.X > g.Columns*g.TileWidth || r.Max.Y > g.Rows*g.TileHeight {
		return fmt.Errorf("the pixels %v are not in %d×%d tiles of %d×%d", r, g.Columns, g.Rows, g.TileWidth, g.TileHeight)
	}
	if grown.Dx() > MaxSide || grown.Dy() > MaxSide {
		return fmt.Errorf("%w: a JPEG of %d×%d pixels: at most %d a side", ErrTooLarge, grown.Dx(), grown.Dy(), MaxSide)
	}
	mcuW, mcuH := f.MCU()
	if r.Max.X > g.TileWidth && g.TileWidth%mcuW != 0 || r.Max.Y > g.TileHeight && g.TileHeight%mcuH != 0 {
		return fmt.Errorf("%w: tiles of %d×%d pixels do not consist of whole blocks of %d×%d", ErrNotLossless, g.TileWidth, g.TileHeight, mcuW, mcuH)
	}
	for i := range g.Tiles {
		t := &g.Tiles[i]
		if t.Data == nil {
			continue
		}
		part := r.Sub(image.Pt(i%g.Columns*g.TileWidth, i/g.Columns*g.TileHeight)).Intersect(image.Rect(0, 0, g.TileWidth, g.TileHeight))
		m := t.Marks
		w, h := m.Frame.Size()
		switch {
		case part.Empty():
		case !m.Frame.alike(f):
			return fmt.Errorf("%w: tiles with different sampling, quantization or colours", ErrNotLossless)
		case part.Max.X > w || part.Max.Y > h:
			return fmt.Errorf("%w: a tile of %d×%d pixels, of which %v are needed", ErrNotLossless, w, h, part)
		case part.Max.Y > m.rows*mcuH || m.size != len(t.Data):
			return errors.New("the marks of a tile are of other bytes, or too few")
		}
	}
	return nil
}

// part returns which MCUs of a tile are among those of the grid, counted from those of the
// tile.
func (g *Grid) part(f *Frame, mcus image.Rectangle, col, row int) image.Rectangle {
	mcuW, mcuH := f.MCU()
	w, h := (g.TileWidth+mcuW-1)/mcuW, (g.TileHeight+mcuH-1)/mcuH
	return mcus.Sub(image.Pt(col*w, row*h)).Intersect(image.Rect(0, 0, w, h))
}

// sameTables reports whether the result can have the Huffman tables of the tiles.
func (g *Grid) sameTables(f *Frame) bool {
	same, empty := f.tables != nil, false
	for i := range g.Tiles {
		t := &g.Tiles[i]
		empty = empty || t.Data == nil
		same = same && (t.Data == nil || t.Marks.Frame == f || bytes.Equal(t.Marks.Frame.codes, f.codes))
	}
	return same && (!empty || f.tables.end)
}

// A stitcher writes one JPEG.
type stitcher struct {
	g          *Grid
	frame      *Frame
	tables     *outTables
	recode     bool // the tables are not those of the tiles
	out        bitWriter
	last       [maxComponents]int // DC of the blocks written last
	background [maxComponents]int // DC of empty tiles
}

// addBackground determines the DC of blocks of the background.
func (s *stitcher) addBackground() {
	c := s.g.Background
	v := [maxComponents]byte{c.R, c.G, c.B}
	switch kind := s.frame.look[1]; kind {
	case 'g', 'y':
		v[0], v[1], v[2] = color.RGBToYCbCr(c.R, c.G, c.B)
	}
	// The samples are shifted by 128, and the DC is their mean times 8.
	for i, comp := range s.frame.scan.components {
		for j, other := range s.frame.header.Components {
			if other.ID == comp.ID {
				step, d := s.frame.steps[i], 8*(int(v[j])-128)
				s.background[i] = (2*d + sign(d)*step) / (2 * step)
			}
		}
	}
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// writeHeader writes everything before the pixels.
func (s *stitcher) writeHeader(w, h int) {
	head := s.frame.header
	out := append(s.out.data, 0xff, MarkSOI)
	for _, seg := range head.Segments {
		switch seg.Mark {
		case MarkDQT, MarkAPP0, MarkAPP2, MarkAPP14:
			out = AppendSegment(out, seg.Mark, seg.Data)
		case head.Frame:
			out = AppendSegment(out, seg.Mark, seg.Data)
			size := out[len(out)-len(seg.Data)+1:]
			size[0], size[1], size[2], size[3] = byte(h>>8), byte(h), byte(w>>8), byte(w)
		}
	}
	for _, t := range s.tables.tables {
		out = AppendSegment(out, t.Mark, t.Data)
	}
	out = AppendSegment(out, MarkSOS, head.Scan)
	scan := out[len(out)-len(head.Scan):]
	for i := range s.frame.scan.components {
		scan[2+2*i] = s.tables.names[i]
	}
	s.out.data = out
}

// copyRows copies the MCUs of a part of the grid, row by row.
func (s *stitcher) copyRows(mcus image.Rectangle) error {
	start := len(s.out.data)
	_, mcuH := s.frame.MCU()
	perTile := (s.g.TileHeight + mcuH - 1) / mcuH
	for y := mcus.Min.Y; y < mcus.Max.Y; y++ {
		for col := range s.g.Columns {
			row := y / perTile
			part := s.g.part(s.frame, mcus, col, row)
			if part.Empty() {
				continue
			}
			t := &s.g.Tiles[row*s.g.Columns+col]
			if err := s.copyRun(t, y-row*perTile, part.Min.X, part.Max.X); err != nil {
				return fmt.Errorf("tile %d,%d of %d×%d: JPEG of %d bytes: %w", col, row, s.g.Columns, s.g.Rows, len(t.Data), err)
			}
		}
		if s.g.MaxBytes > 0 && len(s.out.data)-start > s.g.MaxBytes {
			return fmt.Errorf("%w: a JPEG of more than %d bytes", ErrTooLarge, s.g.MaxBytes)
		}
	}
	return nil
}

// copyRun copies the MCUs of a row of a tile from one column up to another.
func (s *stitcher) copyRun(t *Tile, y, from, to int) error {
	if t.Data == nil {
		return s.addRun(to - from)
	}
	m := t.Marks
	c := cursor{scan: m.Frame.scan, columns: m.columns, interval: m.Frame.header.Interval}
	c.in.data = t.Data
	k, ahead := m.before(from, y)
	c.start(y*m.columns+from-ahead, k)
	if ahead > 0 {
		if err := c.walk(ahead); err != nil {
			return err
		}
		if err := c.restart(); err != nil {
			return err
		}
	}
	if s.recode {
		return s.recodeRun(&c, to-from)
	}
	for from < to {
		run := to - from
		if c.interval > 0 {
			run = min(run, c.interval-c.mcu%c.interval)
		}
		if err := s.copyBits(&c, m, y, from, from+run); err != nil {
			return err
		}
		if from += run; from < to {
			if err := c.restart(); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyBits copies the MCUs of a row from one column up to another, with no restart marker
// between them. Only those at both ends are read; what lies between two marks is copied.
func (s *stitcher) copyBits(c *cursor, m *Marks, y, from, to int) error {
	start, err := s.copyFirst(c)
	if err != nil {
		return err
	}
	end := to / markEvery * markEvery // the last mark within the run
	if to == m.columns {
		end = to
	}
	k := mark{}
	if end == m.columns {
		k = m.marks[(y+1)*m.perRow]
	} else {
		k = m.marks[y*m.perRow+end/markEvery]
	}
	// A mark behind a restart marker is not where the MCU before it ends.
	behind := c.interval > 0 && (y*m.columns+end)%c.interval == 0
	if behind {
		end -= (end-1)%markEvery + 1
		k = m.marks[y*m.perRow+end/markEvery]
	}
	if end > from+1 {
		c.start(y*m.columns+end, k)
		from = end - 1
	}
	if n := to - from - 1; n > 0 {
		if err := c.walkRun(n); err != nil {
			return err
		}
		c.mcu += n
	}
	s.out.copy(c.in.data, start, c.in.position())
	s.last = c.dc
	return nil
}

// copyFirst copies the first MCU of a run. The DC of the first block of each component is
// encoded as the difference from the block written before. What follows the last of these is
// not copied yet; it begins at start.
func (s *stitcher) copyFirst(c *cursor) (start position, err error) {
	seen := 0
	for _, i := range c.scan.blocks {
		first := seen>>i&1 == 0
		if first && seen > 0 {
			s.out.copy(c.in.data, start, c.in.position())
		}
		if err := c.readDC(i); err != nil {
			return 0, err
		}
		if first {
			seen |= 1 << i
			if err := s.putDC(i, c.dc[i]-s.last[i]); err != nil {
				return 0, err
			}
			if start, err = c.in.position(), c.in.check(); err != nil {
				return 0, err
			}
		}
		if err := c.skipAC(i); err != nil {
			return 0, err
		}
	}
	c.mcu++
	return start, nil
}

// recodeRun copies the next n MCUs with other Huffman tables.
func (s *stitcher) recodeRun(c *cursor, n int) error {
	for j := range n {
		if j > 0 {
			if err := c.restart(); err != nil {
				return err
			}
		}
		for _, i := range c.scan.blocks {
			if err := s.recodeBlock(c, i); err != nil {
				return err
			}
		}
		c.mcu++
	}
	return nil
}

// recodeBlock copies one block with other Huffman tables.
func (s *stitcher) recodeBlock(c *cursor, i uint8) error {
	if err := c.readDC(i); err != nil {
		return err
	}
	diff := c.dc[i] - s.last[i]
	s.last[i] = c.dc[i]
	if err := s.putDC(i, diff); err != nil {
		return err
	}
	ac, codes := c.scan.components[i].acTable, s.tables.ac[i]
	k := 1
	for k < 64 {
		c.in.fill()
		found := ac.find(c.in.acc)
		code := codes[found.symbol()]
		if found.step() == 0 || code.length == 0 {
			return errSymbol
		}
		n := found.total() - found.length()
		value := c.in.acc << found.length() >> 1 >> (63 - n)
		s.out.put(uint64(code.bits)<<n|value, int(code.length)+n)
		c.in.skip(found.total())
		k += found.step()
	}
	if k > 64 && k < endOfBlock {
		return errLong
	}
	return c.in.check()
}

// readDC reads the DC of the next block, which is of component i (F.2.2.1).
func (c *cursor) readDC(i uint8) error {
	c.in.fill()
	found := c.scan.components[i].dcTable.find(c.in.acc)
	size := int(found.symbol())
	if size > maxDCSize {
		return fmt.Errorf("%w: %w", ErrNotLossless, errDC)
	}
	diff := int(c.in.acc << found.length() >> 1 >> (63 - size))
	if size > 0 && diff < 1<<(size-1) {
		diff -= 1<<size - 1
	}
	c.dc[i] += diff
	c.in.skip(found.length() + size)
	return nil
}

// skipAC reads the other coefficients of a block.
func (c *cursor) skipAC(i uint8) error {
	ac := c.scan.components[i].acTable
	k := 1
	for k < 64 {
		c.in.fill()
		found := ac.find(c.in.acc)
		c.in.skip(found.total())
		if found.step() == 0 {
			return errSymbol
		}
		k += found.step()
	}
	if k > 64 && k < endOfBlock {
		return errLong
	}
	return c.in.check()
}

// putDC writes a DC difference (F.1.2.1).
func (s *stitcher) putDC(i uint8, diff int) error {
	size := bits.Len(uint(max(diff, -diff)))
	if size > maxDCSize {
		return fmt.Errorf("%w: %w", ErrNotLossless, errDC)
	}
	if diff < 0 {
		diff += 1<<size - 1
	}
	code := s.tables.dc[i][size]
	s.out.put(uint64(code.bits)<<size|uint64(diff), code.length+size)
	return nil
}

// addRun writes n MCUs of the background.
func (s *stitcher) addRun(n int) error {
	for range n {
		for _, i := range s.frame.scan.blocks {
			diff := s.background[i] - s.last[i]
			s.last[i] = s.background[i]
			if err := s.putDC(i, diff); err != nil {
				return err
			}
			end := s.tables.ac[i][0]
			s.out.put(uint64(end.bits), int(end.length))
		}
	}
	return nil
}

// copy appends the bits of data from one position up to another.
func (w *bitWriter) copy(data []byte, from, to position) {
	at, end := from.byte(), to.byte()
	if at == end {
		if n := to.bit() - from.bit(); n > 0 {
			w.put(uint64(data[at]>>(8-to.bit()))&(1<<n-1), n)
		}
		return
	}
	if n := 8 - from.bit(); n < 8 {
		w.put(uint64(data[at])&(1<<n-1), n)
		at = next(data, at)
	}
	for at < end {
		for at+8 <= end { // eight bytes at once, as long as there is no FF
			v := binary.BigEndian.Uint64(data[at:])
			whole := w.acc<<(64-w.n) | v>>w.n
			if hasFF8(v) || hasFF8(whole) {
				break
			}
			w.data = binary.BigEndian.AppendUint64(w.data, whole)
			w.acc = v
			at += 8
		}
		if at < end {
			w.put(uint64(data[at]), 8)
			at = next(data, at)
		}
	}
	if n := to.bit(); n > 0 {
		w.put(uint64(data[end]>>(8-n)), n)
	}
}

// next returns the position after the byte at, and after the zero that follows an FF.
func next(data []byte, at int) int {
	if data[at] == 0xff {
		return at + 2
	}
	return at + 1
}

// hasFF8 reports whether one of v's bytes is FF.
func hasFF8(v uint64) bool { return (^v-0x0101010101010101)&v&0x8080808080808080 != 0 }
