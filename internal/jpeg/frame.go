package jpeg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
)

// maxComponents is the number of colours that a JPEG to be stitched may have: grey, or
// three.
const maxComponents = 3

// A Frame is all of a JPEG before its pixels, prepared for stitching. The tiles of a level
// usually share one.
type Frame struct {
	head   []byte // everything before the pixels
	header *Header
	scan   *scan
	steps  [maxComponents]int // quantization step of the DC of each component of the scan
	look   []byte             // what the coefficients mean: sampling, quantization and colours
	codes  []byte             // the Huffman tables of each component of the scan
	tables *outTables         // for writing; nil if the tables of the frame cannot be completed
}

// MCU returns the size of a unit of the frame's pixels that is copied as a whole.
func (f *Frame) MCU() (w, h int) { return f.scan.mcuW, f.scan.mcuH }

// Size returns the size of the JPEG in pixels.
func (f *Frame) Size() (w, h int) { return f.header.Width, f.header.Height }

// bytes estimates the memory of the frame.
func (f *Frame) bytes() int {
	const table = 4608 // a decodeTable
	return 8<<10 + 4*table + 2*len(f.head)
}

// newFrame prepares what precedes the pixels of data. It keeps no reference to data.
func newFrame(data []byte) (*Frame, error) {
	h, err := ReadHeader(data)
	if err != nil {
		return nil, err
	}
	f := &Frame{head: bytes.Clone(data[:h.Body])}
	if f.header, err = ParseHeader(f.head); err != nil {
		return nil, err
	}
	if n := len(h.Components); n != 1 && n != maxComponents {
		return nil, fmt.Errorf("%w: JPEG of %d colours", ErrNotLossless, n)
	}
	if f.scan, err = newScan(f.header); err != nil {
		return nil, err
	}
	if err := f.addLook(); err != nil {
		return nil, err
	}
	for _, c := range f.scan.components {
		for class, id := range [2]byte{c.dc, c.ac} {
			t := f.header.huffman[class][id]
			f.codes = append(append(f.codes, t.counts...), t.symbols...)
		}
	}
	f.tables = newOutTables(f)
	return f, nil
}

// addLook collects what two JPEGs must have in common for their coefficients to mean the
// same.
func (f *Frame) addLook() error {
	f.look = append(f.look, byte(len(f.scan.components)), kindOfColour(f.header))
	steps := quantizers(f.header)
	for i, c := range f.scan.components {
		t := steps[c.ID]
		if t == nil || t[0] == 0 {
			return fmt.Errorf("JPEG: component %d has no quantization table", c.ID)
		}
		f.steps[i] = int(t[0])
		f.look = append(f.look, byte(c.H), byte(c.V))
		for _, q := range t {
			f.look = binary.BigEndian.AppendUint16(f.look, q)
		}
	}
	return nil
}

// kindOfColour tells which colours decoders see in three components.
func kindOfColour(h *Header) byte {
	switch {
	case len(h.Components) == 1:
		return 'g'
	case h.RGB():
		return 'r'
	}
	return 'y'
}

// quantizers returns the quantization table of each component, by its id (B.2.4.1).
func quantizers(h *Header) map[byte]*[64]uint16 {
	var tables [4]*[64]uint16
	all := map[byte]*[64]uint16{}
	var frame []byte
	for _, s := range h.Segments {
		if s.Mark == h.Frame {
			frame = s.Data
		}
		for b := s.Data; s.Mark == MarkDQT && len(b) > 1; {
			wide := int(min(b[0]>>4, 1))
			n := 64 << wide
			if len(b) < 1+n {
				break
			}
			t := new([64]uint16)
			for i := range t {
				if t[i] = uint16(b[1+i]); wide > 0 {
					t[i] = binary.BigEndian.Uint16(b[1+2*i:])
				}
			}
			tables[b[0]&3] = t
			b = b[1+n:]
		}
	}
	for i := 6; i+2 < len(frame); i += 3 {
		all[frame[i]] = tables[frame[i+2]&3]
	}
	return all
}

// alike reports whether the coefficients of both mean the same.
func (f *Frame) alike(g *Frame) bool { return f == g || bytes.Equal(f.look, g.look) }

// Frames shares the frames of JPEGs with equal headers. It is safe for concurrent use.
type Frames struct {
	mu   sync.Mutex
	seed maphash.Seed
	all  map[uint64]*Frame
}

// maxFrames limits the frames that are shared. The levels of a slide have one or two, and
// slides of one scanner often the same ones.
const maxFrames = 64

// NewFrames returns an empty set.
func NewFrames() *Frames { return &Frames{seed: maphash.MakeSeed(), all: map[uint64]*Frame{}} }

// of returns the frame of data, and whether others share it already.
func (s *Frames) of(data []byte) (f *Frame, shared bool, err error) {
	h, err := ReadHeader(data)
	if err != nil {
		return nil, false, err
	}
	key := maphash.Bytes(s.seed, data[:h.Body])
	s.mu.Lock()
	f = s.all[key]
	s.mu.Unlock()
	if f != nil && bytes.Equal(f.head, data[:h.Body]) {
		return f, true, nil
	}
	if f, err = newFrame(data); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxFrames {
		for k := range s.all { // any one: it is made again when it is needed
			delete(s.all, k)
			break
		}
	}
	s.all[key] = f
	return f, false, nil
}
