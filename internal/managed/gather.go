package managed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// gather moves the files of a series from the incoming folder to a folder of its own in
// staging, records that, and returns the updated image. Each file gets the name of its
// instance. Of several files of an instance only the first is moved: the next scan finds the
// others as another image. The caller holds the lease of the image.
//
// After a crash the image is in the incoming folder according to the catalog, and some of its
// files may be in staging: the next scan moves them back, see [Store.spread].
func (s *Store) gather(ctx context.Context, c *catalog.Catalog, im *catalog.Image) (*catalog.Image, error) {
	from, err := openSet(s.Store, im)
	switch {
	case fsx.IsGone(err):
		return nil, ErrReplaced
	case errors.Is(err, lease.ErrBusy), errors.Is(err, ErrReplaced):
		return nil, err
	case err != nil:
		return nil, imageError(im.ID, "opening the files", err)
	}
	defer from.close()
	if !from.found.Same(im.Identity) {
		return nil, ErrReplaced
	}
	to := staged(im)
	if err := WriteSidecar(s.Store, to, MovedFrom(im)); err != nil {
		return nil, imageError(im.ID, "writing to staging", DiskFull(err))
	}
	var moved *catalog.Image
	err = unix.EXDEV
	if from.ours() {
		moved, err = s.gatherFiles(ctx, c, im, from, to)
	}
	if errors.Is(err, unix.EXDEV) {
		moved, err = s.gatherCopies(ctx, c, im, from, to)
	}
	if err != nil {
		return nil, err
	}
	s.removeIncoming(from)
	return moved, nil
}

// removeIncoming removes the folder in which a series arrived, if it has the name of the series
// and is empty.
func (s *Store) removeIncoming(from *set) {
	if from.at.Name == from.series {
		_ = unix.Unlinkat(int(from.at.Dir.Fd()), from.at.Name, unix.AT_REMOVEDIR) // there may be other files
	}
}

// gatherFiles renames the files. The error is [unix.EXDEV] if they are on another file system.
func (s *Store) gatherFiles(ctx context.Context, c *catalog.Catalog, im *catalog.Image, from *set, to string) (moved *catalog.Image, err error) {
	folder, err := s.newFolder(container(to))
	if errors.Is(err, fs.ErrExist) { // of an interrupted import
		return nil, errors.Join(ErrReplaced, s.spread(im))
	}
	if err != nil {
		return nil, imageError(im.ID, "staging", DiskFull(err))
	}
	defer folder.Close()
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	if err = from.same(); err == nil {
		err = renameInto(from, folder)
	}
	if err == nil {
		err = from.renamed()
	}
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, errors.Join(err, s.removeFolder(container(to)))
	case err != nil:
		return nil, errors.Join(err, s.spread(im))
	}
	delete(s.Waiting.Files, im.Path)
	if moved, err = relocate(context.WithoutCancel(ctx), c, im, to, from.identity()); err != nil {
		return nil, err
	}
	return moved, imageError(im.ID, "staging", errors.Join(fsx.SyncDir(folder), syncParent(s.Store, to), fsx.SyncDir(from.dir)))
}

// renameInto renames the files of a set into a folder. The error is [unix.EXDEV] if none could
// be renamed for that reason.
func renameInto(from *set, folder *os.File) error {
	for i := range from.files {
		m := &from.files[i]
		to := source.Entry{Dir: folder, Name: instanceName(m.uid)}
		if err := from.entry(i).MoveTo(to); err != nil {
			if errors.Is(err, unix.EXDEV) && i > 0 {
				err = ErrReplaced
			}
			return err
		}
		if id, err := to.Stat(); err != nil || id.Ino != m.id.Ino {
			return ErrReplaced // another file came in between
		}
	}
	return nil
}

// gatherCopies copies the files, and removes the originals once the copies are recorded.
func (s *Store) gatherCopies(ctx context.Context, c *catalog.Catalog, im *catalog.Image, from *set, to string) (*catalog.Image, error) {
	part := strings.TrimSuffix(container(to), seriesSuffix) + ".part"
	ids, err := s.copyInto(ctx, from, part)
	if err == nil {
		err = from.same()
	}
	if err == nil {
		err = s.renameFolder(part, container(to))
	}
	if errors.Is(err, fs.ErrExist) { // of an interrupted import
		err = errors.Join(ErrReplaced, s.spread(im))
	}
	if err != nil {
		return nil, errors.Join(imageError(im.ID, "copying the files to staging", DiskFull(err)), s.removeFolder(part))
	}
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	delete(s.Waiting.Files, im.Path)
	moved, err := relocate(context.WithoutCancel(ctx), c, im, to, source.SeriesIdentity(from.series, ids))
	if err != nil {
		return nil, err
	}
	for i, m := range from.files {
		if now, err := from.entry(i).Stat(); err == nil && now == m.id {
			err = from.entry(i).Remove()
			if err != nil {
				return nil, imageError(im.ID, "removing the original files after copying them", err)
			}
		}
	}
	return moved, imageError(im.ID, "incoming", fsx.SyncDir(from.dir))
}

// copyInto copies the files of a set into a new folder, syncs it, and returns the identities of
// the copies.
func (s *Store) copyInto(ctx context.Context, from *set, part string) ([]fsx.Identity, error) {
	if err := s.removeFolder(part); err != nil {
		return nil, err
	}
	folder, err := s.newFolder(part)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if !fsx.TryLock(folder) {
		return nil, lease.ErrBusy
	}
	var ids []fsx.Identity
	for _, m := range from.files {
		f, _, err := copyTo(ctx, source.Entry{Dir: folder, Name: instanceName(m.uid)}, m.f, m.id, nil)
		if err != nil {
			return nil, err
		}
		err = f.Chmod(0o644)
		id, ierr := fsx.IdentifyFile(f)
		f.Close() // synced
		if err := errors.Join(err, ierr); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, fsx.SyncDir(folder)
}

// newFolder creates a folder and opens it. The error is [fs.ErrExist] if it is there.
func (s *Store) newFolder(at string) (*os.File, error) {
	e, err := NewEntryOf(s.Store, at)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	if err := unix.Mkdirat(int(e.Dir.Fd()), e.Name, 0o755); err != nil {
		return nil, err
	}
	return e.OpenFile(unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// renameFolder renames a folder to an unused name, and syncs both sides.
func (s *Store) renameFolder(at, to string) error {
	from, err := EntryOf(s.Store, at)
	if err != nil {
		return err
	}
	defer from.Close()
	e, err := NewEntryOf(s.Store, to)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := from.MoveTo(e); err != nil {
		return err
	}
	return source.SyncDirectories(e, from)
}

// removeFolder removes a folder of a series with its files, if it exists.
func (s *Store) removeFolder(at string) error {
	e, err := EntryOf(s.Store, at)
	if fsx.IsGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer e.Close()
	f, err := e.OpenFile(unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := f.Readdirnames(-1)
	for _, name := range list {
		err = errors.Join(err, source.Entry{Dir: f, Name: name}.Remove())
	}
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(int(e.Dir.Fd()), e.Name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return source.SyncDirectories(e)
}

// spread moves the files that an interrupted [Store.gather] has left in staging back to the
// folder in which they arrived, under unused names. If that folder has all files of the image,
// those in staging are copies. The caller holds the lease of the image.
func (s *Store) spread(im *catalog.Image) error {
	at := container(staged(im))
	if now, err := Stat(s.Store, im.Path); err == nil && now.Same(im.Identity) {
		return errors.Join(s.removeFolder(at), RemoveSidecar(s.Store, staged(im)))
	}
	inside, err := EntryOf(s.Store, path.Join(at, "file"))
	if err != nil {
		return imageError(im.ID, "staging", err)
	}
	defer inside.Close()
	to, err := NewEntryOf(s.Store, path.Join(container(im.Path), "file"))
	if err != nil {
		return imageError(im.ID, "incoming", DiskFull(err))
	}
	defer to.Close()
	list, err := inside.Dir.Readdirnames(-1)
	if err != nil {
		return imageError(im.ID, "staging", err)
	}
	for _, name := range list {
		if err := moveUnused(source.Entry{Dir: inside.Dir, Name: name}, to.Dir); err != nil {
			return imageError(im.ID, "moving files back to the incoming folder", err)
		}
	}
	if err := fsx.SyncDir(to.Dir); err != nil {
		return imageError(im.ID, "incoming", err)
	}
	return imageError(im.ID, "staging", errors.Join(s.removeFolder(at), RemoveSidecar(s.Store, staged(im))))
}

// maxUnused limits the names that are tried for a file.
const maxUnused = 1000

// moveUnused moves a file of a series into a folder, under its name or that with a number.
func moveUnused(from source.Entry, to *os.File) error {
	base := strings.TrimSuffix(from.Name, ".dcm")
	err := fs.ErrExist
	for n := 1; n <= maxUnused && errors.Is(err, fs.ErrExist); n++ {
		name := from.Name
		if n > 1 {
			name = fmt.Sprintf("%s-%d.dcm", base, n)
		}
		err = from.MoveTo(source.Entry{Dir: to, Name: name})
	}
	return err
}

// returnSeries moves the folder of a series back to the incoming folder, under an unused name,
// to be inspected again. It returns the new path.
func (s *Store) returnSeries(ctx context.Context, c *catalog.Catalog, im *catalog.Image) (string, error) {
	_, uid, _ := catalog.SplitSeries(im.Path)
	err := fs.ErrExist
	var to string
	for n := 1; n <= maxUnused && errors.Is(err, fs.ErrExist); n++ {
		name := uid
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		to = catalog.SeriesPath(Incoming+name, uid)
		err = s.moveToIncoming(ctx, c, im, to)
	}
	return to, err
}

// removeEmpty removes a folder that has no files, if it exists.
func (s *Store) removeEmpty(at string) error {
	e, err := EntryOf(s.Store, at)
	if err != nil {
		return err
	}
	defer e.Close()
	err = unix.Unlinkat(int(e.Dir.Fd()), e.Name, unix.AT_REMOVEDIR)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return source.SyncDirectories(e)
}
