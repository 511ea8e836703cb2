package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// slideatlasAPI are the routes of SlideAtlas and of its prototype.
type slideatlasAPI struct{ *API }

// pictureRoutes returns the picture routes of SlideAtlas and of the prototype.
func (a slideatlasAPI) pictureRoutes() []route {
	height := intParam("query", "height", "Pixels; 100 if absent.")
	tileAt := jpegOp(olderTag, "get-tile-at", "Get the tile that holds a pixel", "", storeParam, keyParam,
		intParam("query", "x", "Pixel of the largest level, from 0 at the left."), intParam("query", "y", "Pixel of the largest level, from 0 at the top."),
		intParam("query", "z", "Zoom level; the largest if absent or -1."))
	tileAt.Responses["400"] = problemAnswer("A parameter is not a number.")
	cutout := jpegOp(olderTag, "get-cutout", "Get a region of the largest level", "PNG and JPEG: at most 4096 pixels in each direction. TIFF: a pyramid with the compressed pixels of the slide, grown to whole blocks, at most 16,384 pixels in each direction; .svs has the same bytes as .tif. What is outside of the image is left out.", storeParam, keyParam,
		textParam("path", "name", "Any name that ends with .png, .jpg, .tif or .svs."), textParam("query", "bounds", "[x0,x1,y0,y1] in pixels. y counts from the bottom of images that were in MongoDB and have the coordinate system Photo."))
	cutout.Responses["400"] = problemAnswer("The bounds are invalid, too large or outside of the image.")
	cutout.Responses["413"] = problemAnswer("The TIFF needs more memory than the server has.")
	cutout.Responses["422"] = problemAnswer("The name ends with .tif or .svs, and the image is not stored in a way that allows a cutout without loss.")
	binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	for _, contentType := range []string{"image/png", "image/tiff"} {
		cutout.Responses["200"].Content[contentType] = binary
	}
	viewer := jpegOp(olderTag, "get-viewer", "Redirect to the viewer", "", textParam("query", "image", "Id of the image, or the name of its file."))
	delete(viewer.Responses, "200")
	delete(viewer.Responses, "304")
	viewer.Responses["303"] = &huma.Response{Description: "The page of the image; or the login page, for a browser without a login."}
	const thumbText = "Without the right to labels the response shows the tissue instead, without label and macro."
	list := []route{
		{path: "/thumb/{store}/{image}", handle: a.thumb, op: jpegOp(olderTag, "get-thumb", "Get the label beside the macro", thumbText, storeParam, keyParam, height)},
		{path: "/thumb", handle: a.thumb, op: jpegOp(olderTag, "get-thumb-by-query", "Get the label beside the macro", thumbText, dbParam, imgParam, height)},
		{path: "/tileat/{store}/{image}", handle: a.tileAt, op: tileAt},
		{path: "/cutout/{store}/{image}/{name}", handle: a.cutout, op: cutout},
		{path: viewerRoute, handle: a.viewer, op: viewer},
		{
			path: "/label", handle: func(w http.ResponseWriter, r *http.Request) error {
				return pictureAPI(a).answer(w, r, pictureRequest(r), pictureName("label"), a.associatedColors("label"), pictureAPI(a).associated("label"))
			},
			op: jpegOp(olderTag, "get-label-by-query", "Get the label", "", dbParam, imgParam),
		},
	}
	for _, kind := range []string{"label", "macro"} {
		path := "/apiv1/slides/{file}/" + kind + "/"
		list = append(list, route{
			path: path, pattern: path + "{$}", handle: func(w http.ResponseWriter, r *http.Request) error {
				return pictureAPI(a).answer(w, r, pictureRequest(r), pictureName(kind), a.associatedColors(kind), pictureAPI(a).associated(kind))
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
