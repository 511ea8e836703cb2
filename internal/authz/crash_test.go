package authz_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/test/tiletest"
)

// TestMain also runs the central server, in a process of its own.
func TestMain(m *testing.M) {
	if addr := os.Getenv("PTIFFSTORE_TEST_CENTRAL"); addr != "" {
		if err := serveCentralServer(addr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const ttl = 2 * time.Second

// serveCentralServer serves until its standard input ends. /count returns the number of
// requests; /403 makes it deny further requests, /200 allow them.
func serveCentralServer(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	var asked, status atomic.Int64
	status.Store(200)
	mux := http.NewServeMux()
	mux.HandleFunc(authz.CheckPath, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		fmt.Fprintf(w, `{"allow":%v,"user":{"id":"u1","name":"Ann"},"ttl":%v}`, status.Load() == 200, ttl.Seconds())
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, asked.Load()) })
	mux.HandleFunc("/403", func(http.ResponseWriter, *http.Request) { status.Store(403) })
	mux.HandleFunc("/200", func(http.ResponseWriter, *http.Request) { status.Store(200) })
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // it ends either way
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	return http.Serve(l, mux) //nolint:gosec // for a test
}

// startCentralServer starts the central server at addr, and returns its URL and a
// function to kill it.
func startCentralServer(t *testing.T, addr string) (string, func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "PTIFFSTORE_TEST_CENTRAL="+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		cmd.Process.Kill() //nolint:errcheck // it may be dead already
		cmd.Wait()         //nolint:errcheck // it was killed
		in.Close()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the central server did not start: %v", err)
	}
	return strings.TrimSpace(line), kill
}

func fetch(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer ann")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestCentralServerKilled serves tiles by decisions of a central server in another
// process: it gets one request, its revocations are effective at once, and after it is
// killed its decisions are valid for their TTL and no longer.
func TestCentralServerKilled(t *testing.T) {
	addr, kill := startCentralServer(t, "127.0.0.1:0")
	site := tiletest.NewSite(t)
	if _, err := (synth.Philips{Seed: 1, Width: 600, Height: 500}).Write(filepath.Join(site.Dir, "a.tiff")); err != nil {
		t.Fatal(err)
	}
	site.Add(t, "a", "a.tiff")
	central, err := authz.NewCentral(authz.CentralOptions{URL: "http://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	defer central.Close()
	gate := authz.NewGate(authz.GateOptions{Authorizer: central})
	edge := httptest.NewServer(&nethttp.Handler{Tiles: site.Tiles, Gate: gate})
	defer edge.Close()
	tile := edge.URL + "/api/v1/images/a/tiles/0/0/0"
	want := func(when string, status int) {
		t.Helper()
		resp, body := fetch(t, tile)
		if resp.StatusCode != status {
			t.Fatalf("%s: status %d, want %d: %.200s", when, resp.StatusCode, status, body)
		}
		if status == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", when)
		}
	}
	count := func() string { _, n := fetch(t, "http://"+addr+"/count"); return n }
	revoke := func() { gate.Revoke(account.Revocation{Kind: account.RevokeUser, ID: "u1"}) }

	began := time.Now()
	for range 1001 {
		want("remembered", 200)
	}
	if asked := count(); asked != "1" && time.Since(began) < ttl {
		t.Errorf("the central server was asked %s times for 1001 tiles, want once", asked)
	}
	fetch(t, "http://"+addr+"/403")
	revoke()
	want("revoked", 403)
	fetch(t, "http://"+addr+"/200")
	revoke()
	want("given back", 200)

	kill()
	killed := time.Now()
	want("just killed", 200)
	time.Sleep(time.Until(killed.Add(ttl)))
	for range 10 {
		want("killed, and the time is over", 503)
	}
	startCentralServer(t, addr)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if resp, _ := fetch(t, tile); resp.StatusCode == 200 {
			break
		} else if resp.StatusCode != 503 || time.Now().After(deadline) {
			t.Fatalf("after the central server came back: status %d", resp.StatusCode)
		}
	}
}
