package source

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// An objects is a source whose items are the objects in a bucket, or those below a prefix of
// it. Each is a file; the path of an item is its key without the prefix. It is only read.
type objects struct {
	address  bucket.Address
	settings bucket.Settings
	bucket   *bucket.Bucket
	filter   Filter
	below    string // items have keys that begin with it

	mu     sync.Mutex
	probed time.Time // when the server was last probed
	ahead  time.Duration
}

// probeEvery is how often the clock of the server is compared with ours.
const probeEvery = 10 * time.Minute

// bucketInclude is what is read of a bucket by default: a series of DICOM files is not.
var bucketInclude = slices.DeleteFunc(slices.Clone(DefaultInclude), func(p string) bool { return p == "*.dcm" })

// bucketFilter returns the filter of a store in a bucket.
func bucketFilter(include, exclude []string) Filter {
	if len(include) == 0 {
		include = bucketInclude
	}
	return NewFilter(include, exclude)
}

const (
	// ManagedSlides begins the keys of the slides of a managed store in a bucket.
	ManagedSlides = "slides/"
	// ManagedSuffix ends them, whatever the format.
	ManagedSuffix = ".tiff"
)

// managedObjects selects the slides of a managed store, whatever the patterns of the store: it
// has named them.
var managedObjects = NewFilter([]string{ManagedSlides + "*/*" + ManagedSuffix}, nil)

// newManagedObjects returns the source of a managed store in a bucket.
func newManagedObjects(root string, settings bucket.Settings) (*objects, error) {
	o, err := newObjects(root, settings, managedObjects)
	if err == nil {
		o.below = ManagedSlides
	}
	return o, err
}

// newObjects returns the source of a bucket. It sends no request yet.
func newObjects(root string, settings bucket.Settings, filter Filter) (*objects, error) {
	a, err := bucket.ParseAddress(root)
	if err != nil {
		return nil, err
	}
	b, err := bucket.Open(a, settings)
	if err != nil {
		return nil, err
	}
	return &objects{address: a, settings: settings, bucket: b, filter: filter}, nil
}

// Close closes the connections.
func (o *objects) Close() error {
	o.bucket.Close()
	return nil
}

// bucketError classifies an error of a bucket. The result satisfies [fsx.IsGone], or is
// [ErrChanged], that of a context, or an [unreachable]: whatever else the server says, nothing
// is known about the object.
func bucketError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bucket.ErrGone):
		return fs.ErrNotExist
	case errors.Is(err, bucket.ErrChanged):
		return ErrChanged
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &unreachable{"bucket", err}
}

// Root returns the identity of the bucket's address and server, after listing its first object.
func (o *objects) Root() (fsx.Identity, error) {
	ctx := context.Background()
	id := fsx.Identity{Ino: hashOf(o.settings.Endpoint, o.address.String())}
	if o.due() {
		p, err := o.bucket.Probe(ctx)
		if err == nil && errors.Is(p.Readable, bucket.ErrDenied) && !errors.Is(p.Readable, bucket.ErrArchived) {
			err = p.Readable
		}
		if err == nil {
			o.mu.Lock()
			o.probed, o.ahead = time.Now(), p.Clock
			o.mu.Unlock()
		}
		return id, bucketError(ctx, err)
	}
	err := o.bucket.List(ctx, "", func(bucket.Object) error { return errEnough })
	if errors.Is(err, errEnough) {
		err = nil
	}
	return id, bucketError(ctx, err)
}

// due reports whether the server is to be probed.
func (o *objects) due() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.probed.IsZero() || time.Since(o.probed) > probeEvery
}

// Ahead is how far the clock of the server, from which the times of objects are, was ahead of
// ours after the last call of Root.
func (o *objects) Ahead() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ahead
}

// errEnough ends a listing.
var errEnough = errors.New("enough objects were listed")

// hashOf is a hash of texts, never 0.
func hashOf(texts ...string) uint64 {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// ObjectIdentity returns the identity that the item of an object has.
func ObjectIdentity(key string, id bucket.Identity) fsx.Identity { return identityOf(key, id) }

// identityOf returns the identity of the object with a key. It is the same on every host, and
// that of an object with the same bytes at another time, or under another key, is another.
//
// The version does not count, because listings have none. Size and modification time are those
// of the object; ETags, which say more than seconds, are in the nanoseconds.
func identityOf(key string, id bucket.Identity) fsx.Identity {
	sum := hashOf(id.ETag, fmt.Sprint(id.Size, " ", id.Modified.Unix()))
	at := id.Modified.Unix()*int64(time.Second) + int64(sum%uint64(time.Second)) //nolint:gosec // below a second
	return fsx.Identity{Ino: hashOf(key, id.ETag, fmt.Sprint(id.Size, " ", id.Modified.Unix())), Size: id.Size, MTime: at, CTime: at}
}

// checkKey returns why an object cannot be an item, or nil.
func checkKey(key string) error {
	if key == "" || catalog.IsSeries(key) || strings.ContainsRune(key, 0) {
		return errKey
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return errKey
		}
	}
	return nil
}

var (
	errKey   = errors.New(`the key of the object has an empty part, "." or ".." between slashes: copy the object to another key`)
	errDICOM = &tiff.UnsupportedError{Msg: "DICOM objects in a bucket are not read yet: copy the series to a folder"}
)

// selects reports whether an item may have a path.
func (o *objects) selects(path string) bool { return checkKey(path) == nil && o.filter.Allows(path) }

// List lists the objects in the order of their keys, at constant memory. It fails unless the
// listing is complete.
func (o *objects) List(ctx context.Context, opts ListOptions) (*Listing, error) {
	l := newListing()
	if err := ctx.Err(); err != nil {
		return l, err
	}
	below := o.below
	if opts.Below != "" {
		below = strings.TrimSuffix(opts.Below, "/") + "/"
	}
	err := o.bucket.Background().List(ctx, below, func(obj bucket.Object) error {
		l.Entries++
		switch bad := checkKey(obj.Key); {
		case bad != nil && o.filter.File(obj.Key):
			l.unreadable(Unreadable{Path: obj.Key, Err: bad})
		case bad == nil && o.filter.Allows(obj.Key):
			opts.Item(Item{Path: obj.Key, Identity: identityOf(obj.Key, obj.Identity), Closed: true})
		}
		return ctx.Err()
	})
	return l, bucketError(ctx, err)
}

// stat returns the identity of the object at a path, in both forms.
func (o *objects) stat(ctx context.Context, path string) (of bucket.Identity, id fsx.Identity, err error) {
	if !o.selects(path) {
		return of, id, fs.ErrNotExist
	}
	if of, err = o.bucket.Stat(ctx, path); err != nil {
		return of, id, bucketError(ctx, err)
	}
	return of, identityOf(path, of), nil
}

// Identify returns the identity of the object at path.
func (o *objects) Identify(path string) (fsx.Identity, error) {
	_, id, err := o.stat(context.Background(), path)
	return id, err
}

// Open opens the object at path for random reads, which may wait for those of tiles.
func (o *objects) Open(path string) (Object, error) {
	f, err := o.open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	f.bucket = o.bucket.Background()
	return f, nil
}

func (o *objects) open(ctx context.Context, path string) (*openObject, error) {
	of, id, err := o.stat(ctx, path)
	if err != nil {
		return nil, err
	}
	return &openObject{of: o, bucket: o.bucket, key: path, identity: of, id: id, blocks: map[int64]*list.Element{}}, nil
}

// Slide opens the object at path as a slide.
func (o *objects) Slide(ctx context.Context, path string) (*Slide, error) {
	f, err := o.open(ctx, path)
	if err != nil {
		return nil, err
	}
	s := f.slide()
	s.Slide, err = slide.Open(f, f.id.Size)
	if err != nil && f.isDICOM() {
		err = errDICOM
	}
	if isSlideError(err) {
		s.Slide, s.Err = nil, err
		return s, nil
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// Reopen opens the object at path as it was when it had that token.
func (o *objects) Reopen(path string, token []byte, open func(io.ReaderAt, int64) (*slide.Slide, error)) (*Slide, error) {
	var of bucket.Identity
	if err := json.Unmarshal(token, &of); err != nil || of.Size < 0 || !o.selects(path) {
		return nil, errToken
	}
	f := &openObject{of: o, bucket: o.bucket, key: path, identity: of, id: identityOf(path, of), blocks: map[int64]*list.Element{}}
	s := f.slide()
	var err error
	if s.Slide, err = open(f, of.Size); err != nil {
		return nil, err
	}
	return s, nil
}

var errToken = errors.New("the token names no object")

// slide returns the object as a slide that was not opened yet.
func (f *openObject) slide() *Slide {
	return &Slide{Identity: f.id, Token: f.Token(), ReadRange: f.readRange, current: f.current, written: f.changed.Load, close: f.Close}
}

// Token names the object that was opened.
func (f *openObject) Token() []byte {
	b, err := json.Marshal(f.identity)
	if err != nil {
		panic(err) // texts, a number and a time
	}
	return b
}
