package api

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// tokenAPI are the operations on API tokens.
type tokenAPI struct{ *API }

// apiToken lets a program do what its user may do, limited to its scopes.
type apiToken struct {
	ID         string          `json:"id" doc:"Opaque; not a secret."`
	User       string          `json:"user" doc:"Id of the user."`
	Label      string          `json:"label" doc:"Purpose of the token."`
	Scopes     []account.Scope `json:"scopes" doc:"Maximum permissions: tiles, label, file, write, admin."`
	CreatedAt  time.Time       `json:"created_at" doc:"Time of creation."`
	ExpiresAt  *time.Time      `json:"expires_at" doc:"When the token expires; null for never."`
	LastUsedAt *time.Time      `json:"last_used_at" doc:"Last use, to the minute; null if never used."`
	Secret     *string         `json:"secret" doc:"The token, to be sent as Authorization: Bearer. Only the response that creates it has this field set."`
}

func newToken(t *account.Token) apiToken {
	return apiToken{ID: t.ID, User: t.User, Label: t.Label, Scopes: t.Scopes, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}
}

func (a tokenAPI) register(h huma.API) {
	add(a.API, h, "GET", tokensRoute, "list-tokens", "List tokens, newest first", "The caller's own; admins may list those of another user.", 200, nil, a.list)
	add(a.API, h, "POST", tokensRoute, "add-token", "Create an API token", "For the caller. Only this response contains the secret.", 201, nil, a.add)
	add(a.API, h, "DELETE", tokensRoute+"/{token}", "remove-token", "Remove a token", "Admins may do this for other users.", 204, problems{404: "No such token."}, a.remove)
}

type tokensInput struct {
	User string `query:"user" doc:"Id of the user; the caller if absent."`
}

func (a tokenAPI) list(ctx context.Context, in *tokensInput) (*list[apiToken], error) {
	if in.User == "" {
		in.User = callerOf(ctx).ID
	}
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Tokens.List(ctx, in.User)
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
		Label     string          `json:"label" doc:"Purpose of the token."`
		Scopes    []account.Scope `json:"scopes" doc:"Maximum permissions: tiles, label, file, write, admin."`
		ExpiresAt *time.Time      `json:"expires_at,omitempty" doc:"When the token expires; never if absent."`
	}
}

func (a tokenAPI) add(ctx context.Context, in *addTokenInput) (*one[apiToken], error) {
	c := callerOf(ctx)
	if c.Token != "" {
		return nil, errPassword // a token must not create one that lasts longer or has more scopes
	}
	secret, t, err := a.Access.Accounts.Tokens.Add(ctx, account.Token{User: c.ID, Label: in.Body.Label, Scopes: in.Body.Scopes, ExpiresAt: in.Body.ExpiresAt})
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

func (a tokenAPI) remove(ctx context.Context, in *tokenPath) (*struct{}, error) {
	t, err := a.Access.Accounts.Tokens.Get(ctx, in.Token)
	if errors.Is(err, account.ErrNotFound) && !isAdmin(ctx) {
		return nil, errForbidden // the same as for another user's token
	} else if err != nil {
		return nil, err
	}
	if err := ownOrAdmin(ctx, t.User); err != nil {
		return nil, err
	}
	return nil, a.Access.Accounts.Tokens.Delete(ctx, t.ID)
}
