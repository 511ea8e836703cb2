package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

var (
	// ErrNotReady: the image has not arrived completely.
	ErrNotReady = errors.New("the image is not waiting to be imported")
	// ErrReplaced: the file changed since its inspection. It is inspected again.
	ErrReplaced = errors.New("the file was changed or replaced since it was inspected: it will be inspected again")
	// ErrInTheWay: another file has the name that the file should get.
	ErrInTheWay = errors.New("another file has the name")
)

// An Imported is the result of an import. It holds no file name.
type Imported struct {
	Image  string `json:"image"` // id of the image that now holds these bytes
	Digest string `json:"digest"`
	// Duplicate reports that the store already had the slide as Image. The imported image
	// has been removed, and its file is in the trash.
	Duplicate bool `json:"duplicate"`
}

// Import moves the file of an image of a managed store from the incoming folder to its
// final path, named by the SHA-256 of its bytes. The image keeps its id and its
// revision, and stays available meanwhile. Progress, if not nil, receives how many
// bytes have been read. Importing an image twice is not an error.
//
// A crash at any moment loses nothing: the next scan resumes the import. The error is
// [ErrNotReady], [ErrReplaced], [ErrBusy], [ErrFull], [catalog.ErrNotFound], or one of
// the file system, the catalog or the context.
func (s *Syncer) Import(ctx context.Context, image string, progress func(done, total int64)) (Imported, error) {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return Imported{}, err
	}
	return s.importImage(ctx, st, im.ID, progress)
}

// managedImage returns an image, which may be deleted, and its store, after checking
// that the store's folder is present.
func (s *Syncer) managedImage(ctx context.Context, id string) (*catalog.Image, *catalog.Store, error) {
	im, err := anyImage(ctx, s.Catalog, id)
	if err != nil {
		return nil, nil, err
	}
	if im == nil {
		return nil, nil, fmt.Errorf("%w: no such image", catalog.ErrNotFound)
	}
	st, err := s.Catalog.Store(ctx, im.StoreID)
	if err != nil {
		return nil, nil, err
	}
	if st.Mode == catalog.Managed {
		err = managed.CheckMarker(st)
	}
	return im, st, err
}

// A move is an import in progress.
type move struct {
	s        *Syncer
	c        *catalog.Catalog
	st       *catalog.Store
	fo       *folder
	im       *catalog.Image // as last read or written
	progress meterFunc

	src    source.Entry // where the file arrived, or in staging
	f      *os.File     // the claimed file at src
	id     fsx.Identity // of f
	part   source.Entry // its copy in staging, if it can't be renamed
	copied *os.File     // the open copy; nil if the file is renamed
	digest string
}

func (s *Syncer) importImage(ctx context.Context, st *catalog.Store, image string, progress meterFunc) (Imported, error) {
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return Imported{}, err
	}
	defer release()
	im, err := c.Image(ctx, image)
	if err != nil {
		return Imported{}, err
	}
	if digest := managed.DigestIn(im.Path); digest != "" && im.State != catalog.Missing {
		return Imported{Image: im.ID, Digest: digest}, nil
	}
	if im.State != catalog.Available || !strings.HasPrefix(im.Path, managed.Incoming) && !strings.HasPrefix(im.Path, managed.Staging) {
		return Imported{}, fmt.Errorf("%w: it is %s", ErrNotReady, im.State)
	}
	m := &move{s: s, c: c, st: st, fo: s.folder(st.ID), im: im, progress: progress}
	defer m.close()
	r, err := m.run(ctx)
	if errors.Is(err, ErrReplaced) {
		err = errors.Join(err, m.returnStaged(ctx))
	}
	return r, err
}

func (m *move) close() {
	if m.copied != nil {
		m.copied.Close() // synced before it was named
	}
	m.part.Close()
	if m.f != nil {
		m.f.Close() // only read
	}
	m.src.Close()
}

func (m *move) run(ctx context.Context) (Imported, error) {
	if err := m.open(); err != nil {
		return Imported{}, err
	}
	if strings.HasPrefix(m.im.Path, managed.Incoming) {
		if err := m.stage(ctx); err != nil {
			return Imported{}, err
		}
	}
	if err := m.read(ctx); err != nil {
		return Imported{}, err
	}
	for range 10 {
		r, err := m.settle(ctx)
		if !errors.Is(err, ErrInTheWay) {
			return r, err
		}
	}
	return Imported{}, imageError(m.im.ID, "giving the file its name", ErrInTheWay)
}

// open opens and claims the file, which must be the one that was inspected.
func (m *move) open() (err error) {
	if m.src, err = managed.EntryOf(m.st, m.im.Path); err == nil {
		m.f, err = m.src.Open()
	}
	if fsx.IsGone(err) {
		return ErrReplaced
	}
	if err != nil {
		return imageError(m.im.ID, "opening the file", err)
	}
	if !fsx.TryLock(m.f) {
		return ErrBusy
	}
	if m.id, err = fsx.IdentifyFile(m.f); err != nil || !m.id.Same(m.im.Identity) {
		return ErrReplaced
	}
	return nil
}

// same checks that the file is unchanged and still at its path.
func (m *move) same() error {
	id, err := fsx.IdentifyFile(m.f)
	if err != nil || id != m.id {
		return ErrReplaced
	}
	if id, err = m.src.Stat(); err != nil || id != m.id {
		return ErrReplaced
	}
	return nil
}

// stage moves the file from the incoming folder to staging, where other programs can't
// reach it. A file that has to be copied stays where it is.
func (m *move) stage(ctx context.Context) error {
	if !m.ours() {
		return nil
	}
	to := managed.Staging + m.im.ID + ".tiff"
	if err := managed.WriteSidecar(m.st, to, managed.MovedFrom(m.im)); err != nil {
		return imageError(m.im.ID, "writing to staging", managed.DiskFull(err))
	}
	staged, err := managed.EntryOf(m.st, to)
	if err != nil {
		return imageError(m.im.ID, "staging", err)
	}
	m.fo.waiting.Lock()
	defer m.fo.waiting.Unlock()
	if err := m.same(); err != nil {
		staged.Close()
		return errors.Join(err, managed.RemoveSidecar(m.st, to))
	}
	if err := m.src.MoveTo(staged); err != nil {
		staged.Close()
		if errors.Is(err, unix.EXDEV) {
			return nil
		}
		return imageError(m.im.ID, "moving the file to staging", err)
	}
	from := m.src
	defer from.Close()
	m.src = staged
	if now, err := staged.Stat(); err != nil || now.Ino != m.id.Ino {
		return errors.Join(ErrReplaced, staged.MoveTo(from)) // another file came in between
	}
	if err := m.renamed(ctx, to); err != nil {
		return err
	}
	return imageError(m.im.ID, "staging", source.SyncDirectories(from, staged))
}

// ours reports whether the file can be renamed: it has no other name through which it
// could be written to, and this process may change its mode.
func (m *move) ours() bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(m.f.Fd()), &st); err != nil || st.Nlink != 1 {
		return false
	}
	return os.Geteuid() == 0 || int(st.Uid) == os.Geteuid()
}

// renamed records that the file was renamed, which changes only its ctime. The caller
// holds the folder's lock: until the catalog is updated, requests for tiles of the
// image are answered with 503.
func (m *move) renamed(ctx context.Context, to string) error {
	now, err := fsx.IdentifyFile(m.f)
	if err != nil {
		return imageError(m.im.ID, "reading the identity of the file", err)
	}
	if was := m.id; now.Ino != was.Ino || now.Size != was.Size || now.MTime != was.MTime {
		return ErrReplaced
	}
	delete(m.fo.waiting.Files, m.im.Path)
	im, err := relocate(context.WithoutCancel(ctx), m.c, m.im, to, now)
	if err != nil {
		return err
	}
	m.im, m.id = im, now
	return nil
}

// read reads the file to compute its digest, and copies it if it can't be renamed.
func (m *move) read(ctx context.Context) (err error) {
	if strings.HasPrefix(m.im.Path, managed.Staging) {
		m.digest, err = fsx.SHA256(ctx, m.f, m.id.Size, m.progress)
	} else {
		if m.part, err = managed.EntryOf(m.st, managed.Staging+m.im.ID+".part"); err != nil {
			return imageError(m.im.ID, "staging", err)
		}
		m.copied, m.digest, err = copyTo(ctx, m.part, m.f, m.id, m.progress)
	}
	if err == nil {
		err = m.same()
	}
	if err == nil {
		return nil
	}
	if m.copied != nil {
		err = errors.Join(err, m.part.Remove())
	}
	if errors.Is(err, ErrReplaced) || errors.Is(err, ErrFull) || errors.Is(err, ErrBusy) || ctx.Err() != nil {
		return err
	}
	return imageError(m.im.ID, "reading the file", err)
}

// settle gives the file its name, or finds that the store already has the slide. The
// error is [ErrInTheWay] if settle has to be called again, because it has first recorded
// or moved another file with the name, or another process has.
func (m *move) settle(ctx context.Context) (Imported, error) {
	done := Imported{Image: m.im.ID, Digest: m.digest}
	at := managed.SlidePath(m.digest)
	lock, err := m.lock(at)
	if err != nil {
		return done, imageError(m.im.ID, "slides", err)
	}
	defer lock.Close()
	first, err := m.c.ImageByPath(ctx, m.st.ID, at)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		if _, err := managed.Stat(m.st, at); !fsx.IsGone(err) {
			return done, m.recordUnknown(ctx, at)
		}
		return done, m.place(ctx, at, m.im)
	case err != nil:
		return done, err
	case first.ID == m.im.ID:
		return done, nil
	case first.DeletedAt != nil:
		return done, errors.Join(ErrInTheWay, m.s.moveToTrash(ctx, m.st, first.ID))
	}
	done.Image, done.Duplicate = first.ID, true
	return done, m.duplicate(ctx, first)
}

// lock keeps other imports of the same bytes out.
func (m *move) lock(at string) (source.Entry, error) {
	s, err := managed.NewEntryOf(m.st, at)
	if err != nil {
		return s, managed.DiskFull(err)
	}
	fsx.Lock(s.Dir) // without locks on the file system, the catalog decides
	return s, nil
}

// recordUnknown records a file below slides/ that the catalog does not know. On success
// it returns [ErrInTheWay], so that settle is called again.
func (m *move) recordUnknown(ctx context.Context, at string) error {
	id, err := managed.Stat(m.st, at)
	if err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	p, err := m.s.begin(m.st, m.fo, Options{})
	if err != nil {
		return err
	}
	defer p.dir.Close()
	p.c = m.c
	kept, closeRoot, err := p.slidesScan()
	if err != nil {
		return err
	}
	defer closeRoot()
	if err := kept.inspectAll(ctx, []source.Item{{Path: at, Identity: id, Closed: true}}); err != nil {
		return err
	}
	if _, err := m.c.ImageByPath(ctx, m.st.ID, at); err != nil {
		return imageError(m.im.ID, "an unknown file has the name", fs.ErrExist)
	}
	return ErrInTheWay
}

// ourFile is the file that is to get the name, and where it is now.
func (m *move) ourFile() (*os.File, source.Entry) {
	if m.copied != nil {
		return m.copied, m.part
	}
	return m.f, m.src
}

// place gives the file its name below slides/, for its own image or for the image of
// the same bytes whose file is lost. Digest and sidecar are written first, so that a
// process that finds the file there can identify its image.
func (m *move) place(ctx context.Context, at string, whose *catalog.Image) error {
	now := m.s.now().UTC()
	if whose == m.im {
		im, err := m.c.UpdateImage(ctx, m.im.ID, func(im *catalog.Image) error {
			if im.Path != m.im.Path || !im.Identity.Same(m.im.Identity) {
				return ErrReplaced
			}
			im.Digest, im.VerifiedAt = &m.digest, &now
			return nil
		})
		if err != nil {
			return err
		}
		m.im, whose = im, im
	}
	f, from := m.ourFile()
	to, err := managed.EntryOf(m.st, at)
	if err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	defer to.Close()
	if err := errors.Join(managed.WriteSidecar(m.st, at, managed.SidecarOf(whose)), f.Sync()); err != nil {
		return imageError(m.im.ID, "writing the slide to disk", managed.DiskFull(err))
	}
	if m.copied != nil {
		err = m.placeCopy(ctx, to, at, whose)
	} else {
		err = m.placeFile(ctx, to, at, whose)
	}
	if err != nil {
		return err
	}
	return imageError(m.im.ID, "slides", errors.Join(source.SyncDirectories(to, from), syncParent(m.st, at), managed.RemoveSidecar(m.st, managed.Staging+m.im.ID+".tiff")))
}

// syncParent syncs the directory of a path to disk.
func syncParent(st *catalog.Store, at string) error {
	s, err := managed.EntryOf(st, path.Dir(at))
	if err != nil {
		return err
	}
	defer s.Close()
	return source.SyncDirectories(s)
}

// placeFile renames the file out of staging. The catalog is updated before the
// directories are synced: if the rename is lost in a crash, the next scan finds the
// file in staging.
func (m *move) placeFile(ctx context.Context, to source.Entry, at string, whose *catalog.Image) error {
	m.fo.waiting.Lock()
	defer m.fo.waiting.Unlock()
	if err := m.same(); err != nil {
		return err
	}
	if err := m.f.Chmod(0o444); err != nil {
		return imageError(m.im.ID, "making the slide read-only", err)
	}
	if err := m.src.MoveTo(to); err != nil {
		return m.nameError(err)
	}
	if whose.ID != m.im.ID {
		return m.replaceDamaged(ctx, whose, at, m.f)
	}
	return m.renamed(ctx, at)
}

// placeCopy names the copy, syncs it, and then removes the original. The copy's digest
// has been verified, so the image has the same bytes and keeps its revision.
func (m *move) placeCopy(ctx context.Context, to source.Entry, at string, whose *catalog.Image) error {
	if err := m.copied.Chmod(0o444); err != nil {
		return imageError(m.im.ID, "making the slide read-only", err)
	}
	m.fo.waiting.Lock()
	defer m.fo.waiting.Unlock()
	if err := m.same(); err != nil {
		return errors.Join(err, m.part.Remove())
	}
	if err := m.part.MoveTo(to); err != nil {
		return m.nameError(err)
	}
	if err := errors.Join(source.SyncDirectories(to, m.part), syncParent(m.st, at)); err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	if whose.ID != m.im.ID {
		return m.replaceDamaged(ctx, whose, at, m.copied)
	}
	now, err := fsx.IdentifyFile(m.copied)
	if err != nil {
		return imageError(m.im.ID, "reading the identity of the copy", err)
	}
	was := m.im
	delete(m.fo.waiting.Files, was.Path)
	if err := unlinkSame(m.st, was.Path, was.Identity); err != nil {
		return imageError(m.im.ID, "removing the file it was copied from", err)
	}
	im, err := relocate(context.WithoutCancel(ctx), m.c, was, at, now)
	if err != nil {
		return err
	}
	m.im = im
	return nil
}

// nameError is the error of a failed rename.
func (m *move) nameError(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return ErrInTheWay
	}
	return imageError(m.im.ID, "giving the file its name", managed.DiskFull(err))
}

// duplicate adds the file's name as an alias to the image that the store has of these
// bytes, after verifying that image's file, and moves the new file to the trash. If the
// existing file is damaged, the new file replaces it.
func (m *move) duplicate(ctx context.Context, first *catalog.Image) error {
	at := first.Path
	whole, err := m.verified(ctx, at)
	if err != nil {
		return err
	}
	first, err = m.c.UpdateImage(ctx, first.ID, func(im *catalog.Image) error {
		im.Aliases = mergedAliases(im, m.im)
		if now := m.s.now().UTC(); whole {
			im.VerifiedAt = &now
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !whole {
		if err := m.clear(at, first.ID); err != nil {
			return err
		}
		return m.place(ctx, at, first)
	}
	if err := managed.WriteSidecar(m.st, at, managed.SidecarOf(first)); err != nil {
		return imageError(m.im.ID, "writing a sidecar", managed.DiskFull(err))
	}
	return m.drop(ctx, first.ID)
}

// mergedAliases are the aliases of an image and the names of another.
func mergedAliases(im, other *catalog.Image) []string {
	list := im.Aliases
	for _, n := range append([]string{other.FileName}, other.Aliases...) {
		if n != im.FileName && !slices.Contains(list, n) {
			list = append(slices.Clip(list), n)
		}
	}
	return list
}

// verified reports whether the file at a path has the digest in its name. The error is
// that of reading the file.
func (m *move) verified(ctx context.Context, at string) (bool, error) {
	s, err := managed.EntryOf(m.st, at)
	if err != nil {
		return false, imageError(m.im.ID, "slides", err)
	}
	defer s.Close()
	f, err := s.Open()
	if fsx.IsGone(err) {
		return false, nil
	}
	if err != nil {
		return false, imageError(m.im.ID, "opening the slide of the same bytes", err)
	}
	defer f.Close()
	before, err := fsx.IdentifyFile(f)
	if err != nil {
		return false, nil //nolint:nilerr // not a regular file
	}
	digest, err := fsx.SHA256(ctx, f, before.Size, m.progress)
	if err != nil {
		return false, imageError(m.im.ID, "reading the slide of the same bytes", err)
	}
	after, err := fsx.IdentifyFile(f)
	if err != nil || after != before {
		return false, imageError(m.im.ID, "reading the slide of the same bytes", ErrReplaced)
	}
	return digest == m.digest, nil
}

// clear moves a damaged slide to the trash.
func (m *move) clear(at, image string) error {
	from, err := managed.EntryOf(m.st, at)
	if err != nil {
		return imageError(image, "slides", err)
	}
	defer from.Close()
	to, err := managed.EntryOf(m.st, managed.Trash+m.s.now().UTC().Format(stamp)+"-"+image+".damaged")
	if err != nil {
		return imageError(image, "trash", err)
	}
	defer to.Close()
	if err := from.MoveTo(to); err != nil && !fsx.IsGone(err) {
		return imageError(image, "putting a damaged slide into the trash", err)
	}
	return imageError(image, "trash", source.SyncDirectories(to, from))
}

// replaceDamaged makes the file that of an image whose own was lost or damaged, and
// drops the image that it arrived as.
func (m *move) replaceDamaged(ctx context.Context, first *catalog.Image, at string, f *os.File) error {
	ctx = context.WithoutCancel(ctx)
	id, err := fsx.IdentifyFile(f)
	if err != nil {
		return imageError(first.ID, "reading the identity of the file", err)
	}
	delete(m.fo.waiting.Files, m.im.Path)
	now := m.s.now().UTC()
	_, err = m.c.UpdateImage(ctx, first.ID, func(im *catalog.Image) error {
		im.State, im.Reason, im.MissingSince, im.HiddenAt = catalog.Available, "", nil, nil
		im.Path, im.Identity, im.Revision = at, id, id.Revision()
		im.Digest, im.VerifiedAt = &m.digest, &now
		im.DamagedAt, im.Damage = nil, ""
		return nil
	})
	if err != nil {
		return err
	}
	if m.copied != nil {
		if err := unlinkSame(m.st, m.im.Path, m.im.Identity); err != nil {
			return imageError(m.im.ID, "removing the file it was copied from", err)
		}
	}
	return m.c.DropImages(ctx, m.im.ID)
}

// drop moves a duplicate to the trash and removes its image from the catalog.
func (m *move) drop(ctx context.Context, first string) error {
	ctx = context.WithoutCancel(ctx)
	side := managed.MovedFrom(m.im)
	side.DuplicateOf, side.Digest = first, m.digest
	at := managed.Trash + m.s.now().UTC().Format(stamp) + "-" + m.im.ID + ".tiff"
	if err := managed.WriteSidecar(m.st, at, side); err != nil {
		return imageError(m.im.ID, "trash", managed.DiskFull(err))
	}
	to, err := managed.EntryOf(m.st, at)
	if err != nil {
		return imageError(m.im.ID, "trash", err)
	}
	defer to.Close()
	_, from := m.ourFile()
	m.fo.waiting.Lock()
	defer m.fo.waiting.Unlock()
	if err := m.same(); err != nil {
		return err
	}
	if err := from.MoveTo(to); err != nil {
		return imageError(m.im.ID, "putting the second copy into the trash", err)
	}
	if err := source.SyncDirectories(to, from); err != nil {
		return imageError(m.im.ID, "trash", err)
	}
	if m.copied != nil {
		if err := unlinkSame(m.st, m.im.Path, m.im.Identity); err != nil {
			return imageError(m.im.ID, "removing the file it was copied from", err)
		}
	}
	delete(m.fo.waiting.Files, m.im.Path)
	if err := m.c.DropImages(ctx, m.im.ID); err != nil {
		return err
	}
	return imageError(m.im.ID, "staging", managed.RemoveSidecar(m.st, managed.Staging+m.im.ID+".tiff"))
}

// returnStaged moves a file that was written to while in staging back to the incoming
// folder, to be inspected again.
func (m *move) returnStaged(ctx context.Context) error {
	m.f.Close() // unstage claims it
	return m.s.unstage(context.WithoutCancel(ctx), m.c, m.st, m.im)
}

// unstage moves an image's file from staging back to the incoming folder. It is not an
// error if there is no such file.
func (s *Syncer) unstage(ctx context.Context, c *catalog.Catalog, st *catalog.Store, im *catalog.Image) error {
	at := managed.Staging + im.ID + ".tiff"
	id, err := managed.Stat(st, at)
	if err != nil {
		return nil //nolint:nilerr // it is still in the incoming folder, and the next inspection finds it
	}
	back := []string{managed.Incoming + im.ID + ".tiff"}
	if side, err := managed.ReadSidecar(st, at); err == nil && strings.HasPrefix(string(side.From), managed.Incoming) {
		back = []string{string(side.From), back[0]}
	}
	staged := *im
	staged.Path, staged.Identity = at, id
	for _, to := range back {
		if err = s.moveToIncoming(ctx, c, st, &staged, to); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return imageError(im.ID, "staging", managed.RemoveSidecar(st, at))
}
