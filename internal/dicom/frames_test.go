package dicom

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFrameTables locates the frames of an export by either table and by its items.
func TestFrameTables(t *testing.T) {
	t.Parallel()
	for _, extended := range []bool{false, true} {
		d := newSeries(t, write(t, philips), Options{ID: "im1"})
		d.extended = extended
		for _, p := range exported(t, d) {
			file, err := Read(p.R, p.Size)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := file.Data.Int(NumberOfFrames)
			f := &frameFile{file: *file, r: p.R, size: p.Size, frames: int(n)}
			walked, err := f.walk()
			if err != nil {
				t.Fatal(err)
			}
			read, first := f.readBasic, file.Pixels+itemHeader+4*n
			if extended {
				read, first = f.readExtended, file.Pixels+itemHeader
			}
			table, err := read(first)
			if err != nil || table == nil {
				t.Fatalf("extended %v: no table, %v", extended, err)
			}
			if ok, err := f.plausible(table); !ok || err != nil {
				t.Fatalf("extended %v: not plausible, %v", extended, err)
			}
			if diff := cmp.Diff(walked, table, cmp.AllowUnexported(frameTable{})); diff != "" {
				t.Errorf("extended %v: (-items +table)\n%s", extended, diff)
			}
		}
	}
}

// A hole is a file of zeros with some bytes.
type hole map[int64][]byte

func (h hole) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	for from, v := range h {
		for i, c := range v {
			if k := from + int64(i) - at; k >= 0 && k < int64(len(b)) {
				b[k] = c
			}
		}
	}
	return len(b), nil
}

// TestWrappedTable has a basic table whose values do not fit into 32 bits.
func TestWrappedTable(t *testing.T) {
	t.Parallel()
	const pixels, n = 1000, 5
	frame := int64(3 << 30)
	first := int64(pixels + itemHeader + 4*n)
	h := hole{}
	table := []byte(mark(item, 4*n))
	want := newFrameTable(n)
	for i := range int64(n) {
		at := i * (frame + itemHeader)
		table = binary.LittleEndian.AppendUint32(table, uint32(at))
		h[first+at] = []byte(mark(item, uint32(frame)))
		want.add(first+at, frame+itemHeader)
	}
	h[pixels] = table
	end := first + n*(frame+itemHeader)
	h[end] = []byte(mark(sequenceDelimiter, 0))
	f := &frameFile{file: File{Pixels: pixels, PixelLength: -1}, r: h, size: end + itemHeader, frames: n}
	got, err := f.readBasic(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(frameTable{})); diff != "" {
		t.Error(diff)
	}
	if ok, err := f.plausible(got); !ok || err != nil {
		t.Errorf("not plausible, %v", err)
	}
	delete(h, first+4*(frame+itemHeader))
	if ok, err := f.plausible(got); ok || err != nil {
		t.Errorf("plausible without an item, %v", err)
	}
}
