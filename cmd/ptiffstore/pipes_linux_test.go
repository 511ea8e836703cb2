package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipeInPlaceOfSlide replaces a slide that both servers have open with a named pipe that
// has no writer. Both answer far more requests for it than the limit of open slides, and
// still serve other slides.
func TestPipeInPlaceOfSlide(t *testing.T) {
	t.Parallel()
	data, dir := t.TempDir(), slidesIn(t, map[string]*slideFile{"piped.tiff": plain, "other.tiff": plain})
	serve := launch(t, "serve", dir, "--data", data)
	serve.until("both slides", func() bool {
		all := serve.images()
		return all["piped.tiff"].State == "available" && all["other.tiff"].State == "available"
	})
	piped, other := serve.images()["piped.tiff"].ID, serve.images()["other.tiff"].ID
	tileserver := launch(t, "tileserver", "--data", t.TempDir(), "--database", "sqlite:"+filepath.Join(data, "catalog.db"))
	servers := map[string]*process{"serve": serve, "tileserver": tileserver}
	tile := func(id string) string { return "/api/v1/images/" + id + "/tiles/2/1/1" }
	for name, p := range servers {
		sameTile(t, name, p.get(tile(piped)), plain, 0, 1, 1)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pipe, filepath.Join(dir, "piped.tiff")); err != nil {
		t.Fatal(err)
	}
	for name, p := range servers {
		p.until(name+" to notice", func() bool { return p.get(tile(piped)).status != http.StatusOK })
		askMany(p, 2*64, tile(piped), "/api/v1/images/"+piped+"/thumbnail", "/api/v1/images/"+piped+"/label")
		sameTile(t, name+": the other slide", p.get(tile(other)), plain, 0, 1, 1)
	}
}

// askMany requests each path that many times at once. It fails the test if one is served or
// not answered in time.
func askMany(p *process, times int, paths ...string) {
	p.t.Helper()
	var all sync.WaitGroup
	for i := range times * len(paths) {
		all.Go(func() {
			path := paths[i%len(paths)]
			r, err := http.NewRequestWithContext(p.t.Context(), "GET", p.url+path, nil)
			if err != nil {
				p.t.Error(err)
				return
			}
			client := &http.Client{Transport: p.client.Transport, Timeout: soon}
			a, err := client.Do(r)
			if err != nil {
				p.t.Error(err)
				return
			}
			a.Body.Close()
			if a.StatusCode < 400 {
				p.t.Errorf("%s: status %d of a named pipe", path, a.StatusCode)
			}
		})
	}
	all.Wait()
}

// TestDoctorBackupsOfPipes replaces each file of a backup, and the files that SQLite opens
// beside it, with a named pipe.
func TestDoctorBackupsOfPipes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"backup.json": "no backup", "catalog.db": "is damaged", "catalog.db-wal": "nothing to fix", "catalog.db-journal": "nothing to fix",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, backups := newCatalog(t), t.TempDir()
			folder := done(t, "backup", backups, "--data="+data)
			path := filepath.Join(folder, name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := command(t, "doctor", "--data="+data, "--cache-size=1", "--backups="+backups); !strings.Contains(r.out, want) {
				t.Errorf("%v, want that it says %q", r, want)
			}
		})
	}
}
