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
	//go:embed signin.html
	signInHTML string
	//go:embed signin.css
	signInCSS string

	signInTemplate = template.Must(template.New("signin.html").Parse(signInHTML))
	signInPolicy   = "default-src 'none'; style-src 'sha256-" + styleHash(signInCSS) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func styleHash(css string) string {
	sum := sha256.Sum256([]byte(css))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A signInError is what the page of a sign-in that failed says.
type signInError struct {
	Title, Detail string
	Style         template.CSS
	Again, Back   string // addresses; Again is empty if the same would fail again
	Status        int
	Request       string // its id
}

// signInPage answers errors of h with a page where a browser asks: it is a person who has
// been sent here, and needs to know what to do and a way back. It needs neither scripts
// nor the web application.
func signInPage(h httperr.Handler) httperr.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Accept")
		err := h(w, r)
		if err == nil || !strings.Contains(r.Header.Get("Accept"), "text/html") || errors.Is(r.Context().Err(), context.Canceled) {
			return err
		}
		r = httperr.Identify(w, r)
		return writeSignInError(w, r, httperr.LogError(r, err))
	}
}

func writeSignInError(w http.ResponseWriter, r *http.Request, e *httperr.Error) error {
	v := signInError{
		Title: signInTitle(e.Status), Detail: e.Detail, Style: template.CSS(signInCSS), //nolint:gosec // our own file
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
	if err := signInTemplate.Execute(&b, v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", signInPolicy)
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

func signInTitle(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "Sign-in not completed"
	case http.StatusForbidden:
		return "Sign-in refused"
	case http.StatusNotFound:
		return "This way to sign in is not available"
	case http.StatusServiceUnavailable:
		return "Sign-in is not available at the moment"
	}
	return "Sign-in failed"
}
