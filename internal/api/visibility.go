package api

import (
	"context"
	"maps"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A share is the part of a store's images that the caller may see.
type share int

const (
	none  share = iota // not one
	some               // perhaps some: each needs a decision
	whole              // all
)

// A visibility is what a caller may see and do, by store.
type visibility struct {
	api *API

	stores        []catalog.Store
	tiles, labels map[string]share
	scopes        map[string][]account.Scope // held for the whole store
	everything    bool                       // all tiles, including those of future stores
}

var allScopes = []account.Scope{seeTiles, seeLabel, mayFile, mayWrite, mayAdmin}

// visibilityOf returns the caller's permissions for stores.
func (a *API) visibilityOf(ctx context.Context, stores []catalog.Store) (*visibility, error) {
	c := callerOf(ctx)
	v := &visibility{api: a, stores: stores, tiles: map[string]share{}, labels: map[string]share{}, scopes: map[string][]account.Scope{}}
	if a.Access == nil {
		v.everything = true
		for i := range stores {
			id := stores[i].ID
			v.tiles[id], v.labels[id] = whole, whole
			if v.scopes[id] = allScopes; !c.admin {
				v.scopes[id] = allScopes[:3]
			}
		}
		return v, nil
	}
	requests := []authz.Request{{Scope: seeTiles}}
	for i := range stores {
		for _, scope := range allScopes {
			requests = append(requests, authz.Request{Store: stores[i].ID, Scope: scope})
		}
	}
	decisions, err := a.Access.Gate.AllowMany(ctx, c.cred, requests)
	if err != nil {
		return nil, authz.Problem(err)
	}
	v.everything = decisions[0].Allow
	for i := range stores {
		v.take(&stores[i], decisions[1+i*len(allScopes):][:len(allScopes)])
	}
	return v, nil
}

// take stores the decisions about a store, one for each of allScopes.
func (v *visibility) take(s *catalog.Store, decisions []authz.Decision) {
	held := []account.Scope{}
	of := func(an authz.Decision) share {
		switch {
		case an.Allow:
			return whole
		case an.StoreWide:
			return none
		}
		return some
	}
	v.tiles[s.ID], v.labels[s.ID] = of(decisions[0]), of(decisions[1])
	if s.HideLabels {
		v.labels[s.ID] = of(decisions[4])
	}
	if s.Public {
		v.tiles[s.ID] = whole
	}
	for i, scope := range allScopes {
		if decisions[i].Allow && (scope != seeLabel && scope != mayFile || v.labels[s.ID] == whole) || scope == seeTiles && s.Public {
			held = append(held, scope)
		}
	}
	v.scopes[s.ID] = held
}

// whole returns the ids of the stores that are completely visible. It is not nil.
func (v *visibility) whole(of map[string]share) []string {
	ids := []string{}
	for i := range v.stores {
		if of[v.stores[i].ID] == whole {
			ids = append(ids, v.stores[i].ID)
		}
	}
	return ids
}

const (
	// scanRounds and scanMost limit how many images that need a decision are checked for
	// one page. The next page continues after them.
	scanRounds = 10
	scanMost   = 2000
)

// images returns a page of the images that the caller may see. It may have fewer than the
// limit and still a cursor.
func (v *visibility) images(ctx context.Context, q catalog.Query) (*catalog.Page, error) {
	exact := q.ExternalID != "" || q.Barcode != "" || q.Accession != ""
	searched := q.Q != "" || exact || q.Sort == catalog.SortName
	if q.Sort == catalog.SortName && q.Q == "" && !exact && len(v.whole(v.labels)) == 0 {
		q.Labels, searched = false, false // by time of import: another order would reveal names
	}
	q.Stores = []string{}
	for i := range v.stores {
		id := v.stores[i].ID
		if searched && v.labels[id] != whole || v.tiles[id] == none {
			continue
		}
		q.Stores = append(q.Stores, id)
	}
	if v.hides(q.Store) {
		return nil, errForbidden
	}
	if searched {
		var err error
		if q.Images, err = v.searchable(ctx); err != nil {
			return nil, err
		}
	}
	page := &catalog.Page{}
	limit, begin := q.Limit, q.Cursor == ""
	for round, scanned := 0, 0; round < scanRounds && scanned < scanMost; round++ {
		q.Limit = limit - len(page.Items)
		p, err := v.api.Catalog.Images.List(ctx, q)
		if err != nil {
			return nil, err
		}
		seen, err := v.visible(ctx, p.Items)
		if err != nil {
			return nil, err
		}
		scanned += len(p.Items)
		page.Items, page.NextCursor = append(page.Items, seen...), p.NextCursor
		if p.NextCursor == "" || len(page.Items) == limit {
			break
		}
		q.Cursor = p.NextCursor
	}
	if begin && q.Store != "" && !v.everything && v.tiles[q.Store] != whole && len(page.Items) == 0 {
		return nil, errForbidden // the same as for an unknown store
	}
	return page, nil
}

// searchable returns the ids of images whose names and labels the caller may search
// although not those of their whole store. A search must read no others: its time and its
// cursors would tell whether hidden names match. Only the users' own server knows them.
func (v *visibility) searchable(ctx context.Context) ([]string, error) {
	if v.api.mode() != modeLocal || !slices.Contains(slices.Collect(maps.Values(v.labels)), some) {
		return nil, nil
	}
	rights, err := v.api.Access.Accounts.Grants.Rights(ctx, callerOf(ctx).ID)
	if err != nil {
		return nil, err
	}
	ids := rights.Images(seeLabel)
	images, err := v.api.Catalog.Images.ByIDs(ctx, ids[:min(len(ids), scanMost)])
	if err != nil {
		return nil, err
	}
	labelled, err := v.labelled(ctx, images) // its credential may allow less than its user
	if err != nil {
		return nil, err
	}
	allowed := []string{}
	for i := range images {
		if labelled[i] {
			allowed = append(allowed, images[i].ID)
		}
	}
	return allowed, nil
}

// hides reports whether the response must treat a store as unknown. Callers who may see
// everything get 404 for an unknown store.
func (v *visibility) hides(store string) bool {
	return store != "" && !v.everything && v.tiles[store] == none
}

// visible returns the images that the caller may see.
func (v *visibility) visible(ctx context.Context, images []catalog.Image) ([]catalog.Image, error) {
	ok, err := v.ask(ctx, v.tiles, images, func(*catalog.Image) account.Scope { return seeTiles })
	if err != nil {
		return nil, err
	}
	var seen []catalog.Image
	for i := range images {
		if ok[i] {
			seen = append(seen, images[i])
		}
	}
	return seen, nil
}

// labelled reports for each image whether the caller may see its label and names.
func (v *visibility) labelled(ctx context.Context, images []catalog.Image) ([]bool, error) {
	hidden := map[string]bool{}
	for i := range v.stores {
		hidden[v.stores[i].ID] = v.stores[i].HideLabels
	}
	return v.ask(ctx, v.labels, images, func(im *catalog.Image) account.Scope { return labelScope(hidden[im.StoreID]) })
}

// ask reports for each image whether a scope is held, and asks the authorizer only if the
// store's decision is not enough.
func (v *visibility) ask(ctx context.Context, of map[string]share, images []catalog.Image, scope func(*catalog.Image) account.Scope) ([]bool, error) {
	ok := make([]bool, len(images))
	var requests []authz.Request
	var at []int
	for i := range images {
		switch of[images[i].StoreID] {
		case whole:
			ok[i] = true
		case some:
			requests = append(requests, requestFor(&images[i], scope(&images[i])))
			at = append(at, i)
		}
	}
	if len(requests) == 0 {
		return ok, nil
	}
	decisions, err := v.api.Access.Gate.AllowMany(ctx, callerOf(ctx).cred, requests)
	if err != nil {
		return nil, authz.Problem(err)
	}
	for n, i := range at {
		ok[i] = decisions[n].Allow
	}
	return ok, nil
}

// recordLabels records in the audit log that a list shows labels and names. Labelled
// marks the images concerned; nil means all.
func (v *visibility) recordLabels(ctx context.Context, store string, images []catalog.Image, labelled []bool) error {
	var ids []string
	for i := range images {
		if labelled == nil || labelled[i] {
			ids = append(ids, images[i].ID)
		}
	}
	if !isID(store) {
		store = ""
	}
	return v.api.recordListed(ctx, store, ids)
}
