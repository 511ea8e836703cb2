package ingest

import (
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
	"github.com/slideatlas/ptiffstore/internal/source"
)

// managed goes through the folders of a managed store: what was begun and not ended,
// what is kept, what has arrived, and what of that is no slide.
func (p *pass) managed(ctx context.Context) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	if err := p.leftovers(ctx); err != nil {
		return err
	}
	kept, closeRoot, err := p.ofSlides()
	if err != nil {
		return err
	}
	defer closeRoot()
	absent, err := kept.area(ctx)
	if err != nil {
		return err
	}
	arrived, err := p.area(ctx)
	if err != nil {
		return err
	}
	if p.o.Wait {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	absent = p.untaken(append(absent, arrived...))
	absent = append(absent, p.lost()...)
	if err := p.refuse(len(absent)); err != nil {
		return err
	}
	if err := p.miss(ctx, absent); err != nil {
		return err
	}
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	if err := p.handAll(ctx); err != nil || p.o.DryRun {
		return err
	}
	return p.writeSidecars(ctx)
}

// fewNews is how many images are asked for one by one rather than all at once.
const fewNews = 500

// writeSidecars brings the sidecars of slides up to what people have said of them
// since.
func (p *pass) writeSidecars(ctx context.Context) error {
	news := p.s.mirror.takeNews(p.store.ID)
	if len(news) > fewNews {
		return p.c.EachImage(ctx, p.store.ID, func(im *catalog.Image) error {
			if news[im.ID] {
				p.writeOne(im)
			}
			return ctx.Err()
		})
	}
	for id, there := range news {
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

// writeOne brings one sidecar up to date.
func (p *pass) writeOne(im *catalog.Image) {
	if digestIn(im.Path) == "" || im.DeletedAt != nil {
		return
	}
	now := sidecarOf(im)
	if old, err := readSidecar(p.store, im.Path); err == nil && old.same(now) {
		return
	}
	if err := writeSidecar(p.store, im.Path, now); err != nil {
		p.result.fail(im.ID, trouble(im.ID, "writing a sidecar", full(err)).Error())
	}
}

// ofSlides returns a pass over the slides that are kept. They were settled when they
// came: what is wrong with them now is no matter of time.
func (p *pass) ofSlides() (*pass, func(), error) {
	sub := *p
	sub.prefix, sub.enter = slides, nil
	sub.patience = patience{settle: math.MinInt64}
	var err error
	if sub.dir, err = source.OpenDirectory(p.store.File(slides), slides, source.NewFilter([]string{"*.tiff"}, nil)); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	return &sub, func() { sub.dir.Close() }, nil
}

// area goes through one of the folders, and returns what is there no more.
func (p *pass) area(ctx context.Context) ([]string, error) {
	var files []source.Item
	o := source.ListOptions{Enter: p.enter, Item: func(f source.Item) {
		if p.prefix == incoming || digestIn(f.Path) != "" {
			f.Closed = f.Closed || p.prefix == slides
			files = append(files, f)
		}
	}}
	if p.prefix != slides {
		o.Refused = func(ino uint64, what string) {
			p.result.fail("", fmt.Sprintf("inode %d in the incoming folder is %s: only regular files are taken, put the slide itself there", ino, what))
		}
	}
	w, err := p.dir.List(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	p.result.Links += w.Links
	p.failUnreadable(w)
	left := p.known()
	if err := p.look(ctx, p.due(files, left)); err != nil {
		return nil, err
	}
	absent := p.absent(left, w)
	if p.prefix == incoming && len(absent) > 0 && !p.o.Confirm {
		if id, err := Marked(p.dir.Location()); err != nil || id != p.store.ID {
			p.result.fail("", "the incoming folder has no file "+markerName+" of this store: is a disk not mounted? Nothing of it was marked missing")
			return nil, nil
		}
	}
	return absent, nil
}

// lost returns the paths outside of the two folders whose files are gone.
func (p *pass) lost() []string {
	var list []string
	for path, e := range p.s.mirror.files(p.store.ID) {
		if strings.HasPrefix(path, incoming) || strings.HasPrefix(path, slides) || !e.counts() {
			continue
		}
		if _, err := p.stat(path); fsx.IsGone(err) && !p.taken[path] {
			list = append(list, path)
		}
	}
	return list
}

// examine looks at a file. One that is kept under its digest and was written to must
// still have it.
func (p *pass) examine(ctx context.Context, f source.Item) Finding {
	l := Look(ctx, p.dir, f.Path)
	e, known := p.s.mirror.file(p.store.ID, f.Path)
	if p.prefix != slides || !known || l.Kind != Whole || e.id.Size == l.Identity.Size && e.id.MTime == l.Identity.MTime {
		return l
	}
	file, err := p.dir.Open(f.Path)
	if err != nil {
		return unreadable(err)
	}
	defer file.Close()
	digest, err := fsx.SHA256(ctx, file, l.Identity.Size, nil)
	if err != nil {
		return unreadable(err)
	}
	if id, err := file.Current(); err != nil || id != l.Identity {
		return Finding{Kind: Changing, Reason: "it was written to while it was read", Identity: id}
	}
	if digest != digestIn(f.Path) {
		l.Kind, l.Slide, l.Reason = Wrong, nil, notItself
	}
	return l
}

// notItself is the reason of a slide whose bytes are others than when it came.
const notItself = "its bytes are not those that it was stored with (its SHA-256 differs): bring it back from a backup"

// adopted returns the image of a file below slides/ that the catalog does not know
// there: the one its sidecar names, if that has no other file.
func (p *pass) adopted(ctx context.Context, l *looked) (*catalog.Image, error) {
	digest := digestIn(l.Path)
	side, err := readSidecar(p.store, l.Path)
	if err == nil {
		old, err := p.byID(ctx, side.ID)
		switch {
		case err != nil:
			return nil, err
		case old == nil:
			return side.image(p.store.ID), nil
		}
		if ok, err := p.reunited(ctx, old, digest); ok || err != nil {
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
		fresh = side.image(p.store.ID)
		fresh.ID = catalog.NewID()
	}
	return fresh, nil
}

// reunited reports whether an image is that of the file that was found under its
// digest: it has no other, or the one that it was copied from and that is now
// removed.
func (p *pass) reunited(ctx context.Context, im *catalog.Image, digest string) (bool, error) {
	if im.StoreID != p.store.ID || im.Digest != nil && *im.Digest != digest {
		return false, nil
	}
	id, err := p.stat(im.Path)
	if !fsx.IsGone(err) {
		if err != nil || im.Digest == nil || !strings.HasPrefix(im.Path, incoming) || !id.Same(im.Identity) {
			return false, nil
		}
		if !p.o.DryRun {
			if err := p.unlink(im.Path, im.Identity); err != nil {
				return false, trouble(im.ID, "removing the file it was copied from", err)
			}
		}
	}
	p.taken[im.Path] = true
	delete(p.sightings, im.Path)
	if im.DeletedAt == nil || p.o.DryRun {
		return true, nil
	}
	im.DeletedAt = nil // it was being brought back from the trash
	return true, p.c.RestoreImage(ctx, im.ID)
}

// unlink removes a file of the incoming folder, if it is still the one that was
// looked at.
func (p *pass) unlink(path string, id fsx.Identity) error { return unlinkSame(p.store, path, id) }

func unlinkSame(st *catalog.Store, path string, id fsx.Identity) error {
	s, err := spotOf(st, path)
	if fsx.IsGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if now, err := s.Stat(); err != nil || !now.Same(id) {
		return nil //nolint:nilerr // gone, or another: not ours to remove
	}
	return errors.Join(s.Remove(), source.SyncDirectories(s))
}

// byID returns an image, a deleted one too, nil if there is none.
func (p *pass) byID(ctx context.Context, id string) (*catalog.Image, error) {
	return anyImage(ctx, p.c, id)
}

// errUnchanged ends an update that is none.
var errUnchanged = errors.New("ingest: nothing to change")

// anyImage returns an image, a deleted one too, nil if there is none.
func anyImage(ctx context.Context, c *catalog.Catalog, id string) (*catalog.Image, error) {
	im, err := c.AnyImage(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	return im, err
}

// retrace brings an image to where its file was moved, and reports whether it is
// anywhere. It is called with the folder's lock.
func (p *pass) retrace(ctx context.Context, im *catalog.Image) (bool, error) {
	for _, to := range p.refuges(im) {
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

// refuges are the paths at which the file of an image may be if it is not at its
// own.
func (p *pass) refuges(im *catalog.Image) []string {
	list := []string{staging + im.ID + ".tiff"}
	if im.Digest != nil && len(*im.Digest) == 64 {
		list = append(list, slidePath(*im.Digest))
	}
	for _, dir := range []string{quarantine, trash} {
		for _, name := range p.names(dir) {
			if imageIn(dir+name) == im.ID && (dir == quarantine || im.DeletedAt != nil) {
				list = append(list, dir+name)
			}
		}
	}
	return list
}

// inTrash returns the sidecar of an image in the trash, nil if it has none.
func (p *pass) inTrash(image string) *sidecar {
	for _, name := range p.names(trash) {
		if imageIn(trash+name) == image {
			side, err := readSidecar(p.store, trash+name)
			if err == nil {
				return side
			}
		}
	}
	return nil
}

// names returns what is in one of the folders of the root.
func (p *pass) names(dir string) []string {
	f, err := fsx.OpenFolder(p.store.File(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1) // what can't be read is looked for again by the next pass
	return list
}

// imageIn returns the id of the image whose file is at a path in staging, quarantine
// or trash, "" if the path is none of an image's file.
func imageIn(path string) string {
	dir, name, _ := strings.Cut(path, "/")
	if strings.HasSuffix(name, ".json") && dir+"/" != quarantine {
		return ""
	}
	switch dir + "/" {
	case staging:
		id, ok := strings.CutSuffix(name, ".tiff")
		return only(ok, id)
	case quarantine:
		id, _, ok := strings.Cut(name, "-")
		return only(ok, id)
	case trash:
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

// relocate records that the file of an image is at another path. Its revision stays,
// unless it was written to. The image may have been deleted.
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
		case strings.HasPrefix(to, quarantine):
			now.State = catalog.Quarantined
		case now.State == catalog.Missing:
			now.State, now.Reason = catalog.Available, ""
		}
		return nil
	})
}

// handAll passes on all that has arrived, first what was begun.
func (p *pass) handAll(ctx context.Context) error {
	files := p.s.mirror.files(p.store.ID)
	maps.DeleteFunc(files, func(at string, _ entry) bool {
		return !strings.HasPrefix(at, incoming) && !strings.HasPrefix(at, staging)
	})
	paths := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return strings.Compare(b, a) })
	for _, at := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		p.handOn(ctx, at, files[at])
	}
	return ctx.Err()
}

// handOn passes on a file if it has arrived: a slide to be imported, and what is none
// to quarantine.
func (p *pass) handOn(ctx context.Context, at string, e entry) {
	arrived, begun := strings.HasPrefix(at, incoming), strings.HasPrefix(at, staging)
	switch {
	case e.deleted || !arrived && !begun:
	case e.state == catalog.Available:
		p.handOver(ctx, e.image, begun)
	case (e.state == catalog.Broken || e.state == catalog.Unsupported) && arrived && e.id.CTime != 0: // else it could not be read
		p.quarantine(ctx, at, e)
	}
}

// handOver imports an image, or has it imported.
func (p *pass) handOver(ctx context.Context, image string, begun bool) {
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

// quarantine sets an image aside, and says so in the result if it can't. A file that
// somebody is still at, as an upload that is about to end, is looked at again.
func (p *pass) quarantine(ctx context.Context, at string, e entry) {
	if p.o.DryRun {
		p.result.Quarantined++
		return
	}
	err := p.s.setAside(ctx, p.store, e.image)
	switch {
	case err == nil:
		p.result.Quarantined++
	case errors.Is(err, ErrBusy):
		now := p.s.now()
		p.mu.Lock()
		p.sightings[at] = sighting{id: e.id, since: now.Add(-p.patience.settle), closed: true, again: now.Add(p.patience.pause)}
		p.mu.Unlock()
	case ctx.Err() == nil:
		p.result.fail(e.image, err.Error())
	}
}

// leftovers ends what was broken off in the folders that hold files for a while: in
// staging, quarantine and trash.
func (p *pass) leftovers(ctx context.Context) error {
	for _, dir := range []string{staging, quarantine, trash} {
		for _, name := range p.names(dir) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := p.leftover(ctx, dir+name); err != nil {
				return err
			}
		}
	}
	for _, im := range p.written { // to since they were put there
		if err := p.s.unstage(ctx, p.c, p.store, im); err != nil && !errors.Is(err, ErrBusy) {
			p.result.fail(im.ID, err.Error())
		}
	}
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	for at, e := range p.s.mirror.files(p.store.ID) {
		if !e.deleted || strings.HasPrefix(at, trash) || p.o.DryRun {
			continue
		}
		if err := p.s.discard(ctx, p.store, e.image); err != nil && !errors.Is(err, ErrBusy) {
			p.result.fail(e.image, err.Error())
		}
	}
	return p.s.follow(ctx)
}

// leftover ends what was broken off with one file.
func (p *pass) leftover(ctx context.Context, at string) error {
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
		return nil //nolint:nilerr // gone again, or no file
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.s.mirror.knows(id) {
		return p.readmit(ctx, id, at, now)
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

// moved brings an image to its file that was moved or copied to a path when that was
// broken off.
func (p *pass) moved(ctx context.Context, im *catalog.Image, at string, now fsx.Identity) error {
	if strings.HasPrefix(at, trash) && im.DeletedAt == nil {
		return nil // a second copy: see retrace
	}
	there, err := p.stat(im.Path)
	switch {
	case fsx.IsGone(err):
	case err == nil && strings.HasPrefix(im.Path, incoming) && there.Same(im.Identity) && now.Size == there.Size && now.MTime == there.MTime:
		if p.o.DryRun {
			return nil
		}
		if err := p.unlink(im.Path, im.Identity); err != nil {
			return trouble(im.ID, "removing the file it was copied from", err)
		}
	default:
		return nil
	}
	if p.o.DryRun {
		return nil
	}
	if now.Size != im.Identity.Size || now.MTime != im.Identity.MTime {
		if strings.HasPrefix(at, staging) && im.DeletedAt == nil {
			p.written = append(p.written, im)
		}
		return nil
	}
	_, err = relocate(ctx, p.c, im, at, now)
	return err
}

// readmit records a file that the catalog does not know, by its sidecar.
func (p *pass) readmit(ctx context.Context, id, at string, now fsx.Identity) error {
	side, err := readSidecar(p.store, at)
	if errors.Is(err, fs.ErrNotExist) {
		side, err = &sidecar{ID: id}, nil
		side.FileName = fileName(at)
	}
	if err != nil || side.ID != id || side.DuplicateOf != "" {
		return nil //nolint:nilerr // what can't be told stays where it is
	}
	if there, err := p.byID(ctx, id); err != nil || there != nil {
		return err // it came since the mirror was followed
	}
	root, err := source.OpenDirectory(p.store.Root, "", source.Filter{})
	if err != nil {
		return fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	defer root.Close()
	finding := Look(ctx, root, at)
	if finding.Kind == Gone || finding.Kind == Hindered || finding.Kind == Changing || !finding.Identity.Same(now) {
		return nil
	}
	im := side.image(p.store.ID)
	update(im, at, &finding, &verdict{state: catalog.Available, sighting: sighting{since: p.s.now()}})
	im.FileName = side.FileName
	if side.Digest != "" {
		im.Digest = &side.Digest
	}
	switch {
	case strings.HasPrefix(at, quarantine):
		im.State, im.Reason = catalog.Quarantined, or(side.Reason, finding.Reason)
	case finding.Kind != Whole:
		im.State, im.Reason = catalog.Broken, finding.Reason
	}
	p.result.Added++
	if p.o.DryRun {
		return nil
	}
	if err := p.c.PutImages(ctx, []*catalog.Image{im}); err != nil {
		return err
	}
	if strings.HasPrefix(at, trash) {
		return p.c.DeleteImage(ctx, im.ID)
	}
	return nil
}

// sweepAfter is how old a file that is written in an instant must be to count as
// left behind.
const sweepAfter = time.Minute

// sweep removes what an import that was broken off left behind, and nobody goes on
// with: a copy, a sidecar without its file, or half of one.
func (p *pass) sweep(at string) {
	name, staged := strings.CutPrefix(at, staging)
	hidden := strings.HasPrefix(path.Base(at), ".")
	part, isPart := strings.CutSuffix(name, ".part")
	side, isSide := strings.CutSuffix(name, ".json")
	if p.o.DryRun || !hidden && !(staged && (isPart || isSide)) {
		return
	}
	s, err := spotOf(p.store, at)
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
		p.result.fail(part, trouble(part, "removing what was left of an import", err).Error())
	}
}

// working reports whether an import that has written its sidecar to staging goes on, or
// has its file there.
func (p *pass) working(id string) bool {
	if _, err := p.stat(staging + id + ".tiff"); !fsx.IsGone(err) {
		return true
	}
	at, ok := p.s.mirror.place(id)
	if !ok || at.store != p.store.ID || !strings.HasPrefix(at.path, incoming) {
		return false
	}
	s, err := spotOf(p.store, at.path)
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
