package jpeg

import (
	"fmt"
	"math/bits"
)

// Crop returns the top left w × h pixels of a JPEG without loss: it copies the
// compressed coefficients instead of decoding them to pixels. It can only remove complete
// blocks (MCUs of 8 or 16 pixels a side) at the right and at the bottom. If there is
// nothing to remove it returns data itself.
//
// Coefficients other than the DC ones are copied bit for bit. The DC of a block is stored
// as the difference from the previous block, which may have been removed, and is encoded
// again. Restart markers, comments and EXIF are dropped.
//
// The error wraps [ErrNotLossless] for streams that are not baseline or extended sequential
// ones of 8 bits with Huffman codes and a single scan, and for irregular ones that decoders
// interpret differently; these must be decoded. Any other error means that the JPEG is
// damaged, or smaller than w × h.
func Crop(data []byte, w, h int) ([]byte, error) {
	head, err := ReadHeader(data)
	if err != nil {
		return nil, err
	}
	if w < 1 || h < 1 || w > head.Width || h > head.Height {
		return nil, fmt.Errorf("cannot crop a JPEG of %d×%d pixels to %d×%d", head.Width, head.Height, w, h)
	}
	if w == head.Width && h == head.Height {
		return data, nil
	}
	c, err := newCropper(head, data, w, h)
	if err != nil {
		return nil, err
	}
	if err := c.copyRows(); err != nil {
		return nil, fmt.Errorf("JPEG of %d bytes, near byte %d: %w", len(data), c.in.at, err)
	}
	return c.out.end(), nil
}

// A cropper copies the first scan of a JPEG, without the MCUs that are beyond the columns
// and rows to keep.
type cropper struct {
	in              bitReader
	out             bitWriter
	blocks          []*scanned // of an MCU, in the order in which they are stored
	scanned         []scanned
	interval        int // MCUs between restart markers, or 0 without restart markers
	mcuH            int // pixels
	columns         int // MCUs
	keepColumns     int
	keepRows        int
	restarts, until int // markers read, and MCUs before the next one
}

// A scanned is a component of the scan, with its DC predictions.
type scanned struct {
	dc, ac  *decodeTable
	codes   *dcCodes
	value   int // DC of the block read last
	written int // DC of the block written last
}

func newCropper(head *Header, data []byte, w, h int) (*cropper, error) {
	scan, err := newScan(head)
	if err != nil {
		return nil, err
	}
	c := &cropper{interval: head.Interval, until: head.Interval, mcuH: scan.mcuH}
	c.in = bitReader{data: data, at: head.Body}
	var codes [4]*dcCodes
	for _, comp := range scan.components {
		if codes[comp.dc] == nil {
			codes[comp.dc] = c.codesFor(head, comp.dc)
		}
		c.scanned = append(c.scanned, scanned{dc: comp.dcTable, ac: comp.acTable, codes: codes[comp.dc]})
	}
	for _, i := range scan.blocks {
		c.blocks = append(c.blocks, &c.scanned[i])
	}
	c.columns = (head.Width + scan.mcuW - 1) / scan.mcuW
	c.keepColumns = (w + scan.mcuW - 1) / scan.mcuW
	c.keepRows = (h + scan.mcuH - 1) / scan.mcuH
	kept := len(data) / head.Height * min(h+scan.mcuH, head.Height)
	c.out.data = make([]byte, 0, kept+1024)
	c.writeHeader(head, w, h)
	return c, nil
}

// codesFor returns the codes of DC table t. An optimized table may lack codes for the new
// differences; then the standard table replaces it.
func (c *cropper) codesFor(head *Header, t byte) *dcCodes {
	if codes := newDCCodes(head.huffman[0][t]); codes.complete() {
		return codes
	}
	standard := standardDC[min(t, 1)]
	head.Segments = append(head.Segments, Segment{MarkDHT, append(append([]byte{t}, standard.counts...), standard.symbols...)})
	return newDCCodes(standard)
}

// writeHeader writes everything before the pixels: the tables, the frame with the new size,
// and the marker that identifies the colours. An added table comes after the one that it
// replaces.
func (c *cropper) writeHeader(head *Header, w, h int) {
	out := append(c.out.data, 0xff, MarkSOI)
	for _, s := range head.Segments {
		switch s.Mark {
		case MarkDQT, MarkDHT, MarkAPP0, MarkAPP2, MarkAPP14:
			out = AppendSegment(out, s.Mark, s.Data)
		case head.Frame:
			out = AppendSegment(out, s.Mark, s.Data)
			size := out[len(out)-len(s.Data)+1:]
			size[0], size[1], size[2], size[3] = byte(h>>8), byte(h), byte(w>>8), byte(w)
		}
	}
	c.out.data = AppendSegment(out, MarkSOS, head.Scan)
}

func AppendSegment(out []byte, mark byte, data []byte) []byte {
	n := len(data) + 2
	return append(append(out, 0xff, mark, byte(n>>8), byte(n)), data...)
}

// copyRows copies the MCUs to keep.
func (c *cropper) copyRows() error {
	for range c.keepRows {
		for x := range c.columns {
			if err := c.restart(); err != nil {
				return err
			}
			if err := c.copyMCU(x < c.keepColumns); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyMCU copies one MCU, or only reads it if keep is false.
func (c *cropper) copyMCU(keep bool) error {
	for _, s := range c.blocks {
		var err error
		if keep {
			err = c.copyBlock(s)
		} else {
			err = c.skipBlock(s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restart reads a restart marker where one is due. It resets the DC predictions to zero
// (F.1.1.5.1).
func (c *cropper) restart() error {
	if c.interval == 0 {
		return nil
	}
	if c.until > 0 {
		c.until--
		return nil
	}
	if err := c.in.marker(byte(MarkRST0 + c.restarts&7)); err != nil {
		return err
	}
	c.restarts++
	c.until = c.interval - 1
	for i := range c.scanned {
		c.scanned[i].value = 0
	}
	return nil
}

// copyBlock copies one block, with its DC as the difference from the block written last.
func (c *cropper) copyBlock(s *scanned) error {
	if err := c.readDC(s); err != nil {
		return err
	}
	if err := c.writeDC(s); err != nil {
		return err
	}
	k := 1
	for k < 64 {
		c.in.fill()
		found := s.ac.find(c.in.acc)
		n := found.total()
		c.out.put(c.in.acc>>(64-n), n)
		c.in.skip(n)
		if found.step() == 0 {
			return errSymbol
		}
		k += found.step()
	}
	return c.checkBlock(k)
}

// skipBlock reads one block without writing it.
func (c *cropper) skipBlock(s *scanned) error {
	if err := c.readDC(s); err != nil {
		return err
	}
	k := 1
	for k < 64 {
		c.in.fill()
		found := s.ac.find(c.in.acc)
		c.in.skip(found.total())
		if found.step() == 0 {
			return errSymbol
		}
		k += found.step()
	}
	return c.checkBlock(k)
}

var (
	errSymbol = fmt.Errorf("%w: a symbol that only progressive JPEGs have", ErrNotLossless)
	errLong   = fmt.Errorf("%w: a block of more than 64 coefficients", ErrNotLossless)
)

// checkBlock checks k, the index after the last coefficient of a block.
func (c *cropper) checkBlock(k int) error {
	if k > 64 && k < endOfBlock {
		return errLong
	}
	return c.in.check()
}

// readDC reads the DC of a block (F.2.2.1).
func (c *cropper) readDC(s *scanned) error {
	c.in.fill()
	found := s.dc.find(c.in.acc)
	size := int(found.symbol())
	if size > maxDCSize {
		return fmt.Errorf("%w: DC difference of %d bits", ErrNotLossless, size)
	}
	diff := int(c.in.acc << found.length() >> 1 >> (63 - size))
	if size > 0 && diff < 1<<(size-1) {
		diff -= 1<<size - 1
	}
	s.value += diff
	c.in.skip(found.length() + size)
	return nil
}

// writeDC writes the DC of the block read last (F.1.2.1).
func (c *cropper) writeDC(s *scanned) error {
	diff := s.value - s.written
	s.written = s.value
	size := bits.Len(uint(max(diff, -diff)))
	if size > maxDCSize {
		return fmt.Errorf("%w: DC difference %d", ErrNotLossless, diff)
	}
	if diff < 0 {
		diff += 1<<size - 1
	}
	code := s.codes[size]
	c.out.put(uint64(code.bits)<<size|uint64(diff), code.length+size)
	return nil
}
