package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// DefaultKeepTrash is how long files stay in the trash of a managed store.
const DefaultKeepTrash = 30 * 24 * time.Hour

// Remove takes an image out of all lists, until it is restored. Its file in a managed
// store is moved to the store's trash; in a folder that is read and never written it
// stays. The error is [catalog.ErrNotFound], that of the file system, the catalog's
// or the context's. If the file can't be moved now, the next pass does.
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
	if err := s.discard(ctx, st, im.ID); !errors.Is(err, ErrBusy) {
		return err
	}
	return nil
}

// discard moves the file of an image that was deleted to the trash. The error is
// [ErrBusy] if somebody works on it.
func (s *Syncer) discard(ctx context.Context, st *catalog.Store, image string) error {
	ctx, c, release, err := s.lease(ctx, "import "+image)
	if err != nil {
		return err
	}
	defer release()
	im, err := anyImage(ctx, c, image)
	if err != nil || im == nil || im.DeletedAt == nil || strings.HasPrefix(im.Path, trash) {
		return err
	}
	at := trash + s.now().UTC().Format(stamp) + "-" + im.ID + ".tiff"
	now, err := statOf(st, im.Path)
	if err == nil {
		im.Identity = now // whatever it is by now
		now, err = s.carry(ctx, st, im, at, movedFrom(im))
	}
	switch {
	case fsx.IsGone(err):
		now = im.Identity // its place is free for another
	case err != nil:
		return err
	}
	fo := s.folder(st.ID)
	fo.mu.Lock()
	defer fo.mu.Unlock()
	delete(fo.sightings, im.Path)
	if _, err := relocate(ctx, c, im, at, now); err != nil || strings.HasPrefix(im.Path, incoming) {
		return err
	}
	return trouble(im.ID, "removing a sidecar", removeSidecar(st, im.Path))
}

// Restore brings back an image that was removed, and its file from the trash. That it
// was not removed is no error. The error is [ErrInTheWay] if the slide has come again
// meanwhile, or its name is taken; [fs.ErrNotExist] if the trash has been emptied;
// [catalog.ErrNotFound], that of the file system, the catalog's or the context's.
func (s *Syncer) Restore(ctx context.Context, image string) error {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if st.Mode != catalog.Managed || !strings.HasPrefix(im.Path, trash) {
		return s.Catalog.RestoreImage(ctx, im.ID)
	}
	ctx, c, release, err := s.lease(ctx, "import "+image)
	if err != nil {
		return err
	}
	defer release()
	side, err := readSidecar(st, im.Path)
	if err != nil {
		return trouble(im.ID, "reading its sidecar in the trash", fsx.WithoutPath(err))
	}
	home := string(side.From)
	if !isHome(home) {
		return trouble(im.ID, "its sidecar in the trash is damaged", fs.ErrInvalid)
	}
	var beside *sidecar
	if !strings.HasPrefix(home, incoming) {
		copied := *side
		copied.From, copied.Digest, beside = nil, "", &copied
	}
	if first, err := c.ImageByPath(ctx, st.ID, home); err == nil && first.ID != im.ID {
		return fmt.Errorf("%w: the slide has come again, as image %s", ErrInTheWay, first.ID)
	}
	id, err := s.carry(ctx, st, im, home, beside)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w that the slide had: take that away first", ErrInTheWay)
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
	return trouble(im.ID, "trash", removeSidecar(st, im.Path))
}

// isHome reports whether files may be brought back to a path.
func isHome(path string) bool {
	for _, dir := range []string{incoming, staging, slides, quarantine} {
		if rest, ok := strings.CutPrefix(path, dir); ok {
			return fs.ValidPath(strings.ToValidUTF8(rest, "?")) && rest != "."
		}
	}
	return false
}

// EmptyTrash removes the files of a managed store for good that have been in its trash
// for as long as the store keeps them, and takes their images out of the catalog. It
// returns how many files were removed. A pass that ends does so too. The error is [catalog.ErrNotFound], that of
// the file system, the catalog's or the context's.
func (s *Syncer) EmptyTrash(ctx context.Context, store string) (int, error) {
	st, err := s.Catalog.Store(ctx, store)
	if err != nil || st.Mode != catalog.Managed {
		return 0, err
	}
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return 0, err
	}
	defer p.dir.Close()
	return p.emptyTrash(ctx)
}

func (p *pass) emptyTrash(ctx context.Context) (removed int, err error) {
	st := p.store
	for _, name := range p.names(trash) {
		at, rest, ok := stamped(name)
		if !ok || p.s.now().Sub(at) < or(st.KeepTrash, DefaultKeepTrash) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		// The sidecar goes last, so that what is broken off here is ended later.
		base, isTIFF := strings.CutSuffix(name, ".tiff")
		if base, ok := strings.CutSuffix(name, ".json"); ok {
			if _, err := p.stat(trash + base + ".tiff"); !fsx.IsGone(err) {
				continue
			}
			rest = strings.TrimSuffix(rest, ".json")
			if err := p.expunge(ctx, trash+base+".tiff", rest); err != nil {
				return removed, err
			}
			continue
		}
		if err := p.erase(trash + name); err != nil {
			return removed, trouble(strings.TrimSuffix(rest, ".tiff"), "emptying the trash", err)
		}
		removed++
		if isTIFF {
			if err := p.expunge(ctx, trash+base+".tiff", strings.TrimSuffix(rest, ".tiff")); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// erase removes a file for good.
func (p *pass) erase(at string) error {
	f, err := spotOf(p.store, at)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Remove(), source.SyncDirectories(f))
}

// expunge takes an image out of the catalog whose file at a path is gone for good.
func (p *pass) expunge(ctx context.Context, at, image string) error {
	im, err := p.byID(ctx, image)
	if err != nil {
		return err
	}
	if im != nil && im.DeletedAt != nil && im.Path == at {
		if err := p.c.DropImages(ctx, image); err != nil {
			return err
		}
	}
	return trouble(image, "emptying the trash", removeSidecar(p.store, at))
}
