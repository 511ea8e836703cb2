// Package tiletest is a test suite for the adapters of package tile, over real HTTP and with
// real slides.
package tiletest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A Site is a tile server with slides, without its adapter.
type Site struct {
	Tiles   *tile.Server
	Dir     string
	Store   *tile.Store
	Slides  map[string]*slide.Slide // by image id, opened separately from the server
	changed chan string
}

// NewSite creates a site with an empty store.
func NewSite(t testing.TB) *Site {
	t.Helper()
	cache, err := rendercache.OpenCache(filepath.Join(t.TempDir(), "cache"), 1<<30, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &Site{Dir: t.TempDir(), Slides: map[string]*slide.Slide{}, changed: make(chan string, 100_000)}
	s.Store = &tile.Store{ID: "st", Root: s.Dir, Background: color.RGBA{250, 240, 230, 255}, Origin: slide.TopLeft}
	renderer := rendercache.New(rendercache.Options{Cache: cache})
	s.Tiles = tile.New(tile.Options{
		Render:  renderer.Tile,
		Convert: renderer.Convert,
		Blank:   render.Blank,
		Changed: func(id string) { s.changed <- id },
	})
	t.Cleanup(s.Tiles.Close)
	return s
}

// Add adds the file as the image with that id.
func (s *Site) Add(t testing.TB, id, file string) {
	t.Helper()
	identity, err := fsx.Stat(filepath.Join(s.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	s.Tiles.Put(tile.File{ID: id, Store: s.Store, Path: file, Name: file, Revision: identity.Revision(), Identity: identity})
	f, err := os.Open(filepath.Join(s.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if s.Slides[id], err = slide.Open(f, identity.Size); err != nil {
		t.Fatal(err)
	}
}

// Start serves a tile server through an adapter and returns its base URL without a trailing
// slash.
type Start func(t *testing.T, s *tile.Server) string

// Run runs the suite.
func Run(t *testing.T, start Start) {
	site := NewSite(t)
	write(t, synth.Philips{Seed: 1, Width: 575, Height: 425, Sparse: true, Barcode: "T1", Label: true, Macro: true}, filepath.Join(site.Dir, "a.tiff"))
	site.Add(t, "a", "a.tiff")
	base := start(t, site.Tiles)
	t.Run("stored", func(t *testing.T) { stored(t, site, base) })
	t.Run("addresses", func(t *testing.T) { addresses(t, site, base) })
	t.Run("headers", func(t *testing.T) { headers(t, site, base) })
	t.Run("other sites", func(t *testing.T) { otherSites(t, base) })
	t.Run("not there", func(t *testing.T) { notThere(t, site, base) })
	t.Run("deep zoom", func(t *testing.T) { deepZoom(t, site, base) })
	t.Run("colours", func(t *testing.T) { colors(t, site, base) })
	t.Run("replaced", func(t *testing.T) { replaced(t, site, base) })
	t.Run("no file", func(t *testing.T) { noFile(t, site, base) })
	t.Run("damaged", func(t *testing.T) { damaged(t, site, base) })
	t.Run("overwritten under load", func(t *testing.T) { underLoad(t, site, base) })
}

// tileSize is the side of the suite's tiles in pixels. It is small, since the suite needs
// many tiles and not many pixels.
const tileSize = 128

func write(t testing.TB, p synth.Philips, path string) {
	t.Helper()
	p.TileSize, p.MPPX = cmp.Or(p.TileSize, tileSize), 1
	if _, err := p.Write(path); err != nil {
		t.Fatal(err)
	}
}

// An answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func ask(t testing.TB, method, url string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answerOf(t, resp)
}

// answerOf reads a complete response.
func answerOf(t testing.TB, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

func get(t testing.TB, url string) answer { t.Helper(); return ask(t, "GET", url) }

// stored compares every tile of every stored zoom with the bytes in the file.
func stored(t *testing.T, site *Site, base string) {
	s := site.Slides["a"]
	full, empty := 0, 0
	for z, zoom := range s.Zooms {
		for y := range zoom.Rows {
			for x := range zoom.Columns {
				got := get(t, fmt.Sprintf("%s/api/v1/images/a/tiles/%d/%d/%d.jpg", base, z, x, y))
				want, err := s.AppendTile(nil, zoom.Level, x, y)
				if err == slide.ErrEmptyTile {
					empty++
					checkBlank(t, site, got)
					continue
				}
				full++
				if err != nil || got.status != 200 || !bytes.Equal(got.body, want) {
					t.Fatalf("zoom %d tile %d,%d: status %d, %d bytes; the file holds %d bytes, %v", z, x, y, got.status, len(got.body), len(want), err)
				}
			}
		}
	}
	if full == 0 || empty == 0 {
		t.Errorf("%d tiles and %d skipped ones, want some of each", full, empty)
	}
}

func checkBlank(t *testing.T, site *Site, got answer) {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(got.body))
	if err != nil || got.status != 200 || got.header.Get("X-Tile") != "empty" {
		t.Fatalf("skipped tile: status %d, X-Tile %q, %v", got.status, got.header.Get("X-Tile"), err)
	}
	if b := img.Bounds(); b.Dx() != tileSize || b.Dy() != tileSize {
		t.Fatalf("skipped tile is %v", b)
	}
	r, g, b, _ := img.At(75, 75).RGBA()
	for i, d := range []int{int(r>>8) - int(site.Store.Background.R), int(g>>8) - int(site.Store.Background.G), int(b>>8) - int(site.Store.Background.B)} {
		if d < -3 || d > 3 {
			t.Fatalf("skipped tile has channel %d off by %d", i, d)
		}
	}
}

// addresses requests one tile by each kind of address.
func addresses(t *testing.T, site *Site, base string) {
	s := site.Slides["a"]
	z := len(s.Zooms) - 1
	x, y := firstTile(t, s)
	want, err := s.AppendTile(nil, 0, x, y)
	if err != nil {
		t.Fatal(err)
	}
	rows := func(z int) int { return s.Zooms[z].Rows }
	top := slide.Name(z, x, y, slide.TopLeft, rows)
	bottom := slide.Name(z, x, y, slide.BottomLeft, rows)
	dz := tile.DeepZoomLevels(s.Levels[0].Width, s.Levels[0].Height)
	for _, path := range []string{
		fmt.Sprintf("/api/v1/images/a/tiles/%d/%d/%d", z, x, y),
		fmt.Sprintf("/api/v1/images/a/tiles/%d/%d/%d.jpg", z, x, y),
		"/api/v1/images/a/tiles/" + top + ".jpg",
		"/api/v1/images/a/tiles/" + top + ".jpg?origin=top-left",
		"/api/v1/images/a/tiles/" + bottom + ".jpg?origin=bottom-left",
		fmt.Sprintf("/dzi/a_files/%d/%d_%d.jpg", dz, x, y),
		"/tile/st/a/" + top + ".jpg",
		"/tile/st/a.tiff/" + top + ".jpg",
		"/tile?db=st&img=a&name=" + top + ".jpg",
		fmt.Sprintf("/apiv1/slides/a.tiff/%d/%d/0", x, y),
	} {
		got := get(t, base+path)
		if got.status != 200 || !bytes.Equal(got.body, want) {
			t.Errorf("GET %s: status %d, %d bytes, want the tile's %d", path, got.status, len(got.body), len(want))
		}
	}
}

// firstTile finds a tile of level 0 that was scanned.
func firstTile(t testing.TB, s *slide.Slide) (x, y int) {
	t.Helper()
	for y := range s.Levels[0].Rows {
		for x := range s.Levels[0].Columns {
			if _, err := s.AppendTile(nil, 0, x, y); err == nil {
				return x, y
			}
		}
	}
	t.Fatal("no tile of level 0 was scanned")
	return 0, 0
}

// headers checks the headers for caches and clients.
func headers(t *testing.T, site *Site, base string) {
	im, err := site.Tiles.Image("a")
	if err != nil {
		t.Fatal(err)
	}
	url := base + "/api/v1/images/a/tiles/0/0/0.jpg"
	plain := get(t, url)
	etag := plain.header.Get("ETag")
	tests := []struct {
		name   string
		method string
		url    string
		header []string
		want   map[string]string
		status int
		empty  bool
	}{
		{"plain", "GET", url, nil, map[string]string{"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=60", "Etag": etag, "X-Content-Type-Options": "nosniff", "Content-Length": fmt.Sprint(len(plain.body))}, 200, false},
		{"head", "HEAD", url, nil, map[string]string{"Content-Type": "image/jpeg", "Etag": etag, "Content-Length": fmt.Sprint(len(plain.body))}, 200, true},
		{"revision", "GET", url + "?v=" + im.File.Revision, nil, map[string]string{"Cache-Control": "private, max-age=31536000, immutable", "Etag": etag}, 200, false},
		{"not modified", "GET", url, []string{"If-None-Match", etag}, map[string]string{"Etag": etag, "Cache-Control": "private, max-age=60"}, 304, true},
		{"not modified, weak and in a list", "GET", url, []string{"If-None-Match", `"x", W/` + etag}, map[string]string{"Etag": etag}, 304, true},
		{"modified", "GET", url, []string{"If-None-Match", `"x"`}, map[string]string{"Etag": etag}, 200, false},
		{"old revision", "GET", url + "?v=gone", nil, map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"}, 404, false},
		{"old revision that is in the cache", "GET", url + "?v=gone", []string{"If-None-Match", etag}, map[string]string{"Cache-Control": "no-store"}, 404, false},
		{"post", "POST", url, nil, map[string]string{"Allow": "GET, HEAD", "Content-Type": "application/problem+json"}, 405, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, tt.method, tt.url, tt.header...)
			if got.status != tt.status {
				t.Errorf("status %d, want %d", got.status, tt.status)
			}
			for k, v := range tt.want {
				if g := got.header.Get(k); g != v {
					t.Errorf("%s: %q, want %q", k, g, v)
				}
			}
			if (len(got.body) == 0) != tt.empty {
				t.Errorf("%d bytes of body, want none: %v", len(got.body), tt.empty)
			}
		})
	}
	if len(etag) < 4 || etag[0] != '"' || strings.HasPrefix(etag, "W/") {
		t.Errorf("ETag %q is not a strong one", etag)
	}
}

// otherSites sends requests as browsers do for pages of other sites. Without access control
// those pages must not learn which file names exist.
func otherSites(t *testing.T, base string) {
	byID := []string{"/api/v1/images/a/tiles/0/0/0", "/dzi/a_files/9/0_0.jpg", "/tile/st/a/t.jpg", "/tile?db=st&img=a&name=t.jpg", "/apiv1/slides/a/0/0/0", "/api/v1/images/none/tiles/0/0/0"}
	byName := []string{"/tile/st/a.tiff/t.jpg", "/tile?db=st&img=a.tiff&name=t.jpg", "/apiv1/slides/a.tiff/0/0/0", "/tile/st/none.tiff/t.jpg", "/tile?db=st&img=none.tiff&name=t.jpg", "/apiv1/slides/none.tiff/0/0/0", "/tile/other/a.tiff/t.jpg"}
	tests := []struct {
		name    string
		header  []string
		refused bool
	}{
		{"a program", nil, false},
		{"typed by a person", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, false},
		{"a page of ours", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
		{"a page of the same site", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
		{"a link on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, false},
		{"a picture on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, true},
		{"a frame on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, true},
		{"a script on another site", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, true},
		{"another site, no more is said", []string{"Sec-Fetch-Site", "cross-site"}, true},
	}
	for _, tt := range tests {
		for _, path := range byID {
			got := ask(t, "GET", base+path, tt.header...)
			if policy := got.header.Get("Cross-Origin-Resource-Policy"); got.status == 403 || policy != "cross-origin" {
				t.Errorf("%s: GET %s: status %d, policy %q", tt.name, path, got.status, policy)
			}
		}
		for _, path := range byName {
			got := ask(t, "GET", base+path, tt.header...)
			if policy := got.header.Get("Cross-Origin-Resource-Policy"); (got.status == 403) != tt.refused || policy != "same-origin" {
				t.Errorf("%s: GET %s: status %d, policy %q", tt.name, path, got.status, policy)
			}
		}
	}
}

// notThere requests unknown images and tiles.
func notThere(t *testing.T, site *Site, base string) {
	s := site.Slides["a"]
	top := s.Zooms[len(s.Zooms)-1]
	z := len(s.Zooms) - 1
	for _, path := range []string{
		"/api/v1/images/none/tiles/0/0/0",
		fmt.Sprintf("/api/v1/images/a/tiles/%d/0/0", z+1),
		fmt.Sprintf("/api/v1/images/a/tiles/%d/%d/0", z, top.Columns),
		fmt.Sprintf("/api/v1/images/a/tiles/%d/0/%d", z, top.Rows),
		"/api/v1/images/a/tiles/0/999999999/999999999",
		"/api/v1/images/a/tiles/-1/0/0",
		"/api/v1/images/a/tiles/x.jpg",
		"/api/v1/images/a/tiles/tx.jpg",
		"/api/v1/images/a/tiles/tsssssssssssss.jpg",
		"/api/v1/images/a.tiff/tiles/0/0/0",
		"/tile/other/a/t.jpg",
		"/tile/st/../a/t.jpg",
		"/apiv1/slides/..%2fa.tiff/0/0/0",
		"/apiv1/slides/a.tiff/0/0/99",
		"/dzi/a_files/99/0_0.jpg",
		"/dzi/a_files/10/999_0.jpg",
		"/nothing",
	} {
		got := get(t, base+path)
		var p struct {
			Status int
			Title  string
			Detail string
		}
		if err := json.Unmarshal(got.body, &p); err != nil || got.status != 404 || p.Status != 404 || p.Detail == "" || p.Title != "Not Found" {
			t.Errorf("GET %s: status %d, body %s, %v: want a problem of status 404", path, got.status, got.body, err)
		}
		if cc := got.header.Get("Cache-Control"); cc != "no-store" {
			t.Errorf("GET %s: Cache-Control %q, want no-store", path, cc)
		}
	}
}

// deepZoom assembles every Deep Zoom level and compares its size, and compares the largest
// level with the tiles of the file.
func deepZoom(t *testing.T, site *Site, base string) {
	s := site.Slides["a"]
	w, h := s.Levels[0].Width, s.Levels[0].Height
	for level := tile.DeepZoomLevels(w, h); level >= 0; level-- {
		cols, rows := (w+tileSize-1)/tileSize, (h+tileSize-1)/tileSize
		for y := range rows {
			for x := range cols {
				got := get(t, fmt.Sprintf("%s/dzi/a_files/%d/%d_%d.jpg", base, level, x, y))
				cfg, err := jpeg.DecodeConfig(bytes.NewReader(got.body))
				want := image.Pt(min(tileSize, w-x*tileSize), min(tileSize, h-y*tileSize))
				if err != nil || got.status != 200 || image.Pt(cfg.Width, cfg.Height) != want {
					t.Fatalf("level %d tile %d_%d: status %d, %v, %d × %d, want %v", level, x, y, got.status, err, cfg.Width, cfg.Height, want)
				}
			}
		}
		if got := get(t, fmt.Sprintf("%s/dzi/a_files/%d/%d_0.jpg", base, level, cols)); got.status != 404 {
			t.Errorf("level %d column %d: status %d, want 404", level, cols, got.status)
		}
		w, h = (w+1)/2, (h+1)/2
	}
}
