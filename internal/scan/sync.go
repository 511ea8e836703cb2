package scan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/mirror"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A scan is one comparison of a store's folder with the catalog. The way of a file to its
// record is the same whether the folder was listed (whole), an event was reported (touch) or a
// person requested it ([Syncer.Retry]):
//
//   - due, or wanted after an event: must it be inspected?
//   - inspectAll, inspectItem, examine: what is it, and since when is it unchanged?
//   - commit, record: is it still the same file, whose record is it, and what changes?
//
// Three kinds of decision have types of their own: [guard] for files that are gone, [managedScan]
// for managed stores, and [eventScan] for events.
type scan struct {
	s *Syncer
	c *catalog.Catalog // writes under the lease
	*folder
	o            Options
	store        *catalog.Store
	src          source.Source // what is scanned
	prefix       string        // of the paths of its files: "", or of a managed store [incoming] or [slides]
	rootID       fsx.Identity
	settlePolicy inspect.Policy
	ahead        time.Duration                // of the clock that sets the times of files, compared with ours
	enter        func(dir string, dev uint64) // see walker
	taken        map[string]bool              // paths of files that were found under another name
	kind         inspect.Kind                 // of the last item that was inspected
	result       *Result
}

// Sync scans the folder of a store and updates the catalog. It does not open unchanged
// files. An error at one file or folder is recorded in the result and does not stop the
// scan.
//
// The error is [ErrNoRoot], [ErrOtherRoot] or [ErrManyMissing], or one of the catalog
// or the context. The result then holds what was done before; the next scan continues
// from there.
func (s *Syncer) Sync(ctx context.Context, store string, o Options) (Result, error) {
	st, err := s.Catalog.Stores.Get(ctx, store)
	if err != nil {
		return Result{}, err
	}
	return s.sync(ctx, st, o, nil)
}

func (s *Syncer) sync(ctx context.Context, st *catalog.Store, o Options, enter func(string, uint64)) (Result, error) {
	fo := s.folder(st.ID)
	fo.scan.Lock()
	defer fo.scan.Unlock()
	ctx, c, release, err := s.leases().Take(ctx, "sync "+st.ID)
	if err != nil {
		return Result{}, err
	}
	defer release()
	r, err := s.leased(ctx, c, st, o, enter)
	fo.scanEnded(o, err)
	return r, err
}

// leased makes a scan under the lease of the store.
func (s *Syncer) leased(ctx context.Context, c *catalog.Catalog, st *catalog.Store, o Options, enter func(string, uint64)) (Result, error) {
	began, fo := time.Now(), s.folder(st.ID)
	p, err := s.begin(st, fo, o)
	if err != nil {
		return Result{}, err
	}
	defer p.src.Close()
	p.c, p.enter = c, enter
	if !o.DryRun {
		if _, err := c.Images.NameCases(ctx, st.ID); err != nil {
			return *p.result, err
		}
	}
	switch {
	case st.ManagedFolder():
		err = managedScan{p}.run(ctx)
	case st.ManagedBucket():
		err = bucketScan{p}.run(ctx)
	default:
		err = p.whole(ctx)
	}
	p.result.Next = fo.waiting.Next()
	p.result.Duration = time.Since(began).Seconds()
	if err == nil && !o.DryRun {
		err = p.finish(ctx)
	}
	return *p.result, err
}

// begin opens the store's folder or database.
func (s *Syncer) begin(st *catalog.Store, fo *folder, o Options) (*scan, error) {
	if err := source.CheckPatterns(slices.Concat(st.Include, st.Exclude)); err != nil {
		return nil, err
	}
	p := &scan{s: s, c: s.Catalog, folder: fo, o: o, store: st, taken: map[string]bool{}}
	p.result = &Result{Failed: []Failure{}} // a list in JSON, not null
	if st.Kind != catalog.Directory {
		return p, p.openImages()
	}
	base := st.Root
	if st.ManagedFolder() {
		if err := managed.CheckMarker(st); err != nil {
			return nil, err
		}
		base, p.prefix = managed.IncomingOf(st), managed.Incoming
	}
	var err error
	if p.rootID, err = fsx.Stat(st.Root); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	dir, err := source.OpenDirectory(base, p.prefix, filterOf(st))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	p.src = dir
	p.settlePolicy = inspect.Policy{Pause: cmp.Or(s.Pause, DefaultPause), Settle: cmp.Or(st.Settle, cmp.Or(s.Settle, DefaultSettle))}
	if !dir.FileSystem().Local {
		p.settlePolicy.Skew = inspect.ForeignSkew
	}
	return p, nil
}

// policy is how long to wait for the files of an item. A series without some of its files is a
// slide, too, so that it must be unchanged for longer.
func (p *scan) policy(path string) inspect.Policy {
	w := p.settlePolicy
	if catalog.IsSeries(path) {
		w.Pause *= seriesPauses
	}
	return w
}

// now is the time by the clock that sets the times of files.
func (p *scan) now() time.Time { return p.s.now().Add(p.ahead) }

// openImages opens the store's database, dump or bucket. Its images are complete: they do not
// settle. Objects of gateways over file systems may still be written.
func (p *scan) openImages() error {
	src, err := p.s.sources().Open(p.store)
	if err != nil {
		return err
	}
	if p.rootID, err = src.Root(); err != nil {
		src.Close()
		return err
	}
	p.src = src
	if c, ok := src.(interface{ Ahead() time.Duration }); ok {
		p.ahead = c.Ahead()
		p.settlePolicy.Settle = cmp.Or(p.store.Settle, cmp.Or(p.s.Settle, DefaultSettle))
	}
	if p.store.ManagedBucket() {
		p.settlePolicy.Settle = math.MinInt64 // complete when they were recorded
	}
	return nil
}

// stillThere returns the error of a database, dump or bucket that is unreachable by now: its
// images may have been skipped.
func (p *scan) stillThere() error {
	if p.store.Kind == catalog.Directory {
		return nil
	}
	_, err := p.src.Root()
	return err
}

// fileSystem returns the file system of a source, if it is in one.
func fileSystem(src source.Source) source.FileSystem {
	if f, ok := src.(interface{ FileSystem() source.FileSystem }); ok {
		return f.FileSystem()
	}
	return source.FileSystem{}
}

// whole scans the whole folder.
func (p *scan) whole(ctx context.Context) error {
	files, w, err := p.survey(ctx)
	if err != nil {
		return err
	}
	if files, err = p.withoutPacked(ctx, files); err != nil {
		return err
	}
	left, missing := p.known(), guard{p}
	if err := missing.sameRoot(files, left); err != nil {
		return err
	}
	p.result.Links = w.Links
	p.failUnreadable(w)
	known := counted(left)
	due := p.due(files, left)
	none := p.store.Kind == catalog.S3 && known > 0 && counted(left) == known
	if err := cmp.Or(p.inspectAll(ctx, due), p.stillThere()); err != nil {
		return err
	}
	if p.o.Wait {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	absent := missing.notMoved(missing.absent(left, w))
	if none && !p.o.Confirm {
		return fmt.Errorf("%w (%d of %d)", ErrManyMissing, known, known)
	}
	if err := missing.refuse(len(absent)); err != nil {
		return err
	}
	if absent, err = missing.confirmAbsent(ctx, absent); err != nil {
		return err
	}
	return missing.markMissing(ctx, absent)
}

// counted is how many of the entries are of slides that users see and whose files exist.
func counted(entries map[string]mirror.Entry) (n int) {
	for _, e := range entries {
		if e.Counts() {
			n++
		}
	}
	return n
}

// withoutPacked removes the items that were packed into another store.
func (p *scan) withoutPacked(ctx context.Context, files []source.Item) ([]source.Item, error) {
	packed, err := p.c.Images.Packed(ctx, p.store.ID)
	if err != nil || len(packed) == 0 {
		return files, err
	}
	return slices.DeleteFunc(files, func(f source.Item) bool { return packed[f.Path] }), nil
}

// known returns the catalog's entries of the files in the folder.
func (p *scan) known() map[string]mirror.Entry {
	files := p.s.mirror().Files(p.store.ID)
	maps.DeleteFunc(files, func(path string, _ mirror.Entry) bool { return !strings.HasPrefix(path, p.prefix) })
	return files
}

// failUnreadable records what could not be read. It names no file.
func (p *scan) failUnreadable(l *source.Listing) {
	for _, u := range l.Unreadable {
		if p.store.Kind == catalog.S3 {
			p.result.fail("", u.Err.Error()) // its key is a file name
			continue
		}
		if p.store.Kind != catalog.Directory {
			p.result.fail("", strings.TrimPrefix(u.Path+": ", ": ")+u.Err.Error())
			continue
		}
		p.result.fail("", fmt.Sprintf("inode %d: %s", u.Inode, inspect.ReadError(u.Err).Reason))
	}
}

// survey lists the folder while the mirror is updated.
func (p *scan) survey(ctx context.Context) ([]source.Item, *source.Listing, error) {
	followed := make(chan error, 1)
	go func() { followed <- p.s.follow(ctx) }()
	var files []source.Item
	began := time.Now()
	w, err := p.src.List(ctx, source.ListOptions{Enter: p.enter, Item: func(f source.Item) { files = append(files, f) }})
	p.listedIn(w.Entries, time.Since(began))
	if followErr := <-followed; followErr != nil {
		return nil, nil, followErr
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoRoot) {
		err = fmt.Errorf("%w: %s", ErrNoRoot, inspect.ReadError(err).Reason)
	}
	return files, w, err
}

// due removes the files that were found from left, and returns those to be inspected.
func (p *scan) due(files []source.Item, left map[string]mirror.Entry) (due []source.Item) {
	now := p.now()
	p.waiting.Lock()
	defer p.waiting.Unlock()
	p.forgetGone(files)
	p.seenRoot = p.rootID
	for _, f := range files {
		e, ok := left[f.Path]
		delete(left, f.Path)
		if !e.Deleted {
			p.result.Count++
		}
		switch {
		case !ok || p.o.Resync || p.isDue(f, e, now):
			due = append(due, f)
		case e.State == catalog.Arriving && !e.Deleted:
			p.result.Arriving++
		}
	}
	return due
}

// forgetGone removes files that are gone from those that wait. A bucket is not asked for each:
// its objects were listed just now.
func (p *scan) forgetGone(files []source.Item) {
	if p.store.Kind == catalog.S3 && len(p.waiting.Files) > 0 {
		listed := make(map[string]bool, len(files))
		for _, f := range files {
			listed[f.Path] = true
		}
		maps.DeleteFunc(p.waiting.Files, func(path string, _ inspect.Observation) bool { return !listed[path] })
		return
	}
	for path := range p.waiting.Files {
		if _, err := p.stat(path); errors.Is(err, fs.ErrNotExist) {
			delete(p.waiting.Files, path)
		}
	}
}

// isDue reports whether a known file has to be inspected.
func (p *scan) isDue(f source.Item, e mirror.Entry, now time.Time) bool {
	s, waiting := p.waiting.Files[f.Path]
	switch {
	case !e.ID.Same(f.Identity) || e.State == catalog.Missing:
		return true
	case waiting && s.Since.After(now):
		return true // the clock was set back: restart the observation now
	case waiting:
		return !s.Again.IsZero() && !s.Again.After(now)
	case e.JPEG2000 && inspect.ReadsJPEG2000():
		return true
	}
	return e.State == catalog.Arriving
}

// stat returns the identity of the regular file at path, which in a managed store may be
// outside of the scanned directory. Other kinds of file count as not existing.
func (p *scan) stat(path string) (fsx.Identity, error) {
	if strings.HasPrefix(path, p.prefix) {
		return p.src.Identify(path)
	}
	return managed.Identify(p.store, path)
}

// finish records the scan in the store. Of a watcher's scans that found nothing to do,
// it records at most one a minute.
func (p *scan) finish(ctx context.Context) error {
	now := p.s.now().UTC()
	if last := p.store.LastSync; p.o.watching && last != nil && !p.result.changed() && p.store.RootID.Same(p.rootID) {
		if ago := now.Sub(*last); ago >= 0 && ago < time.Minute {
			return nil
		}
	}
	result, err := json.Marshal(&p.result)
	if err != nil {
		return err
	}
	if err := p.retire(ctx, now); err != nil {
		return err
	}
	_, err = p.c.Stores.Update(ctx, p.store.ID, func(st *catalog.Store) error {
		st.LastSync, st.LastResult, st.RootID, st.RootFS = &now, result, p.rootID, fileSystem(p.src).ID
		return nil
	})
	return err
}

// retire hides, and later drops, images that have been missing for the store's
// retention times, and empties the trash.
func (p *scan) retire(ctx context.Context, now time.Time) error {
	if after := p.store.HideAfter; after > 0 {
		if _, err := p.c.Images.HideMissing(ctx, p.store.ID, now.Add(-after)); err != nil {
			return err
		}
	}
	switch {
	case p.store.ManagedFolder():
		if _, err := p.s.managedStore(p.store).EmptyTrash(ctx, p.c); err != nil {
			return err
		}
		if err := (managedScan{p}).removeMoved(ctx, now); err != nil {
			return err
		}
	case p.store.ManagedBucket():
		bucketScan{p}.emptyTrash(ctx)
	}
	if p.store.DropAfter <= 0 {
		return nil
	}
	var old []string
	before := now.Add(-p.store.DropAfter).UnixMicro()
	for _, e := range p.s.mirror().Files(p.store.ID) {
		if e.Missing != 0 && e.Missing < before {
			old = append(old, e.Image)
		}
	}
	return p.c.Images.Drop(ctx, old...)
}
