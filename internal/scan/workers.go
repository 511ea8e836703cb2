package scan

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// An inspected is a file and the result of its inspection.
type inspected struct {
	source.Item
	inspection  inspect.Inspection
	observation inspect.Observation
}

// inspectAll inspects files, several at a time, and writes the results to the catalog.
func (p *scan) inspectAll(ctx context.Context, due []source.Item) error {
	if len(due) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	in, out := make(chan source.Item), make(chan *inspected, commitBatch)
	var workers sync.WaitGroup
	for range min(p.workers(), len(due)) {
		workers.Go(func() {
			for f := range in {
				out <- p.inspectItem(ctx, f)
			}
		})
	}
	go func() {
		defer close(out)
		defer workers.Wait()
		defer close(in)
		for _, f := range due {
			select {
			case in <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	var err error
	done := 0
	for l := range out {
		batch := collect(l, out)
		if done += len(batch); p.o.Progress != nil {
			p.o.Progress(int64(done), int64(len(due)))
		}
		if err == nil && ctx.Err() == nil {
			if err = p.commit(ctx, batch); err != nil {
				stop() // and collect the workers' remaining results
			}
		}
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// workers is how many items are inspected at once. Those of a bucket wait for the network most of
// the time.
func (p *scan) workers() int {
	if p.store.Kind == catalog.S3 {
		return cmp.Or(p.s.Workers, askAtOnce)
	}
	return cmp.Or(p.s.Workers, 4)
}

// collect returns first and all further results that are available without waiting.
func collect(first *inspected, more <-chan *inspected) []*inspected {
	batch := []*inspected{first}
	for len(batch) < commitBatch {
		select {
		case l, ok := <-more:
			if !ok {
				return batch
			}
			batch = append(batch, l)
		default:
			return batch
		}
	}
	return batch
}

// inspectItem inspects one file.
func (p *scan) inspectItem(ctx context.Context, f source.Item) *inspected {
	p.waiting.Lock()
	s := p.waiting.Files[f.Path]
	p.waiting.Unlock()
	if s.Since.IsZero() {
		s = p.lastObservation(f)
	}
	now := p.now()
	s = s.Observe(f.Identity, now)
	s.Closed = s.Closed || f.Closed
	l := &inspected{Item: f, inspection: p.examine(ctx, f)}
	if l.inspection.Identity.Ino == 0 {
		l.inspection.Identity = f.Identity
	}
	l.observation = s.Observe(l.inspection.Identity, now)
	return l
}

// examine inspects a file, unless its upload has. A file that is stored under its digest
// and was written to must still have that digest.
func (p *scan) examine(ctx context.Context, f source.Item) inspect.Inspection {
	if p.prefix == managed.Incoming && !p.o.Resync {
		if id, err := p.stat(f.Path); err == nil {
			if found, ok := p.s.Received.TakeInspection(id); ok {
				return found
			}
		}
	}
	l := inspect.File(ctx, p.src, f.Path)
	if l.Kind == inspect.Changing && p.store.Kind == catalog.S3 {
		l = inspect.File(ctx, p.src, f.Path) // the new object is complete already
	}
	l.Sent = l.Kind == inspect.Damaged && managed.Uploaded(p.store, f.Path, l.Identity)
	e, known := p.s.mirror().File(p.store.ID, f.Path)
	if p.prefix != managed.Slides || !known || l.Kind != inspect.Complete || e.ID.Size == l.Identity.Size && e.ID.MTime == l.Identity.MTime {
		return l
	}
	if catalog.IsSeries(f.Path) {
		return p.examineSeries(ctx, f.Path, l)
	}
	file, err := p.src.(source.Files).Open(f.Path)
	if err != nil {
		return inspect.ReadError(err)
	}
	defer file.Close()
	digest, err := fsx.SHA256(ctx, file, l.Identity.Size, nil)
	if err != nil {
		return inspect.ReadError(err)
	}
	if id, err := file.Current(); err != nil || id != l.Identity {
		return inspect.Inspection{Kind: inspect.Changing, Reason: "the file changed while it was read", Identity: id}
	}
	if digest != managed.DigestIn(f.Path) {
		l.Kind, l.Slide, l.Reason = inspect.Damaged, nil, notItself
	}
	return l
}

// examineSeries compares the files of a stored series that has changed with those that were
// stored.
func (p *scan) examineSeries(ctx context.Context, path string, l inspect.Inspection) inspect.Inspection {
	reason, err := managed.CheckSeries(ctx, p.store, path)
	switch {
	case err != nil:
		return inspect.ReadError(err)
	case reason != "":
		l.Kind, l.Slide, l.Reason = inspect.Damaged, nil, reason
	}
	return l
}

// notItself is the reason for a slide whose bytes have changed since its import.
const notItself = "the bytes of the file have changed since it was stored (its SHA-256 differs): restore it from a backup"

// lastObservation is the catalog's observation of a file. With it, a slide that is
// renamed or whose mode changes does not count as arriving, and a restart does not
// restart the wait.
func (p *scan) lastObservation(f source.Item) inspect.Observation {
	e, ok := p.s.mirror().File(p.store.ID, f.Path)
	if !ok {
		from, _ := p.previousPath(f)
		e, ok = p.s.mirror().File(p.store.ID, from)
	}
	if !ok || e.State == catalog.Missing && mirror.ContentOf(e.ID) != mirror.ContentOf(f.Identity) {
		return inspect.Observation{}
	}
	return inspect.Observation{ID: e.ID, Since: time.UnixMicro(e.Since)}
}

// previousPath returns the path that the file had in the catalog before it was renamed,
// if it is known.
func (p *scan) previousPath(f source.Item) (string, bool) {
	path, ok := p.s.mirror().Path(p.store.ID, mirror.ContentOf(f.Identity))
	if !ok {
		return "", false
	}
	_, err := p.stat(path)
	return path, fsx.IsGone(err)
}

// wait inspects the files again that only need to be seen unchanged.
func (p *scan) wait(ctx context.Context) error {
	for range 3 { // a file that keeps changing is not waited for
		now := p.now()
		var due []source.Item
		var longest time.Duration
		p.waiting.Lock()
		for path, s := range p.waiting.Files {
			if d := s.Again.Sub(now); !s.Again.IsZero() && d <= p.policy(path).Pause {
				due = append(due, source.Item{Path: path, Identity: s.ID, Closed: false})
				longest = max(longest, d)
			}
		}
		p.waiting.Unlock()
		if len(due) == 0 || p.o.DryRun {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(longest):
		}
		p.result.Arriving -= len(due)
		if err := p.inspectAll(ctx, due); err != nil {
			return err
		}
	}
	return nil
}
