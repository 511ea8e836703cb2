package managed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// An Imported is the result of an import. It holds no file name.
type Imported struct {
	Image  string `json:"image"` // id of the image that now holds these bytes
	Digest string `json:"digest"`
	// Duplicate reports that the store already had the slide as Image. The imported image
	// has been removed, and its file is in the trash.
	Duplicate bool `json:"duplicate"`
}

// Import moves the file of an image from the incoming folder to its final path, named by
// the SHA-256 of its bytes, or the files of a DICOM series to their folder. The image keeps
// its id and its revision, and stays available meanwhile. Progress, if not nil, receives how
// many bytes have been read. Importing an image twice is not an error.
//
// Further files of a series that the store has join it, also if they are no slide by
// themselves: see [importer.join].
//
// A crash at any moment loses nothing: the next scan resumes the import. The error is
// [ErrNotReady], [ErrReplaced], [lease.ErrBusy], [ErrFull], [catalog.ErrNotFound], or
// one of the file system, the catalog or the context.
func (s *Store) Import(ctx context.Context, image string, progress func(done, total int64)) (Imported, error) {
	ctx, c, release, err := s.lease(ctx, image)
	if err != nil {
		return Imported{}, err
	}
	defer release()
	im, err := c.Images.Get(ctx, image)
	if err != nil {
		return Imported{}, err
	}
	if Stored(im.Path) && im.State != catalog.Missing {
		done := Imported{Image: im.ID, Digest: DigestIn(im.Path)}
		if im.Digest != nil {
			done.Digest = *im.Digest
		}
		return done, nil
	}
	if !importable(im) || !strings.HasPrefix(im.Path, Incoming) && !strings.HasPrefix(im.Path, Staging) {
		return Imported{}, fmt.Errorf("%w: it is %s", ErrNotReady, im.State)
	}
	m := &importer{s: s, c: c, im: im, progress: progress}
	defer m.close()
	r, err := m.run(ctx)
	if errors.Is(err, ErrReplaced) {
		err = errors.Join(err, m.returnStaged(ctx))
	}
	return r, err
}

// importable reports whether an image can be imported. Files that are no slide may be further
// ones of a series. A series that another process inspected while it was gathered may seem to be
// arriving: it is inspected again when it is stored.
func importable(im *catalog.Image) bool {
	switch im.State {
	case catalog.Available:
		return true
	case catalog.Broken, catalog.Unsupported:
		return catalog.IsSeries(im.Path)
	case catalog.Arriving:
		return catalog.IsSeries(im.Path) && strings.HasPrefix(im.Path, Staging)
	}
	return false
}

// An importer is one import in progress.
type importer struct {
	s        *Store
	c        *catalog.Catalog // writes under the lease
	im       *catalog.Image   // as last read or written
	progress func(done, total int64)

	src    *set         // where the file arrived, or in staging
	part   source.Entry // its copy in staging, if it can't be renamed
	copied *os.File     // the open copy; nil if the file is renamed
	digest string
	handed bool // the digest is the upload's: the bytes have not been read from the disk
}

func (m *importer) close() {
	if m.copied != nil {
		m.copied.Close() // synced before it was named
	}
	m.part.Close()
	if m.src != nil {
		m.src.close()
	}
}

func (m *importer) run(ctx context.Context) (Imported, error) {
	if err := m.mayBegin(ctx); err != nil {
		return Imported{}, err
	}
	if catalog.IsSeries(m.im.Path) && strings.HasPrefix(m.im.Path, Incoming) {
		im, err := m.s.gather(ctx, m.c, m.im)
		if err != nil {
			return Imported{}, err
		}
		m.im = im
	}
	if err := m.open(); err != nil {
		return Imported{}, err
	}
	digest := m.s.Received.takeDigest(m.src.found)
	if strings.HasPrefix(m.im.Path, Incoming) {
		if err := m.stage(ctx); err != nil {
			return Imported{}, err
		}
	}
	m.accept(digest)
	if err := m.read(ctx); err != nil {
		return Imported{}, err
	}
	for range 10 {
		r, err := m.settle(ctx)
		if !errors.Is(err, ErrInTheWay) {
			return r, err
		}
	}
	return Imported{}, imageError(m.im.ID, "renaming the file", ErrInTheWay)
}

// mayBegin returns [ErrNotReady] for files that are no slide, unless they may join one.
func (m *importer) mayBegin(ctx context.Context) error {
	_, uid, ok := catalog.SplitSeries(m.im.Path)
	if !ok || m.im.State == catalog.Available || m.im.State == catalog.Arriving {
		return nil
	}
	first, err := m.c.Images.ByPath(ctx, m.s.ID, SeriesPath(uid))
	if errors.Is(err, catalog.ErrNotFound) || err == nil && first.DeletedAt != nil {
		return fmt.Errorf("%w: it is %s", ErrNotReady, m.im.State)
	}
	return err
}

// open opens and claims the file, which must be the one that was inspected.
func (m *importer) open() (err error) {
	m.src, err = openSet(m.s.Store, m.im)
	switch {
	case fsx.IsGone(err):
		return ErrReplaced
	case errors.Is(err, lease.ErrBusy), errors.Is(err, ErrReplaced):
		return err
	case err != nil:
		return imageError(m.im.ID, "opening the file", err)
	case !m.src.found.Same(m.im.Identity):
		return ErrReplaced
	}
	return nil
}

// accept takes over the digest that the upload or the writer of the file computed. The file was the
// one that was received when it was opened, and is in staging since; that it was not
// written to in between is checked as for every file, by [set.renamed] and [set.same].
func (m *importer) accept(digest string) {
	if digest == "" || !strings.HasPrefix(m.im.Path, Staging) {
		return // a copy computes its own
	}
	m.digest, m.handed = digest, true
	if m.progress != nil {
		m.progress(m.src.found.Size, m.src.found.Size)
	}
}

// verifiedAt is when the bytes of the file were last read and matched the digest: now,
// or never. Files that were never read are the first that are verified.
func (m *importer) verifiedAt() *time.Time {
	if m.handed {
		return nil
	}
	now := m.s.Now().UTC()
	return &now
}

// read reads the file to compute its digest, and copies it if it can't be renamed.
func (m *importer) read(ctx context.Context) (err error) {
	if m.handed {
		return m.src.same()
	}
	if strings.HasPrefix(m.im.Path, Staging) {
		m.digest, err = m.src.hash(ctx, m.progress)
	} else {
		if m.part, err = EntryOf(m.s.Store, Staging+m.im.ID+".part"); err != nil {
			return imageError(m.im.ID, "staging", err)
		}
		m.copied, m.digest, err = copyTo(ctx, m.part, m.src.files[0].f, m.src.found, m.progress)
	}
	if err == nil {
		err = m.src.same()
	}
	if err == nil {
		return nil
	}
	if m.copied != nil {
		err = errors.Join(err, m.part.Remove())
	}
	if errors.Is(err, ErrReplaced) || errors.Is(err, ErrFull) || errors.Is(err, lease.ErrBusy) || ctx.Err() != nil {
		return err
	}
	return imageError(m.im.ID, "reading the file", err)
}
