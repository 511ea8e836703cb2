package authz

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// template is a database with empty tables; each test gets a copy.
var template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	a, err := account.Open(ctx, url, account.Options{})
	if err != nil {
		return err
	}
	return a.Close()
}}

func openAccounts(t testing.TB) *account.Accounts {
	t.Helper()
	a, err := account.Open(t.Context(), template.SQLite(t), account.Options{Password: account.PasswordCost{Memory: 64, Passes: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func signing(t testing.TB, a *account.Accounts) *Keys {
	t.Helper()
	list, err := a.Keys.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := new(Keys)
	k.SetSigning(list)
	return k
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func someAccessToken() AccessToken {
	return AccessToken{User: "u1", Name: "Ann", Session: "s1", Store: "st", Scope: account.ScopeTiles, Issued: Date(noon), Expires: Date(noon) + 600}
}

func TestPass(t *testing.T) {
	keys := signing(t, openAccounts(t))
	p := someAccessToken()
	text, err := keys.SignAccessToken(p)
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicKeys(keys.Public())
	if err != nil {
		t.Fatal(err)
	}
	edge := new(Keys)
	edge.SetPublic(public)
	for _, k := range []*Keys{keys, edge} {
		got, err := k.VerifyAccessToken(text, noon)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&p, got); d != "" {
			t.Error(d)
		}
	}
	if _, err := edge.SignAccessToken(p); !errors.Is(err, ErrNoKey) {
		t.Errorf("an edge signs: %v", err)
	}
	for _, tt := range []struct {
		name string
		at   time.Time
		want error
	}{
		{"the last second", noon.Add(599 * time.Second), nil},
		{"expired", noon.Add(600 * time.Second), ErrExpired},
		{"by a clock that is a little behind", noon.Add(-50 * time.Second), nil},
		{"before its time", noon.Add(-2 * time.Minute), ErrExpired},
	} {
		if _, err := edge.VerifyAccessToken(text, tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for i := range text {
		for _, c := range []byte{text[i] ^ 1, text[i] + 1, 'A', '.', '='} {
			if c == text[i] {
				continue
			}
			forged := text[:i] + string(c) + text[i+1:]
			if p, err := edge.VerifyAccessToken(forged, noon); err == nil {
				t.Fatalf("byte %d changed from %q to %q: good for %+v", i, text[i], c, p)
			}
		}
	}
	for i := range text {
		if _, err := edge.VerifyAccessToken(text[:i], noon); err == nil {
			t.Fatalf("cut after %d bytes: good", i)
		}
	}
}

// TestPassForged: access tokens signed by other keys or in other ways.
func TestPassForged(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	keys := new(Keys)
	keys.SetPublic(map[string]ed25519.PublicKey{"k1": public})
	seg := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	type m = map[string]any
	head := m{"alg": "EdDSA", "kid": "k1"}
	with := func(k string, v any) m {
		c := m{"sub": "u1", "store": "st", "scope": "tiles", "iat": noon.Unix(), "exp": noon.Unix() + 600, "iss": "https://elsewhere"}
		c[k] = v
		return c
	}
	tests := []struct {
		name   string
		head   any
		claims any
		key    ed25519.PrivateKey
		want   error
	}{
		{"as another server may write it", head, with("aud", []string{"x"}), private, nil},
		{"another key", head, with("", nil), other, ErrBadAccessToken},
		{"unknown key", m{"alg": "EdDSA", "kid": "k2"}, with("", nil), private, ErrBadAccessToken},
		{"no algorithm", m{"alg": "none", "kid": "k1"}, with("", nil), private, ErrBadAccessToken},
		{"the public key as a secret", m{"alg": "HS256", "kid": "k1"}, with("", nil), private, ErrBadAccessToken},
		{"something critical that we do not know", m{"alg": "EdDSA", "kid": "k1", "crit": []string{"b64"}, "b64": false}, with("", nil), private, ErrBadAccessToken},
		{"too long", head, with("exp", noon.Unix()+901), private, ErrBadAccessToken},
		{"for ever", head, with("exp", int64(1)<<62), private, ErrBadAccessToken},
		{"expires before it begins", head, with("exp", noon.Unix()-1), private, ErrBadAccessToken},
		{"never issued", head, with("iat", nil), private, ErrBadAccessToken},
		{"for writing", head, with("scope", "write"), private, ErrBadAccessToken},
		{"for all", head, with("scope", "admin"), private, ErrBadAccessToken},
		{"for nothing in particular", head, with("store", ""), private, ErrBadAccessToken},
		{"of nobody", head, with("sub", ""), private, ErrBadAccessToken},
		{"no object", head, []int{1}, private, ErrBadAccessToken},
		{"very long", head, with("name", strings.Repeat("x", 3000)), private, ErrBadAccessToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := seg(tt.head) + "." + seg(tt.claims)
			text += "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(tt.key, []byte(text)))
			if _, err := keys.VerifyAccessToken(text, noon); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	for _, change := range []func(*AccessToken){
		func(p *AccessToken) { p.Scope = account.ScopeAdmin },
		func(p *AccessToken) { p.Store = "" },
		func(p *AccessToken) { p.User = "" },
		func(p *AccessToken) { p.Expires = p.Issued + 901 },
	} {
		p := someAccessToken()
		change(&p)
		if _, err := signing(t, openAccounts(t)).SignAccessToken(p); !errors.Is(err, ErrBadAccessToken) {
			t.Errorf("%+v is signed: %v", p, err)
		}
	}
}

func FuzzPass(f *testing.F) {
	keys := signing(f, openAccounts(f))
	text, err := keys.SignAccessToken(someAccessToken())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("")
	f.Add("..")
	f.Add("e30.e30.")
	f.Add(text + ".")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := keys.VerifyAccessToken(s, noon)
		switch {
		case err == nil && s != text:
			t.Errorf("%q is good for %+v", s, p)
		case err != nil && p != nil:
			t.Error("an error and a pass")
		case err != nil && !errors.Is(err, ErrBadAccessToken) && !errors.Is(err, ErrExpired):
			t.Errorf("error %v", err)
		}
	})
}

func sigOf(v url.Values) *Signature {
	return &Signature{v.Get("sig"), v.Get("exp"), v.Get("scope"), v.Get("kid")}
}

func TestSignedURL(t *testing.T) {
	a := openAccounts(t)
	keys := signing(t, a)
	link := Link{Image: "a", Scope: account.ScopeTiles, User: "u1", Issued: noon, Expires: noon.Add(time.Hour)}
	v, err := keys.SignURL(link)
	if err != nil {
		t.Fatal(err)
	}
	good := *sigOf(v)
	got, err := keys.VerifyURL(&good, "a", noon)
	if err != nil || got.User != "u1" || got.Scope != account.ScopeTiles || !got.Issued.Equal(noon) || !got.Expires.Equal(link.Expires) {
		t.Fatalf("%+v, %v", got, err)
	}
	tests := []struct {
		name   string
		change func(*Signature)
		image  string
		at     time.Time
		want   error
	}{
		{"another image", nil, "b", noon, ErrBadSignature},
		{"no image", nil, "", noon, ErrBadSignature},
		{"expired", nil, "a", noon.Add(time.Hour), ErrExpired},
		{"before its time", nil, "a", noon.Add(-time.Hour), ErrExpired},
		{"longer", func(s *Signature) { s.Exp = "1900000000" }, "a", noon, ErrBadSignature},
		{"the same time in other words", func(s *Signature) { s.Exp = "+" + s.Exp }, "a", noon, ErrBadSignature},
		{"more", func(s *Signature) { s.Scope = "label" }, "a", noon, ErrBadSignature},
		{"another key", func(s *Signature) { s.KeyID = "x" }, "a", noon, ErrBadSignature},
		{"no signature", func(s *Signature) { s.Sig = "" }, "a", noon, ErrBadSignature},
		{"very long", func(s *Signature) { s.Sig += strings.Repeat("A", 600) }, "a", noon, ErrBadSignature},
	}
	for _, tt := range tests {
		s := good
		if tt.change != nil {
			tt.change(&s)
		}
		if _, err := keys.VerifyURL(&s, tt.image, tt.at); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for i := range good.Sig {
		s := good
		s.Sig = s.Sig[:i] + string(s.Sig[i]^1) + s.Sig[i+1:]
		if _, err := keys.VerifyURL(&s, "a", noon); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	// A new key signs, and signatures of the old one are still valid.
	if err := a.Keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := a.Keys.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys.SetSigning(list)
	if _, err := keys.VerifyURL(&good, "a", noon); err != nil {
		t.Errorf("after the key changed: %v", err)
	}
	if v, err := keys.SignURL(link); err != nil || v.Get("kid") == good.KeyID {
		t.Errorf("the old key signs still, %v", err)
	}
	for _, change := range []func(*Link){
		func(l *Link) { l.Scope = account.ScopeWrite },
		func(l *Link) { l.Image = "" },
		func(l *Link) { l.User = "" },
		func(l *Link) { l.Expires = noon.Add(MaxSignedURLAge + time.Second) },
	} {
		l := link
		change(&l)
		if _, err := keys.SignURL(l); err == nil {
			t.Errorf("%+v is signed", l)
		}
	}
}

// TestProvedRevoked: access tokens and signed URLs are decided without the authorizer,
// and end by revocation all the same, whether cached or new.
func TestProvedRevoked(t *testing.T) {
	keys := signing(t, openAccounts(t))
	tests := []struct {
		name string
		v    account.Revocation
		pass bool // is the access token still good?
		link bool
	}{
		{"user", account.Revocation{Kind: account.RevokeUser, ID: "u1"}, false, false},
		{"another user", account.Revocation{Kind: account.RevokeUser, ID: "u2"}, true, true},
		{"session", account.Revocation{Kind: account.RevokeSession, ID: "s1"}, false, true},
		{"another session", account.Revocation{Kind: account.RevokeSession, ID: "s2"}, true, true},
		{"image", account.Revocation{Kind: account.RevokeImage, ID: "a"}, false, false},
		{"store", account.Revocation{Kind: account.RevokeStore, ID: "st"}, false, false},
		{"all", account.Revocation{Kind: account.RevokeAll}, false, false},
		{"user, before it was signed", account.Revocation{Kind: account.RevokeUser, ID: "u1", At: noon.Add(-time.Hour)}, true, true},
	}
	for _, tt := range tests {
		for _, seen := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				clock := newClock()
				clock.n.Store(noon.UnixNano())
				p := someAccessToken()
				text, err := keys.SignAccessToken(p)
				if err != nil {
					t.Fatal(err)
				}
				v, err := keys.SignURL(Link{Image: "a", Scope: account.ScopeLabel, User: "u1", Issued: noon, Expires: noon.Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				g := NewGate(GateOptions{Authorizer: authorityFunc(nil), Keys: keys, Now: clock.now})
				creds := []Credential{{AccessToken: text}, {Signed: *sigOf(v)}}
				if seen {
					for _, c := range creds {
						if a := mustAllow(t, g, c, tileOf("st", "a")); !a.Allow || a.User.ID != "u1" {
							t.Fatalf("%+v before", a)
						}
					}
				}
				clock.add(time.Second)
				g.Revoke(tt.v)
				for i, want := range []bool{tt.pass, tt.link} {
					if a := mustAllow(t, g, creds[i], tileOf("st", "a")); a.Allow != want {
						t.Errorf("proof %d, seen before %v: allowed %v, want %v", i, seen, a.Allow, want)
					}
				}
			})
		}
	}
}
