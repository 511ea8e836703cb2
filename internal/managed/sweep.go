package managed

import (
	"errors"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/lease"
	"github.com/slideatlas/ptiffstore/internal/source"
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
		if isPart || strings.HasPrefix(path.Base(at), partPrefix) {
			r.sweepFolder(at, s)
		}
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
	if r.exists(Staging+id+tiffSuffix) || r.exists(Staging+id+seriesSuffix) {
		return true
	}
	at, ok := r.Mirror.Place(id)
	if !ok || at.Store != r.ID || !strings.HasPrefix(at.Path, Incoming) {
		return false
	}
	s, err := openSet(r.Store.Store, &catalog.Image{ID: id, Path: at.Path})
	if err != nil {
		return errors.Is(err, lease.ErrBusy)
	}
	s.close()
	return false
}

// sweepFolder removes an incomplete copy of a series, unless a process is working on it.
func (r *Recovery) sweepFolder(at string, s source.Entry) {
	f, err := s.OpenFile(unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if !fsx.TryLock(f) {
		return
	}
	if err := r.removeFolder(at); err != nil {
		id := strings.TrimSuffix(path.Base(at), ".part")
		r.Failed(id, imageError(id, "removing the rest of an interrupted import", err).Error())
	}
}
