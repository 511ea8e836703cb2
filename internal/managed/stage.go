package managed

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// stage moves the file from the incoming folder to staging, where other programs can't
// reach it. A file that has to be copied stays where it is.
func (m *importer) stage(ctx context.Context) error {
	if !m.ours() {
		return nil
	}
	to := Staging + m.im.ID + ".tiff"
	if err := WriteSidecar(m.s.Store, to, MovedFrom(m.im)); err != nil {
		return imageError(m.im.ID, "writing to staging", DiskFull(err))
	}
	staged, err := EntryOf(m.s.Store, to)
	if err != nil {
		return imageError(m.im.ID, "staging", err)
	}
	m.s.Waiting.Lock()
	defer m.s.Waiting.Unlock()
	if err := m.same(); err != nil {
		staged.Close()
		return errors.Join(err, RemoveSidecar(m.s.Store, to))
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
func (m *importer) ours() bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(m.f.Fd()), &st); err != nil || st.Nlink != 1 {
		return false
	}
	return os.Geteuid() == 0 || int(st.Uid) == os.Geteuid()
}

// renamed records that the file was renamed, which changes only its ctime. The caller
// holds the folder's lock: until the catalog is updated, requests for tiles of the
// image wait.
func (m *importer) renamed(ctx context.Context, to string) error {
	now, err := fsx.IdentifyFile(m.f)
	if err != nil {
		return imageError(m.im.ID, "reading the identity of the file", err)
	}
	if was := m.id; now.Ino != was.Ino || now.Size != was.Size || now.MTime != was.MTime {
		return ErrReplaced
	}
	delete(m.s.Waiting.Files, m.im.Path)
	im, err := relocate(context.WithoutCancel(ctx), m.c, m.im, to, now)
	if err != nil {
		return err
	}
	m.im, m.id = im, now
	return nil
}

// returnStaged moves a file that changed while in staging back to the incoming
// folder, to be inspected again.
func (m *importer) returnStaged(ctx context.Context) error {
	m.f.Close() // unstage claims it
	return m.s.unstage(context.WithoutCancel(ctx), m.c, m.im)
}

// unstage moves an image's file from staging back to the incoming folder. It is not an
// error if the file does not exist.
func (s *Store) unstage(ctx context.Context, c *catalog.Catalog, im *catalog.Image) error {
	at := Staging + im.ID + ".tiff"
	id, err := Stat(s.Store, at)
	if err != nil {
		return nil //nolint:nilerr // it is still in the incoming folder, and the next inspection finds it
	}
	back := []string{Incoming + im.ID + ".tiff"}
	if side, err := ReadSidecar(s.Store, at); err == nil && strings.HasPrefix(string(side.From), Incoming) {
		back = []string{string(side.From), back[0]}
	}
	staged := *im
	staged.Path, staged.Identity = at, id
	for _, to := range back {
		if err = s.moveToIncoming(ctx, c, &staged, to); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return imageError(im.ID, "staging", RemoveSidecar(s.Store, at))
}
