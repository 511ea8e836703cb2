package s3test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between a client and a server. It counts requests and fails on demand. The
// Host header stays that of the client: the signature covers it.
type Proxy struct {
	URL string // http://HOST:PORT

	backend string
	client  *http.Transport
	server  *httptest.Server

	mu      sync.Mutex
	faults  []*Fault
	counts  map[string]int
	lists   map[string][]byte // by query: the first answer
	latency time.Duration
	hold    sync.RWMutex // held for reading by each request
}

// A Fault is what a proxy does with some requests. The first fault that matches counts.
type Fault struct {
	Kind  string // "get", "head", "list", "put", "delete", "upload", "part", "complete" or "copy"; "" for all
	After int    // matching requests that pass before
	Times int    // matching requests after those; 0 for all

	Delay  time.Duration        // before anything else
	Status int                  // the answer, instead of the server's; with the error code Code
	Code   string               //
	Body   string               // the body of the answer, instead of that with Code
	Late   bool                 // the server gets the request although it is not answered
	Reset  bool                 // the connection is closed without an answer
	Half   bool                 // the connection is closed after half of the body
	Stale  bool                 // a list is answered as it was the first time
	Change func(*http.Response) // changes the answer of the server
}

// Proxy starts a proxy before the server, for one test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	p := &Proxy{
		backend: strings.TrimPrefix(s.URL, "http://"), client: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		counts: map[string]int{}, lists: map[string][]byte{},
	}
	p.listen("127.0.0.1:0")
	p.URL = p.server.URL
	t.Cleanup(func() {
		p.Refuse()
		p.client.CloseIdleConnections()
	})
	return p
}

func (p *Proxy) listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.server.Listener.Close()
	p.server.Listener = l
	p.server.Start()
}

// Refuse closes all connections and accepts no new ones.
func (p *Proxy) Refuse() {
	if p.server != nil {
		p.server.CloseClientConnections()
		p.server.Close()
		p.server = nil
	}
}

// Accept ends [Proxy.Refuse].
func (p *Proxy) Accept() { p.listen(strings.TrimPrefix(p.URL, "http://")) }

// Set replaces the faults.
func (p *Proxy) Set(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
	for _, f := range faults {
		p.faults = append(p.faults, &f)
	}
}

// Latency delays each request.
func (p *Proxy) Latency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Hold waits until all requests are answered, and makes new ones wait until release is called.
func (p *Proxy) Hold() (release func()) {
	p.hold.Lock()
	return p.hold.Unlock
}

// Count returns the number of requests of a kind, or of all with "".
func (p *Proxy) Count(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kind != "" {
		return p.counts[kind]
	}
	n := 0
	for _, c := range p.counts {
		n += c
	}
	return n
}

// ResetCounts makes all counts 0.
func (p *Proxy) ResetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
}

// kindOf returns the kind of a request.
func kindOf(r *http.Request) string {
	q := r.URL.Query()
	_, object, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodHead:
		return "head"
	case q.Has("uploads"), q.Has("uploadId") && (r.Method == http.MethodDelete || r.Method == http.MethodGet):
		return "upload"
	case q.Has("partNumber"):
		return "part"
	case q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		return "copy"
	case r.Method == http.MethodGet && object == "":
		return "list"
	}
	return strings.ToLower(r.Method)
}

// take counts a request and returns its fault, or nil.
func (p *Proxy) take(kind string) (*Fault, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[kind]++
	for _, f := range p.faults {
		switch {
		case f.Kind != "" && f.Kind != kind:
		case f.After > 0:
			f.After--
			return nil, p.latency
		case f.Times == 0:
			return f, p.latency
		case f.Times > 0:
			if f.Times--; f.Times == 0 {
				f.Times = -1
			}
			return f, p.latency
		}
	}
	return nil, p.latency
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.hold.RLock()
	defer p.hold.RUnlock()
	kind := kindOf(r)
	f, latency := p.take(kind)
	if f == nil {
		f = &Fault{}
	}
	if d := latency + f.Delay; d > 0 && !pause(r.Context(), d) {
		return
	}
	if f.Status == 0 && !f.Reset || f.Late {
		if !p.forward(w, r, kind, f) {
			return
		}
	}
	if f.Reset {
		panic(http.ErrAbortHandler)
	}
	answer(w, f)
}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer sends the answer of a fault.
func answer(w http.ResponseWriter, f *Fault) {
	body := f.Body
	if body == "" && f.Code != "" {
		var code bytes.Buffer
		_ = xml.EscapeText(&code, []byte(f.Code))
		body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code.String() + `</Code><Message>a fault</Message></Error>`
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, body)
}

// forward sends a request to the server and its answer to the client. It reports whether the
// client still needs an answer.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, kind string, f *Fault) bool {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.backend, ""
	resp, err := p.client.RoundTrip(out)
	if err != nil {
		http.Error(w, fmt.Sprint("the server behind the proxy: ", err), http.StatusBadGateway)
		return false
	}
	defer resp.Body.Close()
	if f.Late && (f.Status != 0 || f.Reset) {
		_, _ = io.Copy(io.Discard, resp.Body)
		return true
	}
	if kind == "list" {
		p.remember(r.URL.RawQuery, resp, f.Stale)
	}
	if f.Change != nil {
		f.Change(resp)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if f.Half {
		_, _ = io.CopyN(w, resp.Body, resp.ContentLength/2)
		_ = http.NewResponseController(w).Flush() // the client has this half
		panic(http.ErrAbortHandler)
	}
	_, _ = io.Copy(w, resp.Body)
	return false
}

// remember keeps the first answer to a listing, and puts it in the place of later ones if they
// have to be stale.
func (p *Proxy) remember(query string, resp *http.Response, stale bool) {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.lists[query]; ok && stale {
		b = old
	} else if !ok {
		p.lists[query] = b
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	resp.Header.Set("Content-Length", strconv.Itoa(len(b)))
}
