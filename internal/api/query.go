package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// tolerant are the routes under /api/v1 that ignore unknown query parameters:
// viewers, identity providers and proxies append parameters of their own. Tiles
// ignore them as well, and never get here.
var tolerant = []string{
	"/api/v1/images/{image}/associated/{kind}",
	"/api/v1/images/{image}/preview",
	"/api/v1/images/{image}/thumbnail",
	regionPath, // checks its parameters itself: 400
	"/api/v1/auth/login",
	"/api/v1/auth/logout",
	"/api/v1/auth/bootstrap",
	"/api/v1/auth/check",
	oidcStart,
	OIDCCallback,
}

// common are the query parameters that every route accepts: a revision, an access token
// ("pass"), and those of a signed URL.
var common = []string{"v", "pass", "sig", "exp", "scope", "kid"}

// maxQueryErrors is the maximum number of invalid parameters that a response lists.
const maxQueryErrors = 10

// isStrict reports whether a path's route refuses unknown query parameters. A misspelled
// filter would return the images of other patients, and a misspelled dry_run would change
// data.
func isStrict(path string) bool {
	return (strings.HasPrefix(path, "/api/v1/") || strings.HasPrefix(path, databasesRoute)) && !slices.Contains(tolerant, path)
}

// strictQuery is a middleware that refuses query parameters which an operation does not
// define.
func strictQuery(h huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		op, u := ctx.Operation(), ctx.URL()
		if isStrict(op.Path) {
			if errs := checkQuery(u.RawQuery, op.Parameters); len(errs) > 0 {
				huma.WriteErr(h, ctx, http.StatusUnprocessableEntity, "", errs...) //nolint:errcheck // the client is gone
				return
			}
		}
		next(ctx)
	}
}

// strict is strictQuery for routes outside huma.
func strict(op *huma.Operation, h http.Handler) http.Handler {
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if errs := checkQuery(r.URL.RawQuery, op.Parameters); len(errs) > 0 {
			return &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: newError(http.StatusUnprocessableEntity, "", errs...).Error()}
		}
		h.ServeHTTP(w, r)
		return nil
	})
}

// strictRoutes is strict for a path whose methods are all served by another package.
func strictRoutes(path string, routes []route, h http.Handler) http.Handler {
	methods := map[string]http.Handler{}
	for i := range routes {
		if r := &routes[i]; r.path == path {
			methods[r.method()] = strict(&r.op, h)
		}
	}
	other := strict(new(huma.Operation), h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := methods[r.Method]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// checkQuery returns the errors in a query string: malformed, or with a parameter that is
// unknown, repeated or empty. It repeats a parameter's name in the error only if it is
// short and plain.
func checkQuery(raw string, params []*huma.Param) []error {
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil || slices.Contains(strings.Split(raw, "&"), "") {
		return []error{&huma.ErrorDetail{Location: "query", Message: "malformed: write name=value, joined by &, with everything else percent-encoded"}}
	}
	known := slices.Clone(common)
	for _, p := range params {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(errs) == maxQueryErrors {
			break
		}
		at := "query." + shown(name)
		switch given := values[name]; {
		case !slices.Contains(known, name):
			errs = append(errs, &huma.ErrorDetail{Location: at, Message: "unknown query parameter"})
		case len(given) > 1:
			errs = append(errs, &huma.ErrorDetail{Location: at, Message: fmt.Sprintf("given %d times; give it once", len(given))})
		case given[0] == "":
			errs = append(errs, &huma.ErrorDetail{Location: at, Message: "has no value; leave it out or give one"})
		}
	}
	return errs
}

// shown returns a parameter's name in the form for errors.
func shown(name string) string {
	const most = 40
	if name == "" || len(name) > most || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "?"
	}
	return name
}
