package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// A route is one that is not served by huma, which would buffer and copy what it
// answers, and is described here instead.
type route struct {
	path    string          // as the document has it
	pattern string          // as the mux has it, where it can't have the path
	handle  httperr.Handler // nil: it is answered outside of this package
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

// method is GET if nothing else is said.
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
	revisionParam = textParam("query", "v", "Revision the answer must be of. With the current one the answer may be kept for good; any other is 404.")
	originParam   = textParam("query", "origin", "top-left or bottom-left: where the rows of a name are counted from; the store's own if absent.")
)

// jpegOp describes an operation that answers with a picture.
func jpegOp(tag, id, summary, description string, params ...*huma.Param) huma.Operation {
	words := map[string]string{
		"404": "No such image or tile, or not the current revision.",
		"502": "The file is damaged there, or stored in a way that is not read here.",
		"503": "The file has just changed or is out of reach, or the server is busy. Retry-After says when to ask again.",
	}
	if tag == picturesTag {
		words["400"] = "A width or height that is no number from 1 to 2048."
	}
	if tag == olderTag {
		words["409"] = "Several images have this file name."
	}
	op := huma.Operation{
		OperationID: id, Summary: summary, Description: description, Tags: []string{tag}, Parameters: append(params, revisionParam),
		Responses: map[string]*huma.Response{
			"200": answers("A JPEG, with ETag and Cache-Control.", "image/jpeg", &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"304": {Description: "The caller has it: If-None-Match names its ETag."},
			"307": {Description: "The file is at another server, which is at Location."},
		},
	}
	for status, text := range words {
		op.Responses[status] = answers(text, httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"})
	}
	return op
}

// problemAnswer is one with a problem.
func problemAnswer(description string) *huma.Response {
	return answers(description, httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"})
}

func answers(description, contentType string, s *huma.Schema) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{contentType: {Schema: s}}}
}

// pictures are the routes that answer with a picture that is no tile, and the
// descriptor of Deep Zoom.
func (a *API) pictures() []route {
	descriptor := jpegOp(tilesTag, "get-deep-zoom", "Get the Deep Zoom descriptor", "There is none for slides whose tiles are not square.", imageParam)
	delete(descriptor.Responses, "307")
	descriptor.Responses["200"] = answers("A descriptor in XML.", "application/xml", &huma.Schema{Type: huma.TypeString})
	return []route{
		{
			path: "/api/v1/images/{image}/associated/{kind}", handle: func(w http.ResponseWriter, r *http.Request) error {
				kind := r.PathValue("kind")
				return a.picture(w, r, &tile.Request{Image: r.PathValue("image")}, kind, a.associated(kind))
			},
			op: jpegOp(picturesTag, "get-associated", "Get the label, macro or thumbnail", "A label that the file lacks is made from its barcode.", imageParam, textParam("path", "kind", "label, macro or thumbnail.")),
		},
		{
			path: "/api/v1/images/{image}/preview", handle: func(w http.ResponseWriter, r *http.Request) error {
				return a.preview(w, r, &tile.Request{Image: r.PathValue("image")})
			},
			op: jpegOp(picturesTag, "get-preview", "Get the label turned beside the macro", "", imageParam, intParam("query", "height", "Pixels; 100 if absent.")),
		},
		{
			path: "/api/v1/images/{image}/thumbnail", handle: a.thumbnail,
			op: jpegOp(picturesTag, "get-thumbnail", "Get the whole slide, drawn from its levels", "", imageParam, intParam("query", "width", "Pixels at most."), intParam("query", "height", "Pixels at most.")),
		},
		{path: "/dzi/{image}.dzi", pattern: "/dzi/{file}", handle: a.descriptor, op: descriptor},
	}
}

// older are the pictures' routes of SlideAtlas and of the prototype.
func (a *API) older() []route {
	ask := func(store, image string) *tile.Request {
		return &tile.Request{Store: store, Image: image, ByFile: true}
	}
	height := intParam("query", "height", "Pixels; 100 if absent.")
	list := []route{
		{
			path: "/thumb/{store}/{image}", handle: func(w http.ResponseWriter, r *http.Request) error {
				return a.preview(w, r, ask(r.PathValue("store"), r.PathValue("image")))
			},
			op: jpegOp(olderTag, "get-thumb", "Get the preview", "", storeParam, keyParam, height),
		},
		{
			path: "/thumb", handle: func(w http.ResponseWriter, r *http.Request) error {
				q := r.URL.Query()
				return a.preview(w, r, ask(q.Get("db"), q.Get("img")))
			},
			op: jpegOp(olderTag, "get-thumb-by-query", "Get the preview", "", dbParam, imgParam, height),
		},
		{
			path: "/label", handle: func(w http.ResponseWriter, r *http.Request) error {
				q := r.URL.Query()
				return a.picture(w, r, ask(q.Get("db"), q.Get("img")), "label", a.associated("label"))
			},
			op: jpegOp(olderTag, "get-label-by-query", "Get the label", "", dbParam, imgParam),
		},
	}
	for _, kind := range []string{"label", "macro"} {
		path := "/apiv1/slides/{file}/" + kind + "/"
		list = append(list, route{
			path: path, pattern: path + "{$}", handle: func(w http.ResponseWriter, r *http.Request) error {
				return a.picture(w, r, ask("", r.PathValue("file")), kind, a.associated(kind))
			},
			op: jpegOp(olderTag, "get-prototype-"+kind, "Get the "+kind, "", fileParam),
		})
	}
	return list
}

// lists are the routes of the prototype that need the catalog.
func (a *API) lists() []route {
	return []route{{
		path: "/apiv1/slides", handle: a.prototypeList,
		op: huma.Operation{
			OperationID: "list-prototype-slides", Summary: "List the slides by name", Tags: []string{olderTag},
			Description: "Those that are available, at most 10,000.",
			Responses: map[string]*huma.Response{
				"200": answers(`{"slides":[{"name":…,"barcode":…}]}`, "application/json", &huma.Schema{Type: huma.TypeObject}),
				"500": answers("Something went wrong in the server. The reason is in its log.", httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"}),
			},
		},
	}}
}

// elsewhere are the routes that the adapters of tiles and the health of the process
// answer.
func (a *API) elsewhere() []route {
	z, x, y := intParam("path", "z", "Zoom: 0 is the one tile that shows the whole slide, max_zoom is level 0."), intParam("path", "x", "Column, from 0 at the left."), intParam("path", "y", "Row, from 0 at the top.")
	name := textParam("path", "name", "Quadtree name, such as tqr.")
	health := func(id, summary, bad string) huma.Operation {
		op := huma.Operation{OperationID: id, Summary: summary, Tags: []string{serverTag}, Responses: map[string]*huma.Response{"200": answers("It does.", "text/plain", &huma.Schema{Type: huma.TypeString})}}
		if bad != "" {
			op.Responses["503"] = answers(bad, "text/plain", &huma.Schema{Type: huma.TypeString})
		}
		return op
	}
	return []route{
		{path: "/api/v1/images/{image}/tiles/{z}/{x}/{y}", op: jpegOp(
			tilesTag, "get-tile", "Get a tile",
			"The bytes that the file stores whenever those are right. A suffix .jpg may follow. Tiles at the right and bottom edge are whole tiles: what lies beyond the picture means nothing. X-Tile: empty marks the background of a part that was not scanned.",
			imageParam, z, x, y,
		)},
		{path: "/api/v1/images/{image}/tiles/{name}.jpg", op: jpegOp(
			tilesTag, "get-tile-by-name", "Get a tile by its quadtree name",
			"t is zoom 0; each further letter picks a quadrant: q, r above and t, s below, the rows counted from the top, or with origin bottom-left from the bottom.",
			imageParam, name, originParam,
		)},
		{path: "/dzi/{image}_files/{level}/{x}_{y}.jpg", op: jpegOp(
			tilesTag, "get-deep-zoom-tile", "Get a Deep Zoom tile", "Tiles at the right and bottom edge are cut to the picture.",
			imageParam, intParam("path", "level", "Deep Zoom level: 0 is one pixel."), x, y,
		)},
		{path: "/zoomify/{image}/TileGroup{group}/{tier}-{x}-{y}.jpg", op: jpegOp(
			iiifTag, "get-zoomify-tile", "Get a Zoomify tile", "Tiles at the right and bottom edge are cut to the picture.",
			imageParam, intParam("path", "group", "Any number: it follows from the rest."), intParam("path", "tier", "Tier: 0 is one tile."), x, y,
		)},
		{path: "/tile/{store}/{image}/{name}.jpg", op: jpegOp(olderTag, "get-atlas-tile", "Get a tile by its quadtree name", "", storeParam, keyParam, name, originParam)},
		{path: "/tile", op: jpegOp(olderTag, "get-atlas-tile-by-query", "Get a tile by its quadtree name", "", dbParam, imgParam, textParam("query", "name", "Quadtree name and .jpg."), originParam)},
		{path: "/apiv1/slides/{file}/{x}/{y}/{level}", op: jpegOp(olderTag, "get-prototype-tile", "Get a tile of a stored level", "", fileParam, x, y, intParam("path", "level", "Stored level, 0 the largest."))},
		{path: "/healthz", op: health("get-health", "Does the process run?", "")},
		{path: "/readyz", op: health("get-readiness", "Can the process answer?", "It is still loading the catalog.")},
	}
}
