package upload

import (
	"cmp"
	"errors"
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
		v, err := u.views.read(r.Context(), &list[i])
		if errors.Is(err, errNoUpload) || errors.Is(err, errAway) {
			continue // it was removed since
		}
		if err != nil {
			return answer(list[i].id, err)
		}
		page.Items = append(page.Items, v)
	}
	u.views.nameOwners(r.Context(), page.Items)
	if err := u.access.recordNames(r, page.Items); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httperr.WriteJSON(w, http.StatusOK, page)
}

// show answers with the upload as JSON.
func (u *Uploads) show(w http.ResponseWriter, r *http.Request) error {
	d, it, err := u.find(r, true)
	if err != nil {
		return answer("", err)
	}
	defer d.close()
	if it.record, err = u.receiver.settle(r.Context(), d, it.ID); err != nil {
		return answer("", err)
	}
	v, err := u.views.of(r.Context(), d.storeOf(), it)
	if err != nil {
		return answer(it.ID, err)
	}
	u.views.nameOwners(r.Context(), []View{v}) // Owner is shared
	if err := u.access.recordNames(r, []View{v}); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httperr.WriteJSON(w, http.StatusOK, v)
}

// listStore returns the selected uploads into a store that the caller may see; none if
// the store's folder is unreachable.
func (u *Uploads) listStore(r *http.Request, st *catalog.Store, q *filter) ([]listing, error) {
	who, err := u.access.caller(r, st)
	mayUpload := err == nil
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	var rights Rights
	if q.all {
		if rights, err = u.access.rights(r, st); err != nil {
			return nil, err
		}
	}
	if !mayUpload && !rights.Admin {
		return nil, nil
	}
	d, err := u.folders.open(r.Context(), st, false)
	if err != nil {
		return nil, nil //nolint:nilerr // unreachable, or without uploads
	}
	defer d.close()
	if err := d.indexOf().refresh(d, u.folders.scanAge); err != nil {
		return nil, err
	}
	var list []listing
	for _, e := range d.indexOf().all(func(e *entry) bool { return !e.pending && !d.expired(e) && (q.state == "" || q.state == e.state) }) {
		l := listing{entry: e, store: st, own: mayUpload && e.owner == who}
		l.names = l.own || rights.Names
		if (l.own || rights.Admin) && (q.cursor.id == "" || q.cursor.compare(l.place()) < 0) {
			list = append(list, l)
		}
	}
	return list, nil
}
