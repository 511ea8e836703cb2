package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// minMissing is how many slides may always go missing at once.
const minMissing = 10

// missingWindow is how long slides that went missing count as going at once.
const missingWindow = 10 * time.Minute

// scanEnded records how a scan ended. One that refused guards the folder:
// until another comes to its end, because the slides are back or a person has
// confirmed that they are gone, nothing else marks any missing either.
func (f *folder) scanEnded(o Options, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case errors.Is(err, ErrManyMissing), errors.Is(err, ErrOtherRoot), errors.Is(err, ErrNoRoot):
		f.refused = err
	case err == nil && !o.DryRun:
		f.scanned, f.refused = true, nil
	}
}

// refusal returns why the last scan marked nothing missing; nil if none has refused.
func (f *folder) refusal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// markReportedMissing marks slides missing of which events say that they are gone, unless a scan
// has to inspect all of the folder before.
func (p *scan) markReportedMissing(ctx context.Context, gone []string) (urgency, error) {
	switch {
	case len(gone) == 0, p.refusal() != nil: // a scan is tried every few seconds
		return noScan, nil
	case !p.rootIsKnown(), p.refuse(len(gone)) != nil:
		return scanNow, nil
	}
	return noScan, p.markMissing(ctx, gone)
}

// markOneMissing marks a slide missing whose file is gone, as was found when a person wanted it
// inspected. That person has seen one slide and not how many are gone, so all are
// counted as a scan would, whichever process has made the last one.
func (p *scan) markOneMissing(ctx context.Context, path string) error {
	gone := 0
	for other, e := range p.s.mirror.files(p.store.ID) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := p.stat(other); fsx.IsGone(err) && e.counts() {
			gone++
		}
	}
	if err := p.refuse(gone); err != nil {
		return err
	}
	return p.markMissing(ctx, []string{path})
}

// sameRoot makes sure that the folder is the store's. A device is often numbered
// anew when a machine starts, and a folder may have been restored from a backup: if
// most of the slides are where they were, it is the one.
func (p *scan) sameRoot(files []source.Item, known map[string]entry) error {
	was := p.store.RootID
	if was.Ino == 0 || p.o.Confirm || was.Ino == p.rootID.Ino && (was.Dev == p.rootID.Dev || p.dir.FileSystem().ID != "" && p.store.RootFS == p.dir.FileSystem().ID) {
		return nil
	}
	live, there := 0, 0
	for _, e := range known {
		if e.counts() {
			live++
		}
	}
	for _, f := range files {
		if e, ok := known[f.Path]; ok && e.counts() && e.id.Size == f.Identity.Size && e.id.MTime == f.Identity.MTime {
			there++
		}
	}
	if 2*there < live {
		return ErrOtherRoot
	}
	return nil
}

// absent returns those of left, which is what was not found, that are newly
// missing. Not those of which nothing can be said: in folders that could not be
// read, and on a file system that is mounted below the root at other times.
func (p *scan) absent(left map[string]entry, w *source.Listing) []string {
	unmounted := p.unmounted(left, w)
	var list []string
	away := 0
	for path, e := range left {
		switch {
		case e.state == catalog.Missing || w.Hides(path):
		case unmounted[e.id.Dev]:
			away++
		default:
			list = append(list, path)
		}
	}
	if away > 0 {
		p.result.fail("", fmt.Sprintf("%d slides are on a file system below the store's folder that is not mounted", away))
	}
	return list
}

// unmounted returns the devices that were below the root and are there no more: none
// of their files was found, and no other file has taken their number.
func (p *scan) unmounted(left map[string]entry, w *source.Listing) map[uint64]bool {
	gone := map[uint64]int{}
	for _, e := range left {
		if !w.HasDevice(e.id.Dev) && e.id.Dev != p.store.RootID.Dev && e.state != catalog.Missing {
			gone[e.id.Dev]++
		}
	}
	if len(gone) == 0 {
		return nil
	}
	for _, e := range p.s.mirror.files(p.store.ID) {
		if e.state != catalog.Missing {
			gone[e.id.Dev]--
		}
	}
	list := map[uint64]bool{}
	for dev, n := range gone {
		list[dev] = n == 0
	}
	return list
}

// refuse returns [ErrManyMissing] if n more slides are gone than may be without a
// person knowing. Those that went missing shortly before count too: a folder that
// is being emptied is seen in parts. So do all since the last scan that came to its
// end, however long ago: what a guard was raised for does not get less by waiting.
func (p *scan) refuse(n int) error {
	since := p.s.now().Add(-missingWindow)
	if last := p.store.LastSync; last != nil && last.Before(since) {
		since = *last
	}
	live, before := p.s.mirror.tally(p.store.ID, since)
	gone, all := n+before, live+before
	share := or(p.store.MaxMissing, or(p.s.MaxMissing, DefaultMaxMissing))
	if n == 0 || p.o.Confirm || gone <= minMissing || float64(gone) <= share*float64(all) {
		return nil
	}
	return fmt.Errorf("%w (%d of %d)", ErrManyMissing, gone, all)
}
