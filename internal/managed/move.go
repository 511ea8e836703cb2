package managed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// moveFile moves the file of an image to an unused path of its store: by renaming it,
// or, on another file system, by copying and then removing it. A sidecar, if not nil,
// is written there first. It returns the identity of the file at its new path. The files of a
// series are in a folder of their own, which is moved.
//
// The error is [lease.ErrBusy] if another process works on the file or it was replaced, or
// [fs.ErrExist].
func moveFile(ctx context.Context, st *catalog.Store, im *catalog.Image, at string, side *Sidecar) (fsx.Identity, error) {
	from, err := openSet(st, im)
	switch {
	case errors.Is(err, ErrReplaced), errors.Is(err, lease.ErrBusy):
		return fsx.Identity{}, lease.ErrBusy
	case err != nil:
		return fsx.Identity{}, gone(im.ID, err)
	}
	defer from.close()
	if id := from.found; id.Size != im.Identity.Size || id.MTime != im.Identity.MTime {
		return fsx.Identity{}, lease.ErrBusy
	}
	to, err := NewEntryOf(st, container(at))
	if err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", DiskFull(err))
	}
	defer to.Close()
	if side != nil {
		if err := WriteSidecar(st, at, side); err != nil {
			return fsx.Identity{}, imageError(im.ID, "writing a sidecar", DiskFull(err))
		}
	}
	if err = from.at.MoveTo(to); errors.Is(err, unix.EXDEV) {
		if from.series != "" {
			err = copyFolderAway(ctx, st, from, at)
		} else {
			err = copyAway(ctx, from.at, from.files[0].f, from.found, to)
		}
	}
	if err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", DiskFull(err))
	}
	if err := source.SyncDirectories(to, from.at); err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", err)
	}
	now, err := Stat(st, at)
	if err != nil {
		return now, imageError(im.ID, "reading the identity of the file", err)
	}
	return now, nil
}

// gone is [fs.ErrNotExist] for an image's file.
func gone(image string, err error) error {
	if fsx.IsGone(err) {
		err = fs.ErrNotExist
	}
	return imageError(image, "opening the file", err)
}

// partPrefix begins the name of a copy outside of staging until it is complete.
const partPrefix = ".part-"

// copyAway moves a file to another file system.
func copyAway(ctx context.Context, from source.Entry, f *os.File, id fsx.Identity, to source.Entry) error {
	part := source.Entry{Dir: to.Dir, Name: fmt.Sprintf("%s%x", partPrefix, id.Ino)}
	c, _, err := copyTo(ctx, part, f, id, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if now, err := fsx.Identify(f.Fd()); err != nil || now != id {
		return errors.Join(lease.ErrBusy, part.Remove())
	}
	if err := c.Chmod(0o644); err != nil {
		return errors.Join(err, part.Remove())
	}
	if err := part.MoveTo(to); err != nil {
		return errors.Join(err, part.Remove())
	}
	if err := source.SyncDirectories(to); err != nil {
		return err
	}
	if now, err := from.Stat(); err != nil || now != id {
		return nil //nolint:nilerr // replaced since: not ours to remove
	}
	return from.Remove()
}

// copyFolderAway moves the folder of a series to another file system.
func copyFolderAway(ctx context.Context, st *catalog.Store, from *set, at string) error {
	s := &Store{Store: st}
	dir, name := path.Split(container(at))
	part := dir + partPrefix + name
	if _, err := s.copyInto(ctx, from, part); err != nil {
		return errors.Join(err, s.removeFolder(part))
	}
	if from.same() != nil {
		return errors.Join(lease.ErrBusy, s.removeFolder(part))
	}
	if err := s.renameFolder(part, container(at)); err != nil {
		return errors.Join(err, s.removeFolder(part))
	}
	for i := range from.files {
		if err := from.entry(i).Remove(); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(from.at.Dir.Fd()), from.at.Name, unix.AT_REMOVEDIR)
}

// copyTo writes a copy of an open file to a new file at the entry, syncs it, and leaves
// it open and locked. The copy gets the times of the original. After an error there is
// no copy.
func copyTo(ctx context.Context, to source.Entry, from *os.File, id fsx.Identity, progress func(done, total int64)) (f *os.File, digest string, err error) {
	if err := to.Remove(); err != nil {
		return nil, "", err
	}
	f, err = to.OpenFile(unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, "", DiskFull(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, to.Remove())
		}
	}()
	if !fsx.TryLock(f) {
		return nil, "", lease.ErrBusy
	}
	if digest, err = fsx.CopySHA256(ctx, f, from, id.Size, progress); err != nil {
		return nil, "", DiskFull(err)
	}
	ts := unix.NsecToTimespec(id.MTime)
	if err := unix.UtimesNanoAt(int(to.Dir.Fd()), to.Name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, "", err
	}
	return f, digest, DiskFull(f.Sync())
}

// relocate records that the file of an image is at another path. The revision changes
// only if the file was written to. The image may be deleted.
func relocate(ctx context.Context, c *catalog.Catalog, im *catalog.Image, to string, id fsx.Identity) (*catalog.Image, error) {
	return c.Images.Update(ctx, im.ID, func(now *catalog.Image) error {
		if now.Path != im.Path && now.Path != to {
			return fmt.Errorf("%w: image %s was moved by another", lease.ErrBusy, im.ID)
		}
		if now.Identity.Size != id.Size || now.Identity.MTime != id.MTime {
			now.Revision = id.Revision() // it was not only moved
		}
		now.Path, now.Identity = to, id
		now.MissingSince, now.HiddenAt = nil, nil
		switch {
		case strings.HasPrefix(to, Quarantine):
			now.State = catalog.Quarantined
		case now.State == catalog.Missing:
			now.State, now.Reason = catalog.Available, ""
		}
		return nil
	})
}

// unlinkSame removes a file of the incoming folder, if it is still the inspected one.
func unlinkSame(st *catalog.Store, path string, id fsx.Identity) error {
	s, err := EntryOf(st, path)
	if fsx.IsGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if now, err := s.Stat(); err != nil || !now.Same(id) {
		return nil //nolint:nilerr // gone or replaced: not ours to remove
	}
	return errors.Join(s.Remove(), source.SyncDirectories(s))
}

// imageError describes an error at the file of an image without a file name.
func imageError(image, what string, err error) error {
	err = fsx.WithoutPath(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("image %s: %s: permission denied: user %d must be allowed to write there: %w", image, what, os.Geteuid(), err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("image %s: %s: the file system is read-only: %w", image, what, err)
	}
	return fmt.Errorf("image %s: %s: %w", image, what, err)
}
