package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// exportsTo runs an export and returns what it printed.
func exportsTo(t *testing.T, args ...string) (e exported) {
	t.Helper()
	r := command(t, append([]string{"dicom", "export", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.out), &e); r.code != exitOK || err != nil {
		t.Fatalf("%v: %v, %v", args, r, err)
	}
	return e
}

// TestDICOMExport exports a slide as a file, and as an image of a catalog.
func TestDICOMExport(t *testing.T) {
	t.Parallel()
	folder, data := slidesIn(t, map[string]*slideFile{"a.tiff": philips}), t.TempDir()
	for _, args := range [][]string{{"store", "add", folder, "--data", data, "--label", "Scanner"}, {"sync", "Scanner", "--data", data}} {
		if r := command(t, args...); r.code != exitOK {
			t.Fatalf("%v: %v", args, r)
		}
	}
	cat, err := (&databaseFlags{Data: data}).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	stores, err := cat.Stores.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	if err := cat.Images.Each(t.Context(), stores[0].ID, func(im *catalog.Image) error { id = im.ID; return nil }); err != nil || id == "" {
		t.Fatal(id, err)
	}
	dir := filepath.Join(t.TempDir(), "series")
	image := exportsTo(t, id, dir, "--data", data)
	file := exportsTo(t, filepath.Join(folder, "a.tiff"), t.TempDir(), "--id", id)
	if diff := cmp.Diff(file, image); diff != "" {
		t.Errorf("the file with the id of the image: %s", diff)
	}
	for _, in := range image.Instances {
		if _, err := os.Stat(filepath.Join(dir, in.UID+".dcm")); err != nil {
			t.Error(err)
		}
	}
	all := exportsTo(t, id, t.TempDir(), "--data", data, "--labels")
	if len(all.Instances) != len(image.Instances)+2 {
		t.Errorf("%d instances with labels", len(all.Instances))
	}
	hidden := exportsTo(t, id, t.TempDir(), "--data", data, "--deidentify")
	if diff := cmp.Diff(hidden, exportsTo(t, id, t.TempDir(), "--data", data, "--deidentify")); diff != "" || hidden.Series == image.Series {
		t.Errorf("de-identified again: %s", diff)
	}
	if r := command(t, "audit", "--data", data); strings.Count(r.out, "image.export") != 4 {
		t.Errorf("the audit log: %v", r)
	}
	if r := command(t, "dicom", "export", "nothing", dir, "--data", data); r.code != exitFailure || !strings.Contains(r.err, "unknown image") {
		t.Errorf("an unknown image: %v", r)
	}
}

// TestInspectDICOM checks the report about slides that are shown as DICOM, and about others.
func TestInspectDICOM(t *testing.T) {
	t.Parallel()
	for f, want := range map[*slideFile]string{philips: "level 0: ", deflated: "not shown: "} {
		if r := command(t, "inspect", "--dicom", f.file(t)); r.code != exitOK || !strings.HasPrefix(r.out, want) {
			t.Errorf("%v, want %q", r, want)
		}
	}
}
