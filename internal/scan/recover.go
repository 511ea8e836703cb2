package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// managed scans the folders of a managed store: it resumes interrupted operations,
// checks stored slides, inspects the incoming folder, and quarantines files that are
// not slides.
func (p *scan) managed(ctx context.Context) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	if err := p.recoverAll(ctx); err != nil {
		return err
	}
	kept, closeRoot, err := p.slidesScan()
	if err != nil {
		return err
	}
	defer closeRoot()
	absent, err := kept.scanPart(ctx)
	if err != nil {
		return err
	}
	arrived, err := p.scanPart(ctx)
	if err != nil {
		return err
	}
	if p.o.Wait {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	absent = p.notMoved(append(absent, arrived...))
	absent = append(absent, p.lost()...)
	if err := p.refuse(len(absent)); err != nil {
		return err
	}
	if err := p.markMissing(ctx, absent); err != nil {
		return err
	}
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	if err := p.dispatchAll(ctx); err != nil || p.o.DryRun {
		return err
	}
	return p.writeSidecars(ctx)
}

// fewNews is how many images are queried one by one rather than all at once.
const fewNews = 500

// writeSidecars updates the sidecars of slides whose annotations have changed.
func (p *scan) writeSidecars(ctx context.Context) error {
	changedSlides := p.s.mirror.takeChanged(p.store.ID)
	if len(changedSlides) > fewNews {
		return p.c.EachImage(ctx, p.store.ID, func(im *catalog.Image) error {
			if changedSlides[im.ID] {
				p.writeOne(im)
			}
			return ctx.Err()
		})
	}
	for id, there := range changedSlides {
		if !there {
			continue
		}
		im, err := p.c.Image(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.writeOne(im)
	}
	return nil
}

// writeOne updates one sidecar.
func (p *scan) writeOne(im *catalog.Image) {
	if managed.DigestIn(im.Path) == "" || im.DeletedAt != nil {
		return
	}
	now := managed.SidecarOf(im)
	if old, err := managed.ReadSidecar(p.store, im.Path); err == nil && old.Same(now) {
		return
	}
	if err := managed.WriteSidecar(p.store, im.Path, now); err != nil {
		p.result.fail(im.ID, imageError(im.ID, "writing a sidecar", managed.DiskFull(err)).Error())
	}
}

// slidesScan returns a scan of the stored slides. They were settled before they were
// imported, so a damaged one is broken, not arriving.
func (p *scan) slidesScan() (*scan, func(), error) {
	sub := *p
	sub.prefix, sub.enter = managed.Slides, nil
	sub.settlePolicy = inspect.Policy{Settle: math.MinInt64}
	var err error
	if sub.dir, err = source.OpenDirectory(p.store.File(managed.Slides), managed.Slides, source.NewFilter([]string{"*.tiff"}, nil)); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	return &sub, func() { sub.dir.Close() }, nil
}

// scanPart scans one of the folders, and returns the known paths that were not found.
func (p *scan) scanPart(ctx context.Context) ([]string, error) {
	var files []source.Item
	o := source.ListOptions{Enter: p.enter, Item: func(f source.Item) {
		if p.prefix == managed.Incoming || managed.DigestIn(f.Path) != "" {
			f.Closed = f.Closed || p.prefix == managed.Slides
			files = append(files, f)
		}
	}}
	if p.prefix != managed.Slides {
		o.Refused = func(ino uint64, what string) {
			p.result.fail("", fmt.Sprintf("inode %d in the incoming folder is %s: only regular files are imported; put the slide itself there", ino, what))
		}
	}
	w, err := p.dir.List(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	p.result.Links += w.Links
	p.failUnreadable(w)
	left := p.known()
	if err := p.inspectAll(ctx, p.due(files, left)); err != nil {
		return nil, err
	}
	absent := p.absent(left, w)
	if p.prefix == managed.Incoming && len(absent) > 0 && !p.o.Confirm {
		if id, err := managed.Marked(p.dir.Location()); err != nil || id != p.store.ID {
			p.result.fail("", "the incoming folder has no file "+managed.MarkerName+" of this store: is a disk not mounted? None of its slides was marked missing")
			return nil, nil
		}
	}
	return absent, nil
}

// lost returns the paths outside of the two folders whose files are gone.
func (p *scan) lost() []string {
	var list []string
	for path, e := range p.s.mirror.files(p.store.ID) {
		if strings.HasPrefix(path, managed.Incoming) || strings.HasPrefix(path, managed.Slides) || !e.counts() {
			continue
		}
		if _, err := p.stat(path); fsx.IsGone(err) && !p.taken[path] {
			list = append(list, path)
		}
	}
	return list
}

// examine inspects a file. A file that is stored under its digest and was written to
// must still have that digest.
func (p *scan) examine(ctx context.Context, f source.Item) inspect.Inspection {
	l := inspect.File(ctx, p.dir, f.Path)
	e, known := p.s.mirror.file(p.store.ID, f.Path)
	if p.prefix != managed.Slides || !known || l.Kind != inspect.Complete || e.id.Size == l.Identity.Size && e.id.MTime == l.Identity.MTime {
		return l
	}
	file, err := p.dir.Open(f.Path)
	if err != nil {
		return inspect.ReadError(err)
	}
	defer file.Close()
	digest, err := fsx.SHA256(ctx, file, l.Identity.Size, nil)
	if err != nil {
		return inspect.ReadError(err)
	}
	if id, err := file.Current(); err != nil || id != l.Identity {
		return inspect.Inspection{Kind: inspect.Changing, Reason: "the file was written to while it was read", Identity: id}
	}
	if digest != managed.DigestIn(f.Path) {
		l.Kind, l.Slide, l.Reason = inspect.Damaged, nil, notItself
	}
	return l
}

// notItself is the reason for a slide whose bytes have changed since its import.
const notItself = "the bytes of the file have changed since it was stored (its SHA-256 differs): restore it from a backup"

// imageOfSlide returns the image of a file below slides/ whose path the catalog does
// not know: the image that its sidecar names, if that has no other file.
func (p *scan) imageOfSlide(ctx context.Context, l *inspected) (*catalog.Image, error) {
	digest := managed.DigestIn(l.Path)
	side, err := managed.ReadSidecar(p.store, l.Path)
	if err == nil {
		old, err := p.byID(ctx, side.ID)
		switch {
		case err != nil:
			return nil, err
		case old == nil:
			return side.Image(p.store.ID), nil
		}
		if ok, err := p.belongsTo(ctx, old, digest); ok || err != nil {
			return old, err
		}
	}
	old, err := p.renamed(ctx, l)
	if err != nil || old.Path != "" && old.DeletedAt == nil && (old.Digest == nil || *old.Digest == digest) {
		return old, err
	}
	fresh := &catalog.Image{ID: catalog.NewID(), StoreID: p.store.ID}
	fresh.FileName = path.Base(l.Path)
	if side != nil {
		fresh = side.Image(p.store.ID)
		fresh.ID = catalog.NewID()
	}
	return fresh, nil
}

// belongsTo reports whether a file that was found under its digest belongs to the
// image: the image has no other file, or only the original of this copy, which is then
// removed.
func (p *scan) belongsTo(ctx context.Context, im *catalog.Image, digest string) (bool, error) {
	if im.StoreID != p.store.ID || im.Digest != nil && *im.Digest != digest {
		return false, nil
	}
	id, err := p.stat(im.Path)
	if !fsx.IsGone(err) {
		if err != nil || im.Digest == nil || !strings.HasPrefix(im.Path, managed.Incoming) || !id.Same(im.Identity) {
			return false, nil
		}
		if !p.o.DryRun {
			if err := p.unlink(im.Path, im.Identity); err != nil {
				return false, imageError(im.ID, "removing the file it was copied from", err)
			}
		}
	}
	p.taken[im.Path] = true
	delete(p.waiting.Files, im.Path)
	if im.DeletedAt == nil || p.o.DryRun {
		return true, nil
	}
	im.DeletedAt = nil // it was being restored from the trash
	return true, p.c.RestoreImage(ctx, im.ID)
}

// unlink removes a file of the incoming folder, if it is still the inspected one.
func (p *scan) unlink(path string, id fsx.Identity) error { return unlinkSame(p.store, path, id) }

func unlinkSame(st *catalog.Store, path string, id fsx.Identity) error {
	s, err := managed.EntryOf(st, path)
	if fsx.IsGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if now, err := s.Stat(); err != nil || !now.Same(id) {
		return nil //nolint:nilerr // gone or replaced: not ours to remove
	}
	return errors.Join(s.Remove(), source.SyncDirectories(s))
}

// byID returns an image, which may be deleted; nil if it does not exist.
func (p *scan) byID(ctx context.Context, id string) (*catalog.Image, error) {
	return anyImage(ctx, p.c, id)
}

// errUnchanged ends an update that changes nothing.
var errUnchanged = errors.New("nothing to change")

// anyImage returns an image, which may be deleted; nil if it does not exist.
func anyImage(ctx context.Context, c *catalog.Catalog, id string) (*catalog.Image, error) {
	im, err := c.AnyImage(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	return im, err
}

// findMoved updates an image with the path that its file was moved to, and reports
// whether the file exists. The caller holds the folder's lock.
func (p *scan) findMoved(ctx context.Context, im *catalog.Image) (bool, error) {
	for _, to := range p.otherPaths(im) {
		id, err := p.stat(to)
		if err != nil || to == im.Path || id.Size != im.Identity.Size || id.MTime != im.Identity.MTime {
			continue
		}
		if p.o.DryRun {
			return true, nil
		}
		_, err = relocate(ctx, p.c, im, to, id)
		return true, err
	}
	side := p.inTrash(im.ID)
	if side != nil && side.DuplicateOf != "" && im.DeletedAt == nil && !p.o.DryRun {
		return true, p.c.DropImages(ctx, im.ID)
	}
	return false, nil
}

// otherPaths are the paths at which an interrupted operation may have left the file of
// an image.
func (p *scan) otherPaths(im *catalog.Image) []string {
	list := []string{managed.Staging + im.ID + ".tiff"}
	if im.Digest != nil && len(*im.Digest) == 64 {
		list = append(list, managed.SlidePath(*im.Digest))
	}
	for _, dir := range []string{managed.Quarantine, managed.Trash} {
		for _, name := range p.names(dir) {
			if imageIn(dir+name) == im.ID && (dir == managed.Quarantine || im.DeletedAt != nil) {
				list = append(list, dir+name)
			}
		}
	}
	return list
}

// inTrash returns the sidecar of an image in the trash, nil if it has none.
func (p *scan) inTrash(image string) *managed.Sidecar {
	for _, name := range p.names(managed.Trash) {
		if imageIn(managed.Trash+name) == image {
			side, err := managed.ReadSidecar(p.store, managed.Trash+name)
			if err == nil {
				return side
			}
		}
	}
	return nil
}

// names returns the names in one of the folders of the root.
func (p *scan) names(dir string) []string {
	f, err := fsx.OpenFolder(p.store.File(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1) // the next scan reads the rest
	return list
}

// imageIn returns the id of the image whose file is at a path in staging, quarantine or
// trash, "" if the path is not that of an image.
func imageIn(path string) string {
	dir, name, _ := strings.Cut(path, "/")
	if strings.HasSuffix(name, ".json") && dir+"/" != managed.Quarantine {
		return ""
	}
	switch dir + "/" {
	case managed.Staging:
		id, ok := strings.CutSuffix(name, ".tiff")
		return only(ok, id)
	case managed.Quarantine:
		id, _, ok := strings.Cut(name, "-")
		return only(ok, id)
	case managed.Trash:
		_, rest, ok := stamped(name)
		id, tiff := strings.CutSuffix(rest, ".tiff")
		return only(ok && tiff, id)
	}
	return ""
}

func only(ok bool, s string) string {
	if !ok || strings.HasPrefix(s, ".") {
		return ""
	}
	return s
}

// relocate records that the file of an image is at another path. The revision changes
// only if the file was written to. The image may be deleted.
func relocate(ctx context.Context, c *catalog.Catalog, im *catalog.Image, to string, id fsx.Identity) (*catalog.Image, error) {
	return c.UpdateImage(ctx, im.ID, func(now *catalog.Image) error {
		if now.Path != im.Path && now.Path != to {
			return fmt.Errorf("%w: image %s was moved by another", ErrBusy, im.ID)
		}
		if now.Identity.Size != id.Size || now.Identity.MTime != id.MTime {
			now.Revision = id.Revision() // it was not only moved
		}
		now.Path, now.Identity = to, id
		now.MissingSince, now.HiddenAt = nil, nil
		switch {
		case strings.HasPrefix(to, managed.Quarantine):
			now.State = catalog.Quarantined
		case now.State == catalog.Missing:
			now.State, now.Reason = catalog.Available, ""
		}
		return nil
	})
}

// dispatchAll dispatches all files that have arrived, interrupted imports first.
func (p *scan) dispatchAll(ctx context.Context) error {
	files := p.s.mirror.files(p.store.ID)
	maps.DeleteFunc(files, func(at string, _ entry) bool {
		return !strings.HasPrefix(at, managed.Incoming) && !strings.HasPrefix(at, managed.Staging)
	})
	paths := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return strings.Compare(b, a) })
	for _, at := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.dispatch(ctx, at, files[at])
	}
	return ctx.Err()
}

// dispatch imports an arrived slide, and moves other arrived files to quarantine.
func (p *scan) dispatch(ctx context.Context, at string, e entry) {
	arrived, begun := strings.HasPrefix(at, managed.Incoming), strings.HasPrefix(at, managed.Staging)
	switch {
	case e.deleted || !arrived && !begun:
	case e.state == catalog.Available:
		p.startImport(ctx, e.image, begun)
	case (e.state == catalog.Broken || e.state == catalog.Unsupported) && arrived && e.id.CTime != 0: // without a ctime it could not be read
		p.quarantine(ctx, at, e)
	}
}

// startImport imports an image, or passes it to Arrived.
func (p *scan) startImport(ctx context.Context, image string, begun bool) {
	switch {
	case p.o.DryRun && (begun || p.o.Import):
		p.result.Imported++
	case p.o.DryRun:
	case p.o.Import || begun && p.s.Arrived == nil:
		_, err := p.s.importImage(ctx, p.store, image, nil)
		switch {
		case err == nil:
			p.result.Imported++
		case !errors.Is(err, ErrBusy) && ctx.Err() == nil:
			p.result.fail(image, err.Error())
		}
	case p.s.Arrived != nil:
		p.s.Arrived(image)
	}
}

// quarantine moves an image to quarantine, and records a failure in the result. A file
// that another process still has open, such as an upload that is about to end, is
// inspected again.
func (p *scan) quarantine(ctx context.Context, at string, e entry) {
	if p.o.DryRun {
		p.result.Quarantined++
		return
	}
	err := p.s.moveToQuarantine(ctx, p.store, e.image)
	switch {
	case err == nil:
		p.result.Quarantined++
	case errors.Is(err, ErrBusy):
		now := p.s.now()
		p.waiting.Lock()
		p.waiting.Files[at] = inspect.Observation{ID: e.id, Since: now.Add(-p.settlePolicy.Settle), Closed: true, Again: now.Add(p.settlePolicy.Pause)}
		p.waiting.Unlock()
	case ctx.Err() == nil:
		p.result.fail(e.image, err.Error())
	}
}

// recoverAll resumes interrupted operations in staging, quarantine and trash.
func (p *scan) recoverAll(ctx context.Context) error {
	for _, dir := range []string{managed.Staging, managed.Quarantine, managed.Trash} {
		for _, name := range p.names(dir) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := p.recoverFile(ctx, dir+name); err != nil {
				return err
			}
		}
	}
	for _, im := range p.written { // after they were staged
		if err := p.s.unstage(ctx, p.c, p.store, im); err != nil && !errors.Is(err, ErrBusy) {
			p.result.fail(im.ID, err.Error())
		}
	}
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	for at, e := range p.s.mirror.files(p.store.ID) {
		if !e.deleted || strings.HasPrefix(at, managed.Trash) || p.o.DryRun {
			continue
		}
		if err := p.s.moveToTrash(ctx, p.store, e.image); err != nil && !errors.Is(err, ErrBusy) {
			p.result.fail(e.image, err.Error())
		}
	}
	return p.s.follow(ctx)
}

// recoverFile resumes the interrupted operation on one file.
func (p *scan) recoverFile(ctx context.Context, at string) error {
	id := imageIn(at)
	if id == "" {
		p.sweep(at)
		return nil
	}
	if e, ok := p.s.mirror.file(p.store.ID, at); ok && e.image == id {
		return nil
	}
	now, err := p.stat(at)
	if err != nil {
		return nil //nolint:nilerr // removed since, or not a file
	}
	p.waiting.Lock()
	defer p.waiting.Unlock()
	if !p.s.mirror.knows(id) {
		return p.restoreImage(ctx, id, at, now)
	}
	im, err := p.byID(ctx, id)
	if err != nil || im == nil {
		return err
	}
	if im.StoreID != p.store.ID || im.Path == at {
		return nil
	}
	return p.moved(ctx, im, at, now)
}

// moved updates an image whose file was moved or copied to a path by an interrupted
// operation.
func (p *scan) moved(ctx context.Context, im *catalog.Image, at string, now fsx.Identity) error {
	if strings.HasPrefix(at, managed.Trash) && im.DeletedAt == nil {
		return nil // a duplicate: see retrace
	}
	there, err := p.stat(im.Path)
	switch {
	case fsx.IsGone(err):
	case err == nil && strings.HasPrefix(im.Path, managed.Incoming) && there.Same(im.Identity) && now.Size == there.Size && now.MTime == there.MTime:
		if p.o.DryRun {
			return nil
		}
		if err := p.unlink(im.Path, im.Identity); err != nil {
			return imageError(im.ID, "removing the file it was copied from", err)
		}
	default:
		return nil
	}
	if p.o.DryRun {
		return nil
	}
	if now.Size != im.Identity.Size || now.MTime != im.Identity.MTime {
		if strings.HasPrefix(at, managed.Staging) && im.DeletedAt == nil {
			p.written = append(p.written, im)
		}
		return nil
	}
	_, err = relocate(ctx, p.c, im, at, now)
	return err
}

// restoreImage records a file that the catalog does not know, from its sidecar.
func (p *scan) restoreImage(ctx context.Context, id, at string, now fsx.Identity) error {
	side, err := managed.ReadSidecar(p.store, at)
	if errors.Is(err, fs.ErrNotExist) {
		side, err = &managed.Sidecar{ID: id}, nil
		side.FileName = inspect.FileName(at)
	}
	if err != nil || side.ID != id || side.DuplicateOf != "" {
		return nil //nolint:nilerr // a file without a readable sidecar stays where it is
	}
	if there, err := p.byID(ctx, id); err != nil || there != nil {
		return err // it was recorded after the mirror was updated
	}
	root, err := source.OpenDirectory(p.store.Root, "", source.Filter{})
	if err != nil {
		return fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	defer root.Close()
	inspection := inspect.File(ctx, root, at)
	if inspection.Kind == inspect.Gone || inspection.Kind == inspect.Skipped || inspection.Kind == inspect.Changing || !inspection.Identity.Same(now) {
		return nil
	}
	im := side.Image(p.store.ID)
	inspect.Update(im, at, &inspection, inspect.Verdict{State: catalog.Available, Observation: inspect.Observation{Since: p.s.now()}})
	im.FileName = side.FileName
	if side.Digest != "" {
		im.Digest = &side.Digest
	}
	switch {
	case strings.HasPrefix(at, managed.Quarantine):
		im.State, im.Reason = catalog.Quarantined, cmp.Or(side.Reason, inspection.Reason)
	case inspection.Kind != inspect.Complete:
		im.State, im.Reason = catalog.Broken, inspection.Reason
	}
	p.result.Added++
	if p.o.DryRun {
		return nil
	}
	if err := p.c.PutImages(ctx, []*catalog.Image{im}); err != nil {
		return err
	}
	if strings.HasPrefix(at, managed.Trash) {
		return p.c.DeleteImage(ctx, im.ID)
	}
	return nil
}

// sweepAfter is the age after which a small file counts as left behind by an
// interrupted operation.
const sweepAfter = time.Minute

// sweep removes what an interrupted import left behind: a copy, a sidecar without its
// file, or part of one.
func (p *scan) sweep(at string) {
	name, staged := strings.CutPrefix(at, managed.Staging)
	hidden := strings.HasPrefix(path.Base(at), ".")
	part, isPart := strings.CutSuffix(name, ".part")
	side, isSide := strings.CutSuffix(name, ".json")
	if p.o.DryRun || !hidden && !(staged && (isPart || isSide)) {
		return
	}
	s, err := managed.EntryOf(p.store, at)
	if err != nil {
		return
	}
	defer s.Close()
	f, err := s.Open()
	if err != nil {
		return
	}
	defer f.Close()
	switch {
	case isPart && !hidden || strings.HasPrefix(path.Base(at), partPrefix):
		if !fsx.TryLock(f) {
			return
		}
	case isSide && !hidden:
		if p.working(side) {
			return
		}
	default:
		if st, err := f.Stat(); err != nil || time.Since(st.ModTime()).Abs() < sweepAfter {
			return
		}
	}
	if err := s.Remove(); err != nil {
		p.result.fail(part, imageError(part, "removing the rest of an interrupted import", err).Error())
	}
}

// working reports whether the import that wrote a sidecar to staging is still running,
// or has its file there.
func (p *scan) working(id string) bool {
	if _, err := p.stat(managed.Staging + id + ".tiff"); !fsx.IsGone(err) {
		return true
	}
	at, ok := p.s.mirror.place(id)
	if !ok || at.store != p.store.ID || !strings.HasPrefix(at.path, managed.Incoming) {
		return false
	}
	s, err := managed.EntryOf(p.store, at.path)
	if err != nil {
		return !fsx.IsGone(err)
	}
	defer s.Close()
	f, err := s.Open()
	if err != nil {
		return false
	}
	defer f.Close()
	return !fsx.TryLock(f)
}
