package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// replaced has the tile grid of philips but other tissue.
var replaced = &slideFile{name: "replaced.tiff", make: synth.Philips{
	Seed: 4, Width: 2300, Height: 1700, Sparse: true, Barcode: "S-13", Label: true, Macro: true,
}.Write}

// TestServeRoutes checks the answer of every route of a slide. All tile routes name tile 3,2
// of level 0, which is zoom 3.
func TestServeRoutes(t *testing.T) {
	t.Parallel()
	const name = patient + " 1.tiff"
	dir := slidesIn(t, map[string]*slideFile{name: philips, patient + " 2.tiff": plain})
	s := start(t, "serve", dir, "--data", newCatalog(t))
	im := s.available(name)
	s.available(patient + " 2.tiff")
	file := strings.NewReplacer(" ", "%20", "^", "%5E").Replace(name)
	t.Run("tiles", func(t *testing.T) {
		for _, path := range []string{
			"/api/v1/images/" + im.ID + "/tiles/3/3/2",
			"/api/v1/images/" + im.ID + "/tiles/3/3/2.jpg",
			strings.NewReplacer("{z}", "3", "{x}", "3", "{y}", "2").Replace(*im.TileURL),
			"/api/v1/images/" + im.ID + "/tiles/tqsr.jpg",
			"/api/v1/images/" + im.ID + "/tiles/ttsr.jpg?origin=bottom-left",
			"/dzi/" + im.ID + "_files/12/3_2.jpg",
			"/tile/" + im.Store + "/" + im.ID + "/tqsr.jpg",
			"/tile/" + im.Store + "/" + file + "/tqsr.jpg",
			"/tile?db=" + im.Store + "&img=" + im.ID + "&name=tqsr.jpg",
			"/apiv1/slides/" + file + "/3/2/0",
		} {
			sameTile(t, path, s.get(path), philips, 0, 3, 2)
		}
	})
	t.Run("pictures", func(t *testing.T) {
		for _, path := range []string{
			"/api/v1/images/" + im.ID + "/associated/label", "/api/v1/images/" + im.ID + "/associated/macro",
			"/api/v1/images/" + im.ID + "/preview", "/api/v1/images/" + im.ID + "/thumbnail?width=64",
			"/thumb/" + im.Store + "/" + im.ID, "/thumb?db=" + im.Store + "&img=" + im.ID, "/label?db=" + im.Store + "&img=" + im.ID,
			"/apiv1/slides/" + file + "/label/", "/apiv1/slides/" + file + "/macro/",
		} {
			a := s.get(path)
			if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/jpeg" {
				t.Errorf("%s: status %d, %s", path, a.status, a.header.Get("Content-Type"))
				continue
			}
			decode(t, a.body)
		}
	})
	t.Run("pages and documents", func(t *testing.T) { s.documents(t, im) })
	t.Run("not there", func(t *testing.T) {
		for _, path := range []string{
			"/api/v1/images/none", "/api/v1/images/none/tiles/0/0/0", "/api/v1/images/" + im.ID + "/tiles/4/0/0",
			"/api/v1/images/" + im.ID + "/tiles/3/5/0", "/api/v1/images/" + im.ID + "/tiles/tqqqqq.jpg", "/api/v1/images/" + im.ID + "/associated/thumbnail",
			"/api/v1/images/" + im.ID + "/tiles/3/3/2?v=another", "/tile/other/" + im.ID + "/t.jpg", "/nothing", "/dzi/none.dzi",
		} {
			checkProblem(t, path, s.get(path), http.StatusNotFound)
		}
	})
}

// documents checks the routes that are not images.
func (s *running) documents(t *testing.T, im imageJSON) {
	for _, tt := range []struct{ path, mediaType, want string }{
		{"/", "text/html", "<title>"},
		{"/docs", "text/html", "<title>"},
		{"/healthz", "text/plain", "ok\n"},
		{"/readyz", "text/plain", "ready\n"},
		{"/api/v1/stores", "application/json", im.Store},
		{"/api/v1/stores/" + im.Store, "application/json", `"available":2`},
		{"/api/v1/images/" + im.ID, "application/json", `"barcode":"S-12"`},
		{"/api/v1/images?q=s-1", "application/json", im.ID},
		{"/apiv1/slides", "application/json", `"barcode":"S-12"`},
	} {
		a := s.get(tt.path, "Accept", tt.mediaType)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), tt.mediaType) || !strings.Contains(a.body, tt.want) {
			t.Errorf("%s: status %d, %s, %.500q: want %s with %q", tt.path, a.status, a.header.Get("Content-Type"), a.body, tt.mediaType, tt.want)
		}
	}
	var dzi struct {
		TileSize int `xml:"TileSize,attr"`
		Size     struct {
			Width  int `xml:"Width,attr"`
			Height int `xml:"Height,attr"`
		}
	}
	a := s.get("/dzi/" + im.ID + ".dzi")
	if err := xml.Unmarshal([]byte(a.body), &dzi); err != nil || dzi.TileSize != 512 || dzi.Size.Width != 2560 || dzi.Size.Height != 2048 {
		t.Errorf("Deep Zoom descriptor: %v, %+v from %q", err, dzi, a.body)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]any
	}
	a = s.get("/openapi.json")
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Fatalf("OpenAPI document: %v, version %q", err, doc.OpenAPI)
	}
	for _, path := range []string{"/api/v1/stores", "/api/v1/images", "/api/v1/images/{image}", "/api/v1/images/{image}/tiles/{z}/{x}/{y}", "/api/v1/images/{image}/preview"} {
		if doc.Paths[path] == nil {
			t.Errorf("the OpenAPI document lacks %s", path)
		}
	}
}

// TestServeArrival renames a slide into the folder and measures the time until its first
// tile is served.
func TestServeArrival(t *testing.T) {
	t.Parallel()
	s, dir := serving(t, nil)
	if n := len(s.images()); n != 0 {
		t.Fatalf("%d images of an empty folder", n)
	}
	const name = patient + ".tiff"
	began := time.Now()
	deliver(t, philips, filepath.Join(dir, name))
	im := s.available(name)
	path := "/api/v1/images/" + im.ID + "/tiles/0/0/0"
	var a answer
	s.until("the first tile", func() bool { a = s.get(path); return a.status == http.StatusOK })
	t.Logf("%v from the rename to the first tile", time.Since(began))
	sameTile(t, path, a, philips, 3, 0, 0)
}

// TestServeStates follows files that grow, break and disappear through all states that serve
// sets, in a store with a short settle policy.
func TestServeStates(t *testing.T) {
	t.Parallel() // it waits most of the time
	data, dir := newCatalog(t), slidesIn(t, map[string]*slideFile{"stays 1.tiff": plain, "stays 2.tiff": plain, "stays 3.tiff": plain})
	impatientStore(t, data, dir)
	s := start(t, "serve", "--data", data)
	s.available("stays 3.tiff")
	path := func(name string) string { return filepath.Join(dir, name) }

	whole := philips.bytes(t)
	growing, err := os.Create(path("grows.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	defer growing.Close()
	writeAll(t, growing, whole[:len(whole)/2])
	s.state("grows.tiff", "arriving")
	im := s.images()["grows.tiff"]
	if a := s.get("/api/v1/images/" + im.ID + "/tiles/0/0/0"); im.TileURL != nil || im.Reason == nil || a.status != http.StatusNotFound {
		t.Errorf("while it arrives: %+v, its tile has status %d", im, a.status)
	}
	writeAll(t, growing, whole[len(whole)/2:])
	if err := growing.Close(); err != nil {
		t.Fatal(err)
	}
	if now := s.available("grows.tiff"); now.ID != im.ID || now.Revision == im.Revision {
		t.Errorf("once it is whole: id %s, revision %s; before %s, %s", now.ID, now.Revision, im.ID, im.Revision)
	}

	if err := os.WriteFile(path("cut.tiff"), whole[:len(whole)-1000], 0o644); err != nil {
		t.Fatal(err)
	}
	s.state("cut.tiff", "broken")
	if im := s.images()["cut.tiff"]; im.Reason == nil || !strings.Contains(*im.Reason, "byte") || im.TileURL != nil {
		t.Errorf("a broken file: %+v", im)
	}
	if err := os.Truncate(path("grows.tiff"), int64(len(whole)/3)); err != nil {
		t.Fatal(err)
	}
	if a := s.get("/api/v1/images/" + im.ID + "/tiles/3/3/2"); a.status == http.StatusOK {
		t.Error("a tile of a file that was cut short a moment ago")
	}
	s.state("grows.tiff", "broken")

	deliver(t, &slideFile{name: "strips.tiff", make: copyOf(damaged(t)["stripped"])}, path("strips.tiff"))
	s.state("strips.tiff", "unsupported")

	if err := os.Remove(path("stays 1.tiff")); err != nil {
		t.Fatal(err)
	}
	id := s.images()["stays 1.tiff"].ID
	s.state("stays 1.tiff", "missing")
	s.until("no tile of a missing file", func() bool { return s.get("/api/v1/images/"+id+"/tiles/0/0/0").status == http.StatusNotFound })
	deliver(t, plain, path("stays 1.tiff"))
	if im := s.available("stays 1.tiff"); im.ID != id {
		t.Errorf("it came back as %s, and was %s", im.ID, id)
	}
}

// impatientStore adds dir as a store whose settle policy calls a file broken after a second.
func impatientStore(t *testing.T, data, dir string) {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Stores.Put(t.Context(), catalog.Store{Label: "scanner", Mode: catalog.InPlace, Root: dir, Settle: time.Second}); err != nil {
		t.Fatal(err)
	}
}

func writeAll(t *testing.T, f *os.File, b []byte) {
	t.Helper()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}

// TestServeOverwritten overwrites a slide in place with another while clients request its
// tiles: no request that starts later gets old bytes, and none gets bytes of one slide with
// the revision of the other.
func TestServeOverwritten(t *testing.T) {
	t.Parallel()
	const name = patient + ".tiff"
	s, dir := serving(t, map[string]*slideFile{name: philips})
	before := s.available(name)
	tiles := "/api/v1/images/" + before.ID + "/tiles/"
	old, fresh := storedTile(t, philips, 0, 3, 2), storedTile(t, replaced, 0, 3, 2)
	var mu sync.Mutex
	var wrong []string
	overwritten, stop := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				late := isClosed(overwritten)
				a := s.get(tiles + "3/3/2")
				byOld := strings.HasPrefix(a.header.Get("Etag"), `"`+before.Revision)
				if a.status == http.StatusOK && (a.body != old && a.body != fresh || (a.body == old) != byOld || late && a.body == old) ||
					a.status != http.StatusOK && a.status != http.StatusServiceUnavailable && a.status != http.StatusNotFound {
					mu.Lock()
					wrong = append(wrong, fmt.Sprintf("status %d, %d bytes, old: %v, ETag %s, asked for after it was overwritten: %v", a.status, len(a.body), a.body == old, a.header.Get("Etag"), late))
					mu.Unlock()
				}
			}
		})
	}
	if err := os.WriteFile(filepath.Join(dir, name), replaced.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	close(overwritten)
	s.until("a tile of the other slide", func() bool { return s.get(tiles+"3/3/2").body == fresh })
	close(stop)
	wg.Wait()
	if len(wrong) > 0 {
		t.Errorf("%d wrong answers, as %s", len(wrong), wrong[0])
	}
	after := s.available(name)
	if after.ID != before.ID || after.Revision == before.Revision {
		t.Errorf("id %s, revision %s; before %s, %s", after.ID, after.Revision, before.ID, before.Revision)
	}
	checkProblem(t, "the old revision", s.get(tiles+"3/3/2?v="+before.Revision), http.StatusNotFound)
	a := s.get(tiles + "3/3/2?v=" + after.Revision)
	if sameTile(t, "the new revision", a, replaced, 0, 3, 2); !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("the new revision: %s, want immutable", a.header.Get("Cache-Control"))
	}
}

// TestServeReplaced renames another slide over one: images rendered from the first are not
// served for the second.
func TestServeReplaced(t *testing.T) {
	t.Parallel()
	const name = patient + ".tiff"
	s, dir := serving(t, map[string]*slideFile{name: philips})
	before := s.available(name)
	path := "/api/v1/images/" + before.ID
	pictures := []string{path + "/preview", path + "/associated/label", path + "/thumbnail?width=100", "/dzi/" + before.ID + "_files/8/0_0.jpg"}
	old := map[string]string{}
	for _, p := range pictures {
		old[p] = s.get(p).body
	}
	deliver(t, replaced, filepath.Join(dir, name))
	s.until("a new revision", func() bool {
		im := s.images()[name]
		return im.State == "available" && im.Revision != before.Revision && s.get(path+"/tiles/3/3/2?v="+im.Revision).status == http.StatusOK
	})
	sameTile(t, "tile", s.get(path+"/tiles/3/3/2"), replaced, 0, 3, 2)
	for _, p := range pictures {
		if a := s.get(p); a.status != http.StatusOK || a.body == old[p] {
			t.Errorf("%s: status %d, as before: %v", p, a.status, a.body == old[p])
		}
	}
}

func storedTile(t *testing.T, f *slideFile, level, x, y int) string {
	t.Helper()
	b, err := f.open(t).AppendTile(nil, level, x, y)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// guarded are requests to a server without access control, and the statuses with which it
// answers them. The path is of a tile or of a page.
var guarded = []struct {
	name   string
	header []string
	status int
}{
	{"by address", nil, http.StatusOK},
	{"by name", []string{"Host", "localhost:8080"}, http.StatusOK},
	{"IPv6", []string{"Host", "[::1]:8080"}, http.StatusOK},
	{"a name that was made to resolve to this machine", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
	{"a name that only begins well", []string{"Host", "localhost.evil.example"}, http.StatusMisdirectedRequest},
	{"another machine's address", []string{"Host", "192.0.2.1"}, http.StatusMisdirectedRequest},
	{"X-Forwarded-For", []string{"X-Forwarded-For", "192.0.2.1"}, http.StatusForbidden},
	{"X-Forwarded-Host", []string{"X-Forwarded-Host", "slides.example"}, http.StatusForbidden},
	{"Forwarded", []string{"Forwarded", "for=192.0.2.1"}, http.StatusForbidden},
}

func (s *running) checkGuarded(t *testing.T, paths ...string) {
	t.Helper()
	for _, tt := range guarded {
		for _, path := range paths {
			a := s.get(path, tt.header...)
			if tt.status != http.StatusOK {
				checkProblem(t, tt.name+" "+path, a, tt.status)
			} else if a.status != http.StatusOK {
				t.Errorf("%s: %s: status %d, want 200", tt.name, path, a.status)
			}
		}
	}
}

func TestServeGuard(t *testing.T) {
	t.Parallel()
	s, _ := serving(t, map[string]*slideFile{"a.tiff": plain})
	tile := "/api/v1/images/" + s.available("a.tiff").ID + "/tiles/0/0/0"
	s.checkGuarded(t, "/", "/api/v1/images", "/healthz", tile)
	for _, tt := range []struct {
		name   string
		header []string
		want   bool // refused because of its origin
	}{
		{"a page of another site", []string{"Origin", "https://evil.example"}, true},
		{"a page of another port", []string{"Origin", "http://127.0.0.1:1"}, true},
		{"a form of another site", []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"its own page", []string{"Sec-Fetch-Site", "same-origin"}, false},
		{"no browser", nil, false},
	} {
		for _, method := range []string{"POST", "DELETE", "PATCH"} {
			a := s.ask(method, "/api/v1/images/none", tt.header...)
			if (a.status == http.StatusForbidden) != tt.want {
				t.Errorf("%s: %s has status %d, want it refused: %v", tt.name, method, a.status, tt.want)
			}
		}
	}
	if a := s.ask("POST", tile, "Origin", "https://evil.example"); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST of a tile: status %d, want %d", a.status, http.StatusMethodNotAllowed)
	}
	if a := s.get(tile, "Origin", "https://evil.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("pages of other sites may read tiles: %v", a.header)
	}
}

// TestServeInsecure serves every client with --insecure-no-auth, and lets pages of one other
// origin read tiles.
func TestServeInsecure(t *testing.T) {
	t.Parallel()
	s, _ := serving(t, map[string]*slideFile{"a.tiff": plain}, "--insecure-no-auth", "--cors-origin", "https://viewer.example")
	tile := "/api/v1/images/" + s.available("a.tiff").ID + "/tiles/0/0/0"
	for _, tt := range guarded {
		if a := s.get(tile, tt.header...); a.status != http.StatusOK {
			t.Errorf("%s: status %d, want 200", tt.name, a.status)
		}
	}
	for origin, want := range map[string]string{"https://viewer.example": "https://viewer.example", "https://evil.example": ""} {
		if got := s.get(tile, "Origin", origin).header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("pages of %s: allowed origin %q, want %q", origin, got, want)
		}
	}
}

// TestServeRefused starts servers with flags that are refused: they create nothing.
func TestServeRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, mode := range []string{"serve", "tileserver", "demo"} {
		for _, tt := range []struct {
			listen, want string
			code         int
		}{
			{"0.0.0.0:0", "--insecure-no-auth", exitUsage},
			{"[::]:0", "--insecure-no-auth", exitUsage},
			{":0", "--insecure-no-auth", exitUsage},
			{"192.0.2.1:0", "--insecure-no-auth", exitUsage},
			{"8080", "missing port", exitUsage},
			{"127.0.0.1:99999", "invalid port", exitUsage},
			{taken.Addr().String(), "address already in use", exitFailure},
		} {
			data := filepath.Join(t.TempDir(), "data")
			if mode == "tileserver" && tt.want != "--insecure-no-auth" {
				data = newCatalog(t) // or it would wait for a catalog
			}
			r := command(t, mode, "--data", data, "--listen", tt.listen)
			if r.code != tt.code || r.out != "" || !strings.Contains(r.err, "--listen "+tt.listen) || !strings.Contains(r.err, tt.want) {
				t.Fatalf("%s --listen %s: %v, want exit code %d and %q", mode, tt.listen, r, tt.code, tt.want)
			}
			if _, err := os.Stat(data); tt.want == "--insecure-no-auth" && err == nil {
				t.Errorf("%s --listen %s made its data folder", mode, tt.listen)
			}
		}
	}
	for database, want := range map[string]string{
		"mysql://db/x": "invalid database URL: use sqlite:PATH or postgres://",
		"sqlite:" + filepath.Join(t.TempDir(), "none", "c.db"): "",
	} {
		if r := command(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--database", database); r.code != exitFailure || r.out != "" || !strings.Contains(r.err, want) || r.err == "" {
			t.Errorf("serve --database %s: %v, want exit code %d and %q", database, r, exitFailure, want)
		}
	}
}

// TestServeStops ends a server that has idle connections and open slides. It checks that no
// goroutines remain, and starts the server again: images keep their ids, and the server
// finds the next slide.
func TestServeStops(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	data, dir := newCatalog(t), slidesIn(t, map[string]*slideFile{"a.tiff": philips, "b.tiff": plain})
	s := start(t, "serve", dir, "--data", data)
	want := map[string]imageJSON{"a.tiff": s.available("a.tiff"), "b.tiff": s.available("b.tiff")}
	for name, path := range map[string]string{"a.tiff": "/tiles/0/0/0", "b.tiff": "/tiles/1/0/0"} {
		if a := s.get("/api/v1/images/" + want[name].ID + path); a.status != http.StatusOK {
			t.Errorf("tile of %s: status %d", name, a.status)
		}
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to end, with nothing to do", took)
	}
	goleak.VerifyNone(t, leaks)
	s = start(t, "serve", dir, "--data", data)
	s.available("b.tiff")
	diff(t, "images after the second start", want, s.images())
	deliver(t, plain, filepath.Join(dir, "c.tiff"))
	s.available("c.tiff") // the leases of the first do not block the second
}

// TestServeFailsToPrepare makes the demo fail after the server has started: the command must
// report that and end.
func TestServeFailsToPrepare(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	data := newCatalog(t)
	if err := os.Mkdir(filepath.Join(data, "demo"), 0o755); err != nil {
		t.Fatal(err)
	}
	const name = "S26-01417_A1_HE.tiff"
	if err := os.Symlink(name, filepath.Join(data, "demo", name)); err != nil {
		t.Fatal(err)
	}
	done := make(chan result, 1)
	go func() { done <- command(t, "demo", "--data", data, "--listen", "127.0.0.1:0") }()
	select {
	case r := <-done:
		if r.code != exitFailure || r.out != "" || !strings.Contains(r.err, "too many levels of symbolic links") {
			t.Errorf("%v, want exit code %d and why", r, exitFailure)
		}
	case <-time.After(soon):
		t.Fatalf("it has not ended after %v", soon)
	}
	goleak.VerifyNone(t, leaks)
}
