package scan

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// commitBatch is how many images are written in one transaction. The folder is locked
// meanwhile, and a file that is renamed in must not wait for long.
const commitBatch = 100

// commit writes inspected files to the catalog, in one transaction.
func (p *scan) commit(ctx context.Context, batch []*inspected) error {
	p.waiting.Lock()
	defer p.waiting.Unlock()
	var list []*catalog.Image
	var verdicts []inspect.Verdict
	structures := map[*catalog.Image]*catalog.Structure{}
	deleted := map[string]*time.Time{}
	for _, l := range batch {
		if l.inspection.Kind == inspect.Skipped {
			p.skip(l)
			continue
		}
		if !p.isCurrent(l) {
			continue
		}
		v := inspect.Judge(&l.inspection, l.observation, p.policy(l.Path), p.now())
		im, err := p.record(ctx, l, &v)
		if err != nil {
			return err
		}
		if im != nil {
			list, verdicts = append(list, im), append(verdicts, v)
			if im.DeletedAt != nil && p.store.ManagedBucket() {
				deleted[im.ID] = im.DeletedAt
			}
			if l.inspection.Structure != nil && im.State == catalog.Available {
				structures[im] = l.inspection.Structure
			}
		}
	}
	if p.o.DryRun {
		return nil
	}
	if err := p.c.Images.Put(ctx, list); err != nil {
		return err
	}
	if err := p.stayDeleted(ctx, deleted); err != nil {
		return err
	}
	for i, im := range list {
		p.remember(im, &verdicts[i])
	}
	p.putStructures(ctx, structures)
	return nil
}

// stayDeleted deletes images of a rebuilt catalog again that were deleted when their sidecars were
// written.
func (p *scan) stayDeleted(ctx context.Context, deleted map[string]*time.Time) error {
	for id, at := range deleted {
		if _, err := p.c.Images.Update(ctx, id, func(im *catalog.Image) error {
			if im.DeletedAt == nil {
				im.DeletedAt = at
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// putStructures writes the structure records of images, which are a cache: what is not written is made
// again.
func (p *scan) putStructures(ctx context.Context, structures map[*catalog.Image]*catalog.Structure) {
	for im, st := range structures {
		st.Revision = im.Revision
		if err := p.c.Structures.Put(ctx, im.ID, st); err != nil && ctx.Err() == nil && !errors.Is(err, catalog.ErrNotFound) {
			p.s.log().Warn("cannot store the structure of an image; requests for its tiles are slower at first", "image", im.ID, "err", err)
		}
	}
}

// keepAnnotations clears the fields that people edit and that an inspection can't know,
// so that the catalog keeps its values, even if they changed since the image was read.
func keepAnnotations(im *catalog.Image) { im.Label, im.ExternalID = nil, nil }

// keepUnchanged is keepAnnotations, except for values that the document of an image has
// changed.
func keepUnchanged(im, old *catalog.Image) {
	label, external := im.Label, im.ExternalID
	keepAnnotations(im)
	if label != nil && (old.Label == nil || *old.Label != *label) {
		im.Label = label
	}
	if external != nil && old.ExternalID == nil {
		im.ExternalID = external
	}
}

// skip leaves the catalog's record of a file unchanged, because the file could not be
// inspected for lack of resources.
func (p *scan) skip(l *inspected) {
	p.result.fail("", l.inspection.Reason)
	if p.store.Kind != catalog.Directory {
		return // the next scan inspects it
	}
	l.observation.Again = p.s.now().Add(p.settlePolicy.Pause)
	p.waiting.Files[l.Path] = l.observation
}

// isCurrent reports whether the inspected file is still the one at its path. If it was
// replaced or written to, it is inspected again.
func (p *scan) isCurrent(l *inspected) bool {
	if l.inspection.Kind == inspect.Gone {
		return false
	}
	if p.store.Kind == catalog.S3 {
		return true // each read was of the object that was opened
	}
	id, err := p.stat(l.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil && id != l.inspection.Identity {
		l.inspection = inspect.Inspection{Kind: inspect.Changing, Reason: "the file changed while it was inspected", Identity: id}
		l.observation = l.observation.Observe(id, p.s.now())
	}
	return true
}

// record returns the image to be written for a file, nil if it is unchanged, and counts
// it.
func (p *scan) record(ctx context.Context, l *inspected, v *inspect.Verdict) (*catalog.Image, error) {
	p.kind = l.inspection.Kind
	old, err := p.c.Images.ByPath(ctx, p.store.ID, l.Path)
	if errors.Is(err, catalog.ErrNotFound) {
		old, err = p.owner(ctx, l)
	}
	if err != nil || old == nil {
		return nil, err
	}
	im := *old
	inspect.Update(&im, l.Path, &l.inspection, *v)
	if old.Path != "" { // otherwise only the sidecar's values are known
		keepUnchanged(&im, old)
	}
	if p.prefix == managed.Slides {
		im.FileName, im.Digest = old.FileName, p.digestOf(l, old)
		if why := l.inspection.Reason; why == notItself || why == managed.DamagedSeries {
			now := p.s.now().UTC()
			im.DamagedAt, im.Damage = &now, why
		}
	}
	if p.store.ManagedBucket() {
		bucketScan{p}.keep(&im, old)
	}
	same := im.Path == old.Path && im.State == old.State && im.Reason == old.Reason && im.Identity == old.Identity && !p.o.Resync
	if old.DeletedAt == nil {
		p.count(old, &im, same)
	}
	if same {
		if !p.o.DryRun {
			p.remember(old, v)
		}
		return nil, nil
	}
	return &im, nil
}

// digestOf returns the digest of a stored slide; nil if that of a series is not known.
func (p *scan) digestOf(l *inspected, old *catalog.Image) *string {
	digest := managed.DigestIn(l.Path)
	if catalog.IsSeries(l.Path) {
		if id := l.inspection.Identity; old.Digest != nil && (old.Path == "" || old.Identity.Size == id.Size && old.Identity.MTime == id.MTime) {
			return old.Digest
		}
		digest = managed.SeriesDigest(p.store, l.Path)
	}
	if digest == "" {
		return nil
	}
	return &digest
}

// owner returns the image of a file whose path the catalog does not know; nil if it is not to be
// recorded now.
func (p *scan) owner(ctx context.Context, l *inspected) (*catalog.Image, error) {
	if p.prefix == managed.Slides {
		return managedScan{p}.imageOfSlide(ctx, l)
	}
	if p.store.ManagedBucket() {
		return bucketScan{p}.imageOf(ctx, l)
	}
	return p.renamed(ctx, l)
}

// renamed returns the image whose file now has this name, or else a new one.
func (p *scan) renamed(ctx context.Context, l *inspected) (*catalog.Image, error) {
	fresh := &catalog.Image{ID: catalog.NewID(), StoreID: p.store.ID}
	from, ok := p.previousPath(source.Item{Identity: l.inspection.Identity})
	if !ok || p.taken[from] {
		return fresh, nil
	}
	old, err := p.c.Images.ByPath(ctx, p.store.ID, from)
	if errors.Is(err, catalog.ErrNotFound) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	if !inspect.Alike(old, &l.inspection) {
		return fresh, nil
	}
	if old.DeletedAt != nil && p.result.Count > 0 {
		p.result.Count-- // it was counted as a new one
	}
	p.taken[from] = true
	delete(p.waiting.Files, from)
	return old, nil
}

// count adds the change from old to im to the result.
func (p *scan) count(old, im *catalog.Image, same bool) {
	switch {
	case old.Path == "":
		p.result.Added++
	case old.Path != im.Path:
		p.result.Moved++
	case old.State == catalog.Missing:
		p.result.Returned++
	case !same:
		p.result.Updated++
	}
	switch {
	case im.State == catalog.Arriving:
		p.result.Arriving++
	case im.State != catalog.Available:
		p.result.fail(im.ID, im.Reason)
	}
}

// remember stores the observation of a file that will be inspected again.
func (p *scan) remember(im *catalog.Image, v *inspect.Verdict) {
	if im.State == catalog.Arriving {
		p.waiting.Files[im.Path] = v.Observation
	} else {
		delete(p.waiting.Files, im.Path)
	}
	if im.State == catalog.Available && p.s.Available != nil {
		p.s.Available(im.ID)
	}
}
