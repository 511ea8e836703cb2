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
	if was.Ino == 0 || p.o.Confirm || was.Ino == p.rootID.Ino && (was.Dev == p.rootID.Dev || p.mount.id != "" && p.store.RootFS == p.mount.id) {
		return nil
	}
	live, there := 0, 0
	for _, e := range known {
		if e.counts() {
			live++
		}
	}
	for _, f := range files {
		if e, ok := known[f.path]; ok && e.counts() && e.id.Size == f.id.Size && e.id.MTime == f.id.MTime {
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
func (p *pass) absent(left map[string]entry, w *walker) []string {
	unmounted := p.unmounted(left, w)
	var list []string
	away := 0
	for path, e := range left {
		switch {
		case e.state == catalog.Missing || covered(w.blind, path):
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
func (p *pass) unmounted(left map[string]entry, w *walker) map[uint64]bool {
	gone := map[uint64]int{}
	for _, e := range left {
		if _, seen := w.devices[e.id.Dev]; !seen && e.id.Dev != p.store.RootID.Dev && e.state != catalog.Missing {
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

func covered(list []blind, path string) bool {
	for _, b := range list {
		if b.covers(path) {
			return true
		}
	}
	return false
}

// refuse returns [ErrManyMissing] if n more slides are gone than may be without a
// person knowing. Those that went missing shortly before count too: a folder that
// is being emptied is seen in parts.
func (p *pass) refuse(n int) error {
	live, before := p.s.mirror.tally(p.store.ID, p.s.now().Add(-missingWindow))
	gone, all := n+before, live+before
	share := or(p.store.MaxMissing, or(p.s.MaxMissing, DefaultMaxMissing))
	if n == 0 || p.o.Confirm || gone <= minMissing || float64(gone) <= share*float64(all) {
		return nil
	}
	return fmt.Errorf("%w (%d of %d)", ErrManyMissing, gone, all)
}
