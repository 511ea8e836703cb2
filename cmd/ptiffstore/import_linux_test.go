package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/atlastest"
)

// TestSlideAtlasGuide executes the examples of docs/slideatlas.md in their order, with a
// running server and a made-up site, and checks what they have led to.
func TestSlideAtlasGuide(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	site, files := newSiteDump(t)
	dir := filepath.Dir(site.Dir)
	for _, name := range []string{"bin", "slides/ptiff", "archive"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range site.Files {
		if err := os.Rename(filepath.Join(files, name), filepath.Join(files, "ptiff", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(built(t), filepath.Join(dir, "bin/ptiffstore")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "anna.txt"), []byte(goodPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t)
	s := launch(t, "serve", "--data", o.data)
	image := atlastest.ID(site.Files[3])
	replace := strings.NewReplacer(
		"/backups", site.Dir, "=/slides/ptiff", "="+filepath.Join(files, "ptiff"), "http://127.0.0.1:8080", s.url, "/archive", dir+"/archive",
		"OLDSTORE", site.Stores[2], "IMAGE", image,
	)
	run := 0
	for _, b := range blocksOf("docs/slideatlas.md", pages(t)["docs/slideatlas.md"]) {
		if !b.isShell() {
			continue
		}
		text := replace.Replace(b.text())
		if strings.HasPrefix(text, "curl") || strings.Contains(text, "curl -o") {
			s.until("the image in the server", func() bool { return s.get("/tile/"+site.Stores[2]+"/"+image+"/t.jpg").status == 200 })
		}
		shell(t, dir, o.data, text)
		run++
	}
	if run < 4 {
		t.Errorf("%d blocks were run", run)
	}
	h := o.holding()
	if len(h.Stores) < 3 || len(h.Images) != 40 || len(h.Users) != 4 || !h.Users[0].HasPassword {
		t.Errorf("%d stores, %d images, users %+v", len(h.Stores), len(h.Images), h.Users)
	}
	for _, name := range []string{"images.json", "tile.jpg"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(b) < 100 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if a := s.get("/ptiff-viewer?image=" + image); a.status != 200 || !strings.Contains(a.body, "<html") {
		t.Errorf("the old viewer's address: %d", a.status)
	}
}
