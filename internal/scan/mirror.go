package scan

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
)

// An entry is the part of an image record that a scan needs.
type entry struct {
	image   string // id
	state   catalog.State
	deleted bool // by a person; scans still follow its file
	id      fsx.Identity
	since   int64 // first seen with these contents, in microseconds since 1970
	missing int64 // missing since then; 0 if it is not
}

// counts reports whether the entry is of a slide that users see and whose file exists.
func (e *entry) counts() bool { return e.state != catalog.Missing && !e.deleted }

// A content identifies the contents of a renamed file: no other file has the same
// inode, size and mtime, at any time.
type content struct {
	ino         uint64
	size, mtime int64
}

func contentOf(id fsx.Identity) content { return content{id.Ino, id.Size, id.MTime} }

// A mirror holds the catalog's file records in memory, so that a scan of unchanged
// files needs no query. It follows the catalog's numbered changes, whichever process
// made them. A hundred thousand files take about 40 MB.
type mirror struct {
	mu            sync.Mutex
	since         int64
	stores        map[string]*storeMirror
	places        map[string]place // by image
	changedSlides map[string]bool  // changed images below slides/, until takeChanged
}

// A storeMirror is the mirror of one store.
type storeMirror struct {
	files map[string]entry   // by path
	paths map[content]string // one path of the contents, if several files have them
}

type place struct{ store, path string }

// changeBatch is how many changes are queried at a time.
const changeBatch = 5000

// follow reads the changes of the catalog since its last call.
func (m *mirror) follow(ctx context.Context, c *catalog.Catalog) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		list, err := c.Changes(ctx, m.since, changeBatch)
		if err != nil {
			return err
		}
		for i := range list {
			m.apply(&list[i])
			m.since = list[i].Seq
		}
		if len(list) < changeBatch {
			return nil
		}
	}
}

func (m *mirror) apply(ch *catalog.Change) {
	at := place{ch.StoreID, ch.Path}
	if old, ok := m.places[ch.ID]; ok && old != at {
		m.storeMirror(old.store).remove(old.path, ch.ID) // moved, or dropped
	}
	if ch.Path == "" {
		delete(m.places, ch.ID)
		return
	}
	e := entry{image: ch.ID, state: ch.State, deleted: ch.Gone, id: ch.Identity, since: ch.FirstSeen.UnixMicro()}
	if ch.MissingSince != nil {
		e.missing = ch.MissingSince.UnixMicro()
	}
	m.storeMirror(ch.StoreID).put(ch.Path, e)
	m.places[ch.ID] = at
	if strings.HasPrefix(ch.Path, managed.Slides) && !ch.Gone {
		m.changedSlides[ch.ID] = true
	}
}

// storeMirror returns the mirror of a store, and creates it if necessary.
func (m *mirror) storeMirror(store string) *storeMirror {
	if m.stores == nil {
		m.stores, m.places, m.changedSlides = map[string]*storeMirror{}, map[string]place{}, map[string]bool{}
	}
	if m.stores[store] == nil {
		m.stores[store] = &storeMirror{files: map[string]entry{}, paths: map[content]string{}}
	}
	return m.stores[store]
}

func (s *storeMirror) put(path string, e entry) {
	s.remove(path, s.files[path].image)
	s.files[path] = e
	s.paths[contentOf(e.id)] = path
}

// remove removes the entry at path, if it is that of the image.
func (s *storeMirror) remove(path, image string) {
	e, ok := s.files[path]
	if !ok || e.image != image {
		return
	}
	delete(s.files, path)
	if c := contentOf(e.id); s.paths[c] == path {
		delete(s.paths, c)
	}
}

// file returns the entry of a file.
func (m *mirror) file(store, path string) (entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.storeMirror(store).files[path]
	return e, ok
}

// path returns the path of a file with these contents.
func (m *mirror) path(store string, c content) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path, ok := m.storeMirror(store).paths[c]
	return path, ok
}

// takeChanged returns the images of a store below slides/ that have changed since its
// last call.
func (m *mirror) takeChanged(store string) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := map[string]bool{}
	for id := range m.changedSlides {
		if at, ok := m.places[id]; !ok || at.store == store {
			delete(m.changedSlides, id)
			list[id] = ok
		}
	}
	return list
}

// place returns where the file of an image is.
func (m *mirror) place(image string) (place, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.places[image]
	return at, ok
}

// knows reports whether there is an image of that id, deleted or not.
func (m *mirror) knows(image string) bool {
	_, ok := m.place(image)
	return ok
}

// files returns a copy of a store's entries, by path.
func (m *mirror) files(store string) map[string]entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.storeMirror(store).files)
}

// tally counts the slides of a store whose files exist, and those that went missing
// after a time.
func (m *mirror) tally(store string, after time.Time) (live, wentMissing int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.storeMirror(store).files {
		switch {
		case e.counts():
			live++
		case !e.deleted && e.missing > after.UnixMicro():
			wentMissing++
		}
	}
	return live, wentMissing
}
