package ingest

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// touchMost is how many files are looked at before what is heard next. More than
// these are left to a pass.
const touchMost = 500

// A hurry says how soon a pass over the whole folder is wanted.
type hurry int

const (
	noHurry  hurry = iota
	passSoon       // as soon as passes may follow each other
	passNow
)

// touch looks at the few paths of a store at which something was heard. Whole says
// whether this is a matter for a pass over the whole folder: a folder went away, more
// slides came at once or went than are dealt with here, or one is gone and no event
// has told of it. That one says nothing of how many there are, so only a pass, which
// counts them all, may mark it missing.
func (s *Syncer) touch(ctx context.Context, c *catalog.Catalog, st *catalog.Store, list map[string]source.Sign, enter func(string, uint64)) (r Result, whole hurry, err error) {
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return Result{}, noHurry, err
	}
	defer p.dir.Close()
	p.c, p.enter = c, enter
	if err := s.follow(ctx); err != nil {
		return Result{}, noHurry, err
	}
	var due []source.Item
	var gone []string
	for path, sign := range list {
		if !strings.HasPrefix(path, p.prefix) {
			h, err := p.nudged(ctx, path)
			if whole = max(whole, h); err != nil {
				return *p.result, whole, err
			}
			continue
		}
		if sign&source.DirectoryGone != 0 {
			whole = passNow
		}
		if sign&source.DirectoryCame != 0 {
			if err := p.below(ctx, path, sign, &due); err != nil {
				return *p.result, passNow, err
			}
			continue
		}
		if f, ok := p.heard(path, sign); ok {
			due = append(due, f)
		} else if p.parted(path) {
			if sign&source.Nudged == 0 {
				gone = append(gone, path)
			} else {
				whole = max(whole, p.hurry())
			}
		}
	}
	if len(due) > touchMost {
		due, whole = due[:touchMost], passNow
	}
	if err := p.look(ctx, due); err != nil {
		return *p.result, whole, err
	}
	if st.Mode == catalog.Managed {
		if err := p.handTouched(ctx, due); err != nil {
			return *p.result, whole, err
		}
	}
	h, err := p.missHeard(ctx, p.untaken(gone))
	return *p.result, max(whole, h), err
}

// hurry is how soon a pass is wanted for a slide that somebody found gone. One that was
// refused is tried again anyway.
func (p *pass) hurry() hurry {
	if p.guarded() != nil {
		return noHurry
	}
	return passSoon
}

// nudged looks at a file of a managed store that did not just arrive, and at which
// something was seen to be wrong.
func (p *pass) nudged(ctx context.Context, path string) (hurry, error) {
	e, ok := p.s.mirror.file(p.store.ID, path)
	id, err := p.stat(path)
	switch {
	case fsx.IsGone(err) && ok && e.state != catalog.Missing:
		return p.hurry(), nil
	case err != nil || !ok || !strings.HasPrefix(path, slides) || e.id.Same(id):
		return noHurry, nil //nolint:nilerr // a pass will see
	}
	kept, closeRoot, err := p.ofSlides()
	if err != nil {
		return noHurry, err
	}
	defer closeRoot()
	return noHurry, kept.look(ctx, []source.Item{{Path: path, Identity: id, Closed: true}})
}

// handTouched passes on those of the files that have turned out to be slides, or none.
func (p *pass) handTouched(ctx context.Context, due []source.Item) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	for _, f := range due {
		if e, ok := p.s.mirror.file(p.store.ID, f.Path); ok {
			p.handOn(ctx, f.Path, e)
		}
	}
	return nil
}

// below finds the slides in a folder that came. If it was renamed in, so were they.
func (p *pass) below(ctx context.Context, dir string, s source.Sign, due *[]source.Item) error {
	w, err := p.dir.List(ctx, source.ListOptions{Below: dir, Enter: p.enter, Item: func(f source.Item) {
		f.Closed = s&source.WriterLeft != 0
		if p.wanted(f) {
			*due = append(*due, f)
		}
	}})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // gone again
	}
	p.failUnreadable(w)
	return err
}

// heard returns the file at path if it has to be looked at.
func (p *pass) heard(path string, s source.Sign) (source.Item, bool) {
	id, err := p.stat(path)
	f := source.Item{Path: path, Identity: id, Closed: s&source.WriterLeft != 0}
	return f, err == nil && p.dir.Selects(path) && p.wanted(f)
}

// wanted reports whether a file is new, changed, or due.
func (p *pass) wanted(f source.Item) bool {
	e, ok := p.s.mirror.file(p.store.ID, f.Path)
	if !ok {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.Closed && e.state == catalog.Arriving || p.isDue(f, e, p.s.now())
}

// parted reports whether a slide that was at path is there no more.
func (p *pass) parted(path string) bool {
	if _, err := p.stat(path); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return false
	}
	e, ok := p.s.mirror.file(p.store.ID, path)
	return ok && e.state != catalog.Missing
}

// rootIsKnown reports whether the folder is the one that the last pass went
// through, to its end.
func (p *pass) rootIsKnown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed && p.seenRoot.Dev == p.rootID.Dev && p.seenRoot.Ino == p.rootID.Ino
}
