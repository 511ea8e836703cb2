package catalog

import (
	"context"
	"time"
)

// Unhashed returns available images of a store whose digest is not known, the
// first that arrived first and at most limit. The store need not be there.
func (c *Catalog) Unhashed(ctx context.Context, store string, limit int) ([]Entry, error) {
	list, err := c.unhashed(ctx, store, dueEntry{}, limit)
	return entriesOf(list), err
}

// OldestVerified returns available images of a store whose digest is known, those
// that were never verified first and then the ones verified longest ago; at most
// limit. The store need not be there.
func (c *Catalog) OldestVerified(ctx context.Context, store string, limit int) ([]Entry, error) {
	list, err := c.unverified(ctx, store, dueEntry{}, time.Now().Add(time.Hour), limit)
	return entriesOf(list), err
}

func entriesOf(list []dueEntry) []Entry {
	entries := make([]Entry, len(list))
	for i := range list {
		entries[i] = list[i].Entry
	}
	return entries
}
