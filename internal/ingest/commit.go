package ingest

import (
	"context"
	"errors"
	"io/fs"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// commitBatch is how many images are written in one transaction. The folder is
// locked meanwhile, and a file that is renamed in must not wait for long.
const commitBatch = 100

// commit puts what was found into the catalog, in one transaction.
func (p *pass) commit(ctx context.Context, batch []*looked) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*catalog.Image
	var verdicts []verdict
	for _, l := range batch {
		if l.finding.Kind == Hindered {
			p.hinder(l)
			continue
		}
		if !p.still(l) {
			continue
		}
		v := judge(&l.finding, l.sighting, p.patience, p.s.now())
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

// unsaid leaves open what people say of an image of the catalog and a look can't tell:
// the catalog keeps what they have said last, be it since the image was read.
func unsaid(im *catalog.Image) { im.Label, im.ExternalID = nil, nil }

// hinder leaves what the catalog says of a file as it is, for want of means to look
// at it.
func (p *pass) hinder(l *looked) {
	p.result.fail("", l.finding.Reason)
	l.sighting.again = p.s.now().Add(p.patience.pause)
	p.sightings[l.Path] = l.sighting
}

// still reports whether the file that was looked at is the one at its path. If
// another is there now, or it has been written to, it is looked at again.
func (p *pass) still(l *looked) bool {
	if l.finding.Kind == Gone {
		return false
	}
	id, err := p.stat(l.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil && id != l.finding.Identity {
		l.finding = Finding{Kind: Changing, Reason: "it was changed while it was looked at", Identity: id}
		l.sighting = l.sighting.see(id, p.s.now())
	}
	return true
}

// record returns the image of a file as it is to be written, nil if it need not be,
// and counts it.
func (p *pass) record(ctx context.Context, l *looked, v *verdict) (*catalog.Image, error) {
	old, err := p.c.ImageByPath(ctx, p.store.ID, l.Path)
	if errors.Is(err, catalog.ErrNotFound) {
		old, err = p.owner(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	im := *old
	update(&im, l.Path, &l.finding, v)
	if old.Path != "" { // else what a sidecar says is all that is known
		unsaid(&im)
	}
	if digest := digestIn(l.Path); p.prefix == slides {
		im.FileName, im.Digest = old.FileName, &digest
		if l.finding.Reason == notItself {
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
func (p *pass) owner(ctx context.Context, l *looked) (*catalog.Image, error) {
	if p.prefix == slides {
		return p.adopted(ctx, l)
	}
	return p.renamed(ctx, l)
}

// renamed returns the image whose file now has this name, or else a new one.
func (p *pass) renamed(ctx context.Context, l *looked) (*catalog.Image, error) {
	fresh := &catalog.Image{ID: catalog.NewID(), StoreID: p.store.ID}
	from, ok := p.origin(source.Item{Identity: l.finding.Identity})
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
	if !alike(old, &l.finding) {
		return fresh, nil
	}
	if old.DeletedAt != nil && p.result.Count > 0 {
		p.result.Count-- // it was taken for a new one
	}
	p.taken[from] = true
	delete(p.sightings, from)
	return old, nil
}

// count counts an image that was as old says, and now is as im says.
func (p *pass) count(old, im *catalog.Image, same bool) {
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

// remember keeps what the next look needs, for a file that will have one.
func (p *pass) remember(im *catalog.Image, v *verdict) {
	if v.state == catalog.Arriving {
		p.sightings[im.Path] = v.sighting
	} else {
		delete(p.sightings, im.Path)
	}
	if v.state == catalog.Available && p.s.Available != nil {
		p.s.Available(im.ID)
	}
}
