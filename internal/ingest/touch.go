package ingest

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
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
func (s *Syncer) touch(ctx context.Context, c *catalog.Catalog, st *catalog.Store, list map[string]sign, enter func(string, uint64)) (r Result, whole hurry, err error) {
	p, err := s.begin(st, s.folder(st.ID), Options{})
	if err != nil {
		return Result{}, noHurry, err
	}
	defer p.root.Close()
	p.c, p.enter = c, enter
	if err := s.follow(ctx); err != nil {
		return Result{}, noHurry, err
	}
	var due []found
	var gone []string
	for path, sign := range list {
		if !strings.HasPrefix(path, p.prefix) {
			h, err := p.nudged(ctx, path)
			if whole = max(whole, h); err != nil {
				return *p.result, whole, err
			}
			continue
		}
		if sign&folderParted != 0 {
			whole = passNow
		}
		if sign&folderCame != 0 {
			if err := p.below(ctx, path, sign, &due); err != nil {
				return *p.result, passNow, err
			}
			continue
		}
		if f, ok := p.heard(path, sign); ok {
			due = append(due, f)
		} else if p.parted(path) {
			if sign&nudged == 0 {
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
	return noHurry, kept.look(ctx, []found{{path, id, true}})
}

// handTouched passes on those of the files that have turned out to be slides, or none.
func (p *pass) handTouched(ctx context.Context, due []found) error {
	if err := p.s.follow(ctx); err != nil {
		return err
	}
	for _, f := range due {
		if e, ok := p.s.mirror.file(p.store.ID, f.path); ok {
			p.handOn(ctx, f.path, e)
		}
	}
	return nil
}

// below finds the slides in a folder that came. If it was renamed in, so were they.
func (p *pass) below(ctx context.Context, dir string, s sign, due *[]found) error {
	w := p.walker(func(f found) {
		f.closed = s&writerLeft != 0
		if p.wanted(f) {
			*due = append(*due, f)
		}
	})
	err := w.walk(ctx, p.rel(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // gone again
	}
	for _, b := range w.blind {
		p.result.fail("", b.String())
	}
	return err
}

// heard returns the file at path if it has to be looked at.
func (p *pass) heard(path string, s sign) (found, bool) {
	id, err := p.stat(path)
	f := found{path, id, s&writerLeft != 0}
	return f, err == nil && p.filter.allows(p.rel(path)) && p.wanted(f)
}

// wanted reports whether a file is new, changed, or due.
func (p *pass) wanted(f found) bool {
	e, ok := p.s.mirror.file(p.store.ID, f.path)
	if !ok {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.closed && e.state == catalog.Arriving || p.isDue(f, e, p.s.now())
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
