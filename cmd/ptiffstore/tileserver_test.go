package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slideatlas/ptiffstore/slide"
)

// beside starts a tile server on the data directory of a running server.
func beside(t *testing.T, data string, args ...string) *running {
	t.Helper()
	return start(t, append([]string{"tileserver", "--data", t.TempDir(), "--database", "sqlite:" + filepath.Join(data, "catalog.db")}, args...)...)
}

// TestTileserver waits until a tile server has a slide that serve has cataloged, and
// compares all of its tiles and headers with those of serve.
func TestTileserver(t *testing.T) {
	t.Parallel()
	const name = patient + ".tiff"
	data := newCatalog(t)
	s, dir := serving(t, nil, "--data", data)
	ts := beside(t, data)
	began := time.Now()
	deliver(t, philips, filepath.Join(dir, name))
	im := s.available(name)
	first := "/api/v1/images/" + im.ID + "/tiles/0/0/0"
	ts.until("the first tile", func() bool { return ts.get(first).status == http.StatusOK })
	t.Logf("%v from the rename to the first tile of another process", time.Since(began))

	compare := func(path string) {
		t.Helper()
		want, got := s.get(path), ts.get(path)
		if got.status != want.status || got.body != want.body && want.status < 400 {
			t.Errorf("%s: status %d, %d bytes; serve: status %d, %d bytes", path, got.status, len(got.body), want.status, len(want.body))
		}
		for _, h := range []string{"Content-Type", "Etag", "Cache-Control", "X-Tile", "X-Content-Type-Options", "Retry-After"} {
			if got.header.Get(h) != want.header.Get(h) {
				t.Errorf("%s: %s: %q; serve: %q", path, h, got.header.Get(h), want.header.Get(h))
			}
		}
	}
	sl := philips.open(t)
	for z, zoom := range sl.Zooms {
		for y := range zoom.Rows {
			for x := range zoom.Columns {
				path := fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d.jpg?v=%s", im.ID, z, x, y, im.Revision)
				if _, err := sl.AppendTile(nil, zoom.Level, x, y); err == nil {
					sameTile(t, path, ts.get(path), philips, zoom.Level, x, y)
				} else if !errors.Is(err, slide.ErrEmptyTile) || ts.get(path).header.Get("X-Tile") != "empty" {
					t.Errorf("%s: not marked as empty: %v", path, err)
				}
				compare(path)
			}
		}
	}
	file := strings.ReplaceAll(name, "^", "%5E")
	for _, path := range []string{
		"/api/v1/images/" + im.ID + "/tiles/tqsr.jpg", "/api/v1/images/" + im.ID + "/tiles/ttsr.jpg?origin=bottom-left", "/dzi/" + im.ID + ".dzi",
		"/dzi/" + im.ID + "_files/12/3_2.jpg", "/dzi/" + im.ID + "_files/8/0_0.jpg", "/dzi/" + im.ID + "_files/3/0_0.jpg",
		"/tile/" + im.Store + "/" + file + "/tqsr.jpg", "/tile?db=" + im.Store + "&img=" + im.ID + "&name=t.jpg", "/apiv1/slides/" + file + "/3/2/0",
		"/api/v1/images/" + im.ID + "/preview", "/api/v1/images/" + im.ID + "/associated/label", "/api/v1/images/" + im.ID + "/thumbnail?width=64",
		"/thumb/" + im.Store + "/" + im.ID, "/label?db=" + im.Store + "&img=" + im.ID,
		"/api/v1/images/none/tiles/0/0/0", "/api/v1/images/" + im.ID + "/tiles/9/0/0", "/api/v1/images/" + im.ID + "/tiles/0/0/0?v=another",
		"/healthz", "/readyz", "/nothing",
	} {
		compare(path)
	}
	for _, path := range []string{"/", "/api/v1/images", "/api/v1/images/" + im.ID, "/apiv1/slides", "/openapi.json"} {
		if a := ts.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404 of a server of tiles only", path, a.status)
		}
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	ts.until("no tile of a file that is gone", func() bool { return ts.get(first).status == http.StatusNotFound })
}

// TestTileserverOverwritten overwrites a slide that the tile server has open: the next
// answer has no old bytes, and later answers have those of the new slide.
func TestTileserverOverwritten(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	s, dir := serving(t, map[string]*slideFile{"a.tiff": philips}, "--data", data)
	ts := beside(t, data)
	before := s.available("a.tiff")
	tile := "/api/v1/images/" + before.ID + "/tiles/3/3/2"
	sameTile(t, tile, ts.get(tile), philips, 0, 3, 2)
	if err := os.WriteFile(filepath.Join(dir, "a.tiff"), replaced.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	old, fresh := storedTile(t, philips, 0, 3, 2), storedTile(t, replaced, 0, 3, 2)
	ts.until("a tile of the other slide", func() bool {
		a := ts.get(tile)
		if a.status == http.StatusOK && a.body != fresh {
			t.Fatalf("a tile of the slide that was overwritten (%v), or of none", a.body == old)
		}
		if a.status != http.StatusOK && a.status != http.StatusServiceUnavailable && a.status != http.StatusNotFound {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		return a.status == http.StatusOK
	})
	checkProblem(t, "the old revision", ts.get(tile+"?v="+before.Revision), http.StatusNotFound)
}

func TestTileserverGuard(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	s, _ := serving(t, map[string]*slideFile{"a.tiff": plain}, "--data", data)
	ts := beside(t, data)
	tile := "/api/v1/images/" + s.available("a.tiff").ID + "/tiles/0/0/0"
	ts.checkGuarded(t, "/healthz", tile, strings.TrimSuffix(tile, "/tiles/0/0/0")+"/preview")
	if a := ts.ask("POST", tile, "Origin", "https://evil.example"); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST of a tile: status %d, want %d", a.status, http.StatusMethodNotAllowed)
	}
}

// TestTileserverStops ends a tile server that has an idle connection.
func TestTileserverStops(t *testing.T) {
	// Two goroutines of fasthttp remain: one updates the date every second forever, and one
	// ends when it wakes after 10 s.
	leaks := []goleak.Option{
		goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}
	s := start(t, "tileserver", "--data", newCatalog(t))
	if a := s.get("/healthz"); a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to end, with an idle connection", took)
	}
	goleak.VerifyNone(t, leaks...)
}

// TestTileserverHalfRequest ends a tile server while a client has sent half a request.
func TestTileserverHalfRequest(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := start(t, "tileserver", "--data", newCatalog(t))
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: ")); err != nil {
		t.Fatal(err)
	}
	s.get("/readyz") // the other connection has been accepted before this one
	began := time.Now()
	s.cancel()
	select {
	case code := <-s.ended:
		if s.ended = nil; code != exitOK {
			t.Errorf("it ended with exit code %d: %s", code, s.log)
		}
	case <-time.After(soon):
		t.Fatalf("it has not ended after %v", time.Since(began))
	}
	t.Logf("%v until it ended", time.Since(began))
}

// TestUnsupportedTile asks both servers for an undamaged tile that only the decoder knows to
// be unsupported: they answer with a problem, log it, and never send an image.
func TestUnsupportedTile(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "odd.tiff")
	if err := os.WriteFile(odd, manyScans(t), 0o644); err != nil {
		t.Fatal(err)
	}
	data := newCatalog(t)
	s, dir := serving(t, nil, "--data", data)
	ts := beside(t, data)
	deliver(t, &slideFile{name: "odd.tiff", make: copyOf(odd)}, filepath.Join(dir, patient+".tiff"))
	im := s.available(patient + ".tiff")
	id := im.ID
	for _, one := range []*running{s, ts} {
		one.until("the image", func() bool { return one.get("/api/v1/images/"+id+"/tiles/1/0/0").status != http.StatusNotFound })
		for _, path := range []string{"/tiles/1/0/0", "/tiles/1/0/0.jpg?v=" + im.Revision, "/tiles/tq.jpg", "/dzi", "/thumbnail?width=400"} {
			logged := len(one.log.String())
			if path == "/dzi" {
				path = "/dzi/" + id + "_files/9/0_0.jpg"
			} else {
				path = "/api/v1/images/" + id + path
			}
			checkProblem(t, path, one.get(path), http.StatusBadGateway)
			if one == s && strings.Contains(path, "thumbnail") {
				continue // the render log is the process's, which is that of the server started last
			}
			if strings.Contains(path, "/tiles/") || strings.HasPrefix(path, "/dzi/") {
				logged = 0 // of the failed tiles of a store, one is logged every ten seconds
			}
			if log := one.log.String()[logged:]; !strings.Contains(log, "unsupported: JPEG of") {
				t.Errorf("%s: the log says %q, want that it is unsupported", path, log)
			}
		}
	}
}
