package api

import (
	"context"
	"errors"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// namesMost limits the names in memory.
const namesMost = 10_000

// A namer finds the names of the users and objects of events, by their ids.
type namer struct {
	api    *API
	known  map[string]string // "" without one
	labels map[string]bool   // by store: whether the caller may see names of its images
	shown  []string          // images whose names were found and not yet recorded
}

func newNamer(a *API) *namer {
	return &namer{api: a, known: map[string]string{}, labels: map[string]bool{}}
}

// of returns the names of an event's user and objects. It is not nil.
func (n *namer) of(ctx context.Context, e *account.Event) (map[string]string, error) {
	names := map[string]string{}
	for _, id := range append(strings.Fields(e.Object), e.User) {
		if id == "" {
			continue
		}
		name, err := n.name(ctx, id, e.Act)
		if err != nil {
			return nil, err
		}
		if name != "" {
			names[id] = name
		}
	}
	return names, nil
}

func (n *namer) name(ctx context.Context, id, act string) (string, error) {
	if name, ok := n.known[id]; ok {
		return name, nil
	}
	if len(n.known) >= namesMost {
		clear(n.known)
	}
	name, err := n.find(ctx, id, act)
	if err == nil {
		n.known[id] = name
	}
	return name, err
}

// find looks up an id where objects of the act are, users last: each act has one.
func (n *namer) find(ctx context.Context, id, act string) (string, error) {
	of, _, _ := strings.Cut(act, ".")
	if of == "label" || of == "image" {
		if name, err := n.image(ctx, id); err != nil || name != "" {
			return name, err
		}
	}
	if of == "store" || of == "label" || of == "upload" || of == "image" {
		s, err := n.api.Catalog.Stores.Get(ctx, id)
		if err == nil {
			return s.Label, nil
		} else if !errors.Is(err, catalog.ErrNotFound) {
			return "", err
		}
	}
	if of == "group" {
		g, err := n.api.Access.Accounts.Groups.Get(ctx, id)
		if err == nil {
			return g.Name, nil
		} else if !errors.Is(err, account.ErrNotFound) {
			return "", err
		}
	}
	u, err := n.api.Access.Accounts.Users.Get(ctx, id)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return displayName(u), nil
}

// image returns the name of an image, if the caller may see it.
func (n *namer) image(ctx context.Context, id string) (string, error) {
	im, err := n.api.Catalog.Images.Get(ctx, id)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	may, ok := n.labels[im.StoreID]
	if !ok {
		s, err := n.api.Catalog.Stores.Get(ctx, im.StoreID)
		if err != nil {
			return "", err
		}
		if may, err = n.api.may(ctx, callerOf(ctx), authz.Request{Store: s.ID, Scope: labelScope(s.HideLabels)}); err != nil {
			return "", err
		}
		n.labels[s.ID] = may
	}
	if !may {
		return "", nil
	}
	n.shown = append(n.shown, id)
	if im.Label != nil {
		return *im.Label, nil
	}
	return im.FileName, nil
}

// record records that the caller sees the names that were found since the last call.
func (n *namer) record(ctx context.Context) error {
	shown := n.shown
	n.shown = nil
	return n.api.recordListed(ctx, "", shown)
}
