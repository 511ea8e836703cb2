package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// MovedKept is how long the file of a managed store is kept after its slide was moved to a
// bucket.
const MovedKept = 7 * 24 * time.Hour

var (
	// ErrOutdated reports a file that is not the one in the catalog.
	ErrOutdated = errors.New("the file has changed since the last sync: sync its store first")
	// ErrSeries: a DICOM series cannot be moved to a bucket.
	ErrSeries = errors.New("a DICOM series is several files, which buckets do not hold yet")
	errDigest = errors.New("the bytes of the file are not those that were stored (its SHA-256 differs): restore it from a backup first")
)

// Move copies the file of an image to a managed store in a bucket, and then makes it an image of
// that store, in one transaction: id, revision and what people have set stay, so that its tiles
// are available at every moment. The file is not removed: that of an in-place store never, and
// that of a managed store [MovedKept] later. An image that was moved before is left as it is.
//
// It may be interrupted at any time and called again. The error is [lease.ErrBusy],
// [managed.ErrNotThere], [ErrOutdated], [catalog.ErrNotFound], or one of the file system, the
// bucket, the catalog or the context.
func (s *Syncer) Move(ctx context.Context, image string, from, to *catalog.Store, progress func(done, total int64)) (bytes int64, err error) {
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return 0, err
	}
	defer release()
	im, err := c.Images.Get(ctx, image)
	switch {
	case err != nil:
		return 0, err
	case im.StoreID == to.ID:
		return 0, nil
	case im.StoreID != from.ID:
		return 0, managed.ErrNotThere
	case im.State != catalog.Available:
		return 0, fmt.Errorf("the image is %s: %s", im.State, im.Reason)
	case catalog.IsSeries(im.Path):
		return 0, ErrSeries
	case from.ManagedFolder() && !managed.Stored(im.Path):
		return 0, fmt.Errorf("%w: it is being imported", lease.ErrBusy)
	}
	st, done, err := s.bucketStore(to)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := bucketstore.CheckMarker(ctx, to, st.Bucket); err != nil {
		return 0, err
	}
	id, digest, err := s.copyFile(ctx, im, from, st, progress)
	if err != nil {
		return 0, err
	}
	return id.Size, s.switchTo(ctx, c, im, st, id, digest)
}

// copyFile copies the file of an image, which must be the one in the catalog before and after.
func (s *Syncer) copyFile(ctx context.Context, im *catalog.Image, from *catalog.Store, to *bucketstore.Store, progress func(done, total int64)) (id bucket.Identity, digest string, err error) {
	dir, err := source.OpenStore(from, im.Path)
	if err != nil {
		return id, "", fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	defer dir.Close()
	f, err := dir.Open(im.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return id, "", ErrOutdated
	}
	if err != nil {
		return id, "", fsx.WithoutPath(err)
	}
	defer f.Close()
	if !f.Identity().Same(im.Identity) {
		return id, "", ErrOutdated
	}
	if id, digest, err = to.Copy(ctx, im.ID, f, im.Identity.Size, progress); err != nil {
		return id, "", err
	}
	if now, err := f.Current(); err != nil || !now.Same(im.Identity) {
		return id, "", ErrOutdated
	}
	if im.Digest != nil && *im.Digest != digest {
		return id, "", errDigest
	}
	return id, digest, nil
}

// switchTo makes a copied image one of the store in the bucket, after inspecting the copy.
func (s *Syncer) switchTo(ctx context.Context, c *catalog.Catalog, im *catalog.Image, to *bucketstore.Store, id bucket.Identity, digest string) error {
	key := bucketstore.Key(im.ID)
	src, err := s.sources().Open(to.Store)
	if err != nil {
		return err
	}
	defer src.Close()
	found := inspect.File(ctx, src, key)
	if found.Kind != inspect.Complete || !found.Identity.Same(source.ObjectIdentity(key, id)) {
		return fmt.Errorf("image %s: the copy cannot be read as a slide: %s", im.ID, found.Reason)
	}
	im.Digest = &digest
	if err := to.WriteSidecar(ctx, im); err != nil {
		return err
	}
	moved, err := c.Images.Pack(context.WithoutCancel(ctx), im.ID, to.ID, func(now *catalog.Image) error {
		if now.StoreID != im.StoreID || now.Path != im.Path || now.DeletedAt != nil {
			return fmt.Errorf("%w: image %s was changed by another", lease.ErrBusy, im.ID)
		}
		now.Path, now.Identity, now.Digest = key, found.Identity, &digest
		return nil
	})
	if err != nil {
		return err
	}
	if found.Structure != nil {
		found.Structure.Revision = moved.Revision
		if err := c.Structures.Put(ctx, im.ID, found.Structure); err != nil && ctx.Err() == nil {
			s.log().Warn("cannot store the structure of an image; requests for its tiles are slower at first", "image", im.ID, "err", err)
		}
	}
	return nil
}

// removeMoved removes files of a managed store whose slides were moved to a bucket some time ago,
// if the bucket has them still.
func (p managedScan) removeMoved(ctx context.Context, now time.Time) error {
	list, err := p.c.Images.MovedBefore(ctx, p.store.ID, now.Add(-MovedKept))
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.removeOneMoved(ctx, &m); err != nil {
			p.result.fail(m.Image, "its former file was not removed: "+err.Error())
		}
	}
	return nil
}

func (p managedScan) removeOneMoved(ctx context.Context, m *catalog.Moved) error {
	im, err := p.c.Images.GetAny(ctx, m.Image)
	if err != nil {
		return err
	}
	to, err := p.c.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return err
	}
	if !to.ManagedBucket() || !managed.Stored(m.Path) {
		return nil // it was moved elsewhere since
	}
	src, err := p.s.sources().Open(to)
	if err != nil {
		return err
	}
	defer src.Close()
	if id, err := src.Identify(im.Path); err != nil {
		return fmt.Errorf("its object cannot be found: %w", err)
	} else if !id.Same(im.Identity) {
		return errors.New("its object is not the one of the catalog: sync the store in the bucket")
	}
	if err := managed.RemoveSlide(p.store, m.Path); err != nil {
		return err
	}
	return p.c.Images.ForgetMoved(ctx, p.store.ID, m.Path)
}
