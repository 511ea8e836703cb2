package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/blob"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A pass is one comparison of a store's folder with the catalog.
type pass struct {
	s *Syncer
	*folder
	o        Options
	store    *catalog.Store
	root     *os.Root
	rootID   blob.Identity
	mount    mount
	filter   filter
	patience patience
	enter    func(dir string, dev uint64) // see walker
	taken    map[string]bool              // paths of files that were found under another name
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
	if err := CheckPatterns(slices.Concat(st.Include, st.Exclude)); err != nil {
		return nil, err
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
	p := &pass{s: s, folder: fo, o: o, store: st, root: root, rootID: id, mount: m, taken: map[string]bool{}, filter: newFilter(st.Include, st.Exclude)}
	p.result.Failed = []Failure{} // a list in JSON, not null
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
	due := p.due(files, left)
	if err := p.look(ctx, due); err != nil {
		return err
	}
	if p.o.Wait {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	absent := p.untaken(p.absent(left, w))
	if err := p.refuse(len(absent)); err != nil {
		return err
	}
	return p.miss(ctx, absent)
}

// untaken returns the paths that were not found under another name.
func (p *pass) untaken(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool { return p.taken[path] })
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

// due takes the files that were found out of left, and returns those to be looked
// at.
func (p *pass) due(files []found, left map[string]entry) (due []found) {
	now := p.s.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for path := range p.sightings {
		if _, err := p.stat(path); errors.Is(err, fs.ErrNotExist) {
			delete(p.sightings, path)
		}
	}
	p.seenRoot = p.rootID
	for _, f := range files {
		e, ok := left[f.path]
		delete(left, f.path)
		if !e.deleted {
			p.result.Count++
		}
		switch {
		case !ok || p.o.Resync || p.isDue(f, e, now):
			due = append(due, f)
		case e.state == catalog.Arriving && !e.deleted:
			p.result.Arriving++
		}
	}
	return due
}

// isDue reports whether a file that is known has to be looked at.
func (p *pass) isDue(f found, e entry, now time.Time) bool {
	s, waiting := p.sightings[f.path]
	switch {
	case !e.id.Same(f.id) || e.state == catalog.Missing:
		return true
	case waiting && s.since.After(now):
		return true // the clock was set back: begin anew, and not only when it is where it was
	case waiting:
		return !s.again.IsZero() && !s.again.After(now)
	}
	return e.state == catalog.Arriving
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
		if im.DeletedAt == nil {
			p.result.Missing++
		}
	}
	if p.o.DryRun {
		return nil
	}
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
	now := p.s.now().UTC()
	if last := p.store.LastSync; last != nil && !p.result.changed() && p.store.RootID.Same(p.rootID) {
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
	_, err = p.s.Catalog.UpdateStore(ctx, p.store.ID, func(st *catalog.Store) error {
		st.LastSync, st.LastResult, st.RootID, st.RootFS = &now, result, p.rootID, p.mount.id
		return nil
	})
	return err
}

// retire hides what has been missing for as long as the store says, and drops what
// has been for longer.
func (p *pass) retire(ctx context.Context, now time.Time) error {
	if after := p.store.HideAfter; after > 0 {
		if _, err := p.s.Catalog.HideMissing(ctx, p.store.ID, now.Add(-after)); err != nil {
			return err
		}
	}
	if p.store.DropAfter <= 0 {
		return nil
	}
	var old []string
	before := now.Add(-p.store.DropAfter).UnixMicro()
	for _, e := range p.s.mirror.files(p.store.ID) {
		if e.missing != 0 && e.missing < before {
			old = append(old, e.image)
		}
	}
	return p.s.Catalog.DropImages(ctx, old...)
}

// or is v, or if that is zero the other.
func or[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
