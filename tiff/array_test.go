package tiff

import (
	"runtime"
	"testing"
)

func TestArrayAt(t *testing.T) {
	values := []int{0, 1, 127, 42, 99, 3, 100}
	eachFormat(t, func(t *testing.T, fm format) {
		for _, typ := range []Type{Byte, Short, Long, IFD, Long8, IFD8, SByte, SShort, SLong, SLong8} {
			for n := range len(values) + 1 {
				b := newBuilder(fm)
				b.directory(b.ints(TagTileOffsets, typ, values[:n]...))
				a, err := b.open(t).Directories()[0].Array(TagTileOffsets)
				if err != nil {
					t.Fatalf("%d values of %v: %v", n, typ, err)
				}
				if a.Len() != n || a.Bytes() != n*typ.Size() {
					t.Errorf("%d values of %v: %d of %d bytes", n, typ, a.Len(), a.Bytes())
				}
				for i := range n {
					if got, want := a.At(i), uint64(values[i]); got != want {
						t.Errorf("At(%d) of %v = %d, want %d", i, typ, got, want)
					}
				}
			}
		}
	})
}

func TestArrayAtDoesNotAllocate(t *testing.T) {
	a, err := pyramid(formats[0], 1, 100).open(t).Directories()[0].Array(TagTileOffsets)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(100, func() { a.At(a.Len() / 2) }); got != 0 {
		t.Errorf("At allocates %v times", got)
	}
}

func TestArrayAtPanics(t *testing.T) {
	b := newBuilder(formats[0])
	b.directory(b.ints(1, Byte, 5), b.ints(2, Short, 5), b.ints(3, Long, 5), b.ints(4, Long8, 5))
	d := b.open(t).Directories()[0]
	for tag := Tag(0); tag <= 4; tag++ {
		a, err := d.Array(tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{-1, a.Len(), a.Len() + 1} {
			if !panics(func() { a.At(i) }) {
				t.Errorf("At(%d) of %d values of %d bytes does not panic", i, a.Len(), a.size)
			}
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return
}

// TestMillionsOfTiles measures the memory of the tables of a level of 2,000,000 tiles:
// hardly more than their size in the file.
func TestMillionsOfTiles(t *testing.T) {
	const tiles = 2_000_000
	b := newBuilder(formats[2])
	b.directory(
		field{TagTileOffsets, Long8, -1, make([]byte, 8*tiles)},
		field{TagTileByteCounts, Long, -1, make([]byte, 4*tiles)},
	)
	f := b.open(t)
	var offsets, counts Array
	got := allocated(func() {
		var err error
		if offsets, err = f.Directories()[0].Array(TagTileOffsets); err != nil {
			t.Error(err)
		}
		if counts, err = f.Directories()[0].Array(TagTileByteCounts); err != nil {
			t.Error(err)
		}
	})
	const want = 12 * tiles
	if held := offsets.Bytes() + counts.Bytes(); held != want || offsets.Len() != tiles || counts.Len() != tiles {
		t.Errorf("%d offsets and %d counts of %d bytes, want %d of each and %d bytes", offsets.Len(), counts.Len(), held, tiles, want)
	}
	if got > want+64<<10 {
		t.Errorf("reading %d bytes of tables allocated %d", want, got)
	}
}

// allocated returns the number of bytes that f allocates. Nothing else may run at the same
// time.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// BenchmarkArrayAt looks up tiles as a viewer does, here and there in a level of
// 300 × 200.
func BenchmarkArrayAt(b *testing.B) {
	for _, typ := range []Type{Short, Long, Long8} {
		b.Run(typ.String(), func(b *testing.B) {
			const tiles = 300 * 200
			s := newBuilder(formats[2])
			s.directory(field{TagTileOffsets, typ, -1, make([]byte, tiles*typ.Size())})
			a, err := s.open(b).Directories()[0].Array(TagTileOffsets)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var sum uint64
			i := 0
			for b.Loop() {
				sum += a.At(i)
				if i += 7919; i >= tiles { // a prime: no order a cache could learn
					i -= tiles
				}
			}
			if sum != 0 {
				b.Error("offsets of zero add up to", sum)
			}
		})
	}
}
