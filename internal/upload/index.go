package upload

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// scanAge is how old an index may get before the folder is compared with it again. It
// bounds how late this process learns of the uploads of another that serves the same
// store; its own are in the index at once.
const scanAge = 2 * time.Second

// refusalAge is the maximum age of the index when an upload is refused: another process
// may just have freed space. It limits the scans that clients cause by retrying.
const refusalAge = 250 * time.Millisecond

// An entry is an upload in the index.
type entry struct {
	id      string
	owner   string
	state   state
	length  int64
	offset  int64
	created time.Time
	used    time.Time

	seen    stamp // of the record that this entry is from
	pending bool  // the record is being written for the first time
}

// A stamp identifies a version of a record: each is written to a new file.
type stamp struct {
	inode uint64
	mtime int64
	size  int64
}

func entryOf(r *record, seen stamp) entry {
	return entry{id: r.ID, owner: r.Owner, state: r.State, length: r.Length, offset: r.Offset, created: r.CreatedAt, used: r.UsedAt, seen: seen}
}

// isOpen reports whether the upload is incomplete. The record of a complete one is
// never written again.
func (e *entry) isOpen() bool { return e.state == uploading }

// An index holds the uploads of one folder in memory, so that their records are not
// read again for each request. The records are authoritative: code that changes an
// upload reads its record first.
type index struct {
	scanning sync.Mutex // held while the folder is scanned
	scanned  time.Time  // when the last scan began

	mu      sync.Mutex
	entries map[string]entry
	touched map[string]bool // changed by this process during a scan; nil without one
}

// indexOf returns the index of a store's folder.
func (s *folders) indexOf(st *catalog.Store) *index {
	key := st.ID + "\x00" + incoming(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	ix := s.indexes[key]
	if ix == nil {
		ix = &index{entries: map[string]entry{}}
		s.indexes[key] = ix
	}
	return ix
}

// put adds what this process has written, or is about to write.
func (ix *index) put(e entry) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.entries[e.id] = e
	if ix.touched != nil {
		ix.touched[e.id] = true
	}
}

// drop removes an upload from the index.
func (ix *index) drop(id string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	delete(ix.entries, id)
	if ix.touched != nil {
		ix.touched[id] = true
	}
}

func (ix *index) has(id string) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	_, ok := ix.entries[id]
	return ok
}

// all returns the entries for which keep is true.
func (ix *index) all(keep func(*entry) bool) []entry {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var list []entry
	for _, e := range ix.entries {
		if keep(&e) {
			list = append(list, e)
		}
	}
	return list
}

// refresh compares the index with the destination, unless that was done within age. It reads
// only changed records.
func (ix *index) refresh(d destination, age time.Duration) error {
	ix.scanning.Lock()
	defer ix.scanning.Unlock()
	if time.Since(ix.scanned) < age {
		return nil
	}
	begun := time.Now()
	ix.mu.Lock()
	ix.touched = map[string]bool{}
	known := maps.Clone(ix.entries)
	ix.mu.Unlock()
	found, err := d.scan(known)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	touched := ix.touched
	ix.touched = nil
	if err != nil {
		return err
	}
	for id, e := range ix.entries {
		if _, ok := found[id]; !ok && !e.pending && !touched[id] {
			delete(ix.entries, id)
		}
	}
	for id, e := range found {
		if !touched[id] {
			ix.entries[id] = e
		}
	}
	ix.scanned = begun
	return nil
}

// scan returns the uploads in the folder. It reads the records that are new or have
// changed. Damaged records are left out.
func (f *folder) scan(known map[string]entry) (map[string]entry, error) {
	ids, err := f.ids()
	if err != nil {
		return nil, err
	}
	found := make(map[string]entry, len(ids))
	for _, id := range ids {
		e, ok := known[id]
		if ok && !e.isOpen() {
			found[id] = e
			continue
		}
		st, err := f.dir.Lstat(sidecar(id))
		if err != nil {
			continue // removed since
		}
		if seen := stampOf(st); !ok || e.seen != seen {
			r, err := f.load(id)
			if err != nil {
				continue
			}
			e = entryOf(r, seen)
		}
		found[id] = e
	}
	return found, nil
}

// refreshAll refreshes the indexes of all managed stores whose folders can be reached.
func (s *folders) refreshAll(ctx context.Context, stores []catalog.Store, age time.Duration) error {
	var errs []error
	for i := range stores {
		if stores[i].Mode != catalog.Managed {
			continue
		}
		d, err := s.open(ctx, &stores[i], false)
		if err != nil {
			continue
		}
		errs = append(errs, d.indexOf().refresh(d, age))
		d.close()
	}
	return errors.Join(errs...)
}

// held is the incomplete uploads of an owner in all stores.
type held struct {
	open  int
	bytes int64 // of the complete files
}

func (s *folders) heldBy(owner string) (h held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ix := range s.indexes {
		for _, e := range ix.all(func(e *entry) bool { return e.owner == owner && e.isOpen() && !s.expired(e) }) {
			h.open++
			h.bytes += e.length
		}
	}
	return h
}

// promised returns how many bytes of incomplete uploads are still to come, and how many
// uploads are incomplete.
func (s *folders) promised(ix *index) (bytes int64, open int) {
	for _, e := range ix.all(func(e *entry) bool { return e.isOpen() && !s.expired(e) }) {
		open++
		if time.Since(e.used) < fresh {
			bytes += e.length - e.offset
		}
	}
	return bytes, open
}

// parts is how many bytes of incomplete uploads are on disk.
func (ix *index) parts() (bytes int64) {
	for _, e := range ix.all((*entry).isOpen) {
		bytes += e.offset
	}
	return bytes
}
