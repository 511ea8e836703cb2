package slide

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/tiff"
)

// philipsXML writes the description of a Philips slide. The fields are inserted unchanged.
type philipsXML struct {
	prolog   string
	spacing  string   // of the scan
	levels   []string // spacing of each level
	power    string   // derivation description
	barcode  string
	scan     string // more of the scan
	images   string // more images
	more     string // more of the root
	trailing string
}

func attribute(name, value string) string {
	return fmt.Sprintf("<Attribute Name=%q Group=\"0x0001\" Element=\"0x0002\" PMSVR=\"IString\">%s</Attribute>\n", name, value)
}

// spacing returns a DICOM_PIXEL_SPACING with equal rows and columns.
func spacing(mm float64) string { return fmt.Sprintf("&quot;%g&quot; &quot;%g&quot;", mm, mm) }

// halving returns the spacings of n levels, each twice that of the previous one.
func halving(n int) []string {
	var s []string
	for i := range n {
		s = append(s, spacing(0.00025*float64(int(1)<<i)))
	}
	return s
}

func imageObject(kind, attributes string) string {
	return "<DataObject ObjectType=\"DPScannedImage\">" + attribute("PIM_DP_IMAGE_TYPE", kind) + attributes + "</DataObject>\n"
}

func (x philipsXML) String() string {
	var levels strings.Builder
	for i, s := range x.levels {
		levels.WriteString("<DataObject ObjectType=\"PixelDataRepresentation\">" + attribute("DICOM_PIXEL_SPACING", s) +
			attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", fmt.Sprint(i)) + "</DataObject>\n")
	}
	scan := attribute("DICOM_DERIVATION_DESCRIPTION", x.power) + attribute("DICOM_PIXEL_SPACING", x.spacing) +
		"<Attribute Name=\"PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE\"><Array>\n" + levels.String() + "</Array></Attribute>\n" + x.scan
	return x.prolog + "<DataObject ObjectType=\"DPUfsImport\">\n" +
		attribute("DICOM_MANUFACTURER", "PHILIPS") +
		"<Attribute Name=\"PIM_DP_SCANNED_IMAGES\"><Array>\n" + imageObject("WSI", scan) + x.images + "</Array></Attribute>\n" +
		attribute("PIM_DP_UFS_BARCODE", x.barcode) + x.more + "</DataObject>" + x.trailing
}

// philipsFile returns a Philips slide of three levels of 7×5, 4×3 and 2×2 tiles. Without
// padding, the smaller levels have 3.5×2.5 and 1.75×1.25 tiles.
func philipsFile(desc string) testFile {
	f := testFile{dirs: []testDir{
		tiledDir(448, 320, "0:"),
		reduced(tiledDir(256, 192, "1:")),
		reduced(tiledDir(128, 128, "2:")),
	}}
	f.dirs[0].fields[tiff.TagSoftware] = "Philips DP v1.0"
	f.dirs[0].fields[tiff.TagImageDescription] = desc
	f.dirs[1].fields[tiff.TagImageDescription] = "level=1 mag=20.5 quality=80"
	f.dirs[2].fields[tiff.TagImageDescription] = "level=2 mag=10.25 quality=80"
	return f
}

const (
	rawSizes       = "448x320 256x192 128x128"
	correctedSizes = "448x320 224x160 112x80"
)

var plainXML = philipsXML{prolog: `<?xml version="1.0" encoding="UTF-8" ?>`, spacing: spacing(0.00025), levels: halving(3)}

func TestPhilips(t *testing.T) {
	x := plainXML
	x.spacing = "&quot;0.000226891&quot; &quot;0.000226907&quot;"
	x.power = "tiff-useBigTIFF=1-useRgb=0-levels=40,10002,10000,10001-processing=0"
	x.barcode = "MzMxMTk0MA=="
	x.more = attribute("DICOM_ACQUISITION_DATETIME", "20160718122300.000000") +
		attribute("DICOM_MANUFACTURERS_MODEL_NAME", "UFS Scanner")
	s := philipsFile(x.String()).open(t)

	type facts struct {
		Format, Vendor, Barcode, Sizes string
		MPPX, MPPY, Power              float64
	}
	got := facts{s.Format, s.Vendor, s.Barcode, levelSizes(s), s.MPPX, s.MPPY, s.ObjectivePower}
	// Spacing is of rows, then of columns.
	want := facts{"philips", "PHILIPS", "3311940", correctedSizes, 0.226907, 0.226891, 40}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("slide (-want +got):\n%s", diff)
	}
	wantLevel := Level{
		Width: 224, Height: 160, TileWidth: testTile, TileHeight: testTile, Columns: 4, Rows: 3, Downsample: 2,
		Layout: Layout{Codec: JPEG, Photometric: yCbCr, Samples: 3, Bits: 8, Planar: 1, Predictor: 1},
	}
	if diff := cmp.Diff(wantLevel, s.Levels[1]); diff != "" {
		t.Errorf("level 1 (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"philips.DICOM_ACQUISITION_DATETIME":     "20160718122300.000000",
		"philips.DICOM_MANUFACTURERS_MODEL_NAME": "UFS Scanner",
		"philips.DICOM_DERIVATION_DESCRIPTION":   x.power,
		"philips.PIM_DP_IMAGE_TYPE":              "WSI",
		"tiff.Software":                          "Philips DP v1.0",
	} {
		if got := s.Properties[name]; got != want {
			t.Errorf("property %s = %q, want %q", name, got, want)
		}
	}
	for level, l := range s.Levels {
		for row := range l.Rows {
			for col := range l.Columns {
				if got, want := tileName(s, level, col, row), fmt.Sprintf("%d: %d,%d", level, col, row); got != want {
					t.Errorf("tile is %q, want %q", got, want)
				}
			}
		}
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestPhilipsDetection checks that a slide is recognized by its XML, whatever the Software
// tag is, and by the tag if the XML is missing.
func TestPhilipsDetection(t *testing.T) {
	x := plainXML.String()
	tests := []struct {
		name, software, desc string
		want                 string // format
	}{
		{"both", "Philips DP v1.1", x, "philips"},
		{"software rewritten", "de-identifier 1.0", x, "philips"},
		{"no software", "", x, "philips"},
		{"no description", "Philips DP v1.0", "", "philips"},
		{"malformed description", "Philips DP v1.0", "<DataObject ObjectType=", "philips"},
		{"neither", "", "", "generic"},
		{"other software", "libvips 8.14", "<image/>", "generic"},
		{"other root", "", strings.ReplaceAll(x, "DPUfsImport", "DPOtherImport"), "generic"},
		{"root without type", "", `<DataObject Type="DPUfsImport"></DataObject>`, "generic"},
		{"type of a child", "", `<x><DataObject ObjectType="DPUfsImport"/></x>`, "generic"},
		{"level text alone", "", "level=0 mag=40 quality=80", "generic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := philipsFile(tt.desc)
			f.dirs[0].fields[tiff.TagSoftware] = tt.software
			if got := f.open(t).Format; got != tt.want {
				t.Errorf("format %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPhilipsSizes checks the sources of the true sizes of padded levels, in order of
// preference.
func TestPhilipsSizes(t *testing.T) {
	with := func(levels []string) string {
		x := plainXML
		x.levels = levels
		return x.String()
	}
	swap := []string{spacing(0.001), spacing(0.00025), spacing(0.0005)}
	tests := []struct {
		name, desc string
		levelText  string // of level 1
		want       string
	}{
		{"spacings", with(halving(3)), "", correctedSizes},
		{"too few spacings, level texts", with(halving(2)), "level=1 mag=20", correctedSizes},
		{"too many spacings, level texts", with(halving(4)), "level=1 mag=20", correctedSizes},
		{"spacings that are no numbers, level texts", with([]string{"a b", "c d", "e f"}), "level=1 mag=20", correctedSizes},
		{"spacings of one value, level texts", with([]string{"1", "2", "4"}), "level=1 mag=20", correctedSizes},
		{"spacings of zero, level texts", with([]string{spacing(0), spacing(0), spacing(0)}), "level=1 mag=20", correctedSizes},
		{"spacings in disorder, level texts", with(swap), "level=1 mag=20", correctedSizes},
		{"spacings that do not grow, level texts", with([]string{spacing(1), spacing(2), spacing(2)}), "level=1 mag=20", correctedSizes},
		{"no spacings, no texts: powers of two", with(nil), "", correctedSizes},
		{"no XML: powers of two", "", "", correctedSizes},
		{"spacings of another pyramid", with([]string{spacing(1), spacing(8), spacing(64)}), "", correctedSizes},
		{"level text of another pyramid", with(nil), "level=7 mag=20", correctedSizes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := philipsFile(tt.desc)
			f.dirs[1].fields[tiff.TagImageDescription] = tt.levelText
			if got := levelSizes(f.open(t)); got != tt.want {
				t.Errorf("sizes %s, want %s", got, tt.want)
			}
		})
	}
}

// TestPhilipsSizesOfRealSlides checks the rule on the tags of four slides and one
// of CAMELYON17, whose level 3 lacks its last row of tiles (tifffile issue 249).
func TestPhilipsSizesOfRealSlides(t *testing.T) {
	tests := []struct {
		name      string
		raw, want [][2]int
	}{
		{
			"Philips-1",
			[][2]int{{45056, 35840}, {22528, 17920}, {11264, 9216}, {5632, 4608}, {3072, 2560}, {1536, 1536}, {1024, 1024}, {512, 512}},
			[][2]int{{45056, 35840}, {22528, 17920}, {11264, 8960}, {5632, 4480}, {2816, 2240}, {1408, 1120}, {704, 560}, {352, 280}},
		},
		{
			"Philips-4",
			[][2]int{{91136, 68096}, {45568, 34304}, {23040, 17408}},
			[][2]int{{91136, 68096}, {45568, 34048}, {22784, 17024}},
		},
		{
			"CAMELYON17 patient_080_node_2",
			[][2]int{{155136, 78336}, {77824, 39424}, {38912, 19968}, {19456, 9728}},
			[][2]int{{155136, 78336}, {77568, 39168}, {38784, 19584}, {19392, 9792}},
		},
		{
			"many rows missing",
			[][2]int{{10240, 20480}, {5120, 8192}, {2560, 4096}},
			[][2]int{{10240, 20480}, {5120, 10240}, {2560, 5120}},
		},
		{
			"spare columns and rows",
			[][2]int{{10240, 10240}, {5632, 5632}, {3072, 3072}, {2048, 2048}},
			[][2]int{{10240, 10240}, {5120, 5120}, {2560, 2560}, {1280, 1280}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := []float64{1}
			for i := range tt.raw[1:] {
				d = append(d, float64(int(2)<<i))
			}
			for name, d := range map[string][]float64{"spacings": d, "tags alone": nil} {
				s := &Slide{Levels: pyramid(512, tt.raw...)}
				if d == nil {
					d = s.paddedDownsamples()
				}
				if !s.correct(d) {
					t.Fatalf("%s: %v does not fit", name, d)
				}
				if diff := cmp.Diff(levelSizes(&Slide{Levels: pyramid(512, tt.want...)}), levelSizes(s)); diff != "" {
					t.Errorf("%s: sizes (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// TestPhilipsSpacingNumbers checks that representations may stand in any order if
// they are numbered.
func TestPhilipsSpacingNumbers(t *testing.T) {
	object := func(mm, number string) *dpObject {
		return &dpObject{values: map[string]string{
			"DICOM_PIXEL_SPACING": mm, "PIIM_PIXEL_DATA_REPRESENTATION_NUMBER": number,
		}}
	}
	im := dpImage{levels: []*dpObject{object("4 4", "2"), object(`"1" "1"`, "0"), object(`"2" 2`, "1")}}
	if diff := cmp.Diff([]float64{1, 2, 4}, im.downsamples()); diff != "" {
		t.Errorf("downsamples (-want +got):\n%s", diff)
	}
}

// TestPhilipsGrid checks where tiles are looked up: the width in the tags, not the
// corrected one, determines the row length, and tiles missing in the file count as skipped.
func TestPhilipsGrid(t *testing.T) {
	t.Run("spare column", func(t *testing.T) {
		f := philipsFile(plainXML.String())
		f.dirs[1] = reduced(tiledDir(320, 192, "1:")) // 5 columns for 3.5
		s := f.open(t)
		if got, want := levelSizes(s), correctedSizes; got != want {
			t.Errorf("sizes %s, want %s", got, want)
		}
		if got, want := tileName(s, 1, 1, 2), "1: 1,2"; got != want {
			t.Errorf("tile is %q, want %q", got, want)
		}
		if _, err := s.AppendTile(nil, 1, 4, 0); err != ErrNoTile {
			t.Errorf("spare column: %v, want %v", err, ErrNoTile)
		}
	})
	t.Run("missing row", func(t *testing.T) {
		f := philipsFile(plainXML.String())
		f.dirs[1] = reduced(tiledDir(256, 128, "1:")) // 2 rows for 2.5
		s := f.open(t)
		if got, want := levelSizes(s), correctedSizes; got != want {
			t.Errorf("sizes %s, want %s", got, want)
		}
		if got, want := tileName(s, 1, 3, 1), "1: 3,1"; got != want {
			t.Errorf("tile is %q, want %q", got, want)
		}
		if _, err := s.AppendTile(nil, 1, 0, 2); err != ErrEmptyTile {
			t.Errorf("missing row: %v, want %v", err, ErrEmptyTile)
		}
		if err := s.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
	t.Run("missing column", func(t *testing.T) {
		f := philipsFile(plainXML.String())
		f.dirs[1] = reduced(tiledDir(192, 192, "1:")) // 3 columns for 3.5
		s := f.open(t)
		if got, want := tileName(s, 1, 0, 1), "1: 0,1"; got != want {
			t.Errorf("tile is %q, want %q", got, want)
		}
		if _, err := s.AppendTile(nil, 1, 3, 0); err != ErrEmptyTile {
			t.Errorf("missing column: %v, want %v", err, ErrEmptyTile)
		}
	})
	t.Run("short tables", func(t *testing.T) {
		for _, n := range []int{30, 34} {
			f := philipsFile(plainXML.String())
			f.dirs[0].data = f.dirs[0].data[:n]
			s := f.open(t)
			last := n - 1
			if got, want := tileName(s, 0, last%7, last/7), fmt.Sprintf("0: %d,%d", last%7, last/7); got != want {
				t.Errorf("%d tiles: the last is %q, want %q", n, got, want)
			}
			if _, err := s.AppendTile(nil, 0, n%7, n/7); err != ErrEmptyTile {
				t.Errorf("%d tiles: the next: %v, want %v", n, err, ErrEmptyTile)
			}
		}
	})
	t.Run("short counts", func(t *testing.T) {
		f := philipsFile(plainXML.String())
		f.dirs[0].fields[tiff.TagTileByteCounts] = []uint32{uint32(len(f.dirs[0].data[0]))}
		s := f.open(t)
		if got, want := tileName(s, 0, 0, 0), "0: 0,0"; got != want {
			t.Errorf("tile is %q, want %q", got, want)
		}
		if _, err := s.AppendTile(nil, 0, 1, 0); err != ErrEmptyTile {
			t.Errorf("tile without count: %v, want %v", err, ErrEmptyTile)
		}
	})
	t.Run("sparse", func(t *testing.T) {
		f := philipsFile(plainXML.String())
		f.dirs[0].data[3] = nil      // offset and count 0
		f.dirs[1].data[2] = []byte{} // count 0 alone
		s := f.open(t)
		for level, col := range []int{3, 2} {
			if _, err := s.AppendTile(nil, level, col, 0); err != ErrEmptyTile {
				t.Errorf("level %d: %v, want %v", level, err, ErrEmptyTile)
			}
		}
		if err := s.Check(); err != nil {
			t.Errorf("Check: %v", err)
		}
	})
}

// TestPhilipsBogusDepth checks that ImageDepth and TileDepth of 9, which Philips DP v1.1
// writes, are ignored (tifffile pull request 299).
func TestPhilipsBogusDepth(t *testing.T) {
	f := philipsFile(plainXML.String())
	for i := range f.dirs {
		f.dirs[i].fields[tiff.TagImageDepth] = uint32(9)
		f.dirs[i].fields[tiff.TagTileDepth] = uint32(9)
	}
	if got, want := tileName(f.open(t), 0, 6, 4), "0: 6,4"; got != want {
		t.Errorf("tile is %q, want %q", got, want)
	}
}

// TestPhilipsLevelOrder checks that levels are found if they are not marked as reduced, or
// not in order.
func TestPhilipsLevelOrder(t *testing.T) {
	f := philipsFile(plainXML.String())
	delete(f.dirs[1].fields, tiff.TagNewSubfileType)
	f.dirs[1], f.dirs[2] = f.dirs[2], f.dirs[1]
	if got := levelSizes(f.open(t)); got != correctedSizes {
		t.Errorf("sizes %s, want %s", got, correctedSizes)
	}
}

func TestPhilipsContainers(t *testing.T) {
	for _, f := range []testFile{{}, {big: true}, {bigEndian: true}, {big: true, bigEndian: true}} {
		f.dirs = philipsFile(plainXML.String()).dirs
		t.Run(fmt.Sprintf("big %v bigEndian %v", f.big, f.bigEndian), func(t *testing.T) {
			s := f.open(t)
			if got, want := levelSizes(s), correctedSizes; got != want {
				t.Errorf("sizes %s, want %s", got, want)
			}
			if got, want := tileName(s, 1, 2, 1), "1: 2,1"; got != want {
				t.Errorf("tile is %q, want %q", got, want)
			}
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestPhilipsTwoScans(t *testing.T) {
	x := plainXML
	x.images = imageObject("WSI", "")
	err := philipsFile(x.String()).openError(t)
	if e, ok := errors.AsType[*tiff.UnsupportedError](err); !ok || e.Tag != tiff.TagImageDescription || !strings.Contains(e.Msg, "2 scans") {
		t.Errorf("got %v", err)
	}
}

func TestPhilipsMPP(t *testing.T) {
	tests := []struct {
		name, spacing string
		x, y          float64 // µm
	}{
		{"rows first", "&quot;0.0005&quot; &quot;0.00025&quot;", 0.25, 0.5},
		{"without quotes", "0.0005 0.00025", 0.25, 0.5},
		{"more spaces", " &quot;0.0005&quot;\r\n  &quot;0.00025&quot; ", 0.25, 0.5},
		{"raw quotes", `"0.0005" "0.00025"`, 0.25, 0.5},
		{"absent", "", 0, 0},
		{"one value", "0.0005", 0, 0},
		{"zero", "0 0", 0, 0},
		{"negative", "-0.0005 0.00025", 0, 0},
		{"NaN", "NaN 0.00025", 0, 0},
		{"infinite", "Inf Inf", 0, 0},
		{"metres for millimetres", "250 250", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := plainXML
			x.spacing = tt.spacing
			// The resolution of label and macro is not that of the slide.
			x.images = imageObject("MACROIMAGE", attribute("DICOM_PIXEL_SPACING", "0.0315 0.0315"))
			s := philipsFile(x.String()).open(t)
			if s.MPPX != tt.x || s.MPPY != tt.y {
				t.Errorf("MPP %v, %v, want %v, %v", s.MPPX, s.MPPY, tt.x, tt.y)
			}
		})
	}
}

func TestPhilipsPower(t *testing.T) {
	tests := []struct {
		name, derivation, level1 string
		want                     float64
	}{
		{"derivation", "tiff-useBigTIFF=0-useRgb=0-levels=40,10002,10000,10001-processing=0-q80", "level=1 mag=22 quality=80", 40},
		{"not given there", "tiff-useBigTIFF=1-useRgb=0-levels=10003,10002,10000,10001-processing=0", "level=1 mag=22 quality=80", 44},
		{"no levels", "PHILIPS UFS V1.6.5574 | Quality=80", "level=1 mag=20.5 quality=80", 41},
		{"level 5", "", "level=5 mag=1.25 quality=80", 40},
		{"nowhere", "", "something else", 0},
		{"absurd", "tiff-levels=0-", "level=30 mag=40", 0},
		{"more than any objective", "", "level=8 mag=2", 0},
		{"no number", "levels=x", "level=1 mag=1.2.3", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := plainXML
			x.power = tt.derivation
			f := philipsFile(x.String())
			f.dirs[1].fields[tiff.TagImageDescription] = tt.level1
			delete(f.dirs[2].fields, tiff.TagImageDescription)
			if got := f.open(t).ObjectivePower; got != tt.want {
				t.Errorf("objective power %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBarcode(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"base64", "MzMxMTk0MA==", "3311940"},
		{"base64 without padding", "MzMxMTk0MA", "3311940"},
		{"base64 in white space", " MzMxMTk0MA==\r\n", "3311940"},
		{"base64 with trailing NUL", base64.StdEncoding.EncodeToString([]byte("S12-3\x00")), "S12-3"},
		{"base64 of GS1 with separators", base64.StdEncoding.EncodeToString([]byte("0112345\x1d21abc")), "0112345\x1d21abc"},
		{"base64 of UTF-8", base64.StdEncoding.EncodeToString([]byte("Präparat 7")), "Präparat 7"},
		{"plain digits that could be base64", "33119400", "33119400"},
		{"plain with a dash", "S21-00412-A1", "S21-00412-A1"},
		{"plain letters that could be base64", "SLIDEABC", "SLIDEABC"},
		{"plain letters whose base64 would be control characters", "AQID", "AQID"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := barcode(tt.in); got != tt.want {
				t.Errorf("barcode(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestPhilipsPictures checks both locations of label and macro, and that a damaged copy is
// replaced by the other one.
func TestPhilipsPictures(t *testing.T) {
	inXML := func(kind string, w, h int, wrap func(string) string) string {
		return imageObject(kind, attribute("PIM_DP_IMAGE_DATA", wrap(base64.StdEncoding.EncodeToString(testJPEG(w, h, "xml;")))))
	}
	plain := func(s string) string { return s }
	lines := func(s string) string {
		var b strings.Builder
		for ; len(s) > 76; s = s[76:] {
			b.WriteString(s[:76] + "\r\n\t ")
		}
		return "\n" + b.String() + s + "\n"
	}
	label, macro := stripDir(40, 50, 50, "Label"), stripDir(90, 40, 40, "Macro -offset=(0,0)-pixelsize=(0.0315,0.0315)")
	broken := func(d testDir) testDir {
		d.data = [][]byte{bytes.Repeat([]byte{7}, 500)}
		return d
	}
	tests := []struct {
		name         string
		dirs         []testDir
		images       string
		label, macro string // size, or "" without one
	}{
		{"none", nil, "", "", ""},
		{"directories", []testDir{macro, label}, "", "40x50", "90x40"},
		{"XML", nil, inXML("LABELIMAGE", 30, 31, plain) + inXML("MACROIMAGE", 70, 33, plain), "30x31", "70x33"},
		{"base64 in lines", nil, inXML("LABELIMAGE", 30, 31, lines), "30x31", ""},
		{"base64 in CDATA", nil, inXML("LABELIMAGE", 30, 31, func(s string) string { return "<![CDATA[" + s + "]]>" }), "30x31", ""},
		{"base64 with line feeds as entities", nil, inXML("LABELIMAGE", 30, 31, func(s string) string { return s[:8] + "&#10;" + s[8:] }), "30x31", ""},
		{"base64 without padding", nil, inXML("LABELIMAGE", 30, 31, func(s string) string { return strings.TrimRight(s, "=") }), "30x31", ""},
		{"both: the directory", []testDir{macro, label}, inXML("LABELIMAGE", 30, 31, plain), "40x50", "90x40"},
		{"directory damaged: the XML", []testDir{macro, broken(label)}, inXML("LABELIMAGE", 30, 31, plain), "30x31", "90x40"},
		{"directory of a compression not read: the XML", []testDir{label.with(map[tiff.Tag]any{tiff.TagCompression: uint16(compressionOldJPEG)})}, inXML("LABELIMAGE", 30, 31, plain), "30x31", ""},
		{"mixed", []testDir{macro}, inXML("LABELIMAGE", 30, 31, plain), "30x31", "90x40"},
		{"emptied by de-identification", nil, imageObject("LABELIMAGE", attribute("PIM_DP_IMAGE_DATA", " \n")) + imageObject("MACROIMAGE", ""), "", ""},
		{"lower case", []testDir{stripDir(40, 50, 50, "label")}, "", "40x50", ""},
		{"many strips", []testDir{stripDir(40, 50, 16, "Label")}, "", "40x50", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := plainXML
			x.images = tt.images
			f := philipsFile(x.String())
			f.dirs = append(f.dirs, tt.dirs...)
			s := f.open(t)
			for kind, want := range map[string]string{"label": tt.label, "macro": tt.macro} {
				got := ""
				p, err := s.ReadAssociated(kind)
				if err == nil {
					got = fmt.Sprintf("%dx%d", p.Width, p.Height)
					checkAssociated(t, p)
				} else if want != "" || err != ErrNoAssociated {
					t.Errorf("%s: %v", kind, err)
				}
				if got != want {
					t.Errorf("%s of %q, want %q", kind, got, want)
				}
			}
			if got, want := levelSizes(s), correctedSizes; got != want {
				t.Errorf("sizes %s, want %s", got, want)
			}
			if err := s.Check(); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// checkAssociated decodes the strips of an image.
func checkAssociated(t *testing.T, p *AssociatedImage) {
	t.Helper()
	rows := 0
	for i, b := range p.Strips {
		m, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Errorf("strip %d: %v", i, err)
			continue
		}
		if got := m.Bounds().Dx(); got != p.Width {
			t.Errorf("strip %d is %d wide, want %d", i, got, p.Width)
		}
		rows += m.Bounds().Dy()
	}
	if rows != p.Height {
		t.Errorf("strips of %d rows in all, want %d", rows, p.Height)
	}
}

// TestPhilipsDamagedPicture checks that a slide with a damaged label is readable, and that
// the error explains the damage.
func TestPhilipsDamagedPicture(t *testing.T) {
	f := philipsFile(plainXML.String())
	d := stripDir(40, 50, 50, "Label")
	d.data[0] = d.data[0][:len(d.data[0])/2]
	f.dirs = append(f.dirs, d)
	s := f.open(t)
	if diff := cmp.Diff([]string{"label"}, s.Associated()); diff != "" {
		t.Errorf("Associated (-want +got):\n%s", diff)
	}
	_, err := s.ReadAssociated("label")
	if e, ok := errors.AsType[*tiff.FormatError](err); !ok || e.Tag != tiff.TagStripOffsets {
		t.Errorf("ReadAssociated: got %v", err)
	}
	if _, err := s.AppendTile(nil, 0, 0, 0); err != nil {
		t.Errorf("AppendTile: %v", err)
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestPhilipsThumbnail(t *testing.T) {
	x := plainXML
	x.scan = attribute("PIM_DP_IMAGE_DATA", base64.StdEncoding.EncodeToString(testJPEG(50, 20, "small;")))
	s := philipsFile(x.String()).open(t)
	p, err := s.ReadAssociated("thumbnail")
	if err != nil || p.Width != 50 || p.Height != 20 {
		t.Errorf("thumbnail: %v", err)
	}
	for name, v := range s.Properties {
		if len(v) > 500 {
			t.Errorf("property %s has %d bytes", name, len(v))
		}
	}
}

func TestPhilipsICC(t *testing.T) {
	profile := make([]byte, 200)
	copy(profile[36:], "acsp")
	profile[199] = 9
	coded := base64.StdEncoding.EncodeToString(profile)
	tests := []struct {
		name, scan, root string
		tag              []byte
		want             []byte
		wantErr          bool
	}{
		{"none", "", "", nil, nil, false},
		{"XML of the scan", attribute("DICOM_ICCPROFILE", coded), "", nil, profile, false},
		{"XML of the root", "", attribute("DICOM_ICCPROFILE", coded), nil, profile, false},
		{"tag", "", "", profile, profile, false},
		{"damaged", "", "", make([]byte, 200), make([]byte, 200), false}, // as in the file
		{"no base64", attribute("DICOM_ICCPROFILE", "!"), "", nil, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := plainXML
			x.scan, x.more = tt.scan, tt.root
			f := philipsFile(x.String())
			if tt.tag != nil {
				f.dirs[0].fields[tiff.TagICCProfile] = tt.tag
			}
			got, err := f.open(t).ICC()
			if (err != nil) != tt.wantErr {
				t.Fatalf("ICC: error %v, want error %v", err, tt.wantErr)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("ICC: %d bytes, want %d", len(got), len(tt.want))
			}
		})
	}
}

// TestPhilipsSDK checks a file of the Philips Pathology SDK: without XML and Software,
// sparse, and with sizes padded to whole tiles. Nevertheless its zoom levels are its
// levels.
func TestPhilipsSDK(t *testing.T) {
	f := philipsFile("")
	for i := range f.dirs {
		delete(f.dirs[i].fields, tiff.TagSoftware)
		delete(f.dirs[i].fields, tiff.TagImageDescription)
	}
	f.dirs[0].data[8] = nil
	s := f.open(t)
	if s.Format != "generic" || levelSizes(s) != rawSizes {
		t.Errorf("%s %s, want generic %s", s.Format, levelSizes(s), rawSizes)
	}
	if _, err := s.AppendTile(nil, 0, 1, 1); err != ErrEmptyTile {
		t.Errorf("sparse tile: %v, want %v", err, ErrEmptyTile)
	}
	want := []Zoom{{56, 40, 1, 1, -1}, {112, 80, 2, 2, 2}, {224, 160, 4, 3, 1}, {448, 320, 7, 5, 0}}
	if diff := cmp.Diff(want, s.Zooms); diff != "" {
		t.Errorf("zooms (-want +got):\n%s", diff)
	}
}
