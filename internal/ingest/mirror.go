package ingest

import (
	"context"
	"maps"
	"sync"

	"github.com/slideatlas/ptiffstore/internal/blob"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// An entry is what the catalog says of a file, as far as a pass needs it.
type entry struct {
	image  string // id
	state  catalog.State
	hidden bool
	id     blob.Identity
}

// A mirror holds what the catalog knows of files in memory, so that a pass over
// files that have not changed costs no query. It follows the catalog's numbered
// changes, whoever made them. Of a hundred thousand files it holds some 30 MB.
type mirror struct {
	mu     sync.Mutex
	since  int64
	stores map[string]map[string]entry // by store, by path
	places map[string]place            // by image
}

type place struct{ store, path string }

// changeBatch is how many changes are asked for at a time.
const changeBatch = 5000

// follow reads what has changed in the catalog since it was last called.
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
	if m.stores == nil {
		m.stores, m.places = map[string]map[string]entry{}, map[string]place{}
	}
	at := place{ch.StoreID, ch.Path}
	if old, ok := m.places[ch.ID]; ok && old != at && m.stores[old.store][old.path].image == ch.ID {
		delete(m.stores[old.store], old.path) // moved, or removed
	}
	if ch.Path == "" {
		delete(m.places, ch.ID)
		return
	}
	files := m.stores[ch.StoreID]
	if files == nil {
		files = map[string]entry{}
		m.stores[ch.StoreID] = files
	}
	files[ch.Path] = entry{image: ch.ID, state: ch.State, hidden: ch.Gone, id: ch.Identity}
	m.places[ch.ID] = at
}

// file returns what is known of one file.
func (m *mirror) file(store, path string) (entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.stores[store][path]
	return e, ok
}

// files returns a copy of what is known of a store, by path.
func (m *mirror) files(store string) map[string]entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.stores[store])
}

// live is how many files of a store are not known to be missing.
func (m *mirror) live(store string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, e := range m.stores[store] {
		if e.state != catalog.Missing && !e.hidden {
			n++
		}
	}
	return n
}
