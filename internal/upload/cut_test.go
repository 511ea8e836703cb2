package upload_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/upload"
)

// A cutter is a proxy that resets each connection after some bytes.
type cutter struct {
	url    string
	after  func() int64 // bytes that the next connection may carry to the server
	passed atomic.Int64 // bytes to the server
	cuts   atomic.Int64
	wg     sync.WaitGroup
}

func newCutter(t *testing.T, server string, after func() int64) *cutter {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &cutter{url: "http://" + l.Addr().String(), after: after}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				c.carry(conn.(*net.TCPConn), to.Host)
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); c.wg.Wait() })
	return c
}

func (c *cutter) carry(from *net.TCPConn, host string) {
	defer from.Close()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return
	}
	to := conn.(*net.TCPConn)
	defer to.Close()
	go func() {
		io.Copy(from, to)
		from.Close()
	}()
	n, err := io.CopyN(to, from, c.after())
	c.passed.Add(n)
	if err == nil { // some data was left
		c.cuts.Add(1)
		from.SetLinger(0)
		to.SetLinger(0)
	}
}

func newClient(t *testing.T, url string) *upload.Client {
	return &upload.Client{URL: url, Dir: t.TempDir(), MaxRetryTime: 30 * time.Second, Chunk: 256 << 10}
}

func quietly(upload.Stage, int64, int64) {}

func slideOf(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), patient+".tiff")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Connections that are reset again and again, at any point, cost time but lose no
// bytes.
func TestCut(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	p := newCutter(t, s.url, func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Int64N(800 << 10)
	})
	file := noise(4 << 20)
	v, err := newClient(t, p.url).Send(t.Context(), slideOf(t, file), s.store.ID, quietly)
	if err != nil {
		t.Fatal(err)
	}
	if *v.SHA256 != hexSum(file) || p.cuts.Load() < 5 {
		t.Errorf("%+v after %d cuts", v, p.cuts.Load())
	}
	s.arrived(patient+".tiff", file)
}

// A client that sends the file in one request and without checksums loses no bytes that
// the server received before the connection was cut.
func TestCutInOneGo(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	p := newCutter(t, s.url, func() int64 { return 1 << 20 })
	file := noise(3 << 20)
	url := s.begin("a.tiff", len(file))
	offset, tries := 0, 0
	for ; offset < len(file); tries++ {
		s.try("PATCH", p.url+url, strings.NewReader(string(file[offset:])), "Content-Type", chunk, "Upload-Offset", itoa(offset))
		s.until("the server notices the cut", func() bool {
			was := offset
			offset = atoi(s.ask("HEAD", url, nil).offset())
			time.Sleep(20 * time.Millisecond)
			return offset == was
		})
		if tries > 300 {
			t.Fatalf("at %d after %d cuts", offset, tries)
		}
	}
	s.arrived("a.tiff", file)
}

// A client that is stopped and started again resumes its upload.
func TestClientRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	p := newCutter(t, s.url, func() int64 { return 1 << 40 })
	file := noise(4 << 20)
	path := slideOf(t, file)
	c := newClient(t, p.url)
	for n := range int64(3) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Send(ctx, path, s.store.ID, func(stage upload.Stage, done, _ int64) {
			if stage == upload.Sending && done > (n+1)<<20 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
	}
	began := p.passed.Load()
	if _, err := c.Send(t.Context(), path, s.store.ID, quietly); err != nil {
		t.Fatal(err)
	}
	s.arrived(patient+".tiff", file)
	if n := p.passed.Load(); n-began > 2<<20 {
		t.Errorf("the last start sent %d bytes of %d", n-began, len(file))
	}
	if got := s.incoming(); len(got) != 1 {
		t.Errorf("incoming has %q", got)
	}
	if entries, _ := os.ReadDir(c.Dir); len(entries) > 0 {
		t.Errorf("%v is left in the state folder", entries)
	}
}

// An upload that the server no longer has is begun again; a refusal is reported.
func TestClientRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{MaxSize: 1 << 20})
	path := slideOf(t, noise(1<<20))
	c := newClient(t, s.url)
	ctx, cancel := context.WithCancel(t.Context())
	c.Send(ctx, path, s.store.ID, func(stage upload.Stage, done, _ int64) {
		if stage == upload.Sending && done > 300<<10 {
			cancel()
		}
	})
	for _, name := range s.hidden() {
		os.Remove(filepath.Join(s.store.Incoming, ".ptiffstore-uploads", name))
	}
	if v, err := c.Send(t.Context(), path, s.store.ID, quietly); err != nil || v.State != "received" {
		t.Errorf("after the server forgot it: %+v, %v", v, err)
	}
	for _, tt := range []struct {
		name, store, path string
		want              int
	}{
		{"in-place store", s.inPlace.ID, path, 403},
		{"no such store", "elsewhere", path, 404},
		{"too large", s.store.ID, slideOf(t, noise(1<<20+1)), 413},
	} {
		_, err := c.Send(t.Context(), tt.path, tt.store, quietly)
		if e, ok := errors.AsType[*httperr.Error](err); !ok || e.Status != tt.want {
			t.Errorf("%s: %v, want a refusal with %d", tt.name, err, tt.want)
		}
	}
}

// An upload fails if its file is written to meanwhile.
func TestClientChanged(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	path := slideOf(t, noise(1<<20))
	_, err := newClient(t, s.url).Send(t.Context(), path, s.store.ID, func(stage upload.Stage, done, _ int64) {
		if stage == upload.Sending && done == 256<<10 {
			f, _ := os.OpenFile(path, os.O_WRONLY, 0)
			f.WriteAt([]byte("other"), 900<<10)
			f.Close()
		}
	})
	var refused *httperr.Error
	if !errors.Is(err, upload.ErrChanged) && !(errors.As(err, &refused) && refused.Status == 422) {
		t.Errorf("%v, want a refusal", err)
	}
	if got := s.incoming(); len(got) > 0 {
		t.Errorf("the store has %q", got)
	}
}

// Of two requests that write to one upload, one has to wait, and the bytes are those of
// the file.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1 << 20)
	url := s.begin("a.tiff", len(file))
	slow, feed := io.Pipe()
	first := make(chan answer, 1)
	go func() {
		a, _ := s.try("PATCH", url, slow, "Content-Type", chunk, "Upload-Offset", "0")
		first <- a
	}()
	for i := range 8 { // longer than a silent request keeps its place
		feed.Write(file[i<<16 : (i+1)<<16])
		time.Sleep(100 * time.Millisecond) // until the request has been received
		if a := s.patch(url, 0, file); a.status != 423 || a.header.Get("Retry-After") == "" {
			t.Errorf("while another sends: %d %s", a.status, a.body)
		}
	}
	feed.Close()
	if a := <-first; a.status != 204 || a.offset() != "524288" {
		t.Errorf("the first: %d %s %s", a.status, a.offset(), a.body)
	}
	// Of many requests at the same offset, exactly one is accepted.
	var wg sync.WaitGroup
	var took atomic.Int64
	for range 8 {
		wg.Go(func() {
			switch a := s.patch(url, 1<<19, file[1<<19:]); a.status {
			case 204:
				took.Add(1)
			case 409, 423, 413:
			default:
				t.Errorf("status %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 {
		t.Errorf("%d were taken", took.Load())
	}
	s.arrived("a.tiff", file)
}

// A connection that was lost without notice does not keep its client from resuming.
func TestSilentWriter(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1 << 20)
	url := s.begin("a.tiff", len(file))
	var at int
	s.until("the silent one yields", func() bool {
		// One that has to yield before its first bytes have come is sent again.
		silent, feed := io.Pipe()
		t.Cleanup(func() { feed.Close() })
		go s.try("PATCH", url, silent, "Content-Type", chunk, "Upload-Offset", "0")
		go feed.Write(file[:1000])
		time.Sleep(20 * time.Millisecond)
		at = atoi(s.ask("HEAD", url, nil).offset())
		return at == 1000
	})
	if a := s.patch(url, at, file[at:]); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.arrived("a.tiff", file)
}

// A server that stops keeps the bytes received from unfinished requests.
func TestEndOfServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, upload.Options{})
	file := noise(1 << 20)
	url := s.begin("a.tiff", len(file))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.uploads.Run(ctx); close(ended) }()
	body, feed := io.Pipe()
	defer feed.Close()
	done := make(chan answer, 1)
	go func() {
		a, _ := s.try("PATCH", url, body, "Content-Type", chunk, "Upload-Offset", "0")
		done <- a
	}()
	feed.Write(file[:4000])
	time.Sleep(100 * time.Millisecond)
	cancel()
	<-ended
	if a := <-done; a.status != 503 && a.status != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.serve(upload.Options{})
	if a := s.ask("HEAD", url, nil); a.offset() != "4000" {
		t.Errorf("offset %s, want the 4000 that had come", a.offset())
	}
}
