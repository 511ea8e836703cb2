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

// cookieName is the cookie that says which browser has begun which login.
const cookieName = "ptiffstore_oidc"

// An attempt is a login that has begun and not yet ended. The browser keeps it, sealed:
// so any process of the same database can go on with it, and none has to remember it.
type attempt struct {
	State    string `json:"state"` // comes back by way of the provider
	Nonce    string `json:"nonce"` // comes back within the id token
	Verifier string `json:"verifier"`
	Next     string `json:"next"` // path of ours
	Ends     int64  `json:"ends"` // Unix time in seconds
}

func newAttempt(next string, now time.Time) attempt {
	return attempt{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Next: ownPath(next), Ends: now.Add(loginTime).Unix(),
	}
}

// ownPath returns next if it is the path of a page of this server, or else "/". A
// browser takes a backslash for a slash and leaves out tabs and line ends, so those
// are in none.
func ownPath(next string) string {
	const most = 1500 // a cookie has 4096 bytes
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
	// The API has no pages, and to begin the next login after each would never end.
	if clean := path.Clean(u.Path); clean == "/api" || strings.HasPrefix(clean, "/api/") {
		return "/"
	}
	return next
}

// sealer returns what seals attempts with a key.
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

// seal makes an attempt into text that nobody else can read, make or change.
func (c *Client) seal(ctx context.Context, at attempt) (string, error) {
	keys, err := c.o.Accounts.SigningKeys(ctx)
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

// errNoAttempt: the browser has begun none, or it has ended, or it is not of ours.
var errNoAttempt = errors.New("oidc: no login in progress")

// open returns the attempt that a browser has kept, or [errNoAttempt].
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
	keys, err := c.o.Accounts.SigningKeys(ctx)
	if err != nil {
		return at, err
	}
	for _, k := range keys { // another may sign by now
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

// setCookie has the browser keep a sealed attempt, or forget it if it is empty. Lax: it
// comes along when the provider sends the browser back here.
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
