package upload

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Rights are what a caller may do with the uploads of others into a store.
type Rights struct {
	Admin bool // see and remove them
	Names bool // see the names of their files
}

// An Event is an action of a caller. It holds ids and no names.
type Event struct {
	Act    string
	Object string
	Detail string
}

// access decides who may see and change which uploads, and records what admins do.
type access struct {
	caller func(r *http.Request, st *catalog.Store) (string, error)
	rights func(r *http.Request, st *catalog.Store) (Rights, error)
	record func(r *http.Request, e Event) error
}

// newAccess returns the access by the hooks of o. Without them uploads are refused,
// users have no rights to the uploads of others, and nothing is recorded.
func newAccess(o *Options) *access {
	a := &access{caller: o.Caller, rights: o.Rights, record: o.Audit}
	if a.caller == nil {
		a.caller = func(*http.Request, *catalog.Store) (string, error) {
			return "", refuse(http.StatusForbidden, "You may not upload into this store.")
		}
	}
	if a.rights == nil {
		a.rights = func(*http.Request, *catalog.Store) (Rights, error) { return Rights{}, nil }
	}
	if a.record == nil {
		a.record = func(*http.Request, Event) error { return nil }
	}
	return a
}

// found is an upload that the caller may see.
type found struct {
	*record
	own   bool
	names bool // the caller may see file names
}

// find returns the upload of a record for the caller. It refuses expired uploads, and
// uploads of others unless others is set and the caller is an admin of the store.
func (a *access) find(r *http.Request, d destination, rec *record, others bool) (*found, error) {
	who, err := a.caller(r, d.storeOf())
	e := entryOf(rec, stamp{})
	if err == nil && d.expired(&e) {
		return nil, errNoUpload
	}
	if err == nil && rec.Owner == who {
		return &found{rec, true, true}, nil
	}
	if others {
		rights, rerr := a.rights(r, d.storeOf())
		if rerr != nil {
			return nil, rerr
		}
		if rights.Admin && !d.expired(&e) {
			return &found{rec, false, rights.Names}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, errNoUpload
}

// begunBy is a note for the audit log of the owner, "" if that is the caller.
func (it *found) begunBy() string {
	if it.own || it.Owner == "" {
		return ""
	}
	return "begun by " + it.Owner
}

// recordNames records that the caller sees the names of others' files.
func (a *access) recordNames(r *http.Request, list []View) error {
	n, first, last := 0, "", ""
	for i := range list {
		if list[i].Own || list[i].SentAs == nil && list[i].FileName == nil {
			continue
		}
		if n++; first == "" {
			first = list[i].ID
		}
		last = list[i].ID
	}
	if n == 0 {
		return nil
	}
	return a.record(r, Event{Act: "label.list", Detail: fmt.Sprintf("%d uploads from %s to %s", n, first, last)})
}

// isRefusal reports whether an error of the hook means that the caller lacks a
// permission.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*httperr.Error](err)
	return ok && e.Status < http.StatusInternalServerError || errors.Is(err, catalog.ErrNotFound)
}
