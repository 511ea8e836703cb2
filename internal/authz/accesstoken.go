package authz

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// An AccessToken lets its bearer see an image or a store for some minutes at an edge
// server that does not receive the central server's cookie. It is a JSON Web Token (RFC
// 7519) signed with Ed25519 (RFC 8037), so that any central server can create one.
type AccessToken struct {
	User    string        `json:"sub"`            // id
	Name    string        `json:"name,omitempty"` // of the user
	Session string        `json:"sid,omitempty"`  // id of the session or API token it was created with
	Store   string        `json:"store,omitempty"`
	Image   string        `json:"image,omitempty"` // the only one, if not empty
	Scope   account.Scope `json:"scope"`           // tiles or label
	Issued  NumericDate   `json:"iat"`
	Expires NumericDate   `json:"exp"` // at most [MaxAccessTokenAge] later
}

// A NumericDate is a time in a JSON Web Token: seconds since the Unix epoch. Ours have
// fractions, to order an access token and a revocation of the same second.
type NumericDate float64

// Date returns t with millisecond precision.
func Date(t time.Time) NumericDate { return NumericDate(t.UnixMilli()) / 1000 }

// Time returns the date as a time.
func (d NumericDate) Time() time.Time { return time.UnixMilli(int64(d * 1000)) }

// maxAccessTokenBytes is the maximum length of an access token.
const maxAccessTokenBytes = 2048

var (
	// ErrBadAccessToken: the access token is malformed, forged, or signed with an unknown
	// key.
	ErrBadAccessToken = errors.New("invalid access token")
	// ErrBadSignature: the signature does not match the URL, or its key is unknown.
	ErrBadSignature = errors.New("invalid signature")
	// ErrExpired: the access token or signature has expired or is not valid yet.
	ErrExpired = errors.New("expired")
	// ErrNoKey: there is no signing key: this is not a central server.
	ErrNoKey = errors.New("no key to sign with")
)

type tokenHeader struct {
	Algorithm string   `json:"alg"`
	Type      string   `json:"typ,omitempty"`
	KeyID     string   `json:"kid"`
	Critical  []string `json:"crit,omitempty"` // RFC 7515, section 4.1.11: none is supported
}

// SignAccessToken returns the access token as text for the URL parameter "pass".
func (k *Keys) SignAccessToken(p AccessToken) (string, error) {
	s := k.set.Load()
	if s == nil || s.signer == "" {
		return "", ErrNoKey
	}
	if err := p.check(); err != nil {
		return "", err
	}
	head, err := json.Marshal(tokenHeader{Algorithm: "EdDSA", Type: "JWT", KeyID: s.signer})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(s.secret, []byte(text))), nil
}

// check returns an error if the access token is invalid.
func (p *AccessToken) check() error {
	switch {
	case p.Scope != account.ScopeTiles && p.Scope != account.ScopeLabel:
		return fmt.Errorf("%w: its scope must be tiles or label", ErrBadAccessToken)
	case p.Store == "" && p.Image == "":
		return fmt.Errorf("%w: it must name a store or an image", ErrBadAccessToken)
	case p.User == "":
		return fmt.Errorf("%w: it names no user", ErrBadAccessToken)
	case p.Issued <= 0, p.Issued > 1<<40, p.Expires <= p.Issued, p.Expires-p.Issued > NumericDate(MaxAccessTokenAge/time.Second):
		return fmt.Errorf("%w: its lifetime must be at most %v", ErrBadAccessToken, MaxAccessTokenAge)
	}
	return nil
}

// VerifyAccessToken returns the content of an access token. The error is
// [ErrBadAccessToken] or [ErrExpired]. It does not check revocations.
func (k *Keys) VerifyAccessToken(text string, now time.Time) (*AccessToken, error) {
	s := k.set.Load()
	if s == nil {
		return nil, fmt.Errorf("%w: no keys are known", ErrBadAccessToken)
	}
	if len(text) > maxAccessTokenBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadAccessToken, len(text))
	}
	signed, sig, ok := cutLast(text)
	head, claims, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || strings.Contains(claims, ".") {
		return nil, fmt.Errorf("%w: not three parts", ErrBadAccessToken)
	}
	var h tokenHeader
	if err := decode(head, &h); err != nil {
		return nil, err
	}
	key := s.accessTokenKeys[h.KeyID]
	if h.Algorithm != "EdDSA" || len(h.Critical) > 0 || key == nil {
		return nil, fmt.Errorf("%w: unknown algorithm or key", ErrBadAccessToken)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sig)
	if err != nil || !ed25519.Verify(key, []byte(signed), raw) {
		return nil, fmt.Errorf("%w: wrong signature", ErrBadAccessToken)
	}
	p := new(AccessToken)
	if err := decode(claims, p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if !now.Before(p.Expires.Time()) || now.Add(clockSkew).Before(p.Issued.Time()) {
		return nil, ErrExpired
	}
	return p, nil
}

func cutLast(s string) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// decode reads one JSON value. It ignores unknown claims.
func decode(part string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return fmt.Errorf("%w: not base64url", ErrBadAccessToken)
	}
	if err := strictjson.UnmarshalKnown(b, into); err != nil {
		return fmt.Errorf("%w: invalid JSON, or ambiguous keys", ErrBadAccessToken)
	}
	return nil
}

// decideByAccessToken decides by the access token alone.
func (g *Gate) decideByAccessToken(text string, q *Request, now time.Time) Decision {
	p, err := g.o.Keys.VerifyAccessToken(text, now)
	if err != nil {
		return unauthenticated()
	}
	if g.revocations.since(p.Issued.Time(), p.User, p.Session, q.Store, q.Image) {
		return unauthenticated()
	}
	a := forbidden()
	if p.covers(q) {
		a = allowed()
		a.StoreWide = p.Image == ""
	}
	a.User, a.Session, a.signed = User{p.User, p.Name}, p.Session, true
	a.TTL = p.Expires.Time().Sub(now)
	return a
}

// covers reports whether the access token is valid for the request. A token for an image
// is valid for this image only, a token for a store for all its images.
func (p *AccessToken) covers(q *Request) bool {
	if !scopeIncludes(p.Scope, q.Scope) {
		return false
	}
	if p.Image != "" {
		return p.Image == q.Image && (p.Store == "" || p.Store == q.Store)
	}
	return p.Store == q.Store
}
