package scan

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
)

// sidecarTime is how long an object of a managed store may have no sidecar: what wrote it will
// write one, or do both again.
const sidecarTime = 24 * time.Hour

// A bucketScan is a scan of a managed store in a bucket: what it has beyond the scan of other
// buckets.
type bucketScan struct{ *scan }

// run scans the slides of the store, and writes the sidecars of those whose annotations have
// changed.
func (p bucketScan) run(ctx context.Context) error {
	st, done, err := p.s.bucketStore(p.store)
	if err != nil {
		return err
	}
	defer done()
	if err := bucketstore.CheckMarker(ctx, p.store, st.Bucket); err != nil {
		return err
	}
	if err := p.whole(ctx); err != nil || p.o.DryRun {
		return err
	}
	return p.writeSidecars(ctx, st)
}

// writeSidecars updates the sidecars of slides whose annotations have changed since the last
// scan began.
func (p bucketScan) writeSidecars(ctx context.Context, st *bucketstore.Store) error {
	changedSlides := p.s.mirror().TakeChanged(p.store.ID)
	var since time.Time
	if last := p.store.LastSync; last != nil {
		since = last.Add(-time.Hour) // a scan that takes long
	}
	for id, there := range changedSlides {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !there {
			continue
		}
		im, err := p.c.Images.Get(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) || err == nil && im.UpdatedAt.Before(since) {
			continue
		}
		if err != nil {
			return err
		}
		if err := st.UpdateSidecar(ctx, im); err != nil {
			p.result.fail(im.ID, err.Error())
		}
	}
	return nil
}

// emptyTrash removes slides that were deleted long ago. What fails is tried again by the next scan.
func (p bucketScan) emptyTrash(ctx context.Context) {
	st, done, err := p.s.bucketStore(p.store)
	if err == nil {
		defer done()
		_, err = st.EmptyTrash(ctx, p.c)
	}
	if err != nil && ctx.Err() == nil {
		p.result.fail("", err.Error())
	}
}

// imageOf returns the image of an object that the catalog does not know: the one that the key
// names, with the annotations of its sidecar. It is nil while there is no sidecar yet, and if the
// image is in another store.
func (p bucketScan) imageOf(ctx context.Context, l *inspected) (*catalog.Image, error) {
	id := bucketstore.ImageOf(l.Path)
	if id == "" {
		p.result.fail("", "an object below slides/ has a key that is not one of this store: move it elsewhere, and upload it if it is a slide")
		return nil, nil
	}
	known, err := p.c.Images.GetAny(ctx, id)
	switch {
	case err == nil && known.StoreID == p.store.ID:
		return known, nil
	case err == nil:
		return nil, nil // it is being moved to this store
	case !errors.Is(err, catalog.ErrNotFound):
		return nil, err
	}
	st, done, err := p.s.bucketStore(p.store)
	if err != nil {
		return nil, err
	}
	defer done()
	im, err := st.Image(ctx, l.Path)
	switch {
	case err == nil:
		return im, nil
	case errors.Is(err, bucket.ErrUnavailable), errors.Is(err, bucket.ErrDenied):
		return nil, fmt.Errorf("%w: %w", ErrNoRoot, err)
	case errors.Is(err, bucket.ErrGone) && p.now().Sub(time.Unix(0, l.inspection.Identity.MTime)) < sidecarTime:
		return nil, nil
	}
	p.result.fail(id, "the slide has no readable sidecar, so its name is unknown: "+err.Error())
	fresh := &catalog.Image{ID: id, StoreID: p.store.ID}
	fresh.FileName = path.Base(l.Path)
	return fresh, nil
}

// keep gives an inspected image what its object does not contain. An object with another identity
// than before has to have the same bytes: verification compares them with the digest. What arrives
// and is no slide is quarantined, as in folders, but its object stays where it is.
func (bucketScan) keep(im, old *catalog.Image) {
	im.FileName, im.Digest = old.FileName, old.Digest
	arrived := old.Path == "" || old.State == catalog.Quarantined
	if arrived && (im.State == catalog.Broken || im.State == catalog.Unsupported) {
		im.State = catalog.Quarantined
	}
}

// bucketStore returns the operations on the objects of a managed store. The caller calls done.
func (s *Syncer) bucketStore(st *catalog.Store) (b *bucketstore.Store, done func(), err error) {
	open, done, err := s.sources().OpenBucket(st)
	if err != nil {
		return nil, nil, err
	}
	return &bucketstore.Store{
		Store: st, Catalog: s.Catalog, Leases: s.leases(), Bucket: open, Now: s.now,
		Inspect: func(ctx context.Context, path string) (inspect.Kind, error) { return s.inspectAgain(ctx, st, path) },
	}, done, nil
}

// Receive records the object of an arrival in a managed store in a bucket; see
// [bucketstore.Store.Receive].
func (s *Syncer) Receive(ctx context.Context, st *catalog.Store, a bucketstore.Arrival) (bucketstore.Received, error) {
	b, done, err := s.bucketStore(st)
	if err != nil {
		return bucketstore.Received{}, err
	}
	defer done()
	return b.Receive(ctx, a)
}

// noteInBucket writes that an image was deleted or restored to its sidecar, for the case that the
// catalog is lost. If that fails now, the catalog has it all the same.
func (s *Syncer) noteInBucket(ctx context.Context, st *catalog.Store, image string) {
	im, err := s.Catalog.Images.GetAny(ctx, image)
	if err == nil {
		var b *bucketstore.Store
		var done func()
		if b, done, err = s.bucketStore(st); err == nil {
			defer done()
			err = b.UpdateSidecar(ctx, im)
		}
	}
	if err != nil {
		s.log().Warn("the deletion or restoration of an image is in the catalog, but not in its sidecar", "image", image, "err", err)
	}
}
