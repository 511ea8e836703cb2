package oidc

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// cookieName is the cookie that binds a login to the browser that began it.
const cookieName = "ptiffstore_oidc"

// An attempt is a login in progress. The browser stores it, encrypted, in a cookie: so
// any process of the same database can complete it, and no process has to store it.
type attempt struct {
	State    string `json:"state"` // the provider returns it in the redirect
	Nonce    string `json:"nonce"` // the provider returns it in the ID token
	Verifier string `json:"verifier"`
	Next     string `json:"next"` // path of this server
	Ends     int64  `json:"ends"` // Unix time in seconds
}

func newAttempt(next string, now time.Time) attempt {
	return attempt{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Next: ownPath(next), Ends: now.Add(loginTime).Unix(),
	}
}

// ownPath returns next if it is the path of a page of this server, or else "/". Browsers
// read a backslash as a slash and ignore tabs and line ends, so it refuses paths with
// them.
func ownPath(next string) string {
	const most = 1500 // a cookie has at most 4096 bytes
	if len(next) > most || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return "/"
	}
	if strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r == 0xfffd }) {
		return "/"
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return "/"
	}
	// The API has no pages, and redirecting to the start of a login would loop.
	if clean := path.Clean(u.Path); clean == "/api" || strings.HasPrefix(clean, "/api/") {
		return "/"
	}
	return next
}

// sealer returns the cipher that encrypts attempts with a key.
func sealer(k account.SigningKey) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.Private().Seed(), nil, "ptiffstore OpenID Connect log-in", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts and authenticates an attempt, so that only this server can read or create
// one.
func (c *Client) seal(ctx context.Context, at attempt) (string, error) {
	keys, err := c.o.Accounts.Keys.Ensure(ctx)
	if err != nil {
		return "", err
	}
	s, err := sealer(keys[0])
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(at)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.Seal(nil, nil, text, []byte(c.o.Issuer))), nil
}

// errNoAttempt: the browser has no login in progress, it has expired, or it is not this
// server's.
var errNoAttempt = errors.New("no login in progress")

// open returns the attempt in the browser's cookie, or [errNoAttempt].
func (c *Client) open(ctx context.Context, r *http.Request) (attempt, error) {
	var at attempt
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return at, errNoAttempt
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return at, errNoAttempt
	}
	keys, err := c.o.Accounts.Keys.Ensure(ctx)
	if err != nil {
		return at, err
	}
	for _, k := range keys { // another key may have become the signing key
		s, err := sealer(k)
		if err != nil {
			return at, err
		}
		text, err := s.Open(nil, nil, sealed, []byte(c.o.Issuer))
		if err != nil {
			continue
		}
		if err := json.Unmarshal(text, &at); err != nil || c.o.Now().Unix() >= at.Ends {
			return attempt{}, errNoAttempt
		}
		return at, nil
	}
	return at, errNoAttempt
}

// setCookie stores a sealed attempt in the browser, or deletes it if sealed is empty. The
// cookie is SameSite=Lax, so the browser sends it with the redirect from the provider.
func (c *Client) setCookie(w http.ResponseWriter, sealed string) {
	cookie := &http.Cookie{
		Name: cookieName, Value: sealed, Path: path.Dir(c.redirect.Path), MaxAge: int(loginTime / time.Second),
		HttpOnly: true, Secure: c.redirect.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}
	if sealed == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
