package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/socket"
)

// startOnSocket runs a mode that listens on a Unix socket.
func startOnSocket(t *testing.T, path string, args ...string) *running {
	t.Helper()
	s := startOn(t, "unix:"+path, regexp.MustCompile("^unix:"+regexp.QuoteMeta(path)+"\n$"), args...)
	s.client, s.url = socketClient(t, path), "http://localhost"
	return s
}

func socketClient(t *testing.T, path string) *http.Client {
	t.Helper()
	dial, _, err := socket.Dialer("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}

// TestUnixSockets runs a server and a tile server on Unix sockets, with their ports for
// metrics and profiles: with a trusted proxy in front, the client's address and TLS are what
// the proxy says.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "sockets") // the path of t.TempDir may be too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data := newCatalog(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(goodPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done(t, "user", "add", "alice", "--admin", "--password-file", file, "--data="+data)
	in := func(name string) string { return filepath.Join(dir, name) }
	args := []string{"--data=" + data, "--auth=local", "--trusted-proxy=127.0.0.1", "--socket-mode=0600"}
	s := startOnSocket(t, in("serve"), append([]string{"serve", "--metrics-listen=unix:" + in("metrics"), "--debug-listen=unix:" + in("debug")}, args...)...)
	tiles := startOnSocket(t, in("tiles"), append([]string{"tileserver"}, args...)...)

	for _, name := range []string{"serve", "metrics", "debug", "tiles"} {
		if fi, err := os.Lstat(in(name)); err != nil || fi.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("%s: %v, %v, want a socket of mode 0600", name, fi, err)
		}
	}
	for path, name := range map[string]string{"/metrics": "metrics", "/readyz": "metrics", "/debug/pprof/cmdline": "debug"} {
		resp, err := socketClient(t, in(name)).Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s of %s: %d", path, name, resp.StatusCode)
		}
	}
	for _, p := range []*running{s, tiles} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-Proto", "https")
		resp, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("by TLS at the proxy: %d, %v", resp.StatusCode, resp.Header)
		}
	}
	body, err := json.Marshal(map[string]string{"name": "alice", "password": goodPassword})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/auth/login", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Forwarded-For", "192.0.2.77")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if out := done(t, "audit", "--data="+data); resp.StatusCode >= 300 || !strings.Contains(out, "192.0.2.77") {
		t.Errorf("log in: %d; the audit log has no address of the client: %s", resp.StatusCode, out)
	}
	for _, p := range []string{"serve", "tiles", "metrics"} {
		if r := command(t, "ready", "--listen=unix:"+in(p)); r.code != exitOK {
			t.Errorf("ready of %s: %v", p, r)
		}
	}
	if r := command(t, "doctor", "--all", "--data="+data, "--auth=local", "--listen=unix:"+in("serve"), "--timeout=1m"); !strings.Contains(r.out, "all background loops of the process work") {
		t.Errorf("doctor does not reach the server: %v", r)
	}
	if r := command(t, "serve", "--data="+t.TempDir(), "--listen=unix:"+in("serve")); r.code != exitFailure || !strings.Contains(r.err, "another process listens there") {
		t.Errorf("a second server: %v", r)
	}
	tiles.stop()
	s.stop()
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("after the end: %v, %v", list, err)
	}
}

// TestSocketFlags has flags of Unix sockets that are refused at the start.
func TestSocketFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args, want string
	}{
		{"--listen unix:a.sock", "--listen unix:a.sock: a Unix socket needs an absolute path"},
		{"--listen unix:/nonesuch/a.sock", "--listen unix:/nonesuch/a.sock: "},
		{"--listen unix:/tmp", "--listen unix:/tmp: /tmp exists and is not a socket"},
		{"--socket-mode rw", "--socket-mode rw: must be an octal mode"},
		{"--socket-mode 7777", "--socket-mode 7777: must be an octal mode"},
		{"--listen unix:/tmp/ptiffstore-none.sock --socket-group nonesuch", `unknown group "nonesuch"`},
		{"--listen 127.0.0.1:0 --metrics-listen unix:m", "--metrics-listen unix:m: a Unix socket"},
	} {
		r := command(t, append([]string{"serve", "--data", t.TempDir()}, strings.Fields(tt.args)...)...)
		if r.code == exitOK || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: %v, want %q", tt.args, r, tt.want)
		}
	}
}
