package server

import (
	"bytes"
	"context"
	"image/color"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

// atlas returns an image at the foot of its square, whose upper half is outside of it. One of
// its tiles is absent.
func atlas() atlastest.Image {
	im := atlastest.New("foot.svs", 100)
	im.Height, im.Foot = 60, true
	im = im.WithTiles()
	im.Tiles["t.jpg"] = atlastest.New("other.svs", 7).Tiles["t.jpg"]
	delete(im.Tiles, "ts.jpg")
	return im
}

// TestTilesOfImages requests tiles of a database and of a dump through both handlers.
func TestTilesOfImages(t *testing.T) {
	im := atlas()
	broken := atlastest.New("broken.svs", 10)
	broken.Tiles["tq.jpg"] = []byte("no JPEG")
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	pool := &source.Pool{Indexes: filepath.Join(t.TempDir(), "dumps"), Timeout: time.Minute}
	defer pool.Close()
	db := atlastest.NewDatabase(t, mongotest.New(t).Host, "tilesofimages")
	db.Put(t, im, broken)
	dump := &atlastest.Dump{Dir: t.TempDir()}
	dump.Put(t, im, broken)
	for kind, root := range map[catalog.Kind]string{catalog.MongoDB: db.URI, catalog.Dump: "dump://" + dump.Dir} {
		st, err := c.Stores.Put(t.Context(), catalog.Store{Label: string(kind), Kind: kind, Mode: catalog.InPlace, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		for name, url := range handlers(t, c, pool, st, map[string]string{"a": im.ID, "b": broken.ID}) {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				for name, want := range im.Tiles {
					first := fetch(t, url+"/api/v1/images/a/tiles/"+name, "")
					if first.status != 200 || !bytes.Equal(first.body, want) || first.header.Get("Content-Type") != "image/jpeg" || first.header.Get("X-Tile") != "" {
						t.Errorf("%s: %d, %d bytes, want %d; %v", name, first.status, len(first.body), len(want), first.header)
					}
					tag := first.header.Get("Etag")
					if again := fetch(t, url+"/api/v1/images/a/tiles/"+name, tag); tag == "" || again.status != 304 || len(again.body) != 0 || again.header.Get("Etag") != tag {
						t.Errorf("%s with its tag %q: %d, %d bytes", name, tag, again.status, len(again.body))
					}
				}
				for path, want := range map[string]int{"a/tiles/ts.jpg": 200, "a/tiles/tq.jpg": 404, "a/tiles/1/1/0.jpg": 404, "a/tiles/2/0/0.jpg": 404, "b/tiles/tq.jpg": 502, "b/tiles/tr.jpg": 200} {
					a := fetch(t, url+"/api/v1/images/"+path, "")
					if empty := a.header.Get("X-Tile") == "empty"; a.status != want || empty != (path == "a/tiles/ts.jpg") {
						t.Errorf("%s: %d, %v, want %d", path, a.status, a.header, want)
					}
				}
			})
		}
	}
}

// TestTilesOfStoppedDatabase stops a database: tiles that were not requested before are 503
// with Retry-After, never blank; others are still answered. When it is back, so are all.
func TestTilesOfStoppedDatabase(t *testing.T) {
	im := atlas()
	db := atlastest.NewDatabase(t, mongotest.New(t).Host, "stopped")
	db.Put(t, im)
	gate := newGate(t, mongotest.New(t).Host)
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), "catalog.db"))
	pool := &source.Pool{Timeout: 2 * time.Second}
	defer pool.Close()
	st, err := c.Stores.Put(t.Context(), catalog.Store{Kind: catalog.MongoDB, Mode: catalog.InPlace, Root: strings.Replace(db.URI, mongotest.New(t).Host, gate.host, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range handlers(t, c, pool, st, map[string]string{"a": im.ID}) {
		url += "/api/v1/images/a/tiles/"
		known := fetch(t, url+"t.jpg", "")
		gate.set(true)
		for range 4 {
			if a := fetch(t, url+"tt.jpg", ""); a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") == "image/jpeg" || strings.Contains(string(a.body), gate.host) {
				t.Errorf("%s: stopped: %d, %v %s", name, a.status, a.header, a.body)
			}
		}
		if a := fetch(t, url+"t.jpg", ""); a.status != 200 || !bytes.Equal(a.body, known.body) {
			t.Errorf("%s: a tile in the cache: %d", name, a.status)
		}
		gate.set(false)
		for began := time.Now(); ; {
			a := fetch(t, url+"tt.jpg", "")
			if a.status == 200 && bytes.Equal(a.body, im.Tiles["tt.jpg"]) {
				break
			}
			if a.status != 503 || time.Since(began) > time.Minute {
				t.Fatalf("%s: started again: %d %s", name, a.status, a.body)
			}
			time.Sleep(50 * time.Millisecond) // as a client that tries again
		}
	}
}

// handlers serves images of a store with both handlers, and returns their URLs.
func handlers(t *testing.T, c *catalog.Catalog, pool *source.Pool, st *catalog.Store, named map[string]string) map[string]string {
	t.Helper()
	src, err := pool.Open(st)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	urls := map[string]string{}
	for _, name := range []string{"net/http", "fasthttp"} {
		tiles := tile.New(tile.Options{
			Open: (&images{catalog: c, sources: pool}).open, Blank: render.Blank,
			Render: func(context.Context, tile.RenderRequest) ([]byte, error) { return nil, io.ErrUnexpectedEOF },
		})
		t.Cleanup(tiles.Close)
		store := &tile.Store{ID: st.ID, Kind: string(st.Kind), Background: color.RGBA{250, 240, 230, 255}}
		for id, path := range named {
			identity, err := src.Identify(path)
			if err != nil {
				t.Fatal(err)
			}
			tiles.Put(tile.File{ID: id, Path: path, Store: store, Revision: "r1", Identity: identity})
		}
		if name == "net/http" {
			srv := httptest.NewServer(&nethttp.Handler{Tiles: tiles})
			t.Cleanup(srv.Close)
			urls[name] = srv.URL
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := (&fasthttp.Handler{Tiles: tiles}).Server()
		go srv.Serve(l)
		t.Cleanup(func() { srv.Shutdown() })
		urls[name] = "http://" + l.Addr().String()
	}
	return urls
}

// A response is the answer to a request.
type response struct {
	status int
	header http.Header
	body   []byte
}

func fetch(t *testing.T, url, tag string) response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, b}
}

// A gate passes connections on to a server unless it is shut: to clients, the server is
// stopped then.
type gate struct {
	host string

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{host: l.Addr().String()}
	t.Cleanup(func() { l.Close(); g.set(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || !g.add(in, out) {
				in.Close()
				if err == nil {
					out.Close()
				}
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	return g
}

// add reports whether the gate is open.
func (g *gate) add(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.conns = append(g.conns, conns...)
	}
	return !g.shut
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}
