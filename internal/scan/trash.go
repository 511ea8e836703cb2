package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// DefaultKeepTrash is how long files stay in the trash of a managed store.
const DefaultKeepTrash = 30 * 24 * time.Hour

// Remove deletes an image until it is restored. Its file in a managed store is moved to
// the store's trash; in an in-place store it stays. The error is [catalog.ErrNotFound],
// or one of the file system, the catalog or the context. If the file can't be moved
// now, the next scan moves it.
func (s *Syncer) Remove(ctx context.Context, image string) error {
	im, err := s.Catalog.Image(ctx, image)
	if err != nil {
		return err
	}
	_, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if err := s.Catalog.DeleteImage(ctx, im.ID); err != nil || st.Mode != catalog.Managed {
		return err
	}
	if err := s.moveToTrash(ctx, st, im.ID); !errors.Is(err, ErrBusy) {
		return err
	}
	return nil
}

// moveToTrash moves the file of a deleted image to the trash. The error is [ErrBusy] if
// another process works on it.
func (s *Syncer) moveToTrash(ctx context.Context, st *catalog.Store, image string) error {
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return err
	}
	defer release()
	im, err := anyImage(ctx, c, image)
	if err != nil || im == nil || im.DeletedAt == nil || strings.HasPrefix(im.Path, managed.Trash) {
		return err
	}
	at := managed.Trash + s.now().UTC().Format(stamp) + "-" + im.ID + ".tiff"
	now, err := managed.Stat(st, im.Path)
	if err == nil {
		im.Identity = now // in whatever state it is now
		now, err = s.moveFile(ctx, st, im, at, managed.MovedFrom(im))
	}
	switch {
	case fsx.IsGone(err):
		now = im.Identity // another file may be at its path
	case err != nil:
		return err
	}
	fo := s.folder(st.ID)
	fo.waiting.Lock()
	defer fo.waiting.Unlock()
	delete(fo.waiting.Files, im.Path)
	if _, err := relocate(ctx, c, im, at, now); err != nil || strings.HasPrefix(im.Path, managed.Incoming) {
		return err
	}
	return imageError(im.ID, "removing a sidecar", managed.RemoveSidecar(st, im.Path))
}

// Restore restores a deleted image, and its file from the trash. It is not an error if
// the image was not deleted. The error is [ErrInTheWay] if the slide has arrived again
// or its name is taken, [fs.ErrNotExist] if the trash has been emptied,
// [catalog.ErrNotFound], or one of the file system, the catalog or the context.
func (s *Syncer) Restore(ctx context.Context, image string) error {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if st.Mode != catalog.Managed || !strings.HasPrefix(im.Path, managed.Trash) {
		return s.Catalog.RestoreImage(ctx, im.ID)
	}
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return err
	}
	defer release()
	side, err := managed.ReadSidecar(st, im.Path)
	if err != nil {
		return imageError(im.ID, "reading its sidecar in the trash", fsx.WithoutPath(err))
	}
	home := string(side.From)
	if !isHome(home) {
		return imageError(im.ID, "its sidecar in the trash is damaged", fs.ErrInvalid)
	}
	var beside *managed.Sidecar
	if !strings.HasPrefix(home, managed.Incoming) {
		copied := *side
		copied.From, copied.Digest, beside = nil, "", &copied
	}
	if first, err := c.ImageByPath(ctx, st.ID, home); err == nil && first.ID != im.ID {
		return fmt.Errorf("%w: the slide has come again, as image %s", ErrInTheWay, first.ID)
	}
	id, err := s.moveFile(ctx, st, im, home, beside)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w that the slide had: remove that file first", ErrInTheWay)
	}
	if err != nil {
		return err
	}
	_, err = c.UpdateImage(context.WithoutCancel(ctx), im.ID, func(im *catalog.Image) error {
		im.Path, im.Identity = home, id
		im.DeletedAt, im.HiddenAt, im.MissingSince = nil, nil, nil
		if im.State == catalog.Missing {
			im.State, im.Reason = catalog.Available, ""
		}
		return nil
	})
	if err != nil {
		return err
	}
	return imageError(im.ID, "trash", managed.RemoveSidecar(st, im.Path))
}

// isHome reports whether files may be restored to a path.
func isHome(path string) bool {
	for _, dir := range []string{managed.Incoming, managed.Staging, managed.Slides, managed.Quarantine} {
		if rest, ok := strings.CutPrefix(path, dir); ok {
			return fs.ValidPath(strings.ToValidUTF8(rest, "?")) && rest != "."
		}
	}
	return false
}

// emptyTrash removes the files of a managed store that have been in its trash for the
// store's retention time, and their images from the catalog. It returns how many files
// were removed.
func (p *scan) emptyTrash(ctx context.Context) (removed int, err error) {
	st := p.store
	for _, name := range p.names(managed.Trash) {
		at, rest, ok := stamped(name)
		if !ok || p.s.now().Sub(at) < cmp.Or(st.KeepTrash, DefaultKeepTrash) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		// The sidecar is removed last, so that an interrupted removal is resumed later.
		base, isTIFF := strings.CutSuffix(name, ".tiff")
		if base, ok := strings.CutSuffix(name, ".json"); ok {
			if _, err := p.stat(managed.Trash + base + ".tiff"); !fsx.IsGone(err) {
				continue
			}
			rest = strings.TrimSuffix(rest, ".json")
			if err := p.forgetImage(ctx, managed.Trash+base+".tiff", rest); err != nil {
				return removed, err
			}
			continue
		}
		if err := p.removeFile(managed.Trash + name); err != nil {
			return removed, imageError(strings.TrimSuffix(rest, ".tiff"), "emptying the trash", err)
		}
		removed++
		if isTIFF {
			if err := p.forgetImage(ctx, managed.Trash+base+".tiff", strings.TrimSuffix(rest, ".tiff")); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// removeFile removes a file permanently.
func (p *scan) removeFile(at string) error {
	f, err := managed.EntryOf(p.store, at)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Remove(), source.SyncDirectories(f))
}

// forgetImage drops an image from the catalog whose file at a path was removed.
func (p *scan) forgetImage(ctx context.Context, at, image string) error {
	im, err := p.byID(ctx, image)
	if err != nil {
		return err
	}
	if im != nil && im.DeletedAt != nil && im.Path == at {
		if err := p.c.DropImages(ctx, image); err != nil {
			return err
		}
	}
	return imageError(image, "emptying the trash", managed.RemoveSidecar(p.store, at))
}
