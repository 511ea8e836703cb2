package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

const (
	uploadsTag   = "uploads"
	uploadsRoute = "/api/v1/uploads"
	uploadRoute  = uploadsRoute + "/{upload}"
)

// Uploader returns the user who uploads into a store, or an error. To callers who may not
// see the store, the error is the same as for an unknown store.
func (a *API) Uploader(r *http.Request, s *catalog.Store) (string, error) {
	if a.Access == nil {
		return "", nil
	}
	ctx, c := r.Context(), callerOf(r.Context())
	ok, err := a.may(ctx, c, authz.Request{Store: s.ID, Scope: mayWrite})
	if err != nil {
		return "", err
	}
	if r.Method == http.MethodPost {
		a.note(ctx, account.Event{Act: "upload", Object: s.ID, Allowed: ok})
	}
	if ok {
		return c.ID, nil
	}
	if ok, err = a.may(ctx, c, authz.Request{Store: s.ID, Scope: seeTiles}); err != nil {
		return "", err
	}
	if ok || s.Public {
		return "", &httperr.Error{Status: http.StatusForbidden, Detail: "You may not upload into this store."}
	}
	return "", catalog.ErrNotFound
}

// UploadRights returns whether the caller may see and remove other users' uploads into a
// store, and see the names of their files.
func (a *API) UploadRights(r *http.Request, s *catalog.Store) (admin, names bool, err error) {
	if a.Access == nil {
		return true, true, nil // without access control every admitted caller may do everything
	}
	ctx, c := r.Context(), callerOf(r.Context())
	if admin, err = a.may(ctx, c, authz.Request{Store: s.ID, Scope: mayAdmin}); err != nil || !admin {
		return false, false, err
	}
	names, err = a.may(ctx, c, authz.Request{Store: s.ID, Scope: labelScope(s.HideLabels)})
	return admin, names, err
}

// UserName returns the name of a user, or "" if the user is unknown here.
func (a *API) UserName(ctx context.Context, id string) string {
	if a.Access == nil || a.Access.Accounts == nil || id == "" {
		return ""
	}
	u, err := a.Access.Accounts.Users.Get(ctx, id)
	if err != nil {
		return ""
	}
	return u.Name
}

// Audit records an action of the caller in another package.
func (a *API) Audit(r *http.Request, act, object, detail string) error {
	e := account.Event{Act: act, Object: object, Detail: detail, Allowed: true}
	if act == listLabels {
		return a.recordList(r.Context(), e)
	}
	return a.record(r.Context(), e)
}

// uploadRoutes describes the routes that package upload serves.
func uploadRoutes() []route {
	text := func(name, doc string) *huma.Param { return textParam("query", name, doc) }
	tus := func(name, doc string) *huma.Param { return textParam("header", name, doc) }
	version := tus("Tus-Resumable", "1.0.0: the version of the tus protocol.")
	all := &huma.Param{Name: "all", In: "query", Description: "Also list uploads of other users, in stores that the caller is an admin of.", Schema: &huma.Schema{Type: huma.TypeBoolean}}
	state := text("state", "Only uploads in this state.")
	state.Schema.Enum = []any{"uploading", "received", "refused"}
	limit := intParam("query", "limit", "How many at most; 100 if absent.")
	least, most := 1.0, 100.0
	limit.Schema.Minimum, limit.Schema.Maximum = &least, &most
	one := textParam("path", "upload", "Id of the upload.")
	return []route{
		{path: uploadsRoute, op: uploadOp(
			http.MethodGet, "list-uploads", "List the caller's uploads, a page at a time, newest first",
			"Admins of a store may also list uploads of other users; their file names are null for callers who may not see labels.",
			"The page: items and next_cursor, which is null at the end.", all, text("store", "Only uploads into this store."), state, text("cursor", "next_cursor of the previous page."), limit,
		)},
		{path: uploadsRoute, op: uploadOp(
			http.MethodPost, "begin-upload", "Start an upload with the tus protocol", "See https://tus.io/protocols/resumable-upload. The body may have the first bytes.", "Created: see Location.",
			version, intParam("header", "Upload-Length", "Size of the file in bytes."), tus("Upload-Metadata", "store and filename; sha256 and modified are optional."),
		)},
		{path: uploadRoute, op: uploadOp(http.MethodGet, "get-upload", "Get the progress of an upload, and the state of its file", "", "The upload.", one)},
		{path: uploadRoute, op: uploadOp(http.MethodHead, "get-upload-offset", "Get the offset of an upload", "", "See Upload-Offset.", one, version)},
		{path: uploadRoute, op: uploadOp(
			http.MethodPatch, "continue-upload", "Continue an upload", "", "The bytes are on the server's disk.",
			one, version, intParam("header", "Upload-Offset", "Offset of the first byte."), tus("Upload-Checksum", "Optional: sha1 or sha256, and the checksum of the bytes in base64."),
		)},
		{path: uploadRoute, op: uploadOp(http.MethodDelete, "remove-upload", "Remove an upload", "Users remove their own uploads; admins of the store may remove any. A file that the store has accepted stays there.", "Removed.", one, version)},
	}
}

// uploadOp describes an operation on uploads.
func uploadOp(method, id, summary, description, good string, params ...*huma.Param) huma.Operation {
	op := huma.Operation{Method: method, OperationID: id, Summary: summary, Description: description, Tags: []string{uploadsTag}, Parameters: params, Responses: map[string]*huma.Response{}}
	switch method {
	case http.MethodGet:
		op.Responses["200"] = answers(good, "application/json", &huma.Schema{Type: huma.TypeObject})
	case http.MethodHead:
		op.Responses["200"] = &huma.Response{Description: good}
	case http.MethodPost:
		op.Responses["201"] = &huma.Response{Description: good}
	default:
		op.Responses["204"] = &huma.Response{Description: good}
	}
	words := map[string]string{
		"401": notLogged, "403": "The caller may not upload into this store.", "404": "No such store or upload; it may have expired.",
		"422": "The request is not valid.", "503": "The server, the database or the store's folder is busy or unreachable. Continue after the time in Retry-After.",
	}
	switch method {
	case http.MethodPost:
		words["413"], words["429"], words["507"] = "The file is larger than is allowed.", "The caller has too many or too large unfinished uploads.", "The disk is full, or the store's quota is reached."
	case http.MethodPatch:
		words["409"], words["423"], words["507"] = "Upload-Offset does not match the upload.", "Another request writes to this upload.", "The disk is full, or the store's quota is reached."
	}
	for status, text := range words {
		op.Responses[status] = problemAnswer(text)
	}
	return op
}
