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
	// MaxAccessTokenAge is how long an access token is good at most.
	MaxAccessTokenAge = 15 * time.Minute
	// MaxSignedURLAge is how long a signed URL is good at most.
	MaxSignedURLAge = 24 * time.Hour
	// clockSkew is by how much the clocks of central server and edge server may differ.
	clockSkew = time.Minute
)

// Keys sign and verify access tokens and signed URLs. Several may be good at a time, each with
// an id, so that a new one can take over. They are safe for concurrent use, and the
// zero value knows none.
type Keys struct{ set atomic.Pointer[keySet] }

type keySet struct {
	signer          string // id of the key that signs, "" for none
	secret          ed25519.PrivateKey
	accessTokenKeys map[string]ed25519.PublicKey
	urls            map[string][]byte
}

// SetSigning takes over the keys of a central server, of which the first that is not retired
// signs.
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

// SetPublic takes over the central server's public keys at an edge, which then verifies access tokens
// and signs nothing.
func (k *Keys) SetPublic(accessTokenKeys map[string]ed25519.PublicKey) {
	k.set.Store(&keySet{accessTokenKeys: maps.Clone(accessTokenKeys)})
}

// Public returns the public keys as edges are told them.
func (k *Keys) Public() []PublicKey {
	list := []PublicKey{}
	if s := k.set.Load(); s != nil {
		for id, key := range s.accessTokenKeys {
			list = append(list, PublicKey{Type: "OKP", Curve: "Ed25519", ID: id, X: base64.RawURLEncoding.EncodeToString(key)})
		}
	}
	return list
}

// A PublicKey is a JSON Web Key (RFC 8037, section 2) by which access tokens are verified.
type PublicKey struct {
	Type  string `json:"kty"` // OKP
	Curve string `json:"crv"` // Ed25519
	ID    string `json:"kid"`
	X     string `json:"x"`
}

// PublicKeys reads keys as a central server tells them. Those of other kinds are left out.
func PublicKeys(list []PublicKey) (map[string]ed25519.PublicKey, error) {
	keys := map[string]ed25519.PublicKey{}
	for _, k := range list {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.ID == "" {
			return nil, fmt.Errorf("authz: the central server's key %q is not an Ed25519 key", k.ID)
		}
		keys[k.ID] = x
	}
	return keys, nil
}

// decideLocally answers by an access token or a signed URL. It reports false if there is none.
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
