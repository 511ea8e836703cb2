package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/authz"
)

// edgeAPI are the routes between a central server and its edge servers.
type edgeAPI struct{ *API }

// routes are the routes between a central server and its edges.
func (a edgeAPI) routes() []route {
	var check, revocations, revoke http.Handler
	if a.Access != nil {
		check = authz.CheckHandler(a.Access.Gate)
		revoke = a.Access.Revoke
		if a.mode() == modeLocal {
			revocations = authz.RevocationsHandler(a.Access.Accounts, a.Access.Keys)
		}
	}
	handle := func(h http.Handler) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			if h == nil {
				return a.plain(r.Context(), newError(http.StatusNotFound, "This server is neither a central server nor an edge server with this route."))
			}
			h.ServeHTTP(w, r)
			return nil
		}
	}
	op := func(method, id, summary, description string, params ...*huma.Param) huma.Operation {
		op := huma.Operation{
			Method: method, OperationID: id, Summary: summary, Description: description, Tags: []string{accessTag}, Parameters: params,
			Responses: map[string]*huma.Response{"200": answers("The response.", "application/json", &huma.Schema{Type: huma.TypeObject})},
		}
		for status, text := range map[string]string{"400": "The request is malformed.", "401": "No login, or no valid proof.", "403": notAllowed, "404": "This server does not have this role.", "422": "A parameter has an invalid value or is unknown.", "503": "Access can't be checked at present."} {
			op.Responses[status] = problemAnswer(text)
		}
		return op
	}
	const checkRoute = "/api/v1/auth/check"
	return []route{
		{path: checkRoute, handle: handle(check), op: op("GET", "check-access", "Check access to an image", "The caller is the user of the request's Authorization header or cookie. 200 {allow, user, ttl, store_wide}; without image the check is for the whole store.",
			textParam("query", "store", "Id of the store."), textParam("query", "image", "Id of the image."), textParam("query", "external_id", "Id of the image in another application."), textParam("query", "scope", "tiles, label, file, write or admin."))},
		{path: checkRoute, handle: handle(check), op: op("POST", "check-access-to-many", "Check access to up to 200 images", "{scope, images: [{store, image, external_id}]}; 200 {answers: [{image, allow, store_wide}], user, ttl}.")},
		{path: "/api/v1/auth/revoke", handle: handle(revoke), op: op("POST", "tell-revocations", "Publish revocations to an edge server", "Sent by the central server only, with a proof made with the shared secret.")},
		{path: "/api/v1/auth/revocations", handle: handle(revocations), op: op("GET", "list-revocations", "List the revocations since a number", "For edge servers only, with a proof made with the shared secret.",
			intParam("query", "since", "Number of the last known revocation, 0 for none."))},
	}
}
