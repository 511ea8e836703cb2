package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// plain converts an error for handlers outside huma.
func (a *API) plain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*httperr.Error](err); ok {
		return err
	}
	p, ok := errors.AsType[*problem](a.taskFailed(ctx, err))
	if !ok {
		return err
	}
	e := &httperr.Error{Status: p.Status, Detail: p.Detail, Err: err}
	switch e.Status {
	case http.StatusServiceUnavailable:
		e.RetryAfter = 5
	case http.StatusInsufficientStorage:
		e.RetryAfter = 60
	}
	return e
}

// problem is the error format of every operation: RFC 9457.
type problem struct {
	httperr.Problem
	Errors []string `json:"errors,omitempty" doc:"What is wrong with the request."`
}

func (p *problem) Error() string { return p.Detail }

func (p *problem) GetStatus() int { return p.Status }

func (p *problem) ContentType(string) string { return httperr.ProblemType }

func newError(status int, msg string, errs ...error) huma.StatusError {
	p := &problem{Problem: httperr.NewProblem(status, msg, "")}
	for _, err := range errs {
		var of *huma.ErrorDetail
		switch {
		case errors.As(err, &of): // its text contains the client's input
			p.Errors = append(p.Errors, of.Location+": "+of.Message)
		case err != nil:
			p.Errors = append(p.Errors, err.Error())
		}
	}
	if status == http.StatusUnprocessableEntity && len(p.Errors) > 0 { // huma's detail only says that validation failed
		p.Detail = "The request is not valid: " + p.Errors[0] + "."
	}
	return p
}

// traced adds the request id to a problem, and forbids caching it. It runs before the
// header is written.
func traced(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*problem); ok {
		p.Instance = httperr.NewProblem(p.Status, p.Detail, httperr.RequestID(ctx.Context())).Instance
		ctx.SetHeader("Cache-Control", "no-store")
		ctx.SetHeader("X-Content-Type-Options", "nosniff")
	}
	return v, nil
}

// failed converts an error of the catalog to a response.
func (a *API) failed(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return a.answered(ctx, e)
	}
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return newError(http.StatusNotFound, "There is no object with this id.")
	case errors.Is(err, catalog.ErrBadCursor):
		return newError(http.StatusBadRequest, "The cursor does not belong to this list: start again without it.")
	case errors.Is(err, catalog.ErrAway):
		a.Log.WarnContext(ctx, "catalog is unreachable", "request", httperr.RequestID(ctx), "err", err)
		return huma.ErrorWithHeaders(newError(http.StatusServiceUnavailable, "The database does not respond. Try again in a moment."), http.Header{"Retry-After": {"5"}})
	case errors.Is(err, catalog.ErrFull):
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
		return full("The disk of the database is full. Nothing was changed.")
	case errors.Is(err, scan.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
		return full("The disk is full. Nothing was changed.")
	case errors.Is(ctx.Err(), context.Canceled):
		return newError(499, "The client closed the connection.")
	}
	a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", err)
	return newError(http.StatusInternalServerError, "Internal error. The server's log has the reason.")
}

// full returns the error for a full disk.
func full(detail string) error {
	return huma.ErrorWithHeaders(newError(http.StatusInsufficientStorage, detail), http.Header{"Retry-After": {"60"}})
}

// answered converts an error of package httperr to one of an operation.
func (a *API) answered(ctx context.Context, e *httperr.Error) error {
	if e.Status >= 500 {
		a.Log.ErrorContext(ctx, "request failed", "request", httperr.RequestID(ctx), "err", e.Err)
	}
	h := http.Header{}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return huma.ErrorWithHeaders(newError(e.Status, e.Detail), h)
}

// splitErrors returns the errors that were joined to err.
func splitErrors(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	return []error{err}
}

// explained converts err to the error that tile routes return for it.
func explained(err error) error {
	p := tile.Explain(err)
	return &httperr.Error{Status: p.Status, Detail: p.Detail, RetryAfter: p.RetryAfter, Err: err}
}

// accountFailed converts an error of the accounts to a response.
func (a *API) accountFailed(ctx context.Context, err error) error {
	limit, limited := errors.AsType[*account.LimitError](err)
	switch {
	case limited:
		h := http.Header{"Retry-After": {strconv.Itoa(int(limit.Wait.Round(time.Second).Seconds()))}}
		return huma.ErrorWithHeaders(newError(http.StatusTooManyRequests, "Too many attempts. Retry-After says when the next one is allowed."), h)
	case errors.Is(err, account.ErrTooMany):
		return huma.ErrorWithHeaders(newError(http.StatusTooManyRequests, "Too many passwords at once. Try again."), http.Header{"Retry-After": {"1"}})
	case errors.Is(err, account.ErrWrongPassword):
		return newError(http.StatusUnauthorized, "Wrong name or password.")
	case errors.Is(err, account.ErrBadSecret):
		return newError(http.StatusUnauthorized, "The link is unknown, used or expired, or an admin exists already.")
	case errors.Is(err, account.ErrDisabled):
		return newError(http.StatusForbidden, "This user is disabled. Ask an admin.")
	case errors.Is(err, account.ErrNotFound):
		return newError(http.StatusNotFound, "There is no object with this id.")
	case errors.Is(err, account.ErrConflict):
		return newError(http.StatusConflict, "The name is already in use.")
	case errors.Is(err, account.ErrLastAdmin):
		return newError(http.StatusConflict, "This is the last admin: create another one first.")
	case errors.Is(err, account.ErrInvalid):
		return invalid(errors.New(words(err, account.ErrInvalid)))
	case errors.Is(err, account.ErrBadCursor):
		return newError(http.StatusBadRequest, "The cursor does not belong to this list: start again without it.")
	}
	return a.failed(ctx, err)
}

// words returns the text that an error adds to its kind.
func words(err, kind error) string {
	return strings.TrimPrefix(err.Error(), kind.Error()+": ")
}

// invalid returns the error for an invalid request.
func invalid(errs ...error) error {
	return newError(http.StatusUnprocessableEntity, "", errs...)
}

// sentence returns the text of an error as a sentence. Errors for clients must not name a
// folder.
func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// taskFailed is failed for errors of the task service.
func (a *API) taskFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, task.ErrNotFound):
		return newError(http.StatusNotFound, "There is no such task, or it ended long ago.")
	case errors.Is(err, task.ErrBadFilter):
		return newError(http.StatusBadRequest, "The cursor does not belong to this list: start again without it.")
	case errors.Is(err, task.ErrUnknownKind):
		return invalid(errors.New("kind: unknown kind; the kinds are " + kindsOfTask))
	case errors.Is(err, task.ErrBadQueue):
		_, err = checkQueue("")
		return invalid(errors.New("queue: " + err.Error()))
	case errors.Is(err, task.ErrBadArgs):
		return invalid(errors.New("args: " + words(err, task.ErrBadArgs)))
	}
	return a.failed(ctx, err)
}
