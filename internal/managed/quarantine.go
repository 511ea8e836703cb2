package managed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/lease"
)

// maxName is the longest file name, in bytes, that common file systems allow.
const maxName = 255

// Quarantine moves a file that has arrived and is not a slide into quarantine.
// The error is [lease.ErrBusy] if another process works on it, or if it was replaced.
func (s *Store) Quarantine(ctx context.Context, image string) error {
	ctx, c, release, err := s.lease(ctx, image)
	if err != nil {
		return err
	}
	defer release()
	im, err := c.Images.Get(ctx, image)
	if err != nil {
		return err
	}
	series := catalog.IsSeries(im.Path)
	arrived := strings.HasPrefix(im.Path, Incoming) || series && strings.HasPrefix(im.Path, Staging)
	if !arrived || im.State != catalog.Broken && im.State != catalog.Unsupported {
		return lease.ErrBusy
	}
	if series && strings.HasPrefix(im.Path, Incoming) {
		if im, err = s.gather(ctx, c, im); errors.Is(err, ErrReplaced) {
			return lease.ErrBusy
		} else if err != nil {
			return err
		}
	}
	return s.quarantine(ctx, c, im)
}

// quarantine moves the file of a broken or unsupported image, or the folder of a series, to
// quarantine.
func (s *Store) quarantine(ctx context.Context, c *catalog.Catalog, im *catalog.Image) error {
	side := MovedFrom(im)
	side.Reason = im.Reason
	at := Quarantine + quarantineName(im.ID, im.Path)
	if _, uid, ok := catalog.SplitSeries(im.Path); ok {
		at = catalog.SeriesPath(Quarantine+quarantineName(im.ID, uid)+seriesSuffix, uid)
	}
	id, err := moveFile(ctx, s.Store, im, at, side)
	if err != nil {
		return err
	}
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	delete(s.Waiting.Files, im.Path)
	if _, err = relocate(ctx, c, im, at, id); err == nil && strings.HasPrefix(im.Path, Staging) {
		err = imageError(im.ID, "staging", RemoveSidecar(s.Store, im.Path))
	}
	if err == nil && im.State == catalog.Unsupported && s.Unsupported != nil {
		s.Unsupported(im.ID)
	}
	return err
}

// quarantineName is the name of a file in quarantine, with as much of its own name as
// fits.
func quarantineName(image, rel string) string {
	name := rel[strings.LastIndexByte(rel, '/')+1:]
	if over := len(image) + 1 + len(name) - maxName; over > 0 {
		name = name[over:]
		for len(name) > 0 && !utf8.RuneStart(name[0]) {
			name = name[1:]
		}
	}
	return image + "-" + name
}

// Release moves an image's file from quarantine back to where it arrived, and returns its path
// there.
func (s *Store) Release(ctx context.Context, image string) (string, error) {
	ctx, c, release, err := s.lease(ctx, image)
	if err != nil {
		return "", err
	}
	defer release()
	im, err := c.Images.Get(ctx, image)
	if err != nil {
		return "", err
	}
	name, ok := strings.CutPrefix(im.Path, Quarantine)
	if !ok {
		return im.Path, nil // another process has released it
	}
	to := Incoming + strings.TrimPrefix(name, image+"-")
	if side, err := ReadSidecar(s.Store, im.Path); err == nil && strings.HasPrefix(string(side.From), Incoming) {
		to = string(side.From)
	}
	if now, err := Stat(s.Store, im.Path); err == nil {
		im.Identity = now // the file may have been repaired in place
	}
	if catalog.IsSeries(im.Path) {
		if to, err = s.returnSeries(ctx, c, im); err != nil {
			return "", err
		}
		return to, imageError(image, "quarantine", RemoveSidecar(s.Store, im.Path))
	}
	err = s.moveToIncoming(ctx, c, im, to)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%w in the incoming folder: remove that file first", ErrInTheWay)
	}
	if err != nil {
		return "", err
	}
	return to, imageError(image, "quarantine", RemoveSidecar(s.Store, im.Path))
}

// moveToIncoming moves a file back to the incoming folder, to be inspected again. The
// error may be [fs.ErrExist].
func (s *Store) moveToIncoming(ctx context.Context, c *catalog.Catalog, im *catalog.Image, to string) error {
	id, err := moveFile(ctx, s.Store, im, to, nil)
	if err != nil {
		return err
	}
	now := s.Now()
	s.Waiting.Lock()
	defer s.Waiting.Unlock()
	_, err = c.Images.Update(context.WithoutCancel(ctx), im.ID, func(im *catalog.Image) error {
		im.Path, im.Identity, im.Revision, im.Digest = to, id, id.Revision(), nil
		im.State, im.Reason = catalog.Arriving, "waiting to be inspected again"
		im.LastChange = now.UTC()
		return nil
	})
	if err == nil {
		s.Waiting.Files[to] = inspect.Observation{ID: id, Since: now, Again: now.Add(s.Pause)}
	}
	return err
}
