package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// object returns a DICOM file of a slide's series that is no image that can be shown: its
// pixels are data.
func object(series, uid string, data []byte) []byte {
	return part10(dicom.Dataset{
		{Tag: dicom.SOPClassUID, VR: "UI", Text: []string{dicom.WholeSlide}},
		{Tag: dicom.SOPInstanceUID, VR: "UI", Text: []string{uid}},
		{Tag: dicom.StudyInstanceUID, VR: "UI", Text: []string{"1.2"}},
		{Tag: dicom.SeriesInstanceUID, VR: "UI", Text: []string{series}},
		{Tag: dicom.PixelData, VR: "OB", Bytes: append(data, make([]byte, len(data)%2)...)},
	})
}

// part10 returns a Part 10 file.
func part10(d dicom.Dataset) []byte {
	meta := dicom.AppendDataset(nil, dicom.Dataset{
		{Tag: dicom.MediaStorageSOPClassUID, VR: "UI", Text: []string{d.Text(dicom.SOPClassUID)}},
		{Tag: dicom.TransferSyntaxUID, VR: "UI", Text: []string{"1.2.840.10008.1.2.1"}},
	})
	b := append(make([]byte, 128), "DICM\x02\x00\x00\x00UL\x04\x00"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(meta)))
	return dicom.AppendDataset(append(b, meta...), d)
}

// writeSeries writes a slide as a DICOM series, a file for each level.
func writeSeries(t *testing.T, dir, uid string, seed uint8) {
	t.Helper()
	b := slidetest.Pyramid{Seed: seed}.Bytes()
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dicom.NewSeries(s, dicom.Options{ID: "a", MPPX: 0.25, MPPY: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range d.Instances {
		in.Attributes.Set(dicom.SeriesInstanceUID, uid)
	}
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
}

// TestSeries lists folders with DICOM files of all kinds.
func TestSeries(t *testing.T) {
	t.Parallel()
	instance := func(series, uid string) []byte { return object(series, uid, []byte("pixels")) }
	other := part10(dicom.Dataset{
		{Tag: dicom.SOPClassUID, VR: "UI", Text: []string{"1.2.840.10008.5.1.4.1.1.91.1"}}, // annotations
		{Tag: dicom.SOPInstanceUID, VR: "UI", Text: []string{"1.9"}},
		{Tag: dicom.SeriesInstanceUID, VR: "UI", Text: []string{"1.1"}},
	})
	escape := instance("../../etc", "1.1.1")
	tests := []struct {
		name    string
		include []string
		files   map[string][]byte
		want    []string // items
		names   []string // of the series
	}{
		{name: "one file", files: map[string][]byte{"x/slide.dcm": instance("1.1", "1.1.1")}, want: []string{"x/~1.1"}, names: []string{"slide.dcm"}},
		{
			name:  "a folder",
			files: map[string][]byte{"S26-1/0.dcm": instance("1.1", "1.1.1"), "S26-1/1.DCM": instance("1.1", "1.1.2")},
			want:  []string{"S26-1/~1.1"}, names: []string{"S26-1"},
		},
		{
			name: "several series",
			files: map[string][]byte{
				"x/A10_1.dcm": instance("1.1", "1.1.1"), "x/A10_12.dcm": instance("1.1", "1.1.2"), "x/A11 (1).dcm": instance("1.2", "1.2.1"), "x/A11 (2).dcm": instance("1.2", "1.2.2"),
				"x/1.3.1.dcm": instance("1.3", "1.3.1"), "x/1.3.2.dcm": instance("1.3", "1.3.2"),
			},
			want: []string{"x/~1.1", "x/~1.2", "x/~1.3"}, names: []string{"A10", "A11", "1.3"},
		},
		{
			name:  "a series in two folders",
			files: map[string][]byte{"x/0.dcm": instance("1.1", "1.1.1"), "x/y/1.dcm": instance("1.1", "1.1.2")},
			want:  []string{"x/y/~1.1", "x/~1.1"}, names: []string{"1.dcm", "0.dcm"},
		},
		{
			name: "without suffix", include: []string{"*"},
			files: map[string][]byte{"x/a": instance("1.1", "1.1.1"), "x/b": instance("1.1", "1.1.2"), "x/c.txt": []byte("note"), "x/d.tiff": instance("1.1", "1.1.3")},
			want:  []string{"x/c.txt", "x/d.tiff", "x/~1.1"}, names: []string{"x"},
		},
		{name: "not selected", files: map[string][]byte{"x/a": instance("1.1", "1.1.1")}},
		{
			name:  "other objects",
			files: map[string][]byte{"x/a.dcm": instance("1.1", "1.1.1"), "x/b.dcm": other, "x/c.tiff": []byte("abc")},
			want:  []string{"x/c.tiff", "x/~1.1"}, names: []string{"a.dcm"},
		},
		{
			name:  "damaged",
			files: map[string][]byte{"x/a.dcm": bytes.Repeat([]byte("text"), 100), "x/b.dcm": escape, "x/c.dcm": instance("1.1", "1.1.1")[:150]},
			want:  []string{"x/a.dcm", "x/b.dcm"},
		},
		{name: "empty so far", files: map[string][]byte{"x/a.dcm": nil, "x/b.dcm": make([]byte, 1000)}},
		{
			name:  "a part without its end",
			files: map[string][]byte{"x/a.dcm": instance("1.1", "1.1.1"), "x/b.dcm": instance("1.1", "1.1.2")[:300]},
			want:  []string{"x/~1.1"}, names: []string{"x"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, b := range tt.files {
				put(t, filepath.Join(dir, name), b)
			}
			d, err := OpenDirectory(dir, "", NewFilter(tt.include, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			var items, names []string
			l, err := d.List(t.Context(), ListOptions{Item: func(i Item) { items = append(items, i.Path) }})
			if err != nil || len(l.Unreadable) != 0 {
				t.Fatal(err, l.Unreadable)
			}
			slices.Sort(items)
			for _, p := range items {
				if !catalog.IsSeries(p) {
					continue
				}
				s, err := d.Slide(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, s.Names.File)
				s.Close()
			}
			if diff := cmp.Diff(tt.want, items); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.names, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFormerInstance expects a file that was of a series and is now another one, under another name,
// not to count as a part that is written again. New files get the inode numbers of removed ones.
func TestFormerInstance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "x/a.dcm"), object("1.1", "1.1.1", []byte("pixels")))
	put(t, filepath.Join(dir, "x/b.dcm"), object("1.1", "1.1.2", []byte("pixels")))
	d, err := OpenDirectory(dir, "", NewFilter([]string{"*"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	items := func() (paths []string) {
		list, err := d.InFolder("x")
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range list {
			paths = append(paths, it.Path)
		}
		return paths
	}
	if diff := cmp.Diff([]string{"x/~1.1"}, items()); diff != "" {
		t.Fatalf("items (-want +got):\n%s", diff)
	}
	put(t, filepath.Join(dir, "x/b.dcm"), []byte("note"))
	if err := os.Rename(filepath.Join(dir, "x/b.dcm"), filepath.Join(dir, "x/c.txt")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"x/~1.1", "x/c.txt"}, items()); diff != "" {
		t.Errorf("items with another file of the same inode (-want +got):\n%s", diff)
	}
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestSeriesIdentity expects the identity of a series to change with each of its files, and
// only with them, and its inode and size to stay when files are renamed.
func TestSeriesIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	d, err := OpenDirectory(dir, "", NewFilter(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i, name := range []string{"a.dcm", "b.dcm", "c.dcm"} {
		put(t, at(name), object("1.1", fmt.Sprint("1.1.", i), []byte("pixels")))
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"a.dcm", "b.dcm"} {
		if err := os.Chtimes(at(name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	was, err := d.Identify("~1.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name          string
		do            func() error
		same, content bool // the identity; inode, size and mtime
	}{
		{"nothing", func() error { return nil }, true, true},
		{"another series", func() error { return os.WriteFile(at("z.dcm"), object("1.2", "1.2.1", nil), 0o644) }, true, true},
		{"an unfinished file", func() error { return os.WriteFile(at("y.dcm"), nil, 0o644) }, true, true},
		{"renamed", func() error { return os.Rename(at("a.dcm"), at("x.dcm")) }, false, true},
		{"times", func() error { return os.Chtimes(at("b.dcm"), old.Add(time.Second), old.Add(time.Second)) }, false, false},
		{"replaced", func() error {
			err := os.WriteFile(at(".b"), object("1.1", "1.1.1", []byte("PIXELS")), 0o644)
			return errors.Join(err, os.Chtimes(at(".b"), old, old), os.Rename(at(".b"), at("b.dcm")))
		}, false, false},
		{"one more", func() error { return os.WriteFile(at("d.dcm"), object("1.1", "1.1.3", nil), 0o644) }, false, false},
		{"written again", func() error { return os.WriteFile(at("d.dcm"), object("1.1", "1.1.3", nil)[:100], 0o644) }, false, false},
		{"removed", func() error { return os.Remove(at("b.dcm")) }, false, false},
	} {
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		now, err := d.Identify("~1.1")
		if err != nil {
			t.Fatal(err)
		}
		if now.Same(was) != tt.same || (now.Ino == was.Ino && now.Size == was.Size && now.MTime == was.MTime) != tt.content {
			t.Errorf("%s: %+v, and %+v before", tt.name, now, was)
		}
		was = now
	}
	if list, err := d.Members("~1.1"); err != nil || len(list) != 3 || list[1].UID != "1.1.0" || list[2].UID != "1.1.2" {
		t.Errorf("members: %v, %v", list, err)
	}
}

// TestSeriesReplaced writes to a file of an open series: no byte of it is taken for one of
// before.
func TestSeriesReplaced(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(path string, b []byte) error
	}{
		{"overwritten", func(path string, b []byte) error { return os.WriteFile(path, b, 0o644) }},
		{"replaced", func(path string, b []byte) error {
			return errors.Join(os.WriteFile(path+".new", b, 0o644), os.Rename(path+".new", path))
		}},
		{"removed", func(path string, _ []byte) error { return os.Remove(path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeSeries(t, dir, "1.1", 1)
			d, err := OpenDirectory(dir, "", NewFilter(nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			s, err := d.Slide(t.Context(), "~1.1")
			if err != nil || s.Err != nil {
				t.Fatal(err, s.Err)
			}
			defer s.Close()
			if err := s.Current(); err != nil {
				t.Fatal(err)
			}
			list, err := d.Members("~1.1")
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				if err := tt.do(filepath.Join(dir, m.Path), object("1.1", m.UID, []byte("other pixels"))); err != nil {
					t.Fatal(err)
				}
			}
			if b, err := s.AppendTile(nil, 0, 0, 0); !errors.Is(err, ErrChanged) || !s.Written() {
				t.Errorf("AppendTile: %d bytes, %v, want %v", len(b), err, ErrChanged)
			}
			if err := s.Current(); !errors.Is(err, ErrChanged) {
				t.Errorf("Current: %v, want %v", err, ErrChanged)
			}
		})
	}
}

// TestHeadersAreReadOnce lists a folder twice: the second time no file is opened.
func TestHeadersAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		put(t, filepath.Join(dir, fmt.Sprint(i, ".dcm")), object("1.1", fmt.Sprint("1.1.", i), nil))
	}
	d, err := OpenDirectory(dir, "", NewFilter(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var opened []int
	for range 2 {
		before := headers.opened
		if _, err := d.List(t.Context(), ListOptions{Item: func(Item) {}}); err != nil {
			t.Fatal(err)
		}
		opened = append(opened, headers.opened-before)
	}
	if diff := cmp.Diff([]int{3, 0}, opened); diff != "" {
		t.Errorf("files opened (-want +got):\n%s", diff)
	}
}
