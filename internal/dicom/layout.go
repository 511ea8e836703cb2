package dicom

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A FrameReader appends piece n, from 0, of an instance to dst: [Instance.AppendPiece], or a function
// that calls [Instance.AppendPieceOf] with a slide that is open now. A piece is a frame, or a part
// of the file that the instance is.
type FrameReader func(dst []byte, n int) ([]byte, error)

// A Layout is where everything lies in the Part 10 file of an instance. It is known before the
// frames are read, so that the file can be sent while they are.
type Layout struct {
	Size int64 // of the file

	in     *Instance
	head   []byte   // up to the first frame: attributes and table of frames
	frames []uint32 // bytes of each piece
}

// Bytes of what is around frames: the tag and length of an item, and the end of all items.
const (
	itemHeader = 8
	itemsEnd   = 8
)

// NewLayout returns the layout of the file. It reads tables, but frames only if their sizes
// cannot be known otherwise: see [Instance.loose].
func (in *Instance) NewLayout(ctx context.Context, read FrameReader) (*Layout, error) {
	f := &Layout{in: in, frames: make([]uint32, in.Pieces())}
	if in.stored != nil {
		f.copied()
		return f, nil
	}
	var buf []byte
	for n := range f.frames {
		size := in.bound(n)
		if in.loose {
			var err error
			if buf, err = read(buf[:0], n); err != nil {
				return nil, err
			}
			size = int64(len(buf))
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		f.frames[n] = uint32(size) // a tile has at most 64 MiB, its pixels less than 4 GiB
	}
	f.head = in.head()
	if f.isNative() {
		n := in.pixels.frameBytes() * int64(len(f.frames))
		f.head = appendLong(f.head, PixelData, "OB", int(n+n&1))
	} else {
		f.head = f.appendTable(f.head)
	}
	f.Size = int64(len(f.head)) + int64(len(f.end()))
	for _, n := range f.frames {
		f.Size += f.pieceBytes(n)
	}
	return f, nil
}

// copied completes the layout of an instance that is a file.
func (f *Layout) copied() {
	st := f.in.stored
	for n := range f.frames {
		f.frames[n] = uint32(min(pieceSize, st.copied.Length-int64(n)*pieceSize))
	}
	f.head = st.head
	f.Size = int64(len(f.head)) + st.copied.Length
}

// isNative reports whether the frames are not items.
func (f *Layout) isNative() bool { return f.in.stored != nil || f.in.pixels.how == decoded }

// pieceBytes returns how many bytes a piece occupies in the file.
func (f *Layout) pieceBytes(n uint32) int64 {
	if f.isNative() {
		return int64(n)
	}
	return itemHeader + even(n)
}

// end returns what is behind the last piece.
func (f *Layout) end() []byte {
	switch {
	case f.in.stored != nil:
		return nil
	case !f.isNative():
		return []byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}
	}
	return make([]byte, f.in.pixels.frameBytes()*int64(len(f.frames))&1)
}

// even returns the length of an item with n bytes.
func even(n uint32) int64 { return int64(n) + int64(n&1) }

// appendTable appends the table of frames, and the start of the pixels. The offsets count from
// the first item with a frame. It is the basic table, or the extended one if a frame begins
// beyond 4 GiB (PS3.3 section C.7.6.3).
func (f *Layout) appendTable(head []byte) []byte {
	end := int64(0)
	for _, n := range f.frames {
		end += itemHeader + even(n)
	}
	extended := f.in.series.extended || end > math.MaxUint32
	count, at := len(f.frames), uint64(0)
	if extended {
		head = appendLong(head, ExtendedOffsetTable, "OV", 8*count)
		for _, n := range f.frames {
			head = binary.LittleEndian.AppendUint64(head, at)
			at += itemHeader + uint64(even(n))
		}
		head = appendLong(head, ExtendedOffsetTableLengths, "OV", 8*count)
		for _, n := range f.frames {
			head = binary.LittleEndian.AppendUint64(head, uint64(n))
		}
	}
	head = appendLong(head, PixelData, "OB", math.MaxUint32) // of undefined length
	if extended {
		return appendItem(head, 0)
	}
	head = appendItem(head, int64(4*count))
	for _, n := range f.frames {
		head = binary.LittleEndian.AppendUint32(head, uint32(at))
		at += itemHeader + uint64(even(n))
	}
	return head
}

// appendItem appends the start of an item of n bytes.
func appendItem(out []byte, n int64) []byte {
	return binary.LittleEndian.AppendUint32(append(out, 0xfe, 0xff, 0x00, 0xe0), uint32(n))
}

// appendLong appends tag, VR and a length of 32 bits.
func appendLong(out []byte, t Tag, vr VR, n int) []byte {
	out = binary.LittleEndian.AppendUint16(out, uint16(t>>16))
	out = binary.LittleEndian.AppendUint16(out, uint16(t))
	out = append(append(out, vr...), 0, 0)
	return binary.LittleEndian.AppendUint32(out, uint32(n))
}

// sendAtOnce is the number of bytes from which frames are written.
const sendAtOnce = 256 << 10

// WriteTo writes the file: exactly Size bytes unless there is an error. Each frame is one
// fragment (PS3.5 section A.4), with zero bytes behind it if it is shorter than its place. Tick
// is called after each frame; it may be nil, and its error ends the file.
//
// The error is that of read, w or tick, or that a frame has changed.
func (f *Layout) WriteTo(w io.Writer, read FrameReader, tick func() error) error {
	buf := bytes.Clone(f.head)
	for n, size := range f.frames {
		if !f.isNative() {
			buf = appendItem(buf, even(size))
		}
		start := len(buf)
		place := int(f.pieceBytes(size))
		if !f.isNative() {
			place -= itemHeader
		}
		var err error
		if buf, err = read(buf, n); err != nil {
			return err
		}
		missing := place - (len(buf) - start)
		if missing < 0 || missing > 0 && f.isNative() {
			return fmt.Errorf("frame %d changed while it was read: the slide is being replaced", n+1)
		}
		buf = append(buf, make([]byte, missing)...)
		if len(buf) >= sendAtOnce {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if tick != nil {
			if err := tick(); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(append(buf, f.end()...))
	return err
}

// verify compares each piece of a file with the slide's.
func (f *Layout) verify(file io.ReaderAt, read FrameReader) error {
	var want, got []byte
	at := int64(len(f.head))
	for n, size := range f.frames {
		var err error
		if want, err = read(want[:0], n); err != nil {
			return err
		}
		got = append(got[:0], make([]byte, f.pieceBytes(size))...)
		if _, err := file.ReadAt(got, at); err != nil {
			return err
		}
		at += int64(len(got))
		if !f.isNative() {
			got = got[itemHeader:]
		}
		want = append(want, make([]byte, max(0, len(got)-len(want)))...)
		if !bytes.Equal(got, want) {
			return fmt.Errorf("frame %d was not written as it was read", n+1)
		}
	}
	return nil
}
