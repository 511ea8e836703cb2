package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestTilesDuringImport requests tiles and thumbnails of slides without pause while a
// managed store renames their files: none is refused, and no task fails.
func TestTilesDuringImport(t *testing.T) {
	t.Parallel()
	const slides = 4
	db, dir := "--data="+newCatalog(t), filepath.Join(slidesIn(t, nil), "archive")
	done(t, "store", "add", dir, db, "--managed")
	s := start(t, "serve", db, "--queue=default=8")
	for i := range slides {
		part := filepath.Join(dir, "part")
		if err := os.WriteFile(part, append(plain.bytes(t), byte(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(part, filepath.Join(dir, "incoming", fmt.Sprint(i, ".tiff"))); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range slides {
		im := s.available(fmt.Sprint(i, ".tiff"))
		wg.Go(func() { askDuringImport(t, s, im) })
	}
	wg.Wait()
	s.until("the tasks", func() bool {
		body := s.get("/api/v1/tasks?kind=make_previews").body
		return strings.Count(body, `"state":"succeeded"`) >= slides || strings.Contains(body, "error")
	})
	for _, line := range strings.Split(s.log.String(), "\n") {
		if (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) && !strings.Contains(line, overload) {
			t.Error(line)
		}
	}
	s.stop()
}

// overload is why a machine that renders too slowly refuses requests, with or without imports.
const overload = "too many requests at once"

// askDuringImport requests a tile and a thumbnail of an image until it has its digest.
func askDuringImport(t *testing.T, s *running, im imageJSON) {
	for n, imported := 0, false; !imported; n++ {
		imported = strings.Contains(s.get("/api/v1/images/"+im.ID).body, `"digest":"`) // and one round more
		for range 10 {
			for _, path := range []string{"/tiles/0/0/0?v=" + im.Revision, "/thumbnail?width=" + fmt.Sprint(100+n)} {
				if a := s.get("/api/v1/images/" + im.ID + path); a.status != http.StatusOK && !strings.Contains(a.body, overload) {
					t.Errorf("%s: %d %s", path, a.status, a.body)
					return
				}
			}
		}
	}
}
