package managed

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// stage moves the file from the incoming folder to staging, where other programs can't
// reach it. A file that has to be copied stays where it is.
func (m *importer) stage(ctx context.Context) error {
	if !m.src.ours() {
		return nil
	}
	to := staged(m.im)
	if err := WriteSidecar(m.s.Store, to, MovedFrom(m.im)); err != nil {
		return imageError(m.im.ID, "writing to staging", DiskFull(err))
	}
	staged, err := EntryOf(m.s.Store, to)
	if err != nil {
		return imageError(m.im.ID, "staging", err)
	}
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.src.same(); err != nil {
		staged.Close()
		return errors.Join(err, RemoveSidecar(m.s.Store, to))
	}
	from, err := m.src.moveTo(staged)
	if err != nil {
		staged.Close()
		if errors.Is(err, unix.EXDEV) {
			return nil
		}
		return imageError(m.im.ID, "moving the file to staging", err)
	}
	defer from.Close()
	if now, err := staged.Stat(); err != nil || now.Ino != m.src.found.Ino {
		return errors.Join(ErrReplaced, staged.MoveTo(from)) // another file came in between
	}
	if err := m.renamed(ctx, to); err != nil {
		return err
	}
	return imageError(m.im.ID, "staging", source.SyncDirectories(from, staged))
}

// renamed records that the file was renamed, which changes only its ctime. The caller
// holds the folder's lock: until the catalog is updated, requests for tiles of the
// image wait.
func (m *importer) renamed(ctx context.Context, to string) error {
	if err := m.src.renamed(); err != nil {
		return err
	}
	delete(m.s.Waiting.Files, m.im.Path)
	im, err := relocate(context.WithoutCancel(ctx), m.c, m.im, to, m.src.identity())
	if err != nil {
		return err
	}
	m.im = im
	return nil
}

// returnStaged moves a file that changed while in staging back to the incoming
// folder, to be inspected again.
func (m *importer) returnStaged(ctx context.Context) error {
	if m.src != nil {
		m.src.close() // unstage claims it
		m.src = nil
	}
	return m.s.unstage(context.WithoutCancel(ctx), m.c, m.im)
}

// unstage moves an image's file from staging back to the incoming folder. It is not an
// error if the file does not exist.
func (s *Store) unstage(ctx context.Context, c *catalog.Catalog, im *catalog.Image) error {
	at := staged(im)
	id, err := Stat(s.Store, at)
	if err != nil {
		return nil //nolint:nilerr // it is still in the incoming folder, and the next inspection finds it
	}
	if catalog.IsSeries(at) {
		if strings.HasPrefix(im.Path, Incoming) {
			return s.spread(im)
		}
		back := *im
		back.Path, back.Identity = at, id
		if _, err := s.returnSeries(ctx, c, &back); err != nil {
			return err
		}
		return imageError(im.ID, "staging", RemoveSidecar(s.Store, at))
	}
	back := []string{Incoming + im.ID + ".tiff"}
	if side, err := ReadSidecar(s.Store, at); err == nil && strings.HasPrefix(string(side.From), Incoming) {
		back = []string{string(side.From), back[0]}
	}
	moved := *im
	moved.Path, moved.Identity = at, id
	for _, to := range back {
		if err = s.moveToIncoming(ctx, c, &moved, to); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return imageError(im.ID, "staging", RemoveSidecar(s.Store, at))
}
