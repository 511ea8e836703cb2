package limit_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/limit"
)

// buffered serves h behind a buffer and a limiter with that many slots.
func buffered(t *testing.T, o limit.Options, b *limit.Buffer, slots int, h http.HandlerFunc) *service {
	t.Helper()
	s := listen(t, o)
	limiter := limit.NewRequestLimiter(slots, 0, 0)
	srv := &http.Server{ConnState: s.State, ConnContext: s.Context, Handler: limit.Bodies(b.Handler(limiter, h), time.Hour)}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })
	return s
}

// dialFrom dials from another address of the loopback network.
func (s *service) dialFrom(t *testing.T, local string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	c, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Skipf("no other loopback addresses here: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(4096)
	return &client{Conn: c, r: nil}
}

// TestSlowClientsHoldNoSlot has many clients send their bodies slowly or take nothing of
// their answers: both slots stay free for others.
func TestSlowClientsHoldNoSlot(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), 1<<20)
	s := buffered(t, limit.Options{Stall: time.Hour}, &limit.Buffer{Budget: limit.NewBudget(1 << 30), BodyTime: time.Hour, SendTime: time.Hour}, 2,
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				w.Write(large)
				return
			}
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, "ok ", n)
		})
	quick := s.dial(t)
	for i := range 300 {
		from := "127.0.0.1"
		if i%2 == 1 {
			from = fmt.Sprintf("127.0.0.%d", 2+i%50)
		}
		poster, reader := s.dialFrom(t, from), s.dialFrom(t, from)
		io.WriteString(poster, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nab")
		io.WriteString(reader, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if i%10 != 0 {
			continue
		}
		eventually(t, "a slot is free", func() bool { // two that are being answered may have both
			quick.ask("GET", "/")
			resp, body, err := quick.answer("GET")
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode == 200 && string(body) == "ok 0"
		})
	}
	eventually(t, "all 601 connections are open: nothing was given up to serve the quick one", func() bool { return s.Stats().Open == 601 })
}

// TestBody sends bodies: they are complete when the handler is called, or refused.
func TestBody(t *testing.T) {
	t.Parallel()
	s := buffered(t, limit.Options{}, &limit.Buffer{Budget: limit.NewBudget(64 << 20), BodyTime: 2 * time.Second}, 1,
		func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // as some set it, and forget it
			time.Sleep(2 * time.Millisecond)
			fmt.Fprint(w, n, " ", err, " ", r.Context().Err())
		})
	const head = "POST / HTTP/1.1\r\nHost: localhost\r\n"
	sized := func(n int) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, n, strings.Repeat("x", n))
	}
	chunked := func(n int) string {
		return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, n, strings.Repeat("x", n))
	}
	for _, tt := range []struct {
		name, request string
		status        int
		body          string // of the answer, where it is the handler's
	}{
		{"none", head + "\r\n", 200, "0 <nil> <nil>"},
		{"small", sized(3), 200, "3 <nil> <nil>"},
		{"1 MB", sized(1 << 20), 200, "1048576 <nil> <nil>"},
		{"larger", sized(1<<20 + 1), 413, ""},
		{"much larger, and only announced", head + "Content-Length: 99999999999\r\n\r\n", 413, ""},
		{"chunked", chunked(5000), 200, "5000 <nil> <nil>"},
		{"chunked, 1 MB", chunked(1 << 20), 200, "1048576 <nil> <nil>"},
		{"chunked, larger", chunked(1<<20 + 1), 413, ""},
		{"malformed chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, ""},
		{"not all of it", head + "Content-Length: 10\r\n\r\nabc", 408, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			go io.WriteString(c, tt.request)
			resp, body, err := c.answer("POST")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || tt.status == 200 && string(body) != tt.body {
				t.Errorf("status %d, %s; want %d, %s", resp.StatusCode, body, tt.status, tt.body)
			}
			if resp.Close != (tt.status != 200) {
				t.Errorf("the connection is to be closed: %v", resp.Close)
			}
		})
	}
	t.Run("byte by byte", func(t *testing.T) {
		c := s.dial(t)
		io.WriteString(c, head+"Content-Length: 1000\r\n\r\n")
		stop := make(chan struct{})
		go func() {
			for tick := time.Tick(10 * time.Millisecond); ; {
				select {
				case <-tick:
					io.WriteString(c, "x")
				case <-stop:
					return
				}
			}
		}()
		resp, _, err := c.answer("POST")
		close(stop)
		if err != nil || resp.StatusCode != 408 {
			t.Errorf("%v, %v: want 408, as the time is that of the whole body", resp, err)
		}
	})
}

// TestAnswer checks that an answer arrives as the handler wrote it.
func TestAnswer(t *testing.T) {
	t.Parallel()
	budget := limit.NewBudget(4 << 20)
	streaming := make(chan struct{})
	s := buffered(t, limit.Options{}, &limit.Buffer{Budget: budget}, 8, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/headers":
			w.Header().Set("X-Mine", "1")
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Late", "1")
			io.WriteString(w, "short")
		case "/pieces":
			for range 3000 {
				io.WriteString(w, "0123456789")
			}
		case "/nothing":
		case "/not-modified":
			w.WriteHeader(http.StatusNotModified)
		case "/stream":
			io.WriteString(w, "first")
			http.NewResponseController(w).Flush()
			<-streaming
			io.WriteString(w, "second")
		case "/huge":
			w.Header().Set("Set-Cookie", "secret=1")
			io.WriteString(w, strings.Repeat("x", 5<<20))
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	})
	for _, tt := range []struct {
		method, path string
		status       int
		header       map[string]string
		size         int
	}{
		{"GET", "/headers", 418, map[string]string{"X-Mine": "1", "Content-Length": "5"}, 5},
		{"GET", "/pieces", 200, map[string]string{"Content-Length": "30000", "Content-Type": "text/plain; charset=utf-8"}, 30000},
		{"HEAD", "/pieces", 200, map[string]string{"Content-Length": "30000"}, 0},
		{"GET", "/nothing", 200, map[string]string{"Content-Length": "0"}, 0},
		{"GET", "/not-modified", 304, map[string]string{"Content-Length": ""}, 0},
		{"GET", "/huge", 503, map[string]string{"Set-Cookie": "", "Retry-After": "1", "Content-Type": "application/problem+json"}, -1},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			c := s.dial(t)
			c.ask(tt.method, tt.path)
			resp, body, err := c.answer(tt.method)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || tt.size >= 0 && len(body) != tt.size {
				t.Errorf("status %d, %d bytes; want %d, %d", resp.StatusCode, len(body), tt.status, tt.size)
			}
			got := map[string]string{}
			for k := range tt.header {
				got[k] = resp.Header.Get(k)
			}
			if diff := cmp.Diff(tt.header, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("stream", func(t *testing.T) {
		c := s.dial(t)
		c.ask("GET", "/stream")
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
			t.Fatalf("%q, %v", first, err)
		}
		close(streaming)
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "second" {
			t.Errorf("%q, %v", rest, err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		c := s.dial(t)
		c.ask("GET", "/panic")
		if resp, _, err := c.answer("GET"); err == nil {
			t.Errorf("status %d, want the connection's end", resp.StatusCode)
		}
	})
	eventually(t, "all memory is given back", func() bool { return budget.Used() == 0 })
}

// TestStreamed has a client that takes nothing of a streamed answer: it holds no slot, its
// memory counts until the connection ends, and an answer for which there is no memory is cut
// off.
func TestStreamed(t *testing.T) {
	t.Parallel()
	budget := limit.NewBudget(64 << 20)
	b := &limit.Buffer{Budget: budget, SendTime: time.Hour}
	s := listen(t, limit.Options{Stall: time.Hour})
	failed := make(chan error, 1)
	part := bytes.Repeat([]byte("x"), 20<<20)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := map[string]int{"/slow": 2, "/quick": 3, "/small": 0}[r.URL.Path]
		if parts == 0 {
			io.WriteString(w, "ok")
			return
		}
		http.NewResponseController(w).Flush()
		for range parts {
			if _, err := w.Write(part); err != nil {
				if r.URL.Path == "/slow" {
					failed <- err
				}
				panic(http.ErrAbortHandler)
			}
		}
	})
	srv := &http.Server{ConnState: s.State, ConnContext: s.Context, Handler: b.Streamed(limit.NewRequestLimiter(1, 0, 0), h)}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })

	slow := s.dialFrom(t, "127.0.0.2")
	slow.ask("GET", "/slow")
	eventually(t, "a part is being sent", func() bool { return budget.Used() >= 20<<20 })
	quick := s.dial(t)
	quick.want(t, "GET", "/small", 200)
	quick.ask("GET", "/quick")
	resp, body, err := quick.answer("GET")
	if err != nil || resp.StatusCode != 200 || len(body) != 3*len(part) {
		t.Fatalf("%v, %d bytes, %v; want the complete answer", resp, len(body), err)
	}
	other := s.dialFrom(t, "127.0.0.3")
	other.ask("GET", "/slow")
	eventually(t, "two parts are being sent", func() bool { return budget.Used() >= 40<<20 })
	short := s.dial(t)
	short.ask("GET", "/quick")
	if _, body, err := short.answer("GET"); err == nil {
		t.Errorf("%d bytes, want the connection's end as there is no memory", len(body))
	}
	slow.Close()
	if err := <-failed; err == nil {
		t.Error("no error of a client that has hung up")
	}
	other.Close()
	<-failed
	eventually(t, "all memory is given back", func() bool { return budget.Used() == 0 })
}

// TestPerAddress opens too many connections from one address: older ones of that address
// are closed, and each new one is served.
func TestPerAddress(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			exempt := netip.MustParseAddr("127.0.0.9")
			s := a.start(t, limit.Options{PerAddress: 4, Exempt: func(at netip.Addr) bool { return at == exempt }}, nil)
			other := s.dialFrom(t, "127.0.0.2")
			other.r = bufio.NewReader(other)
			other.want(t, "GET", "/", 200)
			var list []*client
			for range 8 {
				c := s.dial(t)
				c.want(t, "GET", "/", 200)
				list = append(list, c)
			}
			eventually(t, "four and one are left", func() bool { return s.Stats().Open == 5 })
			// Which of them has been idle longest is known a moment after its answer came.
			closed := 0
			for i, c := range list {
				c.ask("GET", "/")
				if _, _, err := c.answer("GET"); err != nil {
					closed++
					if i == len(list)-1 {
						t.Errorf("the newest connection was closed: %v", err)
					}
				}
			}
			if closed != 4 {
				t.Errorf("%d connections were closed, want four", closed)
			}
			other.want(t, "GET", "/", 200)
			for range 8 {
				c := s.dialFrom(t, exempt.String())
				c.r = bufio.NewReader(c)
				c.want(t, "GET", "/", 200)
			}
			if st := s.Stats(); st.Open != 13 || st.Displaced != 4 || st.Refused != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestUnreadable sends requests that no handler sees: the answers have the usual headers.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, limit.Options{}, nil)
	for _, tt := range []struct {
		name, request string
		status        int
	}{
		{"no HTTP", "hello\r\n\r\n", 400},
		{"malformed address", "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"long head", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", 431},
		{"transfer coding", "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: rot13\r\n\r\n", 501},
		{"version", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505},
		{"expectation", "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n", 417},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t)
			go io.WriteString(c, tt.request)
			resp, body, err := c.answer("GET")
			if err != nil {
				t.Fatal(err)
			}
			checkLast(t, resp, body, tt.status)
		})
	}
	t.Run("no room", func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := startHTTP(t, limit.Options{Max: 1}, release)
		s.dial(t).ask("GET", "/wait")
		eventually(t, "refused", func() bool {
			c := s.dial(t)
			c.ask("GET", "/")
			resp, body, err := c.answer("GET")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == 503 {
				checkLast(t, resp, body, 503)
			}
			return resp.StatusCode == 503
		})
	})
}

func checkLast(t *testing.T, resp *http.Response, body []byte, status int) {
	t.Helper()
	want := map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer",
	}
	got := map[string]string{}
	for k := range want {
		got[k] = resp.Header.Get(k)
	}
	if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != status || !resp.Close || !bytes.Contains(body, fmt.Appendf(nil, `"status":%d`, status)) {
		t.Errorf("status %d, want %d, as the last answer; %s\nheaders (-want +got):\n%s", resp.StatusCode, status, body, diff)
	}
}
