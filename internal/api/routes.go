package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A route is not served by huma, which would buffer and copy the response. It is
// documented here instead.
type route struct {
	path    string          // in the document
	pattern string          // in the mux, if it can't be the path
	handle  httperr.Handler // nil if another package serves it
	op      huma.Operation
}

func (r *route) register(mux guarded) {
	if r.handle == nil {
		return
	}
	pattern := r.method() + " " + r.path
	if r.pattern != "" {
		pattern = "GET " + r.pattern
	}
	h := http.Handler(r.handle)
	if isStrict(r.path) {
		h = strict(&r.op, h)
	}
	mux.Handle(pattern, h)
}

// method returns the method of the route, GET by default.
func (r *route) method() string {
	if r.op.Method == "" {
		return http.MethodGet
	}
	return r.op.Method
}

func (r *route) describe(doc *huma.OpenAPI) {
	r.op.Method, r.op.Path = r.method(), r.path
	doc.AddOperation(&r.op)
}

// picturesTag and the others are the sections of the document.
const (
	picturesTag = "pictures"
	tilesTag    = "tiles"
	olderTag    = "SlideAtlas and its prototype"
	serverTag   = "server"
)

func intParam(in, name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: in, Required: in == "path", Description: doc, Schema: &huma.Schema{Type: "integer"}}
}

func textParam(in, name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: in, Required: in == "path", Description: doc, Schema: &huma.Schema{Type: "string"}}
}

var (
	imageParam    = textParam("path", "image", "Id of the image.")
	storeParam    = textParam("path", "store", "Id of the store.")
	keyParam      = textParam("path", "image", "Id of the image, or the name of its file.")
	fileParam     = textParam("path", "file", "Id of the image, or the name of its file.")
	dbParam       = textParam("query", "db", "Id of the store.")
	imgParam      = textParam("query", "img", "Id of the image, or the name of its file.")
	revisionParam = textParam("query", "v", "Revision of the image. With the current one the response can be cached forever; any other gives 404.")
	tileSizeParam = intParam("query", "tile_size", "Side of the tiles in pixels, from 64 to 2048; that of the slide's tiles if absent, or 256 if those are not square.")
	overlapParam  = intParam("query", "overlap", "Pixels by which tiles reach into their neighbours, up to 64; 0 if absent.")
	originParam   = textParam("query", "origin", "top-left or bottom-left: where rows of the name are counted from; the store's setting if absent.")
)

// jpegOp describes an operation that responds with a picture.
func jpegOp(tag, id, summary, description string, params ...*huma.Param) huma.Operation {
	words := map[string]string{
		"404": "No such image or tile, or not the current revision.",
		"502": "The file is damaged at this place, or has an unsupported encoding.",
		"503": "The file has just changed or is unreachable, or the server is busy. Retry after the time in Retry-After.",
	}
	words["400"] = "icc has an unknown value."
	words["422"] = "The colour profile of the image cannot be used for what icc asks: see detail."
	if tag == picturesTag {
		words["400"] = "width or height is not a number from 1 to 2048, or icc has an unknown value."
	}
	if tag == olderTag {
		words["409"] = "Several images have this file name."
	}
	op := huma.Operation{
		OperationID: id, Summary: summary, Description: description, Tags: []string{tag}, Parameters: append(params, revisionParam, colorParam),
		Responses: map[string]*huma.Response{
			"200": answers("A JPEG, with ETag and Cache-Control.", "image/jpeg", &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"304": {Description: "Not modified: If-None-Match has the current ETag."},
			"307": {Description: "Another server has the file: see Location."},
		},
	}
	for status, text := range words {
		op.Responses[status] = answers(text, httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"})
	}
	return op
}

// problemAnswer describes a response with a problem.
func problemAnswer(description string) *huma.Response {
	return answers(description, httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"})
}

func answers(description, contentType string, s *huma.Schema) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{contentType: {Schema: s}}}
}
