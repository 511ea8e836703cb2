package limit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/slideatlas/ptiffstore/internal/limit"
)

// A service is a server behind a connection limiter.
type service struct {
	*limit.ConnLimiter
	addr string
}

// adapters are the kinds of servers behind a limiter. Each answers /big with more than any
// buffer holds, /wait when release is closed, and other paths with ok.
var adapters = []struct {
	name  string
	start func(t *testing.T, o limit.Options, release chan struct{}) *service
}{{"net/http", startHTTP}, {"fasthttp", startFast}}

// bodyTime is how long a client may send nothing of a body.
const bodyTime = 1500 * time.Millisecond

var big = bytes.Repeat([]byte("0123456789abcdef"), 4<<20)

func listen(t *testing.T, o limit.Options) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := limit.New(l, o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return &service{p, l.Addr().String()}
}

func startHTTP(t *testing.T, o limit.Options, release chan struct{}) *service {
	s := listen(t, o)
	srv := &http.Server{ConnState: s.State, ConnContext: s.Context, Handler: limit.Bodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			limit.JoinAnswer(r, len(big))
			w.Write(big)
		case "/wait":
			<-release
			fallthrough
		default:
			io.WriteString(w, "ok")
		}
	}), bodyTime)}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })
	return s
}

func startFast(t *testing.T, o limit.Options, release chan struct{}) *service {
	o.Ahead = true
	s := listen(t, o)
	srv := &fasthttp.Server{
		ConnState:    func(c net.Conn, st fasthttp.ConnState) { s.State(c, http.ConnState(st)) },
		WriteTimeout: o.Stall, ReduceMemoryUsage: true, Logger: silent{},
		Handler: func(ctx *fasthttp.RequestCtx) {
			switch string(ctx.Path()) {
			case "/big":
				ctx.Response.SetBodyRaw(big)
				limit.Join(ctx.Conn(), len(big))
			case "/wait":
				<-release
				fallthrough
			default:
				ctx.WriteString("ok")
			}
		},
	}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Shutdown() })
	return s
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// A client is one connection.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (s *service) dial(t *testing.T) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{c, bufio.NewReader(c)}
}

func (c *client) ask(method, path string) {
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, path)
}

// answer reads one answer.
func (c *client) answer(method string) (*http.Response, []byte, error) {
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func (c *client) want(t *testing.T, method, path string, status int) *http.Response {
	t.Helper()
	c.ask(method, path)
	resp, _, err := c.answer(method)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s: status %d, want %d", method, path, resp.StatusCode, status)
	}
	return resp
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never so: " + what)
		}
	}
}

// TestOldestIdleClosed fills all slots with idle connections: a new one replaces the one
// that has been idle longest.
func TestOldestIdleClosed(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			s := a.start(t, limit.Options{Max: 3}, nil)
			var list []*client
			for range 3 {
				c := s.dial(t)
				c.want(t, "GET", "/", 200)
				list = append(list, c)
				time.Sleep(20 * time.Millisecond) // their ages differ
			}
			list[0].want(t, "GET", "/", 200) // now the second is the oldest
			time.Sleep(20 * time.Millisecond)
			s.dial(t).want(t, "GET", "/", 200)
			if _, _, err := list[1].answer("GET"); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the connection idle longest: %v, want its end", err)
			}
			list[0].want(t, "GET", "/", 200)
			list[2].want(t, "GET", "/", 200)
			if st := s.Stats(); st.Evicted != 1 || st.Refused != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestRefused fills all slots with connections that are served: a new one gets 503 with
// Retry-After, and is served once a slot is free.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			release := make(chan struct{})
			s := a.start(t, limit.Options{Max: 2}, release)
			working := []*client{s.dial(t), s.dial(t)}
			for _, c := range working {
				c.ask("GET", "/wait")
			}
			eventually(t, "both conns taken", func() bool { return s.Stats().Open == 2 })
			for _, method := range []string{"GET", "HEAD", "POST"} {
				c := s.dial(t)
				eventually(t, "refused", func() bool {
					c.ask(method, "/")
					resp, body, err := c.answer(method)
					if err != nil {
						t.Fatal(err)
					}
					if resp.StatusCode == 200 { // the two had only just come, and were idle
						return false
					}
					if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" || !resp.Close {
						t.Fatalf("%s: %d %v", method, resp.StatusCode, resp.Header)
					}
					if got := len(body) > 0; got != (method != "HEAD") {
						t.Errorf("%s: a body of %d bytes", method, len(body))
					}
					return true
				})
				if _, _, err := c.answer(method); err == nil {
					t.Error("the connection is still open")
				}
			}
			close(release)
			for _, c := range working {
				if resp, _, err := c.answer("GET"); err != nil || resp.StatusCode != 200 {
					t.Errorf("one that was served meanwhile: %v, %v", resp, err)
				}
			}
			eventually(t, "there is a slot", func() bool {
				c := s.dial(t)
				c.ask("GET", "/")
				resp, _, err := c.answer("GET")
				return err == nil && resp.StatusCode == 200
			})
		})
	}
}

// TestSlowReader closes a client that takes nothing of its answer; one that takes it
// slowly gets all of it.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const stall = 400 * time.Millisecond
	s := startHTTP(t, limit.Options{Stall: stall}, nil)
	t.Run("takes nothing", func(t *testing.T) {
		c := s.dial(t)
		c.Conn.(*net.TCPConn).SetReadBuffer(4096)
		c.ask("GET", "/big")
		eventually(t, "the connection is closed", func() bool { return s.Stats().Open == 0 })
	})
	t.Run("takes it slowly", func(t *testing.T) {
		c := s.dial(t)
		c.ask("GET", "/big")
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum, began := 0, time.Now()
		for buf := make([]byte, len(big)/16); ; time.Sleep(stall / 4) {
			n, err := io.ReadFull(resp.Body, buf)
			if sum += n; err != nil {
				break
			}
		}
		if sum != len(big) || time.Since(began) < 2*stall {
			t.Errorf("%d bytes of %d in %v", sum, len(big), time.Since(began))
		}
	})
}

// TestRelieve closes a connection that holds memory and takes nothing.
func TestRelieve(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			s := a.start(t, limit.Options{Stall: time.Hour}, nil)
			c, idle := s.dial(t), s.dial(t)
			idle.want(t, "GET", "/", 200)
			c.Conn.(*net.TCPConn).SetReadBuffer(4096)
			c.ask("GET", "/big")
			eventually(t, "closed", func() bool { s.Relieve(); return s.Stats().Stalled == 1 })
			eventually(t, "gone", func() bool { return s.Stats().Open == 1 })
			idle.want(t, "GET", "/", 200)
		})
	}
}

// TestMissingBody closes a connection whose body does not arrive, although no handler
// reads it.
func TestMissingBody(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, limit.Options{}, nil)
	c := s.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
	eventually(t, "the connection is closed", func() bool { return s.Stats().Open == 0 })
}

// TestSlowBody reads a slow body to its end, and serves the next request.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := listen(t, limit.Options{})
	srv := &http.Server{ConnState: s.State, ConnContext: s.Context, Handler: limit.Bodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		time.Sleep(bodyTime * 6 / 5) // longer than a client may send nothing
		fmt.Fprint(w, len(b), err, r.Context().Err())
	}), bodyTime)}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })
	c := s.dial(t)
	for range 2 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
		for range 4 {
			time.Sleep(bodyTime / 5)
			io.WriteString(c, "x")
		}
		if _, body, err := c.answer("POST"); err != nil || string(body) != "4 <nil> <nil>" {
			t.Fatalf("%q, %v", body, err)
		}
	}
}

// TestClosedByClient checks that connections closed by their clients are not counted.
func TestClosedByClient(t *testing.T) {
	t.Parallel()
	for _, a := range adapters {
		t.Run(a.name, func(t *testing.T) {
			s := a.start(t, limit.Options{}, nil)
			var list []*client
			for range 50 {
				c := s.dial(t)
				c.want(t, "GET", "/", 200)
				list = append(list, c)
			}
			for _, c := range list {
				c.Close()
			}
			eventually(t, "all are gone", func() bool { return s.Stats().Open == 0 })
		})
	}
}

// TestRequestLimiter fills the slots and the queue: further requests are refused.
func TestRequestLimiter(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	g := limit.NewRequestLimiter(2, 3, time.Minute).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	s := listen(t, limit.Options{})
	srv := &http.Server{Handler: g, ConnState: s.State}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })
	codes := make(chan string, 10)
	for range 10 {
		c := s.dial(t)
		go func() {
			c.ask("GET", "/")
			resp, _, err := c.answer("GET")
			if err != nil {
				codes <- err.Error()
				return
			}
			codes <- strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Retry-After")))
		}()
	}
	count := map[string]int{}
	for range 5 {
		count[<-codes]++
	}
	if count["503 1"] != 5 {
		t.Fatalf("while none ends: %v, want five refused", count)
	}
	close(release)
	for range 5 {
		count[<-codes]++
	}
	if count["200"] != 5 {
		t.Errorf("in the end: %v, want five served", count)
	}
}

// BenchmarkState measures what tracking a connection costs each request, with a thousand
// others.
func BenchmarkState(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p := limit.New(l, limit.Options{})
	var c net.Conn
	for range 1000 {
		dialed, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer dialed.Close()
		if c, err = p.Accept(); err != nil {
			b.Fatal(err)
		}
		defer c.Close()
	}
	b.ReportAllocs()
	for b.Loop() {
		p.State(c, http.StateActive)
		p.State(c, http.StateIdle)
	}
}
