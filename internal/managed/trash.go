package managed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// DefaultKeepTrash is how long files stay in the trash of a managed store.
const DefaultKeepTrash = 30 * 24 * time.Hour

// Trash moves the file of a deleted image to the trash. The error is [lease.ErrBusy] if
// another process works on it.
func (s *Store) Trash(ctx context.Context, image string) error {
	ctx, c, release, err := s.lease(ctx, image)
	if err != nil {
		return err
	}
	defer release()
	im, err := anyImage(ctx, c, image)
	if err != nil || im == nil || im.DeletedAt == nil || strings.HasPrefix(im.Path, Trash) {
		return err
	}
	at := renamedTo(im, s.inTrash(im.ID))
	now, err := Stat(s.Store, im.Path)
	if err == nil {
		im.Identity = now // in whatever state it is now
		if catalog.IsSeries(im.Path) && strings.HasPrefix(im.Path, Incoming) {
			if im, err = s.gather(ctx, c, im); errors.Is(err, ErrReplaced) {
				return lease.ErrBusy
			} else if err != nil {
				return err
			}
		}
		side := MovedFrom(im)
		side.Instances = instancesOf(s.Store, im.Path)
		now, err = moveFile(ctx, s.Store, im, at, side)
	}
	switch {
	case fsx.IsGone(err):
		now = im.Identity // another file may be at its path
	case err != nil:
		return err
	}
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	delete(s.Waiting.Files, im.Path)
	if _, err := relocate(ctx, c, im, at, now); err != nil || strings.HasPrefix(im.Path, Incoming) {
		return err
	}
	return imageError(im.ID, "removing a sidecar", RemoveSidecar(s.Store, im.Path))
}

// Restore restores a deleted image whose file is in the trash, and the file. The error
// is [ErrInTheWay] if the slide has arrived again or its name is taken,
// [fs.ErrNotExist] if the trash has been emptied, or one of the file system, the
// catalog or the context.
func (s *Store) Restore(ctx context.Context, im *catalog.Image) error {
	ctx, c, release, err := s.lease(ctx, im.ID)
	if err != nil {
		return err
	}
	defer release()
	side, err := ReadSidecar(s.Store, im.Path)
	if err != nil {
		return imageError(im.ID, "reading its sidecar in the trash", fsx.WithoutPath(err))
	}
	home := string(side.From)
	if !isHome(home) {
		return imageError(im.ID, "its sidecar in the trash is damaged", fs.ErrInvalid)
	}
	var beside *Sidecar
	if !strings.HasPrefix(home, Incoming) {
		copied := *side
		copied.From, beside = nil, &copied
		if len(copied.Instances) == 0 {
			copied.Digest = ""
		}
	}
	if first, err := c.Images.ByPath(ctx, s.ID, home); err == nil && first.ID != im.ID {
		return fmt.Errorf("%w: the slide was added again as image %s", ErrInTheWay, first.ID)
	}
	id, err := moveFile(ctx, s.Store, im, home, beside)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w that the slide had: remove that file first", ErrInTheWay)
	}
	if err != nil {
		return err
	}
	_, err = c.Images.Update(context.WithoutCancel(ctx), im.ID, func(im *catalog.Image) error {
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
	return imageError(im.ID, "trash", RemoveSidecar(s.Store, im.Path))
}

// isHome reports whether files may be restored to a path.
func isHome(path string) bool {
	for _, dir := range []string{Incoming, Staging, Slides, Quarantine} {
		if rest, ok := strings.CutPrefix(path, dir); ok {
			return fs.ValidPath(strings.ToValidUTF8(rest, "?")) && rest != "."
		}
	}
	return false
}

// EmptyTrash removes the files that have been in the trash for the store's retention
// time, and their images from the catalog, which it writes through c. It returns how
// many files were removed.
func (s *Store) EmptyTrash(ctx context.Context, c *catalog.Catalog) (removed int, err error) {
	for _, name := range names(s.Store, Trash) {
		at, rest, ok := stamped(name)
		if !ok || s.Now().Sub(at) < cmp.Or(s.KeepTrash, DefaultKeepTrash) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		// The sidecar is removed last, so that an interrupted removal is resumed later.
		if base, ok := strings.CutSuffix(name, ".json"); ok {
			if s.exists(Trash+base+tiffSuffix) || s.exists(Trash+base+seriesSuffix) {
				continue
			}
			if err := s.forgetImage(ctx, c, Trash+base+tiffSuffix, strings.TrimSuffix(rest, ".json")); err != nil {
				return removed, err
			}
			continue
		}
		suffix := path.Ext(name)
		rest = strings.TrimSuffix(rest, suffix)
		remove := s.removeFile
		if fi, err := os.Lstat(s.File(Trash + name)); err == nil && fi.IsDir() {
			remove = s.removeFolder
		}
		if err := remove(Trash + name); err != nil {
			return removed, imageError(rest, "emptying the trash", err)
		}
		removed++
		if suffix == tiffSuffix || suffix == seriesSuffix {
			if err := s.forgetImage(ctx, c, Trash+name, rest); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// exists reports whether there may be a file or folder at a path.
func (s *Store) exists(at string) bool {
	_, err := os.Lstat(s.File(at))
	return !errors.Is(err, fs.ErrNotExist)
}

// removeFile removes a file permanently.
func (s *Store) removeFile(at string) error {
	f, err := EntryOf(s.Store, at)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Remove(), source.SyncDirectories(f))
}

// RemoveSlide removes the file of a stored slide, and then its sidecar. A file that is gone is no
// error.
func RemoveSlide(st *catalog.Store, at string) error {
	s := &Store{Store: st}
	if err := s.removeFile(at); err != nil && !fsx.IsGone(err) {
		return fsx.WithoutPath(err)
	}
	return fsx.WithoutPath(RemoveSidecar(st, at))
}

// forgetImage drops an image from the catalog whose file at a path was removed.
func (s *Store) forgetImage(ctx context.Context, c *catalog.Catalog, at, image string) error {
	im, err := anyImage(ctx, c, image)
	if err != nil {
		return err
	}
	if im != nil && im.DeletedAt != nil && SidecarPath(im.Path) == SidecarPath(at) {
		if err := c.Images.Drop(ctx, image); err != nil {
			return err
		}
	}
	return imageError(image, "emptying the trash", RemoveSidecar(s.Store, at))
}

// stamp is the format of times in the names of files in the trash.
const stamp = "20060102T150405Z"

// inTrash is the path that a file which is now moved to the trash gets there.
func (s *Store) inTrash(name string) string {
	return Trash + s.Now().UTC().Format(stamp) + "-" + name
}

// stamped returns the time that the name of a file in the trash begins with, and the
// rest of the name.
func stamped(name string) (time.Time, string, bool) {
	when, rest, ok := strings.Cut(name, "-")
	at, err := time.Parse(stamp, when)
	return at, rest, ok && err == nil
}
