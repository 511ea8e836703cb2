package slide

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

func TestAppendTileErrors(t *testing.T) {
	f := testFile{big: true, dirs: []testDir{tiledDir(256, 128, "0:")}}
	data := f.dirs[0].data
	data[1] = nil
	data[2] = make([]byte, 700)
	data[3] = data[3][:len(data[3])-40]
	small, _ := splitJPEG(testJPEG(16, 16, "x"))
	_, other := splitJPEG(testJPEG(32, 32, "x"))
	data[4], data[5] = other, small
	s := f.open(t)
	size := uint64(len(f.bytes()))
	at := func(off, n uint64) *Slide { // a slide whose first tile exists
		offs, counts := make([]uint64, 8), make([]uint64, 8)
		offs[0], counts[0] = off, n
		f := f
		f.dirs = []testDir{f.dirs[0].with(map[tiff.Tag]any{tiff.TagTileOffsets: offs, tiff.TagTileByteCounts: counts})}
		return f.open(t)
	}
	tests := []struct {
		name            string
		s               *Slide
		level, col, row int
		want            string // in the error
	}{
		{"level below", s, -1, 0, 0, ErrNoTile.Error()},
		{"level above", s, 1, 0, 0, ErrNoTile.Error()},
		{"column below", s, 0, -1, 0, ErrNoTile.Error()},
		{"column above", s, 0, 4, 0, ErrNoTile.Error()},
		{"row below", s, 0, 0, -1, ErrNoTile.Error()},
		{"row above", s, 0, 0, 2, ErrNoTile.Error()},
		{"not scanned", s, 0, 1, 0, ErrEmptyTile.Error()},
		{"zeros", s, 0, 2, 0, "level 0 tile 2,0: JPEG at byte 0: the file is probably incomplete"},
		{"cut off", s, 0, 3, 0, "no end (FF D9)"},
		{"of another size", s, 0, 0, 1, "it has 32×32 pixels instead of 64×64"},
		{"not a picture", s, 0, 1, 1, "ends before its first pixel"},
		{"beyond the file", at(size, 100), 0, 0, 0, "but the file ends at byte"},
		{"across the end", at(size-50, 100), 0, 0, 0, "but the file ends at byte"},
		{"offset beyond 2^63", at(math.MaxUint64-10, 100), 0, 0, 0, "but the file ends at byte"},
		{"count beyond 2^63", at(100, math.MaxUint64), 0, 0, 0, "but the file ends at byte"},
		{"in the header", at(4, 100), 0, 0, 0, "inside the file header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := []byte("before")
			got, err := tt.s.AppendTile(dst, tt.level, tt.col, tt.row)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("AppendTile: %v, want %q", err, tt.want)
			}
			if string(got) != "before" {
				t.Errorf("%d bytes came with the error", len(got))
			}
			if _, ok := errors.AsType[*tiff.FormatError](err); !ok && err != ErrNoTile && err != ErrEmptyTile {
				t.Errorf("got %T", err)
			}
		})
	}
}

// A countingReader counts reads, and can be truncated.
type countingReader struct {
	r     io.ReaderAt
	reads atomic.Int64
	end   atomic.Int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.reads.Add(1)
	if end := c.end.Load(); end > 0 && off+int64(len(p)) > end {
		n := max(end-off, 0)
		m, _ := c.r.ReadAt(p[:n], off)
		return m, io.EOF
	}
	return c.r.ReadAt(p, off)
}

func countedSlide(t testing.TB, f testFile) (*Slide, *countingReader) {
	t.Helper()
	b := f.bytes()
	r := &countingReader{r: bytes.NewReader(b)}
	s, err := Open(r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// TestAppendTileCost checks that a tile costs one read and no allocation once the
// table of its level is there and dst is long enough.
func TestAppendTileCost(t *testing.T) {
	whole := tiledDir(192, 128, "0:")
	delete(whole.fields, tiff.TagJPEGTables)
	for i := range whole.data {
		whole.data[i] = testJPEG(testTile, testTile, "whole;")
	}
	doubled := tiledDir(192, 128, "0:")
	for i := range doubled.data {
		doubled.data[i] = without(testJPEG(testTile, testTile, "doubled;"), markDHT)
	}
	raw := tiledDir(192, 128, "0:").with(map[tiff.Tag]any{tiff.TagCompression: uint16(compressionNone), tiff.TagPhotometric: uint16(rgb)})
	for name, d := range map[string]testDir{
		"abbreviated": tiledDir(192, 128, "0:"), "whole": whole, "tables of its own": doubled, "uncompressed": raw,
	} {
		t.Run(name, func(t *testing.T) {
			s, r := countedSlide(t, testFile{dirs: []testDir{d}})
			before := r.reads.Load()
			buf, err := s.AppendTile(nil, 0, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.reads.Load() - before; got > 4 {
				t.Errorf("%d reads for the first tile, want 4: offsets, counts, tables, tile", got)
			}
			buf = make([]byte, 0, 2*len(buf)+4<<10)
			before = r.reads.Load()
			mallocs := testing.AllocsPerRun(100, func() {
				if _, err := s.AppendTile(buf, 0, 2, 1); err != nil {
					t.Fatal(err)
				}
			})
			if mallocs != 0 {
				t.Errorf("%v allocations a tile, want 0", mallocs)
			}
			if got := r.reads.Load() - before; got != 101 {
				t.Errorf("%d reads of 101 tiles", got)
			}
		})
	}
}

// TestOpenReadsNoTables checks that the tables of a level are read with its first tile, and
// only once.
func TestOpenReadsNoTables(t *testing.T) {
	s, r := countedSlide(t, philipsFile(plainXML.String()))
	size := s.Bytes()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.AppendTile(nil, 1, 1, 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := s.Bytes() - size; got < 100 || got > 4<<10 {
		t.Errorf("one table of 12 tiles takes %d bytes", got)
	}
	before := r.reads.Load()
	if _, err := s.AppendTile(nil, 1, 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := r.reads.Load() - before; got != 1 {
		t.Errorf("%d reads for another tile, want 1", got)
	}
}

// TestFileCutShortWhileOpen checks that reading a file that was truncated while it is open
// returns an error and no bytes.
func TestFileCutShortWhileOpen(t *testing.T) {
	s, r := countedSlide(t, philipsFile(plainXML.String()))
	if _, err := s.AppendTile(nil, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	r.end.Store(3000)
	_, err := s.AppendTile(nil, 0, 6, 4)
	if e, ok := errors.AsType[*tiff.FormatError](err); !ok || !strings.Contains(e.Msg, "truncated") {
		t.Errorf("got %v", err)
	}
}

// TestReaderError checks that errors of the reader are returned.
func TestReaderError(t *testing.T) {
	b := philipsFile(plainXML.String()).bytes()
	r := &failingReader{r: bytes.NewReader(b)}
	s, err := Open(r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AppendTile(nil, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("input/output error")
	if _, err := s.AppendTile(nil, 0, 0, 0); !errors.Is(err, r.err) {
		t.Errorf("got %v, want %v", err, r.err)
	}
}

type failingReader struct {
	r   io.ReaderAt
	err error
}

func (f *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.r.ReadAt(p, off)
}

// BenchmarkAppendTile measures a viewer's access pattern: tiles of about 20 kB
// picked at random from a level of 1,024, as in a warm page cache. Bytes per
// second are compressed bytes.
func BenchmarkAppendTile(b *testing.B) {
	s := noiseSlide(b)
	var buf []byte
	var err error
	if buf, err = s.AppendTile(nil, 0, 0, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 0, 64<<10)
		for pb.Next() {
			if _, err := s.AppendTile(buf, 0, rand.IntN(32), rand.IntN(32)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// noiseSlide returns a slide of 32×32 tiles of about 20 kB.
func noiseSlide(tb testing.TB) *Slide {
	tb.Helper()
	tables, tile := splitJPEG(testJPEG(testTile, testTile, "x"))
	body := tile[:len(tile)-2]
	tile = append(slices.Clone(body), bytes.Repeat([]byte{0x55}, 20_000-len(tile))...)
	tile = append(tile, 0xff, markEOI)
	d := tiledDir(64, 64, "0:").with(map[tiff.Tag]any{
		tiff.TagImageWidth: 32 * testTile, tiff.TagImageLength: 32 * testTile, tiff.TagJPEGTables: tables,
	})
	d.data = slices.Repeat([][]byte{tile}, 32*32)
	return testFile{dirs: []testDir{d}}.open(tb)
}
