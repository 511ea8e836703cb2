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
// the SHA-256 of its bytes. The image keeps its id and its revision, and stays available
// meanwhile. Progress, if not nil, receives how many bytes have been read. Importing an
// image twice is not an error.
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
	if digest := DigestIn(im.Path); digest != "" && im.State != catalog.Missing {
		return Imported{Image: im.ID, Digest: digest}, nil
	}
	if catalog.IsSeries(im.Path) {
		return Imported{}, fmt.Errorf("%w: series of DICOM files stay in the incoming folder", ErrNotReady)
	}
	if im.State != catalog.Available || !strings.HasPrefix(im.Path, Incoming) && !strings.HasPrefix(im.Path, Staging) {
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

// An importer is one import in progress.
type importer struct {
	s        *Store
	c        *catalog.Catalog // writes under the lease
	im       *catalog.Image   // as last read or written
	progress func(done, total int64)

	src    source.Entry // where the file arrived, or in staging
	f      *os.File     // the claimed file at src
	id     fsx.Identity // of f
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
	if m.f != nil {
		m.f.Close() // only read
	}
	m.src.Close()
}

func (m *importer) run(ctx context.Context) (Imported, error) {
	if err := m.open(); err != nil {
		return Imported{}, err
	}
	digest := m.s.Received.takeDigest(m.id)
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

// open opens and claims the file, which must be the one that was inspected.
func (m *importer) open() (err error) {
	if m.src, err = EntryOf(m.s.Store, m.im.Path); err == nil {
		m.f, err = m.src.Open()
	}
	if fsx.IsGone(err) {
		return ErrReplaced
	}
	if err != nil {
		return imageError(m.im.ID, "opening the file", err)
	}
	if !fsx.TryLock(m.f) {
		return lease.ErrBusy
	}
	if m.id, err = fsx.IdentifyFile(m.f); err != nil || !m.id.Same(m.im.Identity) {
		return ErrReplaced
	}
	return nil
}

// same checks that the file is unchanged and still at its path.
func (m *importer) same() error {
	id, err := fsx.IdentifyFile(m.f)
	if err != nil || id != m.id {
		return ErrReplaced
	}
	if id, err = m.src.Stat(); err != nil || id != m.id {
		return ErrReplaced
	}
	return nil
}

// accept takes over the digest that the upload or the writer of the file computed. The file was the
// one that was received when it was opened, and is in staging since; that it was not
// written to in between is checked as for every file, by [importer.renamed] and
// [importer.same].
func (m *importer) accept(digest string) {
	if digest == "" || !strings.HasPrefix(m.im.Path, Staging) {
		return // a copy computes its own
	}
	m.digest, m.handed = digest, true
	if m.progress != nil {
		m.progress(m.id.Size, m.id.Size)
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
		return m.same()
	}
	if strings.HasPrefix(m.im.Path, Staging) {
		m.digest, err = fsx.SHA256(ctx, m.f, m.id.Size, m.progress)
	} else {
		if m.part, err = EntryOf(m.s.Store, Staging+m.im.ID+".part"); err != nil {
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
	if errors.Is(err, ErrReplaced) || errors.Is(err, ErrFull) || errors.Is(err, lease.ErrBusy) || ctx.Err() != nil {
		return err
	}
	return imageError(m.im.ID, "reading the file", err)
}
