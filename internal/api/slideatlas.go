package api

import (
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// prototypeSlide is a slide as the prototype lists it.
type prototypeSlide struct {
	Name    string `json:"name"`
	Barcode string `json:"barcode"`
}

// prototypeLimit is how many slides the prototype's list names: it has no pages.
const prototypeLimit = 10_000

// prototypeList answers {"slides":[{"name":…,"barcode":…}]}.
func (a *API) prototypeList(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	slides := []prototypeSlide{}
	stores, err := a.Catalog.Stores(ctx)
	if err != nil {
		return a.plain(ctx, err)
	}
	sight, err := a.sightOf(ctx, stores)
	if err != nil {
		return a.plain(ctx, err)
	}
	q := catalog.Query{State: catalog.Available, Sort: catalog.SortName, Limit: 500, Labels: true, Stores: sight.whole(sight.labels)}
	for len(slides) < prototypeLimit {
		page, err := a.Catalog.Images(ctx, q)
		if err != nil {
			return a.plain(ctx, err)
		}
		if err := a.lookMany(ctx, "", page.Items, nil); err != nil {
			return err
		}
		for i := range page.Items {
			s := prototypeSlide{Name: page.Items[i].FileName}
			if b := page.Items[i].Barcode; b != nil {
				s.Barcode = *b
			}
			slides = append(slides, s)
		}
		if page.NextCursor == "" {
			break
		}
		q.Cursor = page.NextCursor
	}
	w.Header().Set("Cache-Control", "no-store")
	return httperr.WriteJSON(w, http.StatusOK, map[string]any{"slides": slides})
}
