package managed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// settle gives the file its name, or finds that the store already has the slide. The
// error is [ErrInTheWay] if settle has to be called again, because it has first recorded
// or moved another file with the name, or another process has.
func (m *importer) settle(ctx context.Context) (Imported, error) {
	done := Imported{Image: m.im.ID, Digest: m.digest}
	at := m.home()
	lock, err := m.lock(at)
	if err != nil {
		return done, imageError(m.im.ID, "slides", err)
	}
	defer lock.Close()
	first, err := m.c.Images.ByPath(ctx, m.s.ID, at)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		if _, err := Stat(m.s.Store, at); !fsx.IsGone(err) {
			return done, m.recordUnknown(ctx, at)
		}
		if m.im.State != catalog.Available && m.im.State != catalog.Arriving {
			return done, fmt.Errorf("%w: it is %s", ErrNotReady, m.im.State)
		}
		return done, m.place(ctx, at, m.im)
	case err != nil:
		return done, err
	case first.ID == m.im.ID:
		return done, nil
	case first.DeletedAt != nil:
		return done, errors.Join(ErrInTheWay, m.s.Trash(ctx, first.ID))
	}
	done.Image, done.Duplicate = first.ID, true
	if m.src.series != "" {
		return m.join(ctx, first)
	}
	return done, m.duplicate(ctx, first)
}

// home is the path of the imported slide.
func (m *importer) home() string {
	if m.src.series != "" {
		return SeriesPath(m.src.series)
	}
	return SlidePath(m.digest)
}

// lock keeps other imports of the same bytes out.
func (m *importer) lock(at string) (source.Entry, error) {
	s, err := NewEntryOf(m.s.Store, container(at))
	if err != nil {
		return s, DiskFull(err)
	}
	fsx.Lock(s.Dir) // without locks on the file system, the catalog decides
	return s, nil
}

// recordUnknown records a file below slides/ that the catalog does not know. On success
// it returns [ErrInTheWay], so that settle is called again.
func (m *importer) recordUnknown(ctx context.Context, at string) error {
	id, err := Stat(m.s.Store, at)
	if err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	if err := m.s.Record(ctx, m.c, at, id); err != nil {
		return err
	}
	if _, err := m.c.Images.ByPath(ctx, m.s.ID, at); err != nil {
		return imageError(m.im.ID, "an unknown file already has the name", fs.ErrExist)
	}
	return ErrInTheWay
}

// ourEntry is what is to get the name.
func (m *importer) ourEntry() source.Entry {
	if m.copied != nil {
		return m.part
	}
	return m.src.at
}

// sync syncs the file that is to get the name.
func (m *importer) sync() error {
	if m.copied != nil {
		return m.copied.Sync()
	}
	return m.src.sync()
}

// sidecar is the sidecar of the stored slide.
func (m *importer) sidecar(whose *catalog.Image) *Sidecar {
	side := SidecarOf(whose)
	if m.src.series != "" {
		side.Digest, side.Instances = m.digest, m.src.instances()
	}
	return side
}

// place gives the file its name below slides/, for its own image or for the image of
// the same bytes whose file is lost. Digest and sidecar are written first, so that a
// process that finds the file there can identify its image.
func (m *importer) place(ctx context.Context, at string, whose *catalog.Image) error {
	if whose == m.im {
		im, err := m.c.Images.Update(ctx, m.im.ID, func(im *catalog.Image) error {
			if im.Path != m.im.Path || !im.Identity.Same(m.im.Identity) {
				return ErrReplaced
			}
			im.Digest, im.VerifiedAt = &m.digest, m.verifiedAt()
			return nil
		})
		if err != nil {
			return err
		}
		m.im, whose = im, im
	}
	to, err := EntryOf(m.s.Store, container(at))
	if err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	if err := errors.Join(WriteSidecar(m.s.Store, at, m.sidecar(whose)), m.sync()); err != nil {
		to.Close()
		return imageError(m.im.ID, "writing the slide to disk", DiskFull(err))
	}
	if m.copied != nil {
		defer to.Close()
		err = m.placeCopy(ctx, to, at, whose)
	} else {
		err = m.placeFile(ctx, to, at, whose)
	}
	if err != nil {
		return err
	}
	return imageError(m.im.ID, "slides", errors.Join(syncParent(m.s.Store, at), RemoveSidecar(m.s.Store, staged(m.im))))
}

// syncParent syncs the directory of a path to disk.
func syncParent(st *catalog.Store, at string) error {
	s, err := EntryOf(st, path.Dir(container(at)))
	if err != nil {
		return err
	}
	defer s.Close()
	return source.SyncDirectories(s)
}

// placeFile renames the file out of staging, and takes to over. The catalog is updated before the
// directories are synced: if the rename is lost in a crash, the next scan finds the
// file in staging.
func (m *importer) placeFile(ctx context.Context, to source.Entry, at string, whose *catalog.Image) error {
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.src.same(); err != nil {
		to.Close()
		return err
	}
	if err := m.src.chmod(0o444); err != nil {
		to.Close()
		return imageError(m.im.ID, "making the slide read-only", err)
	}
	from, err := m.src.moveTo(to)
	if err != nil {
		to.Close()
		return m.nameError(err)
	}
	defer from.Close()
	if whose.ID != m.im.ID {
		err = m.src.renamed()
		if err == nil {
			err = m.replaceDamaged(ctx, whose, at, m.src.identity())
		}
	} else {
		err = m.renamed(ctx, at)
	}
	if err != nil {
		return err
	}
	return imageError(m.im.ID, "slides", source.SyncDirectories(to, from))
}

// placeCopy names the copy, syncs it, and then removes the original. The copy's digest
// has been verified, so the image has the same bytes and keeps its revision.
func (m *importer) placeCopy(ctx context.Context, to source.Entry, at string, whose *catalog.Image) error {
	if err := m.copied.Chmod(0o444); err != nil {
		return imageError(m.im.ID, "making the slide read-only", err)
	}
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.src.same(); err != nil {
		return errors.Join(err, m.part.Remove())
	}
	if err := m.part.MoveTo(to); err != nil {
		return m.nameError(err)
	}
	if err := errors.Join(source.SyncDirectories(to, m.part), syncParent(m.s.Store, at)); err != nil {
		return imageError(m.im.ID, "slides", err)
	}
	now, err := fsx.IdentifyFile(m.copied)
	if err != nil {
		return imageError(m.im.ID, "reading the identity of the copy", err)
	}
	if whose.ID != m.im.ID {
		return m.replaceDamaged(ctx, whose, at, now)
	}
	was := m.im
	delete(m.s.Waiting.Files, was.Path)
	if err := unlinkSame(m.s.Store, was.Path, was.Identity); err != nil {
		return imageError(m.im.ID, "removing the original file after copying it", err)
	}
	im, err := relocate(context.WithoutCancel(ctx), m.c, was, at, now)
	if err != nil {
		return err
	}
	m.im = im
	return nil
}

// nameError is the error of a failed rename.
func (m *importer) nameError(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return ErrInTheWay
	}
	return imageError(m.im.ID, "renaming the file", DiskFull(err))
}
