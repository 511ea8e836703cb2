package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// slideatlasAPI are the routes of SlideAtlas and of its prototype.
type slideatlasAPI struct{ *API }

// pictureRoutes returns the picture routes of SlideAtlas and of the prototype.
func (a slideatlasAPI) pictureRoutes() []route {
	ask := func(store, image string) *tile.Request {
		return &tile.Request{Store: store, Image: image, ByFile: true}
	}
	height := intParam("query", "height", "Pixels; 100 if absent.")
	list := []route{
		{
			path: "/thumb/{store}/{image}", handle: func(w http.ResponseWriter, r *http.Request) error {
				return pictureAPI(a).preview(w, r, ask(r.PathValue("store"), r.PathValue("image")))
			},
			op: jpegOp(olderTag, "get-thumb", "Get the preview", "", storeParam, keyParam, height),
		},
		{
			path: "/thumb", handle: func(w http.ResponseWriter, r *http.Request) error {
				q := r.URL.Query()
				return pictureAPI(a).preview(w, r, ask(q.Get("db"), q.Get("img")))
			},
			op: jpegOp(olderTag, "get-thumb-by-query", "Get the preview", "", dbParam, imgParam, height),
		},
		{
			path: "/label", handle: func(w http.ResponseWriter, r *http.Request) error {
				q := r.URL.Query()
				return pictureAPI(a).answer(w, r, ask(q.Get("db"), q.Get("img")), "label", pictureAPI(a).associated("label"))
			},
			op: jpegOp(olderTag, "get-label-by-query", "Get the label", "", dbParam, imgParam),
		},
	}
	for _, kind := range []string{"label", "macro"} {
		path := "/apiv1/slides/{file}/" + kind + "/"
		list = append(list, route{
			path: path, pattern: path + "{$}", handle: func(w http.ResponseWriter, r *http.Request) error {
				return pictureAPI(a).answer(w, r, ask("", r.PathValue("file")), kind, pictureAPI(a).associated(kind))
			},
			op: jpegOp(olderTag, "get-prototype-"+kind, "Get the "+kind, "", fileParam),
		})
	}
	return list
}

// listRoutes returns the prototype's routes that need the catalog.
func (a slideatlasAPI) listRoutes() []route {
	return []route{{
		path: "/apiv1/slides", handle: a.prototypeList,
		op: huma.Operation{
			OperationID: "list-prototype-slides", Summary: "List the slides by name", Tags: []string{olderTag},
			Description: "Only available slides, at most 10,000.",
			Responses: map[string]*huma.Response{
				"200": answers(`{"slides":[{"name":…,"barcode":…}]}`, "application/json", &huma.Schema{Type: huma.TypeObject}),
				"500": answers("Internal error. The server's log has the reason.", httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"}),
			},
		},
	}}
}

// prototypeSlide is a slide as the prototype lists it.
type prototypeSlide struct {
	Name    string `json:"name"`
	Barcode string `json:"barcode"`
}

// prototypeLimit is the maximum number of slides in the prototype's list, which has no
// pages.
const prototypeLimit = 10_000

// prototypeList answers {"slides":[{"name":…,"barcode":…}]}.
func (a slideatlasAPI) prototypeList(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	slides := []prototypeSlide{}
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return a.plain(ctx, err)
	}
	vis, err := a.visibilityOf(ctx, stores)
	if err != nil {
		return a.plain(ctx, err)
	}
	q := catalog.Query{State: catalog.Available, Sort: catalog.SortName, Limit: 500, Labels: true, Stores: vis.whole(vis.labels)}
	for len(slides) < prototypeLimit {
		page, err := a.Catalog.Images.List(ctx, q)
		if err != nil {
			return a.plain(ctx, err)
		}
		if err := vis.recordLabels(ctx, "", page.Items, nil); err != nil {
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
