package dicom

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// Export writes each instance to a file of its own in dir: its UID with the suffix ".dcm". A
// file is there completely or not at all, and its frames were read again and compared. A file
// that is there already with the same attributes is kept, so an interrupted export continues.
// Progress is called after each frame with the numbers of frames; it may be nil.
//
// The error is that of [Instance.AppendFrame] or of the files. Files written before stay.
func (d *Series) Export(ctx context.Context, dir string, progress func(done, total int)) error {
	total, done := 0, 0
	for _, in := range d.Instances {
		total += in.Frames()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, in := range d.Instances {
		path := filepath.Join(dir, in.UID+".dcm")
		before := done
		tick := func() error {
			done++
			if progress != nil {
				progress(done, total)
			}
			return ctx.Err()
		}
		same, err := in.isAt(path)
		if err != nil {
			return err
		}
		if !same {
			if err := fsx.CreateNew(path, 0o666, func(f *os.File) error { return in.write(f, tick) }); err != nil {
				return fmt.Errorf("cannot write %s: %w", path, err)
			}
		}
		done = before + in.Frames()
	}
	return nil
}

// ErrOther reports a file in place of an instance that does not contain it.
var ErrOther = errors.New("there is another file of this name")

// isAt reports whether the file has the instance. Its name has a hash of what the instance is
// made of, so it is that or was not written by this program.
func (in *Instance) isAt(path string) (bool, error) {
	f, err := fsx.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read
	head := in.head()
	there := make([]byte, len(head))
	if _, err := io.ReadFull(f, there); err != nil || !bytes.Equal(head, there) {
		return false, fmt.Errorf("%s: %w; export into an empty folder", path, ErrOther)
	}
	return true, nil
}

// head returns the file up to the table of its frames.
func (in *Instance) head() []byte {
	return AppendDataset(appendPreamble(nil, in.UID, in.TransferSyntax), in.Attributes)
}

// write writes the file: attributes, a table of frames, and the frames, each as one fragment
// (PS3.5 section A.4). The table is completed at the end. It then reads all frames again.
func (in *Instance) write(f *os.File, tick func() error) error {
	head := in.head()
	t := newOffsetTable(in)
	head = t.appendTo(head)
	if _, err := f.Write(head); err != nil {
		return err
	}
	var buf []byte
	at := uint64(0) // from the first item
	for i := range in.Frames() {
		var err error
		if buf, err = in.AppendFrame(append(buf[:0], 0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0), i); err != nil {
			return err
		}
		t.add(at, uint64(len(buf)-8))
		if len(buf)%2 == 1 {
			buf = append(buf, 0)
		}
		binary.LittleEndian.PutUint32(buf[4:], uint32(len(buf)-8)) // a tile has at most 64 MiB
		if _, err := f.Write(buf); err != nil {
			return err
		}
		at += uint64(len(buf))
		if err := tick(); err != nil {
			return err
		}
	}
	if _, err := f.Write([]byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}); err != nil {
		return err
	}
	if err := t.writeTo(f); err != nil {
		return err
	}
	return in.verify(f, int64(len(head)), t)
}

// An offsetTable says where the frames are, counted from the first item with one: the basic
// table, or the extended one if the frames take 4 GiB or more (PS3.3 section C.7.6.3).
type offsetTable struct {
	offsets, lengths []uint64
	extended         bool
	at, lengthsAt    int64 // where the values are in the file
}

func newOffsetTable(in *Instance) *offsetTable {
	n := in.Frames()
	t := &offsetTable{offsets: make([]uint64, 0, n), lengths: make([]uint64, 0, n)}
	t.extended = in.series.extended || in.bytes()+9*int64(n) > math.MaxUint32
	return t
}

func (t *offsetTable) add(offset, length uint64) {
	t.offsets, t.lengths = append(t.offsets, offset), append(t.lengths, length)
}

// appendTo appends the tables without their values, and the start of the pixels, to the start
// of a file.
func (t *offsetTable) appendTo(head []byte) []byte {
	n := cap(t.offsets)
	basic := 4 * n
	if t.extended {
		basic = 0
		head = appendLong(head, ExtendedOffsetTable, "OV", 8*n)
		t.at = int64(len(head))
		head = appendLong(append(head, make([]byte, 8*n)...), ExtendedOffsetTableLengths, "OV", 8*n)
		t.lengthsAt = int64(len(head))
		head = append(head, make([]byte, 8*n)...)
	}
	head = appendLong(head, PixelData, "OB", math.MaxUint32) // of undefined length
	head = append(head, 0xfe, 0xff, 0x00, 0xe0)
	head = binary.LittleEndian.AppendUint32(head, uint32(basic))
	if !t.extended {
		t.at = int64(len(head))
	}
	return append(head, make([]byte, basic)...)
}

// appendLong appends tag, VR and a length of 32 bits.
func appendLong(out []byte, t Tag, vr VR, n int) []byte {
	out = binary.LittleEndian.AppendUint16(out, uint16(t>>16))
	out = binary.LittleEndian.AppendUint16(out, uint16(t))
	out = append(append(out, vr...), 0, 0)
	return binary.LittleEndian.AppendUint32(out, uint32(n))
}

// writeTo writes the values.
func (t *offsetTable) writeTo(f *os.File) error {
	var offsets, lengths []byte
	for i := range t.offsets {
		if !t.extended {
			offsets = binary.LittleEndian.AppendUint32(offsets, uint32(t.offsets[i]))
			continue
		}
		offsets = binary.LittleEndian.AppendUint64(offsets, t.offsets[i])
		lengths = binary.LittleEndian.AppendUint64(lengths, t.lengths[i])
	}
	if _, err := f.WriteAt(offsets, t.at); err != nil || !t.extended {
		return err
	}
	_, err := f.WriteAt(lengths, t.lengthsAt)
	return err
}

// verify compares each frame of the file, whose first item is at first, with the slide's.
func (in *Instance) verify(f *os.File, first int64, t *offsetTable) error {
	var want, got []byte
	for i := range in.Frames() {
		var err error
		if want, err = in.AppendFrame(want[:0], i); err != nil {
			return err
		}
		if t.lengths[i] != uint64(len(want)) {
			return fmt.Errorf("frame %d changed while it was written: the slide is being replaced", i+1)
		}
		got = slices.Grow(got[:0], len(want))[:len(want)]
		if _, err := f.ReadAt(got, first+8+int64(t.offsets[i])); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("frame %d was not written as it was read", i+1)
		}
	}
	return nil
}
