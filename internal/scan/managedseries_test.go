package scan

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/verify"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// storedSeries is where the series 1.1 is stored.
var storedSeries = managed.SeriesPath("1.1")

// arriveSeries puts files into the folder of the series 1.1 in the incoming folder.
func (h *house) arriveSeries(files ...[]byte) {
	h.t.Helper()
	for i, b := range files {
		h.arrive(fmt.Sprintf("1.1/%d.dcm", i), b)
	}
	h.later(time.Minute)
}

// onDisks is onEach without PostgreSQL.
func onDisks(t *testing.T, f func(t *testing.T, h *house)) {
	t.Run("one disk", func(t *testing.T) { t.Parallel(); f(t, newHouse(t, "", "")) })
	t.Run("two disks", func(t *testing.T) { t.Parallel(); f(t, newHouse(t, "", otherDisk(t))) })
}

// uidOf returns the SOPInstanceUID of a file.
func uidOf(t *testing.T, b []byte) string {
	t.Helper()
	f, err := dicom.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f.Data.Text(dicom.SOPInstanceUID)
}

// seriesFiles returns the paths of the files of the stored series.
func seriesFiles(t *testing.T, files [][]byte) []string {
	t.Helper()
	var list []string
	for _, b := range files {
		list = append(list, filepath.Dir(storedSeries)+"/"+uidOf(t, b)+".dcm")
	}
	return list
}

// importedSeries imports the files of the series 1.1.
func (h *house) importedSeries(files ...[]byte) *catalog.Image {
	h.t.Helper()
	h.arriveSeries(files...)
	if r := h.scan(Options{Import: true}); r.Imported != 1 || len(r.Failed) > 0 {
		h.t.Fatalf("%+v, want 1 imported", r)
	}
	return h.image(storedSeries)
}

// changedInstance returns a file of the same instance with another data set.
func changedInstance(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-30] ^= 1
	return b
}

// otherMeta returns a file with the same data set and other file meta information.
func otherMeta(t *testing.T, b []byte) []byte {
	t.Helper()
	i := bytes.Index(b, []byte("PTIFFSTORE"))
	if i < 0 {
		t.Fatal("the file has no ImplementationVersionName")
	}
	b = bytes.Clone(b)
	b[i] = 'Q'
	return b
}

func TestImportSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{Label: labelled(t, "S1")})
	onEach(t, func(t *testing.T, h *house) {
		h.arriveSeries(files...)
		h.scan(Options{})
		before := h.only()
		if before.Path != "incoming/1.1/~1.1" || before.State != catalog.Available {
			t.Fatalf("%s at %q, want it available where it arrived", before.State, before.Path)
		}
		r, err := h.Import(t.Context(), before.ID, nil)
		if err != nil || r.Image != before.ID || r.Duplicate {
			t.Fatalf("%+v, %v", r, err)
		}
		im := h.only()
		if im.ID != before.ID || im.Path != storedSeries || im.State != catalog.Available || im.Revision != before.Revision || im.FileName != "1.1" {
			t.Errorf("%s %s at %q, revision %s, want %s", im.ID, im.State, im.Path, im.Revision, before.Revision)
		}
		if im.Digest == nil || *im.Digest != r.Digest || im.VerifiedAt == nil {
			t.Errorf("digest %v, want %s", im.Digest, r.Digest)
		}
		h.wantFiles(seriesFiles(t, files)...)
		for i, p := range seriesFiles(t, files) {
			if !bytes.Equal(readAll(t, filepath.Join(h.root, p)), files[i]) {
				t.Errorf("file %d has other bytes", i)
			}
		}
		if _, err := os.Stat(filepath.Join(h.in, "1.1")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder in incoming is there: %v", err)
		}
		if v, err := (&verify.Verifier{Catalog: h.Catalog}).Image(t.Context(), im.ID, verify.Options{Rate: -1}); err != nil || v.Checked != 1 || v.Hashed != 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
		for _, o := range []Options{{}, {Resync: true}, {}} {
			if r := h.scan(o); r.Added+r.Missing+r.Moved+r.Imported+len(r.Failed) > 0 || r.Count != 1 {
				t.Errorf("scan %+v: %+v, want nothing", o, r)
			}
		}
		if again := h.only(); again.Revision != im.Revision || again.FileName != "1.1" || again.Digest == nil {
			t.Errorf("after a resync: %+v", again)
		}
		if err := h.Catalog.Images.Drop(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		if r := h.scan(Options{}); r.Added != 1 || h.only().ID != im.ID || h.only().Digest == nil || *h.only().Digest != *im.Digest {
			t.Errorf("forgotten: %+v, %+v, want it back", r, h.only())
		}
	})
}

// TestJoinSeries has further files of a stored series arrive.
func TestJoinSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{Label: labelled(t, "S1")})
	last := len(files) - 1 // the label, which is no slide by itself
	tests := []struct {
		name        string
		first, then [][]byte
		levels      int
		trash       int
		quarantine  string // reason
	}{
		{"the others", files[:1], files[1:], last, 0, ""},
		{"the largest level", files[1:], files[:1], last, 0, ""},
		{"the label", files[:last], files[last:], last, 0, ""},
		{"the same", files, files, last, len(files), ""},
		{"one of them", files, files[1:2], last, 1, ""},
		{"from another program", files, [][]byte{otherMeta(t, files[0])}, last, 1, ""},
		{"the same and others", files[:2], files[1:], last, 1, ""},
		{"another data set", files, [][]byte{changedInstance(files[1])}, last, 0, errOther},
		{"a level of the same size", files, dicomtest.Series(t, "1.1", slidetest.Pyramid{Seed: 9})[:1], last, 0, "cannot be added"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "", "")
			was := h.importedSeries(tt.first...)
			h.arriveSeries(tt.then...)
			r := h.scan(Options{Import: true})
			im := h.image(storedSeries)
			if im.ID != was.ID || im.State != catalog.Available || len(im.Levels) != tt.levels || im.FileName != was.FileName {
				t.Fatalf("image %s %s with %d levels, %+v", im.ID, im.State, len(im.Levels), r)
			}
			if joined := len(tt.first) < len(files); (im.Revision != was.Revision) != joined {
				t.Errorf("revision %s, was %s", im.Revision, was.Revision)
			}
			if v, err := (&verify.Verifier{Catalog: h.Catalog}).Image(t.Context(), im.ID, verify.Options{Rate: -1}); err != nil || v.Checked != 1 || v.Hashed != 0 {
				t.Errorf("verify: %+v, %v", v, err)
			}
			count := func(dir string) int {
				return len(slices.DeleteFunc(h.files(), func(p string) bool { return !strings.HasPrefix(p, dir) }))
			}
			if n := count(managed.Trash); n != tt.trash {
				t.Errorf("%d files in the trash, want %d", n, tt.trash)
			}
			if n := count(managed.Slides); n != len(files) {
				t.Errorf("%d files in slides, want %d", n, len(files))
			}
			if n := count(managed.Incoming) + count(managed.Staging); n != 0 {
				t.Errorf("files are left: %q", h.files())
			}
			others := slices.DeleteFunc(h.images(), func(o *catalog.Image) bool { return o.ID == im.ID })
			switch {
			case tt.quarantine == "" && len(others) > 0:
				t.Errorf("another image %s: %s", others[0].State, others[0].Reason)
			case tt.quarantine != "" && (len(others) != 1 || others[0].State != catalog.Quarantined || !strings.Contains(others[0].Reason, tt.quarantine)):
				t.Errorf("%+v", others)
			}
			if r := h.scan(Options{Import: true}); r.changed() {
				t.Errorf("the next scan: %+v", r)
			}
		})
	}
}

const errOther = "another file of the same instance"

// TestTrashSeries deletes, restores and forgets a series.
func TestTrashSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	onDisks(t, func(t *testing.T, h *house) {
		im := h.importedSeries(files...)
		for range 2 {
			if err := h.Remove(t.Context(), im.ID); err != nil {
				t.Fatal(err)
			}
			h.wantFiles("trash/.dcm", "trash/.dcm", "trash/.dcm")
			if err := h.Restore(t.Context(), im.ID); err != nil {
				t.Fatal(err)
			}
			h.wantFiles(seriesFiles(t, files)...)
		}
		if r := h.scan(Options{Import: true}); r.changed() {
			t.Errorf("after restoring: %+v", r)
		}
		if now := h.only(); now.Digest == nil || *now.Digest != *im.Digest || now.State != catalog.Available || now.Revision != im.Revision {
			t.Errorf("%+v", now)
		}
		if err := h.Remove(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		h.importedSeries(files...) // as another image
		if err := h.Restore(t.Context(), im.ID); !errors.Is(err, managed.ErrInTheWay) {
			t.Errorf("error %v, want %v", err, managed.ErrInTheWay)
		}
		h.later(managed.DefaultKeepTrash + time.Hour)
		h.scan(Options{})
		h.wantFiles(seriesFiles(t, files)...)
		if got := h.only(); got.ID == im.ID {
			t.Error("the deleted image is there")
		}
	})
}

// TestTrashArrivedSeries deletes a series that was not imported.
func TestTrashArrivedSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	onDisks(t, func(t *testing.T, h *house) {
		h.arriveSeries(files...)
		h.scan(Options{})
		im := h.only()
		if err := h.Remove(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		h.wantFiles("trash/.dcm", "trash/.dcm", "trash/.dcm")
		if err := h.Restore(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		h.scan(Options{Import: true})
		if now := h.only(); now.ID != im.ID || now.Path != storedSeries {
			t.Errorf("%s at %q", now.ID, now.Path)
		}
	})
}

func TestQuarantineSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{Label: labelled(t, "S1")})
	label := files[len(files)-1]
	onDisks(t, func(t *testing.T, h *house) {
		cut := files[0][:len(files[0])-50]
		h.arriveSeries(cut, files[1])
		h.scan(Options{Import: true})
		h.later(DefaultSettle)
		if r := h.scan(Options{Import: true}); r.Quarantined != 1 {
			t.Fatalf("%+v, want one quarantined", r)
		}
		im := h.only()
		if im.State != catalog.Quarantined || im.Reason == "" || !strings.HasPrefix(im.Path, managed.Quarantine) {
			t.Fatalf("%s at %q: %s", im.State, im.Path, im.Reason)
		}
		if err := h.Catalog.Images.Drop(t.Context(), im.ID); err != nil { // the catalog is lost
			t.Fatal(err)
		}
		h.scan(Options{})
		if now := h.only(); now.ID != im.ID || now.State != catalog.Quarantined || now.Path != im.Path {
			t.Fatalf("%s %s at %q", now.ID, now.State, now.Path)
		}
		at := filepath.Join(h.root, filepath.Dir(im.Path), uidOf(t, files[0])+".dcm")
		if err := os.WriteFile(at, files[0], 0o644); err != nil {
			t.Fatal(err)
		}
		if err := h.Retry(t.Context(), im.ID); err != nil {
			t.Fatal(err)
		}
		h.later(time.Minute)
		h.scan(Options{Import: true})
		if now := h.image(storedSeries); now.ID != im.ID || now.State != catalog.Available {
			t.Errorf("%s %s", now.ID, now.State)
		}
		h.arrive("other/l.dcm", bytes.ReplaceAll(label, []byte("1.1\x00"), []byte("1.9\x00")))
		h.later(time.Minute)
		if r := h.scan(Options{Import: true}); r.Quarantined != 1 {
			t.Errorf("a label alone: %+v", r)
		}
	})
}

// TestDamagedSeries damages and removes files of a stored series, and sends the series again.
func TestDamagedSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	tests := []struct {
		name   string
		damage func(t *testing.T, h *house, paths []string)
		want   catalog.State
	}{
		{"a file removed", func(t *testing.T, h *house, paths []string) { h.removeFile(paths[1]) }, catalog.Broken},
		{"all files removed", func(t *testing.T, h *house, paths []string) {
			for _, p := range paths {
				h.removeFile(p)
			}
		}, catalog.Missing},
		{"a header overwritten", func(t *testing.T, h *house, paths []string) { h.overwrite(paths[1]) }, catalog.Broken},
		{"all headers overwritten", func(t *testing.T, h *house, paths []string) {
			for _, p := range paths {
				h.overwrite(p)
			}
		}, catalog.Missing},
		{"a file replaced", func(t *testing.T, h *house, paths []string) {
			h.removeFile(paths[1])
			if err := os.WriteFile(filepath.Join(h.root, paths[1]), changedInstance(files[1]), 0o644); err != nil {
				t.Fatal(err)
			}
		}, catalog.Broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "", "")
			im := h.importedSeries(files...)
			tt.damage(t, h, seriesFiles(t, files))
			for _, o := range []Options{{Confirm: true}, {Resync: true, Confirm: true}} {
				h.scan(o)
				if now := h.image(storedSeries); now.State != tt.want {
					t.Errorf("%s: %s, want %s", now.State, now.Reason, tt.want)
				}
			}
			h.arriveSeries(files...)
			h.scan(Options{Import: true})
			now := h.image(storedSeries)
			if now.ID != im.ID || now.State != catalog.Available || now.Digest == nil || *now.Digest != *im.Digest || now.DamagedAt != nil {
				t.Errorf("sent again: %s %s: %s, digest %v", now.ID, now.State, now.Reason, now.Digest)
			}
			if v, err := (&verify.Verifier{Catalog: h.Catalog}).Image(t.Context(), im.ID, verify.Options{Rate: -1}); err != nil || v.Checked != 1 {
				t.Errorf("verify: %+v, %v", v, err)
			}
		})
	}
}

func (h *house) removeFile(p string) {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.root, p)); err != nil {
		h.t.Fatal(err)
	}
}

// overwrite overwrites the header of a file.
func (h *house) overwrite(p string) {
	h.t.Helper()
	at := filepath.Join(h.root, p)
	b := readAll(h.t, at)
	copy(b, make([]byte, 400))
	if err := errors.Join(os.Remove(at), os.WriteFile(at, b, 0o644)); err != nil {
		h.t.Fatal(err)
	}
}

// TestSecondCopyOfInstance has a folder with two files of an instance arrive.
func TestSecondCopyOfInstance(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	for _, tt := range []struct {
		name   string
		second []byte
		want   int // images
	}{{"same", files[1], 1}, {"another", changedInstance(files[1]), 2}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "", "")
			h.arriveSeries(append(slices.Clone(files), tt.second)...)
			for range 2 {
				h.scan(Options{Import: true})
				h.later(time.Minute)
			}
			if im := h.image(storedSeries); im.State != catalog.Available || len(im.Levels) != 3 {
				t.Errorf("%s", im.State)
			}
			if got := h.images(); len(got) != tt.want {
				t.Errorf("%d images, want %d: %v", len(got), tt.want, h.states())
			}
		})
	}
}

// moveInstances moves files of a series, by their paths below the store's folder, into a folder as an
// import does.
func (h *house) moveInstances(from, to string, files ...[]byte) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Join(h.root, to), 0o755); err != nil {
		h.t.Fatal(err)
	}
	list, err := os.ReadDir(filepath.Join(h.root, from))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range list {
		at := filepath.Join(h.root, from, e.Name())
		if b := readAll(h.t, at); slices.ContainsFunc(files, func(f []byte) bool { return bytes.Equal(f, b) }) {
			h.rename(at, filepath.Join(h.root, to, uidOf(h.t, b)+".dcm"))
		}
	}
}

// TestResumeSeries leaves an import as a crash would, and expects the next scans to complete it.
func TestResumeSeries(t *testing.T) {
	t.Parallel()
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	stored := filepath.Dir(storedSeries)
	staged := func(im *catalog.Image) string { return managed.Staging + im.ID + ".dicom" }
	// stage moves the image to staging in the catalog as well.
	stage := func(t *testing.T, h *house, im *catalog.Image, move ...[]byte) {
		h.moveInstances("incoming/1.1", staged(im), move...)
		st, err := h.Catalog.Stores.Get(t.Context(), h.store)
		if err != nil {
			t.Fatal(err)
		}
		at := staged(im) + "/~1.1"
		id, err := managed.Stat(st, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Catalog.Images.Update(t.Context(), im.ID, func(im *catalog.Image) error {
			im.Path, im.Identity = at, id
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		before int // files that are imported before
		leave  func(t *testing.T, h *house, im *catalog.Image)
	}{
		{"an empty folder in staging", 0, func(t *testing.T, h *house, im *catalog.Image) { h.moveInstances("incoming/1.1", staged(im)) }},
		{"a file in staging", 0, func(t *testing.T, h *house, im *catalog.Image) {
			h.moveInstances("incoming/1.1", staged(im), files[1])
		}},
		{"all files in staging", 0, func(t *testing.T, h *house, im *catalog.Image) {
			h.moveInstances("incoming/1.1", staged(im), files...)
		}},
		{"copies in staging", 0, func(t *testing.T, h *house, im *catalog.Image) {
			for i, b := range files {
				h.arrive("1.1/copy/x.dcm", b)
				h.moveInstances("incoming/1.1/copy", staged(im), files[i])
			}
			if err := os.Remove(filepath.Join(h.in, "1.1/copy")); err != nil {
				t.Fatal(err)
			}
		}},
		{"part of a copy", 0, func(t *testing.T, h *house, im *catalog.Image) {
			h.arrive("1.1/copy/x.dcm", files[0])
			h.moveInstances("incoming/1.1/copy", managed.Staging+im.ID+".part", files[0])
			if err := os.Remove(filepath.Join(h.in, "1.1/copy")); err != nil {
				t.Fatal(err)
			}
		}},
		{"arriving in staging", 0, func(t *testing.T, h *house, im *catalog.Image) {
			stage(t, h, im, files...)
			if _, err := h.Catalog.Images.Update(t.Context(), im.ID, func(im *catalog.Image) error { im.State = catalog.Arriving; return nil }); err != nil {
				t.Fatal(err)
			}
		}},
		{"recorded in staging", 0, func(t *testing.T, h *house, im *catalog.Image) { stage(t, h, im, files...) }},
		{"named", 0, func(t *testing.T, h *house, im *catalog.Image) {
			stage(t, h, im, files...)
			h.moveInstances(staged(im), stored, files...)
			if err := os.Remove(filepath.Join(h.root, staged(im))); err != nil {
				t.Fatal(err)
			}
			st, _ := h.Catalog.Stores.Get(t.Context(), h.store)
			if err := managed.WriteSidecar(st, storedSeries, managed.SidecarOf(im)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a file has joined", 1, func(t *testing.T, h *house, im *catalog.Image) {
			stage(t, h, im, files[1:]...)
			h.moveInstances(staged(im), stored, files[1])
		}},
		{"all files have joined", 1, func(t *testing.T, h *house, im *catalog.Image) {
			stage(t, h, im, files[1:]...)
			h.moveInstances(staged(im), stored, files...)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "", "")
			id := ""
			if tt.before > 0 {
				id = h.importedSeries(files[:tt.before]...).ID
			}
			h.arriveSeries(files[tt.before:]...)
			h.scan(Options{})
			im := h.image("incoming/1.1/~1.1")
			if id == "" {
				id = im.ID
			}
			tt.leave(t, h, im)
			for range 3 {
				h.scan(Options{Import: true})
				h.later(time.Minute)
			}
			now := h.only()
			if now.ID != id || now.Path != storedSeries || now.State != catalog.Available || len(now.Levels) != len(files) {
				t.Errorf("%s %s at %q: %s, want %s", now.ID, now.State, now.Path, now.Reason, id)
			}
			h.wantFiles(seriesFiles(t, files)...)
			if left, err := os.ReadDir(filepath.Join(h.root, managed.Staging)); err != nil || len(left) > 0 {
				t.Errorf("left in staging: %v, %v", left, err)
			}
			v, err := (&verify.Verifier{Catalog: h.Catalog}).Image(t.Context(), now.ID, verify.Options{Rate: -1})
			if err != nil || v.Checked != 1 {
				t.Errorf("verify: %+v, %v", v, err)
			}
		})
	}
}
