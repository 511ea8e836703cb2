package account

import (
	"context"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Wider returns why images would be visible to more people if they were moved from one store
// into another, each as a clause without names; nothing if they would not be.
func (gs *Grants) Wider(ctx context.Context, from, to *catalog.Store) ([]string, error) {
	var why []string
	if to.Public && !from.Public {
		why = append(why, "the other store is public")
	}
	if from.HideLabels && !to.HideLabels {
		why = append(why, "the other store does not hide labels")
	}
	grants, err := gs.List(ctx, GrantFilter{Store: to.ID})
	if err != nil {
		return nil, err
	}
	more := map[string]bool{}
	for _, g := range grants {
		wider, err := gs.wider(ctx, &g, from.ID)
		if err != nil {
			return nil, err
		}
		if wider {
			more[g.User+" "+g.Group] = true
		}
	}
	if n := len(more); n > 0 {
		why = append(why, fmt.Sprintf("%d users or groups have more permissions for the other store", n))
	}
	return why, nil
}

// wider reports whether a grant for a store lets its subject see more than what the subject
// may see in another store.
func (gs *Grants) wider(ctx context.Context, g *Grant, store string) (bool, error) {
	held := scopes(0)
	if g.User != "" {
		rights, err := gs.Rights(ctx, g.User)
		if err != nil {
			return false, err
		}
		held = rights.everywhere | rights.stores[store]
	} else {
		grants, err := gs.List(ctx, GrantFilter{Group: g.Group})
		if err != nil {
			return false, err
		}
		for _, other := range grants {
			if other.Image == "" && (other.Store == "" || other.Store == store) {
				held |= roleScopes[other.Role]
			}
		}
	}
	return roleScopes[g.Role]&(tiles|label|file)&^held != 0, nil
}
