package authz

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

const (
	// MaxAccessTokenAge is the maximum lifetime of an access token.
	MaxAccessTokenAge = 15 * time.Minute
	// MaxSignedURLAge is the maximum lifetime of a signed URL.
	MaxSignedURLAge = 24 * time.Hour
	// clockSkew is the tolerated difference between the clocks of central and edge
	// server.
	clockSkew = time.Minute
)

// Keys sign and verify access tokens and signed URLs. Several keys, each with an id, may
// be valid at a time, for rotation. They are safe for concurrent use. The zero value has
// no keys.
type Keys struct{ set atomic.Pointer[keySet] }

type keySet struct {
	signer          string // id of the signing key, or ""
	secret          ed25519.PrivateKey
	accessTokenKeys map[string]ed25519.PublicKey
	urls            map[string][]byte
}

// SetSigning replaces the keys with those of a central server. The first that is not
// retired signs.
func (k *Keys) SetSigning(keys []account.SigningKey) {
	s := &keySet{accessTokenKeys: map[string]ed25519.PublicKey{}, urls: map[string][]byte{}}
	for _, key := range keys {
		s.accessTokenKeys[key.ID], s.urls[key.ID] = key.Public, key.URLKey()
		if s.signer == "" && key.RetiredAt == nil {
			s.signer, s.secret = key.ID, key.Private()
		}
	}
	k.set.Store(s)
}

// SetPublic sets the central server's public keys at an edge server, which verifies
// access tokens and signs nothing.
func (k *Keys) SetPublic(accessTokenKeys map[string]ed25519.PublicKey) {
	k.set.Store(&keySet{accessTokenKeys: maps.Clone(accessTokenKeys)})
}

// Public returns the public keys in the form sent to edges.
func (k *Keys) Public() []PublicKey {
	list := []PublicKey{}
	if s := k.set.Load(); s != nil {
		for id, key := range s.accessTokenKeys {
			list = append(list, PublicKey{Type: "OKP", Curve: "Ed25519", ID: id, X: base64.RawURLEncoding.EncodeToString(key)})
		}
	}
	return list
}

// A PublicKey is a JSON Web Key (RFC 8037, section 2) that verifies access tokens.
type PublicKey struct {
	Type  string `json:"kty"` // OKP
	Curve string `json:"crv"` // Ed25519
	ID    string `json:"kid"`
	X     string `json:"x"`
}

// PublicKeys parses keys of a central server. It ignores other kinds of keys.
func PublicKeys(list []PublicKey) (map[string]ed25519.PublicKey, error) {
	keys := map[string]ed25519.PublicKey{}
	for _, k := range list {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.ID == "" {
			return nil, fmt.Errorf("the central server's key %q is not an Ed25519 key", k.ID)
		}
		keys[k.ID] = x
	}
	return keys, nil
}

// decideLocally decides by an access token or a signed URL. It reports false if the
// credential has neither.
func (g *Gate) decideLocally(c *Credential, q *Request) (Decision, bool) {
	if c.AccessToken == "" && c.Signed.Sig == "" {
		return Decision{}, false
	}
	a := unauthenticated()
	if g.o.Keys == nil {
		return a, true
	}
	now := g.o.Now()
	if c.Signed.Sig != "" {
		a = g.decideBySignedURL(&c.Signed, q, now)
	}
	if c.AccessToken != "" && !a.Allow {
		a = g.decideByAccessToken(c.AccessToken, q, now)
	}
	return a, true
}
