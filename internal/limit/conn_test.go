package limit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// pair returns a connection of a limiter, and its client.
func pair(t *testing.T, ahead bool) (*conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := New(l, Options{Ahead: ahead}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*conn), client
}

// A deadline that is set later than the timer of the connection does not set it again, and is
// kept nevertheless.
func TestReadDeadline(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		t.Run(fmt.Sprint("ahead=", ahead), func(t *testing.T) {
			c, client := pair(t, ahead)
			read := func() (string, error) {
				b := make([]byte, 1)
				n, err := c.Read(b)
				return string(b[:n]), err
			}
			soon := func(d time.Duration) { c.SetReadDeadline(time.Now().Add(d)) }
			soon(time.Hour)
			soon(20 * time.Millisecond) // earlier
			began := time.Now()
			if _, err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) < 15*time.Millisecond {
				t.Errorf("an earlier deadline: %v after %v", err, time.Since(began))
			}
			soon(10 * time.Millisecond)
			soon(time.Hour) // later
			time.AfterFunc(50*time.Millisecond, func() { io.WriteString(client, "abc") })
			if s, err := read(); s != "a" || err != nil {
				t.Errorf("a later deadline: %q, %v", s, err)
			}
			c.SetReadDeadline(time.Unix(1, 0))
			if s, err := read(); s != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a deadline in the past: %q, %v", s, err)
			}
			c.SetReadDeadline(time.Time{})
			if s, err := read(); s != "b" || err != nil {
				t.Errorf("no deadline: %q, %v", s, err)
			}
			if s, err := read(); s != "c" || err != nil {
				t.Errorf("the rest: %q, %v", s, err)
			}
			time.AfterFunc(20*time.Millisecond, func() { c.SetReadDeadline(time.Unix(1, 0)) })
			if _, err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a read that is ended: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			client.Close()
			if _, err := read(); !errors.Is(err, io.EOF) {
				t.Errorf("a client that is gone: %v, want EOF", err)
			}
		})
	}
}

// The write deadline that a server sets is kept, whatever the timer was set to before.
func TestWriteDeadline(t *testing.T) {
	c, _ := pair(t, false)
	c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	c.SetWriteDeadline(time.Now().Add(150 * time.Millisecond))
	began := time.Now()
	_, err := c.Write(make([]byte, 64<<20))
	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < 140*time.Millisecond {
		t.Errorf("%v after %v, want 150 ms", err, took)
	}
}

// countedConn counts the calls of Write, as which calls of writev do not count.
type countedConn struct {
	*net.TCPConn
	writes int
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.writes++
	return c.TCPConn.Write(b)
}

// Head and body go to the kernel in one call, with both kinds of servers, and arrive complete
// whatever the size of the body, also if requests are pipelined.
func TestJoin(t *testing.T) {
	body := []byte(strings.Repeat("0123456789abcdef", 64<<10))
	sizes := []int{1, 100, 3000, 3700, 3800, 3900, 4000, 4095, 4096, 4097, 5000, 8191, 8192, 9000, 50_000, len(body)}
	servers := map[string]func(p *ConnLimiter) (stop func() error){
		"nethttp": func(p *ConnLimiter) func() error {
			s := &http.Server{ConnState: p.State, ConnContext: p.Context, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var n int
				fmt.Sscan(r.URL.Path[1:], &n)
				w.Header().Set("Content-Length", fmt.Sprint(n))
				JoinAnswer(r, n)
				w.Write(body[:n])
			})}
			go s.Serve(p)
			return s.Close
		},
		"fasthttp": func(p *ConnLimiter) func() error {
			s := &fasthttp.Server{ReduceMemoryUsage: true, WriteTimeout: time.Minute, Handler: func(ctx *fasthttp.RequestCtx) {
				var n int
				fmt.Sscan(string(ctx.Path()[1:]), &n)
				ctx.Response.SetBodyRaw(body[:n])
				Join(ctx.Conn(), n)
			}}
			go s.Serve(p)
			return s.Shutdown
		},
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var streams []*countedConn
			p := New(countingListener{l, &streams}, Options{Ahead: name == "fasthttp"})
			stop := start(p)
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			ask := func(sizes ...int) {
				for _, n := range sizes {
					fmt.Fprintf(client, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n)
				}
			}
			r := bufio.NewReader(client)
			expect := func(n int) {
				t.Helper()
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body[:n]) {
					t.Fatalf("%d bytes of %d: %v", len(got), n, err)
				}
			}
			for _, n := range sizes {
				ask(n)
				expect(n)
			}
			ask(sizes...)
			for _, n := range sizes {
				expect(n)
			}
			client.Close()
			stop()
			// Only answers that fit into the buffer of the server are written alone.
			if s := streams[0]; s.writes > 2*6 {
				t.Errorf("%d calls of write, want one for each of 12 short answers", s.writes)
			}
		})
	}
}

// A countingListener counts the writes of its connections.
type countingListener struct {
	net.Listener
	streams *[]*countedConn
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &countedConn{TCPConn: c.(*net.TCPConn)}
	*l.streams = append(*l.streams, s)
	return s, nil
}
