package slide

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// A piece is a part of a file in a structure record: its bytes, or how many there are that mean
// nothing to [Open].
type piece struct {
	off, n int64
	b      []byte // of n bytes; nil for a gap
	fill   byte   // of a gap
}

func (p *piece) end() int64 { return p.off + p.n }

// Gaps are filled with these bytes while a slide is opened.
const (
	gapZero   = 0   // behind a directory
	gapBase64 = 'A' // a picture in base64, or a part of one
)

const (
	// maxRecorded limits what Open may read of a file with a structure record: descriptions
	// have labels and macros.
	maxRecorded = 64 << 20
	// longText is how many characters of base64 are left out. Values of so many are never
	// read as text.
	longText = maxValue + 1
)

// A recorder is a reader that remembers what was read.
type recorder struct {
	r      io.ReaderAt
	pieces []piece
	bytes  int64
}

var errRecorded = &tiff.UnsupportedError{Msg: "the structure of the file is too large to be recorded"}

func (c *recorder) ReadAt(p []byte, off int64) (int, error) {
	if c.bytes += int64(len(p)); c.bytes > maxRecorded {
		return 0, errRecorded
	}
	n, err := c.r.ReadAt(p, off)
	if n == len(p) && n > 0 {
		c.pieces = append(c.pieces, piece{off: off, n: int64(n), b: bytes.Clone(p)})
	}
	return n, err
}

// parts returns what was read as pieces in order that do not overlap. What was read behind a
// directory, as its length was unknown, and pictures in base64 are gaps.
func (c *recorder) parts(dirs []*tiff.Directory, order binary.ByteOrder, big bool) ([]piece, error) {
	ahead := c.cutDirectories(dirs, order, big)
	merged, err := mergePieces(c.pieces)
	if err != nil {
		return nil, err
	}
	var parts []piece
	for i := range merged {
		parts = append(parts, withoutBase64(&merged[i])...)
	}
	for _, gap := range ahead {
		parts = append(parts, uncovered(parts, gap)...)
		slices.SortFunc(parts, func(a, b piece) int { return cmp.Compare(a.off, b.off) })
	}
	return parts, nil
}

// cutDirectories shortens the reads of directories to their length, and returns the pieces that were cut off.
func (c *recorder) cutDirectories(dirs []*tiff.Directory, order binary.ByteOrder, big bool) (ahead []piece) {
	starts := map[int64]bool{}
	for _, d := range dirs {
		starts[d.Offset] = true
	}
	for i := range c.pieces {
		p := &c.pieces[i]
		if n := directorySize(order, p.b, big); starts[p.off] && n < p.n {
			ahead = append(ahead, piece{off: p.off + n, n: p.n - n, fill: gapZero})
			p.n, p.b = n, p.b[:n]
		}
	}
	return ahead
}

// directorySize returns the length of the directory at the start of b: the number of its entries, the entries,
// and the offset of the next one.
func directorySize(order binary.ByteOrder, b []byte, big bool) int64 {
	switch {
	case big && len(b) >= 8:
		return 8 + 20*int64(min(order.Uint64(b), 1<<32)) + 8 //nolint:gosec // limited
	case !big && len(b) >= 2:
		return 2 + 12*int64(order.Uint16(b)) + 4
	}
	return int64(len(b))
}

// mergePieces joins pieces that overlap or follow each other. The error says that they contradict each other.
func mergePieces(all []piece) ([]piece, error) {
	slices.SortStableFunc(all, func(a, b piece) int { return cmp.Compare(a.off, b.off) })
	var merged []piece
	for _, p := range all {
		last := len(merged) - 1
		if last < 0 || p.off > merged[last].end() {
			merged = append(merged, piece{off: p.off, n: p.n, b: bytes.Clone(p.b)})
			continue
		}
		q := &merged[last]
		common := min(q.end()-p.off, p.n)
		if !bytes.Equal(q.b[p.off-q.off:][:common], p.b[:common]) {
			return nil, errors.New("slide: the file changed while its structure was recorded")
		}
		q.b = append(q.b, p.b[common:]...)
		q.n = int64(len(q.b))
	}
	return merged, nil
}

// withoutBase64 divides a piece such that long texts in base64 are gaps.
func withoutBase64(p *piece) []piece {
	var parts []piece
	begin := 0 // of the bytes that are kept
	keep := func(end int) {
		if end > begin {
			parts = append(parts, piece{off: p.off + int64(begin), n: int64(end - begin), b: p.b[begin:end]})
		}
	}
	for i := 0; i < len(p.b); {
		n := 0
		for n < len(p.b)-i && base64Char[p.b[i+n]] {
			n++
		}
		if n >= longText {
			keep(i)
			parts = append(parts, piece{off: p.off + int64(i), n: int64(n), fill: gapBase64})
			begin = i + n
		}
		i += n + 1
	}
	keep(len(p.b))
	return parts
}

// base64Char are the characters of base64 text, and those that separate its lines.
var base64Char = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n") {
		is[c] = true
	}
	return is
}()

// uncovered returns the parts of gap that are in none of parts, which are in order.
func uncovered(parts []piece, gap piece) []piece {
	var left []piece
	at := gap.off
	for i := range parts {
		p := &parts[i]
		if p.end() <= at || p.off >= gap.end() {
			continue
		}
		if p.off > at {
			left = append(left, piece{off: at, n: p.off - at, fill: gap.fill})
		}
		at = p.end()
	}
	if at < gap.end() {
		left = append(left, piece{off: at, n: gap.end() - at, fill: gap.fill})
	}
	return left
}

// A replay is the reader of a slide that was opened from a structure record. While it is opened,
// all bytes come from the record.
type replay struct {
	pieces []piece // in order, without overlaps
	r      io.ReaderAt
	opened bool
}

// ErrStructure reports a structure record that is damaged, of another format or file, or incomplete.
var ErrStructure = errors.New("slide: the structure record cannot be used")

func (c *replay) ReadAt(p []byte, off int64) (int, error) {
	if c.fill(p, off) {
		return len(p), nil
	}
	if !c.opened {
		return 0, ErrStructure
	}
	return c.r.ReadAt(p, off)
}

// fill fills p from the record, and reports whether it has all bytes. Gaps have none once the
// slide is open.
func (c *replay) fill(p []byte, off int64) bool {
	i, found := slices.BinarySearchFunc(c.pieces, off, func(q piece, off int64) int { return cmp.Compare(q.off, off) })
	if !found {
		i--
	}
	for ; i >= 0 && i < len(c.pieces) && len(p) > 0; i++ {
		q := &c.pieces[i]
		if off < q.off || off >= q.end() {
			return false
		}
		n := int(min(q.end()-off, int64(len(p))))
		switch {
		case q.b != nil:
			copy(p, q.b[off-q.off:])
		case c.opened:
			return false
		default:
			for k := range p[:n] {
				p[k] = q.fill
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return len(p) == 0
}

// memory returns the memory of the record.
func (c *replay) memory() int64 {
	n := int64(0)
	for i := range c.pieces {
		n += int64(len(c.pieces[i].b)) + 64
	}
	return n
}
