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

// A Pass lets its bearer see an image or a store for some minutes at an edge that
// can't see the centre's cookie. It is a JSON Web Token (RFC 7519) signed with
// Ed25519 (RFC 8037), so that any central server can write one.
type Pass struct {
	User    string        `json:"sub"`            // id
	Name    string        `json:"name,omitempty"` // of the user
	Session string        `json:"sid,omitempty"`  // id of the session or token it came from
	Store   string        `json:"store,omitempty"`
	Image   string        `json:"image,omitempty"` // the only one, if not empty
	Scope   account.Scope `json:"scope"`           // tiles or label
	Issued  NumericDate   `json:"iat"`
	Expires NumericDate   `json:"exp"` // at most [PassMost] later
}

// A NumericDate is a time as JSON Web Tokens have it: seconds of the Unix epoch. Ours
// have fractions, so that a pass can be told from a revocation in the same second.
type NumericDate float64

// Date returns t to the millisecond.
func Date(t time.Time) NumericDate { return NumericDate(t.UnixMilli()) / 1000 }

// Time returns the date as a time.
func (d NumericDate) Time() time.Time { return time.UnixMilli(int64(d * 1000)) }

// passBytes is how long a pass may be.
const passBytes = 2048

var (
	// ErrBadPass: the pass is malformed, tampered with, or by an unknown key.
	ErrBadPass = errors.New("authz: bad pass")
	// ErrBadSignature: the signature is not of this URL, or by an unknown key.
	ErrBadSignature = errors.New("authz: bad signature")
	// ErrExpired: the pass or signature was good once, or will be.
	ErrExpired = errors.New("authz: expired")
	// ErrNoKey: there is no key to sign with: this is no centre.
	ErrNoKey = errors.New("authz: no key to sign with")
)

type passHeader struct {
	Algorithm string   `json:"alg"`
	Type      string   `json:"typ,omitempty"`
	KeyID     string   `json:"kid"`
	Critical  []string `json:"crit,omitempty"` // RFC 7515, section 4.1.11: we know none
}

// SignPass returns the pass as text for the URL's parameter "pass".
func (k *Keys) SignPass(p Pass) (string, error) {
	s := k.set.Load()
	if s == nil || s.signer == "" {
		return "", ErrNoKey
	}
	if err := p.check(); err != nil {
		return "", err
	}
	head, err := json.Marshal(passHeader{Algorithm: "EdDSA", Type: "JWT", KeyID: s.signer})
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

// check reports what no pass may be.
func (p *Pass) check() error {
	switch {
	case p.Scope != account.ScopeTiles && p.Scope != account.ScopeLabel:
		return fmt.Errorf("%w: it is for looking only: scope tiles or label", ErrBadPass)
	case p.Store == "" && p.Image == "":
		return fmt.Errorf("%w: it is for a store or an image", ErrBadPass)
	case p.User == "":
		return fmt.Errorf("%w: it names no user", ErrBadPass)
	case p.Issued <= 0, p.Issued > 1<<40, p.Expires <= p.Issued, p.Expires-p.Issued > NumericDate(PassMost/time.Second):
		return fmt.Errorf("%w: it must be good for %v at most", ErrBadPass, PassMost)
	}
	return nil
}

// VerifyPass returns what a pass says. The error is [ErrBadPass] or [ErrExpired].
// Whether it has been revoked is not looked at.
func (k *Keys) VerifyPass(text string, now time.Time) (*Pass, error) {
	s := k.set.Load()
	if s == nil {
		return nil, fmt.Errorf("%w: no keys are known", ErrBadPass)
	}
	if len(text) > passBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadPass, len(text))
	}
	signed, sig, ok := cutLast(text)
	head, claims, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || strings.Contains(claims, ".") {
		return nil, fmt.Errorf("%w: not three parts", ErrBadPass)
	}
	var h passHeader
	if err := decode(head, &h); err != nil {
		return nil, err
	}
	key := s.passes[h.KeyID]
	if h.Algorithm != "EdDSA" || len(h.Critical) > 0 || key == nil {
		return nil, fmt.Errorf("%w: unknown algorithm or key", ErrBadPass)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sig)
	if err != nil || !ed25519.Verify(key, []byte(signed), raw) {
		return nil, fmt.Errorf("%w: the signature does not fit", ErrBadPass)
	}
	p := new(Pass)
	if err := decode(claims, p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if !now.Before(p.Expires.Time()) || now.Add(skew).Before(p.Issued.Time()) {
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

// decode reads one JSON value. Claims that are not ours are other people's business.
func decode(part string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return fmt.Errorf("%w: not base64url", ErrBadPass)
	}
	if err := strictjson.UnmarshalKnown(b, into); err != nil {
		return fmt.Errorf("%w: not JSON, or with keys in doubt", ErrBadPass)
	}
	return nil
}

// passAnswer answers by a pass alone.
func (g *Gate) passAnswer(text string, q *Question, now time.Time) Answer {
	p, err := g.o.Keys.VerifyPass(text, now)
	if err != nil {
		return stranger()
	}
	if g.revoked.since(p.Issued.Time(), p.User, p.Session, q.Store, q.Image) {
		return stranger()
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

// covers reports whether the pass is for what is asked. One for an image names no
// other, and one for a store all images in it.
func (p *Pass) covers(q *Question) bool {
	if !includes(p.Scope, q.Scope) {
		return false
	}
	if p.Image != "" {
		return p.Image == q.Image && (p.Store == "" || p.Store == q.Store)
	}
	return p.Store == q.Store
}
