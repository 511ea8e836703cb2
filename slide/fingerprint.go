package slide

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Fingerprint returns a hash of the size of the file, of the geometry of its levels, and of
// the places and sizes of all tiles. It stays the same when the file is copied, moved or
// touched, and is another one once the file has other tiles, without reading any of them. It
// reads the tile tables of all levels.
//
// Slides whose tiles are in no file have a hash of their geometry only, those of a [Composite] one
// of its contents and the geometry.
func (s *Slide) Fingerprint() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	var b []byte
	number := func(v uint64) {
		if b = binary.BigEndian.AppendUint64(b, v); len(b) >= 4<<10 {
			h.Write(b)
			b = b[:0]
		}
	}
	number(uint64(s.size))
	for i := range s.Levels {
		l := &s.Levels[i]
		for _, v := range []int{l.Width, l.Height, l.TileWidth, l.TileHeight} {
			number(uint64(v))
		}
		number(math.Float64bits(l.Downsample))
		if s.elsewhere() || s.isComposite() {
			continue
		}
		t := s.sources[i].table.Load()
		if t == nil {
			if t, err = s.load(s.sources[i], &l.Layout); err != nil {
				return sum, fmt.Errorf("slide: level %d: %w", i, err)
			}
		}
		for p := range t.places() {
			number(p.off)
			number(p.n)
		}
	}
	if s.isComposite() {
		s.addContents(number)
	}
	h.Write(b)
	return [sha256.Size]byte(h.Sum(nil)), nil
}
