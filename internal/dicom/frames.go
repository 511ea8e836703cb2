package dicom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxFrameBytes limits the compressed size of one frame.
	maxFrameBytes = 64 << 20
	// maxFrames limits the frames of a series. A slide of 300,000 × 300,000 pixels in tiles of
	// 256 × 256 has 1.4 million.
	maxFrames = 4 << 20
)

// A frameFile locates the frames of an instance in its file. It is safe for concurrent use.
type frameFile struct {
	file   File // without the attributes
	r      io.ReaderAt
	size   int64 // of the file
	frames int
	raw    int64 // bytes of an uncompressed frame; 0 if the frames are encapsulated
	planes int   // of an uncompressed frame; 1 if its colours are interleaved

	mu    sync.Mutex // held while the table is read
	table atomic.Pointer[frameTable]
}

// A frameTable locates encapsulated frames, which are one or more items each (PS3.5 section
// A.4).
type frameTable struct {
	at []int64  // offset of the first item of each frame in the file
	n  []uint32 // bytes up to the end of its last item
}

// appendFrame appends the bytes of frame i and returns their offset in the file. The error is
// [slide.ErrEmptyTile] for a frame without bytes.
func (f *frameFile) appendFrame(dst []byte, i int) ([]byte, int64, error) {
	if f.raw > 0 {
		return f.appendRaw(dst, i)
	}
	t, err := f.load()
	if err != nil {
		return dst, 0, err
	}
	at, n := t.at[i], int(t.n[i])
	if n > maxFrameBytes {
		return dst, at, &FormatError{Offset: at, Tag: PixelData, Msg: fmt.Sprintf("a frame has %d bytes, more than are supported", n)}
	}
	base := len(dst)
	longer := slices.Grow(dst, n)[:base+n]
	if err := f.read(longer[base:], at); err != nil {
		return dst, at, err
	}
	n, ok := join(longer[base:])
	switch {
	case !ok:
		return dst, at, &FormatError{Offset: at, Tag: PixelData, Msg: "the file is damaged: a frame does not consist of items"}
	case n == 0:
		return dst, at, slide.ErrEmptyTile
	}
	return longer[:base+n], at + itemHeader, nil
}

// join moves the contents of the items in b together, and returns their size. It reports false
// if b has something else than items.
func join(b []byte) (int, bool) {
	to := 0
	for at := 0; at < len(b); {
		if len(b)-at < itemHeader || !isItem(b[at:]) {
			return 0, false
		}
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		if at += itemHeader; n > len(b)-at {
			return 0, false
		}
		to += copy(b[to:], b[at:at+n])
		at += n
	}
	return to, true
}

func isItem(b []byte) bool { return string(b[:4]) == "\xfe\xff\x00\xe0" }

// appendRaw appends an uncompressed frame. Planes get the lengths that [slide.Layout.Planes]
// describes.
func (f *frameFile) appendRaw(dst []byte, i int) ([]byte, int64, error) {
	at, base, heads := f.file.Pixels+int64(i)*f.raw, len(dst), 0
	if f.planes > 1 {
		heads = 4 * f.planes
	}
	longer := slices.Grow(dst, heads+int(f.raw))[:base+heads+int(f.raw)]
	if err := f.read(longer[base+heads:], at); err != nil {
		return dst, at, err
	}
	if f.planes > 1 {
		b, n := longer[base:], int(f.raw)/f.planes
		for p := range f.planes {
			copy(b[4+p*(4+n):], b[heads+p*n:heads+(p+1)*n])
			binary.BigEndian.PutUint32(b[p*(4+n):], uint32(n))
		}
	}
	return longer, at, nil
}

// frameBytes returns an upper bound of the bytes of frame i, or 0 if it has none.
func (f *frameFile) frameBytes(i int) int64 {
	if f.raw > 0 {
		return f.raw + 4*int64(f.planes)
	}
	t, err := f.load()
	if err != nil || t.n[i] > maxFrameBytes {
		return 0
	}
	return max(int64(t.n[i])-itemHeader, 0)
}

// memory returns the size of the table in memory, in bytes.
func (f *frameFile) memory() int64 {
	if t := f.table.Load(); t != nil {
		return 12 * int64(len(t.at))
	}
	return 0
}

// load reads the table once, also for concurrent callers.
func (f *frameFile) load() (*frameTable, error) {
	if t := f.table.Load(); t != nil {
		return t, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.table.Load(); t != nil {
		return t, nil
	}
	t, err := f.find()
	if err != nil {
		return nil, err
	}
	f.table.Store(t)
	return t, nil
}

// find locates the frames: by the extended offset table, else by the basic one, else by
// walking through the items. A table that does not fit the items is ignored.
func (f *frameFile) find() (*frameTable, error) {
	var head [itemHeader]byte
	if err := f.read(head[:], f.file.Pixels); err != nil {
		return nil, err
	}
	basic := int64(binary.LittleEndian.Uint32(head[4:]))
	first := f.file.Pixels + itemHeader + basic
	if !isItem(head[:]) || first > f.size {
		return nil, &FormatError{Offset: f.file.Pixels, Tag: PixelData, Msg: "the file is damaged: the pixel data does not begin with a table of offsets"}
	}
	for _, read := range []func(first int64) (*frameTable, error){f.readExtended, f.readBasic} {
		t, err := read(first)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		ok, err := f.plausible(t)
		if err != nil {
			return nil, err
		}
		if ok {
			return t, nil
		}
	}
	return f.walk()
}

// readExtended reads the extended offset table, whose values are counted from the first item
// with a frame. It returns nil without a usable one.
func (f *frameFile) readExtended(first int64) (*frameTable, error) {
	offsets, lengths, n := f.file.ExtendedOffsets, f.file.ExtendedLengths, int64(f.frames)
	if offsets.Length != 8*n || lengths.Length != 8*n {
		return nil, nil
	}
	b := make([]byte, 16*n)
	if err := f.read(b[:8*n], offsets.Offset); err != nil {
		return nil, err
	}
	if err := f.read(b[8*n:], lengths.Offset); err != nil {
		return nil, err
	}
	t := newFrameTable(f.frames)
	for i := range f.frames {
		at, length := binary.LittleEndian.Uint64(b[8*i:]), binary.LittleEndian.Uint64(b[8*(f.frames+i):])
		if at > uint64(f.size) || length > math.MaxUint32-itemHeader-1 {
			return nil, nil
		}
		t.add(first+int64(at), int64(length+length&1)+itemHeader)
	}
	return t, nil
}

// readBasic reads the basic offset table. Its values have 32 bits: writers that let them
// overflow are understood, as frames are in order and smaller than 4 GiB. It returns nil without
// a usable table.
func (f *frameFile) readBasic(first int64) (*frameTable, error) {
	start := f.file.Pixels + itemHeader
	if first-start != 4*int64(f.frames) {
		return nil, nil
	}
	b := make([]byte, first-start)
	if err := f.read(b, start); err != nil {
		return nil, err
	}
	t := newFrameTable(f.frames)
	var at, high int64
	for i := range f.frames {
		next := high + int64(binary.LittleEndian.Uint32(b[4*i:]))
		if i > 0 && next < at {
			high += 1 << 32
			next += 1 << 32
		}
		if i > 0 {
			if next-at < itemHeader {
				return nil, nil
			}
			t.add(first+at, next-at)
		}
		if at = next; first+at+itemHeader > f.size {
			return nil, nil
		}
	}
	end, err := f.lastEnd(first + at)
	if err != nil || end < 0 {
		return nil, err
	}
	t.add(first+at, end-first-at)
	return t, nil
}

// lastEnd returns the end of the items from at on: where something else begins. It returns -1 if
// that isn't the end of the pixel data.
func (f *frameFile) lastEnd(at int64) (int64, error) {
	const most = 1 << 16 // items of one frame
	var head [itemHeader]byte
	for range most {
		if at+itemHeader > f.size {
			return -1, nil
		}
		if err := f.read(head[:], at); err != nil {
			return 0, err
		}
		if !isItem(head[:]) {
			if string(head[:4]) != "\xfe\xff\xdd\xe0" {
				return -1, nil
			}
			return at, nil
		}
		at += itemHeader + int64(binary.LittleEndian.Uint32(head[4:]))
	}
	return -1, nil
}

// plausible reports whether all frames are in the file, and those of a sample begin with an
// item. Each frame is checked again when it is read.
func (f *frameFile) plausible(t *frameTable) (bool, error) {
	const sample = 16
	var head [itemHeader]byte
	n := len(t.at)
	for i, at := range t.at {
		if at < f.file.Pixels || int64(t.n[i]) > f.size-at {
			return false, nil
		}
		wrapped := i > 0 && at>>32 != t.at[i-1]>>32
		if i != 0 && i != n-1 && !wrapped && i%max(n/sample, 1) != 0 {
			continue
		}
		if err := f.read(head[:], at); err != nil {
			return false, err
		}
		if !isItem(head[:]) || int64(binary.LittleEndian.Uint32(head[4:])) > int64(t.n[i])-itemHeader {
			return false, nil
		}
	}
	return true, nil
}

// walk reads the heads of all items. An item is a frame if there are as many as frames;
// otherwise a frame begins with each item that begins as a compressed image.
func (f *frameFile) walk() (*frameTable, error) {
	var items []Extent
	most, first := 64*f.frames+1024, true
	err := f.file.Fragments(f.r, f.size, func(e Extent) bool {
		if !first {
			items = append(items, e)
		}
		first = false
		return len(items) <= most
	})
	if err != nil {
		return nil, err
	}
	if len(items) > most {
		return nil, &FormatError{Offset: f.file.Pixels, Tag: PixelData, Msg: fmt.Sprintf("the file is damaged: it has more than %d items for %d frames", most, f.frames)}
	}
	t := newFrameTable(f.frames)
	switch {
	case len(items) == f.frames:
		for _, e := range items {
			t.add(e.Offset-itemHeader, e.Length+itemHeader)
		}
		return t, nil
	case len(items) == 0:
		return nil, f.uncountable(0)
	}
	for i, e := range items {
		starts := i == 0
		if !starts && f.frames > 1 {
			if starts, err = f.startsImage(e); err != nil {
				return nil, err
			}
		}
		if starts {
			t.add(e.Offset-itemHeader, e.Length+itemHeader)
		} else if !t.extend(e.Offset + e.Length) {
			return nil, &FormatError{Offset: e.Offset, Tag: PixelData, Msg: "the file is damaged: a frame has 4 GiB or more"}
		}
	}
	if len(t.at) != f.frames {
		return nil, f.uncountable(len(items))
	}
	return t, nil
}

// uncountable is the error for items that cannot be assigned to frames.
func (f *frameFile) uncountable(items int) error {
	return &FormatError{Offset: f.file.Pixels, Tag: PixelData, Msg: fmt.Sprintf(
		"the %d items of the pixel data cannot be assigned to %d frames, as there is no table of offsets that fits", items, f.frames)}
}

// startsImage reports whether an item begins as a JPEG or a JPEG 2000 codestream. Neither
// sequence can be inside one.
func (f *frameFile) startsImage(e Extent) (bool, error) {
	var b [4]byte
	if e.Length < int64(len(b)) {
		return false, nil
	}
	if err := f.read(b[:], e.Offset); err != nil {
		return false, err
	}
	return string(b[:3]) == "\xff\xd8\xff" || string(b[:]) == "\xff\x4f\xff\x51", nil
}

func newFrameTable(n int) *frameTable {
	return &frameTable{at: make([]int64, 0, n), n: make([]uint32, 0, n)}
}

// add adds a frame of less than 4 GiB.
func (t *frameTable) add(at, n int64) {
	t.at, t.n = append(t.at, at), append(t.n, uint32(n))
}

// extend sets the end of the last frame. It reports false if the frame is too large.
func (t *frameTable) extend(end int64) bool {
	i := len(t.at) - 1
	n := end - t.at[i]
	t.n[i] = uint32(n)
	return n <= math.MaxUint32
}

// read fills b. A file that has become shorter is an [ErrTruncated].
func (f *frameFile) read(b []byte, at int64) error {
	n, err := f.r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return truncated(at+int64(n), PixelData)
	}
	return err
}
