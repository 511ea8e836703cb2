package managed

import (
	"path"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// sweepAfter is the age after which a small file counts as left behind by an
// interrupted operation.
const sweepAfter = time.Minute

// sweep removes what an interrupted import left behind: a copy, a sidecar without its
// file, or part of one.
func (r *Recovery) sweep(at string) {
	name, staged := strings.CutPrefix(at, Staging)
	hidden := strings.HasPrefix(path.Base(at), ".")
	part, isPart := strings.CutSuffix(name, ".part")
	side, isSide := strings.CutSuffix(name, ".json")
	if r.DryRun || !hidden && !(staged && (isPart || isSide)) {
		return
	}
	s, err := EntryOf(r.Store.Store, at)
	if err != nil {
		return
	}
	defer s.Close()
	f, err := s.Open()
	if err != nil {
		return
	}
	defer f.Close()
	switch {
	case isPart && !hidden || strings.HasPrefix(path.Base(at), partPrefix):
		if !fsx.TryLock(f) {
			return
		}
	case isSide && !hidden:
		if r.working(side) {
			return
		}
	default:
		if st, err := f.Stat(); err != nil || time.Since(st.ModTime()).Abs() < sweepAfter {
			return
		}
	}
	if err := s.Remove(); err != nil {
		r.Failed(part, imageError(part, "removing the rest of an interrupted import", err).Error())
	}
}

// working reports whether the import that wrote a sidecar to staging is still running,
// or has its file there.
func (r *Recovery) working(id string) bool {
	if _, err := Identify(r.Store.Store, Staging+id+".tiff"); !fsx.IsGone(err) {
		return true
	}
	at, ok := r.Mirror.Place(id)
	if !ok || at.Store != r.ID || !strings.HasPrefix(at.Path, Incoming) {
		return false
	}
	s, err := EntryOf(r.Store.Store, at.Path)
	if err != nil {
		return !fsx.IsGone(err)
	}
	defer s.Close()
	f, err := s.Open()
	if err != nil {
		return false
	}
	defer f.Close()
	return !fsx.TryLock(f)
}
