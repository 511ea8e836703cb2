package upload_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/upload"
)

// A full disk causes an error for people and loses nothing; when there is enough space, the
// upload resumes.
func TestFull(t *testing.T) {
	t.Parallel()
	dir := realDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	s := newSiteIn(t, dir, upload.Options{Reserve: 64 << 10})
	m := metadata("filename", "a.tiff", "store", s.store.ID)
	checkProblem(t, s.ask("POST", upload.Route, nil, "Upload-Length", "9000000", "Upload-Metadata", m), 507)

	file := noise(4 << 20)
	url := s.begin("a.tiff", len(file))
	// The rest of the first upload is reserved for it.
	checkProblem(t, s.ask("POST", upload.Route, nil, "Upload-Length", "5000000", "Upload-Metadata", m), 507)
	if a := s.patch(url, 0, file[:1<<20]); a.status != 204 {
		t.Fatal(a)
	}
	other := dir + "/other"
	if err := os.WriteFile(other, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	a := s.patch(url, 1<<20, file[1<<20:])
	checkProblem(t, a, 507)
	if !strings.Contains(a.body, "room") || a.header.Get("Retry-After") == "" {
		t.Errorf("%s", a.body)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	at := atoi(s.ask("HEAD", url, nil).offset())
	if at != 1<<20 {
		t.Errorf("offset %d, want what was acknowledged", at)
	}
	if a := s.patch(url, at, file[at:]); a.status != 204 {
		t.Fatal(a)
	}
	s.arrived("a.tiff", file)
}
