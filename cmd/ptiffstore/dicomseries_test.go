package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeries exports a slide as DICOM, and opens the series by its folder and by one of its
// files.
func TestSeries(t *testing.T) {
	t.Parallel()
	file, dir := philips.file(t), filepath.Join(t.TempDir(), "series")
	if r := command(t, "dicom", "export", file, dir, "--labels"); r.code != exitOK {
		t.Fatal(r)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.dcm"))
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte(strings.Repeat("x", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, files[0], files[len(files)-1]} {
		r := command(t, "inspect", path)
		if r.code != exitOK || !strings.HasPrefix(r.out, "format           dicom\n") || !strings.Contains(r.out, "[label macro]") || !strings.Contains(r.out, "2560 × 2048") {
			t.Errorf("inspect: %v", r)
		}
		// The label is in the series as the file stores it, on its side.
		for _, args := range [][]string{{"tile", "2", "1", "0"}, {"associated", "macro"}} {
			with := func(path string) result {
				return command(t, append([]string{args[0], path}, args[1:]...)...)
			}
			if want, got := with(file), with(path); got != want || want.code != exitOK {
				t.Errorf("%s: %d bytes and %q, want those of the file (%d)", args[0], len(got.out), got.err, len(want.out))
			}
		}
	}
	checkBadSeries(t, file, dir, files[0])
}

func checkBadSeries(t *testing.T, file, dir, instance string) {
	t.Helper()
	if r := command(t, "dicom", "export", file, dir, "--id", "another"); r.code != exitOK {
		t.Fatal(r)
	}
	if r := command(t, "inspect", dir); r.code != exitFailure || !strings.Contains(r.err, "contains 2 series; name a file of one of them") {
		t.Errorf("two series: %v", r)
	}
	if r := command(t, "inspect", instance); r.code != exitOK {
		t.Errorf("a file of one of two series: %v", r)
	}
	if r := command(t, "inspect", t.TempDir()); r.code != exitFile || !strings.Contains(r.err, "no DICOM whole-slide image") {
		t.Errorf("an empty folder: %v", r)
	}
	b, err := os.ReadFile(instance)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(instance, b[:len(b)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "inspect", instance); r.code != exitFile || !strings.Contains(r.err, "the file is incomplete") {
		t.Errorf("a file that ends early: %v", r)
	}
}
