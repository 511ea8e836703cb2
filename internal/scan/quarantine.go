package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// maxName is the longest file name, in bytes, that common file systems allow.
const maxName = 255

// moveToQuarantine moves a file that has arrived and is not a slide into quarantine.
// The error is [ErrBusy] if another process works on it, or if it was replaced.
func (s *Syncer) moveToQuarantine(ctx context.Context, st *catalog.Store, image string) error {
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return err
	}
	defer release()
	im, err := c.Image(ctx, image)
	if err != nil {
		return err
	}
	rel, arrived := strings.CutPrefix(im.Path, managed.Incoming)
	if !arrived || im.State != catalog.Broken && im.State != catalog.Unsupported {
		return ErrBusy
	}
	side := managed.MovedFrom(im)
	side.Reason = im.Reason
	at := managed.Quarantine + quarantineName(im.ID, rel)
	id, err := s.moveFile(ctx, st, im, at, side)
	if err != nil {
		return err
	}
	fo := s.folder(st.ID)
	fo.waiting.Lock()
	defer fo.waiting.Unlock()
	delete(fo.waiting.Files, im.Path)
	_, err = relocate(ctx, c, im, at, id)
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

// moveFile moves the file of an image to an unused path of its store: by renaming it,
// or, on another file system, by copying and then removing it. A sidecar, if not nil,
// is written there first. It returns the identity of the file at its new path.
//
// The error is [ErrBusy] if another process works on the file or it was replaced, or
// [fs.ErrExist].
func (s *Syncer) moveFile(ctx context.Context, st *catalog.Store, im *catalog.Image, at string, side *managed.Sidecar) (fsx.Identity, error) {
	from, err := managed.EntryOf(st, im.Path)
	if err != nil {
		return fsx.Identity{}, gone(im.ID, err)
	}
	defer from.Close()
	f, err := from.Open()
	if err != nil {
		return fsx.Identity{}, gone(im.ID, err)
	}
	defer f.Close()
	id, err := fsx.IdentifyFile(f)
	if err != nil || !fsx.TryLock(f) || id.Size != im.Identity.Size || id.MTime != im.Identity.MTime {
		return fsx.Identity{}, ErrBusy
	}
	to, err := managed.NewEntryOf(st, at)
	if err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", managed.DiskFull(err))
	}
	defer to.Close()
	if side != nil {
		if err := managed.WriteSidecar(st, at, side); err != nil {
			return fsx.Identity{}, imageError(im.ID, "writing a sidecar", managed.DiskFull(err))
		}
	}
	if err = from.MoveTo(to); errors.Is(err, unix.EXDEV) {
		err = copyAway(ctx, from, f, id, to)
	}
	if err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", managed.DiskFull(err))
	}
	if err := source.SyncDirectories(to, from); err != nil {
		return fsx.Identity{}, imageError(im.ID, "moving the file", err)
	}
	now, err := to.Stat()
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
		return errors.Join(ErrBusy, part.Remove())
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

// Retry inspects the file of an image again that was broken or unsupported. In a
// managed store it is first moved from quarantine back to the incoming folder, under
// its own name. An available image is inspected too.
//
// The error is [ErrInTheWay] if another file has the name, [ErrBusy], [ErrFull],
// [ErrManyMissing] if its file and too many others are gone, [catalog.ErrNotFound], or
// one of the file system, the catalog or the context.
func (s *Syncer) Retry(ctx context.Context, image string) error {
	im, st, err := s.managedImage(ctx, image)
	if err != nil {
		return err
	}
	if im.DeletedAt != nil {
		return fmt.Errorf("%w: the image was deleted: restore it first", catalog.ErrNotFound)
	}
	path := im.Path
	if rest, ok := strings.CutPrefix(im.Path, managed.Quarantine); ok && st.Mode == catalog.Managed {
		if path, err = s.release(ctx, st, image, rest); err != nil {
			return err
		}
	}
	return s.inspectAgain(ctx, st, path)
}

// release moves a file from quarantine back to where it arrived, and returns its path
// there.
func (s *Syncer) release(ctx context.Context, st *catalog.Store, image, name string) (string, error) {
	ctx, c, release, err := s.leases().Take(ctx, "import "+image)
	if err != nil {
		return "", err
	}
	defer release()
	im, err := c.Image(ctx, image)
	if err != nil {
		return "", err
	}
	to := managed.Incoming + strings.TrimPrefix(name, image+"-")
	if side, err := managed.ReadSidecar(st, im.Path); err == nil && strings.HasPrefix(string(side.From), managed.Incoming) {
		to = string(side.From)
	}
	if now, err := managed.Stat(st, im.Path); err == nil {
		im.Identity = now // the file may have been repaired in place
	}
	err = s.moveToIncoming(ctx, c, st, im, to)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%w in the incoming folder: remove that file first", ErrInTheWay)
	}
	if err != nil {
		return "", err
	}
	return to, imageError(image, "quarantine", managed.RemoveSidecar(st, im.Path))
}

// moveToIncoming moves a file back to the incoming folder, to be inspected again. The
// error may be [fs.ErrExist].
func (s *Syncer) moveToIncoming(ctx context.Context, c *catalog.Catalog, st *catalog.Store, im *catalog.Image, to string) error {
	id, err := s.moveFile(ctx, st, im, to, nil)
	if err != nil {
		return err
	}
	now := s.now()
	fo := s.folder(st.ID)
	fo.waiting.Lock()
	defer fo.waiting.Unlock()
	_, err = c.UpdateImage(context.WithoutCancel(ctx), im.ID, func(im *catalog.Image) error {
		im.Path, im.Identity, im.Revision, im.Digest = to, id, id.Revision(), nil
		im.State, im.Reason = catalog.Arriving, "waiting to be inspected again"
		im.LastChange = now.UTC()
		return nil
	})
	if err == nil {
		fo.waiting.Files[to] = inspect.Observation{ID: id, Since: now, Again: now.Add(cmp.Or(s.Pause, DefaultPause))}
	}
	return err
}

// inspectAgain inspects one file, whatever its state in the catalog.
func (s *Syncer) inspectAgain(ctx context.Context, st *catalog.Store, path string) error {
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return err
	}
	defer p.dir.Close()
	if err := s.follow(ctx); err != nil {
		return err
	}
	if strings.HasPrefix(path, managed.Slides) && st.Mode == catalog.Managed {
		kept, closeRoot, err := p.slidesScan()
		if err != nil {
			return err
		}
		defer closeRoot()
		p = kept
	}
	id, err := p.stat(path)
	if fsx.IsGone(err) {
		return p.markOneMissing(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("the file cannot be inspected: %w", fsx.WithoutPath(err))
	}
	return p.inspectAll(ctx, []source.Item{{Path: path, Identity: id, Closed: p.prefix == managed.Slides}})
}
