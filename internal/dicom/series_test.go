package dicom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// philips is a slide with everything that a patient could be known by.
var philips = synth.Philips{
	Width: 1100, Height: 700, TileSize: 128, Label: true, Macro: true, Barcode: "S26-4711", Serial: "FMT0815",
	MPPX: 0.25, MPPY: 0.26, Acquired: time.Date(2026, 3, 9, 14, 30, 5, 0, time.UTC), Sparse: true,
}

// write writes a slide and opens it.
func write(t *testing.T, p interface {
	Write(path string) (synth.Info, error)
},
) *slide.Slide {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slide.tiff")
	if _, err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *slide.Slide {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSeries(t *testing.T, s *slide.Slide, o Options) *Series {
	t.Helper()
	d, err := NewSeries(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// everything is for a caller who may see all of it.
func everything() Options {
	return Options{ID: "im1", Patient: &Patient{ID: "P 1", Name: "Müller^Änne", AccessionNumber: "A-9", Container: "S26-4711", Label: true, Macro: true}}
}

// script prints what pydicom reads of a file.
const script = `
import hashlib, json, sys, pydicom
from pydicom.encaps import generate_pixel_data_frame

def same(v):
	"""The JSON model: no empty Value, and FL as the shortest number of 32 bits."""
	for e in v.values():
		if e.get("Value") == []: del e["Value"]
		if e["vr"] == "SQ": [same(i) for i in e.get("Value", [])]
		if e["vr"] == "FL": e["Value"] = [float("%.7g" % x) for x in e["Value"]]
	return v

out = {}
for path in sys.argv[1:]:
	d = pydicom.dcmread(path)
	if "ExtendedOffsetTable" in d:
		table = [int.from_bytes(d.ExtendedOffsetTable[i:i+8], "little") for i in range(0, len(d.ExtendedOffsetTable), 8)]
		sizes = [int.from_bytes(d.ExtendedOffsetTableLengths[i:i+8], "little") for i in range(0, len(d.ExtendedOffsetTableLengths), 8)]
		frames = [d.PixelData[8+a+8:8+a+8+n] for a, n in zip(table, sizes)]
	elif not d.file_meta.TransferSyntaxUID.is_encapsulated:
		n = d.Rows * d.Columns * d.SamplesPerPixel
		frames = [d.PixelData[i * n:(i + 1) * n] for i in range(int(d.NumberOfFrames))]
	else:
		frames = list(generate_pixel_data_frame(d.PixelData, int(d.NumberOfFrames)))
	attributes = same({k: v for k, v in d.to_json_dict().items() if k[:4] != "7FE0"})
	out[d.SOPInstanceUID] = {
		"attributes": attributes, "syntax": d.file_meta.TransferSyntaxUID, "extended": "ExtendedOffsetTable" in d,
		# A frame of an odd length is followed by a zero byte.
		"frames": [hashlib.sha256(bytes(f).rstrip(b"\0")).hexdigest() for f in frames]}
json.dump(out, sys.stdout)
`

// A readBack is what pydicom reads of an instance.
type readBack struct {
	Attributes map[string]any `json:"attributes"`
	Syntax     string         `json:"syntax"`
	Extended   bool           `json:"extended"`
	Frames     []string       `json:"frames"`
}

// pydicom reads all files of a folder.
func pydicom(t *testing.T, dir string) map[string]readBack {
	t.Helper()
	const python = "/usr/bin/python3"
	if _, err := os.Stat("/usr/lib/python3/dist-packages/pydicom"); err != nil {
		t.Skip("no Python with pydicom (Debian: python3-pydicom)")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, append([]string{"-c", script}, files...)...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, problems.Bytes())
	}
	var all map[string]readBack
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// want is what pydicom is to read of a series.
func want(t *testing.T, d *Series) map[string]readBack {
	t.Helper()
	all := map[string]readBack{}
	for _, in := range d.Instances {
		w := readBack{Syntax: in.TransferSyntax, Extended: d.extended}
		text, err := json.Marshal(in.Attributes)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &w.Attributes); err != nil {
			t.Fatal(err)
		}
		if in.present != nil {
			w.Attributes["52009230"] = perFrame(t, in)
		}
		for n := range in.Frames() {
			b, err := in.AppendFrame(t.Context(), nil, n)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(bytes.TrimRight(b, "\x00"))
			w.Frames = append(w.Frames, hex.EncodeToString(sum[:]))
		}
		all[in.UID] = w
	}
	return all
}

// perFrame returns the functional groups of the frames in the JSON model.
func perFrame(t *testing.T, in *Instance) (groups any) {
	t.Helper()
	sequence := Element{Tag: PerFrameFunctionalGroupsSequence, VR: "SQ"}
	for n := range in.present {
		sequence.Items = append(sequence.Items, in.perFrame(n))
	}
	text, err := json.Marshal(Dataset{sequence})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m["52009230"]
}

// TestExport reads exports with pydicom: the attributes are those of the JSON model, and the
// frames those of the slide.
func TestExport(t *testing.T) {
	t.Parallel()
	rgb, grid := philips, synth.Generic{Width: 700, Height: 500, PixelsPerCM: 40000}
	rgb.RGB, rgb.Sparse, rgb.ICC = true, false, sRGBProfile()
	sparse := everything()
	sparse.Sparse = true
	for name, tt := range map[string]struct {
		slide    *slide.Slide
		o        Options
		extended bool
		number   int
	}{
		"everything":     {slide: write(t, philips), o: everything(), number: 7},
		"extended table": {slide: write(t, philips), o: everything(), extended: true, number: 7},
		"RGB":            {slide: write(t, rgb), o: everything(), number: 7},
		"no patient":     {slide: write(t, philips), o: Options{ID: "im1"}, number: 5},
		"deidentified":   {slide: write(t, philips), o: Options{ID: "im1", Deidentify: true, Key: "x"}, number: 5},
		"sparse":         {slide: write(t, philips), o: sparse, number: 7},
		"generic":        {slide: write(t, grid), o: Options{ID: "im2"}, number: 3},
		"deflate":        {slide: write(t, synth.Generic{Width: 300, Height: 300, Codec: synth.Deflate, PixelsPerCM: 40000, Sparse: true}), o: Options{ID: "im3"}, number: 2},
		"grey":           {slide: write(t, synth.Generic{Width: 90, Height: 80, TileW: 48, Codec: synth.LZW, Gray: true, PixelsPerCM: 40000}), o: Options{ID: "im4"}, number: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, dir := newSeries(t, tt.slide, tt.o), t.TempDir()
			d.extended = tt.extended
			if len(d.Instances) != tt.number {
				t.Errorf("%d instances, want %d", len(d.Instances), tt.number)
			}
			if err := d.Export(t.Context(), dir, nil); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want(t, d), pydicom(t, dir), cmpopts.EquateApprox(1e-6, 0)); diff != "" {
				t.Error(diff)
			}
			validate(t, dir, !tt.o.Sparse)
		})
	}
}

// validate checks the files with dciodvfy, whose exit code says nothing.
func validate(t *testing.T, dir string, full bool) {
	t.Helper()
	if _, err := exec.LookPath("dciodvfy"); err != nil {
		t.Log("not validated: dciodvfy is not installed (Debian: dicom3tools)")
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, _ := exec.Command("dciodvfy", f).CombinedOutput()
		for line := range strings.Lines(string(text)) {
			// A false alarm: PS3.3 section C.7.6.17.3 counts the frames of TILED_FULL only.
			if strings.HasPrefix(line, "Error") && (full || !strings.Contains(line, "NumberOfFrames does not match")) {
				t.Errorf("%s: %s", filepath.Base(f), line)
			}
		}
	}
	text, err := exec.Command("dcentvfy", files...).CombinedOutput()
	if err != nil || len(text) > 0 {
		t.Errorf("dcentvfy: %v: %s", err, text)
	}
}

// TestPatient checks that nothing of the patient is in what others see.
func TestPatient(t *testing.T) {
	t.Parallel()
	s := write(t, philips)
	for name, o := range map[string]Options{
		"no right":     {ID: "im1"},
		"deidentified": {ID: "im1", Deidentify: true, Key: "x", Patient: everything().Patient},
	} {
		for _, in := range newSeries(t, s, o).Instances {
			b := AppendDataset(nil, in.Attributes)
			for _, secret := range []string{"S26-4711", "FMT0815", "Müller", "P 1", "A-9"} {
				if bytes.Contains(b, []byte(secret)) {
					t.Errorf("%s: level %d contains %s", name, in.Level, secret)
				}
			}
			if in.Kind != "" {
				t.Errorf("%s: there is a %s", name, in.Kind)
			}
			if o.Deidentify && (bytes.Contains(b, []byte("20260309")) || bytes.Contains(b, []byte("im1"))) {
				t.Errorf("level %d contains the day of the scan or the id of the image", in.Level)
			}
		}
	}
}

// TestUIDs checks what the identifiers depend on: the image's id and the contents of the file,
// not when and where the file was written.
func TestUIDs(t *testing.T) {
	t.Parallel()
	other := philips
	other.Seed = 2
	uids := func(s *slide.Slide, o Options) (all []string) {
		d := newSeries(t, s, o)
		all = append(all, d.StudyUID, d.UID)
		for _, in := range d.Instances {
			all = append(all, in.UID)
		}
		return all
	}
	first := uids(write(t, philips), everything())
	if diff := cmp.Diff(first, uids(write(t, philips), everything())); diff != "" {
		t.Errorf("a copy: %s", diff)
	}
	replaced := uids(write(t, other), everything())
	if diff := cmp.Diff(first[:2], replaced[:2]); diff != "" {
		t.Errorf("study and series of a replaced file: %s", diff)
	}
	o := everything()
	o.ID = "im2"
	for i, uid := range uids(write(t, philips), o) {
		switch {
		case uid == first[i]:
			t.Errorf("%s is also that of another image", uid)
		case i >= 2 && replaced[i] == first[i]:
			t.Errorf("%s is also that of other pixels", uid)
		case len(uid) > 44 || !strings.HasPrefix(uid, "2.25.") || uid[5] == '0':
			t.Errorf("%s is no identifier", uid)
		}
	}
}

// TestRefused has slides that cannot be DICOM objects.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make synth.Generic
		want error
	}{
		"no resolution": {synth.Generic{Width: 300, Height: 300}, ErrNoSpacing},
	} {
		if _, err := NewSeries(write(t, tt.make), Options{ID: "x"}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestInterrupted exports again where some files are there already, and another one of the same
// name.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	d, dir := newSeries(t, write(t, philips), everything()), t.TempDir()
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, d.Instances[0].UID+".dcm")
	before, err := os.Stat(kept)
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, d.Instances[1].UID+".dcm")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(kept); err != nil || !os.SameFile(before, after) {
		t.Errorf("the complete file was written again: %v", err)
	}
	if _, err := os.Stat(gone); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(kept, []byte("another file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Export(t.Context(), dir, nil); !errors.Is(err, ErrOther) {
		t.Errorf("%v, want %v", err, ErrOther)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "another file" {
		t.Errorf("the other file was replaced: %v", err)
	}
}

// TestText checks what becomes of text that a VR does not allow.
func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		vr       VR
		in, want string
	}{
		{"LO", "  a\\b\x00c\n", "abc"},
		{"SH", "0123456789ä123456789", "0123456789ä12345"},
		{"UT", `a\b`, `a\b`},
		{"LO", "\xff", ""},
	} {
		if got := clean(tt.vr, tt.in); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.vr, tt.in, got, tt.want)
		}
	}
	for v, want := range map[float64]string{0.00025: "0.00025", 1.0 / 3: "0.33333333333333", -1: "-1", 1e-300 / 3: "3.333333333e-301"} {
		if got := decimal(v); got != want || len(got) > 16 {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}
