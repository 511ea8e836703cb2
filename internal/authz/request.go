package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// A Credential is what a request brings to prove who sends it. It is never logged,
// whatever a log is given of it.
type Credential struct {
	Authorization string    // the header
	Cookie        string    // value of the one cookie that counts
	AccessToken   string    // of the URL
	Signed        Signature // of the URL
}

// A Signature is what the parameters of a signed URL hold.
type Signature struct{ Sig, Exp, Scope, KeyID string }

// None reports whether there is nothing in the credential.
func (c Credential) None() bool { return c == Credential{} }

// maxCredentialBytes bounds the Authorization header and the cookie. Servers refuse longer
// headers, each from a size of its own on: what they make of one is no answer to the
// request.
const maxCredentialBytes = 4 << 10

var (
	errLongCredential = &httperr.Error{Status: http.StatusBadRequest, Detail: "The Authorization header or the cookie is longer than 4 KB. Log in again, or send a shorter token."}
	errOddCredential  = &httperr.Error{Status: http.StatusBadRequest, Detail: "The Authorization header or the cookie contains control characters."}
)

// check refuses a credential that no authorizer is asked about.
func (c *Credential) check() error {
	for _, s := range [...]string{c.Authorization, c.Cookie} {
		if len(s) > maxCredentialBytes {
			return errLongCredential
		}
		for i := range len(s) {
			if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
				return errOddCredential
			}
		}
	}
	return nil
}

// String says nothing of what is secret.
func (Credential) String() string { return "credential" }

// GoString says nothing of what is secret.
func (Credential) GoString() string { return "credential" }

// LogValue says nothing of what is secret.
func (Credential) LogValue() slog.Value { return slog.StringValue("credential") }

// clone copies the credential out of an HTTP request that may end before the check does.
func (c Credential) clone() Credential {
	return Credential{
		strings.Clone(c.Authorization), strings.Clone(c.Cookie), strings.Clone(c.AccessToken),
		Signature{strings.Clone(c.Signed.Sig), strings.Clone(c.Signed.Exp), strings.Clone(c.Signed.Scope), strings.Clone(c.Signed.KeyID)},
	}
}

// A Request asks whether a scope is held: for an image; for the whole store if Image
// is empty; for everything if Store is, too.
type Request struct {
	Store, Image string
	ExternalID   string // of the image in another application, if it has one
	Scope        account.Scope

	// As, if not empty, is under what a no is cached, and standIn tells that any
	// decision means no: see [Gate.AllowNamed].
	as      string
	standIn bool
}

// key is under what the decision is looked for.
func (q *Request) key(w who) cacheKey {
	if q.as != "" {
		return cacheKey{w, "", q.as, q.Scope}
	}
	return cacheKey{w, q.Store, q.Image, q.Scope}
}

// clone copies the request out of an HTTP request that may end before the decision is there.
func (q *Request) clone() Request {
	return Request{
		Store: strings.Clone(q.Store), Image: strings.Clone(q.Image), ExternalID: strings.Clone(q.ExternalID),
		Scope: account.Scope(strings.Clone(string(q.Scope))), as: strings.Clone(q.as), standIn: q.standIn,
	}
}

// An Decision says whether the caller may, and who they are.
type Decision struct {
	Allow     bool
	Status    int // 200, 401 (not logged in) or 403
	User      User
	Session   string        // id, if the authorizer says so
	Token     string        // id, if the authorizer says so
	TTL       time.Duration // for how long the decision may be cached
	StoreWide bool          // the same holds for every image of the store

	signed bool // decideLocally by an access token or a signed URL: belongs to no session but the one it names
}

// A User is who is asking. Both are empty for one whom the authorizer does not name.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A Caller is who sent a request.
type Caller struct {
	User
	LoggedIn       bool
	Session, Token string // ids of what they proved it with
}

// An Authorizer knows who may see what. Check answers all requests, in their order, or
// none. An error means that it does not know, and nobody gets in.
type Authorizer interface {
	Check(ctx context.Context, c Credential, requests []Request) ([]Decision, error)
}

// ErrUnavailable: nobody who knows can be asked at present. It is answered with 503
// and never with an open door.
var ErrUnavailable = errors.New("authz: access can't be checked at present")

// An UnavailableError is an [ErrUnavailable] that knows when to come back.
type UnavailableError struct {
	RetryAfter time.Duration
	Err        error // for the log
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.Err) }

// Is reports that it is an [ErrUnavailable].
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailable is err as one that says when to come back.
func unavailable(err error, after time.Duration) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return &UnavailableError{RetryAfter: after, Err: err}
}

func allowed() Decision         { return Decision{Allow: true, Status: http.StatusOK} }
func forbidden() Decision       { return Decision{Status: http.StatusForbidden} }
func unauthenticated() Decision { return Decision{Status: http.StatusUnauthorized} }

// scopeIncludes reports whether who has scope have holds want.
func scopeIncludes(have, want account.Scope) bool {
	return have == want || have == account.ScopeLabel && want == account.ScopeTiles
}

// Cookie returns the value of the cookie of that name in a Cookie header, "" if there
// is none. It allocates nothing.
func Cookie(header, name string) string {
	for header != "" {
		var pair string
		pair, header, _ = strings.Cut(header, ";")
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && k == name {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// parameter returns a parameter of a query as it was sent. What it is for is never
// escaped when it is as it should be.
func parameter(query, key string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if k, v, _ := strings.Cut(pair, "="); k == key {
			return v
		}
	}
	return ""
}
