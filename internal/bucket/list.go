package bucket

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
)

const (
	// pageKeys is the number of keys of a page, the most that servers send.
	pageKeys = 1000
	// foldersAtOnce is how many folders are listed at once: one is read, the others wait with
	// up to two pages each.
	foldersAtOnce = 8
	// maxSize is the maximum size of an object, in bytes: AWS allows 48.8 TiB.
	maxSize = 1 << 50
)

// List calls yield with all objects whose key begins with the prefix of the address and below,
// in the order of the bytes of their keys, at constant memory. Left out are keys that end with
// a slash (markers of folders) and keys that are not UTF-8. It returns nil only if the listing
// is complete. The error may be that of yield.
func (b *Bucket) List(ctx context.Context, below string, yield func(Object) error) error {
	skipped := 0
	err := b.listAll(ctx, b.address.Prefix+below, func(o Object) error {
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

// listAll lists one page after the other, or several folders at once if there are more objects
// than one page has.
func (b *Bucket) listAll(ctx context.Context, prefix string, yield func(Object) error) error {
	first := true
	var entries []entry
	err := b.listPages(ctx, prefix, "", pageKeys, func(objects []Object, end bool) error {
		if first && !end {
			if entries = b.folders(ctx, prefix, objects); entries != nil {
				return errStop // the first page is listed again
			}
		}
		first = false
		return each(objects, yield)
	})
	if first && errors.Is(err, errStop) {
		return b.listFolders(ctx, entries, yield)
	}
	return err
}

// each calls yield with objects until it returns an error.
func each(objects []Object, yield func(Object) error) error {
	for _, o := range objects {
		if err := yield(o); err != nil {
			return err
		}
	}
	return nil
}

// list calls yield with all objects with a prefix after a key.
func (b *Bucket) list(ctx context.Context, prefix, after string, size int, yield func(Object) error) error {
	return b.listPages(ctx, prefix, after, size, func(objects []Object, _ bool) error { return each(objects, yield) })
}

// listPages calls yield with all objects with a prefix after a key, in pages of that many keys;
// end is set with the last one. Each page is a request of its own, which begins after the last
// key: between them no slot of the limit is held, and a page that fails is asked for again.
func (b *Bucket) listPages(ctx context.Context, prefix, after string, size int, yield func(objects []Object, end bool) error) error {
	if len(prefix) > maxKey || !utf8.ValidString(prefix) {
		return &failure{class: ErrDenied, text: "the prefix is longer than 1,024 bytes or not UTF-8"}
	}
	within := b.patient()
	p := page{bucket: within, prefix: prefix, last: after, objects: make([]Object, 0, size)}
	for !p.end {
		if err := within.do(ctx, kindList, p.read); err != nil {
			return err
		}
		if err := yield(p.objects, p.end); err != nil {
			return err
		}
	}
	return nil
}

// patient returns the bucket for requests whose answer takes longer than a tile.
func (b *Bucket) patient() *Bucket {
	p := *b
	p.effort.total, p.effort.attempt, p.effort.stall = 0, backgroundEffort.attempt, backgroundEffort.stall
	return &p
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
	for o := range p.bucket.core.ListObjectsIter(ctx, p.bucket.address.Bucket, minio.ListObjectsOptions{
		Prefix: p.prefix, StartAfter: last, Recursive: true, MaxKeys: cap(p.objects), FetchOwner: new(bool),
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
		p.objects = append(p.objects, objectOf(&o))
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

func objectOf(o *minio.ObjectInfo) Object {
	return Object{o.Key, Identity{ETag: trimETag(o.ETag), Size: o.Size, Modified: o.LastModified.UTC().Truncate(time.Second)}}
}

// An entry is an object or a folder of the next level below a prefix.
type entry struct {
	key    string // a folder's ends with a slash
	object Object // without a key for a folder
}

// fewFolders is the number of folders that the first page may have objects of, if folders are listed
// one by one: of smaller ones each would cost a request for a part of a page.
const fewFolders = 2

// foldersOf is the number of folders of the next level that objects are in.
func foldersOf(objects []Object, prefix string) (n int) {
	last := ""
	for _, o := range objects {
		if folder, _, ok := strings.Cut(o.Key[len(prefix):], "/"); ok && (n == 0 || folder != last) {
			n, last = n+1, folder
		}
	}
	return n
}

// folders returns what is on the next level, sorted, or nil if listing its folders one by one
// is no better: they are small, there is only one, there are more entries than a page has, or the server fails
// or does not list the folders of the objects that are known already.
func (b *Bucket) folders(ctx context.Context, prefix string, known []Object) []entry {
	if foldersOf(known, prefix) > fewFolders {
		return nil
	}
	var list []entry
	count := 0
	within := b.patient()
	if err := within.do(ctx, kindList, func(ctx context.Context, x *exchange) error {
		list, count = nil, 0
		for o := range b.core.ListObjectsIter(ctx, b.address.Bucket, minio.ListObjectsOptions{Prefix: prefix, MaxKeys: pageKeys, FetchOwner: new(bool)}) {
			if o.Err != nil {
				return o.Err
			}
			if o.Key == prefix {
				continue // the marker of the folder itself
			}
			if len(list) == pageKeys || x.sent > 1 || !strings.HasPrefix(o.Key, prefix) || o.Size < 0 || o.Size > maxSize {
				count = 0
				return nil
			}
			e := entry{key: o.Key}
			if o.ETag == "" && o.LastModified.IsZero() && strings.HasSuffix(o.Key, "/") {
				count++
			} else {
				e.object = objectOf(&o)
			}
			list = append(list, e)
		}
		return ctx.Err()
	}); err != nil || count < 2 {
		return nil
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	if !complete(list, prefix, known) {
		return nil
	}
	return list
}

// complete reports whether the entries are different and cover objects that are known.
func complete(list []entry, prefix string, known []Object) bool {
	keys := map[string]bool{}
	for _, e := range list {
		if keys[e.key] {
			return false // a folder and its marker
		}
		keys[e.key] = true
	}
	for _, o := range known {
		if o.Key == prefix {
			continue
		}
		folder, _, deeper := strings.Cut(o.Key[len(prefix):], "/")
		if key := prefix + folder + "/"; deeper && !keys[key] || !deeper && !keys[o.Key] {
			return false
		}
	}
	return true
}

// A reading is a folder that is being listed ahead.
type reading struct {
	pages chan []Object
	err   error // set before pages is closed
}

// listFolders calls yield with the objects of all entries, in order. The next folders are
// listed meanwhile.
func (b *Bucket) listFolders(ctx context.Context, entries []entry, yield func(Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
	}()
	folders := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.object.Key != "" })
	ahead := make(chan *reading, foldersAtOnce-1) // in order
	running.Go(func() {
		for _, f := range folders {
			r := &reading{pages: make(chan []Object, 1)}
			select {
			case ahead <- r:
			case <-ctx.Done():
				return
			}
			running.Go(func() { b.readAhead(ctx, f.key, r) })
		}
	})
	for _, e := range entries {
		if e.object.Key != "" {
			if err := yield(e.object); err != nil {
				return err
			}
			continue
		}
		select {
		case r := <-ahead:
			if err := r.each(yield); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// readAhead lists a folder.
func (b *Bucket) readAhead(ctx context.Context, folder string, r *reading) {
	defer close(r.pages)
	r.err = b.listPages(ctx, folder, "", pageKeys, func(objects []Object, _ bool) error {
		select {
		case r.pages <- slices.Clone(objects):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// each calls yield with the objects of a folder.
func (r *reading) each(yield func(Object) error) error {
	for objects := range r.pages {
		if err := each(objects, yield); err != nil {
			return err
		}
	}
	return r.err
}
