package upload_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestHandedOver uploads slides and imports them. A file that is unchanged since is not
// read again; the digest is that of its bytes in any case.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	known := managed.NewReceived()
	s := newSite(t, upload.Options{Received: known})
	files := map[string][]byte{"same.tiff": slidetest.Pyramid{Seed: 1}.Bytes(), "touched.tiff": slidetest.Pyramid{Seed: 2}.Bytes()}
	for name, data := range files {
		if a := s.patch(s.begin(name, len(data)), 0, data); a.status != 204 {
			t.Fatalf("PATCH: %d %s", a.status, a.body)
		}
	}
	time.Sleep(20 * time.Millisecond) // times of files have the resolution of a clock tick
	if err := os.Chmod(filepath.Join(s.store.Incoming, "touched.tiff"), 0o600); err != nil {
		t.Fatal(err)
	}
	syncer := &scan.Syncer{Catalog: s.c, Received: known, Pause: time.Millisecond}
	if r, err := syncer.Sync(t.Context(), s.store.ID, scan.Options{Import: true, Wait: true}); err != nil || r.Imported != 2 {
		t.Fatalf("%+v, %v; want 2 imported", r, err)
	}
	err := s.c.Images.Each(t.Context(), s.store.ID, func(im *catalog.Image) error {
		if want := hexSum(files[im.FileName]); im.Path != managed.SlidePath(want) || im.Digest == nil || *im.Digest != want {
			t.Errorf("%s: at %s, want the digest %s", im.FileName, im.Path, want)
		}
		if read := im.VerifiedAt != nil; read != (im.FileName == "touched.tiff") {
			t.Errorf("%s: was read by the import: %v", im.FileName, read)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
