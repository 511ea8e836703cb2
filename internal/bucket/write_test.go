package bucket

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

func TestPut(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name+"/p", Settings{}).Background()
	b.effort.wait = time.Millisecond
	for _, body := range []string{"", "contents"} {
		id, err := b.Put(t.Context(), "a", []byte(body), PutOptions{})
		if got, ok := server.Get(t, name, "p/a"); err != nil || !ok || string(got) != body || id.Size != int64(len(body)) || !id.Same(stat(t, b, "a")) {
			t.Errorf("%q: %q, %+v, %v", body, got, id, err)
		}
	}
	absent := PutOptions{IfAbsent: true}
	if _, err := b.Put(t.Context(), "a", []byte("other"), absent); !errors.Is(err, ErrExists) {
		t.Errorf("an object that exists: %v", err)
	}
	// The answer is lost: the second attempt finds the object of the first.
	proxy.Set(s3test.Fault{Kind: "put", Times: 1, Late: true, Reset: true})
	if id, err := b.Put(t.Context(), "b", []byte("once"), absent); err != nil || id.Size != 4 {
		t.Errorf("a lost answer: %+v, %v", id, err)
	}
	proxy.Set(s3test.Fault{Kind: "put", Times: 1, Status: 409, Code: "ConditionalRequestConflict"})
	if _, err := b.Put(t.Context(), "c", []byte("1"), absent); err != nil {
		t.Errorf("a conflict that passes: %v", err)
	}
	proxy.Set(s3test.Fault{Kind: "put", Status: 403, Code: "AccessDenied"})
	if _, err := b.Put(t.Context(), "d", []byte("1"), absent); !errors.Is(err, ErrDenied) {
		t.Errorf("refused: %v", err)
	}
}

func TestDelete(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name, Settings{})
	server.Put(t, name, "a", []byte("old"))
	old := stat(t, b, "a")
	server.Put(t, name, "a", []byte("new one"))
	if err := b.Delete(t.Context(), "a", old); !errors.Is(err, ErrChanged) {
		t.Errorf("a replaced object: %v", err)
	}
	id := stat(t, b, "a")
	proxy.Set(s3test.Fault{Kind: "head", Change: func(r *http.Response) { // it was replaced after it was compared
		server.Put(t, name, "a", []byte("newest"))
	}})
	if err := b.Delete(t.Context(), "a", id); !errors.Is(err, ErrChanged) {
		t.Errorf("replaced meanwhile: %v", err)
	}
	proxy.Set()
	if got, ok := server.Get(t, name, "a"); !ok || string(got) != "newest" {
		t.Errorf("%q, %t", got, ok)
	}
	for range 2 {
		if err := b.Delete(t.Context(), "a", stat2(b, t, "a", id)); err != nil {
			t.Error(err)
		}
		if _, ok := server.Get(t, name, "a"); ok {
			t.Error("it is still there")
		}
	}
}

// stat2 returns the identity of an object, or otherwise if it is gone.
func stat2(b *Bucket, t *testing.T, key string, otherwise Identity) Identity {
	id, err := b.Stat(t.Context(), key)
	if err != nil {
		return otherwise
	}
	return id
}

func TestProbe(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name+"/p", Settings{})
	server.Put(t, name, "p-old/x", []byte("x"))
	if p, err := b.Probe(t.Context()); err != nil || p.Objects || p.Clock != 0 {
		t.Errorf("an empty store: %+v, %v", p, err)
	}
	server.Put(t, name, "p/folder/", nil)
	server.Put(t, name, "p/x", []byte("x"))
	if p, err := b.Probe(t.Context()); err != nil || !p.Objects || !p.ETags || p.Readable != nil || !p.IfMatch || p.Clock != 0 {
		t.Errorf("a store: %+v, %v", p, err)
	}
	later := func(r *http.Response) {
		r.Header.Set("Date", time.Now().Add(20*time.Minute).UTC().Format(http.TimeFormat))
	}
	for _, tt := range []struct {
		fault s3test.Fault
		ok    func(Probe, error) bool
	}{
		{s3test.Fault{Kind: "get", Status: 403, Code: "AccessDenied"}, func(p Probe, err error) bool { return err == nil && errors.Is(p.Readable, ErrDenied) }},
		{s3test.Fault{Kind: "list", Status: 403, Code: "AccessDenied"}, func(_ Probe, err error) bool { return errors.Is(err, ErrDenied) }},
		{s3test.Fault{Kind: "list", Change: later}, func(p Probe, err error) bool {
			return err == nil && p.Clock > 19*time.Minute && p.Clock <= 20*time.Minute
		}},
		{s3test.Fault{Kind: "get", After: 1, Change: func(r *http.Response) { // a server that ignores the condition
			r.StatusCode = 206
		}}, func(p Probe, err error) bool { return err == nil && p.Readable == nil && !p.IfMatch }},
	} {
		proxy.Set(tt.fault)
		if p, err := b.Probe(t.Context()); !tt.ok(p, err) {
			t.Errorf("%+v: %+v, %v", tt.fault, p, err)
		}
	}
	proxy.Set()
	if err := b.ProbeWriting(t.Context()); err != nil {
		t.Error(err)
	}
	if got := keys(t, b, ""); len(got) != 1 {
		t.Errorf("after writing: %q", got)
	}
	proxy.Set(s3test.Fault{Kind: "put", Status: 403, Code: "AccessDenied"})
	if err := b.ProbeWriting(t.Context()); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "do not permit") {
		t.Errorf("without permission: %v", err)
	}
}
