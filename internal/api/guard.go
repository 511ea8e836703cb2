package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// A guard checks requests against the rule of their route.
type guard struct{ *API }

// A guarded is a mux that checks each route's rule.
type guarded struct {
	a   *API
	mux httperr.Mux
}

// HandleFunc adds a route that is checked against its rule.
func (g guarded) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	g.Handle(pattern, http.HandlerFunc(h))
}

// Handle adds a route that is checked against its rule.
func (g guarded) Handle(pattern string, h http.Handler) {
	g.a.routes = append(g.a.routes, pattern)
	g.mux.Handle(pattern, guard{g.a}.handler(pattern, h))
}

// ServeHTTP answers a request.
func (g guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

var (
	errLogin     = &httperr.Error{Status: http.StatusUnauthorized, Detail: "Log in to see this."}
	errForbidden = &httperr.Error{Status: http.StatusForbidden, Detail: "You may not do this, or there is no object with this id."}
	errUnknown   = &httperr.Error{Status: http.StatusNotFound, Detail: "There is no object with this id."}
	errAdmin     = &httperr.Error{Status: http.StatusForbidden, Detail: "Only an admin may do this."}
	errPassword  = &httperr.Error{Status: http.StatusForbidden, Detail: "An API token can't do this: log in with name and password."}
)

// handler returns h behind the check of the route's rule.
func (a guard) handler(pattern string, h http.Handler) http.Handler {
	rule, ok := rules[pattern]
	if rule.object == ofPicture && !described[pattern] {
		h = redirector(a).orElsewhere(h)
	}
	if ok && Document(pattern) {
		return a.document(h)
	}
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if !ok {
			return errForbidden
		}
		if err := a.setPolicy(w, r, rule); err != nil {
			return err
		}
		if strings.HasSuffix(pattern, databaseRoute) {
			id, err := databaseAPI(a).byExternalID(r.Context(), r.PathValue("store"))
			if err != nil {
				return a.plain(r.Context(), err)
			}
			r.SetPathValue("store", id)
		}
		c := a.identify(r, rule, shareRoutes[pattern])
		if rule.object == ofPicture && strings.HasPrefix(pattern, "GET "+dicomweb.Prefix) {
			if err := dicomAPI(a).resolve(r, c); err != nil {
				return a.plain(r.Context(), err)
			}
		}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		if a.Access == nil {
			if (rule.scope == mayWrite || rule.scope == mayAdmin) && !c.admin && r.Method != http.MethodGet && r.Method != http.MethodHead {
				return errAdmin
			}
			h.ServeHTTP(w, r)
			return nil
		}
		w.Header().Add("Vary", "Authorization, Cookie")
		if err := a.plain(r.Context(), a.authorize(r, c, rule)); err != nil {
			if e, ok := errors.AsType[*httperr.Error](err); ok && e.Status == http.StatusUnauthorized {
				if r.URL.Path == viewerRoute && strings.Contains(r.Header.Get("Accept"), "text/html") {
					w.Header().Set("Cache-Control", "no-store")
					http.Redirect(w, r, "/login#to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
					return nil
				}
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			if rule.act != "" && c.LoggedIn && r.Method != http.MethodHead {
				a.note(r.Context(), account.Event{Act: rule.act, Object: objectOf(w, r), Detail: "refused"})
			}
			return err
		}
		return a.serve(w, r, c, rule, h)
	})
}

// documents serializes the first request for each document: huma then generates it, and
// is not safe for concurrent use there.
var documents sync.Mutex

// document serves a document by h, and has it generated before the first response.
func (a guard) document(h http.Handler) http.Handler {
	var made sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made.Do(func() {
			documents.Lock()
			defer documents.Unlock()
			h.ServeHTTP(nowhere{}, r)
		})
		w.Header().Set(authz.PolicyHeader, authz.Policy(false, a.Access != nil, ""))
		h.ServeHTTP(w, r)
	})
}

// nowhere discards a response.
type nowhere struct{}

func (nowhere) Header() http.Header { return http.Header{} }

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

func (nowhere) WriteHeader(int) {}

// setPolicy sets which pages may embed the response, and without access control refuses
// requests from other sites for patient data or by file name, unless CORS lets the page
// read the response.
func (a guard) setPolicy(w http.ResponseWriter, r *http.Request, rule rule) error {
	head, site := w.Header(), r.Header.Get("Sec-Fetch-Site")
	private := rule.private(r)
	head.Set(authz.PolicyHeader, authz.Policy(private, a.Access != nil, site))
	if !private || a.Access != nil {
		return nil
	}
	head.Add("Vary", "Sec-Fetch-Site")
	if head.Get("Access-Control-Allow-Origin") == "" && authz.CrossSite(site, r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")) {
		return authz.ErrCrossSite
	}
	return nil
}

// private reports whether a response of the route may contain patient data, or the
// request may contain a file name.
func (ru rule) private(r *http.Request) bool {
	if ru.object != ofPicture {
		return ru.object != public
	}
	return ru.label(r) || pictureRequest(r).ByFile || isPatientRoute(r.URL.Path) || isManifest(r.URL.Path)
}

// serve calls h and records the request in the audit log.
func (a guard) serve(w http.ResponseWriter, r *http.Request, c *caller, rule rule, h http.Handler) error {
	switch {
	case rule.act == "":
		h.ServeHTTP(w, r)
		return nil
	case rule.object == ofPicture:
		if a.Access.Gate.ByAddress(&c.cred, &c.found.target) {
			w.Header().Set(authz.PolicyHeader, authz.Policy(false, true, ""))
		}
		if c.found.err == nil && rule.label(r) && !c.found.withoutLabel {
			if err := a.recordLabel(r.Context(), c, &c.found.image.File); err != nil {
				return err
			}
		}
		h.ServeHTTP(w, r)
		return nil
	}
	s := &statusWriter{ResponseWriter: w}
	h.ServeHTTP(s, r)
	if c.act != "" {
		rule.act = c.act
	}
	switch {
	case s.status/100 <= 3 && rule.act == showAudit:
		e := account.Event{Act: rule.act, Allowed: true}
		a.logged(r.Context(), e, a.recordList(r.Context(), e))
	case s.status/100 <= 3:
		a.note(r.Context(), account.Event{Act: rule.act, Object: objectOf(w, r), Allowed: true, Detail: c.detail})
	case s.status == http.StatusForbidden:
		a.note(r.Context(), account.Event{Act: rule.act, Object: objectOf(w, r), Detail: "refused"})
	}
	return nil
}

// A statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader records the status.
func (s *statusWriter) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write records the implicit status 200.
func (s *statusWriter) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// objectOf returns the id of the object of a request: from the path, or the created one.
func objectOf(w http.ResponseWriter, r *http.Request) string {
	if id := r.PathValue("image"); id != "" && isID(id) {
		return id // also if the path has a store
	}
	var ids []string
	for _, name := range []string{"store", "task", "user", "group", "token", "grant", "share"} {
		if id := r.PathValue(name); id != "" && isID(id) {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		return strings.Join(ids, " ")
	}
	at := w.Header().Get("Location")
	if at = at[strings.LastIndexByte(at, '/')+1:]; isID(at) {
		return at
	}
	return ""
}

// isID reports whether s looks like an id, not like a file name.
func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// identify returns the caller of a request. Shared means that share links are valid for the
// route.
func (a guard) identify(r *http.Request, rule rule, shared bool) *caller {
	c := &caller{agent: r.UserAgent()}
	if a.Access == nil {
		c.admin = a.Admin != nil && a.Admin(r)
		return c
	}
	c.from, c.secure = a.Access.Proxies.Address(r), a.Access.Proxies.Secure(r)
	c.cred = a.Access.Gate.FromRequest(r)
	c.cookie, c.share = c.cred.Cookie, c.cred.Share
	if !shared || a.Access.NoSharing || r.Method != http.MethodGet && r.Method != http.MethodHead {
		c.cred.Share = ""
	}
	bearer := c.cred
	bearer.AccessToken, bearer.Signed, bearer.Share = "", authz.Signature{}, ""
	if r.Method != http.MethodGet && r.Method != http.MethodHead || rule.object != ofImage && rule.object != ofPicture {
		c.cred = bearer // access tokens and links are only valid for viewing images
	}
	if bearer.None() {
		return c
	}
	if c.Caller, c.err = a.Access.Gate.Identify(r.Context(), bearer); c.err != nil || !c.LoggedIn {
		return c
	}
	var an authz.Decision
	an, c.err = a.Access.Gate.Allow(r.Context(), bearer, authz.Request{Scope: mayAdmin})
	c.admin = an.Allow
	return c
}

// authorize returns nil if the rule allows the caller, or else the error to send.
func (a guard) authorize(r *http.Request, c *caller, rule rule) error {
	switch rule.object {
	case public:
		return nil
	case ofPicture:
		return a.authorizePicture(r, c, rule)
	case ofImage:
		return a.authorizeImage(r.Context(), c, rule.scope, r.PathValue("image"))
	case ofStore:
		return a.authorizeStore(r.Context(), c, rule.scope, r.PathValue("store"))
	}
	if c.err != nil {
		return authz.Problem(c.err)
	}
	if !c.LoggedIn {
		return errLogin
	}
	switch rule.object {
	case self:
		if c.Token != "" && !c.admin {
			return errPassword
		}
		return nil
	case listed, given:
		return nil
	case everything:
		ok, err := a.may(r.Context(), c, authz.Request{Scope: rule.scope})
		if err == nil && !ok {
			err = errForbidden
		}
		return err
	case ofTask:
		return a.authorizeTask(r.Context(), c, rule.scope, r.PathValue("task"))
	}
	return errForbidden
}

// holdNamed is hold for an object that the request names by id. An unknown object is
// refused in the same way after the same number of requests to the authorizer; q is then
// the one of standIn. Callers who may see everything get 404.
func (a guard) holdNamed(ctx context.Context, c *caller, q authz.Request, known bool, id ...string) error {
	an, err := a.Access.Gate.AllowNamed(ctx, c.cred, q, known, id...)
	if err != nil {
		return authz.Problem(err)
	}
	if an.Allow {
		return nil
	}
	an, err = a.Access.Gate.Allow(ctx, c.cred, authz.Request{Scope: seeTiles})
	switch {
	case err != nil:
		return authz.Problem(err)
	case an.Allow && !known:
		return errUnknown
	}
	return refused(an.Status)
}

// standIn returns a request for a scope of an arbitrary image, or of its store.
func (a guard) standIn(scope account.Scope, image bool) authz.Request {
	q := authz.Request{Scope: scope}
	if f := a.Tiles.Subject(nil); f != nil {
		q.Store = f.Store.ID
		if image {
			q.Image, q.ExternalID = f.ID, f.ExternalID
		}
	}
	return q
}

func (a guard) authorizeStore(ctx context.Context, c *caller, scope account.Scope, id string) error {
	s, err := a.Catalog.Stores.Get(ctx, id)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return a.holdNamed(ctx, c, a.standIn(scope, false), false, id, "store")
	case err != nil:
		return err
	case scope == seeTiles && s.Public:
		return nil
	}
	return a.holdNamed(ctx, c, authz.Request{Store: s.ID, Scope: scope}, true, id, "store")
}

func (a guard) authorizeImage(ctx context.Context, c *caller, scope account.Scope, id string) error {
	im, err := a.Catalog.Images.Get(ctx, id)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return a.holdNamed(ctx, c, a.standIn(scope, true), false, id, "image")
	case err != nil:
		return err
	}
	if scope == seeTiles {
		s, err := a.Catalog.Stores.Get(ctx, im.StoreID)
		if err != nil {
			return err
		}
		if s.Public {
			return nil
		}
	}
	return a.holdNamed(ctx, c, requestFor(im, scope), true, id, "image")
}

// label reports whether a picture is patient data.
func (ru rule) label(r *http.Request) bool {
	if isDownload(r.URL.Path) {
		c, err := parseDownload(r)
		return err != nil || c.Labels
	}
	return ru.scope == mayFile || ru.scope == seeLabel && r.PathValue("kind") != "thumbnail"
}

// optionalLabel reports whether callers without the right to labels get the picture without
// label and macro.
func optionalLabel(r *http.Request) bool {
	return r.URL.Path == "/thumb" || strings.HasPrefix(r.URL.Path, "/thumb/")
}

// isRefusal reports whether an error says that the caller may not see something.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*httperr.Error](err)
	return ok && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) || errors.Is(err, authz.ErrUnknown)
}

// pictureRequest returns the picture that a request of a picture route selects.
func pictureRequest(r *http.Request) *tile.Request {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/iiif/"), strings.HasPrefix(path, "/zoomify/"), strings.HasPrefix(path, dicomweb.Prefix+"/"):
		return &tile.Request{Image: r.PathValue("image")}
	case strings.HasPrefix(path, "/dzi/"):
		id, _ := strings.CutSuffix(r.PathValue("file"), ".dzi")
		return &tile.Request{Image: id}
	case strings.HasPrefix(path, "/apiv1/"):
		return &tile.Request{Image: r.PathValue("file"), ByFile: true}
	case r.PathValue("image") != "":
		return &tile.Request{Store: r.PathValue("store"), Image: r.PathValue("image"), ByFile: true}
	}
	q := r.URL.Query()
	if path == viewerRoute {
		return &tile.Request{Image: q.Get("image"), ByFile: true}
	}
	return &tile.Request{Store: q.Get("db"), Image: q.Get("img"), ByFile: true}
}

func (a guard) authorizePicture(r *http.Request, c *caller, rule rule) error {
	f := new(found)
	var byFile bool
	req := pictureRequest(r)
	f.image, byFile, f.err = a.Tiles.Find(req)
	t := authz.Target{}
	if file := a.Tiles.Subject(f.image); file != nil {
		t = targetOf(file)
	}
	t.Known, t.Named, t.InStore, t.Names = f.err == nil, req.Image, req.Store, req.ByFile
	if study := r.PathValue("study"); study != "" {
		t.Named, t.InStore = study, r.PathValue("series") // as the request has them
	}
	t.ByFile, t.Label, t.File = byFile, rule.label(r), rule.scope == mayFile
	c.found, f.private = f, t.Checked()
	err := a.Access.Gate.Tile(r.Context(), c.cred, &t)
	if optionalLabel(r) && isRefusal(err) {
		t.Label, f.withoutLabel = false, true
		err = a.Access.Gate.Tile(r.Context(), c.cred, &t)
	}
	f.target = t
	if errors.Is(err, authz.ErrUnknown) {
		f.image, f.err = nil, tile.ErrNoImage
		return nil
	}
	return err
}

// targetOf converts a file to a target for the gate.
func targetOf(f *tile.File) authz.Target {
	return authz.Target{Known: true, Store: f.Store.ID, Image: f.ID, ExternalID: f.ExternalID, Public: f.Store.Public, HideLabels: f.Store.HideLabels}
}

// recordLabel records in the audit log that the caller sees an image's label. If that
// fails, the label is not shown.
func (a guard) recordLabel(ctx context.Context, c *caller, f *tile.File) error {
	if c.ID != "" {
		return a.recordPicture(ctx, f.ID)
	}
	// An access token or link names its user.
	q := authz.Request{Store: f.Store.ID, Image: f.ID, ExternalID: f.ExternalID, Scope: labelScope(f.Store.HideLabels)}
	an, err := a.Access.Gate.Allow(ctx, c.cred, q)
	if err != nil {
		return authz.Problem(err)
	}
	return a.record(ctx, account.Event{User: an.User.ID, Act: showLabel, Object: f.ID, Allowed: true, Detail: byLink})
}

// byLink is the detail of events whose user is not logged in.
const byLink = "by a link or access token of the user"

// authorizeTask requires the scope for the task's store; for a task without store, an
// admin.
func (a guard) authorizeTask(ctx context.Context, c *caller, scope account.Scope, id string) error {
	if a.Tasks == nil {
		return nil // the handler answers 404
	}
	v, err := a.Tasks.Get(ctx, id)
	if errors.Is(err, task.ErrNotFound) {
		return a.holdNamed(ctx, c, a.standIn(scope, false), false, id, "task")
	} else if err != nil {
		return err
	}
	store := v.StoreOf()
	if store == "" {
		scope = mayAdmin
	}
	return a.holdNamed(ctx, c, authz.Request{Store: store, Scope: scope}, true, id, "task")
}
