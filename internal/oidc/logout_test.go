package oidc

import (
	"bytes"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/oidctest"
)

// TestLogOutURL fails if a browser is redirected to another URL than the provider's, or
// without the ID token.
func TestLogOutURL(t *testing.T) {
	t.Parallel()
	database := sqliteURL(t)
	s := newSite(t, database, func(o *Options) { o.LoggedOutURL = "https://slides.example.org/login" })
	s.browser(t).dance("anna", "/")
	hint, err := s.accounts.Sessions.Hint(t.Context(), s.login.Secret)
	check(t, err)
	if strings.Count(hint, ".") != 2 {
		t.Fatalf("kept with the login: %q", hint)
	}
	for _, file := range []string{"", "-wal"} {
		if b, err := os.ReadFile(strings.TrimPrefix(database, "sqlite:") + file); err == nil && bytes.Contains(b, []byte(hint[:40])) {
			t.Error("the id token is in the database as it is")
		}
	}
	if other, err := s.accounts.Sessions.Hint(t.Context(), s.login.Secret+"x"); err != nil || other != "" {
		t.Errorf("of no session: %q, %v", other, err)
	}
	at, err := url.Parse(s.current().LogOutURL(t.Context(), hint))
	check(t, err)
	q := at.Query()
	if at.Scheme+"://"+at.Host != s.provider.Issuer || q.Get("id_token_hint") != hint || q.Get("client_id") != oidctest.ClientID || q.Get("post_logout_redirect_uri") != "https://slides.example.org/login" {
		t.Errorf("log out at %v", at)
	}
	if long := hintOf(strings.Repeat("x", hintMost+1)); strings.Contains(s.current().LogOutURL(t.Context(), long), "id_token_hint") || s.current().LogOutURL(t.Context(), long) == "" {
		t.Errorf("of a long id token: %s", s.current().LogOutURL(t.Context(), long))
	}
	if got := s.current().LogOutURL(t.Context(), ""); got != "" {
		t.Errorf("of a session that did not begin at the provider: %s", got)
	}
	for _, end := range []any{nil, "", 7, "http://evil.example/out", "javascript:alert(1)", "//evil.example"} {
		s.provider.Say(t, oidctest.Said{Configuration: map[string]any{"end_session_endpoint": end}})
		s.use(t, nil)
		if got := s.current().LogOutURL(t.Context(), hint); got != "" {
			t.Errorf("the provider says %v: %s", end, got)
		}
	}
	// The server does not redirect to an unreachable provider.
	s.provider.Say(t, oidctest.Said{})
	s.use(t, nil)
	if got := s.current().LogOutURL(t.Context(), hint); got == "" {
		t.Error("the provider that answers is not where to log out")
	}
	s.provider.Stop()
	s.clock.add(aliveFor)
	if got := s.current().LogOutURL(t.Context(), hint); got != "" {
		t.Errorf("while the provider is away: %q", got)
	}
	s.use(t, nil)
	if got := s.current().LogOutURL(t.Context(), hint); got != "" {
		t.Errorf("never reached: %s", got)
	}
}
