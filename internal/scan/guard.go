package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// minMissing is how many slides may always go missing at once.
const minMissing = 10

// missingWindow is the period within which slides that went missing count as gone at
// once.
const missingWindow = 10 * time.Minute

// A guard decides which images of a scan are missing, and marks them. Files may be gone for
// many reasons that are no reason to mark them: another disk, an unreachable folder, a mistake.
type guard struct{ *scan }

// scanEnded records how a scan ended. A refused scan guards the folder: until a later
// scan completes, because the slides are back or a person has confirmed that they are
// gone, events do not mark slides missing either.
func (f *folder) scanEnded(o Options, err error) {
	f.waiting.Lock()
	defer f.waiting.Unlock()
	switch {
	case errors.Is(err, ErrManyMissing), errors.Is(err, ErrOtherRoot), errors.Is(err, ErrNoRoot):
		f.refused = err
	case err == nil && !o.DryRun:
		f.scanned, f.refused = true, nil
	}
}

// refusal returns why the last scan marked nothing missing; nil if it was not refused.
func (f *folder) refusal() error {
	f.waiting.Lock()
	defer f.waiting.Unlock()
	return f.refused
}

// markReportedMissing marks slides missing that events reported as gone, unless the
// whole folder has to be scanned first.
func (p guard) markReportedMissing(ctx context.Context, gone []string) (urgency, error) {
	switch {
	case len(gone) == 0, p.refusal() != nil: // a scan is retried every few seconds
		return noScan, nil
	case !p.rootIsKnown(), p.refuse(len(gone)) != nil:
		return scanNow, nil
	}
	return noScan, p.markMissing(ctx, gone)
}

// markOneMissing marks a slide missing whose file was found gone when a person
// requested an inspection. That says nothing about the other slides, so all missing
// slides are counted as in a scan, whichever process made the last one.
func (p guard) markOneMissing(ctx context.Context, path string) error {
	if p.store.Kind == catalog.S3 {
		return p.markObjectMissing(ctx, path)
	}
	gone := 0
	for other, e := range p.s.mirror().Files(p.store.ID) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := p.stat(other); fsx.IsGone(err) && e.Counts() {
			gone++
		}
	}
	if err := p.refuse(gone); err != nil {
		return err
	}
	return p.markMissing(ctx, []string{path})
}

// markObjectMissing is markOneMissing for a bucket, whose objects are counted by listing it.
func (p guard) markObjectMissing(ctx context.Context, path string) error {
	left := p.known()
	known := counted(left)
	if _, err := p.src.List(ctx, source.ListOptions{Item: func(f source.Item) { delete(left, f.Path) }}); err != nil {
		return err
	}
	if _, gone := left[path]; !gone {
		return nil
	}
	if gone := counted(left); gone == known && !p.o.Confirm {
		return fmt.Errorf("%w (%d of %d)", ErrManyMissing, gone, known)
	} else if err := p.refuse(gone); err != nil {
		return err
	}
	return p.markMissing(ctx, []string{path})
}

// askAtOnce is how many objects of a bucket are looked for, or inspected, at once.
const askAtOnce = 16

// confirmAbsent returns those of the paths that a bucket has no object for when it is asked for
// each: a listing may be older than an upload. An error says that nothing is known.
func (p guard) confirmAbsent(ctx context.Context, paths []string) ([]string, error) {
	if p.store.Kind != catalog.S3 || len(paths) == 0 {
		return paths, nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	gone := make([]bool, len(paths))
	var next atomic.Int64
	var asking sync.WaitGroup
	for range min(askAtOnce, len(paths)) {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(paths) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				_, err := p.stat(paths[i])
				if gone[i] = fsx.IsGone(err); err != nil && !gone[i] {
					stop(err)
				}
			}
		})
	}
	asking.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var absent []string
	for i, path := range paths {
		if gone[i] {
			absent = append(absent, path)
		}
	}
	return absent, nil
}

// sameRoot checks that the folder is the store's. The device number may change when a
// machine restarts, and a folder may have been restored from a backup: the folder is
// accepted if most slides are where they were.
func (p guard) sameRoot(files []source.Item, known map[string]mirror.Entry) error {
	was := p.store.RootID
	if was.Ino == 0 || p.o.Confirm || was.Ino == p.rootID.Ino && (was.Dev == p.rootID.Dev || fileSystem(p.src).ID != "" && p.store.RootFS == fileSystem(p.src).ID) {
		return nil
	}
	live, there := 0, 0
	for _, e := range known {
		if e.Counts() {
			live++
		}
	}
	for _, f := range files {
		if e, ok := known[f.Path]; ok && e.Counts() && e.ID.Size == f.Identity.Size && e.ID.MTime == f.Identity.MTime {
			there++
		}
	}
	if 2*there < live {
		return ErrOtherRoot
	}
	return nil
}

// absent returns the paths in left, which were not found, that are newly missing. It
// leaves out files in folders that could not be read, and on file systems that are
// normally mounted below the root and now are not.
func (p guard) absent(left map[string]mirror.Entry, w *source.Listing) []string {
	unmounted := p.unmounted(left, w)
	var list []string
	away := 0
	for path, e := range left {
		switch {
		case e.State == catalog.Missing || w.Hides(path):
		case unmounted[e.ID.Dev]:
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

// unmounted returns the devices that are no longer mounted below the root: none of
// their files was found, and no other file has their number.
func (p guard) unmounted(left map[string]mirror.Entry, w *source.Listing) map[uint64]bool {
	gone := map[uint64]int{}
	for _, e := range left {
		if !w.HasDevice(e.ID.Dev) && e.ID.Dev != p.store.RootID.Dev && e.State != catalog.Missing {
			gone[e.ID.Dev]++
		}
	}
	if len(gone) == 0 {
		return nil
	}
	for _, e := range p.s.mirror().Files(p.store.ID) {
		if e.State != catalog.Missing {
			gone[e.ID.Dev]--
		}
	}
	list := map[uint64]bool{}
	for dev, n := range gone {
		list[dev] = n == 0
	}
	return list
}

// refuse returns [ErrManyMissing] if n more missing slides need a person's
// confirmation. Slides that went missing shortly before count too, because a folder
// that is being emptied is scanned several times. So do all since the last completed
// scan, however long ago: waiting does not lift a guard.
func (p guard) refuse(n int) error {
	since := p.s.now().Add(-missingWindow)
	if last := p.store.LastSync; last != nil && last.Before(since) {
		since = *last
	}
	live, before := p.s.mirror().Tally(p.store.ID, since)
	gone, all := n+before, live+before
	share := cmp.Or(p.store.MaxMissing, cmp.Or(p.s.MaxMissing, DefaultMaxMissing))
	if n == 0 || p.o.Confirm || gone <= minMissing || float64(gone) <= share*float64(all) {
		return nil
	}
	return fmt.Errorf("%w (%d of %d)", ErrManyMissing, gone, all)
}

// notMoved returns the paths that were not found under another name.
func (p guard) notMoved(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool { return p.taken[path] })
}

// markMissing marks images missing whose files still don't exist.
func (p guard) markMissing(ctx context.Context, paths []string) error {
	for len(paths) > 0 {
		n := min(len(paths), commitBatch)
		if err := p.markBatchMissing(ctx, paths[:n]); err != nil {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

func (p guard) markBatchMissing(ctx context.Context, paths []string) error {
	p.waiting.Lock()
	defer p.waiting.Unlock()
	now := p.s.now().UTC()
	var list []*catalog.Image
	for _, path := range paths {
		if p.store.Kind != catalog.S3 { // whose objects were confirmed to be absent
			if _, err := p.stat(path); !fsx.IsGone(err) {
				continue // it came back, or its folder can't be read
			}
		}
		delete(p.waiting.Files, path)
		im, err := p.c.Images.ByPath(ctx, p.store.ID, path)
		if errors.Is(err, catalog.ErrNotFound) || err == nil && im.State == catalog.Missing {
			continue
		}
		if err != nil {
			return err
		}
		if p.store.ManagedFolder() {
			if found, err := managedScan(p).recovery().FindMoved(ctx, im); found || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		im.State, im.Reason, im.MissingSince = catalog.Missing, "the file no longer exists", &now
		switch p.store.Kind {
		case catalog.S3:
			im.Reason = "the bucket no longer has the object"
		case catalog.MongoDB, catalog.Dump:
			im.Reason = "the database no longer has the image"
		}
		keepAnnotations(im)
		list = append(list, im)
		if im.DeletedAt == nil {
			p.result.Missing++
		}
	}
	if p.o.DryRun {
		return nil
	}
	return p.c.Images.Put(ctx, list)
}

// rootIsKnown reports whether the folder is the one that the last completed scan read.
func (p guard) rootIsKnown() bool {
	p.waiting.Lock()
	defer p.waiting.Unlock()
	return p.scanned && p.seenRoot.Dev == p.rootID.Dev && p.seenRoot.Ino == p.rootID.Ino
}
