package api

import (
	_ "embed"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage []byte

//go:embed docs.js
var docsScript []byte

// docs answers with a readable page of the OpenAPI document. It loads nothing
// from elsewhere: hospitals' networks have no elsewhere.
func docs(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'")
	send(w, r, "text/html; charset=utf-8", docsPage)
}

func docsJS(w http.ResponseWriter, r *http.Request) {
	send(w, r, "text/javascript; charset=utf-8", docsScript)
}

// pictureRoute is a route that answers with a JPEG and is not served by huma,
// which would buffer and copy it.
type pictureRoute struct {
	path, id, summary, description string
	params                         []*huma.Param
}

func intParam(in, name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: in, Required: in == "path", Description: doc, Schema: &huma.Schema{Type: "integer"}}
}

func textParam(in, name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: in, Required: in == "path", Description: doc, Schema: &huma.Schema{Type: "string"}}
}

var (
	imageParam    = textParam("path", "image", "Id of the image.")
	revisionParam = textParam("query", "v", "Revision the answer must be of. With the current one the answer may be kept for good; any other is 404.")
)

// describeTiles adds the routes of tiles to the document.
func describeTiles(doc *huma.OpenAPI) {
	for _, p := range []pictureRoute{
		{
			"/api/v1/images/{image}/tiles/{z}/{x}/{y}", "get-tile", "Get a tile",
			"The bytes that the file stores whenever those are right. A suffix .jpg may follow. Tiles at the right and bottom edge are whole tiles: what lies beyond the picture means nothing. X-Tile: empty marks the background of a part that was not scanned.",
			[]*huma.Param{imageParam, intParam("path", "z", "Zoom: 0 is the one tile that shows the whole slide, max_zoom is level 0."), intParam("path", "x", "Column, from 0 at the left."), intParam("path", "y", "Row, from 0 at the top."), revisionParam},
		},
		{
			"/api/v1/images/{image}/tiles/{name}.jpg", "get-tile-by-name", "Get a tile by its quadtree name", "t is zoom 0; each further letter picks a quadrant: q, r above and t, s below, or with origin bottom-left t, s below and q, r above.",
			[]*huma.Param{imageParam, textParam("path", "name", "Quadtree name, such as tqr."), textParam("query", "origin", "top-left or bottom-left; the store's own if absent."), revisionParam},
		},
		{
			"/dzi/{image}_files/{level}/{x}_{y}.jpg", "get-deep-zoom-tile", "Get a Deep Zoom tile", "Tiles at the right and bottom edge are cut to the picture.",
			[]*huma.Param{imageParam, intParam("path", "level", "Deep Zoom level: 0 is one pixel."), intParam("path", "x", "Column."), intParam("path", "y", "Row."), revisionParam},
		},
	} {
		p.add(doc, "tiles")
	}
}

// describePictures adds the routes of all other pictures.
func describePictures(doc *huma.OpenAPI) {
	for _, p := range []pictureRoute{
		{"/api/v1/images/{image}/associated/{kind}", "get-associated", "Get the label, macro or thumbnail", "A label that the file lacks is made from its barcode.", []*huma.Param{imageParam, textParam("path", "kind", "label, macro or thumbnail."), revisionParam}},
		{"/api/v1/images/{image}/preview", "get-preview", "Get the label turned beside the macro", "", []*huma.Param{imageParam, intParam("query", "height", "Pixels; 100 if absent."), revisionParam}},
		{"/api/v1/images/{image}/thumbnail", "get-thumbnail", "Get the whole slide, drawn from its levels", "", []*huma.Param{imageParam, intParam("query", "width", "Pixels at most."), intParam("query", "height", "Pixels at most."), revisionParam}},
	} {
		p.add(doc, "pictures")
	}
}

func (p pictureRoute) add(doc *huma.OpenAPI, tag string) {
	binary := &huma.Schema{Type: "string", Format: "binary"}
	problems := map[string]*huma.MediaType{"application/problem+json": {}}
	doc.AddOperation(&huma.Operation{
		OperationID: p.id, Method: http.MethodGet, Path: p.path, Summary: p.summary, Description: p.description,
		Tags: []string{tag}, Parameters: p.params,
		Responses: map[string]*huma.Response{
			"200": {Description: "A JPEG.", Content: map[string]*huma.MediaType{"image/jpeg": {Schema: binary}}},
			"304": {Description: "The caller has it: If-None-Match names its ETag."},
			"404": {Description: "No such image or tile, or not the current revision.", Content: problems},
			"502": {Description: "The file is damaged there, or stored in a way that is not read here.", Content: problems},
			"503": {Description: "The file has just changed or is out of reach, or the server is busy. Retry-After says when to ask again.", Content: problems},
		},
	})
}
