package managed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A Recovery resumes the operations of a managed store that were interrupted, during a
// scan that holds the lease of the store.
type Recovery struct {
	*Store
	Leased *catalog.Catalog // writes under the lease
	Mirror *mirror.Mirror
	DryRun bool
	Failed func(image, reason string) // receives what could not be recovered

	Added   int              // images that the catalog did not know
	written []*catalog.Image // images in staging whose files were written to
}

// Run resumes the operations that left files in staging, quarantine and trash.
func (r *Recovery) Run(ctx context.Context) error {
	for _, dir := range []string{Staging, Quarantine, Trash} {
		for _, name := range names(r.Store.Store, dir) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.recoverFile(ctx, dir+name); err != nil {
				return err
			}
		}
	}
	for _, im := range r.written { // after they were staged
		if err := r.unstage(ctx, r.Leased, im); err != nil && !errors.Is(err, lease.ErrBusy) {
			r.Failed(im.ID, err.Error())
		}
	}
	if err := r.Mirror.Follow(ctx, r.Catalog); err != nil {
		return err
	}
	for at, e := range r.Mirror.Files(r.ID) {
		if !e.Deleted || strings.HasPrefix(at, Trash) || r.DryRun {
			continue
		}
		if err := r.Store.Trash(ctx, e.Image); err != nil && !errors.Is(err, lease.ErrBusy) {
			r.Failed(e.Image, err.Error())
		}
	}
	return r.Mirror.Follow(ctx, r.Catalog)
}

// recoverFile resumes the interrupted operation on one file.
func (r *Recovery) recoverFile(ctx context.Context, at string) error {
	id := imageIn(at)
	if id == "" {
		r.sweep(at)
		return nil
	}
	if at = contained(r.Store.Store, at); at == "" {
		return r.regather(ctx, id)
	}
	if e, ok := r.Mirror.File(r.ID, at); ok && e.Image == id {
		return nil
	}
	now, err := Identify(r.Store.Store, at)
	if err != nil {
		return nil //nolint:nilerr // removed since, or not a file
	}
	r.Waiting.Lock()
	defer r.Waiting.Unlock()
	if !r.Mirror.Knows(id) {
		return r.restoreImage(ctx, id, at, now)
	}
	im, err := anyImage(ctx, r.Leased, id)
	if err != nil || im == nil {
		return err
	}
	if im.StoreID != r.ID {
		return r.abandoned(ctx, im, at)
	}
	if im.Path == at {
		return nil
	}
	return r.moved(ctx, im, at, now)
}

// moved updates an image whose file was moved or copied to a path by an interrupted
// operation.
func (r *Recovery) moved(ctx context.Context, im *catalog.Image, at string, now fsx.Identity) error {
	if strings.HasPrefix(at, Trash) && im.DeletedAt == nil {
		return nil // a duplicate: see FindMoved
	}
	if at == staged(im) && catalog.IsSeries(at) && strings.HasPrefix(im.Path, Incoming) {
		return r.regather(ctx, im.ID)
	}
	there, err := Identify(r.Store.Store, im.Path)
	switch {
	case fsx.IsGone(err):
	case err == nil && strings.HasPrefix(im.Path, Incoming) && there.Same(im.Identity) && now.Size == there.Size && now.MTime == there.MTime:
		if r.DryRun {
			return nil
		}
		if err := unlinkSame(r.Store.Store, im.Path, im.Identity); err != nil {
			return imageError(im.ID, "removing the original file after copying it", err)
		}
	default:
		return nil
	}
	if r.DryRun {
		return nil
	}
	if now.Size != im.Identity.Size || now.MTime != im.Identity.MTime {
		if strings.HasPrefix(at, Staging) && im.DeletedAt == nil {
			r.written = append(r.written, im)
		}
		return nil
	}
	_, err = relocate(ctx, r.Leased, im, at, now)
	return err
}

// regather moves files of a series back to the incoming folder that an interrupted import has
// left in staging, and removes their folder. If they are copies, and the originals have changed
// since, they are the files of the image.
func (r *Recovery) regather(ctx context.Context, image string) error {
	if r.DryRun {
		return nil
	}
	ctx, c, release, err := r.lease(ctx, image)
	if errors.Is(err, lease.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	im, err := anyImage(ctx, c, image)
	if err != nil || im == nil || im.StoreID != r.ID || !catalog.IsSeries(im.Path) || !strings.HasPrefix(im.Path, Incoming) {
		return err
	}
	err = r.spread(im)
	if errors.Is(err, unix.EXDEV) {
		id, serr := Stat(r.Store.Store, staged(im))
		if serr != nil {
			return imageError(im.ID, "staging", serr)
		}
		_, err = relocate(ctx, c, im, staged(im), id)
	}
	if err != nil {
		r.Failed(im.ID, err.Error())
	}
	return nil
}

// restoreImage records a file that the catalog does not know, from its sidecar.
func (r *Recovery) restoreImage(ctx context.Context, id, at string, now fsx.Identity) error {
	side, err := ReadSidecar(r.Store.Store, at)
	if errors.Is(err, fs.ErrNotExist) {
		side, err = &Sidecar{ID: id}, nil
		side.FileName = inspect.FileName(at)
		if _, uid, ok := catalog.SplitSeries(at); ok {
			side.FileName = uid
		}
	}
	if err != nil || side.ID != id || side.DuplicateOf != "" {
		return nil //nolint:nilerr // a file without a readable sidecar stays where it is
	}
	if there, err := anyImage(ctx, r.Leased, id); err != nil || there != nil {
		return err // it was recorded after the mirror was updated
	}
	root, err := source.OpenDirectory(r.Root, "", source.Stored)
	if err != nil {
		return fmt.Errorf("%w: %s", source.ErrNoRoot, inspect.ReadError(err).Reason)
	}
	defer root.Close()
	inspection := inspect.File(ctx, root, at)
	if inspection.Kind == inspect.Gone || inspection.Kind == inspect.Skipped || inspection.Kind == inspect.Changing || !inspection.Identity.Same(now) {
		return nil
	}
	im := side.Image(r.ID)
	inspect.Update(im, at, &inspection, inspect.Verdict{State: catalog.Available, Observation: inspect.Observation{Since: r.Now()}})
	im.FileName = side.FileName
	if side.Digest != "" {
		im.Digest = &side.Digest
	}
	switch {
	case strings.HasPrefix(at, Quarantine):
		im.State, im.Reason = catalog.Quarantined, cmp.Or(side.Reason, inspection.Reason)
	case inspection.Kind != inspect.Complete:
		im.State, im.Reason = catalog.Broken, inspection.Reason
	}
	r.Added++
	if r.DryRun {
		return nil
	}
	if err := r.Leased.Images.Put(ctx, []*catalog.Image{im}); err != nil {
		return err
	}
	if strings.HasPrefix(at, Trash) {
		return r.Leased.Images.Delete(ctx, im.ID)
	}
	return nil
}

// abandoned removes a file in staging that was written for an image of another store, if no
// process is about to move the image: see [Store.Adopt].
func (r *Recovery) abandoned(ctx context.Context, im *catalog.Image, at string) error {
	if !strings.HasPrefix(at, Staging) || catalog.IsSeries(at) || r.DryRun {
		return nil
	}
	ctx, c, release, err := r.lease(ctx, im.ID)
	if errors.Is(err, lease.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer release()
	if im, err = anyImage(ctx, c, im.ID); err != nil || im == nil || im.StoreID == r.ID {
		return err
	}
	s, err := EntryOf(r.Store.Store, at)
	if err != nil {
		return imageError(im.ID, "staging", err)
	}
	defer s.Close()
	return imageError(im.ID, "removing the rest of an interrupted move", errors.Join(s.Remove(), RemoveSidecar(r.Store.Store, at)))
}
