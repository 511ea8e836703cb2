package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/test/s3test"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

func init() {
	os.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
}

// A bucketSite is a site whose store is a part of a bucket behind a proxy.
type bucketSite struct {
	*site
	server *s3test.Server
	proxy  *s3test.Proxy
	bucket string
}

func newBucketSite(t *testing.T) *bucketSite {
	t.Helper()
	s := s3test.New(t)
	st := &bucketSite{server: s, proxy: s.Proxy(t), bucket: s.Bucket(t)}
	st.site = newAtlasSite(t, "s3://"+st.bucket+"/scanner/")
	st.Sources.Bucket = bucket.Settings{Endpoint: st.proxy.URL, PathStyle: true}
	return st
}

func (st *bucketSite) put(key string, data []byte) {
	st.server.Put(st.t, st.bucket, "scanner/"+key, data)
}

func (st *bucketSite) remove(key string) { st.server.Remove(st.t, st.bucket, "scanner/"+key) }

// again makes the process forget the bucket, as after a restart.
func (st *bucketSite) again() {
	st.Sources.Close()
	st.Sources = &source.Pool{Bucket: st.Sources.Bucket}
}

// fails expects a scan to fail and to change nothing.
func (st *bucketSite) fails(what string, want error) {
	st.t.Helper()
	before := fmt.Sprint(st.states())
	limit := 300 * time.Millisecond // attempts take longer
	if want != nil {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(st.t.Context(), limit)
	defer cancel()
	if _, err := st.Sync(ctx, st.store, Options{}); err == nil || want != nil && !errors.Is(err, want) {
		st.t.Errorf("%s: %v, want %v", what, err, want)
	}
	if after := fmt.Sprint(st.states()); after != before {
		st.t.Errorf("%s: states %s, before %s", what, after, before)
	}
}

// TestSyncBucket adds, replaces and removes objects, each of which is available at once.
func TestSyncBucket(t *testing.T) {
	t.Parallel()
	st := newBucketSite(t)
	slide := func(seed uint8) []byte { return slidetest.Pyramid{Seed: seed}.Bytes() }
	for i, key := range []string{"a.tiff", "ward/b.tiff", "ward/c.tiff"} {
		st.put(key, slide(uint8(i)))
	}
	st.put("notes.txt", []byte("no slide"))
	if r := st.scan(Options{}); r.Count != 3 || r.Added != 3 || r.Arriving != 0 || len(r.Failed) != 0 {
		t.Fatalf("first scan: %+v", r)
	}
	first := st.image("a.tiff")
	st.again()
	st.proxy.ResetCounts()
	if r := st.scan(Options{}); r.changed() || st.proxy.Count("head") > 0 {
		t.Errorf("nothing changed: %+v, %d objects were asked for", r, st.proxy.Count("head"))
	}
	if again := st.image("a.tiff"); again.Revision != first.Revision {
		t.Errorf("revision %s and then %s", first.Revision, again.Revision)
	}
	digest := strings.Repeat("0", 64)
	if err := st.Catalog.Verification.SetDigest(t.Context(), first.ID, first.Revision, digest); err != nil {
		t.Fatal(err)
	}
	st.put("a.tiff", slide(9)) // of the same size, possibly in the same second
	st.remove("ward/b.tiff")
	st.put("ward/d.tiff", slide(1)) // the bytes of b
	b := st.image("ward/b.tiff")
	if r := st.scan(Options{}); r.Updated != 1 || r.Missing != 1 || r.Added != 1 || r.Moved != 0 {
		t.Errorf("second scan: %+v", r)
	}
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "ward/b.tiff": catalog.Missing, "ward/c.tiff": catalog.Available, "ward/d.tiff": catalog.Available})
	switch im := st.image("a.tiff"); {
	case im.ID != first.ID, im.Revision == first.Revision:
		t.Errorf("the replaced object is %s, revision %s; was %s, %s", im.ID, im.Revision, first.ID, first.Revision)
	case im.Digest != nil:
		t.Error("the replaced object has the digest of the former")
	case st.image("ward/d.tiff").ID == b.ID:
		t.Error("an object of the same bytes is taken for the one that is missing")
	}
}

// TestBucketArrives inspects an object that is incomplete, as those of gateways over file systems
// are while they are written: it is broken once it is old by the clock of the server.
func TestBucketArrives(t *testing.T) {
	t.Parallel()
	st := newBucketSite(t)
	st.put("a.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.put("b.tiff", slidetest.Pyramid{}.Bytes())
	st.later(-5 * time.Hour) // our clock is wrong, and only what it measures counts
	ahead := func(d time.Duration) {
		st.again()
		st.proxy.Set(s3test.Fault{Change: func(r *http.Response) { r.Header.Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat)) }})
	}
	ahead(5 * time.Minute)
	st.later(5 * time.Hour)
	if r := st.scan(Options{}); r.Arriving != 1 {
		t.Errorf("after 5 minutes: %+v", r)
	}
	st.want(map[string]catalog.State{"a.tiff": catalog.Arriving, "b.tiff": catalog.Available})
	ahead(11 * time.Minute)
	st.scan(Options{})
	st.want(map[string]catalog.State{"a.tiff": catalog.Broken, "b.tiff": catalog.Available})
	st.put("a.tiff", slidetest.Pyramid{}.Bytes())
	st.scan(Options{})
	st.want(map[string]catalog.State{"a.tiff": catalog.Available, "b.tiff": catalog.Available})
}

// TestBucketGuards lets the bucket fail, lie and become empty: no slide is marked missing.
func TestBucketGuards(t *testing.T) {
	t.Parallel()
	st := newBucketSite(t)
	for _, key := range []string{"a.tiff", "b.tiff"} {
		st.put(key, slidetest.Pyramid{}.Bytes())
	}
	st.scan(Options{})
	im := st.image("a.tiff")
	for name, f := range map[string]s3test.Fault{
		"503": {Status: 503, Code: "SlowDown"}, "HTML": {Status: 200, Body: "<html>Maintenance</html>"}, "no bucket": {Status: 404, Code: "NoSuchBucket"},
		"another 404": {Status: 404, Code: "XAdminUserNotFound"}, "denied": {Status: 403, Code: "AccessDenied"}, "cut": {Half: true},
	} {
		st.again()
		st.proxy.Set(f)
		st.fails(name, nil)
		if err := st.Retry(t.Context(), im.ID); name != "503" && name != "cut" && err == nil {
			t.Errorf("%s: Retry worked", name)
		}
	}
	st.again()
	st.proxy.Set(s3test.Fault{Kind: "get", Status: 403, Code: "AccessDenied"})
	st.put("c.tiff", slidetest.Pyramid{}.Bytes())
	st.fails("objects cannot be read", ErrNoRoot)

	// One object is archived: the others are read.
	st.again()
	st.proxy.Set(s3test.Fault{Kind: "get", Times: 1, Status: 403, Code: "InvalidObjectState"})
	if r := st.scan(Options{}); r.Added != 1 {
		t.Errorf("one object is archived: %+v", r)
	}

	// A listing that is older than an upload.
	st.again()
	st.proxy.Set(s3test.Fault{Kind: "list", Stale: true})
	st.scan(Options{})
	st.put("d.tiff", slidetest.Pyramid{}.Bytes())
	st.remove("c.tiff")
	st.scan(Options{})
	st.proxy.Set()
	st.scan(Options{})
	st.proxy.Set(s3test.Fault{Kind: "list", Stale: true})
	if r := st.scan(Options{}); r.Missing != 0 {
		t.Errorf("an old listing: %+v", r)
	}
	st.proxy.Set()

	// An empty bucket is like the mount point of a disk.
	for _, key := range []string{"a.tiff", "b.tiff", "d.tiff"} {
		st.remove(key)
	}
	st.fails("empty", ErrManyMissing)
	if err := st.Retry(t.Context(), im.ID); !errors.Is(err, ErrManyMissing) {
		t.Errorf("Retry of an object in an empty bucket: %v, want %v", err, ErrManyMissing)
	}
	if r := st.scan(Options{Confirm: true}); r.Missing != 3 {
		t.Errorf("confirmed: %+v, want 3 missing", r)
	}
}

// TestBucketPages lets the second page of a listing fail.
func TestBucketPages(t *testing.T) {
	t.Parallel()
	st := newBucketSite(t)
	dir := filepath.Join(st.server.Dir, st.bucket, "scanner")
	st.put("a.tiff", slidetest.Pyramid{}.Bytes())
	st.put("z.tiff", slidetest.Pyramid{}.Bytes())
	for i := range 1001 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m%04d.txt", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r := st.scan(Options{}); r.Count != 2 {
		t.Fatalf("%d slides, want 2", r.Count)
	}
	st.proxy.Set(s3test.Fault{Kind: "list", After: 2, Status: 403, Code: "AccessDenied"}) // the first is of Root
	st.fails("page 2 fails", ErrNoRoot)
	st.proxy.Set()
	if r := st.scan(Options{}); r.Missing != 0 || r.Returned != 0 {
		t.Errorf("afterwards: %+v", r)
	}
}

// TestBucketChangesWhileInspected replaces an object between two reads of its inspection.
func TestBucketChangesWhileInspected(t *testing.T) {
	t.Parallel()
	st := newBucketSite(t)
	st.put("a.tiff", slidetest.Pyramid{}.Bytes())
	replaced := false
	st.proxy.Set(s3test.Fault{Kind: "get", After: 2, Times: 1, Change: func(*http.Response) { // after those of the probe
		if !replaced {
			replaced = true
			st.put("a.tiff", slidetest.Pyramid{Seed: 5, Tail: true}.Bytes())
		}
	}})
	st.scan(Options{})
	src, err := st.Sources.Open(st.storeOf())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	now, err := src.Identify("a.tiff")
	if im := st.image("a.tiff"); err != nil || !replaced || im.State != catalog.Available || im.Identity != now {
		t.Errorf("replaced %v: %s, identity %+v, want %+v, %v", replaced, im.State, im.Identity, now, err)
	}
}

// storeOf returns the store of the site.
func (st *bucketSite) storeOf() *catalog.Store {
	st.t.Helper()
	s, err := st.Catalog.Stores.Get(st.t.Context(), st.store)
	if err != nil {
		st.t.Fatal(err)
	}
	return s
}

// TestNoKeysInLogs scans objects whose keys are names of patients, with and without faults.
func TestNoKeysInLogs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	st := newBucketSite(t)
	st.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	st.Sources.Bucket.Log = st.Log
	st.put("Doe_John/broken.tiff", slidetest.Pyramid{}.Bytes()[:5000])
	st.put("Doe_John/whole.tiff", slidetest.Pyramid{}.Bytes())
	for _, f := range []s3test.Fault{{}, {Kind: "get", After: 3, Status: 404, Code: "NoSuchVersion"}, {Kind: "get", After: 3, Half: true, Times: 1}, {Kind: "head", Status: 403, Code: "AccessDenied"}} {
		st.again()
		st.proxy.Set(f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		r, err := st.Sync(ctx, st.store, Options{Resync: true})
		cancel()
		if text := fmt.Sprint(r, err); strings.Contains(text, "Doe") || strings.Contains(text, ".tiff") {
			t.Errorf("the result names objects: %s", text)
		}
	}
	st.proxy.Set()
	st.again()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	NewWatcher(st.Syncer, st.store).Run(ctx)
	if strings.Contains(log.String(), "Doe") || strings.Contains(log.String(), ".tiff") {
		t.Errorf("the log names objects:\n%s", log.String())
	}
}

// TestPollOfBuckets lists large buckets less often.
func TestPollOfBuckets(t *testing.T) {
	t.Parallel()
	for objects, want := range map[int]time.Duration{0: 30 * time.Second, 1000: 30 * time.Second, 4000: time.Minute, 100000: 5 * time.Minute, 1000000: 15 * time.Minute, 1 << 40: 15 * time.Minute} {
		if got := pollOf(objects).Round(time.Second); got.Round(time.Minute/2) != want.Round(time.Minute/2) {
			t.Errorf("%d objects are listed every %v, want %v", objects, got, want)
		}
	}
}
