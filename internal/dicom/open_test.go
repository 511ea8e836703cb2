package dicom

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/slide"
)

// parts reads the files of a folder, in reverse order of their names.
func parts(t testing.TB, dir string) []Part {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []Part
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append([]Part{{Name: f.Name(), R: bytes.NewReader(b), Size: int64(len(b))}}, all...)
	}
	return all
}

// exported returns the files of a series.
func exported(t testing.TB, d *Series) []Part {
	t.Helper()
	dir := t.TempDir()
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	return parts(t, dir)
}

// A picture is what a slide is compared by.
type picture struct {
	Levels     []slide.Level
	Associated []string
	MPPX, MPPY float64
	Power      float64
	Barcode    string
}

func pictureOf(s *slide.Slide) picture {
	return picture{s.Levels, s.Associated(), s.MPPX, s.MPPY, s.ObjectivePower, s.Barcode}
}

// TestOpenExport opens an exported series: a slide with the same levels and the same bytes.
func TestOpenExport(t *testing.T) {
	t.Parallel()
	for _, extended := range []bool{false, true} {
		s := write(t, philips)
		d := newSeries(t, s, everything())
		d.extended = extended
		got, err := Open(exported(t, d))
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pictureOf(s), pictureOf(got)); diff != "" {
			t.Errorf("extended %v: (-exported +opened)\n%s", extended, diff)
		}
		for level := range s.Levels {
			sameTiles(t, d, got, level)
		}
		for _, kind := range s.Associated() {
			want, err := s.ReadAssociated(kind)
			if err != nil {
				t.Fatal(err)
			}
			p, err := got.ReadAssociated(kind)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.JPEG(), p.JPEG()) || int64(len(p.JPEG())) > got.AssociatedCost(kind) {
				t.Errorf("%s: other bytes, or a cost of %d", kind, got.AssociatedCost(kind))
			}
		}
		if icc, err := got.ICC(); err != nil || !bytes.Equal(icc, sRGBProfile()) {
			t.Errorf("a profile of %d bytes and %v", len(icc), err)
		}
		if got.Format != "dicom" || got.Vendor != s.Vendor || got.IsPyramid() || got.Cropped() || len(got.Zooms) != len(s.Zooms) {
			t.Errorf("format %q, vendor %q, %d zoom levels", got.Format, got.Vendor, len(got.Zooms))
		}
	}
}

// sameTiles compares the tiles of a level with the frames of its instance, which have the
// background in place of skipped tiles.
func sameTiles(t *testing.T, d *Series, s *slide.Slide, level int) {
	t.Helper()
	in, l := d.Instances[level], &s.Levels[level]
	var want, got []byte
	for n := range in.Frames() {
		var err error
		if want, err = in.AppendFrame(t.Context(), want[:0], n); err != nil {
			t.Fatal(err)
		}
		if got, err = s.AppendTile(got[:0], level, n%l.Columns, n/l.Columns); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("level %d frame %d: %d bytes, want %d", level, n, len(got), len(want))
		}
		if most := s.TileBytes(level, n%l.Columns, n/l.Columns); most < int64(len(got)) || most > int64(len(got))+1 {
			t.Errorf("level %d frame %d: at most %d bytes, but it has %d", level, n, most, len(got))
		}
	}
	if _, err := s.AppendTile(nil, level, l.Columns, 0); !errors.Is(err, slide.ErrNoTile) {
		t.Errorf("a tile outside of the level: %v", err)
	}
}

func TestFingerprintOfSeries(t *testing.T) {
	t.Parallel()
	sum := func(o Options, change func([]Part) []Part) string {
		s, err := Open(change(exported(t, newSeries(t, write(t, philips), o))))
		if err != nil {
			t.Fatal(err)
		}
		sum, err := s.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sum)
	}
	as := func(p []Part) []Part { return p }
	one := sum(everything(), as)
	if again := sum(everything(), func(p []Part) []Part { return append(p[1:], p[0], p[1]) }); again != one {
		t.Errorf("%s in another order, %s before", again, one)
	}
	if other := sum(Options{ID: "im2"}, as); other == one {
		t.Errorf("%s of another image, too", other)
	}
}

// largeSeries has three levels, the largest with 320 × 320 frames, and a basic table of each.
func largeSeries() []Part {
	var all []Part
	frame := strings.Repeat("\xff", 200)
	for k, n := range []int{320, 160, 80} {
		m := newMade()
		m.syntax = JPEGBaseline
		m.d.Set(SOPInstanceUID, fmt.Sprintf("1.2.3.%d", k+1))
		m.d.Set(PhotometricInterpretation, "YBR_FULL_422")
		m.d.Set(NumberOfFrames, n*n)
		m.d.Set(Rows, 256)
		m.d.Set(Columns, 256)
		m.d.Set(TotalPixelMatrixColumns, 256*n)
		m.d.Set(TotalPixelMatrixRows, 256*n)
		m.d.Set(OpticalPathSequence, Dataset{{Tag: ICCProfile, VR: "OB", Bytes: make([]byte, 500_000)}})
		var b strings.Builder
		b.WriteString(long(PixelData, "OB", no, mark(item, uint32(4*n*n))))
		for i := range n * n {
			b.Write(binary.LittleEndian.AppendUint32(nil, uint32(i*(itemHeader+len(frame)))))
		}
		for range n * n {
			b.WriteString(mark(item, uint32(len(frame))) + frame)
		}
		m.pixels = b.String() + mark(sequenceDelimiter, 0)
		all = append(all, m.part())
	}
	return all
}

// BenchmarkOpen opens a series of a large slide, as for its first tile.
func BenchmarkOpen(b *testing.B) {
	all := largeSeries()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(all); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstFrame also reads the table of the largest level, and one frame.
func BenchmarkFirstFrame(b *testing.B) {
	all := largeSeries()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(all)
		if err != nil {
			b.Fatal(err)
		}
		if n := s.TileBytes(0, 100, 100); n != 200 {
			b.Fatal(n)
		}
	}
}

// TestExportAgain describes the slide of a series as DICOM: what the scanner wrote is the same.
func TestExportAgain(t *testing.T) {
	t.Parallel()
	d := newSeries(t, write(t, philips), everything())
	s, err := Open(exported(t, d))
	if err != nil {
		t.Fatal(err)
	}
	again := newSeries(t, s, everything())
	if len(again.Instances) != len(d.Instances) {
		t.Fatalf("%d instances, want %d", len(again.Instances), len(d.Instances))
	}
	for i, in := range d.Instances {
		for _, tag := range []Tag{
			Manufacturer, ManufacturerModelName, DeviceSerialNumber, SoftwareVersions, AcquisitionDateTime, StudyDate, ImageType, Rows, Columns,
			TotalPixelMatrixColumns, TotalPixelMatrixRows, PhotometricInterpretation, SharedFunctionalGroupsSequence, BarcodeValue,
		} {
			if diff := cmp.Diff(in.Attributes.Get(tag), again.Instances[i].Attributes.Get(tag)); diff != "" {
				t.Errorf("instance %d, %v: (-first +again)\n%s", i, tag, diff)
			}
		}
	}
}
