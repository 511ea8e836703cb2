package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/source"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
)

// Import imports the file of an image of a managed store; see [managed.Store.Import].
func (s *Syncer) Import(ctx context.Context, image string, progress func(done, total int64)) (managed.Imported, error) {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return managed.Imported{}, err
	}
	return s.managedStore(st).Import(ctx, im.ID, progress)
}

// Slide opens the image at a path of a database, a dump or a bucket. The error satisfies [fsx.IsGone] if
// there is no such image.
func (s *Syncer) Slide(ctx context.Context, st *catalog.Store, path string) (*source.Slide, error) {
	src, err := s.sources().Open(st)
	if err != nil {
		return nil, err
	}
	defer src.Close() // the slide stays open
	return src.Slide(ctx, path)
}

// Adopt moves an image from another store into a managed store, with the file that a writes,
// and imports that file; see [managed.Store.Adopt]. An image that was moved before is only
// imported.
func (s *Syncer) Adopt(ctx context.Context, image, from string, to *catalog.Store, a managed.Adoption) (managed.Imported, error) {
	if !to.ManagedFolder() {
		return managed.Imported{}, errors.New("images are moved into managed stores in folders only")
	}
	if err := managed.CheckMarker(to); err != nil {
		return managed.Imported{}, err
	}
	st := s.managedStore(to)
	if err := st.Adopt(ctx, image, from, a); err != nil {
		return managed.Imported{}, err
	}
	r, err := st.Import(ctx, image, nil)
	if err == nil && s.Available != nil {
		s.Available(image)
	}
	return r, err
}

// Remove deletes an image until it is restored. Its file in a managed store is moved to
// the store's trash; in an in-place store it stays. The error is [catalog.ErrNotFound],
// or one of the file system, the catalog or the context. If the file can't be moved
// now, the next scan moves it.
func (s *Syncer) Remove(ctx context.Context, image string) error {
	im, err := s.Catalog.Images.Get(ctx, image)
	if err != nil {
		return err
	}
	_, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if err := s.Catalog.Images.Delete(ctx, im.ID); err != nil || st.Mode != catalog.Managed {
		return err
	}
	if st.ManagedBucket() {
		s.noteInBucket(ctx, st, im.ID)
		return nil
	}
	if err := s.managedStore(st).Trash(ctx, im.ID); !errors.Is(err, ErrBusy) {
		return err
	}
	return nil
}

// Restore restores a deleted image, and its file from the trash. It is not an error if
// the image was not deleted. The error is one of [managed.Store.Restore] or
// [catalog.ErrNotFound].
func (s *Syncer) Restore(ctx context.Context, image string) error {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if !st.ManagedFolder() || !strings.HasPrefix(im.Path, managed.Trash) {
		if err := s.Catalog.Images.Restore(ctx, im.ID); err != nil {
			return err
		}
		if st.ManagedBucket() {
			s.noteInBucket(ctx, st, im.ID)
		}
		return nil
	}
	return s.managedStore(st).Restore(ctx, im)
}

// Retry inspects the file of an image again that was broken or unsupported. In a
// managed store it is first moved from quarantine back to the incoming folder, under
// its own name. An available image is inspected too.
//
// The error is [managed.ErrInTheWay] if another file already has the name, [ErrBusy], [ErrFull],
// [ErrManyMissing] if its file and too many others are gone, [catalog.ErrNotFound], or
// one of the file system, the catalog or the context.
func (s *Syncer) Retry(ctx context.Context, image string) error {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if im.DeletedAt != nil {
		return fmt.Errorf("%w: the image was deleted: restore it first", catalog.ErrNotFound)
	}
	path := im.Path
	if strings.HasPrefix(im.Path, managed.Quarantine) && st.ManagedFolder() {
		if path, err = s.managedStore(st).Release(ctx, image); err != nil {
			return err
		}
	}
	_, err = s.inspectAgain(ctx, st, path)
	return err
}

// inspectAgain inspects one file, whatever its state in the catalog, and returns what the file is.
func (s *Syncer) inspectAgain(ctx context.Context, st *catalog.Store, path string) (inspect.Kind, error) {
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return 0, err
	}
	defer p.src.Close()
	if err := s.follow(ctx); err != nil {
		return 0, err
	}
	if strings.HasPrefix(path, managed.Slides) && st.ManagedFolder() {
		kept, closeRoot, err := managedScan{p}.slidesScan()
		if err != nil {
			return 0, err
		}
		defer closeRoot()
		p = kept
	}
	id, err := p.stat(path)
	if fsx.IsGone(err) {
		return inspect.Gone, guard{p}.markOneMissing(ctx, path)
	}
	if err != nil {
		return 0, fmt.Errorf("the file cannot be inspected: %w", fsx.WithoutPath(err))
	}
	err = p.inspectAll(ctx, []source.Item{{Path: path, Identity: id, Closed: p.prefix == managed.Slides}})
	return p.kind, err
}

// managedImage returns an image, which may be deleted, and its store, after checking
// that the store's folder is present.
func (s *Syncer) managedImage(ctx context.Context, id string) (*catalog.Image, *catalog.Store, error) {
	im, err := s.Catalog.Images.GetAny(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	st, err := s.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return nil, nil, err
	}
	if st.ManagedFolder() {
		err = managed.CheckMarker(st)
	}
	return im, st, err
}

// managedStore returns the operations on the files of a managed store.
func (s *Syncer) managedStore(st *catalog.Store) *managed.Store {
	return &managed.Store{
		Store: st, Catalog: s.Catalog, Leases: s.leases(), Waiting: s.folder(st.ID).waiting, Now: s.now,
		Pause: cmp.Or(s.Pause, DefaultPause), Received: s.Received, Unsupported: s.Unsupported,
		Record: func(ctx context.Context, c *catalog.Catalog, path string, id fsx.Identity) error {
			return s.recordSlide(ctx, c, st, path, id)
		},
	}
}

// recordSlide inspects a file below slides/ that the catalog does not know, and records
// it.
func (s *Syncer) recordSlide(ctx context.Context, c *catalog.Catalog, st *catalog.Store, path string, id fsx.Identity) error {
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return err
	}
	defer p.src.Close()
	p.c = c
	kept, closeRoot, err := managedScan{p}.slidesScan()
	if err != nil {
		return err
	}
	defer closeRoot()
	return kept.inspectAll(ctx, []source.Item{{Path: path, Identity: id, Closed: true}})
}
