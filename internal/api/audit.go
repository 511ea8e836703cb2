package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// auditAPI are the operations on the audit log.
type auditAPI struct{ *API }

const (
	auditRoute  = "/api/v1/audit"
	exportRoute = auditRoute + "/export"
)

// auditEvent is an entry of the audit log.
type auditEvent struct {
	N          int64             `json:"n" doc:"Sequence number."`
	At         time.Time         `json:"at" doc:"Time of the event."`
	User       *string           `json:"user" doc:"Id of the user; null if the client was not logged in."`
	Act        string            `json:"act" example:"label.show" doc:"Action."`
	Object     *string           `json:"object" doc:"Ids of the objects concerned, separated by spaces. For a refused login, the user of the given name; null if no user has that name."`
	From       *string           `json:"from" doc:"Address of the client."`
	Allowed    bool              `json:"allowed" doc:"Whether it was allowed."`
	Detail     *string           `json:"detail" doc:"Further details, without patient data."`
	ImageCount *int              `json:"image_count" doc:"Number of images whose labels or names a list showed; null for other actions. The filter object finds each of them."`
	Names      map[string]string `json:"names" doc:"With names=true, the names of the user and the objects by id, of those that still exist; otherwise null."`
}

// AuditFilter are the filters of the list and of the export. The type is exported because
// huma reads no parameters of others that are embedded.
type AuditFilter struct {
	User    string    `query:"user" doc:"Only events of this user."`
	Act     string    `query:"act" doc:"Only this action."`
	Object  string    `query:"object" doc:"Only events that concern this object: the id of an image, store, user …"`
	Outcome string    `query:"outcome" enum:"allowed,refused" doc:"Only allowed or only refused events."`
	Since   time.Time `query:"since" doc:"Only events at or after this time."`
	Until   time.Time `query:"until" doc:"Only events before this time."`
	Names   bool      `query:"names" doc:"Also return names. Names of images are returned if the caller may see them, which is recorded as label.list."`
}

type auditInput struct {
	AuditFilter
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
}

func (a auditAPI) register(h huma.API) {
	add(a.API, h, "GET", auditRoute, "list-audit", "Read the audit log, newest first, a page at a time", "Views of labels and names, logins, and changes.", 200, problems{400: "The cursor is not one of this list."}, a.list)
	add(a.API, h, "GET", exportRoute, "export-audit", "Download the audit log as CSV or JSON lines, newest first",
		"All events that match the filter. CSV is in UTF-8 with a byte order mark; a cell that a spreadsheet would take for a formula begins with an apostrophe. Each JSON line is an event as in the list, with the ids of its images.",
		200, nil, a.export)
}

// eventFilter returns the filter for the accounts.
func (f *AuditFilter) eventFilter() account.EventFilter {
	of := account.EventFilter{User: f.User, Act: f.Act, Object: f.Object, Since: f.Since, Until: f.Until}
	if f.Outcome != "" {
		allowed := f.Outcome == "allowed"
		of.Allowed = &allowed
	}
	return of
}

func (a auditAPI) list(ctx context.Context, in *auditInput) (*list[auditEvent], error) {
	f := in.eventFilter()
	f.Limit = in.Limit
	found, next, err := a.Access.Accounts.Audit.List(ctx, f, in.Cursor)
	if err != nil {
		return nil, err
	}
	items, err := a.show(ctx, found, in.namer(a))
	if err != nil {
		return nil, err
	}
	return listOf(items, next), nil
}

// namer returns the names to show, or nil if the request wants none.
func (f *AuditFilter) namer(a auditAPI) *namer {
	if !f.Names {
		return nil
	}
	return newNamer(a.API)
}

// show returns events as the caller may see them.
func (a auditAPI) show(ctx context.Context, found []account.Event, names *namer) ([]auditEvent, error) {
	items := make([]auditEvent, len(found))
	for i := range found {
		e := &found[i]
		items[i] = auditEvent{
			N: e.N, At: e.At, User: known(e.User), Act: e.Act, Object: known(e.Object), From: known(e.From), Allowed: e.Allowed,
			Detail: known(e.Detail), ImageCount: known(e.Count),
		}
		if names == nil {
			continue
		}
		var err error
		if items[i].Names, err = names.of(ctx, e); err != nil {
			return nil, err
		}
	}
	if names == nil {
		return items, nil
	}
	return items, names.record(ctx)
}

// exportInput is a filter and a format.
type exportInput struct {
	AuditFilter
	Format string `query:"format" enum:"csv,jsonl" default:"csv" doc:"csv or jsonl."`
}

// export streams all events that match a filter.
func (a auditAPI) export(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	x := &auditExport{api: a, filter: in.eventFilter(), names: in.namer(a)}
	x.filter.Limit, x.filter.Images = exportPage, true
	if x.filter.Until.IsZero() { // without the events that the export itself causes
		x.filter.Until = time.Now()
	}
	if err := x.next(ctx); err != nil { // before the status is sent
		return nil, err
	}
	kind, name := "text/csv; charset=utf-8", "audit.csv"
	if x.jsonl = in.Format == "jsonl"; x.jsonl {
		kind, name = "application/jsonl", "audit.jsonl"
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", kind)
		h.SetHeader("Content-Disposition", `attachment; filename="`+name+`"`)
		h.SetHeader("Cache-Control", "no-store")
		if err := x.write(ctx, h.BodyWriter()); err != nil {
			a.Log.ErrorContext(ctx, "cannot export the audit log", "err", err)
			panic(http.ErrAbortHandler) // so that the client does not take a part for all
		}
	}}, nil
}

// displayName is the name of a user for people.
func displayName(u *account.User) string { return cmp.Or(u.DisplayName, u.Name) }
