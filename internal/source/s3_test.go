package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/s3test"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// faulty returns the world of a bucket behind a proxy that fails on demand.
func faulty(t *testing.T) (*world, *s3test.Proxy, func(key string, data []byte)) {
	s := s3test.New(t)
	p := s.Proxy(t)
	name := s.Bucket(t)
	return worldOfBucket(t, s, p.URL, name, ""), p, func(key string, data []byte) { s.Put(t, name, key, data) }
}

// TestBucketIdentity tells objects from others, and not from themselves on another host.
func TestBucketIdentity(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	first := bucket.Identity{ETag: "d41d8cd98f00b204e9800998ecf8427e", Size: 5, Modified: at}
	id := identityOf("a.tiff", first)
	if id.Size != 5 || time.Unix(0, id.MTime).Unix() != at.Unix() || id.Ino == 0 || id.Dev != 0 {
		t.Errorf("identity %+v", id)
	}
	first.Version = "null" // as HEAD has it, and listings do not
	if got := identityOf("a.tiff", first); got != id {
		t.Errorf("with a version: %+v, want %+v", got, id)
	}
	const want = "2rj63wispkynpgeq" // of every release: caches have it in their URLs
	if got := id.Revision(); got != want {
		t.Errorf("revision %s, want %s", got, want)
	}
	seen := map[fsx.Identity]string{id: "the first"}
	for name, other := range map[string]bucket.Identity{
		"another ETag": {ETag: "900150983cd24fb0d6963f7d28e17f72", Size: 5, Modified: at},
		"another size": {ETag: first.ETag, Size: 6, Modified: at},
		"another time": {ETag: first.ETag, Size: 5, Modified: at.Add(time.Second)},
		"no ETag":      {Size: 5, Modified: at},
	} {
		got := identityOf("a.tiff", other)
		if was, same := seen[got]; same || got.Size == id.Size && got.MTime == id.MTime {
			t.Errorf("%s: the identity of %s, or the contents of the first: %+v", name, was, got)
		}
		seen[got] = name
	}
	if identityOf("b.tiff", first).Ino == id.Ino {
		t.Error("another key has the same inode")
	}
}

// TestBucketKeys reports keys that cannot be paths, and does not read DICOM.
func TestBucketKeys(t *testing.T) {
	t.Parallel()
	for key, good := range map[string]bool{
		"a.tiff": true, "b c/ü/&+?.tiff": true, "a\nb.tiff": true,
		"": false, "/a.tiff": false, "a//b.tiff": false, "../a.tiff": false, "a/./b.tiff": false, "a/..": false, "a\x00.tiff": false,
		catalog.SeriesPath("a", "1.2.3"): false,
	} {
		if err := checkKey(key); (err == nil) != good {
			t.Errorf("checkKey(%q) = %v", key, err)
		}
	}
	w, p, _ := faulty(t)
	w.put("a.tiff", nil)
	p.Set(s3test.Fault{Kind: "list", Change: func(r *http.Response) {
		b, _ := io.ReadAll(r.Body)
		b = bytes.Replace(b, []byte("<Key>a.tiff"), []byte("<Key>../../a.tiff"), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Set("Content-Length", fmt.Sprint(len(b)))
	}})
	l, err := w.List(t.Context(), ListOptions{Item: func(i Item) { t.Errorf("item %q", i.Path) }})
	if err != nil || len(l.Unreadable) != 1 || strings.Contains(l.Unreadable[0].Err.Error(), "a.tiff") {
		t.Errorf("%+v, %v, want one object that is not readable, without its key", l, err)
	}
	for _, path := range []string{"../a.tiff", "..", "", "a.tiff/"} {
		if _, err := w.Identify(path); !fsx.IsGone(err) {
			t.Errorf("Identify(%q): %v", path, err)
		}
	}
	if f := bucketFilter(nil, nil); f.Allows("a.dcm") || !f.Allows("a.svs") {
		t.Error("the filter of buckets selects DICOM by default, or no slides")
	}
}

// TestBucketList lists several pages, and never reports a part of a listing as the whole.
func TestBucketList(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	p := s.Proxy(t)
	name := s.Bucket(t)
	w := worldOfBucket(t, s, p.URL, name, "")
	const objects = 1003
	for i := range objects {
		if err := os.WriteFile(filepath.Join(s.Dir, name, fmt.Sprintf("%04d.tiff", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.list(t, ListOptions{}); len(got) != objects {
		t.Fatalf("%d items, want %d", len(got), objects)
	}
	for name, f := range map[string]s3test.Fault{
		"503":        {Status: 503, Code: "SlowDown"},
		"HTML":       {Status: 200, Body: "<html><body>Maintenance</body></html>"},
		"404":        {Status: 404, Code: "XAdminUserNotFound"},
		"no bucket":  {Status: 404, Code: "NoSuchBucket"},
		"denied":     {Status: 403, Code: "AccessDenied"},
		"cut short":  {Half: true},
		"wrong key":  {Status: 403, Code: "SignatureDoesNotMatch"},
		"wrong time": {Status: 403, Code: "RequestTimeTooSkewed"},
	} {
		f.Kind, f.After = "list", 1
		p.Set(f)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // attempts take longer
		_, err := w.List(ctx, ListOptions{Item: func(Item) {}})
		cancel()
		if err == nil || fsx.IsGone(err) {
			t.Errorf("page 2 fails with %s: %v, want an error", name, err)
		}
	}
}

// TestBucketReads reads from an object while its server fails and while it is replaced: the bytes
// are those of the object that was opened, or there is an error that says what to do.
func TestBucketReads(t *testing.T) {
	t.Parallel()
	w, p, put := faulty(t)
	put("a.tiff", slidetest.Pyramid{}.Bytes())
	open := func() Object {
		t.Helper()
		f, err := w.Source.(Files).Open("a.tiff")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	s, err := w.Slide(t.Context(), "a.tiff")
	if err != nil || s.Err != nil {
		t.Fatal(err, s.Err)
	}
	defer s.Close()
	f := open()
	for name, fault := range map[string]s3test.Fault{
		"503":  {Status: 503, Code: "SlowDown", Times: 9},
		"HTML": {Status: 200, Body: "<html></html>", Times: 9},
		"404":  {Status: 404, Code: "XAdminUserNotFound"},
		"403":  {Status: 403, Code: "AccessDenied"},
	} {
		fault.Kind = "get"
		p.Set(fault)
		other, err := w.Slide(t.Context(), "a.tiff")
		if !errors.Is(err, ErrUnavailable) || fsx.IsGone(err) || errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v, %v, want that the store is unreachable", name, other, err)
		}
		p.Set()
	}
	put("a.tiff", slidetest.Pyramid{Seed: 9}.Bytes()) // of the same size
	if _, err := f.ReadAt(make([]byte, 16), 0); !errors.Is(err, ErrChanged) {
		t.Errorf("after it was replaced: %v, want %v", err, ErrChanged)
	}
	if err := s.Current(); err != nil {
		t.Errorf("before a read: %v", err)
	}
	w.remove("a.tiff")
	if _, err := w.Slide(t.Context(), "a.tiff"); !fsx.IsGone(err) {
		t.Errorf("after it was deleted: %v, want that it is gone", err)
	}
}
