package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A managedScan is a scan of a managed store: what it has beyond the scan of a folder.
type managedScan struct{ *scan }

// run scans the folders of a managed store: it resumes interrupted operations,
// checks stored slides, inspects the incoming folder, and quarantines files that are
// not slides.
func (p managedScan) run(ctx context.Context) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	r := p.recovery()
	err := r.Run(ctx)
	p.result.Added += r.Added
	if err != nil {
		return err
	}
	kept, closeRoot, err := p.slidesScan()
	if err != nil {
		return err
	}
	defer closeRoot()
	absent, err := managedScan{kept}.scanPart(ctx)
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
	missing := guard(p)
	absent = missing.notMoved(append(absent, arrived...))
	absent = append(absent, p.lost()...)
	if err := missing.refuse(len(absent)); err != nil {
		return err
	}
	if err := missing.markMissing(ctx, absent); err != nil {
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

// recovery returns the recovery of the scan's managed store.
func (p managedScan) recovery() *managed.Recovery {
	return &managed.Recovery{Store: p.s.managedStore(p.store), Leased: p.c, Mirror: p.s.mirror(), DryRun: p.o.DryRun, Failed: p.result.fail}
}

// fewNews is how many images are queried one by one rather than all at once.
const fewNews = 500

// writeSidecars updates the sidecars of slides whose annotations have changed.
func (p managedScan) writeSidecars(ctx context.Context) error {
	changedSlides := p.s.mirror().TakeChanged(p.store.ID)
	if len(changedSlides) > fewNews {
		return p.c.Images.Each(ctx, p.store.ID, func(im *catalog.Image) error {
			if changedSlides[im.ID] {
				p.writeOne(ctx, im)
			}
			return ctx.Err()
		})
	}
	for id, there := range changedSlides {
		if !there {
			continue
		}
		im, err := p.c.Images.Get(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.writeOne(ctx, im)
	}
	return nil
}

// writeOne updates one sidecar.
func (p managedScan) writeOne(ctx context.Context, im *catalog.Image) {
	if err := managed.UpdateSidecar(ctx, p.store, im); err != nil {
		p.result.fail(im.ID, err.Error())
	}
}

// slidesScan returns a scan of the stored slides. They were settled before they were
// imported, so a damaged one is broken, not arriving.
func (p managedScan) slidesScan() (*scan, func(), error) {
	sub := *p.scan
	sub.prefix, sub.enter = managed.Slides, nil
	sub.settlePolicy = inspect.Policy{Settle: math.MinInt64}
	var err error
	if sub.src, err = source.OpenDirectory(p.store.File(managed.Slides), managed.Slides, source.Stored); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	return &sub, func() { sub.src.Close() }, nil
}

// scanPart scans one of the folders, and returns the known paths that were not found.
func (p managedScan) scanPart(ctx context.Context) ([]string, error) {
	var files []source.Item
	o := source.ListOptions{Enter: p.enter, Item: func(f source.Item) {
		if p.prefix == managed.Incoming || managed.Stored(f.Path) {
			f.Closed = f.Closed || p.prefix == managed.Slides
			files = append(files, f)
		}
	}}
	if p.prefix != managed.Slides {
		o.Refused = func(ino uint64, what string) {
			p.result.fail("", fmt.Sprintf("inode %d in the incoming folder is %s: only regular files are imported; put the slide itself there", ino, what))
		}
	}
	w, err := p.src.List(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	if files, err = p.withoutPacked(ctx, files); err != nil {
		return nil, err
	}
	p.result.Links += w.Links
	p.failUnreadable(w)
	left := p.known()
	if err := p.inspectAll(ctx, p.due(files, left)); err != nil {
		return nil, err
	}
	absent := guard(p).absent(left, w)
	if p.prefix == managed.Incoming && len(absent) > 0 && !p.o.Confirm {
		if id, err := managed.Marked(managed.IncomingOf(p.store)); err != nil || id != p.store.ID {
			p.result.fail("", "the incoming folder has no file "+managed.MarkerName+" of this store: check that its disk is mounted. None of its slides was marked missing")
			return nil, nil
		}
	}
	return absent, nil
}

// lost returns the paths outside of the two folders whose files are gone.
func (p managedScan) lost() []string {
	var list []string
	for path, e := range p.s.mirror().Files(p.store.ID) {
		if strings.HasPrefix(path, managed.Incoming) || strings.HasPrefix(path, managed.Slides) || !e.Counts() {
			continue
		}
		if _, err := p.stat(path); fsx.IsGone(err) && !p.taken[path] {
			list = append(list, path)
		}
	}
	return list
}

// imageOfSlide returns the image of a file below slides/ whose path the catalog does
// not know: the image that its sidecar names, if that has no other file.
func (p managedScan) imageOfSlide(ctx context.Context, l *inspected) (*catalog.Image, error) {
	digest := managed.DigestIn(l.Path)
	side, err := managed.ReadSidecar(p.store, l.Path)
	if err == nil {
		old, err := p.c.Images.GetAny(ctx, side.ID)
		switch {
		case errors.Is(err, catalog.ErrNotFound):
			return imageOf(side, p.store.ID), nil
		case err != nil:
			return nil, err
		}
		ok, err := p.recovery().BelongsTo(ctx, old, digest)
		if ok {
			p.taken[old.Path] = true
			delete(p.waiting.Files, old.Path)
		}
		if ok || err != nil {
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
		fresh = imageOf(side, p.store.ID)
		fresh.ID = catalog.NewID()
	}
	return fresh, nil
}

// imageOf is the image that the sidecar of a stored slide describes.
func imageOf(side *managed.Sidecar, store string) *catalog.Image {
	im := side.Image(store)
	if side.Digest != "" {
		im.Digest = &side.Digest // of a series; that of a file is in its name
	}
	return im
}

// dispatchAll dispatches all files that have arrived, interrupted imports first.
func (p managedScan) dispatchAll(ctx context.Context) error {
	files := p.s.mirror().Files(p.store.ID)
	maps.DeleteFunc(files, func(at string, _ mirror.Entry) bool {
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
func (p managedScan) dispatch(ctx context.Context, at string, e mirror.Entry) {
	arrived, begun := strings.HasPrefix(at, managed.Incoming), strings.HasPrefix(at, managed.Staging)
	switch {
	case e.Deleted || !arrived && !begun:
	case e.State == catalog.Available, e.State == catalog.Arriving && begun && catalog.IsSeries(at):
		p.startImport(ctx, e.Image, begun)
	case (e.State == catalog.Broken || e.State == catalog.Unsupported) && (arrived || catalog.IsSeries(at)) && e.ID.CTime != 0: // without a ctime it could not be read
		if p.joins(at) {
			p.startImport(ctx, e.Image, begun)
		} else {
			p.quarantine(ctx, at, e)
		}
	}
}

// joins reports whether files that are no slide may be further ones of a stored series.
func (p managedScan) joins(at string) bool {
	_, uid, ok := catalog.SplitSeries(at)
	if !ok {
		return false
	}
	e, ok := p.s.mirror().File(p.store.ID, managed.SeriesPath(uid))
	return ok && !e.Deleted
}

// startImport imports an image, or passes it to Arrived.
func (p managedScan) startImport(ctx context.Context, image string, begun bool) {
	switch {
	case p.o.DryRun && (begun || p.o.Import):
		p.result.Imported++
	case p.o.DryRun:
	case p.o.Import || begun && p.s.Arrived == nil:
		_, err := p.s.managedStore(p.store).Import(ctx, image, nil)
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
func (p managedScan) quarantine(ctx context.Context, at string, e mirror.Entry) {
	if p.o.DryRun {
		p.result.Quarantined++
		return
	}
	err := p.s.managedStore(p.store).Quarantine(ctx, e.Image)
	switch {
	case err == nil:
		p.result.Quarantined++
	case errors.Is(err, ErrBusy):
		now := p.s.now()
		p.waiting.Lock()
		p.waiting.Files[at] = inspect.Observation{ID: e.ID, Since: now.Add(-p.settlePolicy.Settle), Closed: true, Again: now.Add(p.settlePolicy.Pause)}
		p.waiting.Unlock()
	case ctx.Err() == nil:
		p.result.fail(e.Image, err.Error())
	}
}
