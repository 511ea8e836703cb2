package dicom

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/slide"
)

// contents returns the bytes of files by their name without regard to the folder.
func contents(t *testing.T, list []Part) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, p := range list {
		b, err := io.ReadAll(io.NewSectionReader(p.R, 0, p.Size))
		if err != nil {
			t.Fatal(err)
		}
		all[p.Name] = b
	}
	return all
}

// TestCopy exports what was exported: with the label the same files, without it the same frames under
// the same identifiers.
func TestCopy(t *testing.T) {
	t.Parallel()
	d := newSeries(t, write(t, philips), everything())
	files := exported(t, d)
	s, err := Open(files)
	if err != nil {
		t.Fatal(err)
	}
	full := newSeries(t, s, Options{ID: "im1", Patient: &Patient{Label: true, Macro: true}})
	if full.StudyUID != d.StudyUID || full.UID != d.UID {
		t.Errorf("study %s, series %s", full.StudyUID, full.UID)
	}
	if diff := cmp.Diff(contents(t, files), contents(t, exported(t, full))); diff != "" {
		t.Errorf("other files: %.2000s", diff)
	}
	for i, in := range full.Instances {
		if in.UID != d.Instances[i].UID {
			t.Errorf("instance %d is %s", i, in.UID)
		}
	}
	less := newSeries(t, s, Options{ID: "im1", Patient: &Patient{}})
	if len(less.Instances) != 5 || less.UID != d.UID {
		t.Fatalf("%d instances, series %s", len(less.Instances), less.UID)
	}
	dir := t.TempDir()
	if err := less.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	validate(t, dir, true)
	for name, b := range contents(t, parts(t, dir)) {
		for _, secret := range []string{"S26-4711", "FMT0815", "Müller", "P 1", "A-9", "20260309", "14300"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s contains %s", name, secret)
			}
		}
	}
	if diff := cmp.Diff(frames(t, d, 5), frames(t, less, 5)); diff != "" {
		t.Errorf("other frames: %.1000s", diff)
	}
	if diff := cmp.Diff(want(t, less), pydicom(t, dir)); diff != "" {
		t.Error(diff)
	}
	renamed := newSeries(t, s, Options{ID: "im1", Patient: &Patient{Label: true, Macro: true, Name: "New^Name"}})
	for _, p := range exported(t, renamed) {
		f, err := Read(p.R, p.Size)
		if err != nil || f.Data.Text(PatientName) != "New^Name" || f.Data.Text(PatientID) != "P 1" {
			t.Errorf("%q %q %v", f.Data.Text(PatientName), f.Data.Text(PatientID), err)
		}
	}
}

// frames returns the frames of the first n instances.
func frames(t *testing.T, d *Series, n int) (all [][]byte) {
	t.Helper()
	for _, in := range d.Instances[:n] {
		for k := range in.Frames() {
			b, err := in.AppendFrame(t.Context(), nil, k)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, bytes.TrimRight(b, "\x00"))
		}
	}
	return all
}

// checkCopies copies the files of a series with and without what identifies the patient. Frames keep
// their numbers and bytes.
func checkCopies(t *testing.T, name string, s *slide.Slide, files []Part) {
	t.Helper()
	full := newSeries(t, s, Options{ID: "im1", Patient: &Patient{Label: true}})
	copies := exported(t, full)
	if len(copies) != len(files) {
		t.Errorf("%s: %d files, want %d", name, len(copies), len(files))
	}
	for _, p := range files {
		f, err := Read(p.R, p.Size)
		if err != nil {
			t.Fatal(err)
		}
		want := contents(t, []Part{p})[p.Name]
		if got := contents(t, copies)[f.Data.Text(SOPInstanceUID)+".dcm"]; !bytes.Equal(got, want) {
			t.Errorf("%s: %s is another file", name, p.Name)
		}
	}
	less := newSeries(t, s, Options{ID: "im1"})
	dir := t.TempDir()
	if err := less.Export(t.Context(), dir, nil); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if lower := bytes.ToLower(b); bytes.Contains(lower, []byte("canary")) || bytes.Contains(b, []byte("20200102")) {
			t.Errorf("%s: %s has data of the patient", name, e.Name())
		}
	}
	again, err := Open(parts(t, dir))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := again.Check(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	l := &s.Levels[0]
	for i := range l.Columns * l.Rows {
		a, errA := s.AppendTile(nil, 0, i%l.Columns, i/l.Columns)
		b, errB := again.AppendTile(nil, 0, i%l.Columns, i/l.Columns)
		if !bytes.Equal(a, b) || (errA == nil) != (errB == nil) {
			t.Errorf("%s: tile %d: %d and %d bytes, %v, %v", name, i, len(a), len(b), errA, errB)
		}
	}
	if diff := cmp.Diff(frames(t, full, len(full.Instances)), frames(t, less, len(less.Instances))); diff != "" {
		t.Errorf("%s: frames: %.500s", name, diff)
	}
	for _, d := range []*Series{full, less} {
		for _, in := range d.Instances {
			if !in.HasPositions() {
				continue
			}
			b, err := in.AppendPositions([]byte("{"), s)
			var groups map[string]struct{ Value []any }
			if err == nil {
				err = json.Unmarshal(append(b, '}'), &groups)
			}
			if err != nil || len(groups["52009230"].Value) != in.Frames() || bytes.Contains(b, []byte("canary")) != (d == full) {
				t.Errorf("%s: positions: %v %.300s", name, err, b)
			}
		}
	}
	for _, in := range full.Instances {
		for _, n := range []int{0, in.Frames() - 1} {
			img, err := in.DecodeFrame(t.Context(), s, n)
			if l.Layout.Codec == slide.JPEG2000 && err != nil {
				continue // of the build without native code
			}
			if err != nil || img.Rect.Dx() != 64 {
				t.Errorf("%s: frame %d: %v", name, n, err)
			}
		}
	}
}
