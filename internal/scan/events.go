package scan

import (
	"context"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// touchMost is how many files are inspected for one batch of events. Further ones are
// left to a scan.
const touchMost = 500

// An urgency is how soon a scan of the whole folder is needed.
type urgency int

const (
	noScan   urgency = iota
	scanSoon         // as soon as the minimum interval allows
	scanNow
)

// An eventScan inspects the files at which events were reported.
type eventScan struct {
	*scan
	due     []source.Item          // to inspect
	gone    []string               // slides whose files were reported gone
	whole   urgency                // of a scan of the whole folder
	folders map[string]source.Sign // with DICOM files at which events were reported
}

// touch inspects the paths of a store at which events were reported. The urgency says
// whether the whole folder must be scanned: if a folder was removed, if there are more
// events than touch handles, or if a file is gone without an event. In the last case
// other files may be gone too, and only a scan, which counts them, may mark slides
// missing.
func (s *Syncer) touch(ctx context.Context, c *catalog.Catalog, st *catalog.Store, list map[string]source.Sign, enter func(string, uint64)) (r Result, whole urgency, err error) {
	began, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return Result{}, noScan, err
	}
	p := &eventScan{scan: began, folders: map[string]source.Sign{}}
	defer p.src.Close()
	p.c, p.enter = c, enter
	if err := s.follow(ctx); err != nil {
		return Result{}, noScan, err
	}
	for path, sign := range list {
		if err := p.sort(ctx, path, sign); err != nil {
			return *p.result, p.whole, err
		}
	}
	p.sortFolders()
	if len(p.due) > touchMost {
		p.due, p.whole = p.due[:touchMost], scanNow
	}
	if err := p.inspectAll(ctx, p.due); err != nil {
		return *p.result, p.whole, err
	}
	if st.ManagedFolder() {
		if err := p.dispatchTouched(ctx); err != nil {
			return *p.result, p.whole, err
		}
	}
	missing := guard{p.scan}
	h, err := missing.markReportedMissing(ctx, missing.notMoved(p.gone))
	return *p.result, max(p.whole, h), err
}

// sort adds what the events at a path require.
func (p *eventScan) sort(ctx context.Context, path string, sign source.Sign) error {
	if !strings.HasPrefix(path, p.prefix) {
		h, err := p.recheckItem(ctx, path)
		p.whole = max(p.whole, h)
		return err
	}
	if sign&source.DirectoryGone != 0 {
		p.whole = scanNow
	}
	if sign&source.DirectoryCame != 0 {
		err := p.below(ctx, path, sign)
		if err != nil {
			p.whole = scanNow
		}
		return err
	}
	if d, ok := p.src.(*source.Directory); ok {
		if dir, ok := d.FolderOf(path); ok && d.Selects(path) {
			p.folders[dir] |= sign
			return nil
		}
	}
	if f, ok := p.changedItem(path, sign); ok {
		p.due = append(p.due, f)
	} else if p.wentMissing(path) {
		if sign&source.Nudged == 0 {
			p.gone = append(p.gone, path)
		} else {
			p.whole = max(p.whole, p.urgency())
		}
	}
	return nil
}

// sortFolders adds what the events at DICOM files require: each folder is listed once, and
// compared with its series and other such files in the catalog.
func (p *eventScan) sortFolders() {
	for dir, sign := range p.folders {
		found, err := p.src.(*source.Directory).InFolder(dir)
		if err != nil && !fsx.IsGone(err) {
			p.whole = max(p.whole, scanSoon) // which reports why
			continue
		}
		there := map[string]bool{}
		for _, f := range found {
			there[f.Path] = true
			if f.Closed = sign&source.WriterLeft != 0 && !catalog.IsSeries(f.Path); p.wanted(f) {
				p.due = append(p.due, f)
			}
		}
		p.s.mirror().InFolder(p.store.ID, dir, func(path string, e mirror.Entry) {
			if there[path] || e.State == catalog.Missing {
				return
			}
			if _, err := p.stat(path); fsx.IsGone(err) {
				p.gone = append(p.gone, path)
			}
		})
	}
}

// urgency is how soon a scan is needed after a reader found a slide gone. A refused
// scan is retried anyway.
func (p *eventScan) urgency() urgency {
	if p.refusal() != nil {
		return noScan
	}
	return scanSoon
}

// recheckItem inspects a file of a managed store that did not just arrive, and that a
// reader found to be wrong.
func (p *eventScan) recheckItem(ctx context.Context, path string) (urgency, error) {
	e, ok := p.s.mirror().File(p.store.ID, path)
	id, err := p.stat(path)
	switch {
	case fsx.IsGone(err) && ok && e.State != catalog.Missing:
		return p.urgency(), nil
	case err != nil || !ok || !strings.HasPrefix(path, managed.Slides) || e.ID.Same(id):
		return noScan, nil //nolint:nilerr // the next scan finds it
	}
	kept, closeRoot, err := managedScan{p.scan}.slidesScan()
	if err != nil {
		return noScan, err
	}
	defer closeRoot()
	return noScan, kept.inspectAll(ctx, []source.Item{{Path: path, Identity: id, Closed: true}})
}

// dispatchTouched dispatches the inspected files.
func (p *eventScan) dispatchTouched(ctx context.Context) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	for _, f := range p.due {
		if e, ok := p.s.mirror().File(p.store.ID, f.Path); ok {
			managedScan{p.scan}.dispatch(ctx, f.Path, e)
		}
	}
	return nil
}

// below finds the slides in a folder that was created or renamed in. A folder that was
// renamed in holds complete files.
func (p *eventScan) below(ctx context.Context, dir string, s source.Sign) error {
	w, err := p.src.List(ctx, source.ListOptions{Below: dir, Enter: p.enter, Item: func(f source.Item) {
		f.Closed = s&source.WriterLeft != 0
		if p.wanted(f) {
			p.due = append(p.due, f)
		}
	}})
	if fsx.IsGone(err) {
		return nil // removed since
	}
	p.failUnreadable(w)
	return err
}

// changedItem returns the file at path if it has to be inspected.
func (p *eventScan) changedItem(path string, s source.Sign) (source.Item, bool) {
	id, err := p.stat(path)
	f := source.Item{Path: path, Identity: id, Closed: s&source.WriterLeft != 0}
	return f, err == nil && p.selects(path) && p.wanted(f)
}

// selects reports whether the store's filter selects a file. Images of databases have been
// selected when they are identified.
func (p *eventScan) selects(path string) bool {
	d, ok := p.src.(*source.Directory)
	return !ok || d.Selects(path)
}

// wanted reports whether a file is new, changed, or due.
func (p *eventScan) wanted(f source.Item) bool {
	e, ok := p.s.mirror().File(p.store.ID, f.Path)
	if !ok {
		return true
	}
	p.waiting.Lock()
	defer p.waiting.Unlock()
	return f.Closed && e.State == catalog.Arriving || p.isDue(f, e, p.now())
}

// wentMissing reports whether a slide that was at path is gone.
func (p *eventScan) wentMissing(path string) bool {
	if _, err := p.stat(path); !fsx.IsGone(err) {
		return false
	}
	e, ok := p.s.mirror().File(p.store.ID, path)
	return ok && e.State != catalog.Missing
}
