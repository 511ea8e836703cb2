package slide_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A variant is a Philips slide with one peculiarity.
type variant struct {
	name    string
	philips synth.Philips
	further string // why OpenSlide 3.4.1 reads it differently; "" if it does not
}

// variants are small slides with all peculiarities of Philips slides: the smallest tiles
// for all subsamplings, and enough of them for a level to have inner tiles.
func variants() []variant {
	base := synth.Philips{
		Seed: 7, Width: 500, Height: 375, TileSize: 64, Label: true, Macro: true,
		Barcode: "S21-00412", MPPX: 0.907628, MPPY: 0.907564, Objective: 44, Acquired: time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC),
	}
	with := func(change func(p *synth.Philips)) synth.Philips {
		p := base
		change(&p)
		return p
	}
	style := func(x synth.XMLStyle) synth.Philips {
		return with(func(p *synth.Philips) { p.XML = x })
	}
	return []variant{
		{"plain", base, ""},
		{"BigTIFF", with(func(p *synth.Philips) { p.Big = true }), ""},
		{"sparse", with(func(p *synth.Philips) { p.Sparse = true }), ""},
		{"4:2:2", with(func(p *synth.Philips) { p.Subsampling = synth.Sub422 }), ""},
		{"4:4:4", with(func(p *synth.Philips) { p.Subsampling = synth.Sub444 }), ""},
		{"RGB", with(func(p *synth.Philips) { p.RGB = true }), ""},
		{"RGB, components from 0", with(func(p *synth.Philips) { p.RGB, p.ZeroIDs = true, true }), ""},
		{"tables in the tiles", with(func(p *synth.Philips) { p.Tables = synth.InTiles }), ""},
		{"tables twice", with(func(p *synth.Philips) { p.Tables = synth.Repeated }), ""},
		{"quantization tables alone", with(func(p *synth.Philips) { p.Tables = synth.QuantOnly }), ""},
		{"depth of 9", with(func(p *synth.Philips) { p.ImageDepth = 9 }), ""},
		{"missing row", with(func(p *synth.Philips) { p.Sparse, p.MissingRow = true, 1 }), ""},
		{"spare column", with(func(p *synth.Philips) { p.SpareColumn = 2 }), ""},
		{"pictures in XML", with(func(p *synth.Philips) { p.AssociatedIn = synth.InXML }), ""},
		{"pictures in both", with(func(p *synth.Philips) { p.AssociatedIn = synth.InBoth }), ""},
		{"base64 in lines", with(func(p *synth.Philips) { p.AssociatedIn, p.XML.WrapBase64 = synth.InXML, true }), ""},
		{"pictures in strips", with(func(p *synth.Philips) { p.Strips, p.StripTables = 3, true }), ""},
		{"no pictures", with(func(p *synth.Philips) { p.Label, p.Macro = false, false }), ""},
		{"plain barcode", with(func(p *synth.Philips) { p.BarcodePlain = true }), ""},
		{"description of 844 kB", with(func(p *synth.Philips) { p.DescriptionPad = 844 << 10 }), ""},
		{"NULs and CRLF", style(synth.XMLStyle{NULs: 3, CRLF: true}), ""},
		{"no prolog", style(synth.XMLStyle{NoProlog: true}), ""},
		{"byte order mark", style(synth.XMLStyle{BOM: true}), ""},
		{"Attribute without name", style(synth.XMLStyle{EmptyAttribute: true}), ""},
		{"spacings without quotes", style(synth.XMLStyle{Unquoted: true}), ""},
		{"short tables", with(func(p *synth.Philips) { p.ShortArrays = 2 }), ""},

		{"big-endian", with(func(p *synth.Philips) { p.BigEndian = true }), "classic big-endian files are not opened"},
		{"damaged label in its directory", with(func(p *synth.Philips) { p.CorruptLabel = true }), "the label gives an error, or noise"},
		{"no spacings", style(synth.XMLStyle{NoSpacings: true}), "the slide is not opened"},
		{"Software rewritten", with(func(p *synth.Philips) { p.Software = "de-identifier 1.0" }), "it is no Philips slide"},
		{"Pathology SDK, sparse", with(func(p *synth.Philips) { p.SDK, p.Sparse = true, true }), "a tile that was skipped is an error"},
	}
}

// TestSyntheticPhilips compares every variant with what was written, and with OpenSlide
// pixel by pixel, as far as OpenSlide supports it.
func TestSyntheticPhilips(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "slide.tiff")
			info, err := v.philips.Write(path)
			if err != nil {
				t.Fatal(err)
			}
			s := openFile(t, path)
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			asWritten(t, s, v.philips, info)
			compareStructure(t, path)
			if testing.Short() || interpreter() == "" {
				t.Skip("not compared with OpenSlide: no Python with openslide and PIL, or -short")
			}
			if v.further == "" {
				agree(t, path)
				return
			}
			theirs, err := ask(t, path, s)
			ours := seen(t, s)
			if err == nil && theirs.Worst == 0 && cmp.Equal(theirs.Levels, ours.Levels) && cmp.Equal(theirs.Associated, ours.Associated) {
				t.Errorf("OpenSlide sees the same, where it did not: %s", v.further)
			}
			t.Logf("%s; OpenSlide: %v", v.further, err)
		})
	}
}

// compareStructure compares the slide at path with the one of its structure record.
func compareStructure(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slide.CompareStructure(t, b)
}

// asWritten compares s with the truth.
func asWritten(t *testing.T, s *slide.Slide, p synth.Philips, info synth.Info) {
	t.Helper()
	if len(s.Levels) != len(info.Levels) {
		t.Fatalf("%d levels, want %d", len(s.Levels), len(info.Levels))
	}
	for i, l := range s.Levels {
		in := info.Levels[i]
		want := [2]int{in.Width, in.Height}
		if p.SDK {
			want = [2]int{in.TagWidth, in.TagHeight} // the size without padding is not recorded
		}
		if got := [2]int{l.Width, l.Height}; got != want || l.Downsample != float64(in.Downsample) {
			t.Errorf("level %d is %v, divided by %v, want %v, %d", i, got, l.Downsample, want, in.Downsample)
		}
		if n := s.Zooms[max(s.MaxZoom()-i, 0)].Level; n != i && s.MaxZoom() >= i {
			t.Errorf("zoom %d is level %d, want %d", s.MaxZoom()-i, n, i)
		}
	}
	if p.SDK {
		return
	}
	if math.Abs(s.MPPX-p.MPPX) > 1e-9 || math.Abs(s.MPPY-p.MPPY) > 1e-9 || s.ObjectivePower != 44 {
		t.Errorf("MPP %v, %v, power %v, want %v, %v, 44", s.MPPX, s.MPPY, s.ObjectivePower, p.MPPX, p.MPPY)
	}
	if s.Format != "philips" || s.Vendor != "PHILIPS" || s.Barcode != p.Barcode {
		t.Errorf("format %q, vendor %q, barcode %q", s.Format, s.Vendor, s.Barcode)
	}
	if got, want := s.Properties["philips.DICOM_ACQUISITION_DATETIME"], "20210304050607"; !strings.HasPrefix(got, want) {
		t.Errorf("acquired %q, want %s…", got, want)
	}
}

// TestSyntheticTwoScans checks that a file with two scans is rejected.
func TestSyntheticTwoScans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slide.tiff")
	p := synth.Philips{Width: 300, Height: 300, TileSize: 256, XML: synth.XMLStyle{SpareObject: true}}
	if _, err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	_, err := openPath(t, path)
	if _, ok := errors.AsType[*tiff.UnsupportedError](err); !ok {
		t.Errorf("got %v", err)
	}
}

// TestSyntheticDamagedLabel checks that noise in place of a label is replaced by the copy
// in the XML, and that the slide is readable if there is no copy.
func TestSyntheticDamagedLabel(t *testing.T) {
	for place, whole := range map[synth.Place]bool{synth.InDirectories: false, synth.InXML: false, synth.InBoth: true} {
		path := filepath.Join(t.TempDir(), "slide.tiff")
		p := synth.Philips{Width: 600, Height: 600, TileSize: 256, Label: true, Macro: true, AssociatedIn: place, CorruptLabel: true}
		if _, err := p.Write(path); err != nil {
			t.Fatal(err)
		}
		s := openFile(t, path)
		label, err := s.ReadAssociated("label")
		if (err == nil) != whole {
			t.Errorf("%s: label: error %v, want one %v", place, err, !whole)
		}
		if err == nil {
			if _, err := render.DecodeAssociated(t.Context(), label); err != nil {
				t.Errorf("%s: label: %v", place, err)
			}
		}
		if _, err := s.ReadAssociated("macro"); err != nil {
			t.Errorf("%s: macro: %v", place, err)
		}
		if err := s.Check(); err != nil {
			t.Errorf("%s: Check: %v", place, err)
		}
	}
}

// TestSyntheticGeneric compares pyramids like those of other programs with what was
// written, and with OpenSlide pixel by pixel, as far as OpenSlide supports it.
func TestSyntheticGeneric(t *testing.T) {
	base := synth.Generic{Seed: 5, Width: 375, Height: 275, TileW: 64, TileH: 64, PixelsPerCM: 10000}
	with := func(change func(g *synth.Generic)) synth.Generic {
		g := base
		change(&g)
		return g
	}
	// OpenSlide 3.4.1 misplaces a level that is smaller than a tile if it is not JPEG, so
	// the smallest level is omitted.
	coded := func(c synth.Codec) synth.Generic {
		return with(func(g *synth.Generic) { g.Codec, g.Levels = c, 3 })
	}
	differences := func(g synth.Generic) synth.Generic {
		g.Predictor = true
		return g
	}
	tests := []struct {
		name    string
		generic synth.Generic
		further string // why OpenSlide 3.4.1 reads it differently; "" if it does not
	}{
		{"JPEG", base, ""},
		{"BigTIFF", with(func(g *synth.Generic) { g.Big = true }), ""},
		{"big-endian", with(func(g *synth.Generic) { g.BigEndian = true }), "classic big-endian files are not opened"},
		{"oblong tiles", with(func(g *synth.Generic) { g.TileW, g.TileH = 96, 32 }), ""},
		{"levels 4 apart", with(func(g *synth.Generic) { g.Ratio = 4 }), ""},
		{"one level", with(func(g *synth.Generic) { g.Levels = 1 }), ""},
		{"4:2:2", with(func(g *synth.Generic) { g.Subsampling = synth.Sub422 }), ""},
		{"4:4:4", with(func(g *synth.Generic) { g.Subsampling = synth.Sub444 }), ""},
		{"RGB", with(func(g *synth.Generic) { g.RGB = true }), ""},
		{"tables in the tiles", with(func(g *synth.Generic) { g.Tables = synth.InTiles }), ""},
		{"deflate", coded(synth.Deflate), ""},
		{"deflate, differences", differences(coded(synth.Deflate)), ""},
		{"LZW", coded(synth.LZW), ""},
		{"LZW, differences", differences(coded(synth.LZW)), ""},
		{"not compressed", coded(synth.None), ""},
		{"deflate, smaller than a tile", with(func(g *synth.Generic) { g.Codec = synth.Deflate }), "the smallest level is in the wrong place"},
		{"zstd", coded(synth.Zstd), ""},
		{"gray", with(func(g *synth.Generic) { g.Codec, g.Levels, g.Gray = synth.Deflate, 3, true }), ""},
		{"16 bits", with(func(g *synth.Generic) { g.Codec, g.Levels, g.Bits16 = synth.Deflate, 3, true }), ""},
		{"masks", with(func(g *synth.Generic) { g.Masks = true }), "the masks are taken for levels"},
		{"SubIFDs", with(func(g *synth.Generic) { g.SubIFDs = true }), "sub-directories are not read"},
		{"offsets in the tags of strips", with(func(g *synth.Generic) { g.StripTags = true }), ""},
		{"levels not marked as reduced", with(func(g *synth.Generic) { g.NoReducedBit = true }), "levels that are not marked are passed over"},
		{"sparse", with(func(g *synth.Generic) {
			g.Sparse, g.Width, g.Height, g.TileW, g.TileH, g.PixelsPerCM = true, 1500, 1100, 256, 256, 40000 // fewer pixels have no tile of bare glass
		}), "a tile that was skipped is an error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "slide.tiff")
			info, err := tt.generic.Write(path)
			if err != nil {
				t.Fatal(err)
			}
			s := openFile(t, path)
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
			genericAsWritten(t, s, tt.generic, info)
			compareStructure(t, path)
			if testing.Short() || interpreter() == "" {
				t.Skip("not compared with OpenSlide: no Python with openslide and PIL, or -short")
			}
			if tt.further == "" {
				agree(t, path)
				return
			}
			theirs, err := ask(t, path, s)
			if err == nil && theirs.Worst == 0 && cmp.Equal(theirs.Levels, seen(t, s).Levels) {
				t.Errorf("OpenSlide sees the same, where it did not: %s", tt.further)
			}
			t.Logf("%s; OpenSlide: %v", tt.further, err)
		})
	}
}

// genericAsWritten compares s with the truth.
func genericAsWritten(t *testing.T, s *slide.Slide, g synth.Generic, info synth.Info) {
	t.Helper()
	if s.Format != "generic" || len(s.Levels) != len(info.Levels) {
		t.Fatalf("format %q, %d levels, want generic, %d", s.Format, len(s.Levels), len(info.Levels))
	}
	for i, l := range s.Levels {
		if want := info.Levels[i]; l.Width != want.Width || l.Height != want.Height {
			t.Errorf("level %d is %d×%d, want %d×%d", i, l.Width, l.Height, want.Width, want.Height)
		}
	}
	if want := 10000 / g.PixelsPerCM; math.Abs(s.MPPX-want) > 1e-9 || math.Abs(s.MPPY-want) > 1e-9 {
		t.Errorf("MPP %v, %v, want %v", s.MPPX, s.MPPY, want)
	}
}
