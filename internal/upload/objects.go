package upload

import (
	"cmp"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// Buckets receive uploads into managed stores in buckets.
type Buckets struct {
	// Open returns the bucket of a store; done ends its use.
	Open func(st *catalog.Store) (b *bucket.Bucket, done func(), err error)
	// Receive records a complete object; see [bucketstore.Store.Receive].
	Receive func(ctx context.Context, st *catalog.Store, a bucketstore.Arrival) (bucketstore.Received, error)
	Leases  *lease.Leases
	Memory  int64 // bytes of all parts that are being received; 512 MiB if 0
	Part    int64 // bytes of the parts; [bucket.PartSize] if 0
}

const defaultPartMemory = 512 << 20

func (b *Buckets) memory() int64 {
	if b == nil || b.Memory == 0 {
		return defaultPartMemory
	}
	return b.Memory
}

const (
	// tails begins the keys of the bytes of uploads that are shorter than a part.
	tails = "uploads/"
	// orphanAge is the age from which parts and tails that no record has are removed: their
	// upload may just be being begun.
	orphanAge   = 24 * time.Hour
	maxPartSize = 5 << 30
	// partWait is how long a request waits for memory before its client has to come later.
	partWait = 5 * time.Second
)

// objects are the uploads into a managed store in a bucket. Their bytes are in the parts of
// objects that are not visible before they are complete.
//
// An upload is written to by one process at a time, which holds a lease. Should two write to one
// nevertheless, because a lease has expired, the version of the record decides which of them
// continues: tails are never overwritten, and an object is only completed of the parts that the
// record has.
type objects struct {
	retention
	ctx     context.Context // of the request, whose end does not end what was begun
	of      *Buckets
	catalog *catalog.Catalog
	memory  *semaphore.Weighted
	store   *catalog.Store
	orphans time.Duration // age from which they are removed
	bucket  *bucket.Bucket
	done    func()
	ix      *index
}

// openBucket opens the destination of a store in a bucket. The marker is checked before the first
// bytes of an upload are taken.
func (s *folders) openBucket(ctx context.Context, st *catalog.Store, first bool) (destination, error) {
	if s.buckets == nil {
		return nil, errNoBuckets
	}
	b, done, err := s.buckets.Open(st)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if first {
		if err := bucketstore.CheckMarker(ctx, st, b); err != nil {
			done()
			return nil, fmt.Errorf("%w: %w", errAway, err)
		}
	}
	return &objects{s.retention, ctx, s.buckets, s.catalog, s.memory, st, s.orphanAge, b, done, s.indexOf(st)}, nil
}

func (o *objects) storeOf() *catalog.Store { return o.store }

func (o *objects) indexOf() *index { return o.ix }

func (o *objects) close() { o.done() }

func (o *objects) free() (int64, error) { return math.MaxInt64, nil }

func (o *objects) load(id string) (*record, error) {
	u, err := o.catalog.Uploads.Get(o.ctx, o.store.ID, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, errNoUpload
	}
	if err != nil {
		return nil, err
	}
	return o.parse(u)
}

func (o *objects) parse(u *catalog.Upload) (*record, error) {
	r := &record{version: u.Version}
	if err := strictjson.UnmarshalKnown([]byte(u.Record), r); err != nil || r.ID != u.ID || r.Store != o.store.ID {
		return nil, fmt.Errorf("the record of upload %s is damaged", u.ID)
	}
	return r, nil
}

func (o *objects) save(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	u := &catalog.Upload{ID: r.ID, Store: r.Store, Version: r.version, Record: string(b)}
	if err := o.catalog.Uploads.Put(o.ctx, u); errors.Is(err, catalog.ErrConflict) {
		return errTaken
	} else if err != nil {
		return err
	}
	r.version = u.Version
	o.ix.put(entryOf(r, stampOfVersion(r.version)))
	return nil
}

// stampOfVersion tells versions of a record apart.
func stampOfVersion(version int64) stamp { return stamp{size: version} }

func (o *objects) scan(known map[string]entry) (map[string]entry, error) {
	versions, err := o.catalog.Uploads.Versions(o.ctx, o.store.ID)
	if err != nil {
		return nil, err
	}
	found := make(map[string]entry, len(versions))
	for id, version := range versions {
		if e, ok := known[id]; ok && e.seen == stampOfVersion(version) {
			found[id] = e
			continue
		}
		r, err := o.load(id)
		if err != nil {
			continue // removed since, or damaged
		}
		found[id] = entryOf(r, stampOfVersion(r.version))
	}
	return found, nil
}

// create begins an upload in parts. A process that ends before it saves the record leaves nothing
// but an upload without parts, which is swept.
func (o *objects) create(r *record) error {
	r.Object, r.PartSize = catalog.NewID(), cmp.Or(o.of.Part, bucket.PartSize(r.Length))
	var err error
	if r.Parts, err = o.bucket.BeginUpload(o.ctx, bucketstore.Key(r.Object), r.ID, bucket.PutOptions{}); err != nil {
		return err
	}
	if err := o.save(r); err != nil {
		return errors.Join(err, o.bucket.AbortUpload(o.ctx, bucketstore.Key(r.Object), r.Parts))
	}
	return nil
}

// remove removes an upload: its bytes, and then its record, so that an interrupted removal is
// repeated.
func (o *objects) remove(id string) error {
	r, err := o.load(id)
	if errors.Is(err, errNoUpload) {
		return nil
	}
	if err == nil && r.State == uploading {
		err = o.removeBytes(r)
	}
	if err != nil {
		return err
	}
	if err := o.catalog.Uploads.Remove(o.ctx, o.store.ID, id); err != nil {
		return err
	}
	o.ix.drop(id)
	return nil
}

// removeBytes removes the parts and the tail of an upload that is not complete.
func (o *objects) removeBytes(r *record) error {
	return errors.Join(o.bucket.AbortUpload(o.ctx, bucketstore.Key(r.Object), r.Parts), o.removeTail(r.Tail))
}

func (o *objects) removeTail(key string) error {
	if key == "" {
		return nil
	}
	return o.bucket.Remove(o.ctx, key)
}

// claim takes the lease of an upload.
func (o *objects) claim(id string) (release func(), err error) {
	_, _, release, err = o.of.Leases.Take(o.ctx, "upload "+id)
	if errors.Is(err, lease.ErrBusy) {
		return nil, errLocked
	}
	return release, err
}

// sweep aborts the uploads in parts, and removes the tails, that no record has.
func (o *objects) sweep(ctx context.Context) error {
	used := map[string]bool{}
	if err := o.catalog.Uploads.List(ctx, o.store.ID, func(u *catalog.Upload) error {
		r, err := o.parse(u)
		if err == nil {
			used[bucketstore.Key(r.Object)], used[r.Tail] = true, true
		}
		return err
	}); err != nil {
		return err // without all records nothing is known to be unused
	}
	var errs []error
	old := func(t time.Time) bool { return !t.IsZero() && time.Since(t) > o.orphans }
	err := o.bucket.Uploads(ctx, func(u bucket.Upload) error {
		if !used[u.Key] && old(u.Begun) && bucketstore.ImageOf(u.Key) != "" {
			errs = append(errs, o.bucket.AbortUpload(ctx, u.Key, u.ID))
		}
		return ctx.Err()
	})
	errs = append(errs, err)
	err = o.bucket.List(ctx, tails, func(t bucket.Object) error {
		if !used[t.Key] && old(t.Identity.Modified) && strings.HasSuffix(t.Key, ".tail") {
			errs = append(errs, o.bucket.Delete(ctx, t.Key, t.Identity))
		}
		return ctx.Err()
	})
	return errors.Join(append(errs, err)...)
}

// finish completes the object of an upload, and has it recorded. A slide that the store already
// has is not completed.
func (o *objects) finish(_ context.Context, r *record) (err error) {
	if r.Digest, err = digestOf(r.Hash); err != nil {
		return err
	}
	if r.Want != "" && r.Want != r.Digest {
		return o.refuse(r)
	}
	first, err := bucketstore.SameSlide(o.ctx, o.catalog, o.store.ID, r.Digest, r.Object)
	if err != nil {
		return err
	}
	if first != "" {
		if err := o.removeBytes(r); err != nil {
			return err
		}
		return o.end(r, bucketstore.Received{Image: first, Kind: inspect.Complete})
	}
	crc := bucket.NewCRC()
	if err := restore(crc, r.CRC); err != nil {
		return err
	}
	// Whether the server keeps a checksum that can be compared does not matter: it has checked
	// the digest of each part.
	id, _, err := o.bucket.CompleteUpload(o.ctx, bucketstore.Key(r.Object), r.Parts, r.Sent, bucket.Finish{Token: r.ID, Size: r.Length, CRC: crc.Sum64(), IfAbsent: true})
	if errors.Is(err, bucket.ErrGone) {
		return errLost
	}
	if err != nil {
		return err
	}
	got, err := o.of.Receive(o.ctx, o.store, bucketstore.Arrival{Image: r.Object, FileName: r.Name, Digest: r.Digest, Identity: id})
	if err != nil {
		return err
	}
	return o.end(r, got)
}

// end records that an upload was received.
func (o *objects) end(r *record, got bucketstore.Received) error {
	im, err := o.catalog.Images.Get(o.ctx, got.Image)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	r.Image, r.Kind = got.Image, got.Kind
	if err == nil {
		r.judge(im)
	}
	r.State, r.As, r.UsedAt, r.Hash, r.CRC, r.Sent = received, r.Name, time.Now(), nil, nil, nil
	if err := o.save(r); err != nil {
		return err
	}
	return o.removeTail(r.Tail)
}

// judge sets what the inspection of the object has found. An object that was recorded before, by a
// process that ended then, is judged by its image.
func (r *record) judge(im *catalog.Image) {
	switch {
	case im.State == catalog.Available:
		r.Kind = inspect.Complete
	case r.Kind != inspect.Unsupported:
		r.Kind, r.Reason = inspect.Damaged, im.Reason
	default:
		r.Reason = im.Reason
	}
}

// refuse removes the bytes of an upload and its file name, and records the reason.
func (o *objects) refuse(r *record) error {
	if err := o.removeBytes(r); err != nil {
		return err
	}
	r.Name, r.Metadata, r.Tail = "", "", ""
	r.State, r.UsedAt, r.Hash, r.CRC, r.Sent = refused, time.Now(), nil, nil, nil
	return o.save(r)
}

// A partSink takes the bytes of an upload into a bucket. It holds one part in memory.
type partSink struct {
	o       *objects
	r       *record // as it was last saved
	size    int64   // of all parts but the last
	buf     []byte  // of the part that is being received
	sent    []bucket.Part
	crc     hash.Hash64
	off     int64
	tail    []byte // the bytes of the record after its parts
	release func()
}

// openBytes reads the tail of an upload, and takes its lease and the memory for a part.
func (o *objects) openBytes(id string) (sink, *record, error) {
	release, err := o.claim(id)
	if err != nil {
		return nil, nil, err
	}
	r, err := o.load(id)
	if err != nil {
		release()
		return nil, nil, err
	}
	size := r.PartSize
	if size <= 0 || size > maxPartSize {
		release()
		return nil, nil, fmt.Errorf("the record of upload %s is damaged", id)
	}
	need := min(size, o.of.memory())
	wait, cancel := context.WithTimeout(o.ctx, partWait)
	defer cancel()
	if err := o.memory.Acquire(wait, need); err != nil {
		release()
		return nil, nil, errBusy
	}
	s := &partSink{o: o, r: r, size: size, crc: bucket.NewCRC(), release: func() {
		o.memory.Release(need)
		release()
	}}
	if err := s.readTail(); err != nil {
		s.close()
		return nil, nil, err
	}
	return s, r, nil
}

// readTail reads the acknowledged bytes that are in no part.
func (s *partSink) readTail() error {
	n := s.r.Offset - int64(len(s.r.Sent))*s.size
	switch {
	case n < 0 && s.r.complete(), n == 0: // the last part is shorter
		return nil
	case n < 0 || n > s.size || s.r.Tail == "":
		return errLost
	}
	id, err := s.o.bucket.Stat(s.o.ctx, s.r.Tail)
	if errors.Is(err, bucket.ErrGone) || err == nil && id.Size < n {
		return errLost
	}
	if err != nil {
		return err
	}
	s.tail = make([]byte, n)
	return s.o.bucket.ReadAt(s.o.ctx, s.r.Tail, id, s.tail, 0)
}

func (s *partSink) discard() error {
	s.crc.Reset()
	if err := restore(s.crc, s.r.CRC); err != nil {
		return err
	}
	if s.buf == nil {
		s.buf = make([]byte, 0, min(s.size, s.r.Length))
	}
	s.buf = append(s.buf[:0], s.tail...)
	s.sent, s.off = slices.Clone(s.r.Sent), s.r.Offset
	return nil
}

// write takes bytes into the part that is being received. One that cannot be sent stays there, and
// is sent again before further bytes.
func (s *partSink) write(b []byte) (n int, err error) {
	for n < len(b) {
		took := min(int64(len(b)-n), s.size-int64(len(s.buf)))
		s.buf = append(s.buf, b[n:n+int(took)]...)
		s.crc.Write(b[n : n+int(took)])
		s.off, n = s.off+took, n+int(took)
		if int64(len(s.buf)) == s.size || s.off == s.r.Length {
			if err := s.send(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// send writes a part, in place of one of that number which was sent and not recorded.
func (s *partSink) send() error {
	p, err := s.o.bucket.UploadPart(s.o.ctx, bucketstore.Key(s.r.Object), s.r.Parts, len(s.sent)+1, s.buf)
	if err != nil {
		return err
	}
	s.sent = append(s.sent, p)
	s.buf = s.buf[:0]
	return nil
}

// due reports whether a part was just sent: a record of it needs no tail.
func (s *partSink) due() bool { return len(s.buf) == 0 && len(s.sent) > len(s.r.Sent) }

// keep writes the bytes after the last part to an object with a name of its own, and then the
// record.
func (s *partSink) keep(next *record) (err error) {
	if s.off == s.r.Length && len(s.buf) > 0 { // the last part could not be sent: a complete upload has all
		if err := s.send(); err != nil {
			return err
		}
	}
	before := s.r.Tail
	next.Sent, next.Tail = slices.Clone(s.sent), ""
	if next.CRC, err = s.crc.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return err
	}
	if len(s.buf) > 0 {
		next.Tail = tails + next.ID + "." + catalog.NewID()[:12] + ".tail"
		if _, err := s.o.bucket.Put(s.o.ctx, next.Tail, s.buf, bucket.PutOptions{}); err != nil {
			return err
		}
	}
	if err := s.o.save(next); err != nil {
		return err // perhaps it was saved: the tail is swept if it was not
	}
	now := *next
	s.r, s.tail = &now, append(s.tail[:0], s.buf...)
	// What remains is swept.
	_ = s.o.removeTail(before)
	return nil
}

func (s *partSink) close() { s.release() }

// bucketAnswer returns the answer to a request that failed because of the bucket, nil if it did not.
func bucketAnswer(err error) error {
	switch {
	case errors.Is(err, bucket.ErrUnavailable):
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Err: err, Detail: "The object storage of the store does not answer. What was received is kept: resume the upload in a moment."}
	case errors.Is(err, bucket.ErrDenied):
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 60, Err: err, Detail: "The object storage of the store refuses the server's requests, perhaps because its credentials have expired. What was received is kept: tell the administrator, then resume the upload."}
	case errors.Is(err, lease.ErrBusy):
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Err: err, Detail: "Another copy of the slide is being recorded. Resume the upload in a moment."}
	}
	return nil
}
