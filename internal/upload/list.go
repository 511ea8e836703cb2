package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// maxListed bounds the uploads on a page of the list.
const maxListed = 100

// A filter selects uploads.
type filter struct {
	all    bool // include those of others, in stores that the caller is an admin of
	store  string
	state  state
	limit  int
	cursor place
}

// A place is a position in the list, whose order is newest first.
type place struct {
	created int64 // in ns
	id      string
}

func (p place) String() string { return strconv.FormatInt(p.created, 36) + "-" + p.id }

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(o.created, p.created), cmp.Compare(p.id, o.id))
}

func parseFilter(q url.Values) (f filter, err error) {
	invalid := func(name, want string) error {
		return refuse(http.StatusUnprocessableEntity, "The parameter "+name+" must be "+want+".")
	}
	f.store, f.limit = q.Get("store"), maxListed
	if v := q.Get("all"); v != "" {
		if f.all, err = strconv.ParseBool(v); err != nil {
			return f, invalid("all", "true or false")
		}
	}
	switch f.state = state(q.Get("state")); f.state {
	case "", uploading, received, refused:
	default:
		return f, invalid("state", "uploading, received or refused")
	}
	if v := q.Get("limit"); v != "" {
		if f.limit, err = strconv.Atoi(v); err != nil || f.limit < 1 || f.limit > maxListed {
			return f, invalid("limit", "a number from 1 to "+strconv.Itoa(maxListed))
		}
	}
	if v := q.Get("cursor"); v != "" {
		created, id, _ := strings.Cut(v, "-")
		if f.cursor.created, err = strconv.ParseInt(created, 36, 64); err != nil || !isID(id) {
			return f, refuse(http.StatusBadRequest, "The cursor does not belong to this list: start again without it.")
		}
		f.cursor.id = id
	}
	return f, nil
}

// A listing is an upload to be listed.
type listing struct {
	entry
	store *catalog.Store
	own   bool
	names bool
}

func (l *listing) place() place { return place{l.created.UnixNano(), l.id} }

// list answers with the caller's uploads into all stores, newest first. A client that
// has lost their addresses, such as a browser that was closed, resumes the incomplete
// ones. Admins of a store may list all uploads into it.
func (u *Uploads) list(w http.ResponseWriter, r *http.Request) error {
	q, err := parseFilter(r.URL.Query())
	if err != nil {
		return err
	}
	stores, err := u.o.Catalog.Stores.List(r.Context())
	if err != nil {
		return answer("", err)
	}
	var list []listing
	for i := range stores {
		if st := &stores[i]; st.Mode == catalog.Managed && (q.store == "" || q.store == st.ID) {
			of, err := u.listStore(r, st, &q)
			if err != nil {
				return answer("", err)
			}
			list = append(list, of...)
		}
	}
	slices.SortFunc(list, func(a, b listing) int { return a.place().compare(b.place()) })
	page := struct {
		Items      []View  `json:"items"`
		NextCursor *string `json:"next_cursor"`
	}{Items: []View{}}
	if len(list) > q.limit {
		page.NextCursor = known(list[q.limit-1].place().String())
		list = list[:q.limit]
	}
	for i := range list {
		v, err := u.viewOf(r.Context(), &list[i])
		if errors.Is(err, errNoUpload) || errors.Is(err, errAway) {
			continue // it was removed since
		}
		if err != nil {
			return answer(list[i].id, err)
		}
		page.Items = append(page.Items, v)
	}
	u.nameOwners(r.Context(), page.Items)
	if err := u.audited(r, page.Items); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httperr.WriteJSON(w, http.StatusOK, page)
}

// listStore returns the selected uploads into a store that the caller may see; none if
// the store's folder is unreachable.
func (u *Uploads) listStore(r *http.Request, st *catalog.Store, q *filter) ([]listing, error) {
	who, err := u.caller(r, st)
	mayUpload := err == nil
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	var rights Rights
	if q.all {
		if rights, err = u.rights(r, st); err != nil {
			return nil, err
		}
	}
	if !mayUpload && !rights.Admin {
		return nil, nil
	}
	f, err := u.open(st, false)
	if err != nil {
		return nil, nil //nolint:nilerr // unreachable, or without uploads
	}
	defer f.close()
	if err := f.ix.refresh(f, u.scanAge); err != nil {
		return nil, err
	}
	var list []listing
	for _, e := range f.ix.all(func(e *entry) bool { return !e.pending && !u.expired(e) && (q.state == "" || q.state == e.state) }) {
		l := listing{entry: e, store: st, own: mayUpload && e.owner == who}
		l.names = l.own || rights.Names
		if (l.own || rights.Admin) && (q.cursor.id == "" || q.cursor.compare(l.place()) < 0) {
			list = append(list, l)
		}
	}
	return list, nil
}

// isRefusal reports whether an error of the hook means that the caller lacks a
// permission.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*httperr.Error](err)
	return ok && e.Status < http.StatusInternalServerError || errors.Is(err, catalog.ErrNotFound)
}

// viewOf reads the record of an upload and returns its view.
func (u *Uploads) viewOf(ctx context.Context, l *listing) (View, error) {
	f, err := u.open(l.store, false)
	if err != nil {
		return View{}, errAway
	}
	defer f.close()
	rec, err := f.load(l.id)
	if err != nil {
		return View{}, err
	}
	return u.shown(ctx, l.store, &found{rec, l.own, l.names})
}

// shown is the view of an upload for the caller. The names of others' files are patient
// data, and the reason of a verdict may be too.
func (u *Uploads) shown(ctx context.Context, st *catalog.Store, it *found) (View, error) {
	v, err := u.viewWithImage(ctx, st, it.record)
	if err != nil {
		return v, err
	}
	v.Own = it.own
	if it.Owner != "" {
		v.Owner = &Owner{ID: it.Owner}
	}
	if !it.names {
		v.SentAs, v.FileName, v.Modified, v.Reason = nil, nil, nil, nil
		if v.Image != nil {
			v.Image.Reason = nil
		}
	}
	return v, nil
}

// nameOwners sets the names of the owners.
func (u *Uploads) nameOwners(ctx context.Context, list []View) {
	if u.o.UserName == nil {
		return
	}
	names := map[string]*string{}
	for i := range list {
		o := list[i].Owner
		if o == nil {
			continue
		}
		name, ok := names[o.ID]
		if !ok {
			name = known(u.o.UserName(ctx, o.ID))
			names[o.ID] = name
		}
		o.Name = name
	}
}

func (u *Uploads) rights(r *http.Request, st *catalog.Store) (Rights, error) {
	if u.o.Rights == nil {
		return Rights{}, nil
	}
	return u.o.Rights(r, st)
}

// audited records that the caller sees the names of others' files.
func (u *Uploads) audited(r *http.Request, list []View) error {
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
	return u.audit(r, Event{Act: "label.list", Detail: fmt.Sprintf("%d uploads from %s to %s", n, first, last)})
}

func (u *Uploads) audit(r *http.Request, e Event) error {
	if u.o.Audit == nil {
		return nil
	}
	return u.o.Audit(r, e)
}

// begunBy is a note for the audit log of the owner, "" if that is the caller.
func (it *found) begunBy() string {
	if it.own || it.Owner == "" {
		return ""
	}
	return "begun by " + it.Owner
}
