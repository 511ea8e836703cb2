package slide

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// fields is short for what a test changes in a directory.
type fields = map[tiff.Tag]any

func TestGenericLevels(t *testing.T) {
	level0 := func() testDir { return tiledDir(512, 256, "0:") }
	half := func() testDir { return tiledDir(256, 128, "1:") }
	mask := func(kind uint32) testDir {
		return tiledDir(512, 256, "mask:").with(fields{
			tiff.TagNewSubfileType: kind, tiff.TagPhotometric: uint16(4),
			tiff.TagBitsPerSample: uint16(1), tiff.TagSamplesPerPixel: uint16(1), tiff.TagCompression: uint16(compressionAdobe),
		})
	}
	withSubs := func(d testDir, subs ...testDir) testDir {
		d.subs = subs
		return d
	}
	strips := level0()
	strips.asStrip = true
	tests := []struct {
		name string
		dirs []testDir
		want string
	}{
		{"one level", []testDir{level0()}, "512x256"},
		{"reduced", []testDir{level0(), reduced(half())}, "512x256 256x128"},
		{"not marked as reduced", []testDir{level0(), half(), tiledDir(127, 64, "2:")}, "512x256 256x128 127x64"},
		{"smallest first", []testDir{level0(), reduced(tiledDir(128, 64, "2:")), reduced(half())}, "512x256 256x128 128x64"},
		{"steps of four and of two", []testDir{level0(), reduced(tiledDir(128, 64, "1:")), reduced(tiledDir(64, 32, "2:"))}, "512x256 128x64 64x32"},
		{"masks between, as in a COG", []testDir{level0(), mask(4), reduced(half()), mask(5)}, "512x256 256x128"},
		{"a mask that could be a level", []testDir{level0(), reduced(half()), tiledDir(128, 64, "mask:").with(fields{tiff.TagNewSubfileType: uint32(5)})}, "512x256 256x128"},
		{"a broken page of the same size", []testDir{level0(), level0().with(fields{tiff.TagTileWidth: uint16(0)}), half()}, "512x256 256x128"},
		{"other pages of the same size", []testDir{level0(), level0(), half()}, "512x256 256x128"},
		{"another picture", []testDir{level0(), tiledDir(200, 190, "x:")}, "512x256"},
		{"larger than the first", []testDir{half(), reduced(level0())}, "256x128"},
		{"SubIFDs, as in OME-TIFF", []testDir{withSubs(level0(), reduced(half()), reduced(tiledDir(128, 64, "2:")))}, "512x256 256x128 128x64"},
		{"SubIFDs and pages hold the same", []testDir{withSubs(level0(), reduced(half())), reduced(half())}, "512x256 256x128"},
		{"thumbnail in strips first", []testDir{stripDir(50, 25, 25, "small"), level0(), half()}, "512x256 256x128"},
		{"tiles listed as strips", []testDir{strips}, "512x256"},
		{"a level of a compression not read", []testDir{level0(), reduced(half().with(fields{tiff.TagCompression: uint16(compressionLERC)}))}, "512x256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testFile{dirs: tt.dirs}.open(t)
			if got := levelSizes(s); got != tt.want || s.Format != "generic" {
				t.Errorf("%s %s, want generic %s", s.Format, got, tt.want)
			}
			for i := range s.Levels {
				if got, want := tileName(s, i, 0, 0), s.Levels[i]; !strings.HasSuffix(got, ": 0,0") {
					t.Errorf("tile of level %d (%v) is %q", i, want, got)
				}
			}
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// TestUnsupported checks that files which are complete but not supported are reported with
// a reason and the field.
func TestUnsupported(t *testing.T) {
	set := func(f fields) []testDir { return []testDir{tiledDir(128, 128, "0:").with(f)} }
	gray := fields{tiff.TagSamplesPerPixel: uint16(1), tiff.TagBitsPerSample: uint16(8), tiff.TagPhotometric: uint16(minIsBlack)}
	with := func(f fields, more fields) fields {
		all := fields{}
		for _, m := range []fields{f, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	deflate := fields{tiff.TagCompression: uint16(compressionAdobe), tiff.TagPhotometric: uint16(rgb)}
	tests := []struct {
		name string
		dirs []testDir
		tag  tiff.Tag
		want string // words
	}{
		{"strips", []testDir{stripDir(100, 100, 10, "a photo")}, tiff.TagStripOffsets, "not a pyramidal TIFF"},
		{"old-style JPEG", set(fields{tiff.TagCompression: uint16(compressionOldJPEG)}), tiff.TagCompression, "old-style JPEG"},
		{"JPEG XL", set(fields{tiff.TagCompression: uint16(compressionJPEGXL)}), tiff.TagCompression, "JPEG XL"},
		{"JPEG 2000 in planes", set(fields{tiff.TagCompression: uint16(compressionJPEG2000), tiff.TagPlanarConfig: uint16(2)}), tiff.TagPlanarConfig, "tiles of its own"},
		{"JPEG 2000 of 16 bits", set(fields{tiff.TagCompression: uint16(compressionAperioRGB), tiff.TagBitsPerSample: []uint16{16, 16, 16}}), tiff.TagBitsPerSample, "JPEG 2000 with 16 bits"},
		{"unknown compression", set(fields{tiff.TagCompression: uint16(4242)}), tiff.TagCompression, "4242"},
		{"turned", set(fields{tiff.TagOrientation: uint16(6)}), tiff.TagOrientation, "orientation 6"},
		{"planes", set(fields{tiff.TagPlanarConfig: uint16(2)}), tiff.TagPlanarConfig, "tiles of its own"},
		{"CMYK JPEG", set(fields{tiff.TagPhotometric: uint16(cmyk), tiff.TagSamplesPerPixel: uint16(4), tiff.TagBitsPerSample: []uint16{8, 8, 8, 8}}), tiff.TagPhotometric, "CMYK JPEG"},
		{"JPEG with alpha", set(fields{tiff.TagPhotometric: uint16(rgb), tiff.TagSamplesPerPixel: uint16(4), tiff.TagBitsPerSample: []uint16{8, 8, 8, 8}}), tiff.TagSamplesPerPixel, "4 samples"},
		{"JPEG, white is 0", set(with(gray, fields{tiff.TagPhotometric: uint16(minIsWhite)})), tiff.TagPhotometric, "photometric interpretation 0"},
		{"JPEG of 12 bits", set(with(gray, fields{tiff.TagBitsPerSample: uint16(12)})), tiff.TagBitsPerSample, "12 bits"},
		{"CIE L*a*b*", set(with(deflate, fields{tiff.TagPhotometric: uint16(8)})), tiff.TagPhotometric, "photometric interpretation 8"},
		{"YCbCr without JPEG, with predictor", set(with(deflate, fields{tiff.TagPhotometric: uint16(yCbCr), tiff.TagPredictor: uint16(2)})), tiff.TagPhotometric, "not compressed as JPEG"},
		{"floating point", set(with(deflate, fields{tiff.TagSampleFormat: []uint16{3, 3, 3}, tiff.TagBitsPerSample: []uint16{32, 32, 32}})), tiff.TagSampleFormat, "not unsigned integers"},
		{"32 bits", set(with(deflate, fields{tiff.TagBitsPerSample: []uint16{32, 32, 32}})), tiff.TagBitsPerSample, "32 bits"},
		{"bits of different number", set(with(deflate, fields{tiff.TagBitsPerSample: []uint16{5, 6, 5}})), tiff.TagBitsPerSample, "different sizes"},
		{"one bit of three colours", set(with(deflate, fields{tiff.TagBitsPerSample: []uint16{1, 1, 1}})), tiff.TagBitsPerSample, "1 bits"},
		{"predictor 3", set(with(deflate, fields{tiff.TagPredictor: uint16(3)})), tiff.TagPredictor, "predictor 3"},
		{"palette of 4 bits", set(with(gray, with(deflate, fields{tiff.TagPhotometric: uint16(palette), tiff.TagBitsPerSample: uint16(4)}))), tiff.TagBitsPerSample, "palette of 4 bits"},
		{"Hamamatsu NDPI", set(fields{tagNDPI: uint16(1)}), tagNDPI, "Hamamatsu"},
		{"Leica SCN", set(fields{tiff.TagImageDescription: `<scn xmlns="` + leicaSpace + `2010/10/01">`}), tiff.TagImageDescription, "Leica"},
		{"Ventana BIF", set(fields{tiff.TagXMP: []byte(`<EncodeInfo><iScan Magnification="40"/>`)}), tiff.TagXMP, "overlap"},
		{"Trestle", set(fields{tiff.TagSoftware: "MedScan"}), tiff.TagSoftware, "overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := testFile{dirs: tt.dirs}.openError(t)
			e, ok := errors.AsType[*tiff.UnsupportedError](err)
			if !ok || e.Tag != tt.tag || !strings.Contains(e.Msg, tt.want) || e.Offset == 0 {
				t.Errorf("got %T %v, want tag %d, %q", err, err, tt.tag, tt.want)
			}
		})
	}
}

// TestBroken checks that impossible fields are errors of the file.
func TestBroken(t *testing.T) {
	set := func(f fields) []testDir { return []testDir{tiledDir(128, 128, "0:").with(f)} }
	noCounts := tiledDir(128, 128, "0:")
	noCounts.fields[tiff.TagTileOffsets] = []uint32{8, 8, 8, 8}
	noCounts.data = nil
	noTables := tiledDir(128, 128, "0:")
	noTables.data = nil
	tests := []struct {
		name string
		dirs []testDir
		tag  tiff.Tag
	}{
		{"no width", set(fields{tiff.TagImageWidth: 0}), tiff.TagImageWidth},
		{"endless height", set(fields{tiff.TagImageLength: uint32(1 << 31)}), tiff.TagImageLength},
		{"tiles of no width", set(fields{tiff.TagTileWidth: uint16(0)}), tiff.TagTileWidth},
		{"tiles higher than a JPEG", set(fields{tiff.TagTileLength: uint32(1 << 16)}), tiff.TagTileLength},
		{"tiles of 4 Gpx", set(fields{tiff.TagTileWidth: uint16(65535), tiff.TagTileLength: uint16(65535)}), tiff.TagTileWidth},
		{"a grid that the tables do not hold", set(fields{tiff.TagImageWidth: 1 << 30, tiff.TagImageLength: 1 << 30}), tiff.TagTileOffsets},
		{"no byte counts", []testDir{noCounts}, tiff.TagTileByteCounts},
		{"no offsets", []testDir{noTables}, tiff.TagTileOffsets},
		{"no samples", set(fields{tiff.TagSamplesPerPixel: uint16(0)}), tiff.TagSamplesPerPixel},
		{"RGB of two samples", set(fields{tiff.TagPhotometric: uint16(rgb), tiff.TagSamplesPerPixel: uint16(2)}), tiff.TagSamplesPerPixel},
		{"palette without colours", set(fields{tiff.TagPhotometric: uint16(palette), tiff.TagSamplesPerPixel: uint16(1), tiff.TagBitsPerSample: uint16(8), tiff.TagCompression: uint16(compressionLZW)}), tiff.TagColorMap},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := testFile{dirs: tt.dirs}.openError(t)
			if e, ok := errors.AsType[*tiff.FormatError](err); !ok || e.Tag != tt.tag {
				t.Errorf("got %T %v, want tag %d", err, err, tt.tag)
			}
		})
	}
}

// TestLayouts checks the description of layouts other than JPEG, for decoders.
func TestLayouts(t *testing.T) {
	colors := make([]uint16, 768)
	colors[767] = 65535
	base := tiledDir(128, 128, "0:")
	tests := []struct {
		name string
		f    testFile
		set  fields
		want Layout
	}{
		{
			"deflate RGB",
			testFile{},
			fields{tiff.TagCompression: uint16(compressionAdobe), tiff.TagPhotometric: uint16(rgb), tiff.TagPredictor: uint16(2)},
			Layout{Codec: Deflate, Photometric: rgb, Samples: 3, Bits: 8, Planar: 1, Predictor: 2},
		},
		{
			"old deflate, big-endian, 16 bits",
			testFile{bigEndian: true},
			fields{tiff.TagCompression: uint16(compressionDeflate), tiff.TagPhotometric: uint16(rgb), tiff.TagBitsPerSample: []uint16{16, 16, 16}},
			Layout{Codec: Deflate, Photometric: rgb, Samples: 3, Bits: 16, Planar: 1, Predictor: 1, BigEndian: true},
		},
		{
			"LZW with alpha",
			testFile{big: true},
			fields{
				tiff.TagCompression: uint16(compressionLZW), tiff.TagPhotometric: uint16(rgb), tiff.TagSamplesPerPixel: uint16(4),
				tiff.TagBitsPerSample: []uint16{8, 8, 8, 8}, tiff.TagExtraSamples: uint16(2),
			},
			Layout{Codec: LZW, Photometric: rgb, Samples: 4, Bits: 8, Planar: 1, Predictor: 1, ExtraSamples: []int{2}},
		},
		{
			"palette",
			testFile{},
			fields{
				tiff.TagCompression: uint16(compressionNone), tiff.TagPhotometric: uint16(palette), tiff.TagSamplesPerPixel: uint16(1),
				tiff.TagBitsPerSample: uint16(8), tiff.TagColorMap: colors,
			},
			Layout{Codec: None, Photometric: palette, Samples: 1, Bits: 8, Planar: 1, Predictor: 1, ColorMap: colors},
		},
		{
			"zstd gray, white is 0",
			testFile{},
			fields{
				tiff.TagCompression: uint16(compressionZstd), tiff.TagPhotometric: uint16(minIsWhite), tiff.TagSamplesPerPixel: uint16(1), tiff.TagBitsPerSample: uint16(8),
			},
			Layout{Codec: Zstd, Photometric: minIsWhite, Samples: 1, Bits: 8, Planar: 1, Predictor: 1},
		},
		{
			"WebP",
			testFile{},
			fields{tiff.TagCompression: uint16(compressionWebP), tiff.TagPhotometric: uint16(rgb), tiff.TagPlanarConfig: uint16(1)},
			Layout{Codec: WebP, Photometric: rgb, Samples: 3, Bits: 8, Planar: 1, Predictor: 1},
		},
		{
			"planes of one sample",
			testFile{},
			fields{
				tiff.TagCompression: uint16(compressionLZW), tiff.TagPhotometric: uint16(minIsBlack), tiff.TagSamplesPerPixel: uint16(1),
				tiff.TagBitsPerSample: uint16(8), tiff.TagPlanarConfig: uint16(2),
			},
			Layout{Codec: LZW, Photometric: minIsBlack, Samples: 1, Bits: 8, Planar: 1, Predictor: 1},
		},
		{
			"planes",
			testFile{},
			fields{tiff.TagCompression: uint16(compressionLZW), tiff.TagPhotometric: uint16(rgb), tiff.TagPlanarConfig: uint16(2)},
			Layout{Codec: LZW, Photometric: rgb, Samples: 3, Bits: 8, Planar: 2, Predictor: 1},
		},
		{
			"bits in reverse order, and YCbCr",
			testFile{},
			fields{tiff.TagCompression: uint16(compressionAdobe), tiff.TagPhotometric: uint16(yCbCr), tiff.TagFillOrder: uint16(2), tiff.TagYCbCrSubSampling: []uint16{2, 1}},
			Layout{
				Codec: Deflate, Photometric: yCbCr, Samples: 3, Bits: 8, Planar: 1, Predictor: 1, Reversed: true,
				Chroma: &Chroma{X: 2, Y: 1, Black: [3]float64{0, 128, 128}, White: [3]float64{255, 255, 255}},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.f.dirs = []testDir{base.with(tt.set)}
			if diff := cmp.Diff(tt.want, tt.f.open(t).Levels[0].Layout); diff != "" {
				t.Errorf("layout (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGenericMPP(t *testing.T) {
	perCentimetre := [2]uint32{40000, 1}
	tests := []struct {
		name   string
		fields fields
		x, y   float64
	}{
		{"centimetres", fields{tiff.TagXResolution: perCentimetre, tiff.TagYResolution: [2]uint32{20000, 1}, tiff.TagResolutionUnit: uint16(3)}, 0.25, 0.5},
		{"inches", fields{tiff.TagXResolution: [2]uint32{101600, 1}, tiff.TagResolutionUnit: uint16(2)}, 0.25, 0.25},
		{"inches, not said", fields{tiff.TagXResolution: [2]uint32{101600, 1}}, 0.25, 0.25},
		{"no unit", fields{tiff.TagXResolution: perCentimetre, tiff.TagResolutionUnit: uint16(1)}, 0, 0},
		{"72 dots per inch", fields{tiff.TagXResolution: [2]uint32{72, 1}, tiff.TagResolutionUnit: uint16(2)}, 0, 0},
		{"denominator 0", fields{tiff.TagXResolution: [2]uint32{40000, 0}, tiff.TagResolutionUnit: uint16(3)}, 0, 0},
		{"nothing", fields{}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testFile{dirs: []testDir{tiledDir(64, 64, "0:").with(tt.fields)}}.open(t)
			if s.MPPX != tt.x || s.MPPY != tt.y {
				t.Errorf("MPP %v, %v, want %v, %v", s.MPPX, s.MPPY, tt.x, tt.y)
			}
		})
	}
}

func TestGenericProperties(t *testing.T) {
	s := testFile{dirs: []testDir{
		tiledDir(64, 64, "0:").with(fields{
			tiff.TagMake: "Maker", tiff.TagSoftware: "writer 1.0\x00\x00", tiff.TagDateTime: "2020:01:02 03:04:05",
			tiff.TagImageDescription: strings.Repeat("x", 1<<20),
		}),
		stripDir(30, 20, 20, "Macro"),
		stripDir(20, 20, 8, "label of the slide"),
		stripDir(10, 10, 10, "labelled"),
	}}.open(t)
	want := map[string]string{
		"tiff.Make": "Maker", "tiff.Software": "writer 1.0", "tiff.DateTime": "2020:01:02 03:04:05",
		"tiff.ImageDescription": strings.Repeat("x", maxValue),
	}
	if diff := cmp.Diff(want, s.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%.400s", diff)
	}
	if diff := cmp.Diff([]string{"label", "macro"}, s.Associated()); diff != "" {
		t.Errorf("associated images (-want +got):\n%s", diff)
	}
}

// TestAperio checks an SVS of newer scanners: only the type of the directory determines the
// kind of its associated images (openslide issue 297).
func TestAperio(t *testing.T) {
	const desc = "Aperio Image Library v12.0.16 \r\n512x256 (64x64) JPEG/RGB Q=30|AppMag = 40|MPP = 0.2528|ScanScope ID = SS1"
	f := testFile{dirs: []testDir{
		tiledDir(512, 256, "0:").with(fields{tiff.TagImageDescription: desc}),
		stripDir(100, 50, 16, "Aperio Image Library v12.0.16 \r\n512x256 -> 100x50 - |AppMag = 40").with(fields{tiff.TagNewSubfileType: uint32(0)}),
		tiledDir(128, 64, "1:").with(fields{tiff.TagImageDescription: desc}),
		stripDir(38, 46, 46, "").with(fields{tiff.TagNewSubfileType: uint32(1)}),
		stripDir(128, 43, 16, "").with(fields{tiff.TagNewSubfileType: uint32(9)}),
	}}
	check := func(t *testing.T, s *Slide) {
		t.Helper()
		if s.Format != "aperio" || levelSizes(s) != "512x256 128x64" || s.MPPX != 0.2528 || s.MPPY != 0.2528 || s.ObjectivePower != 40 {
			t.Errorf("%s %s, MPP %v, %v, power %v", s.Format, levelSizes(s), s.MPPX, s.MPPY, s.ObjectivePower)
		}
		for kind, want := range map[string][2]int{"label": {38, 46}, "macro": {128, 43}, "thumbnail": {100, 50}} {
			p, err := s.ReadAssociated(kind)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			} else if got := [2]int{p.Width, p.Height}; got != want {
				t.Errorf("%s of %v, want %v", kind, got, want)
			}
		}
	}
	check(t, f.open(t))
	f.dirs[3].fields[tiff.TagImageDescription] = "Aperio Image Library v11.2.1 \nlabel 38x46"
	f.dirs[4].fields[tiff.TagImageDescription] = "Aperio Image Library v11.2.1 \nmacro 128x43"
	f.dirs[3].fields[tiff.TagNewSubfileType] = uint32(0)
	check(t, f.open(t))
}

func TestAperioValues(t *testing.T) {
	const head = "Aperio Image Library v10.0.51\r\n46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30"
	tests := []struct {
		name, desc string
		mpp, power float64
	}{
		{"CMU-1", head + "|AppMag = 20|MPP = 0.4990|Left = 25.69", 0.499, 20},
		{"no resolution", head + "|AppMag = 20", 0, 20},
		{"no fields", head, 0, 0},
		{"key is a suffix", head + "|XMPP = 0.25", 0, 0},
		{"not a number", head + "|MPP = unknown|AppMag = many", 0, 0},
		{"NaN", head + "|MPP = NaN|AppMag = NaN", 0, 0},
		{"decimal comma", head + "|MPP = 0,4990|AppMag = 20,0", 0.499, 20},
		{"thousands", head + "|MPP = 1,000.5", 0, 0},
		{"absurd", head + "|MPP = 1e9|AppMag = -3", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testFile{dirs: []testDir{tiledDir(64, 64, "0:").with(fields{tiff.TagImageDescription: tt.desc})}}.open(t)
			if s.MPPX != tt.mpp || s.ObjectivePower != tt.power {
				t.Errorf("MPP %v, power %v, want %v, %v", s.MPPX, s.ObjectivePower, tt.mpp, tt.power)
			}
		})
	}
}
