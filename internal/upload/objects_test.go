package upload_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/upload"
	"github.com/slideatlas/ptiffstore/test/s3test"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

func init() {
	os.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
}

const mib = 1 << 20

// A bucketSite is a site whose managed store is in a bucket behind a proxy.
type bucketSite struct {
	*site
	proxy    *s3test.Proxy
	settings bucket.Settings
	open     *bucket.Bucket
	fail     atomic.Int32 // how many arrivals are not recorded
}

func newBucketSite(t *testing.T) *bucketSite {
	t.Helper()
	server := s3test.New(t)
	s := &bucketSite{site: newSite(t, upload.Options{}), proxy: server.Proxy(t)}
	s.settings = bucket.Settings{Endpoint: s.proxy.URL, PathStyle: true}
	root := "s3://" + server.Bucket(t) + "/archive/"
	st, err := bucketstore.AddStore(t.Context(), s.c, s.settings, catalog.Store{Label: "bucket", Mode: catalog.Managed, Root: root})
	if err != nil {
		t.Fatal(err)
	}
	s.store = st
	if s.open, err = bucket.OpenURL(root, s.settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.open.Close)
	s.another()
	return s
}

// another starts a further server of the site, and sends the next requests there.
func (s *bucketSite) another() {
	s.t.Helper()
	pool := &source.Pool{Bucket: s.settings}
	s.t.Cleanup(func() { pool.Close() })
	syncer := &scan.Syncer{Catalog: s.c, Sources: pool}
	receive := func(ctx context.Context, st *catalog.Store, a bucketstore.Arrival) (bucketstore.Received, error) {
		if s.fail.Add(-1) >= 0 {
			return bucketstore.Received{}, catalog.ErrAway
		}
		return syncer.Receive(ctx, st, a)
	}
	s.serve(upload.Options{Buckets: &upload.Buckets{
		Open: pool.OpenBucket, Receive: receive, Part: 5 * mib,
		Leases: &lease.Leases{Catalog: s.c, Holder: lease.Holder("test " + catalog.NewID())},
	}})
}

// keys returns the keys of the objects of the store, without those of slides and their sidecars,
// and the number of unfinished uploads in parts.
func (s *bucketSite) rest() (keys []string, unfinished int) {
	s.t.Helper()
	if err := s.open.List(s.t.Context(), "", func(o bucket.Object) error {
		if !strings.HasPrefix(o.Key, "slides/") && o.Key != managed.MarkerName {
			keys = append(keys, o.Key)
		}
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.open.Uploads(s.t.Context(), func(bucket.Upload) error { unfinished++; return nil }); err != nil {
		s.t.Fatal(err)
	}
	return keys, unfinished
}

// nothingLeft expects no bytes of unfinished uploads.
func (s *bucketSite) nothingLeft() {
	s.t.Helper()
	if keys, n := s.rest(); len(keys) > 0 || n > 0 {
		s.t.Errorf("%q and %d unfinished uploads are left", keys, n)
	}
}

// stored expects the image of an upload to have these bytes and a file name.
func (s *bucketSite) stored(url, name string, want []byte) upload.View {
	s.t.Helper()
	v := s.show(url)
	if v.State != "received" || v.Image == nil || *v.FileName != name || *v.SHA256 != hexSum(want) {
		s.t.Fatalf("upload: %+v", v)
	}
	key := bucketstore.Key(v.Image.ID)
	id, err := s.open.Stat(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	got := make([]byte, id.Size)
	if err := s.open.ReadAt(s.t.Context(), key, id, got, 0); err != nil || !bytes.Equal(got, want) {
		s.t.Errorf("the object has %d bytes, %v; want the %d that were sent", len(got), err, len(want))
	}
	return v
}

// TestBucket uploads a slide and a large file in chunks of all sizes, each to another server.
func TestBucket(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	slide := slidetest.Pyramid{Seed: 1}.Bytes()
	url := s.begin(patient+".tiff", len(slide), "sha256", hexSum(slide))
	if a := s.patch(url, 0, slide); a.status != 204 {
		t.Fatalf("PATCH: %d %s", a.status, a.body)
	}
	first := s.stored(url, patient+".tiff", slide)
	if *first.Verdict != "slide" || !first.Image.Filed || first.Image.Known {
		t.Errorf("slide: %+v", first)
	}
	again := s.begin("copy.tiff", len(slide))
	s.patch(again, 0, slide)
	if v := s.show(again); v.Image == nil || v.Image.ID != first.Image.ID || !v.Image.Known {
		t.Errorf("a second copy: %+v", v)
	}
	file := noise(13 * mib)
	url = s.begin("b.tiff", len(file))
	for _, part := range [][2]int{{0, 100}, {100, 3 * mib}, {3 * mib, 5 * mib}, {5 * mib, 6 * mib}, {6 * mib, 13*mib - 1}, {13*mib - 1, 13 * mib}} {
		s.another()
		if a := s.ask("HEAD", url, nil); a.offset() != itoa(part[0]) {
			t.Fatalf("another server has the offset %s, want %d", a.offset(), part[0])
		}
		if a := s.patch(url, part[0], file[part[0]:part[1]]); a.status != 204 || a.offset() != itoa(part[1]) {
			t.Fatalf("PATCH to %d: %d %s %s", part[1], a.status, a.offset(), a.body)
		}
	}
	if v := s.stored(url, "b.tiff", file); *v.Verdict != "broken" || *v.Reason == "" {
		t.Errorf("noise: %+v", v)
	}
	s.nothingLeft()
	if a := s.ask("DELETE", url, nil); a.status != 204 {
		t.Errorf("DELETE at the end: %d %s", a.status, a.body)
	}
}

// TestBucketRefused leaves nothing of uploads that are damaged or removed.
func TestBucketRefused(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	file := noise(6 * mib)
	url := s.begin(patient+".tiff", len(file), "sha256", hexSum(file[1:]))
	if a := s.patch(url, 0, file); a.status != http.StatusUnprocessableEntity {
		t.Errorf("another digest than announced: %d %s", a.status, a.body)
	}
	if v := s.show(url); v.State != "refused" || v.SentAs != nil {
		t.Errorf("refused: %+v", v)
	}
	s.nothingLeft()
	url = s.begin("b.tiff", len(file))
	s.patch(url, 0, file[:mib])
	if a := s.patch(url, mib, file[mib:], "Upload-Checksum", "sha256 "+"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="); a.status != 460 || a.offset() != itoa(mib) {
		t.Errorf("a chunk with a wrong checksum: %d %s", a.status, a.offset())
	}
	if keys, n := s.rest(); len(keys) != 1 || n != 1 {
		t.Errorf("half way: %q, %d unfinished", keys, n)
	}
	if a := s.patch(url, mib, file[mib:]); a.status != 204 {
		t.Errorf("the chunk again: %d %s", a.status, a.body)
	}
	s.stored(url, "b.tiff", file)
	url = s.begin("c.tiff", len(file))
	s.patch(url, 0, file[:mib])
	if a := s.ask("DELETE", url, nil); a.status != 204 {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	s.nothingLeft()
	if a := s.ask("HEAD", url, nil); a.status != 404 {
		t.Errorf("a removed upload: %d", a.status)
	}
}

// TestBucketLocked refuses two servers that write to one upload.
func TestBucketLocked(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	file := noise(6 * mib)
	url := s.begin("a.tiff", len(file))
	r, w := io.Pipe()
	done := make(chan answer)
	one := s.url
	go func() {
		a, _ := s.try("PATCH", one+url, r, "Content-Type", chunk, "Upload-Offset", "0")
		done <- a
	}()
	if _, err := w.Write(file[:5*mib+mib/2]); err != nil {
		t.Fatal(err)
	}
	s.another()
	s.until("the first part", func() bool { return s.ask("HEAD", url, nil).offset() == itoa(5*mib) })
	if a := s.patch(url, 5*mib, file[5*mib:]); a.status != http.StatusLocked {
		t.Errorf("another server: %d %s", a.status, a.body)
	}
	if _, err := w.Write(file[5*mib+mib/2:]); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if a := <-done; a.status != 204 {
		t.Errorf("the first: %d %s", a.status, a.body)
	}
	s.stored(url, "a.tiff", file)
}

// TestBucketOutage fails each kind of request once, with and without an effect, and refuses all for
// a while: what was acknowledged is there, and the client continues.
func TestBucketOutage(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	file := noise(11 * mib)
	chunks := []int{mib, 7 * mib, 8 * mib, 11 * mib}
	for i, f := range []s3test.Fault{
		{Kind: "part", Status: 403, Code: "ExpiredToken", Times: 1},
		{Kind: "part", Status: 403, Code: "ExpiredToken", Times: 1, Late: true},
		{Kind: "part", Status: 403, Code: "AccessDenied", Times: 1, After: 2},
		{Kind: "put", Status: 403, Code: "AccessDenied", Times: 1},
		{Kind: "put", Status: 403, Code: "AccessDenied", Times: 1, Late: true},
		{Kind: "complete", Status: 403, Code: "AccessDenied", Times: 1},
		{Kind: "complete", Status: 403, Code: "AccessDenied", Times: 1, Late: true},
		{Kind: "complete", Reset: true, Times: 1, Late: true},
		{Kind: "get", Status: 403, Code: "AccessDenied", Times: 1},
	} {
		file[0] = byte(i) // another slide
		s.proxy.Set()
		url := s.begin("a.tiff", len(file))
		s.proxy.Set(f)
		failed := 0
		for offset := 0; offset < len(file); {
			end := len(file)
			for _, c := range chunks {
				if c > offset {
					end = c
					break
				}
			}
			a := s.patch(url, offset, file[offset:end])
			if a.status != 204 {
				if failed++; a.status != 503 || a.header.Get("Retry-After") == "" || failed > 2 {
					t.Fatalf("%+v: %d %s", f, a.status, a.body)
				}
			}
			at := atoi(s.ask("HEAD", url, nil).offset())
			if at < offset {
				t.Fatalf("%+v: offset %d after %d was acknowledged", f, at, offset)
			}
			offset = at
		}
		s.proxy.Set()
		s.ask("HEAD", url, nil) // finishes it
		s.stored(url, "a.tiff", file)
	}
	s.sweepOrphans() // of a tail whose answer was lost
	s.nothingLeft()
}

// sweepOrphans sweeps as if everything without a record were old.
func (s *bucketSite) sweepOrphans() {
	s.t.Helper()
	s.uploads.SetOrphanAge(-time.Hour)
	if err := s.uploads.Sweep(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestBucketKilled continues uploads whose process ended between two steps: the record is that of
// before, or the object is complete and not recorded.
func TestBucketKilled(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	file := noise(9 * mib)
	url := s.begin("a.tiff", len(file))
	id := url[strings.LastIndex(url, "/")+1:]
	offset := 0
	for _, end := range []int{2 * mib, 6 * mib, 7 * mib} {
		before, err := s.c.Uploads.Get(t.Context(), s.store.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		s.patch(url, offset, file[offset:end])
		now, err := s.c.Uploads.Get(t.Context(), s.store.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		// As if it had ended before the last transaction; the tail of before is still there then.
		if !strings.Contains(before.Record, ".tail") {
			before.Version = now.Version
			if err := s.c.Uploads.Put(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			s.another()
			if a := s.patch(url, offset, file[offset:end]); a.status != 204 {
				t.Fatalf("again from %d: %d %s", offset, a.status, a.body)
			}
		}
		offset = end
	}
	s.fail.Store(1)
	if a := s.patch(url, offset, file[offset:]); a.status != 503 {
		t.Errorf("not recorded: %d %s", a.status, a.body)
	}
	s.another()
	if err := s.uploads.Sweep(t.Context()); err != nil { // without the client
		t.Fatal(err)
	}
	s.stored(url, "a.tiff", file)
	list, err := s.c.Images.List(t.Context(), catalog.Query{Store: s.store.ID, Limit: 10})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("%d images, %v, want one", len(list.Items), err)
	}
	s.sweepOrphans()
	s.nothingLeft()
}

// TestBucketSweep removes parts and tails without a record, and expired uploads, but no others.
func TestBucketSweep(t *testing.T) {
	t.Parallel()
	s := newBucketSite(t)
	file := noise(2 * mib)
	kept := s.begin("kept.tiff", len(file))
	s.patch(kept, 0, file[:mib])
	lost := s.begin("lost.tiff", len(file))
	s.patch(lost, 0, file[:mib])
	if err := s.c.Uploads.Remove(t.Context(), s.store.ID, lost[strings.LastIndex(lost, "/")+1:]); err != nil {
		t.Fatal(err)
	}
	if err := s.uploads.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, n := s.rest(); len(keys) != 2 || n != 2 {
		t.Errorf("while they are new: %q, %d unfinished", keys, n)
	}
	s.sweepOrphans()
	if keys, n := s.rest(); len(keys) != 1 || n != 1 {
		t.Errorf("those of one upload are kept: %q, %d unfinished", keys, n)
	}
	if a := s.patch(kept, mib, file[mib:]); a.status != 204 {
		t.Errorf("the kept one: %d %s", a.status, a.body)
	}
	s.stored(kept, "kept.tiff", file)
	if diff := cmp.Diff(404, s.ask("HEAD", lost, nil).status); diff != "" {
		t.Error("the lost one is there")
	}
}
