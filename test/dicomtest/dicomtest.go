// Package dicomtest makes small DICOM series for tests.
package dicomtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// Study is the StudyInstanceUID of all series.
const Study = "1.2.3"

// Series returns a slide as the files of a series, the largest level first.
func Series(t testing.TB, uid string, p slidetest.Pyramid) [][]byte {
	t.Helper()
	b := p.Bytes()
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dicom.NewSeries(s, dicom.Options{ID: uid, MPPX: 0.25, MPPY: 0.25, Patient: &dicom.Patient{Name: "Doe^Jane", Label: p.Label != nil}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, in := range d.Instances {
		in.Attributes.Set(dicom.StudyInstanceUID, Study)
		in.Attributes.Set(dicom.SeriesInstanceUID, uid)
	}
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for _, in := range d.Instances {
		b, err := os.ReadFile(filepath.Join(dir, in.UID+".dcm"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}
