package bucket

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

// open opens a bucket at an endpoint.
func open(t *testing.T, endpoint, address string, s Settings) *Bucket {
	t.Helper()
	s3test.Env(t)
	a, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	s.Endpoint, s.PathStyle = endpoint, true
	b, err := Open(a, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// stat returns the identity of an object that exists.
func stat(t *testing.T, b *Bucket, key string) Identity {
	t.Helper()
	id, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// keys returns those of a listing.
func keys(t *testing.T, b *Bucket, below string) []string {
	t.Helper()
	var list []string
	if err := b.List(t.Context(), below, func(o Object) error {
		list = append(list, o.Key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRead(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	body := bytes.Repeat([]byte("0123456789"), 1000)
	server.Put(t, name, "store/ä & b+c.tiff", body)
	server.Put(t, name, "store/empty.tiff", nil)
	b := open(t, proxy.URL, "s3://"+name+"/store", Settings{})
	id := stat(t, b, "ä & b+c.tiff")
	if id.Size != 10000 || id.ETag == "" || time.Since(id.Modified) > time.Hour {
		t.Errorf("identity %+v", id)
	}
	proxy.ResetCounts()
	for _, tt := range []struct {
		off, n int64
	}{{0, 1}, {0, 10000}, {9999, 1}, {1234, 4321}} {
		p := make([]byte, tt.n)
		if err := b.ReadAt(t.Context(), "ä & b+c.tiff", id, p, tt.off); err != nil || !bytes.Equal(p, body[tt.off:tt.off+tt.n]) {
			t.Errorf("%d bytes at %d: %v", tt.n, tt.off, err)
		}
	}
	if got := proxy.Count(""); got != 4 {
		t.Errorf("%d requests for 4 reads", got)
	}
	for _, tt := range []struct {
		off int64
		n   int
		err error
	}{{10000, 1, io.ErrUnexpectedEOF}, {9999, 2, io.ErrUnexpectedEOF}, {-1, 1, io.ErrUnexpectedEOF}, {1 << 62, 5, io.ErrUnexpectedEOF}, {10000, 0, nil}} {
		if err := b.ReadAt(t.Context(), "ä & b+c.tiff", id, make([]byte, tt.n), tt.off); !errors.Is(err, tt.err) {
			t.Errorf("%d bytes at %d: %v, want %v", tt.n, tt.off, err, tt.err)
		}
	}
	if got := proxy.Count(""); got != 4 {
		t.Error("reads beyond the end sent requests")
	}
	if id := stat(t, b, "empty.tiff"); id.Size != 0 {
		t.Errorf("an empty object: %+v", id)
	}
	if _, err := b.Stat(t.Context(), "none.tiff"); !errors.Is(err, ErrGone) {
		t.Errorf("no object: %v", err)
	}
	if err := b.ReadAt(t.Context(), "none.tiff", id, make([]byte, 1), 0); !errors.Is(err, ErrGone) {
		t.Errorf("no object: %v", err)
	}
	for _, key := range []string{"", strings.Repeat("a", 1020), "\xff"} {
		if err := b.ReadAt(t.Context(), key, id, make([]byte, 1), 0); !errors.Is(err, ErrDenied) {
			t.Errorf("the key %.10q: %v", key, err)
		}
	}
}

// A replaced object is never read under the old identity, also if the server does not honour
// the condition or sends a wrong ETag.
func TestChanged(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	server.Put(t, name, "a", []byte("old contents"))
	b := open(t, proxy.URL, "s3://"+name, Settings{})
	id := stat(t, b, "a")
	p := make([]byte, 3)
	earlier, shorter, other := id, id, id
	earlier.Modified = id.Modified.Add(-time.Second)
	shorter.Size--
	other.ETag = strings.Repeat("0", 32)
	for _, wrong := range []Identity{earlier, shorter, other} {
		if err := b.ReadAt(t.Context(), "a", wrong, p, 0); !errors.Is(err, ErrChanged) {
			t.Errorf("as %+v: %v", wrong, err)
		}
	}
	release := proxy.Hold()
	server.Put(t, name, "a", []byte("new contents"))
	release()
	for _, change := range []func(*http.Response){
		nil,
		func(r *http.Response) {
			r.Header.Set("Last-Modified", id.Modified.Add(time.Second).Format(http.TimeFormat))
		},
	} {
		proxy.Set(s3test.Fault{Kind: "get", Change: change})
		if err := b.ReadAt(t.Context(), "a", id, p, 0); !errors.Is(err, ErrChanged) {
			t.Errorf("replaced: %v", err)
		}
	}
	if n := b.figures.Stats().Changed; n != 5 {
		t.Errorf("%d changes counted", n)
	}
}

// Each answer of a bad server has the class of the table, and the number of attempts.
func TestFaults(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	server.Put(t, name, "a", bytes.Repeat([]byte("x"), 100<<10))
	id := stat(t, open(t, server.URL, "s3://"+name, Settings{}), "a")
	set := func(header, value string) func(*http.Response) {
		return func(r *http.Response) { r.Header.Set(header, value) }
	}
	for _, tt := range []struct {
		name  string
		fault s3test.Fault
		class error
		text  string
		tries int
	}{
		{"slow down", s3test.Fault{Status: 503, Code: "SlowDown"}, ErrUnavailable, "overloaded", 2},
		{"500", s3test.Fault{Status: 500, Code: "InternalError"}, ErrUnavailable, "500 InternalError", 2},
		{"502 of a proxy", s3test.Fault{Status: 502, Body: "<html>bad gateway</html>"}, ErrUnavailable, "502", 2},
		{"429", s3test.Fault{Status: 429}, ErrUnavailable, "overloaded", 2},
		{"408", s3test.Fault{Status: 408}, ErrUnavailable, "408", 2},
		{"400 with a passing code", s3test.Fault{Status: 400, Code: "RequestTimeout"}, ErrUnavailable, "400", 2},
		{"reset", s3test.Fault{Reset: true}, ErrUnavailable, "connection was lost", 2},
		{"half a body", s3test.Fault{Half: true}, ErrUnavailable, "cut short", 2},
		{"all of it", s3test.Fault{Change: func(r *http.Response) { r.StatusCode = 200 }}, ErrUnavailable, "whole object", 2},
		{"a page with 200", s3test.Fault{Status: 200, Body: "<html>please log in</html>"}, ErrUnavailable, "", 2},
		{"no range", s3test.Fault{Change: func(r *http.Response) { r.Header.Del("Content-Range") }}, ErrUnavailable, "which part", 2},
		{"another range", s3test.Fault{Change: set("Content-Range", fmt.Sprintf("bytes 1-%d/%d", 50<<10, 100<<10))}, ErrUnavailable, "another part", 2},
		{"no time", s3test.Fault{Change: func(r *http.Response) { r.Header.Del("Last-Modified") }}, ErrUnavailable, "", 2},
		{"wrong ETag", s3test.Fault{Change: set("ETag", `"0123"`)}, ErrChanged, "", 1},
		{"wrong total", s3test.Fault{Change: set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", 50<<10-1, 99<<10))}, ErrChanged, "", 1},
		{"headers of proxies", s3test.Fault{Change: set("Expires", "0")}, nil, "", 1},
		{"412", s3test.Fault{Status: 412, Code: "PreconditionFailed"}, ErrChanged, "", 1},
		{"416", s3test.Fault{Status: 416, Code: "InvalidRange"}, ErrChanged, "", 1},
		{"gone", s3test.Fault{Status: 404, Code: "NoSuchKey"}, ErrGone, "", 1},
		{"no bucket", s3test.Fault{Status: 404, Code: "NoSuchBucket"}, ErrDenied, "no such bucket", 1},
		{"unknown key as 404", s3test.Fault{Status: 404, Code: "XAdminUserNotFound"}, ErrDenied, "access key", 1},
		{"404 of a proxy", s3test.Fault{Status: 404, Body: "<html>not found</html>"}, ErrDenied, "404", 1},
		{"404 without a body", s3test.Fault{Status: 404}, ErrDenied, "404", 1},
		{"403", s3test.Fault{Status: 403, Code: "AccessDenied"}, ErrDenied, "do not permit", 1},
		{"expired", s3test.Fault{Status: 400, Code: "ExpiredToken"}, ErrDenied, "have expired", 2},
		{"expired once", s3test.Fault{Status: 400, Code: "ExpiredToken", Times: 1}, nil, "", 2},
		{"archived", s3test.Fault{Status: 403, Code: "InvalidObjectState"}, ErrDenied, "restored", 1},
		{"clock", s3test.Fault{Status: 403, Code: "RequestTimeTooSkewed"}, ErrDenied, "15 minutes", 1},
		{"region", s3test.Fault{Status: 301, Code: "PermanentRedirect"}, ErrDenied, "another region", 1},
		{"not built", s3test.Fault{Status: 501, Code: "NotImplemented"}, ErrDenied, "501", 1},
		{"secret in a code", s3test.Fault{Status: 403, Code: "a/MUSTER^ERIKA"}, ErrDenied, "", 1},
		{"once", s3test.Fault{Status: 503, Times: 1}, nil, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, proxy.URL, "s3://"+name, Settings{})
			b.effort.wait = time.Millisecond
			tt.fault.Kind = "get"
			proxy.Set(tt.fault)
			proxy.ResetCounts()
			err := b.ReadAt(t.Context(), "a", id, make([]byte, 50<<10), 0)
			if !errors.Is(err, tt.class) || err != nil && (!strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "MUSTER")) {
				t.Errorf("%v, want %v with %q", err, tt.class, tt.text)
			}
			if n := proxy.Count("get"); n != tt.tries {
				t.Errorf("%d requests, want %d", n, tt.tries)
			}
		})
	}
}

// Credentials are never sent to a host that an answer names.
func TestRedirect(t *testing.T) {
	var asked int
	var mu sync.Mutex
	thief := newListener(t, func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
	})
	for _, status := range []int{301, 302, 307, 308} {
		server := newListener(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", thief+r.URL.Path)
			w.Header().Set("x-amz-bucket-region", "eu-west-1")
			w.WriteHeader(status)
			fmt.Fprint(w, "<Error><Code>PermanentRedirect</Code><Endpoint>"+thief+"</Endpoint></Error>")
		})
		b := open(t, server, "s3://slides", Settings{})
		err := b.ReadAt(t.Context(), "a", Identity{ETag: "1", Size: 1, Modified: time.Now()}, make([]byte, 1), 0)
		if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "eu-west-1") {
			t.Errorf("%d: %v", status, err)
		}
		if err := b.List(t.Context(), "", func(Object) error { return nil }); !errors.Is(err, ErrDenied) {
			t.Errorf("%d: %v", status, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 0 {
		t.Error("the other host got a request")
	}
}

// A cancelled request ends at once and is no failure of the server.
func TestCancelled(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	server.Put(t, name, "a", []byte("contents"))
	b := open(t, proxy.URL, "s3://"+name, Settings{})
	id := stat(t, b, "a")
	proxy.Latency(time.Hour)
	for range 2 * breakAfter {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		err := b.ReadAt(ctx, "a", id, make([]byte, 1), 0)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
	proxy.Latency(0)
	if err := b.ReadAt(t.Context(), "a", id, make([]byte, 1), 0); err != nil {
		t.Errorf("after cancelled requests: %v", err)
	}
}

// A server that does not answer costs no more than the limits, and nothing while the breaker
// is open; it is found again within a second.
func TestOutage(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	server.Put(t, name, "a", []byte("contents"))
	b := open(t, proxy.URL, "s3://"+name, Settings{})
	id := stat(t, b, "a")
	read := func() error { return b.ReadAt(t.Context(), "a", id, make([]byte, 1), 0) }
	b.effort.stall = 50 * time.Millisecond
	b.effort.wait = time.Millisecond
	proxy.Latency(time.Hour)
	if err := read(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a server that does not answer: %v", err)
	}
	proxy.Latency(0)
	proxy.Refuse()
	for range 3 {
		if err := read(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a server that is gone: %v", err)
		}
	}
	if s := b.figures.Stats(); s.Open != 1 || s.Failing <= 0 {
		t.Errorf("the breaker is closed: %+v", s)
	}
	began := time.Now()
	if err := read(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "once a second") || time.Since(began) > 100*time.Millisecond {
		t.Errorf("with an open breaker: %v in %v", err, time.Since(began))
	}
	proxy.Accept()
	for read() != nil {
		if time.Since(began) > 5*time.Second {
			t.Fatal("it is not found again")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if b.figures.Stats().Open != 0 {
		t.Error("the breaker is open")
	}
}

func TestList(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	long := strings.Repeat("long/", 40)
	want := []string{"A.tiff", "a b&c+d%20.tiff", "a.tiff", "ab/c.tiff", long + "x.tiff", "z/ünï.tiff", "z/日本.tiff"}
	for _, key := range append([]string{"../other", "s-old/x.tiff", "t/x.tiff"}, want...) {
		if key == "../other" {
			continue // the server has no such names
		}
		if strings.HasPrefix(key, "s-old") || strings.HasPrefix(key, "t/") {
			server.Put(t, name, key, nil)
			continue
		}
		server.Put(t, name, "s/"+key, []byte(key))
	}
	server.Put(t, name, "s/folder/", nil)
	b := open(t, proxy.URL, "s3://"+name+"/s", Settings{})
	if diff := cmp.Diff(want, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"z/ünï.tiff", "z/日本.tiff"}, keys(t, b, "z/")); diff != "" {
		t.Error(diff)
	}
	if got := keys(t, b, "none/"); got != nil {
		t.Errorf("an unknown prefix: %q", got)
	}
	if err := b.List(t.Context(), "", func(o Object) error {
		if id := stat(t, b, o.Key); !o.Identity.Same(id) {
			t.Errorf("%q: %+v in the listing, %+v", o.Key, o.Identity, id)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := b.List(t.Context(), "", func(Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
	none := open(t, proxy.URL, "s3://no-such-bucket", Settings{})
	if err := none.List(t.Context(), "", func(Object) error { return nil }); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("an unknown bucket: %v", err)
	}
}

// A listing of several pages is complete, or an error.
func TestListPages(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("%02d/x", i)
		want = append(want, key)
		server.Put(t, name, key, nil)
	}
	b := open(t, proxy.URL, "s3://"+name, Settings{}).Background()
	b.effort.wait = time.Millisecond
	list := func() (got []string, err error) {
		err = b.list(t.Context(), "", "", 10, func(o Object) error {
			got = append(got, o.Key)
			return nil
		})
		return got, err
	}
	for _, tt := range []struct {
		name  string
		fault s3test.Fault
		class error
		least int
	}{
		{"none", s3test.Fault{Kind: "none"}, nil, 25},
		{"page 2 fails once", s3test.Fault{After: 1, Times: 1, Status: 503}, nil, 25},
		{"page 2 is cut once", s3test.Fault{After: 1, Times: 1, Half: true}, nil, 25},
		{"page 3 fails", s3test.Fault{After: 2, Status: 500}, ErrUnavailable, 20},
		{"page 3 is refused", s3test.Fault{After: 2, Status: 403, Code: "AccessDenied"}, ErrDenied, 20},
		{"page 2 is HTML", s3test.Fault{After: 1, Status: 200, Body: "<html><body>log in</body></html>"}, ErrUnavailable, 10},
		{"page 2 is empty", s3test.Fault{After: 1, Status: 200}, ErrUnavailable, 10},
		{"page 2 is another document", s3test.Fault{After: 1, Status: 200, Body: "<ListBucketResult></ListBucketResult>"}, ErrUnavailable, 10},
		{"page 2 is page 1", s3test.Fault{After: 1, Change: func(r *http.Response) { // a server that ignores start-after
			r.Body = io.NopCloser(strings.NewReader("<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>00/x</Key></Contents></ListBucketResult>"))
			r.Header.Del("Content-Length")
		}}, ErrDenied, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.fault.Kind == "" {
				tt.fault.Kind = "list"
			}
			proxy.Set(tt.fault)
			b.breaker.report(false)
			got, err := list()
			if !errors.Is(err, tt.class) {
				t.Errorf("error %v, want %v", err, tt.class)
			}
			if diff := cmp.Diff(want[:tt.least], got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// writeFile writes a file of a test.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A server with a certificate of the hospital's own authority is trusted only with that.
func TestTLS(t *testing.T) {
	s := &anyKeys{keys: []string{"a"}}
	server := httptest.NewTLSServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	ca := t.TempDir() + "/ca.pem"
	writeFile(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, tt := range []struct {
		endpoint, ca string
		class        error
		text         string
	}{
		{server.URL, ca, nil, ""},
		{server.URL, "", ErrUnavailable, "certificate"},
		{strings.Replace(server.URL, "https:", "http:", 1), ca, ErrDenied, "400"},
		{strings.Replace(newListener(t, s.ServeHTTP), "http:", "https:", 1), ca, ErrUnavailable, "TLS"},
	} {
		b := open(t, tt.endpoint, "s3://slides", Settings{CAFile: tt.ca})
		b.effort.wait = time.Millisecond
		if err := b.List(t.Context(), "", func(Object) error { return nil }); !errors.Is(err, tt.class) || err != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s with %q: %v, want %v with %q", tt.endpoint, tt.ca, err, tt.class, tt.text)
		}
	}
	for _, file := range []string{"/none", ca + "2"} {
		writeFile(t, ca+"2", "no certificate")
		if _, err := Open(Address{Bucket: "slides"}, Settings{CAFile: file}); err == nil {
			t.Errorf("%s is accepted", file)
		}
	}
}

// Several folders are listed at once if there are more objects than a page has; the result is
// the same, also if a folder fails.
func TestListFolders(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	var want []string
	add := func(key string) {
		path := filepath.Join(server.Dir, name, "s", key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, "")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	for i := range 1100 {
		add(fmt.Sprintf("b/%04d", i))
	}
	for _, key := range []string{"a", "a.tiff", "a/x/y", "a0", "b.tiff", "c/ü", "c&/d", "z"} {
		if key == "a" {
			continue // a file cannot have the name of a folder
		}
		add(key)
	}
	for i := range 20 {
		add(fmt.Sprintf("d%02d/x", i))
	}
	slices.Sort(want)
	b := open(t, proxy.URL, "s3://"+name+"/s", Settings{}).Background()
	b.effort.wait = time.Millisecond
	if diff := cmp.Diff(want, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
	if n, folders := proxy.Count("list"), 24; n < folders {
		t.Errorf("%d requests for %d folders", n, folders)
	}
	for _, tt := range []struct {
		fault s3test.Fault
		class error
	}{
		{s3test.Fault{Kind: "list", After: 5, Times: 3, Status: 503}, nil},
		{s3test.Fault{Kind: "list", After: 5, Status: 403, Code: "AccessDenied"}, ErrDenied},
		{s3test.Fault{Kind: "list", After: 1, Times: 1, Status: 501, Code: "NotImplemented"}, nil}, // the folders cannot be listed
		{s3test.Fault{Kind: "list", After: 1, Times: 1, Change: func(r *http.Response) { // nor are they complete
			r.Body = io.NopCloser(strings.NewReader("<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>s/b/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>s/d/</Prefix></CommonPrefixes></ListBucketResult>"))
			r.Header.Del("Content-Length")
		}}, nil},
	} {
		proxy := server.Proxy(t) // of its own: cancelled requests of the former may still arrive
		proxy.Set(tt.fault)
		b := open(t, proxy.URL, "s3://"+name+"/s", Settings{}).Background()
		b.effort.wait = time.Millisecond
		var got []string
		err := b.List(t.Context(), "", func(o Object) error {
			got = append(got, o.Key)
			return nil
		})
		if !errors.Is(err, tt.class) || !slices.IsSorted(got) || err == nil && !slices.Equal(got, want) {
			t.Errorf("%+v: %d of %d keys, %v", tt.fault, len(got), len(want), err)
		}
	}
	stop := errors.New("stop")
	if err := b.List(t.Context(), "", func(Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the caller's error: %v", err)
	}
}

// TestListSmallFolders lists many small folders in pages: a request for each would cost more.
func TestListSmallFolders(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	const folders, each = 120, 10
	for i := range folders {
		dir := filepath.Join(server.Dir, name, fmt.Sprintf("%03d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for j := range each {
			path := filepath.Join(dir, fmt.Sprint(j))
			writeFile(t, path, "")
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := open(t, proxy.URL, "s3://"+name, Settings{}).Background()
	if n := len(keys(t, b, "")); n != folders*each {
		t.Errorf("%d objects, want %d", n, folders*each)
	}
	if n := proxy.Count("list"); n > 3 {
		t.Errorf("%d requests for two pages", n)
	}
}
