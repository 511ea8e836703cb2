package authz

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// A Link is the content of a signed URL: it gives access to one image only.
type Link struct {
	Image   string
	Scope   account.Scope // tiles or label
	User    string        // id of its creator: the link ends with their rights
	Issued  time.Time
	Expires time.Time // at most [MaxSignedURLAge] later
}

// signatureVersion is the first byte of a signature. It is followed by the time of issue
// (8 bytes, milliseconds), the MAC (32) and the user's id.
const signatureVersion = 1

// SignURL returns the parameters sig, exp, scope and kid, which make any URL of the image
// readable without a login.
func (k *Keys) SignURL(v Link) (url.Values, error) {
	s := k.set.Load()
	if s == nil || s.urls[s.signer] == nil {
		return nil, ErrNoKey
	}
	if v.Image == "" || v.User == "" || v.Scope != account.ScopeTiles && v.Scope != account.ScopeLabel {
		return nil, fmt.Errorf("a signed URL needs an image, a user, and scope tiles or label")
	}
	exp, iat := v.Expires.Unix(), v.Issued.UnixMilli()
	if d := v.Expires.Sub(v.Issued); d <= 0 || d > MaxSignedURLAge {
		return nil, fmt.Errorf("the lifetime of a signed URL must be at most %v", MaxSignedURLAge)
	}
	b := binary.BigEndian.AppendUint64([]byte{signatureVersion}, uint64(iat))
	b = append(b, mac(s.urls[s.signer], s.signer, string(v.Scope), strconv.FormatInt(exp, 10), iat, v.Image, v.User)...)
	b = append(b, v.User...)
	return url.Values{
		"sig": {base64.RawURLEncoding.EncodeToString(b)}, "exp": {strconv.FormatInt(exp, 10)},
		"scope": {string(v.Scope)}, "kid": {s.signer},
	}, nil
}

// mac authenticates the whole content of a signed URL.
func mac(key []byte, kid, scope, exp string, iat int64, image, user string) []byte {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "ptiffstore URL %d\n%q %q %q %d %q %q", signatureVersion, kid, scope, exp, iat, image, user)
	return h.Sum(nil)
}

// VerifyURL returns the link if the signature is valid for the image. The error is
// [ErrBadSignature] or [ErrExpired].
func (k *Keys) VerifyURL(sig *Signature, image string, now time.Time) (*Link, error) {
	s := k.set.Load()
	if s == nil || s.urls[sig.KeyID] == nil || image == "" || len(sig.Sig) > 512 {
		return nil, ErrBadSignature
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(sig.Sig)
	if err != nil || len(b) < 1+8+sha256.Size || b[0] != signatureVersion {
		return nil, ErrBadSignature
	}
	iat, sum, user := int64(binary.BigEndian.Uint64(b[1:])), b[9:9+sha256.Size], string(b[9+sha256.Size:])
	if !hmac.Equal(sum, mac(s.urls[sig.KeyID], sig.KeyID, sig.Scope, sig.Exp, iat, image, user)) {
		return nil, ErrBadSignature
	}
	exp, err := strconv.ParseInt(sig.Exp, 10, 64)
	if err != nil {
		return nil, ErrBadSignature
	}
	if now.Unix() >= exp || now.Add(clockSkew).UnixMilli() < iat {
		return nil, ErrExpired
	}
	return &Link{Image: image, Scope: account.Scope(sig.Scope), User: user, Issued: time.UnixMilli(iat), Expires: time.Unix(exp, 0)}, nil
}

// decideBySignedURL decides by the signed URL alone.
func (g *Gate) decideBySignedURL(sig *Signature, q *Request, now time.Time) Decision {
	v, err := g.o.Keys.VerifyURL(sig, q.Image, now)
	if err != nil || !scopeIncludes(v.Scope, q.Scope) || g.revocations.since(v.Issued, v.User, "", q.Store, q.Image) {
		return unauthenticated()
	}
	a := allowed()
	a.User.ID, a.TTL, a.signed = v.User, v.Expires.Sub(now), true
	return a
}
