// Package api is the JSON API: stores, images and their pictures, described by
// an OpenAPI 3.1 document that it serves.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/storeroot"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// An API serves all routes under /api/v1 except tiles, and the routes of older clients.
type API struct {
	Catalog  *catalog.Catalog
	Tiles    *tile.Server
	Renderer *rendercache.Renderer
	Version  string
	// CorrectColors makes the viewer correct colours unless a user switches that off.
	CorrectColors bool
	// Viewers are other viewers that the pages of slides have links to.
	Viewers []Viewer
	// FrameAncestors are the origins of other sites whose pages may show the viewer in a frame.
	FrameAncestors []string
	// PublicURL is this server's URL for clients; if empty, it is taken from the request.
	PublicURL string
	Log       *slog.Logger

	// Access configures access control. If it is nil, every client may see
	// everything, and make changes if Admin allows it.
	Access *Access
	// Admin reports whether the caller may make changes, and see folders and hosts, if
	// there is no access control. If it is nil, no caller may.
	Admin func(*http.Request) bool
	// Tasks is the task service. If it is nil, because the server is read-only, routes of
	// tasks answer 503.
	Tasks *task.Service
	// StoreRoots are the folders in or below which stores may be added or moved over
	// HTTP. If it is empty, none may.
	StoreRoots storeroot.Roots
	// Bucket are the server and the credentials of stores in buckets.
	Bucket bucket.Settings
	// Watching, if not nil, returns the watch status of each store, by id.
	Watching func() map[string]scan.Status
	// Endpoints, if not nil, returns by URL why an endpoint of a store can't be reached
	// from here, or "" if it can. Endpoints that were not checked yet are missing.
	Endpoints func() map[string]string
	// Remove removes an image from all lists, Restore restores it, and Retry has its file
	// inspected again. If they are nil, the response is 503.
	Remove, Restore, Retry func(ctx context.Context, image string) error
	// Closing, if not nil, is closed when the server shuts down, to end streams.
	Closing   <-chan struct{}
	Heartbeat time.Duration // interval on streams; 15 s if 0

	routes []string // patterns of the registered routes

	dicom *dicomweb.Service // set when the routes are registered
}

// init sets huma's error format, and case-sensitive keys. These are global variables of
// huma: setting them later would race with requests to other APIs.
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = newError
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return newError(status, msg, errs...)
	}
}

// Register adds all routes to mux.
func (a *API) Register(mux httperr.Mux) {
	a.dicom = dicomAPI{a}.service()
	config := huma.DefaultConfig("ptiffstore", a.Version)
	config.Info.Description = "Whole-slide images: stores, images, tiles."
	config.OpenAPIPath = "/openapi"
	config.DocsPath = "" // huma's page loads from another site; docs serves ours
	config.CreateHooks = nil
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Formats = formats()
	config.Transformers = append(config.Transformers, traced)
	g := guarded{a, mux}
	h := humago.New(g, config)
	h.UseMiddleware(strictQuery(h))
	for _, resource := range []interface{ register(huma.API) }{
		storeAPI{a}, databaseAPI{a}, syncAPI{a}, imageAPI{a}, caseAPI{a}, taskAPI{a}, workerAPI{a}, sessionAPI{a}, userAPI{a}, groupAPI{a}, tokenAPI{a}, shareAPI{a}, grantAPI{a}, auditAPI{a},
	} {
		resource.register(h)
	}
	routes := slices.Concat(a.pictureRoutes(), slideatlasAPI{a}.listRoutes(), edgeAPI{a}.routes(), oidcAPI{a}.routes(), uploadRoutes(), stowRoutes(), tileRoutes(), dicomAPI{a}.searchRoutes())
	for _, r := range routes {
		r.register(g)
		r.describe(h.OpenAPI())
	}
	g.HandleFunc("GET /docs", docs)
	g.HandleFunc("GET /docs.js", docsJS)
}

// schemaName returns the name of a type in the document. It renames taskView to Task,
// which is also a package's name here.
func schemaName(t reflect.Type, hint string) string {
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}

// formats returns the format of bodies: JSON. huma decodes a body twice, for validation
// and for the handler; the second decoding refuses every body for which the two could
// differ.
func formats() map[string]huma.Format {
	strict := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
		if _, validated := v.(*any); validated {
			return json.Unmarshal(data, v) // an error is 400 here, and 422 in the second decoding
		}
		return strictjson.Unmarshal(data, v)
	}}
	return map[string]huma.Format{"application/json": strict, "json": strict}
}

// RegisterPictures adds the routes of pictures other than tiles, including those of older
// clients, for servers that serve only tiles and pictures.
func (a *API) RegisterPictures(mux httperr.Mux) {
	a.dicom = dicomAPI{a}.service()
	for _, r := range a.pictureRoutes() {
		r.register(guarded{a, mux})
	}
}

// pictureRoutes returns the routes of pictures other than tiles.
func (a *API) pictureRoutes() []route {
	return slices.Concat(pictureAPI{a}.routes(), colorAPI{a}.routes(), regionAPI{a}.routes(), downloadAPI{a}.routes(), originalAPI{a}.routes(), iiifAPI{a}.routes(), manifestAPI{iiifAPI{a}}.routes(), referenceAPI{iiifAPI{a}}.routes(), slideatlasAPI{a}.pictureRoutes(), dicomAPI{a}.studyRoutes())
}
