package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
)

// apiToken lets a program do what its user may do, within its scopes.
type apiToken struct {
	ID         string          `json:"id" doc:"Opaque, and no secret."`
	User       string          `json:"user" doc:"Id of the user."`
	Label      string          `json:"label" doc:"What it is for."`
	Scopes     []account.Scope `json:"scopes" doc:"tiles, label, write, admin: what it may be used for at most."`
	CreatedAt  time.Time       `json:"created_at" doc:"When it was made."`
	ExpiresAt  *time.Time      `json:"expires_at" doc:"null for never."`
	LastUsedAt *time.Time      `json:"last_used_at" doc:"To the minute; null for never."`
	Secret     *string         `json:"secret" doc:"Said once, when it is made: to be sent as Authorization: Bearer."`
}

func newToken(t *account.Token) apiToken {
	return apiToken{ID: t.ID, User: t.User, Label: t.Label, Scopes: t.Scopes, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}
}

func (a *API) tokens(h huma.API) {
	add(a, h, "GET", tokensRoute, "list-tokens", "List tokens, newest first", "One's own; those of another for admins.", 200, nil, a.listTokens)
	add(a, h, "POST", tokensRoute, "add-token", "Make a token of one's own", "Its secret is in this answer and nowhere else.", 201, nil, a.addToken)
	add(a, h, "DELETE", tokensRoute+"/{token}", "remove-token", "Remove a token", "One's own; those of others for admins.", 204, problems{404: "No such token."}, a.removeToken)
}

type tokensInput struct {
	User string `query:"user" doc:"Id of the user; the caller if absent."`
}

func (a *API) listTokens(ctx context.Context, in *tokensInput) (*list[apiToken], error) {
	if in.User == "" {
		in.User = callerOf(ctx).ID
	}
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Tokens(ctx, in.User)
	if err != nil {
		return nil, err
	}
	items := []apiToken{}
	for i := range found {
		items = append(items, newToken(&found[i]))
	}
	return listOf(items, ""), nil
}

type addTokenInput struct {
	Body struct {
		Label     string          `json:"label" doc:"What it is for."`
		Scopes    []account.Scope `json:"scopes" doc:"tiles, label, write, admin: what it may be used for at most."`
		ExpiresAt *time.Time      `json:"expires_at,omitempty" doc:"Never if absent."`
	}
}

func (a *API) addToken(ctx context.Context, in *addTokenInput) (*one[apiToken], error) {
	c := callerOf(ctx)
	if c.Token != "" {
		return nil, errPassword // or a token could make one that lasts longer, or may do more
	}
	secret, t, err := a.Access.Accounts.CreateToken(ctx, account.Token{User: c.ID, Label: in.Body.Label, Scopes: in.Body.Scopes, ExpiresAt: in.Body.ExpiresAt})
	if err != nil {
		return nil, err
	}
	out := madeAt(newToken(t), tokensRoute, t.ID)
	out.CacheControl, out.Body.Secret = "no-store", &secret
	return out, nil
}

type tokenPath struct {
	Token string `path:"token" doc:"Id of the token."`
}

func (a *API) removeToken(ctx context.Context, in *tokenPath) (*struct{}, error) {
	t, err := a.Access.Accounts.Token(ctx, in.Token)
	if errors.Is(err, account.ErrNotFound) && !isAdmin(ctx) {
		return nil, errForbidden // as of another's
	} else if err != nil {
		return nil, err
	}
	if err := ownOrAdmin(ctx, t.User); err != nil {
		return nil, err
	}
	return nil, a.Access.Accounts.DeleteToken(ctx, t.ID)
}

// grant gives a role to a user or a group.
type grant struct {
	ID        string       `json:"id" doc:"Opaque."`
	User      *string      `json:"user" doc:"Id of the user, or null."`
	Group     *string      `json:"group" doc:"Id of the group, or null."`
	Role      account.Role `json:"role" enum:"viewer,reader,contributor,admin" doc:"viewer: tiles. reader: labels and names, too. contributor: uploads and syncs, too. admin: everything."`
	Store     *string      `json:"store" doc:"Id of the store, or null."`
	Image     *string      `json:"image" doc:"Id of the image, or null. Neither store nor image is everything."`
	CreatedAt time.Time    `json:"created_at" doc:"When it was given."`
}

func newGrant(g *account.Grant) grant {
	return grant{g.ID, known(g.User), known(g.Group), g.Role, known(g.Store), known(g.Image), g.CreatedAt}
}

const grantsRoute = "/api/v1/grants"

func (a *API) grants(h huma.API) {
	add(a, h, "GET", grantsRoute, "list-grants", "List grants", "In the order in which they were given.", 200, nil, a.listGrants)
	add(a, h, "POST", grantsRoute, "add-grant", "Give a role to a user or a group", "One that is there already is the answer.", 201, problems{404: "No such user or group."}, a.addGrant)
	add(a, h, "DELETE", grantsRoute+"/{grant}", "remove-grant", "Take a grant back", "What is remembered of the rights it gave is forgotten at once.", 204, problems{404: "No such grant.", 409: lastAdmin}, a.removeGrant)
	add(a, h, "GET", "/api/v1/audit", "list-audit", "Read the audit log, newest first, a page at a time", "Who looked at labels and names, logged in, and changed what.", 200, problems{400: "The cursor is not one of this list."}, a.listAudit)
}

type grantsInput struct {
	User  string `query:"user" doc:"Only those of this user's own."`
	Group string `query:"group" doc:"Only those of this group."`
	Store string `query:"store" doc:"Only those for this store."`
	Image string `query:"image" doc:"Only those for this image."`
}

func (a *API) listGrants(ctx context.Context, in *grantsInput) (*list[grant], error) {
	found, err := a.Access.Accounts.Grants(ctx, account.GrantFilter(*in))
	if err != nil {
		return nil, err
	}
	items := []grant{}
	for i := range found {
		items = append(items, newGrant(&found[i]))
	}
	return listOf(items, ""), nil
}

type addGrantInput struct {
	Body struct {
		User  string `json:"user,omitempty" doc:"Id of the user; or"`
		Group string `json:"group,omitempty" doc:"Id of the group."`
		Role  string `json:"role" enum:"viewer,reader,contributor,admin" doc:"What is given."`
		Store string `json:"store,omitempty" doc:"Id of the store; or"`
		Image string `json:"image,omitempty" doc:"Id of the image. Neither is everything."`
	}
}

func (a *API) addGrant(ctx context.Context, in *addGrantInput) (*one[grant], error) {
	b := &in.Body
	if b.Store != "" {
		if _, err := a.Catalog.Store(ctx, b.Store); err != nil {
			return nil, err
		}
	}
	if b.Image != "" {
		if _, err := a.Catalog.Image(ctx, b.Image); err != nil {
			return nil, err
		}
	}
	g, err := a.Access.Accounts.AddGrant(ctx, account.Grant{User: b.User, Group: b.Group, Role: account.Role(b.Role), Store: b.Store, Image: b.Image})
	if err != nil {
		return nil, err
	}
	return madeAt(newGrant(g), grantsRoute, g.ID), nil
}

type grantPath struct {
	Grant string `path:"grant" doc:"Id of the grant."`
}

func (a *API) removeGrant(ctx context.Context, in *grantPath) (*struct{}, error) {
	return nil, a.Access.Accounts.DeleteGrant(ctx, in.Grant)
}

// auditEvent is a line of the audit log.
type auditEvent struct {
	N       int64     `json:"n" doc:"Its number."`
	At      time.Time `json:"at" doc:"When."`
	User    *string   `json:"user" doc:"Id of the user; null for one who had not logged in."`
	Act     string    `json:"act" example:"label.show" doc:"What was done."`
	Object  *string   `json:"object" doc:"Ids of what it was done to."`
	From    *string   `json:"from" doc:"Address of the client."`
	Allowed bool      `json:"allowed" doc:"Whether it was allowed."`
	Detail  *string   `json:"detail" doc:"What else there is to say. No patient data."`
}

type auditInput struct {
	User    string    `query:"user" doc:"Only what this user did."`
	Act     string    `query:"act" doc:"Only this."`
	Object  string    `query:"object" doc:"Only what was done to this: the id of an image, store, user …"`
	Outcome string    `query:"outcome" enum:"allowed,refused" doc:"Only what was allowed, or refused."`
	Since   time.Time `query:"since" doc:"Only from this time on."`
	Until   time.Time `query:"until" doc:"Only before this time."`
	Cursor  string    `query:"cursor" doc:"next_cursor of the page before."`
	Limit   int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most."`
}

func (a *API) listAudit(ctx context.Context, in *auditInput) (*list[auditEvent], error) {
	f := account.EventFilter{User: in.User, Act: in.Act, Object: in.Object, Since: in.Since, Until: in.Until, Limit: in.Limit}
	if in.Outcome != "" {
		allowed := in.Outcome == "allowed"
		f.Allowed = &allowed
	}
	found, next, err := a.Access.Accounts.Events(ctx, f, in.Cursor)
	if err != nil {
		return nil, err
	}
	items := []auditEvent{}
	for _, e := range found {
		items = append(items, auditEvent{e.N, e.At, known(e.User), e.Act, known(e.Object), known(e.From), e.Allowed, known(e.Detail)})
	}
	return listOf(items, next), nil
}

// edges are the routes between a centre and its edges.
func (a *API) edges() []route {
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
				return a.plain(r.Context(), newError(http.StatusNotFound, "This server is no such end of a pair of centre and edge."))
			}
			h.ServeHTTP(w, r)
			return nil
		}
	}
	op := func(method, id, summary, description string, params ...*huma.Param) huma.Operation {
		op := huma.Operation{
			Method: method, OperationID: id, Summary: summary, Description: description, Tags: []string{accessTag}, Parameters: params,
			Responses: map[string]*huma.Response{"200": answers("The answer.", "application/json", &huma.Schema{Type: huma.TypeObject})},
		}
		for status, text := range map[string]string{"400": "The request is malformed.", "401": "Not logged in, or without proof.", "403": notAllowed, "404": "This server is no such end.", "422": "A parameter has a value that it can't have, or there is no such parameter.", "503": "It can't be checked at present."} {
			op.Responses[status] = problemAnswer(text)
		}
		return op
	}
	const checkRoute = "/api/v1/auth/check"
	return []route{
		{path: checkRoute, handle: handle(check), op: op("GET", "check-access", "Ask whether the caller may see an image", "The caller is whose Authorization or cookie the request carries. 200 {allow, user, ttl, store_wide}; without image it is asked for the whole store.",
			textParam("query", "store", "Id of the store."), textParam("query", "image", "Id of the image."), textParam("query", "external_id", "Of the image in another application."), textParam("query", "scope", "tiles, label, write or admin."))},
		{path: checkRoute, handle: handle(check), op: op("POST", "check-access-to-many", "Ask about up to 200 images", "{scope, images: [{store, image, external_id}]}; 200 {answers: [{image, allow, store_wide}], user, ttl}.")},
		{path: "/api/v1/auth/revoke", handle: handle(revoke), op: op("POST", "tell-revocations", "Tell an edge of revocations", "Comes from the centre alone, with a proof by the secret that both know.")},
		{path: "/api/v1/auth/revocations", handle: handle(revocations), op: op("GET", "list-revocations", "Fetch the revocations since a number", "For edges alone, with a proof by the secret that both know.",
			intParam("query", "since", "Number of the last one that is known, 0 for none."))},
	}
}
