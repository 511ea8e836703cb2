package scan

import (
	"context"
	"errors"
	"io/fs"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// commitBatch is how many images are written in one transaction. The folder is
// locked meanwhile, and a file that is renamed in must not wait for long.
const commitBatch = 100

// commit puts what was found into the catalog, in one transaction.
func (p *scan) commit(ctx context.Context, batch []*inspected) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*catalog.Image
	var verdicts []verdict
	for _, l := range batch {
		if l.inspection.Kind == Skipped {
			p.skip(l)
			continue
		}
		if !p.isCurrent(l) {
			continue
		}
		v := judge(&l.inspection, l.observation, p.settlePolicy, p.s.now())
		im, err := p.record(ctx, l, &v)
		if err != nil {
			return err
		}
		if im != nil {
			list, verdicts = append(list, im), append(verdicts, v)
		}
	}
	if p.o.DryRun {
		return nil
	}
	if err := p.c.PutImages(ctx, list); err != nil {
		return err
	}
	for i, im := range list {
		p.remember(im, &verdicts[i])
	}
	return nil
}

// keepAnnotations leaves open what people say of an image of the catalog and an inspection can't tell:
// the catalog keeps what they have said last, be it since the image was read.
func keepAnnotations(im *catalog.Image) { im.Label, im.ExternalID = nil, nil }

// skip leaves what the catalog says of a file as it is, for want of means to look
// at it.
func (p *scan) skip(l *inspected) {
	p.result.fail("", l.inspection.Reason)
	l.observation.again = p.s.now().Add(p.settlePolicy.pause)
	p.observations[l.Path] = l.observation
}

// isCurrent reports whether the file that was inspected is the one at its path. If
// another is there now, or it has been written to, it is inspected again.
func (p *scan) isCurrent(l *inspected) bool {
	if l.inspection.Kind == Gone {
		return false
	}
	id, err := p.stat(l.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil && id != l.inspection.Identity {
		l.inspection = Inspection{Kind: Changing, Reason: "the file changed while it was inspected", Identity: id}
		l.observation = l.observation.observe(id, p.s.now())
	}
	return true
}

// record returns the image of a file as it is to be written, nil if it need not be,
// and counts it.
func (p *scan) record(ctx context.Context, l *inspected, v *verdict) (*catalog.Image, error) {
	old, err := p.c.ImageByPath(ctx, p.store.ID, l.Path)
	if errors.Is(err, catalog.ErrNotFound) {
		old, err = p.owner(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	im := *old
	update(&im, l.Path, &l.inspection, v)
	if old.Path != "" { // else what a sidecar says is all that is known
		keepAnnotations(&im)
	}
	if digest := managed.DigestIn(l.Path); p.prefix == managed.Slides {
		im.FileName, im.Digest = old.FileName, &digest
		if l.inspection.Reason == notItself {
			now := p.s.now().UTC()
			im.DamagedAt, im.Damage = &now, notItself
		}
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

// owner returns the image of a file whose path the catalog does not know.
func (p *scan) owner(ctx context.Context, l *inspected) (*catalog.Image, error) {
	if p.prefix == managed.Slides {
		return p.imageOfSlide(ctx, l)
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
	old, err := p.c.ImageByPath(ctx, p.store.ID, from)
	if errors.Is(err, catalog.ErrNotFound) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	if !alike(old, &l.inspection) {
		return fresh, nil
	}
	if old.DeletedAt != nil && p.result.Count > 0 {
		p.result.Count-- // it was taken for a new one
	}
	p.taken[from] = true
	delete(p.observations, from)
	return old, nil
}

// count counts an image that was as old says, and now is as im says.
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

// remember keeps what the next inspection needs, for a file that will have one.
func (p *scan) remember(im *catalog.Image, v *verdict) {
	if v.state == catalog.Arriving {
		p.observations[im.Path] = v.observation
	} else {
		delete(p.observations, im.Path)
	}
	if v.state == catalog.Available && p.s.Available != nil {
		p.s.Available(im.ID)
	}
}
