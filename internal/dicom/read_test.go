package dicom

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/tiff"
)

func readBytes(b []byte) (*File, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func readFile(t *testing.T, path string) (*File, []byte, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := readBytes(b)
	return f, b, err
}

// TestReadExport reads exports: attributes and frames are those that were written.
func TestReadExport(t *testing.T) {
	t.Parallel()
	small := philips
	small.Width, small.Height = 300, 200
	for _, extended := range []bool{false, true} {
		d, dir := newSeries(t, write(t, small), everything()), t.TempDir()
		d.extended = extended
		if err := d.Export(t.Context(), dir, nil); err != nil {
			t.Fatal(err)
		}
		for _, in := range d.Instances {
			f, b, err := readFile(t, filepath.Join(dir, in.UID+".dcm"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(in.Attributes, f.Data); diff != "" {
				t.Error(diff)
			}
			if f.TransferSyntax != in.TransferSyntax || f.Meta.Text(MediaStorageSOPInstanceUID) != in.UID || f.PixelLength != -1 {
				t.Errorf("%v", f)
			}
			if want := int64(8 * in.Frames()); extended && (f.ExtendedOffsets.Length != want || f.ExtendedLengths.Length != want) {
				t.Errorf("extended table %v %v, want %d bytes", f.ExtendedOffsets, f.ExtendedLengths, want)
			}
			checkFragments(t, in, f, b)
		}
	}
}

func checkFragments(t *testing.T, in *Instance, f *File, b []byte) {
	t.Helper()
	n := -1
	err := f.Fragments(bytes.NewReader(b), int64(len(b)), func(e Extent) bool {
		if n >= 0 {
			want, err := in.AppendFrame(t.Context(), nil, n)
			if err != nil {
				t.Fatal(err)
			}
			if got := b[e.Offset : e.Offset+e.Length]; !bytes.HasPrefix(got, want) || len(got)-len(want) > 1 {
				t.Errorf("frame %d differs", n)
			}
		}
		n++
		return true
	})
	if err != nil || n != in.Frames() {
		t.Errorf("%d frames and %v, want %d", n, err, in.Frames())
	}
}

// variants writes files in all ways that a data set can be written in.
const variants = `
import sys, subprocess, pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import *
out = sys.argv[1]

def item(**kw):
	d = Dataset()
	for k, v in kw.items(): setattr(d, k, v)
	return d

def make(frames, charset="ISO_IR 192"):
	d = Dataset()
	d.SpecificCharacterSet = charset
	d.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
	d.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
	d.SOPInstanceUID = "1.2.3.4"
	d.SeriesInstanceUID = "1.2.3"
	d.StudyInstanceUID = "1.2"
	d.PatientName = "Müller^Änne" if charset != "ISO_IR 144" else "Люкceмбypг"
	d.PatientID = ""
	d.Manufacturer = " spaces "
	d.SoftwareVersions = ["1.6", "4.0.3"]
	d.ReferencedImageSequence = Sequence([item(ReferencedSOPClassUID="1.2.3", ReferencedSOPInstanceUID="1.2.3.77")])
	d.AcquisitionContextSequence = Sequence([])
	d.add_new(0x00091001, "LO", "private"); d.add_new(0x00090010, "LO", "ME")
	d.add_new(0x00091002, "SQ", Sequence([item(PatientID="private")]))
	d.NumberOfFrames = frames
	d.Rows = d.Columns = 4
	d.SamplesPerPixel = 1
	d.PhotometricInterpretation = "MONOCHROME2"
	d.BitsAllocated = d.BitsStored = 8
	d.HighBit = 7
	d.PixelRepresentation = 0
	d.ImagedVolumeWidth = 1.5
	d.TotalPixelMatrixColumns = 16
	d.TotalPixelMatrixRows = 12
	d.LabelText = "a\\b"
	d.PresentationLUTShape = "IDENTITY"
	d.DimensionIndexSequence = Sequence([item(DimensionIndexPointer=0x0048021F, FunctionalGroupPointer=0x0048021A)])
	d.OpticalPathSequence = Sequence([item(OpticalPathIdentifier="1", ICCProfile=bytes(range(200)))])
	d.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.00025, 0.0005], SliceThickness=1)]))])
	per = []
	for i in range(frames):
		per.append(item(
			FrameContentSequence=Sequence([item(DimensionIndexValues=[i // 4 + 1, i % 4 + 1])]),
			PlanePositionSlideSequence=Sequence([item(RowPositionInTotalImagePixelMatrix=i // 4 * 4 + 1, ColumnPositionInTotalImagePixelMatrix=i % 4 * 4 + 1,
				XOffsetInSlideCoordinateSystem=1, YOffsetInSlideCoordinateSystem=2, ZOffsetInSlideCoordinateSystem=1.5)]),
			OpticalPathIdentificationSequence=Sequence([item(OpticalPathIdentifier="1")])))
	d.PerFrameFunctionalGroupsSequence = Sequence(per)
	return d

def save(d, name, syntax, frames):
	d.file_meta = FileMetaDataset()
	d.file_meta.TransferSyntaxUID = syntax
	d.is_little_endian, d.is_implicit_VR = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
	if syntax.is_encapsulated:
		d["PixelData"].is_undefined_length = True
	d.save_as(out + "/" + name + ".dcm", write_like_original=False)

raw = [bytes([i]) * 16 for i in range(12)]
for name, syntax in {"explicit": ExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian, "bigendian": ExplicitVRBigEndian, "deflated": DeflatedExplicitVRLittleEndian}.items():
	d = make(12)
	d.PixelData = b"".join(raw)
	d["PixelData"].VR = "OB"
	save(d, name, syntax, 12)
for name, data in {"table": encapsulate(raw), "notable": encapsulate(raw, has_bot=False), "fragments": encapsulate(raw, fragments_per_frame=3)}.items():
	d = make(12)
	d.PixelData = data
	save(d, name, JPEGBaseline8Bit, 12)
d = make(12)
d.PixelData, d.ExtendedOffsetTable, d.ExtendedOffsetTableLengths = encapsulate_extended(raw)
save(d, "extended", JPEGBaseline8Bit, 12)
for charset in ["ISO_IR 100", "ISO_IR 144", "GB18030"]:
	d = make(12, charset)
	d.PixelData = b"".join(raw)
	d["PixelData"].VR = "OB"
	save(d, charset.replace(" ", ""), ExplicitVRLittleEndian, 12)

for name, options in {"undefined": ["-e"], "lengths": ["+e"], "undefinedimplicit": ["-e", "+ti"], "lengthsimplicit": ["+e", "+ti"], "padded": ["+p", "512", "64"], "grouplengths": ["+g"]}.items():
	subprocess.run(["dcmconv", *options, out + "/explicit.dcm", out + "/" + name + ".dcm"], check=True)
`

// TestReadVariants reads what pydicom and dcmtk write: all variants of a file have the same
// attributes and positions, which are those that pydicom reads.
func TestReadVariants(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := os.Stat("/usr/lib/python3/dist-packages/pydicom"); err != nil {
		t.Skip("no Python with pydicom (Debian: python3-pydicom)")
	}
	if _, err := exec.LookPath("dcmconv"); err != nil {
		t.Skip("no dcmconv (Debian: dcmtk)")
	}
	if b, err := exec.Command("/usr/bin/python3", "-c", variants, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	first, _, err := readFile(t, filepath.Join(dir, "explicit.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	checkAttributes(t, filepath.Join(dir, "explicit.dcm"), first.Data)
	files, err := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if err != nil || len(files) != 17 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".dcm")
		f, b, err := readFile(t, path)
		if name == "bigendian" || name == "deflated" {
			var unsupported *tiff.UnsupportedError
			if !errors.As(err, &unsupported) {
				t.Errorf("%s: %v, want an UnsupportedError", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := first.Data
		if strings.HasPrefix(name, "ISO") || name == "GB18030" {
			want = append(Dataset(nil), want...)
			want.Get(SpecificCharacterSet).Text = f.Data.Get(SpecificCharacterSet).Text
			want.Get(PatientName).Text = []string{map[string]string{"ISO_IR144": "Люкceмбypг"}[name]}
			if name != "ISO_IR144" {
				want.Get(PatientName).Text = []string{"Müller^Änne"}
			}
		}
		if diff := cmp.Diff(want, f.Data, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		checkPositions(t, name, f, b)
		checkTruncated(t, name, b)
	}
}

// checkAttributes compares attributes with those that pydicom reads.
func checkAttributes(t *testing.T, path string, d Dataset) {
	t.Helper()
	const script = `import json, sys, pydicom
def same(v):
	for t, e in list(v.items()):
		if e.get("Value") == [] or e.get("Value") == [""]: del e["Value"]
		if e["vr"] == "SQ": [same(i) for i in e.get("Value", [])]
		if int(t[:4], 16) % 2 or t in ("7FE00010", "52009230"): del v[t]
	return v
json.dump(same(pydicom.dcmread(sys.argv[1]).to_json_dict()), sys.stdout)`
	text, err := exec.Command("/usr/bin/python3", "-c", script, path).Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := errors.Join(json.Unmarshal(ours, &got), json.Unmarshal(text, &want)); err != nil {
		t.Fatal(err)
	}
	// pydicom keeps the leading space.
	got["00080070"] = want["00080070"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// checkPositions checks the places of twelve frames.
func checkPositions(t *testing.T, name string, f *File, b []byte) {
	t.Helper()
	n := 0
	for got, err := range f.Positions(bytes.NewReader(b), int64(len(b))) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := Position{
			Column: int64(n%4*4 + 1), Row: int64(n/4*4 + 1), Z: 1.5, OpticalPath: "1",
			Index: []uint32{uint32(n/4 + 1), uint32(n%4 + 1)},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: frame %d: %s", name, n, diff)
		}
		n++
	}
	if n != 12 {
		t.Errorf("%s: %d positions, want 12", name, n)
	}
	for range f.Positions(bytes.NewReader(b), int64(len(b))) {
		break
	}
}

// checkTruncated reads beginnings of a file, and ones whose rest is zero.
func checkTruncated(t *testing.T, name string, b []byte) {
	t.Helper()
	end := len(b)
	if f, err := readBytes(b); err == nil && f.PixelLength > 0 {
		end = int(f.Pixels + f.PixelLength) // what is behind the pixels is not needed
	}
	for n := 132; n < end; n += 5 + n%13 {
		if _, err := readBytes(b[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%s: %d of %d bytes: %v", name, n, end, err)
		}
	}
}

// encode makes a file of elements in explicit VR.
func encode(syntax string, elements ...string) []byte {
	b := bytes.Replace(appendPreamble(nil, "1.2.3", syntax), []byte(WholeSlide), []byte("1.2.840.10008.5.1.4.1.1.77.1.5"), 1)
	for _, e := range elements {
		b = append(b, e...)
	}
	return b
}

// long makes an element with a length of 32 bits.
func long(t Tag, vr VR, length uint32, value string) string {
	b := appendLong(nil, t, vr, 0)
	binary.LittleEndian.PutUint32(b[len(b)-4:], length)
	return string(b) + value
}

// short makes an element with a length of 16 bits.
func short(t Tag, vr VR, value string) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(t>>16))
	b = append(binary.LittleEndian.AppendUint16(b, uint16(t)), vr...)
	return string(binary.LittleEndian.AppendUint16(b, uint16(len(value)))) + value
}

// mark makes an item or a delimiter.
func mark(t Tag, length uint32) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(t>>16))
	b = binary.LittleEndian.AppendUint16(b, uint16(t))
	return string(binary.LittleEndian.AppendUint32(b, length))
}

const no = undefined

// hostile are files of other origins, and damaged ones.
func hostile() map[string][]byte {
	const seq = ReferencedSeries
	nested := func(n int) string {
		return strings.Repeat(long(seq, "SQ", no, mark(item, no)), n) + strings.Repeat(mark(itemDelimiter, 0)+mark(sequenceDelimiter, 0), n)
	}
	ex := ExplicitLittleEndian
	big := encode(ex, short(SOPInstanceUID, "UI", "1.2.3\x00"))
	return map[string][]byte{
		"plain":                  big,
		"unknown UN":             encode(ex, long(0x00480FF0, "UN", no, mark(item, no)+mark(PatientID, 2)+"ab"+mark(itemDelimiter, 0)+mark(sequenceDelimiter, 0))),
		"known UN":               encode(ex, long(PatientID, "UN", 4, "ab  ")),
		"UN of a known sequence": encode(ex, long(seq, "UN", 18, mark(item, 10)+mark(PatientID, 2)+"ab")),
		"32 sequences":           encode(ex, nested(32)),
		"33 sequences":           encode(ex, nested(33)),
		"20000 sequences":        encode(ex, nested(20000)),
		"private sequences":      encode(ex, strings.Repeat(long(0x00111010, "SQ", no, mark(item, no)), 20000)),
		"twice":                  encode(ex, short(PatientID, "LO", "ab"), short(PatientID, "LO", "cd")),
		"not in order":           encode(ex, short(PatientID, "LO", "ab"), short(SOPInstanceUID, "UI", "1.2.3\x00")),
		"no VR":                  encode(ex, "\x10\x00\x20\x00??\x02\x00ab"),
		"later VR":               encode(ex, long(0x00480FF0, "ZZ", 2, "ab")),
		"zeros":                  encode(ex, strings.Repeat("\x00", 64)),
		"odd number":             encode(ex, short(Rows, "US", "abc")),
		"delimiter":              encode(ex, mark(itemDelimiter, 0)),
		"item":                   encode(ex, mark(item, no)),
		"no items":               encode(ex, long(seq, "SQ", 10, short(PatientID, "LO", "ab"))),
		"item beyond sequence":   encode(ex, long(seq, "SQ", 18, mark(item, 11)+short(PatientID, "LO", "ab")), short(0x00400555, "SH", "abcd")),
		"value beyond item":      encode(ex, long(seq, "SQ", 18, mark(item, 10)+"\x10\x00\x20\x00LO\x04\x00ab"), short(0x00400555, "SH", "abcd")),
		"text without length":    encode(ex, long(LabelText, "UT", no, "ab"), short(0x22000010, "SH", "abcd")),
		"2 GiB":                  encode(ex, long(ICCProfile, "OB", 1<<31, "ab")),
		"icon":                   encode(ex, long(0x00880200, "SQ", no, mark(item, no)+long(PixelData, "OB", no, mark(item, 2)+"ab"+mark(sequenceDelimiter, 0))+mark(itemDelimiter, 0)+mark(sequenceDelimiter, 0))),
		"pixels of elements":     encode(JPEGBaseline, long(PixelData, "OB", no, short(PatientID, "LO", "ab"))),
		"endless fragment":       encode(JPEGBaseline, long(PixelData, "OB", no, mark(item, no))),
		"no syntax":              append(make([]byte, 128), "DICM"+short(MediaStorageSOPInstanceUID, "UI", "1.2.")+short(PatientID, "LO", "ab")...),
		"not DICOM":              make([]byte, 200),
		"empty":                  nil,
	}
}

// ReferencedSeries is any sequence of the dictionary.
const ReferencedSeries Tag = 0x00081115

// TestReadHostile reads files that are odd or damaged.
func TestReadHostile(t *testing.T) {
	t.Parallel()
	format, unsupported := new(tiff.FormatError), new(tiff.UnsupportedError)
	for name, want := range map[string]any{
		"plain":                  `{"00080018":{"vr":"UI","Value":["1.2.3"]}}`,
		"unknown UN":             `{"00480FF0":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["ab"]}}]}}`,
		"known UN":               `{"00100020":{"vr":"LO","Value":["ab"]}}`,
		"UN of a known sequence": `{"00081115":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["ab"]}}]}}`,
		"32 sequences":           "", "33 sequences": unsupported, "20000 sequences": unsupported, "private sequences": unsupported,
		"twice": format, "not in order": `{"00080018":{"vr":"UI","Value":["1.2.3"]},"00100020":{"vr":"LO","Value":["ab"]}}`,
		"no VR": format, "later VR": `{"00480FF0":{"vr":"UN","InlineBinary":"YWI="}}`, "zeros": ErrTruncated, "odd number": format,
		"delimiter": format, "item": format, "no items": format, "item beyond sequence": format, "value beyond item": format,
		"text without length": format, "2 GiB": ErrTruncated, "icon": `{"00880200":{"vr":"SQ","Value":[{}]}}`,
		"pixels of elements": format, "endless fragment": format, "no syntax": format, "not DICOM": ErrNotDICOM, "empty": ErrNotDICOM,
	} {
		f, err := readBytes(hostile()[name])
		switch want := want.(type) {
		case string:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if got, err := json.Marshal(f.Data); err != nil || want != "" && string(got) != want {
				t.Errorf("%s: %s %v, want %s", name, got, err, want)
			}
		case *tiff.FormatError:
			if !errors.As(err, &want) {
				t.Errorf("%s: %v, want a FormatError", name, err)
			}
		case *tiff.UnsupportedError:
			if !errors.As(err, &want) {
				t.Errorf("%s: %v, want an UnsupportedError", name, err)
			}
		case error:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
}

// TestReadLimits reads files whose values or elements are more than is kept.
func TestReadLimits(t *testing.T) {
	t.Parallel()
	const seq = ReferencedSeries
	items := strings.Repeat(mark(item, 0), maxItems+1)
	for name, b := range map[string][]byte{
		"items":    encode(ExplicitLittleEndian, long(seq, "SQ", uint32(len(items)), items)),
		"elements": encode(ExplicitLittleEndian, strings.Repeat(short(PatientID, "LO", ""), maxElements+1)),
		"values":   encode(ExplicitLittleEndian, long(ICCProfile, "OB", maxValues+2, strings.Repeat("a", maxValues+2))),
		"texts":    encode(ExplicitLittleEndian, long(LabelText, "UC", maxValues/15, strings.Repeat(`\`, maxValues/15))),
		"numbers":  encode(ExplicitLittleEndian, strings.Repeat(short(Rows, "US", strings.Repeat("a", 65534)), maxValues/65534/4+1)),
	} {
		_, err := readBytes(b)
		var unsupported *UnsupportedError
		if !errors.As(err, &unsupported) {
			t.Errorf("%s: %v, want an UnsupportedError", name, err)
		}
	}
}

// A counter counts reads.
type counter struct {
	io.ReaderAt
	n int
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	c.n++
	return c.ReaderAt.ReadAt(b, at)
}

// TestReadFew checks that a file is read at once, whatever the number of its frames.
func TestReadFew(t *testing.T) {
	t.Parallel()
	groups := strings.Repeat(mark(item, 0), 100_000)
	b := encode(ExplicitLittleEndian, short(SOPInstanceUID, "UI", "1.2.3\x00"), short(Rows, "US", "ab"),
		long(PerFrameFunctionalGroupsSequence, "SQ", uint32(len(groups)), groups), long(PixelData, "OB", 2, "ab"))
	c := &counter{ReaderAt: bytes.NewReader(b)}
	f, err := Read(c, int64(len(b)))
	if err != nil || f.PerFrame.Length != int64(len(groups)) || f.Pixels != int64(len(b)-2) {
		t.Fatal(f, err)
	}
	if c.n > 3 {
		t.Errorf("%d reads", c.n)
	}
}

// BenchmarkRead reads an instance with a colour profile.
func BenchmarkRead(b *testing.B) {
	var d Dataset
	d.Set(Rows, 256)
	d.Set(ICCProfile, make([]byte, 500_000))
	file := AppendDataset(encode(ExplicitLittleEndian), d)
	file = append(file, long(PixelData, "OB", 2, "ab")...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readBytes(file); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzRead checks that no file makes the parser fail otherwise than by an error, and that what
// it read can be written and read again.
func FuzzRead(f *testing.F) {
	for _, b := range hostile() {
		if len(b) < 1<<16 {
			f.Add(b)
		}
	}
	groups := mark(item, no) + long(planePositionSlideSequence, "SQ", no, mark(item, no)+short(columnPosition, "SL", "abcd")+mark(itemDelimiter, 0)+mark(sequenceDelimiter, 0)) + mark(itemDelimiter, 0)
	f.Add(encode(JPEGBaseline, long(PerFrameFunctionalGroupsSequence, "SQ", no, groups+mark(sequenceDelimiter, 0)), long(PixelData, "OB", no, mark(item, 0)+mark(sequenceDelimiter, 0))))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readBytes(b)
		if err != nil {
			return
		}
		r := bytes.NewReader(b)
		for _, err := range d.Positions(r, int64(len(b))) {
			if err != nil {
				break
			}
		}
		for _, e := range []Extent{d.PerFrame, d.ExtendedOffsets, d.ExtendedLengths, {d.Pixels, max(0, d.PixelLength)}} {
			if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > int64(len(b)) {
				t.Fatalf("%v of %d bytes", e, len(b))
			}
		}
		if err := d.Fragments(r, int64(len(b)), func(Extent) bool { return true }); err != nil && d.PixelLength < 0 {
			// The end was found by its last bytes.
			var format *FormatError
			if !errors.As(err, &format) && !errors.Is(err, ErrTruncated) {
				t.Fatal(err)
			}
		}
	})
}
