// Package mirror holds the catalog's records of files in memory, so that a scan of
// unchanged files needs no query.
package mirror

import (
	"context"
	"maps"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// An Entry is the part of an image record that a scan needs.
type Entry struct {
	Image   string // id
	State   catalog.State
	Deleted bool // by a person; scans still follow its file
	// JPEG2000 reports a slide that is unsupported only because the build that inspected it
	// does not read JPEG 2000.
	JPEG2000 bool
	ID       fsx.Identity
	Since    int64 // first seen with these contents, in microseconds since 1970
	Missing  int64 // missing since then; 0 if it is not
}

// Counts reports whether the entry is of a slide that users see and whose file exists.
func (e *Entry) Counts() bool { return e.State != catalog.Missing && !e.Deleted }

// A Content identifies the contents of a renamed file: no other file has the same
// inode, size and mtime, at any time.
type Content struct {
	ino         uint64
	size, mtime int64
}

// ContentOf is the content of a file with an identity.
func ContentOf(id fsx.Identity) Content { return Content{id.Ino, id.Size, id.MTime} }

// A Mirror holds the file records of a catalog in memory, so that a scan of unchanged
// files needs no query. It follows the catalog's numbered changes, whichever process
// made them. A hundred thousand files take about 40 MB.
type Mirror struct {
	mu      sync.Mutex
	since   int64
	stores  map[string]*storeMirror
	places  map[string]Place // by image
	prefix  string           // see New
	changed map[string]bool  // changed images with the prefix, until TakeChanged
}

// A storeMirror is the mirror of one store.
type storeMirror struct {
	files map[string]Entry   // by path
	paths map[Content]string // one path of the contents, if several files have them
}

// A Place is where the file of an image is.
type Place struct{ Store, Path string }

// New returns an empty mirror. It remembers which images change that have a path with
// the prefix; see [Mirror.TakeChanged].
func New(prefix string) *Mirror { return &Mirror{prefix: prefix} }

// changeBatch is how many changes are queried at a time.
const changeBatch = 5000

// Follow reads the changes of the catalog since its last call.
func (m *Mirror) Follow(ctx context.Context, c *catalog.Catalog) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		list, err := c.Changes.Since(ctx, m.since, changeBatch)
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

func (m *Mirror) apply(ch *catalog.Change) {
	at := Place{ch.StoreID, ch.Path}
	if old, ok := m.places[ch.ID]; ok && old != at {
		m.storeMirror(old.Store).remove(old.Path, ch.ID) // moved, or dropped
	}
	if ch.Path == "" {
		delete(m.places, ch.ID)
		return
	}
	e := Entry{Image: ch.ID, State: ch.State, Deleted: ch.Gone, ID: ch.Identity, Since: ch.FirstSeen.UnixMicro(), JPEG2000: ch.JPEG2000}
	if ch.MissingSince != nil {
		e.Missing = ch.MissingSince.UnixMicro()
	}
	m.storeMirror(ch.StoreID).put(ch.Path, e)
	m.places[ch.ID] = at
	if strings.HasPrefix(ch.Path, m.prefix) && !ch.Gone {
		m.changed[ch.ID] = true
	}
}

// storeMirror returns the mirror of a store, and creates it if necessary.
func (m *Mirror) storeMirror(store string) *storeMirror {
	if m.stores == nil {
		m.stores, m.places, m.changed = map[string]*storeMirror{}, map[string]Place{}, map[string]bool{}
	}
	if m.stores[store] == nil {
		m.stores[store] = &storeMirror{files: map[string]Entry{}, paths: map[Content]string{}}
	}
	return m.stores[store]
}

func (s *storeMirror) put(path string, e Entry) {
	s.remove(path, s.files[path].Image)
	s.files[path] = e
	s.paths[ContentOf(e.ID)] = path
}

// remove removes the entry at path, if it is that of the image.
func (s *storeMirror) remove(path, image string) {
	e, ok := s.files[path]
	if !ok || e.Image != image {
		return
	}
	delete(s.files, path)
	if c := ContentOf(e.ID); s.paths[c] == path {
		delete(s.paths, c)
	}
}

// File returns the entry of a file.
func (m *Mirror) File(store, path string) (Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.storeMirror(store).files[path]
	return e, ok
}

// Path returns the path of a file with these contents.
func (m *Mirror) Path(store string, c Content) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path, ok := m.storeMirror(store).paths[c]
	return path, ok
}

// TakeChanged returns the images of a store with the prefix of [New] that have changed since its
// last call.
func (m *Mirror) TakeChanged(store string) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := map[string]bool{}
	for id := range m.changed {
		if at, ok := m.places[id]; !ok || at.Store == store {
			delete(m.changed, id)
			list[id] = ok
		}
	}
	return list
}

// Place returns where the file of an image is.
func (m *Mirror) Place(image string) (Place, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.places[image]
	return at, ok
}

// Knows reports whether there is an image of that id, deleted or not.
func (m *Mirror) Knows(image string) bool {
	_, ok := m.Place(image)
	return ok
}

// Files returns a copy of a store's entries, by path.
func (m *Mirror) Files(store string) map[string]Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.storeMirror(store).files)
}

// InFolder calls f with those entries of a store that are in a folder, but not below it.
func (m *Mirror) InFolder(store, dir string, f func(path string, e Entry)) {
	list := map[string]Entry{}
	m.mu.Lock()
	for p, e := range m.storeMirror(store).files {
		if len(p) > len(dir) && strings.HasPrefix(p, dir) && strings.TrimPrefix(path.Dir("/"+p), "/") == strings.TrimSuffix(dir, "/") {
			list[p] = e
		}
	}
	m.mu.Unlock()
	for p, e := range list {
		f(p, e)
	}
}

// Tally counts the slides of a store whose files exist, and those that went missing
// after a time.
func (m *Mirror) Tally(store string, after time.Time) (live, wentMissing int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.storeMirror(store).files {
		switch {
		case e.Counts():
			live++
		case !e.Deleted && e.Missing > after.UnixMicro():
			wentMissing++
		}
	}
	return live, wentMissing
}
