package slide

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// placesOf returns the places of a compact table.
func placesOf(c *compactTable) []tilePlace {
	var all []tilePlace
	for i := range c.n {
		off, n := c.at(i)
		all = append(all, tilePlace{off, n})
	}
	return all
}

// compactCases are tables of tiles, and how many bytes a tile takes at most.
func compactCases() map[string]struct {
	places []tilePlace
	most   float64
} {
	type table = struct {
		places []tilePlace
		most   float64
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const many = 5000
	row := func(each func(i int, end uint64) tilePlace) []tilePlace {
		var all []tilePlace
		end := uint64(8)
		for i := range many {
			p := each(i, end)
			if p.n > 0 {
				end = p.off + p.n
			}
			all = append(all, p)
		}
		return all
	}
	size := func() uint64 { return 14000 + rnd.Uint64N(16000) }
	return map[string]table{
		"none":        {nil, 0},
		"one":         {[]tilePlace{{1 << 40, 30000}}, 200},
		"in order":    {row(func(_ int, end uint64) tilePlace { return tilePlace{end, size()} }), 2.1},
		"even":        {row(func(_ int, end uint64) tilePlace { return tilePlace{end + end&1, size()} }), 2.2},
		"with leader": {row(func(_ int, end uint64) tilePlace { return tilePlace{end + 8, size()} }), 2.6},
		"sparse": {row(func(i int, end uint64) tilePlace {
			if i%3 != 0 {
				return tilePlace{}
			}
			return tilePlace{end, size()}
		}), 2.1},
		"empty tiles where the next one begins": {row(func(i int, end uint64) tilePlace {
			if i%64 == 7 {
				return tilePlace{end, 0}
			}
			return tilePlace{end, size()}
		}), 2.1},
		"all empty": {make([]tilePlace, many), 0.3},
		"jumps": {row(func(i int, end uint64) tilePlace {
			return tilePlace{end + uint64(i/64%2)<<30*uint64((i%64+63)/64^1), size()}
		}), 2.2},
		"random order": {row(func(int, uint64) tilePlace { return tilePlace{rnd.Uint64N(1 << 40), size()} }), 16.1},
		"backwards":    {row(func(i int, _ uint64) tilePlace { return tilePlace{uint64(many-i) * 30000, 30000} }), 16.1},
		"absurd":       {[]tilePlace{{math.MaxUint64, math.MaxUint64}, {5, 0}, {0, math.MaxUint64}, {math.MaxUint64, 1}, {1 << 63, 7}}, 50},
		"one block":    {row(func(_ int, end uint64) tilePlace { return tilePlace{end, size()} })[:64], 4.5},
	}
}

// TestCompactTable packs tables, writes them and reads them again: no place changes.
func TestCompactTable(t *testing.T) {
	for name, tt := range compactCases() {
		t.Run(name, func(t *testing.T) {
			c := newCompactTable(len(tt.places), slices.Values(tt.places))
			if !slices.Equal(placesOf(c), tt.places) {
				t.Errorf("%d bits of gap, %d bits of bytes, plain %v: other places", c.gapBits, c.countBits, c.plain != nil)
			}
			if n := float64(c.bytes() - 144); n > tt.most*float64(len(tt.places)) {
				t.Errorf("%.0f bytes for %d tiles, want at most %.2f a tile", n, len(tt.places), tt.most)
			}
			b := appendPlaces(nil, len(tt.places), slices.Values(tt.places))
			n, places, ok := parsePlaces(b)
			if !ok || n != len(tt.places) || !slices.Equal(slices.Collect(places), tt.places) {
				t.Errorf("%d places in %d bytes, ok %v: other places", n, len(b), ok)
			}
			for end := range min(len(b), 200) {
				if _, _, ok := parsePlaces(b[:end]); ok {
					t.Errorf("cut to %d of %d bytes: accepted", end, len(b))
				}
			}
		})
	}
}

// FuzzPlaces parses its input. What is accepted is written with the same places.
func FuzzPlaces(f *testing.F) {
	for _, tt := range compactCases() {
		f.Add(appendPlaces(nil, min(len(tt.places), 100), slices.Values(tt.places[:min(len(tt.places), 100)])))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, places, ok := parsePlaces(b)
		if !ok {
			return
		}
		all := slices.Collect(places)
		if c := newCompactTable(n, places); len(all) != n || !slices.Equal(placesOf(c), all) {
			t.Fatalf("%d places, %d in the table", len(all), c.n)
		}
		again := appendPlaces(nil, n, places)
		if _, second, ok := parsePlaces(again); !ok || !slices.Equal(slices.Collect(second), all) {
			t.Fatalf("written again: % x", again[:min(len(again), 40)])
		}
		if len(again) > len(b) || len(again) == len(b) && !bytes.Equal(again, b) {
			t.Fatalf("%d bytes became %d", len(b), len(again))
		}
	})
}

// BenchmarkCompactTable looks tiles up at random.
func BenchmarkCompactTable(b *testing.B) {
	places := compactCases()["in order"].places
	c := newCompactTable(len(places), slices.Values(places))
	var sum uint64
	i := 0
	for b.Loop() {
		off, n := c.at(i % len(places))
		sum += off + n
		i += 7919
	}
	_ = sum
}
