package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// largeRegion is a region of 48 MB in five bands, of which most is background, so that it costs
// little.
const largeRegion = "/region?w=4096&h=4096&format=raw"

// A regionServer is a process with one slide.
type regionServer struct {
	*Server
	t    *testing.T
	file string // the slide
	at   string // path of the image
}

// regionServers starts a process of each mode that answers requests, on a slide of its own. It
// serves two requests at once, and ends an answer whose client takes no part of it for sendTime.
func regionServers(t *testing.T, sendTime time.Duration, test func(t *testing.T, s *regionServer)) {
	for _, mode := range []Mode{Serve, TileServer} {
		t.Run(string(mode), func(t *testing.T) {
			data, dir := t.TempDir(), t.TempDir()
			file := filepath.Join(dir, "a.tiff")
			if _, err := (synth.Generic{Width: 700, Height: 500, TileW: 128}).Write(file); err != nil {
				t.Fatal(err)
			}
			image := cataloged(t, filepath.Join(data, "catalog.db"), dir)
			s, err := Open(t.Context(), Options{
				Mode: mode, Log: slog.New(slog.DiscardHandler), DataDir: data, Database: "sqlite:" + filepath.Join(data, "catalog.db"),
				Listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
				Memory: 1 << 30, Cache: Cache{Bytes: 1 << 20, OpenSlides: 8, OpenBytes: 1 << 20},
			})
			if err != nil {
				t.Fatal(err)
			}
			s.port.requests = limit.NewRequestLimiter(2, 8, time.Minute)
			s.port.buffer.SendTime, s.port.buffer.SendRate = sendTime, 1<<30
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				s.Close()
			}()
			test(t, &regionServer{Server: s, t: t, file: file, at: "/api/v1/images/" + image})
		})
	}
}

// cataloged creates a catalog with the slide in a folder, and returns its id.
func cataloged(t *testing.T, path, dir string) string {
	t.Helper()
	c := catalogtest.Open(t, path)
	st, err := c.Stores.Put(t.Context(), catalog.Store{Label: "a", Mode: catalog.InPlace, Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&scan.Syncer{Catalog: c, Pause: 5 * time.Millisecond}).Sync(t.Context(), st.ID, scan.Options{Wait: true}); err != nil {
		t.Fatal(err)
	}
	page, err := c.Images.List(t.Context(), catalog.Query{})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d images, %v", len(page.Items), err)
	}
	return page.Items[0].ID
}

// begin requests a path and reads the head of the answer, and little of its body.
func (s *regionServer) begin(path string) (net.Conn, *http.Response) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", s.at+path)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %v, %v", path, resp, err)
	}
	return c, resp
}

// eventually waits for a condition, and fails the test with all goroutines if it does not become true.
func (s *regionServer) eventually(what string, f func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			all := make([]byte, 1<<20)
			s.t.Fatalf("%s: not within a minute\n%s", what, all[:runtime.Stack(all, true)])
		}
	}
}

// answering returns how many goroutines answer requests for regions.
func answering() int {
	all := make([]byte, 4<<20)
	return strings.Count(string(all[:runtime.Stack(all, true)]), "api.(*drawing).send(")
}

// gone waits until nothing of the answers is left: neither memory nor goroutines.
func (s *regionServer) gone() {
	s.t.Helper()
	s.eventually("the answers have ended", func() bool { return answering() == 0 })
	s.eventually("all memory is given back", func() bool { return s.port.buffer.Budget.Used() == 0 })
}

// TestRegionOfStalledClients has more clients that take nothing of a large region than there are
// slots and workers: other requests are answered meanwhile, and the connections are closed.
func TestRegionOfStalledClients(t *testing.T) {
	regionServers(t, time.Hour, func(t *testing.T, s *regionServer) {
		var stalled []*http.Response
		for range 4 {
			_, resp := s.begin(largeRegion)
			stalled = append(stalled, resp)
		}
		if n := answering(); n != len(stalled) {
			t.Fatalf("%d answers are being sent, want %d", n, len(stalled))
		}
		for _, path := range []string{"/region?x=3&w=50&h=50", "/region?w=100&h=100&format=png", "/thumbnail?width=100"} {
			a := fetch(t, "http://"+s.Addr().String()+s.at+path, "")
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %.200s", path, a.status, a.body)
			}
		}
		for _, resp := range stalled {
			resp.Body.Close()
		}
	})
}

// TestRegionDeadline has clients that take nothing of a large region: their connections are
// closed before the end.
func TestRegionDeadline(t *testing.T) {
	regionServers(t, 500*time.Millisecond, func(t *testing.T, s *regionServer) {
		var stalled []*http.Response
		for range 3 {
			_, resp := s.begin(largeRegion)
			stalled = append(stalled, resp)
		}
		s.gone()
		for _, resp := range stalled {
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("a complete answer of %d bytes, want the end of the connection", n)
			}
		}
	})
}

// TestRegionOfClientsThatHangUp ends connections in mid-answer: nothing of the answers is left.
func TestRegionOfClientsThatHangUp(t *testing.T) {
	regionServers(t, time.Hour, func(t *testing.T, s *regionServer) {
		for range 4 {
			c, resp := s.begin(largeRegion)
			if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		s.gone()
	})
}

// TestRegionOfReplacedFile replaces a file while a region of it is sent: the connection is
// closed before the end, so that no client takes it for the complete picture.
func TestRegionOfReplacedFile(t *testing.T) {
	regionServers(t, time.Hour, func(t *testing.T, s *regionServer) {
		var sent []*http.Response
		for _, query := range []string{"format=raw", "format=png", "quality=100"} { // more than the kernel keeps
			_, resp := s.begin("/region?width=3500&" + query)
			sent = append(sent, resp)
		}
		other := filepath.Join(filepath.Dir(s.file), "b")
		if _, err := (synth.Generic{Seed: 2, Width: 700, Height: 500, TileW: 128}).Write(other); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, s.file); err != nil {
			t.Fatal(err)
		}
		for i, resp := range sent {
			if n, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("answer %d: %d bytes, %v, want an unexpected EOF", i, n, err)
			}
		}
		s.gone()
	})
}

// The largest results are sent with the memory of a few bands: raw ones have 805 MB.
func TestLargestRegionMemory(t *testing.T) {
	if os.Getenv("PTIFFSTORE_LONG") == "" {
		t.Skip("set PTIFFSTORE_LONG=1: it takes a minute")
	}
	const most = 400 << 20
	regionServers(t, time.Minute, func(t *testing.T, s *regionServer) {
		for _, format := range []string{"raw", "png", "jpeg"} {
			_, resp := s.begin("/region?w=16384&h=16384&format=" + format)
			for {
				_, err := io.CopyN(io.Discard, resp.Body, 32<<20)
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				if m.HeapInuse > most {
					t.Fatalf("%s: %d MB of memory, want at most %d", format, m.HeapInuse>>20, most>>20)
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", format, err)
				}
			}
		}
	})
}
