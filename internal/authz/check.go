package authz

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// checked is the body of a central server's response.
type checked struct {
	Allow     bool    `json:"allow"`
	User      *User   `json:"user,omitempty"`
	TTL       float64 `json:"ttl"` // seconds
	StoreWide bool    `json:"store_wide,omitempty"`
	Session   string  `json:"session,omitempty"`
	Token     string  `json:"token,omitempty"`
	// Scope is sent for [account.ScopeFile] only, so that an edge knows that this server knows it.
	Scope account.Scope `json:"scope,omitempty"`
}

// CheckHandler serves an edge's requests by the central server's gate: GET one, POST up
// to [MaxBatch]. The request carries the credential of the edge's client.
func CheckHandler(g *Gate) http.Handler {
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return checkOne(g, w, r)
		case http.MethodPost:
			return checkMany(g, w, r)
		}
		w.Header().Set("Allow", "GET, HEAD, POST")
		return &httperr.Error{Status: http.StatusMethodNotAllowed, Detail: "Use GET or POST."}
	})
}

func checkOne(g *Gate, w http.ResponseWriter, r *http.Request) error {
	v, err := parseCheckQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	q := Request{Store: v.Get("store"), Image: v.Get("image"), ExternalID: v.Get("external_id"), Scope: account.Scope(v.Get("scope"))}
	if err := q.check(); err != nil {
		return err
	}
	c := g.FromRequest(r)
	decisions, err := g.checkFresh(r, c, []Request{q})
	if err != nil {
		return err
	}
	return writeCheckResponse(w, decisions[0].Status, decisions[0].checked(q.Scope))
}

// parseCheckQuery parses the query of a request. It refuses repeated parameters, which
// are ambiguous, and queries that can't be parsed completely, where a parameter would be
// missing.
func parseCheckQuery(raw string) (url.Values, error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The query can't be read."}
	}
	for _, name := range []string{"store", "image", "external_id", "scope"} {
		if len(v[name]) > 1 {
			return nil, &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "Give " + name + " once."}
		}
	}
	return v, nil
}

// checkFresh bypasses the cache: the edge caches the decision for its full TTL, of which
// a decision cached here has already used a part.
func (g *Gate) checkFresh(r *http.Request, c Credential, requests []Request) ([]Decision, error) {
	c.AccessToken, c.Signed = "", Signature{} // they are for edges, and scope is a parameter of this route
	decisions, err := g.o.Authorizer.Check(r.Context(), c, requests)
	if err != nil {
		return nil, Problem(unavailable(err, time.Second))
	}
	return decisions, nil
}

// writeCheckResponse writes a decision, with WWW-Authenticate if it is 401.
func writeCheckResponse(w http.ResponseWriter, status int, body any) error {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	return httperr.WriteJSON(w, status, body)
}

func (q *Request) check() error {
	switch q.Scope {
	case account.ScopeTiles, account.ScopeLabel, account.ScopeFile, account.ScopeWrite, account.ScopeAdmin:
	default:
		return &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The scope must be tiles, label, file, write or admin."}
	}
	if len(q.Store) > 200 || len(q.Image) > 200 || len(q.ExternalID) > 1000 {
		return &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "An id is too long."}
	}
	return nil
}

func (a *Decision) checked(scope account.Scope) checked {
	c := checked{Allow: a.Allow, TTL: a.TTL.Seconds(), StoreWide: a.StoreWide, Session: a.Session, Token: a.Token}
	if a.User.ID != "" {
		c.User = &a.User
	}
	if scope == account.ScopeFile {
		c.Scope = scope
	}
	return c
}

func checkMany(g *Gate, w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Scope  account.Scope `json:"scope"`
		Images []struct {
			Store      string `json:"store"`
			Image      string `json:"image"`
			ExternalID string `json:"external_id"`
		} `json:"images"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRevokeBytes))
	if err == nil {
		err = strictjson.UnmarshalKnown(body, &ask)
	}
	if err != nil {
		return &httperr.Error{Status: http.StatusBadRequest, Detail: "The body is like {\"scope\": \"tiles\", \"images\": [{\"store\": …, \"image\": …}]}."}
	}
	if n := len(ask.Images); n == 0 || n > MaxBatch {
		return &httperr.Error{Status: http.StatusBadRequest, Detail: "Give 1 to " + strconv.Itoa(MaxBatch) + " images at once."}
	}
	requests := make([]Request, len(ask.Images))
	for i, im := range ask.Images {
		requests[i] = Request{Store: im.Store, Image: im.Image, ExternalID: im.ExternalID, Scope: ask.Scope}
		if err := requests[i].check(); err != nil {
			return err
		}
	}
	c := g.FromRequest(r)
	decisions, err := g.checkFresh(r, c, requests)
	if err != nil {
		return err
	}
	type one struct {
		Image     string `json:"image"`
		Allow     bool   `json:"allow"`
		StoreWide bool   `json:"store_wide,omitempty"`
	}
	all := struct {
		checked
		Allow     *bool `json:"allow,omitempty"` // each item has its own
		Decisions []one `json:"answers"`
	}{checked: decisions[0].checked(ask.Scope), Decisions: []one{}}
	all.StoreWide = false
	for i, a := range decisions {
		if a.Status == http.StatusUnauthorized {
			return writeCheckResponse(w, a.Status, a.checked(ask.Scope))
		}
		all.TTL = min(all.TTL, a.TTL.Seconds())
		all.Decisions = append(all.Decisions, one{requests[i].Image, a.Allow, a.StoreWide})
	}
	return writeCheckResponse(w, http.StatusOK, all)
}

// RevocationsHandler serves GET /api/v1/auth/revocations?since=N of a central server, to
// its edges only. Keys may be nil.
func RevocationsHandler(a *account.Accounts, keys *Keys) http.Handler {
	proofs := new(Proofs)
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			return &httperr.Error{Status: http.StatusMethodNotAllowed, Detail: "Use GET."}
		}
		edges, err := a.Edges.List(r.Context())
		if err != nil {
			return databaseProblem(err)
		}
		var known [][]byte
		for _, e := range edges {
			known = append(known, e.Key)
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
		if err != nil {
			return &httperr.Error{Status: http.StatusBadRequest, Detail: "This request has no body."}
		}
		if err := proofs.Verify(r, body, known, time.Now()); err != nil {
			return err
		}
		since, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
		if err != nil || since < 0 {
			return &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The parameter since must be the number of the last known revocation, or 0."}
		}
		page, err := Revocations(r.Context(), a, since)
		if err != nil {
			return databaseProblem(err)
		}
		if keys != nil {
			page.Keys = keys.Public()
		}
		return httperr.WriteJSON(w, http.StatusOK, page)
	})
}

func databaseProblem(err error) error {
	if errors.Is(err, account.ErrFull) {
		return &httperr.Error{Status: http.StatusInsufficientStorage, RetryAfter: 60, Detail: "The disk of the database is full.", Err: err}
	}
	if errors.Is(err, account.ErrAway) {
		return &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Detail: "The database does not answer. Try again.", Err: err}
	}
	return err
}
