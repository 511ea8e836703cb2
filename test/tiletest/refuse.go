package tiletest

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// StartServer serves a tile server as the program does, with all handlers before its adapter,
// and lets pages of origins read tiles. It returns the base URL without a trailing slash.
type StartServer func(t *testing.T, s *tile.Server, origins ...string) string

// RunServer runs the part of the suite for the headers of all answers.
func RunServer(t *testing.T, start StartServer) {
	site := NewSite(t)
	write(t, synth.Philips{Seed: 1, Width: 150, Height: 125}, filepath.Join(site.Dir, "a.tiff"))
	site.Add(t, "a", "a.tiff")
	const viewer = "https://viewer.example.org"
	base := start(t, site.Tiles, viewer)
	t.Run("early answers", func(t *testing.T) { early(t, base) })
	t.Run("other origins", func(t *testing.T) { origins(t, base, viewer) })
	t.Run("every origin", func(t *testing.T) { origins(t, start(t, site.Tiles, "*"), "*") })
}

// early sends requests that are refused before any lookup, or that cannot be parsed: the
// answers have the same headers as all others.
func early(t *testing.T, base string) {
	const tile = "/api/v1/images/a/tiles/0/0/0"
	long := strings.Repeat("x", 40<<10)
	for _, tt := range []struct {
		name, request string
		statuses      []int // any of them: the libraries differ
	}{
		{"found", "GET " + tile + " HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{200}},
		{"not found", "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{404}},
		{"method", "DELETE " + tile + " HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{405}},
		{"malformed escape", "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}},
		{"escape cut short", "GET /nothing%2 HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}},
		{"malformed escape in a tile's address", "GET " + tile + "%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}},
		{"malformed escape in a file's name", "GET /tile/st/a%.tiff/t.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{400}},
		{"malformed escape in a query", "GET " + tile + "?x=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{200}},
		{"no HTTP", "hello\r\n\r\n", []int{400}},
		{"no host", "GET " + tile + " HTTP/1.1\r\n\r\n", []int{400}},
		{"long address", "GET /" + long + " HTTP/1.1\r\nHost: localhost\r\n\r\n", []int{431}},
		{"long header", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + long + "\r\n\r\n", []int{431}},
		{"large body", "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", []int{404, 413}},
		{"transfer coding", "POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: rot13\r\n\r\n", []int{400, 501}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait for the rest of a body
			got := raw(t, base, tt.request)
			want := map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer"}
			if got.status >= 400 {
				want["Content-Type"], want["Cache-Control"] = "application/problem+json", "no-store"
				var p struct{ Status int }
				if err := json.Unmarshal(got.body, &p); err != nil || p.Status != got.status {
					t.Errorf("body %q, %v: want a problem of status %d", got.body, err, got.status)
				}
			}
			have := map[string]string{}
			for k := range want {
				have[k] = got.header.Get(k)
			}
			if diff := cmp.Diff(want, have); diff != "" || !slices.Contains(tt.statuses, got.status) {
				t.Errorf("status %d, want one of %v; headers (-want +got):\n%s", got.status, tt.statuses, diff)
			}
		})
	}
}

// raw sends bytes and reads the answer to them.
func raw(t *testing.T, base, request string) answer {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	go io.WriteString(c, request) // the answer may come before the server has read all
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answerOf(t, resp)
}

// origins compares the CORS headers with Vary: a cache must not serve the answer for one
// origin to another.
func origins(t *testing.T, base, allowed string) {
	const tile = "/api/v1/images/a/tiles/0/0/0"
	for _, path := range []string{tile, "/tile/st/a/t.jpg", "/dzi/a_files/7/0_0.jpg", "/api/v1/images/none/tiles/0/0/0", "/nothing"} {
		for _, origin := range []string{"", "https://viewer.example.org", "https://other.example.org"} {
			var header []string
			if origin != "" {
				header = []string{"Origin", origin}
			}
			got := ask(t, "GET", base+path, header...)
			want := ""
			switch {
			case origin == "":
			case allowed == "*":
				want = "*"
			case origin == allowed:
				want = origin
			}
			vary := strings.Join(got.header.Values("Vary"), ", ")
			if have := got.header.Get("Access-Control-Allow-Origin"); have != want || !strings.Contains(vary, "Origin") {
				t.Errorf("GET %s of origin %q: Access-Control-Allow-Origin %q, want %q; Vary %q", path, origin, have, want, vary)
			}
		}
	}
	etag := ask(t, "GET", base+tile).header.Get("Etag")
	if got := ask(t, "GET", base+tile, "If-None-Match", etag); got.status != 304 || got.header.Get("Vary") != "Origin" {
		t.Errorf("not modified: status %d, Vary %q", got.status, got.header.Get("Vary"))
	}
}
