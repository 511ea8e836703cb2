package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/blob"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// minMissing is how many slides may always go missing at once.
const minMissing = 10

// missingWindow is how long slides that went missing count as going at once.
const missingWindow = 10 * time.Minute

// A pass is one comparison of a store's folder with the catalog.
type pass struct {
	s *Syncer
	*folder
	o        Options
	store    *catalog.Store
	root     *os.Root
	rootID   blob.Identity
	filter   filter
	patience patience
	enter    func(dir string, dev uint64) // see walker
	result   Result
}

// Sync compares the folder of a store with the catalog and brings the catalog to
// what the folder holds. Files that are as the catalog knows them are not opened.
// What is wrong with one file or folder stops nothing else: it is in the result.
//
// The error is [ErrNoRoot], [ErrOtherRoot] or [ErrManyMissing], the catalog's or
// the context's. What was done until then is in the result, and stays done: the
// next pass goes on from there.
func (s *Syncer) Sync(ctx context.Context, store string, o Options) (Result, error) {
	st, err := s.Catalog.Store(ctx, store)
	if err != nil {
		return Result{}, err
	}
	return s.sync(ctx, st, o, nil)
}

func (s *Syncer) sync(ctx context.Context, st *catalog.Store, o Options, enter func(string, uint64)) (Result, error) {
	began := time.Now()
	fo := s.folder(st.ID)
	fo.pass.Lock()
	defer fo.pass.Unlock()
	p, err := s.begin(st, fo, o)
	if err != nil {
		return Result{}, err
	}
	defer p.root.Close()
	p.enter = enter
	err = p.whole(ctx)
	p.result.Next = fo.next()
	p.result.Duration = time.Since(began).Seconds()
	if err == nil && !o.DryRun {
		err = p.finish(ctx)
	}
	return p.result, err
}

// begin opens the store's folder.
func (s *Syncer) begin(st *catalog.Store, fo *folder, o Options) (*pass, error) {
	if st.Mode == catalog.Managed {
		return nil, ErrManaged
	}
	root, err := os.OpenRoot(st.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	id, err := blob.Stat(st.Root)
	var m mount
	if err == nil {
		m, err = mountOf(st.Root)
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	p := &pass{s: s, folder: fo, o: o, store: st, root: root, rootID: id, filter: newFilter(st.Include, st.Exclude)}
	p.patience = patience{pause: or(s.Pause, DefaultPause), settle: or(st.Settle, or(s.Settle, DefaultSettle))}
	if !m.local {
		p.patience.skew = foreignSkew
	}
	return p, nil
}

// whole goes through the whole folder.
func (p *pass) whole(ctx context.Context) error {
	files, w, err := p.survey(ctx)
	if err != nil {
		return err
	}
	left := p.s.mirror.files(p.store.ID)
	if err := p.sameRoot(files, left); err != nil {
		return err
	}
	p.result.Links = w.links
	for _, b := range w.blind {
		p.result.fail("", b.String())
	}
	due, live := p.due(files, left)
	absent := p.absent(left, live, w)
	err = p.refuse(len(absent), live)
	if lookErr := p.look(ctx, due); lookErr != nil {
		return lookErr
	}
	if err != nil {
		return err
	}
	if p.o.Wait {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	return p.miss(ctx, absent)
}

// survey walks the folder while the mirror is brought up to date.
func (p *pass) survey(ctx context.Context) ([]found, *walker, error) {
	followed := make(chan error, 1)
	go func() { followed <- p.s.follow(ctx) }()
	var files []found
	w := &walker{root: p.store.Root, filter: p.filter, enter: p.enter, file: func(f found) { files = append(files, f) }}
	err := w.walk(ctx, "")
	if followErr := <-followed; followErr != nil {
		return nil, nil, followErr
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %s", ErrNoRoot, unreadable(err).Reason)
	}
	return files, w, err
}

// sameRoot makes sure that the folder is the store's. A device is often numbered
// anew when a machine starts, and a folder may have been restored from a backup: if
// most of the slides are where they were, it is the one.
func (p *pass) sameRoot(files []found, known map[string]entry) error {
	was := p.store.RootID
	if was.Ino == 0 || was.Ino == p.rootID.Ino && was.Dev == p.rootID.Dev || p.o.Confirm {
		return nil
	}
	live, there := 0, 0
	for _, e := range known {
		if e.state != catalog.Missing {
			live++
		}
	}
	for _, f := range files {
		if e, ok := known[f.path]; ok && e.state != catalog.Missing && e.id.Size == f.id.Size && e.id.MTime == f.id.MTime {
			there++
		}
	}
	if 2*there < live {
		return ErrOtherRoot
	}
	return nil
}

// due takes the files that were found out of left, and returns those to be looked
// at, and how many of the catalog's were not known to be missing.
func (p *pass) due(files []found, left map[string]entry) (due []found, live int) {
	now := p.s.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for path := range p.sightings {
		if _, err := p.stat(path); errors.Is(err, fs.ErrNotExist) {
			delete(p.sightings, path)
		}
	}
	p.seenRoot = p.rootID
	for _, e := range left {
		if e.state != catalog.Missing && !e.hidden {
			live++
		}
	}
	for _, f := range files {
		e, ok := left[f.path]
		delete(left, f.path)
		if e.hidden {
			continue
		}
		p.result.Count++
		switch {
		case !ok || p.o.Resync || p.isDue(f, e, now):
			due = append(due, f)
		case e.state == catalog.Arriving:
			p.result.Arriving++
		}
	}
	return due, live
}

// isDue reports whether a file that is known has to be looked at.
func (p *pass) isDue(f found, e entry, now time.Time) bool {
	s, waiting := p.sightings[f.path]
	switch {
	case !e.id.Same(f.id) || e.state == catalog.Missing:
		return true
	case waiting:
		return !s.again.IsZero() && !s.again.After(now)
	}
	return e.state == catalog.Arriving
}

// absent returns which of the files that were not found are missing. Not those of
// which nothing can be said: in folders that could not be read, and on a file
// system that is mounted below the root at other times.
func (p *pass) absent(left map[string]entry, live int, w *walker) []string {
	if len(left) == 0 {
		return nil
	}
	gone, all := map[uint64]int{}, map[uint64]int{}
	for _, e := range left {
		gone[e.id.Dev]++
	}
	for _, e := range p.s.mirror.files(p.store.ID) {
		all[e.id.Dev]++
	}
	var list []string
	unmounted := 0
	for path, e := range left {
		if e.state == catalog.Missing || e.hidden || covered(w.blind, path) {
			continue
		}
		dev := e.id.Dev
		if _, seen := w.devices[dev]; !seen && dev != p.store.RootID.Dev && gone[dev] == all[dev] && live > gone[dev] {
			unmounted++
			continue
		}
		list = append(list, path)
	}
	if unmounted > 0 {
		p.result.fail("", fmt.Sprintf("%d slides are on a file system below the store's folder that is not mounted", unmounted))
	}
	return list
}

func covered(list []blind, path string) bool {
	for _, b := range list {
		if b.covers(path) {
			return true
		}
	}
	return false
}

// refuse returns [ErrManyMissing] if n more slides are gone than may be without a
// person knowing.
func (p *pass) refuse(n, live int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.s.now().Add(-missingWindow)
	for len(p.parted) > 0 && p.parted[0].at.Before(since) {
		p.parted = p.parted[1:]
	}
	recent := 0
	for _, g := range p.parted {
		recent += g.n
	}
	if n == 0 || p.o.Confirm || n+recent <= minMissing || float64(n+recent) <= or(p.s.MaxMissing, DefaultMaxMissing)*float64(live+recent) {
		return nil
	}
	return fmt.Errorf("%w (%d of %d)", ErrManyMissing, n+recent, live+recent)
}

// wait looks again at the files that lacked nothing but time.
func (p *pass) wait(ctx context.Context) error {
	for range 3 { // a file that goes on changing is not waited for
		now := p.s.now()
		var due []found
		var longest time.Duration
		p.mu.Lock()
		for path, s := range p.sightings {
			if d := s.again.Sub(now); !s.again.IsZero() && d <= p.patience.pause {
				due = append(due, found{path, s.id, false})
				longest = max(longest, d)
			}
		}
		p.mu.Unlock()
		if len(due) == 0 || p.o.DryRun {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(longest):
		}
		p.result.Arriving -= len(due)
		if err := p.look(ctx, due); err != nil {
			return err
		}
	}
	return nil
}

// look looks at files, several at a time, and puts what it finds into the catalog.
func (p *pass) look(ctx context.Context, due []found) error {
	if len(due) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	in, out := make(chan found), make(chan *looked, commitBatch)
	var workers sync.WaitGroup
	for range min(or(p.s.Workers, 4), len(due)) {
		workers.Go(func() {
			for f := range in {
				out <- p.lookAt(ctx, f)
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
	for l := range out {
		batch := gather(l, out)
		if err == nil && ctx.Err() == nil {
			if err = p.commit(ctx, batch); err != nil {
				stop() // and take what the workers still have
			}
		}
	}
	return errors.Join(err, ctx.Err())
}

// miss marks images missing whose files are still not there.
func (p *pass) miss(ctx context.Context, paths []string) error {
	for len(paths) > 0 {
		n := min(len(paths), commitBatch)
		if err := p.missSome(ctx, paths[:n]); err != nil {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

func (p *pass) missSome(ctx context.Context, paths []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.s.now().UTC()
	var list []*catalog.Image
	for _, path := range paths {
		if _, err := p.stat(path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			continue // it came back, or nothing can be said
		}
		delete(p.sightings, path)
		im, err := p.s.Catalog.ImageByPath(ctx, p.store.ID, path)
		if errors.Is(err, catalog.ErrNotFound) || err == nil && im.State == catalog.Missing {
			continue
		}
		if err != nil {
			return err
		}
		im.State, im.Reason, im.MissingSince = catalog.Missing, "its file is gone", &now
		list = append(list, im)
	}
	p.result.Missing += len(list)
	if len(list) == 0 || p.o.DryRun {
		return nil
	}
	p.parted = append(p.parted, parting{now, len(list)})
	return p.s.Catalog.PutImages(ctx, list)
}

// stat returns the identity of the file at path. Anything that is not a regular
// file counts as no file.
func (p *pass) stat(path string) (blob.Identity, error) {
	id, err := statAt(unix.AT_FDCWD, filepath.Join(p.store.Root, path))
	if err == nil && id == (blob.Identity{}) {
		err = fs.ErrNotExist
	}
	return id, err
}

// finish records the pass in the store, not more than once a minute if there was
// nothing to do.
func (p *pass) finish(ctx context.Context) error {
	st, err := p.s.Catalog.Store(ctx, p.store.ID) // its settings may have been changed meanwhile
	if err != nil {
		return err
	}
	now := p.s.now().UTC()
	if st.LastSync != nil && !p.result.changed() && st.RootID.Same(p.rootID) {
		if ago := now.Sub(*st.LastSync); ago >= 0 && ago < time.Minute {
			return nil
		}
	}
	st.LastSync, st.RootID = &now, p.rootID
	if st.LastResult, err = json.Marshal(&p.result); err != nil {
		return err
	}
	_, err = p.s.Catalog.PutStore(ctx, *st)
	return err
}

// or is v, or if that is zero the other.
func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
