package ingest

import (
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// minMissing is how many slides may always go missing at once.
const minMissing = 10

// missingWindow is how long slides that went missing count as going at once.
const missingWindow = 10 * time.Minute

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
