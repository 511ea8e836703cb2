package dicom

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A made is a small file: 3 × 2 uncompressed tiles of 4 × 4 pixels.
type made struct {
	syntax string
	d      Dataset
	pixels string // the element
	places [][2]int
	z      []string
}

func newMade() *made {
	m := &made{syntax: ExplicitLittleEndian}
	d := &m.d
	d.Set(ImageType, "ORIGINAL", "PRIMARY", "VOLUME", "NONE")
	d.Set(SOPClassUID, WholeSlide)
	d.Set(SOPInstanceUID, "1.2.3.4")
	d.Set(SeriesInstanceUID, "1.2.3")
	d.Set(NumberOfFrames, 6)
	d.Set(Rows, 4)
	d.Set(Columns, 4)
	d.Set(TotalPixelMatrixColumns, 11)
	d.Set(TotalPixelMatrixRows, 7)
	d.Set(SamplesPerPixel, 3)
	d.Set(PhotometricInterpretation, "RGB")
	d.Set(PlanarConfiguration, 0)
	d.Set(BitsAllocated, 8)
	d.Set(BitsStored, 8)
	d.Set(HighBit, 7)
	d.Set(PixelRepresentation, 0)
	d.Set(DimensionOrganizationType, "TILED_FULL")
	m.pixels = long(PixelData, "OB", 6*48, strings.Repeat("\x01\x02\x03", 6*16))
	return m
}

// items sets encapsulated frames of items without a table.
func (m *made) items(syntax string, items ...string) {
	m.syntax = syntax
	m.pixels = long(PixelData, "OB", no, mark(item, 0))
	for _, s := range items {
		m.pixels += mark(item, uint32(len(s))) + s
	}
	m.pixels += mark(sequenceDelimiter, 0)
}

// sparse sets the positions of the frames.
func (m *made) sparse(places ...[2]int) {
	m.d.Set(DimensionOrganizationType, "TILED_SPARSE")
	m.d.Set(NumberOfFrames, len(places))
	m.places = places
}

func (m *made) bytes() []byte {
	b := AppendDataset(appendPreamble(nil, "1.2.3.4", m.syntax), m.d)
	if m.places != nil {
		var items string
		for i, p := range m.places {
			position := short(columnPosition, "SL", string(appendNumber(nil, "SL", float64(p[0])))) +
				short(rowPosition, "SL", string(appendNumber(nil, "SL", float64(p[1]))))
			if m.z != nil {
				position = short(zOffset, "DS", m.z[i]) + position
			}
			group := long(planePositionSlideSequence, "SQ", uint32(8+len(position)), mark(item, uint32(len(position)))+position)
			items += mark(item, uint32(len(group))) + group
		}
		b = append(b, long(PerFrameFunctionalGroupsSequence, "SQ", uint32(len(items)), items)...)
	}
	return append(b, m.pixels...)
}

func (m *made) part() Part {
	b := m.bytes()
	return Part{R: bytes.NewReader(b), Size: int64(len(b))}
}

// sixJPEGs are JPEGs of the wrong size.
func sixJPEGs() []string { return strings.Split(strings.Repeat("\xff\xd8\xff\xd9 ", 6), " ")[:6] }

// hostileSeries are series with something wrong, and what [Open] or else [slide.Slide.Check] says.
var hostileSeries = []struct {
	name   string
	change func(m *made)
	want   error // a type or a value; nil for none
	text   string
}{
	{"none", func(*made) {}, nil, ""},
	{"no rows", func(m *made) { m.d.Set(Rows, 0) }, &tiff.FormatError{}, "expected 1 to 65535"},
	{"no columns", func(m *made) { m.d.Set(Columns) }, &tiff.FormatError{}, "expected 1 to 65535"},
	{"frames below zero", func(m *made) { m.d.Set(NumberOfFrames, -1) }, &tiff.FormatError{}, "-1"},
	{"2^31-1 frames", func(m *made) { m.d.Set(NumberOfFrames, 1<<31-1) }, &tiff.FormatError{}, "too short for"},
	{"2^31 frames", func(m *made) { m.d.Set(NumberOfFrames, 1<<31) }, &tiff.FormatError{}, "expected 1 to"},
	{"frames of no number", func(m *made) { m.d.Get(NumberOfFrames).Text = []string{"many"} }, &tiff.FormatError{}, "expected 1 to"},
	{"frames with a sign and spaces", func(m *made) { m.d.Get(NumberOfFrames).Text = []string{" +6 "} }, nil, ""},
	{"matrix of 2^32-1", func(m *made) { m.d.Set(TotalPixelMatrixColumns, 1<<32-1) }, &tiff.FormatError{}, "expected 1 to"},
	{"a huge matrix of tiny tiles", func(m *made) {
		m.sparse([2]int{1, 1})
		m.d.Set(Rows, 1)
		m.d.Set(Columns, 1)
		m.d.Set(TotalPixelMatrixColumns, 1<<31-1)
		m.d.Set(TotalPixelMatrixRows, 1<<31-1)
	}, &tiff.FormatError{}, "for a grid of 2147483647×2147483647"},
	{"too few frames", func(m *made) { m.d.Set(NumberOfFrames, 5) }, &tiff.FormatError{}, "no positions|5 frames"},
	{"focal planes", func(m *made) { m.d.Set(TotalPixelMatrixFocalPlanes, 3) }, &tiff.UnsupportedError{}, "focal planes"},
	{"twice as many frames", func(m *made) {
		m.d.Set(NumberOfFrames, 12)
		m.pixels = long(PixelData, "OB", 12*48, strings.Repeat("\x01", 12*48))
	}, &tiff.UnsupportedError{}, "focal planes"},
	{"optical paths", func(m *made) { m.d.Set(NumberOfOpticalPaths, 2) }, &tiff.UnsupportedError{}, "optical paths"},
	{"items of optical paths", func(m *made) { m.d.Set(OpticalPathSequence, Dataset{}, Dataset{}) }, &tiff.UnsupportedError{}, "optical paths"},
	{"another organization", func(m *made) { m.d.Set(DimensionOrganizationType, "3D") }, &tiff.UnsupportedError{}, `"3D"`},
	{"inverted", func(m *made) { m.d.Set(SamplesPerPixel, 1); m.d.Set(PhotometricInterpretation, "MONOCHROME1") }, &tiff.UnsupportedError{}, "MONOCHROME1"},
	{"palette", func(m *made) { m.d.Set(PhotometricInterpretation, "PALETTE COLOR") }, &tiff.UnsupportedError{}, "PALETTE COLOR"},
	{"one sample of RGB", func(m *made) { m.d.Set(SamplesPerPixel, 1) }, &tiff.FormatError{}, "1 samples"},
	{"16 bits", func(m *made) { m.d.Set(BitsAllocated, 16) }, &tiff.UnsupportedError{}, "16 bits"},
	{"12 bits", func(m *made) { m.d.Set(BitsStored, 12) }, &tiff.UnsupportedError{}, "12 bits"},
	{"signed", func(m *made) { m.d.Set(PixelRepresentation, 1) }, &tiff.UnsupportedError{}, "signed"},
	{"planar configuration", func(m *made) { m.d.Set(PlanarConfiguration, 7) }, &tiff.UnsupportedError{}, "configuration 7"},
	{"HTJ2K", func(m *made) { m.items("1.2.840.10008.1.2.4.201", sixJPEGs()...) }, &tiff.UnsupportedError{}, "High-Throughput JPEG 2000"},
	{"JPEG-LS", func(m *made) { m.items("1.2.840.10008.1.2.4.80", sixJPEGs()...) }, &tiff.UnsupportedError{}, "JPEG-LS"},
	{"JPEG XL", func(m *made) { m.items("1.2.840.10008.1.2.4.110", sixJPEGs()...) }, &tiff.UnsupportedError{}, "JPEG XL"},
	{"RLE", func(m *made) { m.items("1.2.840.10008.1.2.5", sixJPEGs()...) }, &tiff.UnsupportedError{}, "RLE"},
	{"another syntax", func(m *made) { m.items("1.2.3", sixJPEGs()...) }, &tiff.UnsupportedError{}, "1.2.3"},
	{"compressed pixels without items", func(m *made) { m.syntax = JPEGBaseline }, &tiff.FormatError{}, "have no items"},
	{"items of uncompressed pixels", func(m *made) { m.items(ExplicitLittleEndian, sixJPEGs()...) }, &tiff.FormatError{}, "have items"},
	{"too few pixels", func(m *made) { m.pixels = long(PixelData, "OB", 200, strings.Repeat("\x01", 200)) }, &tiff.FormatError{}, "200 bytes"},
	{"no pixels", func(m *made) { m.pixels = "" }, ErrTruncated, ""},
	{"pixels cut off", func(m *made) { m.pixels = m.pixels[:len(m.pixels)-1] }, ErrTruncated, ""},
	{"frames cut off", func(m *made) {
		m.items(JPEGBaseline, sixJPEGs()...)
		m.pixels = m.pixels[:len(m.pixels)-9]
	}, ErrTruncated, ""},
	{"delimiter cut off", func(m *made) {
		m.items(JPEGBaseline, sixJPEGs()...)
		m.pixels = m.pixels[:len(m.pixels)-8]
	}, ErrTruncated, ""},
	{"an item of 2 GiB", func(m *made) {
		m.syntax = JPEGBaseline
		m.pixels = long(PixelData, "OB", no, mark(item, 0)+mark(item, 1<<31)+strings.Repeat("\xff", 100))
	}, ErrTruncated, ""},
	{"only zeros", func(m *made) { m.pixels = long(PixelData, "OB", 6*48, strings.Repeat("\x00", 6*48)) }, &tiff.FormatError{}, "zeros"},
	{"frames of nothing", func(m *made) { m.items(JPEGBaseline, "", "", "", "", "", "") }, &tiff.FormatError{}, "no tile"},
	{"tiny JPEGs", func(m *made) { m.items(JPEGBaseline, sixJPEGs()...) }, &tiff.FormatError{}, "JPEG"},
	{"frames of something else", func(m *made) { m.items(JPEGBaseline, "ab", "cd", "ef", "gh", "ij", "kl") }, &tiff.FormatError{}, "FF D8"},
	{"JPEG 2000 of something else", func(m *made) { m.items(JPEG2000Lossy, "ab", "cd", "ef", "gh", "ij", "kl") }, &tiff.FormatError{}, "JPEG 2000"},
	{"too many items", func(m *made) { m.items(JPEGBaseline, make([]string, 1409)...) }, &tiff.FormatError{}, "more than 1408 items"},
	{"items that fit no frames", func(m *made) { m.items(JPEGBaseline, "ab", "cd", "ef", "gh", "ij", "kl", "mn") }, &tiff.FormatError{}, "7 items"},
	{"no items", func(m *made) {
		m.items(JPEGBaseline)
		m.pixels = long(PixelData, "OB", no, mark(sequenceDelimiter, 0)) + strings.Repeat("\x00", 64)
	}, &tiff.FormatError{}, "table of offsets"},
	{"sparse", func(m *made) { m.sparse([2]int{5, 1}, [2]int{1, 5}) }, nil, ""},
	{"off the grid", func(m *made) { m.sparse([2]int{5, 2}, [2]int{1, 5}) }, &tiff.UnsupportedError{}, "not on a grid"},
	{"at zero", func(m *made) { m.sparse([2]int{5, 1}, [2]int{0, 5}) }, &tiff.UnsupportedError{}, "not on a grid"},
	{"outside", func(m *made) { m.sparse([2]int{5, 1}, [2]int{13, 1}) }, &tiff.FormatError{}, "outside"},
	{"twice at a place", func(m *made) { m.sparse([2]int{5, 1}, [2]int{5, 1}) }, &tiff.FormatError{}, "same place"},
	{"two focal planes", func(m *made) { m.sparse([2]int{5, 1}, [2]int{5, 1}); m.z = []string{"0 ", "1."} }, &tiff.UnsupportedError{}, "focal planes"},
	{"more positions", func(m *made) { m.sparse([2]int{5, 1}, [2]int{1, 5}); m.d.Set(NumberOfFrames, 1) }, &tiff.FormatError{}, "more than its 1 frames"},
	{"fewer positions", func(m *made) { m.sparse([2]int{5, 1}, [2]int{1, 5}); m.d.Set(NumberOfFrames, 3) }, &tiff.FormatError{}, "2 of its 3 frames"},
	{"another class", func(m *made) { m.d.Set(SOPClassUID, "1.2.3") }, &tiff.UnsupportedError{}, `"1.2.3"`},
	{"only a label", func(m *made) { m.d.Set(ImageType, "ORIGINAL", "PRIMARY", "LABEL", "NONE") }, &tiff.UnsupportedError{}, "VOLUME"},
	{"spacing of zero", func(m *made) { setShared(&m.d, nil, spaced("0")) }, nil, ""},
	{"spacing of no number", func(m *made) { setShared(&m.d, nil, spaced("NaN")) }, nil, ""},
	{"concatenation", func(m *made) { m.d.Set(ConcatenationUID, "1.2"); m.d.Set(InConcatenationTotalNumber, 2) }, ErrTruncated, "1 of the 2 parts"},
}

func spaced(v string) Dataset {
	return Dataset{{Tag: PixelSpacing, VR: "DS", Text: []string{v, v}}}
}

func TestOpenHostile(t *testing.T) {
	t.Parallel()
	for _, tt := range hostileSeries {
		m := newMade()
		tt.change(m)
		s, err := Open([]Part{m.part()})
		if err == nil {
			err = s.Check()
		}
		if err == nil && s.MPPX != 0 {
			t.Errorf("%s: %v µm", tt.name, s.MPPX)
		}
		checkError(t, tt.name, err, tt.want, tt.text)
	}
}

func checkError(t *testing.T, name string, err, want error, text string) {
	t.Helper()
	var format *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	ok := errors.Is(err, want)
	switch want.(type) {
	case *tiff.FormatError:
		ok = errors.As(err, &format)
	case *tiff.UnsupportedError:
		ok = errors.As(err, &unsupported)
	}
	if !ok || err != nil && !containsOne(err.Error(), text) {
		t.Errorf("%s: %v, want %T %q", name, err, want, text)
	}
}

func containsOne(s, texts string) bool {
	for text := range strings.SplitSeq(texts, "|") {
		if strings.Contains(s, text) {
			return true
		}
	}
	return false
}

// TestOpenSeveral opens instances that belong together, or do not.
func TestOpenSeveral(t *testing.T) {
	t.Parallel()
	with := func(change func(m *made)) Part {
		m := newMade()
		change(m)
		return m.part()
	}
	uid := func(uid string) func(m *made) { return func(m *made) { m.d.Set(SOPInstanceUID, uid) } }
	same := with(func(*made) {})
	half := func(change func(m *made)) Part {
		return with(func(m *made) {
			uid("1.2.3.5")(m)
			m.d.Set(TotalPixelMatrixColumns, 6)
			m.d.Set(TotalPixelMatrixRows, 4)
			m.d.Set(NumberOfFrames, 2)
			change(m)
		})
	}
	concatenated := func(n int, change func(m *made)) Part {
		return with(func(m *made) {
			uid("1.2.3." + string(rune('0'+n)))(m)
			m.d.Set(ConcatenationUID, "1.2")
			m.d.Set(InConcatenationNumber, n)
			m.d.Set(NumberOfFrames, 3)
			m.d.Set(ConcatenationFrameOffsetNumber, 3*(n-1))
			change(m)
		})
	}
	plain := func(*made) {}
	for _, tt := range []struct {
		name  string
		parts []Part
		want  error
		text  string
	}{
		{"an instance twice", []Part{same, same}, nil, ""},
		{"two levels", []Part{half(plain), same}, nil, ""},
		{"another class beside", []Part{with(func(m *made) { m.d.Set(SOPClassUID, "1.2.3") }), same}, nil, ""},
		{"two of a size", []Part{same, with(uid("1.2.3.5"))}, &tiff.UnsupportedError{}, "two images of 11×7 pixels"},
		{"two series", []Part{same, half(func(m *made) { m.d.Set(SeriesInstanceUID, "1.2.4") })}, &tiff.UnsupportedError{}, "several series"},
		{"a smaller level of another kind", []Part{same, half(func(m *made) { m.d.Set(BitsAllocated, 16) })}, nil, ""},
		{"a larger level of another kind", []Part{half(plain), with(func(m *made) { m.d.Set(BitsAllocated, 16) })}, &tiff.UnsupportedError{}, "16 bits"},
		{"a damaged smaller level", []Part{same, half(func(m *made) { m.d.Set(Rows, 0) })}, &tiff.FormatError{}, "expected"},
		{"a concatenation", []Part{concatenated(2, plain), concatenated(1, plain)}, nil, ""},
		{"parts of different sizes", []Part{concatenated(1, plain), concatenated(2, func(m *made) { m.d.Set(Rows, 2) })}, &tiff.FormatError{}, "different sizes"},
		{"a part twice", []Part{concatenated(1, plain), concatenated(2, plain), concatenated(3, func(m *made) { m.d.Set(InConcatenationNumber, 2) })}, &tiff.FormatError{}, "twice"},
		{"the first part is missing", []Part{concatenated(2, plain), concatenated(3, plain)}, ErrTruncated, "1 of the 3 parts"},
		{"a gap", []Part{concatenated(1, plain), concatenated(2, func(m *made) { m.d.Set(ConcatenationFrameOffsetNumber, 4) })}, &tiff.FormatError{}, "does not follow"},
		{"no file", nil, &tiff.UnsupportedError{}, ""},
		{"not DICOM", []Part{{R: strings.NewReader("x"), Size: 1}}, ErrNotDICOM, ""},
	} {
		s, err := Open(tt.parts)
		if err == nil {
			err = s.Check()
		}
		checkError(t, tt.name, err, tt.want, tt.text)
	}
	s, err := Open([]Part{half(plain), same})
	if err != nil || len(s.Levels) != 2 || s.Levels[1].Downsample != 2 {
		t.Errorf("%v %v, want a level of half the size", s, err)
	}
	label := half(func(m *made) { m.d.Set(ImageType, "ORIGINAL", "PRIMARY", "LABEL", "NONE") })
	s, err = Open([]Part{same, label})
	if err != nil || len(s.Levels) != 1 || len(s.Associated()) != 1 || s.Associated()[0] != "label" {
		t.Fatalf("%v %v, want a label", s, err)
	}
	if p, err := s.ReadAssociated("label"); err != nil || len(p.Strips) != 2 || p.TileWidth != 4 || len(p.Strips[0]) != 48 {
		t.Errorf("a label of two tiles: %+v %v", p, err)
	}
}

// TestPaddedLevels has levels that are padded to whole tiles, as only the spacing of their pixels
// reveals.
func TestPaddedLevels(t *testing.T) {
	t.Parallel()
	level := func(uid string, w, h int, spacing string) Part {
		m := newMade()
		m.d.Set(SOPInstanceUID, uid)
		m.d.Set(TotalPixelMatrixColumns, w)
		m.d.Set(TotalPixelMatrixRows, h)
		m.d.Set(NumberOfFrames, ceilDiv(w, 4)*ceilDiv(h, 4))
		m.pixels = long(PixelData, "OB", 10000, strings.Repeat("\x01\x02", 5000))
		setShared(&m.d, nil, spaced(spacing))
		return m.part()
	}
	for _, tt := range []struct {
		name          string
		width, height int
		spacing       string
		want          slide.Level
	}{
		{"exact", 24, 16, "0.0004", slide.Level{Width: 24, Height: 16, Downsample: 2}},
		{"padded", 8, 4, "0.0016", slide.Level{Width: 6, Height: 4, Downsample: 8}},
		{"no power", 16, 12, "0.0006", slide.Level{Width: 16, Height: 12, Downsample: 3}},
		{"wrong spacing", 24, 16, "0.0002", slide.Level{Width: 24, Height: 16, Downsample: 2}},
		{"far too large", 24, 16, "0.0032", slide.Level{Width: 24, Height: 16, Downsample: 2}},
	} {
		s, err := Open([]Part{level("1.1", 48, 32, "0.0002"), level("1.2", tt.width, tt.height, tt.spacing)})
		if err != nil {
			t.Fatal(err)
		}
		l := s.Levels[1]
		if got := (slide.Level{Width: l.Width, Height: l.Height, Downsample: l.Downsample}); got.Width != tt.want.Width || got.Height != tt.want.Height || got.Downsample != tt.want.Downsample {
			t.Errorf("%s: %d × %d, %v", tt.name, l.Width, l.Height, l.Downsample)
		}
	}
}

// FuzzOpen opens its input as a series of one file and reads everything in it.
func FuzzOpen(f *testing.F) {
	for _, tt := range hostileSeries {
		m := newMade()
		tt.change(m)
		f.Add(m.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Open([]Part{{R: bytes.NewReader(b), Size: int64(len(b))}})
		if err != nil {
			return
		}
		checked := s.Check() == nil
		for level := range s.Levels {
			l := &s.Levels[level]
			for i := range min(l.Columns*l.Rows, 64) {
				b, err := s.AppendTile([]byte("xy"), level, i%l.Columns, i/l.Columns)
				if string(b[:2]) != "xy" || err != nil && len(b) != 2 {
					t.Fatalf("%q after %v", b, err)
				}
				if n := s.TileBytes(level, i%l.Columns, i/l.Columns); err == nil && int64(len(b)-2) > n {
					t.Fatalf("%d bytes, said to be at most %d (checked %v)", len(b)-2, n, checked)
				}
			}
		}
		for _, kind := range s.Associated() {
			_, _ = s.ReadAssociated(kind)
		}
		if _, err := s.Fingerprint(); err != nil {
			t.Fatal(err)
		}
		_, _ = s.ICC()
	})
}
