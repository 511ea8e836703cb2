package soak

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// steady runs the normal load of the server.
func (r *run) steady(ctx context.Context, p *Phase) {
	r.clients(ctx, 4, r.Target.Stored, p.Tally, r.o.Pause)
}

// beside runs another load together with the steady one, until ctx is done.
func (r *run) beside(ctx context.Context, p *Phase, load func()) {
	var wg sync.WaitGroup
	wg.Go(load)
	r.steady(ctx, p)
	wg.Wait()
}

// openTime is how long opening the idle connections may take.
const openTime = time.Minute

// idleShare is the part of the total time for the phase of idle connections, in percent.
const idleShare = 16

// idle opens connections, sends one request on each, and leaves them idle. They must still
// work in the end.
func (r *run) idle(ctx context.Context, p *Phase) {
	list := make([]*client, r.o.Idle)
	var wg sync.WaitGroup
	const openers = 16
	end := time.Now().Add(openTime)
	for n := range openers {
		wg.Go(func() {
			for i := n; i < len(list) && time.Now().Before(end); i += openers {
				list[i] = &client{addr: r.Target.Address}
				p.Tally.add(list[i].ask(r.Target.Stored[i%len(r.Target.Stored)]), 0)
			}
		})
	}
	wg.Wait()
	p.Tally.began = time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), idleShare*r.o.Duration/100)
	defer cancel()
	r.steady(ctx, p)
	lost := 0
	for i, c := range list {
		if c == nil {
			r.fail("%s: only %d were opened in %v", p.Name, i, openTime)
			break
		}
		defer c.close()
		if i%10 > 0 {
			continue
		}
		if _, err := c.try(r.Target.Stored[0]); err != nil {
			lost++
		}
	}
	if lost > 0 {
		r.fail("%s: %d of every tenth of %d were lost", p.Name, lost, len(list))
	}
}

// slowHeads sends heads of requests byte by byte, and heads without an end.
func (r *run) slowHeads(ctx context.Context, p *Phase) {
	r.beside(ctx, p, func() {
		r.each(ctx, r.o.Slow, func(c net.Conn) {
			head := "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("x", 1000)
			for i := 0; ctx.Err() == nil; i = (i + 1) % len(head) {
				if _, err := io.WriteString(c, head[i:i+1]); err != nil {
					return
				}
				pause(ctx, 500*time.Millisecond)
			}
		}, func(c net.Conn) {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n")
			line := "X-Huge: " + strings.Repeat("x", 1000) + "\r\n"
			for range 100 {
				if _, err := io.WriteString(c, line); err != nil {
					return
				}
			}
			io.Copy(io.Discard, c) // until the server closes the connection
		})
	})
}

// slowReaders requests many tiles and reads no answers.
func (r *run) slowReaders(ctx context.Context, p *Phase) {
	r.beside(ctx, p, func() {
		r.each(ctx, r.o.Slow, func(c net.Conn) {
			c.(*net.TCPConn).SetReadBuffer(4096)
			for i := range 200 {
				if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", r.Target.Stored[i%len(r.Target.Stored)]); err != nil {
					return
				}
			}
			for one := make([]byte, 1); ctx.Err() == nil; pause(ctx, time.Second) {
				if _, err := c.Read(one); err != nil {
					return
				}
			}
		})
	})
}

// each keeps n connections of every kind open until ctx is done. It replaces connections that
// the server closes.
func (r *run) each(ctx context.Context, n int, kinds ...func(net.Conn)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.Target.Address)
				if err != nil {
					pause(ctx, 100*time.Millisecond)
					continue
				}
				unblock := context.AfterFunc(ctx, func() { c.Close() })
				kinds[i%len(kinds)](c)
				unblock()
				c.Close()
				pause(ctx, 100*time.Millisecond)
			}
		})
	}
	wg.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (r *run) burstStored(ctx context.Context, p *Phase) {
	r.burst(ctx, p, burstFactor*r.o.Clients, r.Target.Stored)
}

func (r *run) burstMade(ctx context.Context, p *Phase) {
	r.burst(ctx, p, burstFactor*r.o.Makers, r.Target.Made)
}

// burst starts n clients at once, and measures the time after them until the server sends
// both kinds of tiles again.
func (r *run) burst(ctx context.Context, p *Phase, n int, paths []string) {
	r.clients(ctx, n, paths, p.Tally, 0)
	began := time.Now()
	for _, list := range [][]string{r.Target.Stored, r.Target.Made} {
		c := &client{addr: r.Target.Address}
		for i := 0; ; i++ {
			kind := c.ask(list[i%len(list)])
			if kind == kindTile {
				break
			}
			if kind != kindBusy || time.Since(began) > time.Minute {
				r.fail("after %s: %s", p.Name, kind)
				break
			}
			time.Sleep(restTime / 10)
		}
		c.close()
	}
	p.Recovery = time.Since(began)
}

// slowUploads begins uploads and sends almost nothing.
func (r *run) slowUploads(ctx context.Context, p *Phase) {
	r.beside(ctx, p, func() {
		var wg sync.WaitGroup
		for i := range r.o.Slow {
			wg.Go(func() {
				if kind := r.slowUpload(ctx, i); kind != "" {
					p.Tally.add(kind, 0)
				}
			})
		}
		wg.Wait()
	})
}

// slowUpload runs one slow upload. It returns the kind of the answer, or "" if the upload was
// still in progress when ctx was done.
func (r *run) slowUpload(ctx context.Context, i int) string {
	b64 := base64.StdEncoding.EncodeToString
	meta := "filename " + b64(fmt.Appendf(nil, "slow%d.tiff", i)) + ",store " + b64([]byte(r.Target.Upload))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.Target.Address+"/api/v1/uploads", nil)
	if err != nil {
		return plain(err)
	}
	for k, v := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "100000", "Upload-Metadata": meta} {
		req.Header.Set(k, v)
	}
	resp, err := figures.Do(req)
	if err != nil {
		return unlessOver(ctx, "begin an upload: "+plain(err))
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return kindOf(resp, 0)
	}
	body, w := io.Pipe()
	go func() {
		for ctx.Err() == nil {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
			pause(ctx, 200*time.Millisecond)
		}
		w.CloseWithError(ctx.Err())
	}()
	req, err = http.NewRequestWithContext(ctx, http.MethodPatch, "http://"+r.Target.Address+resp.Header.Get("Location"), body)
	if err != nil {
		return plain(err)
	}
	req.ContentLength = 100000
	for k, v := range map[string]string{"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"} {
		req.Header.Set(k, v)
	}
	patient := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err = patient.Do(req)
	if err != nil {
		return unlessOver(ctx, "send an upload: "+plain(err))
	}
	resp.Body.Close()
	return kindOf(resp, 0)
}

func unlessOver(ctx context.Context, kind string) string {
	if ctx.Err() != nil {
		return ""
	}
	return kind
}
