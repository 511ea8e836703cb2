package upload_test

import (
	"bytes"
	"image"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestDICOM uploads the files of a series one by one, and expects one slide with the verdicts of
// other files.
func TestDICOM(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{Label: image.NewGray(image.Rect(0, 0, 32, 16))})
	levels := len(files) - 1 // the label is no slide by itself
	now := time.Now()
	syncer := &scan.Syncer{Catalog: s.c, Now: func() time.Time { return now }}
	imports := func() {
		t.Helper()
		for range 2 {
			now = now.Add(time.Minute)
			if _, err := syncer.Sync(t.Context(), s.store.ID, scan.Options{Import: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send := func(name string, b []byte) string {
		t.Helper()
		url := s.begin(name, len(b))
		if a := s.patch(url, 0, b); a.status != 204 {
			t.Fatal(a)
		}
		return url
	}
	var id string
	for i, b := range append(files, files[1]) {
		url := send("level.dcm", b)
		if v := s.show(url); (v.Verdict == nil) != (i == levels) || v.Verdict != nil && *v.Verdict != "slide" {
			t.Errorf("file %d: %+v", i, v)
		}
		imports()
		v := s.show(url)
		if v.Verdict == nil || *v.Verdict != "slide" || v.Image == nil || !v.Image.Filed || v.Image.State != "available" || id != "" && v.Image.ID != id {
			t.Fatalf("file %d: %+v", i, v.Image)
		}
		id = v.Image.ID
	}
	im, err := s.c.Images.Get(t.Context(), id)
	if err != nil || im.Path != managed.SeriesPath("1.1") || len(im.Levels) != levels || im.FileName != "level.dcm" {
		t.Errorf("%+v, %v", im, err)
	}
	other := bytes.Clone(files[0])
	other[len(other)-30] ^= 1
	url := send("other.dcm", other)
	imports()
	if v := s.show(url); v.Image == nil || v.Image.State != "quarantined" || v.Image.Filed || v.Image.ID == id {
		t.Errorf("another file of the instance: %+v", v.Image)
	}
	url = send("cut.dcm", bytes.ReplaceAll(files[0], []byte("1.1\x00"), []byte("1.2\x00"))[:len(files[0])-50])
	imports()
	if v := s.show(url); v.Verdict == nil || *v.Verdict != "broken" || v.Image == nil || v.Image.State != "quarantined" {
		t.Errorf("an incomplete file: %v %+v", v.Verdict, v.Image)
	}
	url = send("label.dcm", bytes.ReplaceAll(files[levels], []byte("1.1\x00"), []byte("1.3\x00")))
	imports()
	if v := s.show(url); v.Verdict == nil || *v.Verdict != "unsupported" || v.Image == nil || v.Image.State != "quarantined" {
		t.Errorf("a label alone: %v %+v", v.Verdict, v.Image)
	}
}
