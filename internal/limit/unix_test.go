package limit

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/socket"
)

// TestUnixSocket serves on a Unix socket: its clients count as 127.0.0.1, connections over
// the limit are refused, a large file arrives complete, and a connection that waits when the
// listener is closed is still accepted.
func TestUnixSocket(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		dir, err := os.MkdirTemp("/tmp", "limit")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		address := "unix:" + filepath.Join(dir, "a.sock")
		l, err := socket.Listen(address, socket.Options{})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "file")
		content := strings.Repeat("0123456789abcdef", 300_000)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p := New(l, Options{Max: 2, PerAddress: 100, Ahead: ahead})
		server := &http.Server{ConnState: p.State, ConnContext: p.Context, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/file" {
				http.ServeFile(w, r, file)
				return
			}
			io.WriteString(w, r.RemoteAddr)
		})}
		go server.Serve(p)
		t.Cleanup(func() { server.Close() })
		dial, host, err := socket.Dialer(address)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: dial}}
		get := func(path string) string {
			resp, err := client.Get("http://" + host + path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if got := get("/"); got != "127.0.0.1:0" {
			t.Errorf("ahead %v: address %q", ahead, got)
		}
		if get("/file") != content {
			t.Errorf("ahead %v: the file differs from the one that was sent", ahead)
		}
		if s := p.Stats(); s.Open != 1 {
			t.Errorf("ahead %v: %d connections, want 1", ahead, s.Open)
		}
		var busy []net.Conn
		for range 3 { // new connections, which may not be closed for another one yet
			c, err := dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			busy = append(busy, c)
		}
		last := busy[len(busy)-1]
		io.WriteString(last, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		last.SetReadDeadline(time.Now().Add(time.Minute))
		if b, err := io.ReadAll(last); !strings.HasPrefix(string(b), "HTTP/1.1 503") {
			t.Errorf("ahead %v: over the limit: %q, %v", ahead, b, err)
		}
	}
}

// TestCloseUnixSocket closes a listener while a connection waits to be accepted.
func TestCloseUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "limit")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "a.sock")
	l, err := socket.Listen("unix:"+path, socket.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closed := make(chan struct{})
	go func() { Close(l); close(closed) }()
	for { // until no new client connects
		if _, err := os.Lstat(path); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal("the waiting connection was not accepted: ", err)
	}
	s.Close()
	<-closed
}
