package catalog

import (
	"context"
	"time"
)

// Unhashed returns at most limit available images of a store without a digest, in the order
// of arrival. The store need not exist.
func (v *Verification) Unhashed(ctx context.Context, store string, limit int) ([]Entry, error) {
	list, err := v.unhashed(ctx, store, dueEntry{}, limit)
	return entriesOf(list), err
}

// OldestVerified returns at most limit available images of a store with a digest, those
// never verified first and then those verified longest ago. The store need not exist.
func (v *Verification) OldestVerified(ctx context.Context, store string, limit int) ([]Entry, error) {
	list, err := v.unverified(ctx, store, dueEntry{}, time.Now().Add(time.Hour), limit)
	return entriesOf(list), err
}

func entriesOf(list []dueEntry) []Entry {
	entries := make([]Entry, len(list))
	for i := range list {
		entries[i] = list[i].Entry
	}
	return entries
}
