package dicom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/jpeg2000"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// seriesScript writes series in all ways that frames can be stored in, each in a folder of its
// own, and prints which tile has which frame, by its hash.
const seriesScript = `
import hashlib, io, json, os, random, sys
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence
from pydicom.uid import *
source, out = sys.argv[1], sys.argv[2]
columns, rows, side = 4, 3, 64
jpegs = [open("%s/%d.jpg" % (source, i), "rb").read() for i in range(columns * rows)]
random.seed(1)
raws = [random.randbytes(side * side * 3) for _ in jpegs]
places = [(i % columns, i // columns) for i in range(columns * rows)]
want, colours = {}, {}

def j2k(raw, mct):
	f = io.BytesIO()
	Image.frombytes("RGB", (side, side), raw).save(f, "JPEG2000", no_jp2=True, mct=mct, irreversible=False)
	return f.getvalue()

def item(**kw):
	d = Dataset()
	for k, v in kw.items(): setattr(d, k, v)
	return d

def base(frames, photometric):
	d = Dataset()
	d.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
	d.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
	d.SOPInstanceUID = generate_uid()
	d.SeriesInstanceUID, d.StudyInstanceUID = "1.2.3", "1.2"
	d.Manufacturer = "ACME"
	d.PatientName, d.PatientID, d.StudyDescription = "Canary^Anna", "CANARY-1", "canary"
	d.private_block(0x0041, "ACME", create=True).add_new(1, "LO", "canary")
	d.AcquisitionDateTime = "20200102030405"
	d.NumberOfFrames = frames
	d.Rows = d.Columns = side
	d.TotalPixelMatrixColumns, d.TotalPixelMatrixRows = 250, 180
	d.SamplesPerPixel, d.PhotometricInterpretation, d.PlanarConfiguration = 3, photometric, 0
	d.BitsAllocated = d.BitsStored = 8
	d.HighBit, d.PixelRepresentation = 7, 0
	d.DimensionOrganizationType = "TILED_FULL"
	d.OpticalPathSequence = Sequence([item(OpticalPathIdentifier="1", ObjectiveLensPower=20)])
	d.SharedFunctionalGroupsSequence = Sequence([item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.0005, 0.00025])]))])
	return d

def sparse(d, where):
	del d.DimensionOrganizationType
	d.PerFrameFunctionalGroupsSequence = Sequence([item(PlanePositionSlideSequence=Sequence([item(
		ColumnPositionInTotalImagePixelMatrix=c * side + 1, RowPositionInTotalImagePixelMatrix=r * side + 1)]),
		FrameContentSequence=Sequence([item(DimensionIndexValues=[r + 1, c + 1], FrameComments="canary")])) for c, r in where])

def save(d, folder, file, syntax):
	os.makedirs(out + "/" + folder, exist_ok=True)
	d.file_meta = FileMetaDataset()
	d.file_meta.TransferSyntaxUID = syntax
	d.is_little_endian, d.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
	if syntax.is_encapsulated: d["PixelData"].is_undefined_length = True
	else: d["PixelData"].VR = "OB"
	d.add_new(0xFFFCFFFC, "OB", b"canary")
	d.save_as(out + "/" + folder + "/" + file, write_like_original=False)

def expect(folder, frames, where=places):
	want[folder] = {"%d,%d" % p: hashlib.sha256(f).hexdigest() for p, f in zip(where, frames)}

def whole(folder, frames, photometric, syntax, pixels, change=lambda d: None):
	d = base(len(frames), photometric)
	d.PixelData = pixels
	change(d)
	save(d, folder, "1", syntax)
	expect(folder, frames)
	if syntax != JPEGBaseline8Bit and photometric != "YBR_FULL": # the others are lossless
		colours[folder] = hashlib.sha256(raws[5]).hexdigest()

Y, J = "YBR_FULL_422", JPEGBaseline8Bit
whole("table", jpegs, Y, J, encapsulate(jpegs))
whole("no table", jpegs, Y, J, encapsulate(jpegs, has_bot=False))
whole("fragments", jpegs, Y, J, encapsulate(jpegs, fragments_per_frame=3))
whole("fragments without table", jpegs, Y, J, encapsulate(jpegs, fragments_per_frame=3, has_bot=False))
bad = bytearray(encapsulate(jpegs)); bad[12:16] = (3).to_bytes(4, "little")
whole("wrong table", jpegs, Y, J, bytes(bad))
bad = bytearray(encapsulate(jpegs)); bad[8 + 4 * 11:12 + 4 * 11] = (1 << 31).to_bytes(4, "little")
whole("table beyond the end", jpegs, Y, J, bytes(bad))
extended, offsets, lengths = encapsulate_extended(jpegs) # this release forgets the padding of frames of an odd length
def table(d): d.ExtendedOffsetTable, d.ExtendedOffsetTableLengths = offsets, lengths
whole("odd extended table", jpegs, Y, J, extended, table)
extended, offsets, _ = encapsulate_extended([j + b"\0" * (len(j) % 2) for j in jpegs])
whole("extended table", jpegs, Y, J, extended, table)
def wrong(d): d.ExtendedOffsetTable, d.ExtendedOffsetTableLengths = offsets[:-8] + b"\xff" * 8, lengths
whole("wrong extended table", jpegs, Y, J, extended, wrong)
whole("raw", raws, "RGB", ExplicitVRLittleEndian, b"".join(raws))
whole("implicit", raws, "RGB", ImplicitVRLittleEndian, b"".join(raws))
planar = [b"".join(r[c::3] for c in range(3)) for r in raws]
def separate(d): d.PlanarConfiguration = 1
whole("planar", planar, "RGB", ExplicitVRLittleEndian, b"".join(planar), separate)
n = side * side
want["planar"] = {p: hashlib.sha256(b"".join(n.to_bytes(4, "big") + r[c * n:(c + 1) * n] for c in range(3))).hexdigest() for p, r in zip(want["planar"], planar)}
j = [j2k(r, 1) for r in raws]
whole("JPEG 2000", j, "YBR_RCT", JPEG2000Lossless, encapsulate(j))
whole("JPEG 2000 called YCbCr", j, Y, JPEG2000, encapsulate(j))
j = [j2k(r, 0) for r in raws]
whole("JPEG 2000 of YCbCr", j, "YBR_FULL", JPEG2000, encapsulate(j))

greys = [r[:side * side] for r in raws]
def grey(d):
	d.SamplesPerPixel = 1
	del d.PlanarConfiguration
def grey_jpeg(raw):
	f = io.BytesIO()
	Image.frombytes("L", (side, side), raw).save(f, "JPEG", quality=90)
	return f.getvalue()
whole("grey", greys, "MONOCHROME2", ExplicitVRLittleEndian, b"".join(greys), grey)
del colours["grey"]
j = [grey_jpeg(r) for r in greys]
whole("grey JPEG", j, "MONOCHROME2", J, encapsulate(j), grey)

order = random.sample(places, 7)
d = base(7, Y); d.PixelData = encapsulate(jpegs[:7]); sparse(d, order)
save(d, "sparse", "1", J); expect("sparse", jpegs[:7], order)

def part(folder, number, frames, first, where=None):
	d = base(len(frames), Y)
	d.PixelData = encapsulate(frames)
	d.ConcatenationUID, d.InConcatenationNumber, d.InConcatenationTotalNumber, d.ConcatenationFrameOffsetNumber = "1.2.9", number, 2, first
	if where: sparse(d, where)
	save(d, folder, "%d" % (3 - number), J)
part("concatenation", 1, jpegs[:5], 0); part("concatenation", 2, jpegs[5:], 5); expect("concatenation", jpegs)
part("sparse concatenation", 1, jpegs[:5], 0, order[:5]); part("sparse concatenation", 2, jpegs[5:7], 5, order[5:])
expect("sparse concatenation", jpegs[:7], order)
json.dump({"tiles": want, "pixels": colours}, sys.stdout)
`

// jpegTile returns a tile of a colour, in an odd or even number of bytes.
func jpegTile(t *testing.T, i int) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(i)))
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for p := range 64 * 64 {
		m.Set(p%64, p/64, color.RGBA{uint8(20 * i), uint8(rng.Uint32()), uint8(p), 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 60 + i}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// written is what pydicom wrote.
type written struct {
	dir    string
	Tiles  map[string]map[string]string `json:"tiles"`
	Pixels map[string]string            `json:"pixels"` // of the tile at column 1, row 1
}

// writeVariants has pydicom write series.
func writeVariants(t *testing.T) (all written) {
	t.Helper()
	if _, err := os.Stat("/usr/lib/python3/dist-packages/pydicom"); err != nil {
		t.Skip("no Python with pydicom (Debian: python3-pydicom)")
	}
	source := t.TempDir()
	all.dir = t.TempDir()
	for i := range 12 {
		if err := os.WriteFile(filepath.Join(source, fmt.Sprintf("%d.jpg", i)), jpegTile(t, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/usr/bin/python3", "-c", seriesScript, source, all.dir)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problems.Bytes())
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOpenVariants opens what pydicom writes, and copies it.
func TestOpenVariants(t *testing.T) {
	t.Parallel()
	all := writeVariants(t)
	out := all.dir
	for name, want := range all.Tiles {
		s, err := Open(parts(t, filepath.Join(out, name)))
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[string]string{}
		l := &s.Levels[0]
		for i := range l.Columns * l.Rows {
			b, err := s.AppendTile(nil, 0, i%l.Columns, i/l.Columns)
			if errors.Is(err, slide.ErrEmptyTile) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if l.Layout.Codec == slide.JPEG2000 { // a zero after an odd number of bytes
				b = bytes.TrimSuffix(b, []byte{0})
			}
			sum := sha256.Sum256(b)
			got[fmt.Sprintf("%d,%d", i%l.Columns, i/l.Columns)] = hex.EncodeToString(sum[:])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-written +opened)\n%s", name, diff)
		}
		checkPixels(t, name, s, all.Pixels[name])
		checkCopies(t, name, s, parts(t, filepath.Join(out, name)))
		if diff := cmp.Diff(layoutOf(name), l.Layout); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if l.Width != 250 || l.Height != 180 || l.Columns != 4 || l.Rows != 3 || s.MPPX != 0.25 || s.MPPY != 0.5 || s.ObjectivePower != 20 || s.Vendor != "ACME" {
			t.Errorf("%s: %+v, %v × %v µm, power %v, vendor %q", name, l, s.MPPX, s.MPPY, s.ObjectivePower, s.Vendor)
		}
	}
	_, err := Open(parts(t, filepath.Join(out, "concatenation"))[:1])
	if !errors.Is(err, ErrTruncated) {
		t.Errorf("a part is missing: %v, want ErrTruncated", err)
	}
}

// checkPixels compares the decoded pixels of a tile with those that were written.
func checkPixels(t *testing.T, name string, s *slide.Slide, want string) {
	t.Helper()
	l := &s.Levels[0]
	if want == "" || l.Layout.Codec == slide.JPEG2000 && !jpeg2000.Available() {
		return
	}
	b, err := s.AppendTile(nil, 0, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	img, err := render.Decode(t.Context(), b, l.Layout, l.TileWidth, l.TileHeight)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var pix []byte
	for i := 0; i < len(img.Pix); i += 4 {
		pix = append(pix, img.Pix[i:i+3]...)
	}
	if sum := sha256.Sum256(pix); hex.EncodeToString(sum[:]) != want {
		t.Errorf("%s: other pixels", name)
	}
}

// layoutOf returns the layout of a variant.
func layoutOf(name string) slide.Layout {
	l := slide.Layout{Codec: slide.JPEG, Photometric: yCbCr, Samples: 3, Bits: 8, Planar: 1, Predictor: 1}
	switch name {
	case "grey":
		l.Codec, l.Photometric, l.Samples = slide.None, minIsBlack, 1
	case "grey JPEG":
		l.Photometric, l.Samples = minIsBlack, 1
	case "raw", "implicit":
		l.Codec, l.Photometric = slide.None, trueColor
	case "planar":
		l.Codec, l.Photometric, l.Planar = slide.None, trueColor, 2
	case "JPEG 2000", "JPEG 2000 called YCbCr":
		l.Codec, l.Photometric = slide.JPEG2000, trueColor
	case "JPEG 2000 of YCbCr":
		l.Codec = slide.JPEG2000
	}
	return l
}
