package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// until waits for a condition on a process.
func until(t *testing.T, what string, p *process, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(6 * soon); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within %v; %s", what, 6*soon, p.log)
}

// allowed returns the origin whose pages may read tiles.
func allowed(t *testing.T, url, origin string) bool {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", origin)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	return a.Header.Get("Access-Control-Allow-Origin") == origin
}

func hangUp(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// tileOf waits for the slide and returns the address of one of its tiles.
func tileOf(t *testing.T, p *process, database string) (address string) {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite:"+database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	until(t, "a slide", p, func() bool {
		page, err := c.Images.List(t.Context(), catalog.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, im := range page.Items {
			if im.FileName == philips.name && im.State == catalog.Available {
				address = "/api/v1/images/" + im.ID + "/tiles/0/0/0"
				r, err := http.Get(p.url + address)
				if err == nil {
					r.Body.Close()
				}
				return err == nil && r.StatusCode == http.StatusOK
			}
		}
		return false
	})
	return address
}

// TestReload reloads the configuration file repeatedly while a client requests tiles: no
// request fails, and the settings change.
func TestReload(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"serve", "tileserver"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			testReload(t, mode)
		})
	}
}

func testReload(t *testing.T, mode string) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(site, []byte("data: data\nlisten: 127.0.0.1:0\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	folder := filepath.Dir(philips.file(t))
	if mode == "tileserver" {
		done(t, "store", "add", "--config", site, folder)
		done(t, "sync", "--config", site, filepath.Base(folder))
	} else {
		write("stores: {a: {root: " + folder + "}}\n")
	}
	p := launch(t, mode, "--config", site)
	tile := tileOf(t, p, filepath.Join(dir, "data", "catalog.db"))

	var asked, dropped atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := client.Get(p.url + tile)
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				if err != nil || r.StatusCode != http.StatusOK {
					dropped.Add(1)
					t.Errorf("a tile during a reload: %v, %v", r, err)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 5 {
		origin := fmt.Sprintf("https://viewer%d.example.org", i)
		write(fmt.Sprintf("cors: {origins: [%s]}\nlimits: {open_slides: %d, cache_mb: %d}\nstores: {a: {root: %s, label: L%d}}\n", origin, 1+i, 10+i, folder, i))
		hangUp(t, p)
		until(t, "the new origin", p, func() bool { return allowed(t, p.url, origin) })
		if mode == "serve" {
			until(t, "the new label", p, func() bool {
				return strings.Contains(done(t, "store", "list", "--config", site), fmt.Sprintf("L%d", i))
			})
		}
	}
	write("listen: 127.0.0.1:1\nlisssten: x\n")
	hangUp(t, p)
	until(t, "the error of an invalid file", p, func() bool { return strings.Contains(p.log.String(), "the settings are unchanged") })
	if !allowed(t, p.url, "https://viewer4.example.org") {
		t.Error("an invalid file has changed something")
	}
	if err := os.WriteFile(site, []byte("data: data\nlog: {level: error, format: json}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t, p)
	until(t, "the keys that need a restart", p, func() bool { return strings.Contains(p.log.String(), "log.level: info → error") })
	if !strings.Contains(p.log.String(), "needs_restart=log.format") {
		t.Errorf("no needs_restart for the log format: %s", p.log)
	}
	before := asked.Load()
	until(t, "tiles after all this", p, func() bool { return asked.Load() > before+10 || dropped.Load() > 0 })
	close(stop)
	wg.Wait()
	t.Logf("%d tiles, %d dropped", asked.Load(), dropped.Load())
}
