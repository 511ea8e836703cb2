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

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// An API answers everything under /api/v1 but tiles, and the routes of clients
// older than it.
type API struct {
	Catalog  *catalog.Catalog
	Tiles    *tile.Server
	Renderer *rendercache.Renderer
	Version  string
	// PublicURL is where clients reach this server; if it is empty, where they say they have.
	PublicURL string
	Log       *slog.Logger

	// Access says who may do what. If it is nil there is no access control: everybody
	// may see everything, and change it if Admin says so.
	Access *Access
	// Admin says whether the caller may change things, and see folders and hosts,
	// where there is no access control. If it is nil, nobody may.
	Admin func(*http.Request) bool
	// Jobs are the tasks. A server that has none, because it only reads, answers
	// requests for them with 503.
	Jobs *task.Service
	// StoreRoots are the folders in or below which the folders of stores that are
	// added or changed over HTTP must lie. If there are none, no store can be.
	StoreRoots []string
	// Watching, if not nil, says how each store is being watched, by id.
	Watching func() map[string]scan.Status
	// Endpoints, if not nil, says of each endpoint of a store, by its URL, why it can't be
	// reached from here; "" if it can. One that is not in it was not asked yet.
	Endpoints func() map[string]string
	// Remove takes an image out of all lists, Restore brings it back, and Retry has
	// its file looked at anew. Where they are nil the answer is 503.
	Remove, Restore, Retry func(ctx context.Context, image string) error
	// Closing, if not nil, is closed when the server ends: streams end then.
	Closing   <-chan struct{}
	Heartbeat time.Duration // of streams; 15 s if 0

	routes []string // patterns of what has been registered
}

// init says how errors look, and that keys are written exactly as they are, which huma
// has once for the whole process: set any later, one API would write what another is
// reading.
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = newError
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return newError(status, msg, errs...)
	}
}

// Register adds the routes to mux.
func (a *API) Register(mux *http.ServeMux) {
	config := huma.DefaultConfig("ptiffstore", a.Version)
	config.Info.Description = "Whole-slide images: stores, images, tiles."
	config.OpenAPIPath = "/openapi"
	config.DocsPath = "" // the page comes from elsewhere by default; ours is served below
	config.CreateHooks = nil
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Formats = formats()
	config.Transformers = append(config.Transformers, traced)
	g := guarded{a, mux}
	h := humago.New(g, config)
	h.UseMiddleware(strictQuery(h))
	for _, resource := range []interface{ register(huma.API) }{
		storeAPI{a}, syncAPI{a}, imageAPI{a}, taskAPI{a}, workerAPI{a}, sessionAPI{a}, userAPI{a}, groupAPI{a}, tokenAPI{a}, grantAPI{a}, auditAPI{a},
	} {
		resource.register(h)
	}
	routes := slices.Concat(a.pictureRoutes(), slideatlasAPI{a}.listRoutes(), edgeAPI{a}.routes(), oidcAPI{a}.routes(), uploadRoutes(), tileRoutes())
	for _, r := range routes {
		r.register(g)
		r.describe(h.OpenAPI())
	}
	g.HandleFunc("GET /docs", docs)
	g.HandleFunc("GET /docs.js", docsJS)
}

// schemaName is the name of a type in the document. A taskView is a Task there, a name
// that a package has here.
func schemaName(t reflect.Type, hint string) string {
	return strings.TrimSuffix(huma.DefaultSchemaNamer(t, hint), "View")
}

// formats are those of bodies: JSON. What a body is validated as, and what the handler
// is given, are two decodings of it, and the second refuses all in which they could
// differ.
func formats() map[string]huma.Format {
	strict := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
		if _, validated := v.(*any); validated {
			return json.Unmarshal(data, v) // what fails here is 400, and 422 in the other
		}
		return strictjson.Unmarshal(data, v)
	}}
	return map[string]huma.Format{"application/json": strict, "json": strict}
}

// RegisterPictures adds the routes of pictures that are no tiles, the older
// clients' routes among them: what a tile server has to answer too.
func (a *API) RegisterPictures(mux *http.ServeMux) {
	for _, r := range a.pictureRoutes() {
		r.register(guarded{a, mux})
	}
}

// pictureRoutes are the routes of everything that is a picture and not a tile.
func (a *API) pictureRoutes() []route {
	return slices.Concat(pictureAPI{a}.routes(), iiifAPI{a}.routes(), slideatlasAPI{a}.pictureRoutes())
}
