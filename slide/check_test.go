package slide

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/tiff"
)

// deflated returns a slide of two levels of deflate tiles.
func deflated() testFile {
	tile := func(n int) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		z.Write(bytes.Repeat([]byte("tissue "), n/7+1)[:n])
		z.Close()
		return b.Bytes()
	}
	f := testFile{dirs: []testDir{tiledDir(128, 128, "0:"), reduced(tiledDir(64, 64, "1:"))}}
	for i := range f.dirs {
		d := f.dirs[i].with(fields{tiff.TagCompression: uint16(compressionAdobe), tiff.TagPhotometric: uint16(rgb)})
		d.data = slices.Repeat([][]byte{tile(testTile * testTile * 3)}, len(d.data))
		f.dirs[i] = d
	}
	return f
}

// of replaces every tile of f by the given bytes and compression.
func (f testFile) of(compression uint16, tile []byte) testFile {
	for i := range f.dirs {
		f.dirs[i] = f.dirs[i].with(fields{tiff.TagCompression: compression, tiff.TagPhotometric: uint16(rgb)})
		f.dirs[i].data = slices.Repeat([][]byte{tile}, len(f.dirs[i].data))
	}
	return f
}

func TestCheck(t *testing.T) {
	plain := func() testFile { return philipsFile(plainXML.String()) }
	change := func(f testFile, dir, item int, to func([]byte) []byte) testFile {
		f.dirs[dir].data = slices.Clone(f.dirs[dir].data)
		f.dirs[dir].data[item] = to(f.dirs[dir].data[item])
		return f
	}
	zeros := func(b []byte) []byte { return make([]byte, len(b)) }
	half := func(b []byte) []byte { return append(b[:len(b)/2:len(b)/2], make([]byte, len(b)-len(b)/2)...) }
	cut := func(b []byte) []byte { return b[: len(b)-3 : len(b)-3] }
	pad := func(b []byte) []byte { return append(slices.Clone(b), 0xff, 0xff) }
	none := func([]byte) []byte { return nil }
	label := func(rows int) testFile {
		f := plain()
		f.dirs = append(f.dirs, stripDir(40, 50, rows, "Label"))
		return f
	}
	webp := append([]byte("RIFF\x10\x00\x00\x00WEBPVP8L"), make([]byte, 8)...)
	last := func(f testFile, dir int) int { return len(f.dirs[dir].data) - 1 }
	empty := plain()
	empty.dirs[0].data = make([][]byte, len(empty.dirs[0].data))
	emptyBelow := plain()
	emptyBelow.dirs[2].data = make([][]byte, 4)

	tests := []struct {
		name string
		f    testFile
		want string // "" if the slide is complete
	}{
		{"whole", plain(), ""},
		{"whole deflate", deflated(), ""},
		{"first tile not scanned", change(plain(), 0, 0, none), ""},
		{"padded last tile", change(plain(), 0, 34, pad), ""},
		{"zeros in the middle, which are not looked at", change(plain(), 0, 17, zeros), ""},
		{"a level of nothing but glass", emptyBelow, ""},
		{"whole label", label(50), ""},

		{"first tile of zeros", change(plain(), 0, 0, zeros), "level 0, tile at byte 8: JPEG at byte 0: the file is probably incomplete, as it contains only zeros here; copy it again (TIFF tag 324 TileOffsets, at byte 8)"},
		{"last tile of zeros", change(plain(), 0, 34, zeros), "contains only zeros"},
		{"last tile of a small level of zeros", change(plain(), 2, 3, zeros), "level 2"},
		{"last tile half written", change(plain(), 1, 11, half), "no end (FF D9)"},
		{"last tile cut off", change(plain(), 1, 11, cut), "no end (FF D9)"},
		{"no tile at all", empty, "the file has no tile of its largest level"},
		{"label of zeros", change(label(50), 3, 0, zeros), "label: the file is probably incomplete"},
		{"deflate cut off", change(deflated(), 0, last(deflated(), 0), cut), "unexpected EOF"},
		{"deflate half written", change(deflated(), 0, 0, half), "the tile is damaged after"},
		{"deflate of zeros", change(deflated(), 1, 0, zeros), "contains only zeros"},
		{"deflate of too little", deflated().of(compressionAdobe, []byte("\x78\x9c\x03\x00\x00\x00\x00\x01")), "it inflates to 0 bytes"},
		{"no deflate", deflated().of(compressionAdobe, []byte("text")), "are not deflate data"},
		{"no LZW", deflated().of(compressionLZW, []byte("text")), "are not LZW data"},
		{"LZW", deflated().of(compressionLZW, []byte{0x80, 0x0b, 1, 2}), ""},
		{"no zstd", deflated().of(compressionZstd, []byte("text")), "are not zstd data"},
		{"zstd", deflated().of(compressionZstd, []byte("\x28\xb5\x2f\xfd....")), ""},
		{"no WebP", deflated().of(compressionWebP, []byte("text")), "are not WebP data"},
		{"WebP", deflated().of(compressionWebP, webp), ""},
		{"WebP cut off", deflated().of(compressionWebP, webp[:20]), "20 bytes of a WebP image of 24"},
		{"uncompressed", deflated().of(compressionNone, bytes.Repeat([]byte{1}, testTile*testTile*3)), ""},
		{"uncompressed cut off", deflated().of(compressionNone, bytes.Repeat([]byte{1}, 1000)), "1000 bytes instead of 12288"},
		{"uncompressed zeros", deflated().of(compressionNone, make([]byte, testTile*testTile*3)), "first and last tiles of all levels contain only zeros"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.f.open(t).Check()
			if tt.want == "" {
				if err != nil {
					t.Errorf("Check: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Check: %v, want %q", err, tt.want)
			}
			if e, ok := errors.AsType[*tiff.FormatError](err); !ok || e.Tag == 0 {
				t.Errorf("Check: %T %v, want a *tiff.FormatError that names a tag", err, err)
			}
		})
	}
}

// TestCheckEarlyEnd checks the reported size of the missing part: the farthest range
// counts, and the directories of the truncated file come first.
func TestCheckEarlyEnd(t *testing.T) {
	tests := []struct {
		name string
		at   uint64 // of the last tile, of 1,000 bytes
		want string
	}{
		{"a little", 0, "the file is incomplete: it ends 950 bytes early"},
		{"much", 3_200_000_000, "the file is incomplete: it ends 3.2 GB early"},
		{"beyond all bounds", 1<<64 - 5, "early"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := testFile{big: true, dirs: []testDir{tiledDir(128, 64, "0:"), reduced(tiledDir(64, 32, "1:"))}}
			size := uint64(len(f.bytes()))
			offs := []uint64{8, size - 50 + tt.at}
			if tt.at > 1<<63 {
				offs[1] = tt.at
			}
			f.dirs[0].fields[tiff.TagTileOffsets] = offs
			f.dirs[0].fields[tiff.TagTileByteCounts] = []uint64{600, 1000}
			f.dirs[1].fields[tiff.TagTileOffsets] = size + 1
			f.dirs[1].fields[tiff.TagTileByteCounts] = uint64(20)
			s := f.open(t)
			err := s.Check()
			e, ok := errors.AsType[*tiff.FormatError](err)
			if !ok || e.Tag != tiff.TagTileOffsets || !strings.Contains(e.Msg, tt.want) {
				t.Fatalf("Check: %v, want %q", err, tt.want)
			}
			entry, _ := s.file.Directories()[0].Entry(tiff.TagTileOffsets)
			if want := entry.Offset + 8; e.Offset != want {
				t.Errorf("error at byte %d, want %d, where the second offset is", e.Offset, want)
			}
		})
	}
}

// TestCheckAssociatedBeyondEnd checks that a file is reported as incomplete if its label
// lies beyond the end.
func TestCheckAssociatedBeyondEnd(t *testing.T) {
	f := philipsFile(plainXML.String())
	d := stripDir(40, 50, 50, "Label")
	d.fields[tiff.TagStripOffsets] = []uint32{50_000_000}
	f.dirs = append(f.dirs, d)
	err := f.open(t).Check()
	if e, ok := errors.AsType[*tiff.FormatError](err); !ok || e.Tag != tiff.TagStripOffsets || !strings.Contains(e.Msg, "early") {
		t.Errorf("Check: %v", err)
	}
}

func TestInUnits(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 1_500_000: "1.5 MB", 3_210_000_000: "3.2 GB", 1 << 60: "1152921.5 TB",
	} {
		if got := inUnits(n); got != want {
			t.Errorf("inUnits(%d) = %q, want %q", n, got, want)
		}
	}
}

// bigSlide is a BigTIFF of 120,000 × 90,000 pixels in tiles of 512, with a
// description of 844 kB: the size of a real one, with all tiles in one place.
func bigSlide() testFile {
	const tile = 512
	f := testFile{big: true}
	tables, data := splitJPEG(testJPEG(tile, tile, "x"))
	w, h := 235*tile, 176*tile
	for i := range 9 {
		d := tiledDir(testTile, testTile, "")
		d.data = nil
		cols, rows := ceilDiv(w>>i, tile), ceilDiv(h>>i, tile)
		d = d.with(fields{
			tiff.TagImageWidth: cols * tile, tiff.TagImageLength: rows * tile, tiff.TagTileWidth: uint16(tile), tiff.TagTileLength: uint16(tile),
			tiff.TagJPEGTables: tables, tiff.TagSoftware: "Philips DP v1.0",
			tiff.TagTileOffsets:    slices.Repeat([]uint64{16}, cols*rows),
			tiff.TagTileByteCounts: slices.Repeat([]uint64{uint64(len(data))}, cols*rows),
		})
		if i > 0 {
			d = reduced(d)
			d.fields[tiff.TagImageDescription] = fmt.Sprintf("level=%d mag=%g quality=80", i, 40/float64(int(1)<<i))
		}
		f.dirs = append(f.dirs, d)
	}
	x := plainXML
	x.levels = halving(9)
	x.images = imageObject("MACROIMAGE", attribute("PIM_DP_IMAGE_DATA", strings.Repeat("QUJD", 211<<10)))
	f.dirs[0].fields[tiff.TagImageDescription] = x.String()
	f.dirs = append(f.dirs, stripDir(40, 50, 50, "Label"))
	f.front = data
	return f
}

// BenchmarkOpenPhilips opens a slide of 120,000 × 90,000 pixels with a description
// of 844 kB, and reads its first tile.
func BenchmarkOpenPhilips(b *testing.B) {
	data := bigSlide().bytes()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.AppendTile(nil, 0, 100, 100); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck checks the same slide: 55,000 tiles in nine levels.
func BenchmarkCheck(b *testing.B) {
	data := bigSlide().bytes()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBigSlide checks the memory of a slide: it holds its tables and no description.
func TestBigSlide(t *testing.T) {
	s := bigSlide().open(t)
	if got, want := s.MaxZoom(), 8; got != want {
		t.Errorf("maximal zoom %d, want %d", got, want)
	}
	for z, zoom := range s.Zooms {
		if want := s.MaxZoom() - z; zoom.Level != want {
			t.Errorf("zoom %d is level %d, want %d", z, zoom.Level, want)
		}
	}
	if got := s.Bytes(); got > 32<<10 {
		t.Errorf("%d bytes held after opening", got)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
	if got := s.Bytes(); got > 1<<20 {
		t.Errorf("%d bytes held with all tables", got)
	}
}
