package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// askTime is how long a client waits for an answer: longer than anything may wait in
	// a queue and be made then.
	askTime = 40 * time.Second
	// restTime is how long a client rests that was told 503. It is less than it was told,
	// as of clients that do not care.
	restTime = 100 * time.Millisecond
)

// Kinds of answers other than mistakes.
const (
	kindTile = "tiles"
	kindBusy = "503 with Retry-After"
)

// A Tally counts answers by kind, and takes the time of good ones.
type Tally struct {
	mu    sync.Mutex
	kinds map[string]int
	times []time.Duration
	began time.Time
	took  time.Duration
}

func newTally() *Tally { return &Tally{kinds: map[string]int{}, began: time.Now()} }

// add counts an answer. Its time is not taken if d is 0.
func (t *Tally) add(kind string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kinds[kind]++
	if t.took = time.Since(t.began); kind == kindTile && d > 0 {
		t.times = append(t.times, d)
	}
}

// Good is how many tiles came.
func (t *Tally) Good() int { return t.count(kindTile) }

// Busy is how many were told to come again.
func (t *Tally) Busy() int { return t.count(kindBusy) }

func (t *Tally) count(kind string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kinds[kind]
}

// Bad says what came besides.
func (t *Tally) Bad() (list []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, n := range t.kinds {
		if kind != kindTile && kind != kindBusy {
			list = append(list, fmt.Sprintf("%s, %d times", kind, n))
		}
	}
	slices.Sort(list)
	return list
}

// Rate is how many tiles came a second, of those whose time was taken.
func (t *Tally) Rate() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(len(t.times)) / max(t.took.Seconds(), 0.001)
}

// Quantile is the time within which that part of the tiles came.
func (t *Tally) Quantile(q float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.times) == 0 {
		return 0
	}
	slices.Sort(t.times)
	return t.times[int(q*float64(len(t.times)-1))]
}

func (t *Tally) String() string {
	return fmt.Sprintf("%d tiles (p50 %v, p99 %v), %d told 503, bad: %v", t.Good(), t.Quantile(0.5).Round(time.Microsecond), t.Quantile(0.99).Round(time.Microsecond), t.Busy(), t.Bad())
}

// A client asks over one connection at a time.
type client struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *client) open() (err error) {
	c.close()
	if c.conn, err = (&net.Dialer{Timeout: askTime}).Dial("tcp", c.addr); err != nil {
		return err
	}
	c.r = bufio.NewReaderSize(c.conn, 2048)
	return nil
}

// ask asks for a tile and returns the kind of the answer. A connection that was idle
// may have been closed: what was asked is then asked again, as every client does.
func (c *client) ask(path string) string {
	if c.conn != nil {
		kind, err := c.try(path)
		if err == nil {
			return kind
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			c.close()
			return "no answer in time"
		}
	}
	if err := c.open(); err != nil {
		return "no connection: " + plain(err)
	}
	kind, err := c.try(path)
	if err != nil {
		c.close()
		return "no answer: " + plain(err)
	}
	return kind
}

// plain is an error without addresses, so that the same ones count as one kind.
func plain(err error) string {
	s := err.Error()
	return strings.TrimSpace(s[strings.LastIndex(s, ": ")+1:])
}

func (c *client) try(path string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(askTime))
	if _, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return "", err
	}
	if resp.Close {
		c.close()
	}
	return kindOf(resp, n), nil
}

// kindOf sorts an answer.
func kindOf(resp *http.Response, body int64) string {
	switch {
	case resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Type") == "image/jpeg" && body > 100:
		return kindTile
	case (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests) && resp.Header.Get("Retry-After") != "":
		return kindBusy
	}
	return fmt.Sprintf("status %d", resp.StatusCode)
}

// clients has n clients ask for paths at random until ctx is done. Each sets out a
// little after the one before: within a tenth of a second.
func (r *run) clients(ctx context.Context, n int, paths []string, t *Tally) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 100 * time.Millisecond / time.Duration(n))
			c := &client{addr: r.Target.Address}
			defer c.close()
			for ctx.Err() == nil {
				began := time.Now()
				kind := c.ask(paths[rand.IntN(len(paths))]) //nolint:gosec // no secret
				t.add(kind, time.Since(began))
				if kind != kindTile {
					time.Sleep(restTime)
				}
			}
		})
	}
	wg.Wait()
}
