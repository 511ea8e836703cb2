package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

var (
	//go:embed loginerror.html
	loginHTML string
	//go:embed loginerror.css
	loginCSS string

	loginTemplate = template.Must(template.New("loginerror.html").Parse(loginHTML))
	loginPolicy   = "default-src 'none'; style-src 'sha256-" + styleHash(loginCSS) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func styleHash(css string) string {
	sum := sha256.Sum256([]byte(css))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A loginErrorView is the data of the error page of a failed login.
type loginErrorView struct {
	Title, Detail string
	Style         template.CSS
	Again, Back   string // addresses; Again is empty if the same would fail again
	Status        int
	Request       string // its id
}

// loginErrorPage answers errors of h with an HTML page if the client is a browser: the
// person needs to know what to do, and a link back. The page uses neither scripts nor the
// web application.
func loginErrorPage(h httperr.Handler) httperr.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Accept")
		err := h(w, r)
		if err == nil || !strings.Contains(r.Header.Get("Accept"), "text/html") || errors.Is(r.Context().Err(), context.Canceled) {
			return err
		}
		r = httperr.Identify(w, r)
		return writeLoginError(w, r, httperr.LogError(r, err))
	}
}

func writeLoginError(w http.ResponseWriter, r *http.Request, e *httperr.Error) error {
	v := loginErrorView{
		Title: loginErrorTitle(e.Status), Detail: e.Detail, Style: template.CSS(loginCSS), //nolint:gosec // our own file
		Back: "/login", Status: e.Status, Request: httperr.RequestID(r.Context()),
	}
	again := url.Values{}
	if next := r.URL.Query().Get("next"); next != "" { // the page and the start accept only paths of this server
		again.Set("next", next)
		v.Back += "#to=" + url.QueryEscape(next)
	}
	if e.Status == http.StatusBadRequest || e.Status >= 500 {
		v.Again = oidcStart + "?" + again.Encode()
	}
	var b bytes.Buffer
	if err := loginTemplate.Execute(&b, v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", loginPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Referrer-Policy", "no-referrer") // the address may have a code
	h.Set("X-Content-Type-Options", "nosniff")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	w.WriteHeader(e.Status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes()) // the client is gone if this fails
	}
	return nil
}

func loginErrorTitle(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "Login not completed"
	case http.StatusForbidden:
		return "Login refused"
	case http.StatusNotFound:
		return "This login method is not available"
	case http.StatusServiceUnavailable:
		return "Login is not available at the moment"
	}
	return "Login failed"
}
