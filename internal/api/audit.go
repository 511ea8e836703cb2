package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// auditAPI are the operations on the audit log.
type auditAPI struct{ *API }

// auditEvent is an entry of the audit log.
type auditEvent struct {
	N       int64     `json:"n" doc:"Sequence number."`
	At      time.Time `json:"at" doc:"Time of the event."`
	User    *string   `json:"user" doc:"Id of the user; null if the client was not logged in."`
	Act     string    `json:"act" example:"label.show" doc:"Action."`
	Object  *string   `json:"object" doc:"Ids of the objects concerned."`
	From    *string   `json:"from" doc:"Address of the client."`
	Allowed bool      `json:"allowed" doc:"Whether it was allowed."`
	Detail  *string   `json:"detail" doc:"Further details, without patient data."`
}

type auditInput struct {
	User    string    `query:"user" doc:"Only events of this user."`
	Act     string    `query:"act" doc:"Only this action."`
	Object  string    `query:"object" doc:"Only events that concern this object: the id of an image, store, user …"`
	Outcome string    `query:"outcome" enum:"allowed,refused" doc:"Only allowed or only refused events."`
	Since   time.Time `query:"since" doc:"Only events at or after this time."`
	Until   time.Time `query:"until" doc:"Only events before this time."`
	Cursor  string    `query:"cursor" doc:"next_cursor of the previous page."`
	Limit   int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
}

func (a auditAPI) register(h huma.API) {
	add(a.API, h, "GET", "/api/v1/audit", "list-audit", "Read the audit log, newest first, a page at a time", "Views of labels and names, logins, and changes.", 200, problems{400: "The cursor is not one of this list."}, a.list)
}

func (a auditAPI) list(ctx context.Context, in *auditInput) (*list[auditEvent], error) {
	f := account.EventFilter{User: in.User, Act: in.Act, Object: in.Object, Since: in.Since, Until: in.Until, Limit: in.Limit}
	if in.Outcome != "" {
		allowed := in.Outcome == "allowed"
		f.Allowed = &allowed
	}
	found, next, err := a.Access.Accounts.Audit.List(ctx, f, in.Cursor)
	if err != nil {
		return nil, err
	}
	items := []auditEvent{}
	for _, e := range found {
		items = append(items, auditEvent{e.N, e.At, known(e.User), e.Act, known(e.Object), known(e.From), e.Allowed, known(e.Detail)})
	}
	return listOf(items, next), nil
}
