package api

import (
	"context"
	"net/http"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

type signInput struct {
	Image string `path:"image" doc:"Id of the image."`
	Body  struct {
		Scope   string `json:"scope,omitempty" enum:"tiles,label" doc:"tiles if absent."`
		Seconds int    `json:"seconds,omitempty" minimum:"60" maximum:"86400" doc:"Lifetime; an hour if absent."`
	}
}

type signOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Query     string    `json:"query" doc:"Append this to URLs of the image, after ? or &."`
		ExpiresAt time.Time `json:"expires_at" doc:"When it expires."`
	}
}

func (a imageAPI) sign(ctx context.Context, in *signInput) (*signOutput, error) {
	c := callerOf(ctx)
	if a.Access == nil || a.Access.Keys == nil || c.ID == "" {
		return nil, newError(http.StatusNotFound, noPeople)
	}
	if c.Token != "" { // a link would outlive the token
		return nil, a.failed(ctx, errPassword)
	}
	im, err := a.Catalog.Images.Get(ctx, in.Image)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	scope := account.Scope(in.Body.Scope)
	if scope == "" {
		scope = seeTiles
	}
	if scope == seeLabel {
		if err := a.checkLabelLink(ctx, c, im); err != nil {
			return nil, err
		}
	}
	if in.Body.Seconds == 0 {
		in.Body.Seconds = 3600
	}
	now := time.Now()
	out := &signOutput{CacheControl: "no-store"}
	out.Body.ExpiresAt = now.Add(time.Duration(in.Body.Seconds) * time.Second).UTC().Truncate(time.Second)
	query, err := a.Access.Keys.SignURL(authz.Link{Image: im.ID, Scope: scope, User: c.ID, Issued: now, Expires: out.Body.ExpiresAt})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out.Body.Query = query.Encode()
	return out, nil
}

func (a imageAPI) checkLabelLink(ctx context.Context, c *caller, im *catalog.Image) error {
	s, err := a.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return a.failed(ctx, err)
	}
	ok, err := a.may(ctx, c, requestFor(im, labelScope(s.HideLabels)))
	if err == nil && !ok {
		err = errForbidden
	}
	if err != nil {
		return a.failed(ctx, err)
	}
	if s.HideLabels { // labels are for admins, and a link has no admin scope
		return newError(http.StatusForbidden, "The store of this slide hides labels, so a link can't show them. Create a link for tiles.")
	}
	return nil
}
