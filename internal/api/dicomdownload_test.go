package api_test

import (
	"archive/zip"
	"bytes"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// seriesOf returns the files of a downloaded series.
func seriesOf(t *testing.T, a answer) map[string][]byte {
	t.Helper()
	if a.status != 200 || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Fatalf("%d %v: %d bytes, %.200s", a.status, a.header, len(a.body), a.body)
	}
	z, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[filepath.Base(f.Name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestDownload checks what is in a downloaded series, and that it is always the same.
func TestDownload(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Width: 900, Height: 700, TileSize: 256, Label: true, Macro: true, Barcode: "S26-4711", Serial: "FMT0815", Sparse: true}})["a.tiff"]
	at := "/api/v1/images/" + id + "/dicom"
	levels := seriesOf(t, st.get(at))
	all := seriesOf(t, st.get(at+"?labels=true"))
	hidden := seriesOf(t, st.get(at+"?deidentify=true"))
	if len(all) != len(levels)+2 || len(hidden) != len(levels) {
		t.Errorf("%d files, with labels %d, de-identified %d", len(levels), len(all), len(hidden))
	}
	for name, b := range levels {
		if all[name] == nil || hidden[name] != nil {
			t.Errorf("%s: in the series with labels %t, in the de-identified one %t", name, all[name] != nil, hidden[name] != nil)
		}
		if f, err := dicom.Read(bytes.NewReader(b), int64(len(b))); err != nil || f.Data.Text(dicom.SOPInstanceUID)+".dcm" != name {
			t.Errorf("%s: %v", name, err)
		}
		for _, secret := range []string{"S26-4711", "FMT0815"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s contains %s", name, secret)
			}
		}
	}
	for name, b := range hidden {
		if bytes.Contains(b, []byte(id)) {
			t.Errorf("%s of the de-identified series contains the id of the image", name)
		}
	}
	for query, want := range map[string]map[string][]byte{"": levels, "?deidentify=true": hidden} {
		for name, b := range seriesOf(t, st.get(at+query)) {
			if !bytes.Equal(b, want[name]) {
				t.Errorf("%s%s is another one now", name, query)
			}
		}
	}
	if !strings.Contains(string(all[largest(all)]), "S26-4711") {
		t.Error("with labels there is no barcode")
	}
	st.refused("GET", at+"?labels=true&deidentify=true", "", 422, "no label")
	st.refused("GET", at+"?v=old", "", 404, "")
	plain := st.generic(synth.Generic{Width: 300, Height: 300})
	st.refused("GET", "/api/v1/images/"+plain+"/dicom", "", 422, "--mpp")
}

// largest returns the name of the largest file.
func largest(files map[string][]byte) (name string) {
	for n, b := range files {
		if name == "" || len(b) > len(files[name]) {
			name = n
		}
	}
	return name
}
