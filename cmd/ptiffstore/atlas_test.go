package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/slideatlas/ptiffstore/test/atlastest"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

// A gateway passes connections on to a server, and can be closed and opened again at the same
// address: to its clients, the server is stopped and started.
type gateway struct {
	t    *testing.T
	to   string
	Host string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

func newGateway(t *testing.T, to string) *gateway {
	g := &gateway{t: t, to: to, Host: "127.0.0.1:0"}
	g.open()
	t.Cleanup(g.close)
	return g
}

func (g *gateway) open() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.Host)
	if err != nil {
		g.t.Fatal(err)
	}
	g.l, g.Host = l, l.Addr().String()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.to)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
}

func (g *gateway) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.l.Close()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

// sync syncs a store now.
func (s *running) sync(store string) {
	s.t.Helper()
	if a := s.ask("POST", "/api/v1/stores/"+store+"/sync"); a.status/100 != 2 {
		s.t.Fatalf("sync: %d %s", a.status, a.body)
	}
}

// TestServeImages serves the images of a database and of a dump while they change, and while
// the database stops.
func TestServeImages(t *testing.T) {
	t.Parallel()
	g := newGateway(t, mongotest.New(t).Host)
	db := atlastest.NewDatabase(t, mongotest.New(t).Host, "serveimages")
	d := &atlastest.Dump{Dir: t.TempDir(), Zip: true}
	foot := atlastest.New("foot.svs", 100)
	foot.Foot = true
	foot = foot.WithTiles()
	stack := atlastest.New("stack.svs", 1)
	stack.Tiles = nil
	db.Put(t, foot, atlastest.New("head.svs", 50), stack)
	d.Put(t, atlastest.New("dumped.svs", 200))
	data := newCatalog(t)
	root := strings.Replace(db.URI, mongotest.New(t).Host, g.Host, 1)
	store := strings.TrimSpace(done(t, "store", "add", root, "--label", "Old slides", "--data", data))
	other := strings.TrimSpace(done(t, "store", "add", "dump://"+d.Dir, "--data", data))
	s := start(t, "serve", "--data", data)

	im := s.available("foot.svs")
	s.available("head.svs")
	dumped := s.available("dumped.svs")
	s.state("stack.svs", "unsupported")
	if im.Store != store || dumped.Store != other {
		t.Errorf("images of the stores %s and %s, want %s and %s", im.Store, dumped.Store, store, other)
	}
	for path, want := range map[string][]byte{
		"/api/v1/images/" + im.ID + "/tiles/1/0/1.jpg":                 foot.Tiles["tt.jpg"],
		"/tile/" + store + "/" + im.ID + "/tt.jpg":                     foot.Tiles["tt.jpg"],
		"/api/v1/images/" + dumped.ID + "/tiles/t.jpg":                 atlastest.New("dumped.svs", 200).Tiles["t.jpg"],
		"/tile/" + other + "/" + atlastest.ID("dumped.svs") + "/t.jpg": atlastest.New("dumped.svs", 200).Tiles["t.jpg"],
	} {
		if a := s.get(path); a.status != http.StatusOK || !bytes.Equal([]byte(a.body), want) {
			t.Errorf("%s: status %d, %d bytes, want %d", path, a.status, len(a.body), len(want))
		}
	}

	// A document is added, another one changed, and one removed.
	changed := atlastest.New("head.svs", 60)
	changed.Label = "Case 7"
	db.Put(t, changed, largeImage("new.svs"))
	db.Remove(t, stack.ID)
	revision := s.images()["head.svs"].Revision
	s.sync(store)
	s.available("new.svs")
	s.state("stack.svs", "missing")
	s.until("the change", func() bool { return s.images()["head.svs"].Revision != revision })
	s.until("the new tile", func() bool {
		return s.get("/api/v1/images/"+s.images()["head.svs"].ID+"/tiles/t.jpg").body == string(changed.Tiles["t.jpg"])
	})

	// The database stops: nothing is marked missing, and it is reported.
	g.close()
	var st struct {
		Kind  string
		Watch struct {
			Error     *string
			ErrorCode *string `json:"error_code"`
		}
		Root *string
	}
	get := func() {
		t.Helper()
		if err := json.Unmarshal([]byte(s.get("/api/v1/stores/"+store).body), &st); err != nil {
			t.Fatal(err)
		}
	}
	s.sync(store)
	deepest := "/api/v1/images/" + s.images()["new.svs"].ID + "/tiles/6/0/0.jpg" // no preview has read it
	if a := s.get(deepest); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a tile of a stopped database: %d %s", a.status, a.body)
	}
	if got := s.images()["new.svs"].State; got != "available" {
		t.Errorf("an image of a stopped database is %s", got)
	}
	if a := s.get("/api/v1/images/" + dumped.ID + "/tiles/1/1/0.jpg"); a.status != http.StatusOK {
		t.Errorf("a tile of the dump: %d", a.status)
	}
	g.open()
	s.until("tiles of the started database", func() bool {
		return s.get(deepest).status == http.StatusOK
	})
	get()
	if st.Kind != "mongodb" || st.Root == nil || *st.Root != root {
		t.Errorf("store: %+v", st)
	}
	// Images that are not files have previews, and no digest.
	for kind, want := range map[string]bool{"make_previews": true, "hash_image": false} {
		if a := s.get("/api/v1/tasks?kind=" + kind); a.status != http.StatusOK || strings.Contains(a.body, `"`+kind+`"`) != want {
			t.Errorf("tasks of the kind %s: %d %s", kind, a.status, a.body)
		}
	}
}

// largeImage returns an image of 4000 × 3000 pixels. Of the zoom levels that are larger than previews
// it has only the first tile.
func largeImage(name string) atlastest.Image {
	im := atlastest.Image{ID: atlastest.ID(name), Filename: name, Width: 4000, Height: 3000, Gray: 1}.WithTiles()
	maps.DeleteFunc(im.Tiles, func(name string, _ []byte) bool {
		path := strings.TrimSuffix(name, ".jpg")[1:]
		return len(path) > 4 && strings.Trim(path, "q") != ""
	})
	return im
}

// TestStoreAddImages checks the roots that are accepted, and that no password is shown.
func TestStoreAddImages(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), newCatalog(t)
	d := &atlastest.Dump{Dir: filepath.Join(dir, "tiles1")}
	d.Put(t, atlastest.New("a.svs", 1))
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mongodb://reader:hunter2@localhost/tiles1"},
		{"mongodb://localhost"},
		{"mongodb://localhost/tiles1", "--password-file", secret},
		{"mongodb://reader@localhost/tiles1", "--password-file", filepath.Join(dir, "none")},
		{"mongodb://localhost/tiles1", "--managed"},
		{"dump://" + dir + "/none"},
		{"dump://" + d.Dir, "--password-file", secret},
		{"dump://relative"},
		{"gs://bucket"},
		{"s3://key:hunter2@bucket"},
		{"s3://bucket/a/../b"},
		{"s3://bucket", "--managed"},
		{"s3://bucket", "--password-file", secret},
	} {
		var out, log bytes.Buffer
		if code := run(t.Context(), append([]string{"store", "add", "--data", data}, args...), streams{out: &out, err: &log}); code == 0 || strings.Contains(log.String()+out.String(), "hunter2") {
			t.Errorf("%q: exit status %d, %s%s", args, code, &out, &log)
		}
	}
	id := strings.TrimSpace(done(t, "store", "add", "dump://"+dir+"/./tiles1/", "--data", data))
	type store struct {
		ID, Kind, Label, Root string
		PasswordFile          *string `json:"password_file"`
	}
	got := decoded[store](t, "store", "show", id, "--json", "--data", data)
	diff(t, "the dump", store{ID: id, Kind: "dump", Label: "tiles1", Root: "dump://" + d.Dir}, got)
	if found := decoded[store](t, "store", "show", "dump://"+d.Dir, "--json", "--data", data); found.ID != id {
		t.Errorf("by its URL: %+v", found)
	}
	// Nothing answers at this address.
	db := "mongodb://reader@127.0.0.1:1/tiles1"
	id = strings.TrimSpace(done(t, "store", "add", db, "--label", "Old slides", "--password-file", secret, "--data", data))
	got = decoded[store](t, "store", "show", id, "--json", "--data", data)
	diff(t, "the database", store{ID: id, Kind: "mongodb", Label: "Old slides", Root: db, PasswordFile: &secret}, got)
	done(t, "store", "set", id, "--password-file", "", "--data", data)
	if got = decoded[store](t, "store", "show", id, "--json", "--data", data); got.PasswordFile != nil {
		t.Errorf("after it was removed: %+v", got)
	}
	if list := done(t, "store", "list", "--data", data); !strings.Contains(list, db) || strings.Contains(list, "hunter2") {
		t.Errorf("list: %s", list)
	}
}
