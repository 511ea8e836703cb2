package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// problems describe the error statuses of an operation.
type problems map[int]string

// register adds an operation with its possible problems, besides those that every
// operation has.
func register[I, O any](h huma.API, op huma.Operation, p problems, f func(context.Context, *I) (*O, error)) {
	words := problems{
		http.StatusUnprocessableEntity: "The request is invalid; detail and errors describe the problem.",
		http.StatusInternalServerError: "Internal error. The server's log has the reason.",
		http.StatusServiceUnavailable:  "The database is unreachable. Retry after the time in Retry-After.",
	}
	maps.Copy(words, p)
	if op.Method != http.MethodGet {
		words[http.StatusInsufficientStorage] = "A disk is full. Nothing was changed."
	}
	if op.Method != http.MethodGet && words[http.StatusForbidden] == "" {
		words[http.StatusForbidden] = "Only an admin may do this."
	}
	op.Errors = slices.Sorted(maps.Keys(words))
	op.Responses = map[string]*huma.Response{}
	huma.Register(h, op, f)
	for status, text := range words {
		op.Responses[strconv.Itoa(status)].Description = text
	}
}

// private is the Cache-Control of responses that are for the caller only, or that may
// change at any moment.
const private = "private, no-cache"

// known returns nil for the zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// one and list are responses with one object and with several.
type one[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Location     string `header:"Location"`
	Body         T
}

type list[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []T     `json:"items" doc:"Items of the page."`
		NextCursor *string `json:"next_cursor" doc:"null at the end of the list."`
	}
}

func oneOf[T any](v T) *one[T] { return &one[T]{CacheControl: private, Body: v} }

func madeAt[T any](v T, route, id string) *one[T] {
	return &one[T]{CacheControl: private, Location: route + "/" + id, Body: v}
}

func listOf[T any](items []T, next string) *list[T] {
	out := &list[T]{CacheControl: private}
	if items == nil {
		items = []T{}
	}
	out.Body.Items, out.Body.NextCursor = items, known(next)
	return out
}

// add registers an operation on accounts. It answers 404 if this server has no users.
func add[I, O any](a *API, h huma.API, method, path, id, summary, description string, status int, p problems, f func(context.Context, *I) (*O, error), change ...func(*huma.Operation)) {
	words := problems{401: notLogged, 403: notAllowed, 404: noPeople}
	for code, text := range p {
		if code == 404 {
			text = noPeople + " " + text
		}
		words[code] = text
	}
	op := huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{accessTag}, Summary: summary, Description: description, DefaultStatus: status}
	for _, f := range change {
		f(&op)
	}
	register(h, op, words,
		func(ctx context.Context, in *I) (*O, error) {
			if err := a.requireAccounts(); err != nil {
				return nil, err
			}
			out, err := f(ctx, in)
			if err != nil {
				return nil, a.accountFailed(ctx, err)
			}
			return out, nil
		})
}

type pageInput struct {
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
}

// set changes to if a value is given.
func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}
