package managed

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// An Adoption describes how the image of another store gets a file in a managed store.
type Adoption struct {
	// Write writes the complete file, and returns its SHA-256. The file is empty, and its
	// name is not that of a slide until Write has returned.
	Write func(ctx context.Context, im *catalog.Image, f *os.File) (digest string, err error)
	// Change, if not nil, changes the image in the transaction that moves it to the store.
	Change func(im *catalog.Image) error
}

// ErrNotThere: the image is in neither of the two stores.
var ErrNotThere = errors.New("the image is not in the store")

// Adopt moves an image of the store from into s, with a new file. The image keeps its id and
// what people have set. The file is written to staging, as if an import had been interrupted
// there; the image then belongs to s, and [Store.Import] moves the file to its place. If the
// image is in s already, nothing is done.
//
// A crash at any moment loses nothing: the image is in one store or in the other, with its
// file. The next scan removes files that remain in staging, or the next call replaces them.
// The error is [lease.ErrBusy], [ErrNotThere], [ErrFull], [catalog.ErrNotFound], that of
// Write or of Change, or one of the file system, the catalog or the context.
func (s *Store) Adopt(ctx context.Context, image, from string, a Adoption) error {
	ctx, c, release, err := s.lease(ctx, image)
	if err != nil {
		return err
	}
	defer release()
	im, err := c.Images.Get(ctx, image)
	if err != nil || im.StoreID == s.ID {
		return err
	}
	if im.StoreID != from {
		return ErrNotThere
	}
	at := Staging + im.ID + ".tiff"
	part, err := NewEntryOf(s.Store, Staging+im.ID+".part")
	if err != nil {
		return imageError(im.ID, "staging", DiskFull(err))
	}
	defer part.Close()
	to, err := EntryOf(s.Store, at)
	if err != nil {
		return imageError(im.ID, "staging", err)
	}
	defer to.Close()
	f, err := newPart(part)
	if err != nil {
		return imageError(im.ID, "staging", err)
	}
	defer f.Close() // the lock is held until the image is in the catalog
	digest, err := a.Write(ctx, im, f)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, part.Remove())
	}
	if err := s.name(part, to, f); err != nil {
		return errors.Join(imageError(im.ID, "writing the slide to disk", DiskFull(err)), part.Remove())
	}
	// After an error the file stays: the catalog may have stored the change nevertheless.
	moved, err := s.record(ctx, c, im, at, f, digest, a)
	if err != nil {
		return err
	}
	return imageError(im.ID, "writing a sidecar", DiskFull(WriteSidecar(s.Store, at, MovedFrom(moved))))
}

// newPart creates and locks a file in staging. That of an interrupted adoption is replaced.
func newPart(part source.Entry) (*os.File, error) {
	if err := part.Remove(); err != nil {
		return nil, err
	}
	f, err := part.OpenFile(unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, DiskFull(err)
	}
	if !fsx.TryLock(f) {
		f.Close()
		return nil, lease.ErrBusy
	}
	return f, nil
}

// name gives a complete file its name in staging.
func (s *Store) name(part, to source.Entry, f *os.File) error {
	if err := f.Chmod(0o444); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := to.Remove(); err != nil { // of an interrupted adoption
		return err
	}
	if err := part.MoveTo(to); err != nil {
		return err
	}
	return source.SyncDirectories(to)
}

// record moves the image to the store, in one transaction.
func (s *Store) record(ctx context.Context, c *catalog.Catalog, im *catalog.Image, at string, f *os.File, digest string, a Adoption) (*catalog.Image, error) {
	id, err := fsx.IdentifyFile(f)
	if err != nil {
		return nil, imageError(im.ID, "reading the identity of the file", err)
	}
	dir, err := source.OpenDirectory(s.Root, "", source.Filter{})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", source.ErrNoRoot, inspect.ReadError(err).Reason)
	}
	defer dir.Close()
	found := inspect.File(ctx, dir, at)
	if found.Kind != inspect.Complete || !found.Identity.Same(id) {
		return nil, fmt.Errorf("image %s: the written slide is not complete: %s", im.ID, found.Reason)
	}
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	s.Received.Put(id, digest, found)
	return c.Images.Pack(context.WithoutCancel(ctx), im.ID, s.ID, func(now *catalog.Image) error {
		if now.StoreID != im.StoreID || now.Path != im.Path || now.DeletedAt != nil {
			return fmt.Errorf("%w: image %s was moved by another", lease.ErrBusy, im.ID)
		}
		name, since := now.FileName, now.FirstSeen
		inspect.Update(now, at, &found, inspect.Verdict{State: catalog.Available, Observation: inspect.Observation{Since: s.Now()}})
		now.FileName, now.FirstSeen, now.Digest = name, since, &digest
		if a.Change != nil {
			return a.Change(now)
		}
		return nil
	})
}
