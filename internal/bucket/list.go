package bucket

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
)

// pageKeys is the number of keys of a page, the most that servers send.
const pageKeys = 1000

// maxSize is the maximum size of an object, in bytes: AWS allows 48.8 TiB.
const maxSize = 1 << 50

// List calls yield with all objects whose key begins with the prefix of the address and below,
// in the order of the bytes of their keys, at constant memory. Left out are keys that end with
// a slash (markers of folders) and keys that are not UTF-8. It returns nil only if the listing
// is complete. The error may be that of yield.
func (b *Bucket) List(ctx context.Context, below string, yield func(Object) error) error {
	skipped := 0
	err := b.list(ctx, b.address.Prefix+below, "", pageKeys, func(o Object) error {
		if !utf8.ValidString(o.Key) {
			skipped++
			return nil
		}
		if o.Key = o.Key[len(b.address.Prefix):]; o.Key == "" || strings.HasSuffix(o.Key, "/") {
			return nil
		}
		return yield(o)
	})
	if skipped > 0 {
		b.log.Warn("objects are left out because their keys are not UTF-8", "bucket", b.address.Bucket, "objects", skipped)
	}
	return err
}

// list calls yield with all objects with a prefix after a key, in pages of that many keys. Each
// page is a request of its own, which begins after the last key: between them no slot of the
// limit is held, and a page that fails is asked for again.
func (b *Bucket) list(ctx context.Context, prefix, after string, size int, yield func(Object) error) error {
	if len(prefix) > maxKey || !utf8.ValidString(prefix) {
		return &failure{class: ErrDenied, text: "the prefix is longer than 1,024 bytes or not UTF-8"}
	}
	within := *b
	within.effort.total, within.effort.stall = 0, backgroundEffort.stall // a page takes longer than a tile
	p := page{bucket: &within, prefix: prefix, last: after, objects: make([]Object, 0, size)}
	for !p.end {
		if err := within.do(ctx, kindList, p.read); err != nil {
			return err
		}
		for _, o := range p.objects {
			if err := yield(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// A page is a part of a listing.
type page struct {
	bucket  *Bucket
	prefix  string
	last    string   // the page begins after this key
	objects []Object // up to its capacity
	end     bool     // it is the last one
}

// read reads the next page. Servers may send fewer keys than were asked for: then the library
// continues.
func (p *page) read(ctx context.Context, x *exchange) error {
	last := p.last
	p.objects = p.objects[:0]
	noOwner := false
	for o := range p.bucket.core.ListObjectsIter(ctx, p.bucket.address.Bucket, minio.ListObjectsOptions{
		Prefix: p.prefix, StartAfter: last, Recursive: true, MaxKeys: cap(p.objects), FetchOwner: &noOwner,
	}) {
		if o.Err != nil {
			return o.Err
		}
		if o.Key <= last || !strings.HasPrefix(o.Key, p.prefix) {
			return &failure{class: ErrDenied, text: "its listing is not in the order of keys, as that of S3 is", health: healthy}
		}
		if o.Size < 0 || o.Size > maxSize {
			return bad("its listing has an object of an impossible size")
		}
		last = o.Key
		p.objects = append(p.objects, Object{o.Key, Identity{ETag: trimETag(o.ETag), Size: o.Size, Modified: o.LastModified.UTC().Truncate(time.Second)}})
		if len(p.objects) == cap(p.objects) {
			p.last = last
			return nil
		}
	}
	if err := ctx.Err(); err != nil { // the iterator ends without an error then
		return err
	}
	if x.status != http.StatusOK {
		return bad("it did not answer")
	}
	p.last, p.end = last, true
	return nil
}
