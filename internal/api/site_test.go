package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/follow"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// A site is a server without its command line: catalog, tiles and API.
type site struct {
	t        *testing.T
	dir      string // of its stores
	url      string
	database string
	api      *api.API
	follower *follow.Follower
	store    string      // id of the store of folder "slides"
	others   sync.Map    // slides that are in no file, by path
	admin    atomic.Bool // whether the caller is one
}

// template is a database with the tables of catalog, accounts and tasks; each site gets a
// copy.
var template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	c, err := catalog.Open(ctx, url)
	if err != nil {
		return err
	}
	a, err := account.Open(ctx, url, account.Options{})
	if err != nil {
		return errors.Join(err, c.Close())
	}
	_, err = task.Open(ctx, task.Options{Catalog: c})
	return errors.Join(err, a.Close(), c.Close())
}}

// newSite creates a site with one empty in-place store.
func newSite(t *testing.T) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	database := template.SQLite(t)
	c, err := catalog.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	quiet := slog.New(slog.DiscardHandler)
	cache, err := rendercache.OpenCache(filepath.Join(t.TempDir(), "cache"), 1<<30, quiet)
	if err != nil {
		t.Fatal(err)
	}
	renderer := rendercache.New(rendercache.Options{Cache: cache})
	st := &site{t: t, dir: dir, database: database}
	server := tile.New(tile.Options{Render: renderer.Tile, Convert: renderer.Convert, Blank: render.Blank, Envelope: dicomweb.Envelope(), Open: func(ctx context.Context, f *tile.File) (tile.Opened, error) {
		if f.Set {
			return st.openSet(ctx, f)
		}
		s, ok := st.others.Load(f.Path)
		if !ok {
			return tile.Opened{}, tile.ErrUnreachable
		}
		return tile.Opened{Slide: s.(*slide.Slide), Identity: f.Identity}, nil
	}})
	t.Cleanup(server.Close)
	st.admin.Store(true)
	st.api = &api.API{Catalog: c, Tiles: server, Renderer: renderer, Version: "v1", Log: quiet}
	st.api.Admin = func(*http.Request) bool { return st.admin.Load() }
	st.follower = &follow.Follower{Catalog: c, Tiles: server, Log: quiet}
	st.mkdir("slides")
	st.store = st.putStore(catalog.Store{Label: "Scanner 1", Mode: catalog.InPlace, Root: st.path("slides")})
	st.serve()
	return st
}

// serve starts the server.
func (st *site) serve() {
	mux := http.NewServeMux()
	st.api.Register(mux)
	st.takeUploads(mux)
	srv := httptest.NewServer(&nethttp.Handler{Tiles: st.api.Tiles, Next: &dicomweb.Frames{Service: st.api.DICOMweb(), Next: httperr.WithRequestID(mux)}, Redirect: st.api.SendOn})
	st.t.Cleanup(srv.Close)
	st.url = srv.URL
}

// takeUploads adds the routes of uploads, as the program does.
func (st *site) takeUploads(mux *http.ServeMux) {
	a := st.api
	uploads := http.NewServeMux()
	upload.New(upload.Options{
		Catalog: a.Catalog, Log: a.Log, Caller: a.Uploader, UserName: a.UserName, Reserve: 1,
		Rights: func(r *http.Request, s *catalog.Store) (upload.Rights, error) {
			admin, names, err := a.UploadRights(r, s)
			return upload.Rights{Admin: admin, Names: names}, err
		},
		Audit: func(r *http.Request, e upload.Event) error { return a.Audit(r, e.Act, e.Object, e.Detail) },
	}).Register(uploads)
	for _, route := range []string{upload.Route, upload.Route + "/{upload}"} {
		mux.Handle(route, a.Guard(route, uploads))
	}
}

func (st *site) path(name string) string { return filepath.Join(st.dir, name) }

func (st *site) mkdir(name string) {
	st.t.Helper()
	if err := os.MkdirAll(st.path(name), 0o755); err != nil {
		st.t.Fatal(err)
	}
}

func (st *site) putStore(s catalog.Store) string {
	st.t.Helper()
	put, err := st.api.Catalog.Stores.Put(st.t.Context(), s)
	if err != nil {
		st.t.Fatal(err)
	}
	return put.ID
}

// written holds the bytes of the slides written so far, by their description: writing one
// takes longer under the race detector than most tests.
var written sync.Map

// write writes a slide to a file of the site.
func (st *site) write(slide interface {
	Write(path string) (synth.Info, error)
}, name string,
) {
	st.t.Helper()
	description := fmt.Sprintf("%#v", slide)
	if b, ok := written.Load(description); ok {
		if err := os.WriteFile(st.path(name), b.([]byte), 0o644); err != nil {
			st.t.Fatal(err)
		}
		return
	}
	if _, err := slide.Write(st.path(name)); err != nil {
		st.t.Fatal(err)
	}
	b, err := os.ReadFile(st.path(name))
	if err != nil {
		st.t.Fatal(err)
	}
	written.Store(description, b)
}

// slides writes slides into the store, and adds them to the catalog and the tile server.
// It returns their ids by file name.
func (st *site) slides(named map[string]synth.Philips) map[string]string {
	st.t.Helper()
	for name, p := range named {
		if p.Width == 0 {
			p.Width, p.Height, p.TileSize = 600, 400, 128
		}
		st.write(p, "slides/"+name)
	}
	s := &scan.Syncer{Catalog: st.api.Catalog, Pause: 5 * time.Millisecond}
	if _, err := s.Sync(st.t.Context(), st.store, scan.Options{Wait: true}); err != nil {
		st.t.Fatal(err)
	}
	st.load()
	page, err := st.api.Catalog.Images.List(st.t.Context(), catalog.Query{Labels: true})
	if err != nil {
		st.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, im := range page.Items {
		ids[im.FileName] = im.ID
	}
	return ids
}

func (st *site) load() {
	st.t.Helper()
	if err := st.follower.Load(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
}

// An answer is a response with its body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// client does not follow redirects: tests check them first.
var client = &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
	if r.Response.StatusCode == http.StatusTemporaryRedirect {
		return http.ErrUseLastResponse
	}
	return nil
}}

// ask sends a request. Body is JSON, or "" for none; header alternates names and values.
func (st *site) ask(method, path, body string, header ...string) answer {
	st.t.Helper()
	r, err := http.NewRequestWithContext(st.t.Context(), method, st.url+path, strings.NewReader(body))
	if err != nil {
		st.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		st.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		st.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

func (st *site) get(path string, header ...string) answer {
	st.t.Helper()
	return st.ask(http.MethodGet, path, "", header...)
}

// object requests a JSON object and checks the status.
func (st *site) object(method, path, body string, status int) map[string]any {
	st.t.Helper()
	a := st.ask(method, path, body)
	if a.status != status {
		st.t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	if len(a.body) == 0 {
		return nil
	}
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		st.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
	}
	return v
}

// refused sends a request and checks the status and text of its error.
func (st *site) refused(method, path, body string, status int, words string) {
	st.t.Helper()
	a := st.ask(method, path, body)
	if a.status != status || !strings.Contains(string(a.body), words) {
		st.t.Errorf("%s %s %s: %d %s, want %d and %q", method, path, body, a.status, a.body, status, words)
		return
	}
	st.isProblem(a)
}

// isProblem checks that a response is an RFC 9457 problem that must not be cached, with
// the request id that is in the log, and without local paths.
func (st *site) isProblem(a answer) {
	st.t.Helper()
	var p httperr.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		st.t.Errorf("problem %s: %v", a.body, err)
		return
	}
	want := httperr.NewProblem(a.status, p.Detail, a.header.Get("X-Request-Id"))
	if p != want || p.Detail == "" || p.Instance == "" {
		st.t.Errorf("problem %+v, want %+v", p, want)
	}
	if got := a.header.Get("Content-Type"); got != httperr.ProblemType {
		st.t.Errorf("problem as %q, want %q", got, httperr.ProblemType)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		st.t.Errorf("problem with Cache-Control %q, want no-store", got)
	}
	if bytes.Contains(a.body, []byte(st.dir)) {
		st.t.Errorf("problem reveals a path: %s", a.body)
	}
}

// names returns a field of all items of a page.
func names(v map[string]any, field string) []string {
	list := []string{}
	for _, item := range v["items"].([]any) {
		s, _ := item.(map[string]any)[field].(string)
		list = append(list, s)
	}
	return list
}
