package dicom

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// A Position is the place of one frame in the image, of the functional groups of that frame.
// What the file does not have is zero.
type Position struct {
	// Column and Row are those of the frame's top left pixel in the total pixel matrix,
	// counted from 1.
	Column, Row int64
	Z           float64 // offset of the focal plane, in µm
	OpticalPath string  // identifier
	// Index has the DimensionIndexValues, at most four. It is valid until the next frame.
	Index []uint32
}

// Attributes of the functional groups of a frame.
const (
	frameContentSequence              Tag = 0x00209111
	dimensionIndexValues              Tag = 0x00209157
	zOffset                           Tag = 0x0040074A
	planePositionSlideSequence        Tag = 0x0048021A
	columnPosition                    Tag = 0x0048021E
	rowPosition                       Tag = 0x0048021F
	opticalPathIdentificationSequence Tag = 0x00480207
)

// Positions reads the functional groups of the frames in their order, without building objects:
// the file may have hundreds of thousands. Nothing follows an error, which is one of those of
// [Read].
func (f *File) Positions(r io.ReaderAt, size int64) iter.Seq2[Position, error] {
	return func(yield func(Position, error) bool) {
		p := &positions{parser: parser{r: r, size: size}, yield: yield}
		if f.PerFrame.Length <= 0 {
			return
		}
		e := element{at: f.PerFrame.Offset, tag: PerFrameFunctionalGroupsSequence, vr: "SQ", value: f.PerFrame.Offset, length: f.PerFrame.Length}
		if _, err := p.eachItem(e, scope{end: size, implicit: f.implicit}, p.frame); err != nil && !p.stopped {
			yield(Position{}, err)
		}
	}
}

// A positions reads the groups of frames.
type positions struct {
	parser
	yield   func(Position, error) bool
	stopped bool
	now     Position
	index   [4]uint32
}

// errStopped ends the walk of a caller that needs no further frame.
var errStopped = fmt.Errorf("stopped")

// frame reads the item of a frame.
func (p *positions) frame(it element, s scope) (int64, error) {
	p.now = Position{}
	next, err := p.eachElement(it, s, func(e element, s *scope) (int64, error) {
		switch e.tag {
		case frameContentSequence, planePositionSlideSequence, opticalPathIdentificationSequence:
			return p.eachItem(e, *s, p.group)
		}
		return p.skip(e, *s)
	})
	if err != nil {
		return 0, err
	}
	if p.stopped = !p.yield(p.now, nil); p.stopped {
		return 0, errStopped
	}
	return next, nil
}

// group reads the one item of a functional group.
func (p *positions) group(it element, s scope) (int64, error) {
	return p.eachElement(it, s, func(e element, s *scope) (int64, error) {
		next, err := p.skip(e, *s)
		if err != nil || e.length <= 0 {
			return next, err
		}
		return next, p.attribute(e)
	})
}

// attribute reads one value of a functional group.
func (p *positions) attribute(e element) error {
	switch e.tag {
	case columnPosition, rowPosition, dimensionIndexValues, zOffset, OpticalPathIdentifier:
	default:
		return nil
	}
	b, err := p.bytes(e.value, int(min(e.length, 64)))
	if err != nil {
		return err
	}
	switch e.tag {
	case columnPosition, rowPosition:
		if len(b) != 4 {
			return &FormatError{Offset: e.at, Tag: e.tag, Msg: fmt.Sprintf("the position of a frame has %d bytes", e.length)}
		}
		v := int64(int32(binary.LittleEndian.Uint32(b)))
		if e.tag == columnPosition {
			p.now.Column = v
		} else {
			p.now.Row = v
		}
	case dimensionIndexValues:
		p.now.Index = p.index[:0]
		for ; len(b) >= 4 && len(p.now.Index) < len(p.index); b = b[4:] {
			p.now.Index = append(p.now.Index, binary.LittleEndian.Uint32(b))
		}
	case zOffset:
		v, err := strconv.ParseFloat(trim("DS", string(b)), 64)
		if err != nil {
			return &FormatError{Offset: e.at, Tag: e.tag, Msg: "the position of a frame is no number"}
		}
		p.now.Z = v
	case OpticalPathIdentifier:
		if s := trim("SH", string(b)); s != p.now.OpticalPath {
			p.now.OpticalPath = s
		}
	}
	return nil
}
