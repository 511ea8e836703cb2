package slide

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// A compactTable holds the places of the tiles of a level in about 2 bytes a tile. It takes
// advantage of that tiles follow each other in the file, each after a gap of few bytes or none.
type compactTable struct {
	n int
	// base are the offsets of the first tile that is not empty, of each 64 tiles.
	base []uint64
	// packed has the gap in front of each tile, then its bytes, in gapBits + countBits bits.
	packed             []uint64
	gapBits, countBits uint
	// follow reports that the offset of an empty tile is the end of the tile before, and not 0.
	follow bool
	// plain has all places if they are irregular; then the fields above are not used.
	plain []tilePlace
}

// A tilePlace is where a tile is, as the tables of the file say it.
type tilePlace struct{ off, n uint64 }

const (
	compactBlock = 64 // tiles between two offsets
	maxGapBits   = 20
	maxCountBits = 32
)

// newCompactTable returns the table of n places, in the order of tiles.
func newCompactTable(n int, places iter.Seq[tilePlace]) *compactTable {
	c := &compactTable{n: n}
	if c.measure(places) {
		c.pack(places)
		return c
	}
	*c = compactTable{n: n, plain: make([]tilePlace, 0, n)}
	for p := range places {
		c.plain = append(c.plain, p)
	}
	return c
}

// A compactWalk goes through places, and knows where the next tile begins without a gap.
type compactWalk struct {
	i     int
	end   uint64 // of the tile before
	begun bool   // a tile of this block that is not empty was seen
}

// next returns the gap in front of p, and whether p begins its block. Ok is false if p lies before the
// end of the tile before.
func (w *compactWalk) next(p tilePlace) (gap uint64, first, ok bool) {
	if w.i%compactBlock == 0 {
		w.begun = false
	}
	w.i++
	if p.n == 0 {
		return 0, false, true
	}
	first = !w.begun
	w.begun = true
	if !first {
		if p.off < w.end {
			return 0, false, false
		}
		gap = p.off - w.end
	}
	w.end = p.off + p.n
	return gap, first, w.end >= p.off
}

// measure sets the widths, and reports whether the places are regular.
func (c *compactTable) measure(places iter.Seq[tilePlace]) bool {
	var w compactWalk
	var gaps, counts uint64
	zero, follow := true, true // of the offsets of empty tiles
	for p := range places {
		if p.n == 0 {
			zero = zero && p.off == 0
			follow = follow && w.i%compactBlock != 0 && w.begun && p.off == w.end
			if !zero && !follow {
				return false
			}
		}
		gap, _, ok := w.next(p)
		if !ok {
			return false
		}
		gaps, counts = gaps|gap, counts|p.n
	}
	c.gapBits, c.countBits = uint(bits.Len64(gaps)), uint(bits.Len64(counts)) //nolint:gosec // at most 64
	c.follow = !zero
	return c.gapBits <= maxGapBits && c.countBits <= maxCountBits
}

// pack fills the table.
func (c *compactTable) pack(places iter.Seq[tilePlace]) {
	width := c.gapBits + c.countBits
	c.base = make([]uint64, ceilDiv(c.n, compactBlock))
	c.packed = make([]uint64, (c.n*int(width)+63)/64+2) //nolint:gosec // at most 52 bits
	var w compactWalk
	for p := range places {
		i := w.i
		gap, first, _ := w.next(p)
		if first {
			c.base[i/compactBlock] = p.off
		}
		v, at := gap<<c.countBits|p.n, uint(i)*width //nolint:gosec // not negative
		c.packed[at/64] |= v << (at % 64)
		c.packed[at/64+1] |= v >> 1 >> (63 - at%64)
	}
}

// at returns the place of tile i.
func (c *compactTable) at(i int) (off, n uint64) {
	if c.plain != nil {
		return c.plain[i].off, c.plain[i].n
	}
	width := c.gapBits + c.countBits
	all, counts := uint64(1)<<width-1, uint64(1)<<c.countBits-1
	off = c.base[i/compactBlock]
	at := uint(i&^(compactBlock-1)) * width //nolint:gosec // not negative
	for range i % compactBlock {
		v := c.bitsAt(at) & all
		off += v>>c.countBits + v&counts
		at += width
	}
	v := c.bitsAt(at) & all
	if n = v & counts; n == 0 && !c.follow {
		return 0, 0
	}
	return off + v>>c.countBits, n
}

// bitsAt returns 64 bits from bit at on.
func (c *compactTable) bitsAt(at uint) uint64 {
	return c.packed[at/64]>>(at%64) | c.packed[at/64+1]<<1<<(63-at%64)
}

// bytes returns the memory of the table.
func (c *compactTable) bytes() int { return 8*(len(c.base)+len(c.packed)) + 16*len(c.plain) + 128 }

// appendPlaces appends the places of n tiles to b: their number, their bytes, then how far each tile
// that is not empty is from the end of the one before, and the offsets of empty ones. All are varints, so that
// what is regular compresses well.
func appendPlaces(b []byte, n int, places iter.Seq[tilePlace]) []byte {
	b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // not negative
	for p := range places {
		b = binary.AppendUvarint(b, p.n)
	}
	end := uint64(0)
	for p := range places {
		if p.n == 0 {
			b = binary.AppendUvarint(b, p.off)
			continue
		}
		b = binary.AppendVarint(b, int64(p.off-end)) //nolint:gosec // modulo 2^64
		end = p.off + p.n
	}
	return b
}

// parsePlaces returns the places that [appendPlaces] wrote. It has read all of b.
func parsePlaces(b []byte) (n int, places iter.Seq[tilePlace], ok bool) {
	number, head := binary.Uvarint(b)
	if head <= 0 || number > uint64(len(b)) {
		return 0, nil, false
	}
	n = int(number) //nolint:gosec // at most len(b)
	counts := b[head:]
	offsets := counts
	for range n {
		_, size := binary.Uvarint(offsets)
		if size <= 0 {
			return 0, nil, false
		}
		offsets = offsets[size:]
	}
	rest := offsets
	for range n {
		_, size := binary.Uvarint(rest) // as long as the signed one
		if size <= 0 {
			return 0, nil, false
		}
		rest = rest[size:]
	}
	return n, func(yield func(tilePlace) bool) {
		counts, offsets, end := counts, offsets, uint64(0)
		for range n {
			count, size := binary.Uvarint(counts)
			counts = counts[size:]
			v, size := binary.Uvarint(offsets)
			offsets = offsets[size:]
			if count != 0 {
				v = end + (v>>1 ^ -(v & 1)) // zigzag
				end = v + count
			}
			if !yield(tilePlace{v, count}) {
				return
			}
		}
	}, len(rest) == 0
}
