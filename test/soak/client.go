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
	// askTime is how long a client waits for an answer: longer than a request may wait in a
	// queue and then render.
	askTime = 40 * time.Second
	// restTime is how long a client waits after 503. It is less than Retry-After, as with
	// clients that ignore that.
	restTime = 100 * time.Millisecond
)

// Kinds of good answers.
const (
	kindTile = "tiles"
	kindBusy = "503 with Retry-After"
)

// A Tally counts answers by kind, and records the times of good ones.
type Tally struct {
	mu    sync.Mutex
	kinds map[string]int
	times []time.Duration
	began time.Time
	took  time.Duration
}

func newTally() *Tally { return &Tally{kinds: map[string]int{}, began: time.Now()} }

// add counts an answer. It records the time unless d is 0.
func (t *Tally) add(kind string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kinds[kind]++
	if t.took = time.Since(t.began); kind == kindTile && d > 0 {
		t.times = append(t.times, d)
	}
}

// Good returns the number of tiles received.
func (t *Tally) Good() int { return t.count(kindTile) }

// Busy returns the number of 503 answers with Retry-After.
func (t *Tally) Busy() int { return t.count(kindBusy) }

func (t *Tally) count(kind string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kinds[kind]
}

// Bad lists all other answers with their counts.
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

// Rate returns the tiles received per second, of those with recorded times.
func (t *Tally) Rate() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(len(t.times)) / max(t.took.Seconds(), 0.001)
}

// Quantile returns the time within which that part of the tiles was received.
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
	return fmt.Sprintf("%d tiles (p50 %v, p99 %v), %d with 503, bad: %v", t.Good(), t.Quantile(0.5).Round(time.Microsecond), t.Quantile(0.99).Round(time.Microsecond), t.Busy(), t.Bad())
}

// A client sends requests over one connection at a time.
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

// ask requests a tile and returns the kind of the answer. If the server has closed the idle
// connection, it repeats the request on a new one, as every client does.
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

// plain returns an error without addresses, so that equal errors count as one kind.
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

// kindOf returns the kind of an answer.
func kindOf(resp *http.Response, body int64) string {
	switch {
	case resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Type") == "image/jpeg" && body > 100:
		return kindTile
	case (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests) && resp.Header.Get("Retry-After") != "":
		return kindBusy
	}
	return fmt.Sprintf("status %d", resp.StatusCode)
}

// clients runs n clients that request random paths until ctx is done. They start one after
// the other within a tenth of a second.
func (r *run) clients(ctx context.Context, n int, paths []string, t *Tally, rest time.Duration) {
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
				} else {
					time.Sleep(rest)
				}
			}
		})
	}
	wg.Wait()
}
