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

// syncedImages adds a folder as the store Scanner to the catalog in data, and returns the ids of its
// images by their paths.
func syncedImages(t *testing.T, folder, data string) map[string]string {
	t.Helper()
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
	ids := map[string]string{}
	if err := cat.Images.Each(t.Context(), stores[0].ID, func(im *catalog.Image) error { ids[im.Path] = im.ID; return nil }); err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestDICOMExport exports a slide as a file, and as an image of a catalog, and a series of a store.
func TestDICOMExport(t *testing.T) {
	t.Parallel()
	folder, data := slidesIn(t, map[string]*slideFile{"a.tiff": philips}), t.TempDir()
	stored := exportsTo(t, filepath.Join(folder, "a.tiff"), filepath.Join(folder, "series"), "--labels")
	ids := syncedImages(t, folder, data)
	id, series := ids["a.tiff"], ids[catalog.SeriesPath("series", stored.Series)]
	if id == "" || series == "" {
		t.Fatal(ids)
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
	again := exportsTo(t, series, t.TempDir(), "--data", data, "--labels")
	if diff := cmp.Diff(frames(all), frames(again)); diff != "" || again.Series == all.Series {
		t.Errorf("frames of an image that is a DICOM series: %s", diff)
	}
	hidden := exportsTo(t, id, t.TempDir(), "--data", data, "--deidentify")
	if diff := cmp.Diff(hidden, exportsTo(t, id, t.TempDir(), "--data", data, "--deidentify")); diff != "" || hidden.Series == image.Series {
		t.Errorf("de-identified again: %s", diff)
	}
	if r := command(t, "audit", "--data", data); strings.Count(r.out, "image.export") != 5 {
		t.Errorf("the audit log: %v", r)
	}
	if r := command(t, "dicom", "export", "nothing", dir, "--data", data); r.code != exitFailure || !strings.Contains(r.err, "unknown image") {
		t.Errorf("an unknown image: %v", r)
	}
}

// frames returns how many frames the instances have.
func frames(e exported) (list []int) {
	for _, in := range e.Instances {
		list = append(list, in.Frames)
	}
	return list
}

// TestSubmitExport submits exports, which the audit log has, and some that cannot be.
func TestSubmitExport(t *testing.T) {
	t.Parallel()
	folder, data := slidesIn(t, map[string]*slideFile{"a.tiff": philips}), t.TempDir()
	image := syncedImages(t, folder, data)["a.tiff"]
	submit := func(args ...string) result {
		return command(t, append([]string{"task", "submit", "export_dicom", "Scanner", "--data", data}, args...)...)
	}
	if r := submit("--image", image, "--deidentify", "--sparse", "--json"); r.code != exitOK || !strings.Contains(r.out, `"deidentify": true`) || !strings.Contains(r.out, `"sparse": true`) || strings.Contains(r.out, `"labels"`) {
		t.Errorf("de-identified: %v", r)
	}
	if r := submit("--image", image, "--labels", "--json"); r.code != exitOK || !strings.Contains(r.out, `"labels": true`) {
		t.Errorf("with labels: %v", r)
	}
	if r := submit("--image", image, "--labels", "--deidentify"); r.code != exitUsage || !strings.Contains(r.err, "choose labels or deidentify") {
		t.Errorf("both: %v", r)
	}
	if r := submit(); r.code != exitUsage || !strings.Contains(r.err, "--image") {
		t.Errorf("no image: %v", r)
	}
	if r := command(t, "task", "submit", "hash_image", "Scanner", "--data", data, "--image", image, "--sparse"); r.code == exitOK {
		t.Errorf("an option of another kind: %v", r)
	}
	if r := command(t, "audit", "--data", data); strings.Count(r.out, "image.export") != 2 {
		t.Errorf("the audit log: %v", r)
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
