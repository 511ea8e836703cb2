package upload_test

import (
	"bytes"
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
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
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
	var image string
	for i, b := range append(files, files[1]) {
		url := send("level.dcm", b)
		if v := s.show(url); v.Verdict == nil || *v.Verdict != "slide" {
			t.Errorf("file %d: %+v", i, v)
		}
		imports()
		v := s.show(url)
		if v.Image == nil || !v.Image.Filed || v.Image.State != "available" || image != "" && v.Image.ID != image {
			t.Fatalf("file %d: %+v", i, v.Image)
		}
		image = v.Image.ID
	}
	im, err := s.c.Images.Get(t.Context(), image)
	if err != nil || im.Path != managed.SeriesPath("1.1") || len(im.Levels) != len(files) || im.FileName != "level.dcm" {
		t.Errorf("%+v, %v", im, err)
	}
	other := bytes.Clone(files[0])
	other[len(other)-30] ^= 1
	url := send("other.dcm", other)
	imports()
	if v := s.show(url); v.Image == nil || v.Image.State != "quarantined" || v.Image.Filed || v.Image.ID == image {
		t.Errorf("another file of the instance: %+v", v.Image)
	}
}
