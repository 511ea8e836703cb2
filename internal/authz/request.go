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

// A Credential is the proof of identity in a request. Its methods keep it out of logs.
type Credential struct {
	Authorization string    // the header
	Cookie        string    // value of the cookie [GateOptions].Cookie
	Share         string    // value of the cookie [ShareCookie]: the share links that the browser has opened
	AccessToken   string    // of the URL
	Signed        Signature // of the URL
}

// A Signature holds the parameters of a signed URL.
type Signature struct{ Sig, Exp, Scope, KeyID string }

// None reports whether the credential is empty.
func (c Credential) None() bool { return c == Credential{} }

// maxCredentialBytes limits the Authorization header and the cookie. Each server has its own
// limit and refuses longer headers; such a response would not be a decision.
const maxCredentialBytes = 4 << 10

var (
	errLongCredential = &httperr.Error{Status: http.StatusBadRequest, Detail: "The Authorization header or the cookie is longer than 4 KB. Log in again, or send a shorter token."}
	errOddCredential  = &httperr.Error{Status: http.StatusBadRequest, Detail: "The Authorization header or the cookie contains control characters."}
)

// asks reports whether an authorizer must be asked about the credential.
func (c *Credential) asks() bool { return c.Authorization != "" || c.Cookie != "" || c.Share != "" }

// check returns an error for a credential that is not sent to an authorizer.
func (c *Credential) check() error {
	for _, s := range [...]string{c.Authorization, c.Cookie, c.Share} {
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

// String hides the secrets.
func (Credential) String() string { return "credential" }

// GoString hides the secrets.
func (Credential) GoString() string { return "credential" }

// LogValue hides the secrets.
func (Credential) LogValue() slog.Value { return slog.StringValue("credential") }

// clone copies the credential, because the HTTP request may end before the check does.
func (c Credential) clone() Credential {
	return Credential{
		strings.Clone(c.Authorization), strings.Clone(c.Cookie), strings.Clone(c.Share), strings.Clone(c.AccessToken),
		Signature{strings.Clone(c.Signed.Sig), strings.Clone(c.Signed.Exp), strings.Clone(c.Signed.Scope), strings.Clone(c.Signed.KeyID)},
	}
}

// A Request asks whether the caller holds a scope: for an image; for the whole store if
// Image is empty; for everything if Store is empty too.
type Request struct {
	Store, Image string
	ExternalID   string // of the image in another application, if it has one
	Scope        account.Scope

	// as, if not empty, is the cache key of a denial; standIn means that any decision is
	// a denial: see [Gate.AllowNamed].
	as      string
	standIn bool
}

// key is the cache key of the decision.
func (q *Request) key(w who) cacheKey {
	if q.as != "" {
		return cacheKey{w, "", q.as, q.Scope}
	}
	return cacheKey{w, q.Store, q.Image, q.Scope}
}

// clone copies the request, because the HTTP request may end before the decision.
func (q *Request) clone() Request {
	return Request{
		Store: strings.Clone(q.Store), Image: strings.Clone(q.Image), ExternalID: strings.Clone(q.ExternalID),
		Scope: account.Scope(strings.Clone(string(q.Scope))), as: strings.Clone(q.as), standIn: q.standIn,
	}
}

// A Decision says whether the caller holds the scope, and who the caller is.
type Decision struct {
	Allow     bool
	Status    int // 200, 401 (not logged in) or 403
	User      User
	Session   string        // id, if the authorizer returns it
	Token     string        // id, if the authorizer returns it
	TTL       time.Duration // how long the decision may be cached
	StoreWide bool          // the decision holds for every image of the store

	signed bool // decided by an access token or a signed URL: belongs to no session but the one it names
}

// A User is the caller's user. Both fields are empty if the authorizer does not name the
// user.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A Caller is the sender of a request.
type Caller struct {
	User
	LoggedIn       bool
	Session, Token string // ids of the session or token in the credential
}

// An Authorizer decides who may see what. Check decides all requests, in their order, or
// returns an error. An error means that access is unknown, and is treated as a denial.
type Authorizer interface {
	Check(ctx context.Context, c Credential, requests []Request) ([]Decision, error)
}

// ErrUnavailable: the authorizer can't be reached at present. The response is 503, never
// access.
var ErrUnavailable = errors.New("access can't be checked at present")

// An UnavailableError is an [ErrUnavailable] with the time after which to retry.
type UnavailableError struct {
	RetryAfter time.Duration
	Err        error // for the log
}

func (e *UnavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.Err) }

// Is reports whether target is [ErrUnavailable].
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

func (e *UnavailableError) Unwrap() error { return e.Err }

// unavailable wraps err as an [UnavailableError] with that delay.
func unavailable(err error, after time.Duration) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return &UnavailableError{RetryAfter: after, Err: err}
}

func allowed() Decision         { return Decision{Allow: true, Status: http.StatusOK} }
func forbidden() Decision       { return Decision{Status: http.StatusForbidden} }
func unauthenticated() Decision { return Decision{Status: http.StatusUnauthorized} }

// scopeIncludes reports whether the scope have includes want.
func scopeIncludes(have, want account.Scope) bool {
	return have == want || have == account.ScopeLabel && want == account.ScopeTiles
}

// Cookie returns the value of the cookie of that name in a Cookie header, or "". It does
// not allocate.
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

// parameter returns a parameter of a raw query, without unescaping it: the valid values
// that it is used for contain no escapes.
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
