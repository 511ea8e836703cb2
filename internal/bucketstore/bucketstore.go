// Package bucketstore holds what ptiffstore does in a managed store whose slides are objects in a
// bucket: it records the slides that were written there, keeps a sidecar beside each with what the
// slide itself does not contain, and empties the trash.
//
// Objects are never renamed: a slide keeps the key that was chosen before its first byte was
// written, and its digest, its names and its deletion are in the catalog and in its sidecar. So a
// crash at any moment leaves nothing to be resumed but writing a sidecar or a record again.
//
// Keys contain ids only, but sidecars have the names of files, which are patient data and appear
// in no log and no error.
package bucketstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

var (
	// ErrNotEmpty: the part of the bucket for a new managed store must have no objects.
	ErrNotEmpty = errors.New("this part of the bucket has objects and does not belong to a store: choose a prefix without objects")
	// ErrOtherStore: the part of the bucket belongs to another store.
	ErrOtherStore = errors.New("this part of the bucket belongs to another store, according to its object " + managed.MarkerName)
	// ErrNoMarker: the part of the bucket has no marker. It is a [source.ErrNoRoot].
	ErrNoMarker = fmt.Errorf("%w: the bucket has no object %s below the prefix of the store: check address and server", source.ErrNoRoot, managed.MarkerName)
)

// A Store is a managed store in a bucket. Its methods may be called concurrently, in any process
// of the site.
type Store struct {
	*catalog.Store
	Catalog *catalog.Catalog
	Leases  *lease.Leases
	Bucket  *bucket.Bucket
	Now     func() time.Time
	// Inspect inspects the object at a path, writes the result to the catalog, and returns what
	// the object is.
	Inspect func(ctx context.Context, path string) (inspect.Kind, error)
}

// Key is the key of the slide with that id, which is also the path of its image. The first two
// characters of ids are random, so that keys spread over the parts of a large bucket.
func Key(image string) string {
	return source.ManagedSlides + image[:min(2, len(image))] + "/" + image + source.ManagedSuffix
}

// SidecarKey is the key of the sidecar of a slide.
func SidecarKey(image string) string {
	return strings.TrimSuffix(Key(image), source.ManagedSuffix) + ".json"
}

// ImageOf returns the id in the key of a slide, "" if it is not the key of one.
func ImageOf(key string) string {
	rest, ok := strings.CutPrefix(key, source.ManagedSlides)
	_, name, ok2 := strings.Cut(rest, "/")
	id, ok3 := strings.CutSuffix(name, source.ManagedSuffix)
	if !ok || !ok2 || !ok3 || !isID(id) || Key(id) != key {
		return ""
	}
	return id
}

// isID reports whether s may be the id of an image.
func isID(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// maxSmall bounds the sizes of markers and sidecars.
const maxSmall = 1 << 20

// read returns the contents of a small object. The error is [bucket.ErrGone] if it does not exist.
func read(ctx context.Context, b *bucket.Bucket, key string) ([]byte, bucket.Identity, error) {
	id, err := b.Stat(ctx, key)
	if err != nil {
		return nil, id, err
	}
	if id.Size > maxSmall {
		return nil, id, fmt.Errorf("an object that should be small has %d bytes", id.Size)
	}
	p := make([]byte, id.Size)
	if id.Size > 0 {
		err = b.ReadAt(ctx, key, id, p, 0)
	}
	return p, id, err
}

// marked returns the id of the store that the part of a bucket belongs to, "" if it belongs to no store.
func marked(ctx context.Context, b *bucket.Bucket) (string, error) {
	p, _, err := read(ctx, b, managed.MarkerName)
	if errors.Is(err, bucket.ErrGone) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(p))
	if !isID(id) {
		return "", fmt.Errorf("the object %s has no id of a store", managed.MarkerName)
	}
	return id, nil
}

// Prepare marks the part of a bucket as that of a new store, or checks that it is marked.
// The error is [ErrOtherStore] or [ErrNotEmpty], or one of the bucket, which may refuse to be
// written to.
func Prepare(ctx context.Context, st *catalog.Store, b *bucket.Bucket) error {
	switch id, err := marked(ctx, b); {
	case err != nil:
		return err
	case id == st.ID:
		return nil
	case id != "":
		return ErrOtherStore
	}
	err := b.List(ctx, "", func(bucket.Object) error { return io.EOF })
	if errors.Is(err, io.EOF) {
		return ErrNotEmpty
	}
	if err != nil {
		return err
	}
	_, err = b.Put(ctx, managed.MarkerName, []byte(st.ID+"\n"), bucket.PutOptions{IfAbsent: true, ContentType: "text/plain"})
	if err != nil && !errors.Is(err, bucket.ErrExists) {
		return fmt.Errorf("the bucket cannot be written to: %w", err)
	}
	// Not every server honours the condition: the last marker counts.
	if id, err := marked(ctx, b); err != nil {
		return err
	} else if id != st.ID {
		return ErrOtherStore
	}
	return nil
}

// CheckMarker checks that the part of the bucket is that of the store. The error is [ErrNoMarker],
// [ErrOtherStore] or one of the bucket.
func CheckMarker(ctx context.Context, st *catalog.Store, b *bucket.Bucket) error {
	switch id, err := marked(ctx, b); {
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrNoRoot, err)
	case id == "":
		return ErrNoMarker
	case id != st.ID:
		return ErrOtherStore
	}
	return nil
}

// AddStore adds a store of any kind to the catalog, and prepares the folders or the part of the
// bucket of a managed one. If these belonged to a store that is no longer in the catalog, the new
// store gets that one's id, and so will its images. The error is one of [managed.AddStore],
// [Prepare] or the bucket, and then no store was added.
func AddStore(ctx context.Context, c *catalog.Catalog, settings bucket.Settings, s catalog.Store) (*catalog.Store, error) {
	s.Kind = catalog.KindOf(s.Root)
	if !s.ManagedBucket() {
		return managed.AddStore(ctx, c, s)
	}
	b, err := bucket.OpenURL(s.Root, settings)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	id, err := marked(ctx, b)
	if err != nil {
		return nil, err
	}
	if _, err := c.Stores.Get(ctx, id); id != "" && err == nil {
		return nil, fmt.Errorf("%w: the part of the bucket is marked as that of store %s", catalog.ErrConflict, id)
	}
	if id != "" && s.ID != "" && s.ID != id {
		return nil, ErrOtherStore
	}
	if id != "" {
		s.ID = id
	}
	put, err := c.Stores.Put(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := Prepare(ctx, put, b); err != nil {
		return nil, errors.Join(err, c.Stores.Delete(context.WithoutCancel(ctx), put.ID))
	}
	return put, nil
}

// ErrNotMoved: the part of the bucket that a store is to have does not have its slides.
var ErrNotMoved = errors.New("this part of the bucket has no object " + managed.MarkerName + " of this store: copy all objects of the store there first")

// Move prepares the part of a bucket that a store is to have from now on. If the store has slides,
// all its objects must have been copied there; else the error is [ErrNotMoved].
func Move(ctx context.Context, settings bucket.Settings, s *catalog.Store, hasSlides bool) error {
	b, err := bucket.OpenURL(s.Root, settings)
	if err != nil {
		return err
	}
	defer b.Close()
	if id, err := marked(ctx, b); err != nil {
		return err
	} else if id != s.ID && hasSlides {
		return ErrNotMoved
	}
	return Prepare(ctx, s, b)
}

// objectError describes an error at the object of an image without its key.
func objectError(image, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("image %s: %s: %w", image, what, fsx.WithoutPath(err))
}
