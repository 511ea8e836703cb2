package scan

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// writeSeries writes the files of a series into a folder.
func (st *site) writeSeries(dir string, files [][]byte) {
	st.t.Helper()
	for i, b := range files {
		st.write(filepath.Join(dir, fmt.Sprint(i, ".dcm")), b)
	}
}

// settledSeries returns a site with an available series in the folder x.
func settledSeries(t *testing.T) (*site, [][]byte) {
	t.Helper()
	st, files := newSite(t), dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	st.writeSeries("x", files)
	st.later(time.Minute)
	if r := st.scan(Options{}); r.Count != 1 || r.Added != 1 || r.Arriving != 0 {
		t.Fatalf("first scan: %+v, want one added", r)
	}
	return st, files
}

func TestSeries(t *testing.T) {
	t.Parallel()
	st, files := settledSeries(t)
	size := 0
	for _, b := range files {
		size += len(b)
	}
	im := st.image("x/~1.1")
	if im.State != catalog.Available || im.FileName != "x" || im.Format != "dicom" || im.Width != 150 || len(im.Levels) != len(files) || im.Identity.Size != int64(size) {
		t.Errorf("%+v", im)
	}
	if list, err := st.Catalog.Images.ByStudy(t.Context(), dicomtest.Study); err != nil || len(list) != 1 || list[0].ID != im.ID {
		t.Errorf("by study: %v, %v", list, err)
	}
	if r := st.scan(Options{}); r.changed() || r.Count != 1 {
		t.Errorf("second scan: %+v, want nothing", r)
	}
}

// TestSeriesArrives copies a series file by file, the last one in parts.
func TestSeriesArrives(t *testing.T) {
	t.Parallel()
	st, files := newSite(t), dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	last := len(files) - 1
	step := func(want catalog.State, r Result) {
		t.Helper()
		if diff := cmp.Diff(map[string]catalog.State{"x/~1.1": want}, st.states()); diff != "" {
			t.Fatalf("states (-want +got):\n%s", diff)
		}
	}
	for i, b := range files[:last] {
		st.write(fmt.Sprintf("x/%d.dcm", i), b)
		step(catalog.Arriving, st.scan(Options{}))
		st.later(DefaultPause)
		step(catalog.Arriving, st.scan(Options{})) // a file would be available
	}
	name := fmt.Sprintf("x/%d.dcm", last)
	for _, n := range []int{0, 100, 200, len(files[last]) - 100} {
		st.write(name, files[last][:n])
		step(catalog.Arriving, st.scan(Options{}))
	}
	st.later(DefaultPause)
	step(catalog.Arriving, st.scan(Options{}))
	id := st.image("x/~1.1").ID
	st.write(name, files[last])
	step(catalog.Arriving, st.scan(Options{}))
	st.later(seriesPauses * DefaultPause)
	step(catalog.Available, st.scan(Options{}))
	if im := st.image("x/~1.1"); len(im.Levels) != len(files) || im.ID != id {
		t.Errorf("image %s, was %s, with %d levels", im.ID, id, len(im.Levels))
	}
}

func TestSeriesGivenUp(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(b []byte) []byte{
		"incomplete":     func(b []byte) []byte { return b[:len(b)-50] },
		"reserved space": func(b []byte) []byte { return make([]byte, len(b)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, files := settledSeries(t)
			st.write("x/0.dcm", cut(files[0]))
			st.scan(Options{})
			st.want(map[string]catalog.State{"x/~1.1": catalog.Arriving})
			st.later(DefaultSettle)
			st.scan(Options{})
			st.want(map[string]catalog.State{"x/~1.1": catalog.Broken})
		})
	}
}

// TestSeriesChanges changes the files of a series and scans.
func TestSeriesChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(st *site, files [][]byte)
		want   map[string]catalog.State
		levels int
		same   bool // the revision
	}{
		{"nothing", func(*site, [][]byte) {}, map[string]catalog.State{"x/~1.1": catalog.Available}, 3, true},
		{"files renamed", func(st *site, files [][]byte) {
			for i := range files {
				st.rename(st.path(fmt.Sprintf("x/%d.dcm", i)), st.path(fmt.Sprintf("x/level %d.dcm", i)))
			}
		}, map[string]catalog.State{"x/~1.1": catalog.Available}, 3, false},
		{"folder renamed", func(st *site, _ [][]byte) { st.rename(st.path("x"), st.path("y")) }, map[string]catalog.State{"y/~1.1": catalog.Available}, 3, true},
		{"a file removed", func(st *site, _ [][]byte) { st.remove("x/2.dcm") }, map[string]catalog.State{"x/~1.1": catalog.Available}, 2, false},
		{"all files removed", func(st *site, files [][]byte) { os.RemoveAll(st.path("x")) }, map[string]catalog.State{"x/~1.1": catalog.Missing}, 3, true},
		{"a file replaced", func(st *site, files [][]byte) {
			st.rename(st.outside("new", files[1]), st.path("x/1.dcm"))
		}, map[string]catalog.State{"x/~1.1": catalog.Available}, 3, false},
		{"a copy of a file", func(st *site, files [][]byte) { st.write("x/1 (copy).dcm", files[1]) }, map[string]catalog.State{"x/~1.1": catalog.Available}, 3, false},
		{"another series", func(st *site, _ [][]byte) {
			for i, b := range dicomtest.Series(st.t, "1.2", slidetest.Pyramid{Seed: 9}) {
				st.write(fmt.Sprintf("x/b%d.dcm", i), b)
			}
		}, map[string]catalog.State{"x/~1.1": catalog.Available, "x/~1.2": catalog.Available}, 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, files := settledSeries(t)
			was := st.image("x/~1.1")
			tt.do(st, files)
			st.later(time.Minute)
			st.scan(Options{})
			st.want(tt.want)
			im, err := st.Catalog.Images.Get(t.Context(), was.ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(im.Levels) != tt.levels || (im.Revision == was.Revision) != tt.same {
				t.Errorf("%d levels, revision %s, was %s", len(im.Levels), im.Revision, was.Revision)
			}
		})
	}
}

// TestSeriesGuard removes the files of many series at once.
func TestSeriesGuard(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	file := dicomtest.Series(t, "1.1", slidetest.Pyramid{})[:1]
	for i := range 12 {
		st.writeSeries(fmt.Sprint(i), file)
	}
	st.later(time.Minute)
	st.scan(Options{})
	for i := range 12 {
		os.RemoveAll(st.path(fmt.Sprint(i)))
	}
	if _, err := st.Sync(t.Context(), st.store, Options{}); ErrorCode(err) != "too_many_missing" {
		t.Errorf("error %v, want too_many_missing", err)
	}
	for p, state := range st.states() {
		if state != catalog.Available {
			t.Errorf("%s is %s", p, state)
		}
	}
}

// TestWatchSeries expects changes at any file of a series to be noticed.
func TestWatchSeries(t *testing.T) {
	t.Parallel()
	st, files := settledSeries(t)
	st.Pause = time.Millisecond
	st.watched(NewWatcher(st.Syncer, st.store))
	levels := func(path string, n int) {
		t.Helper()
		st.eventually(soon, fmt.Sprintf("%s to have %d levels", path, n), func() bool {
			im, err := st.Catalog.Images.ByPath(t.Context(), st.store, path)
			return err == nil && im.State == catalog.Available && len(im.Levels) == n
		})
	}
	st.remove("x/2.dcm")
	levels("x/~1.1", 2)
	st.write("x/level2", files[2])
	st.rename(st.path("x/level2"), st.path("x/level2.dcm"))
	levels("x/~1.1", 3)
	st.write("x/0.dcm", files[0][:len(files[0])/2])
	st.becomes(soon, "x/~1.1", catalog.Arriving)
	st.write("x/0.dcm", files[0])
	levels("x/~1.1", 3)
	st.writeSeries("new", dicomtest.Series(t, "1.2", slidetest.Pyramid{Seed: 3}))
	levels("new/~1.2", 3)
	for i := range files {
		st.rename(st.path(fmt.Sprintf("new/%d.dcm", i)), st.path(fmt.Sprintf("x/new %d.dcm", i)))
	}
	levels("x/~1.2", 3)
	st.rename(st.path("x"), st.path("y"))
	levels("y/~1.1", 3)
	levels("y/~1.2", 3)
	for _, name := range []string{"y/0.dcm", "y/1.dcm", "y/level2.dcm"} {
		st.remove(name)
	}
	st.becomes(soon, "y/~1.1", catalog.Missing)
	if state := st.image("y/~1.2").State; state != catalog.Available {
		t.Errorf("the other series is %s", state)
	}
}

func TestSeriesLabel(t *testing.T) {
	t.Parallel()
	st := newSite(t)
	st.writeSeries("x", dicomtest.Series(t, "1.1", slidetest.Pyramid{Label: labelled(t, "S26-1234")}))
	st.later(time.Minute)
	st.scan(Options{})
	im := st.image("x/~1.1")
	if err := NewLabels(st.Syncer).Read(t.Context(), im.ID); err != nil {
		t.Fatal(err)
	}
	if im = st.image("x/~1.1"); im.Barcode == nil || *im.Barcode != "S26-1234" {
		t.Errorf("barcode %v", im.Barcode)
	}
}
