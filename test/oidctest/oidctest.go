// Package oidctest runs an OpenID Connect provider for tests: a certified implementation, in
// a second process of the test binary. Tests can make it send wrong answers.
package oidctest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The credentials of the provider's only client.
const (
	ClientID     = "ptiffstore"
	ClientSecret = "a secret of the client"
)

const (
	// LoggedOutPath is the path to which the provider redirects after a logout, on the host
	// of the redirect URL.
	LoggedOutPath = "/login"
)

const (
	redirectEnv = "OIDC_TEST_REDIRECT"
	listenEnv   = "OIDC_TEST_LISTEN"
)

// Main must be called first by TestMain. In the process of a provider it serves and does not
// return.
func Main() {
	redirect := os.Getenv(redirectEnv)
	if redirect == "" {
		return
	}
	if err := serve(os.Getenv(listenEnv), redirect); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Said configures the answers of the provider.
type Said struct {
	Groups  any               // value of the claim; nil for no claim
	Claim   string            // its name; "groups" if empty
	InToken bool              // the claim is in the ID token and not in the UserInfo
	Lie     map[string]any    // claims of the ID token to change
	Sign    string            // "": with the provider's key; other: with another key; none: unsigned
	Status  map[string]int    // status to fail with, by path
	Swap    map[string]string // parameters of the token request to change
	// Configuration has fields of the provider's configuration to change; nil removes a
	// field.
	Configuration map[string]any
}

type providerStorage struct {
	*storage.Storage
	out   string // redirect after a logout
	mu    sync.Mutex
	said  Said
	ended []string // ids of the users who have been logged out
}

func (s *providerStorage) get() Said {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said
}

func (s *providerStorage) claim(info *zoidc.UserInfo, inToken bool) {
	if v := s.get(); v.Groups != nil && v.InToken == inToken {
		name := v.Claim
		if name == "" {
			name = "groups"
		}
		info.AppendClaims(name, v.Groups)
	}
}

// A client is the provider's only client, with its redirect after a logout.
type client struct {
	op.Client
	out string
}

// PostLogoutRedirectURIs implements [op.Client].
func (c client) PostLogoutRedirectURIs() []string { return []string{c.out} }

// GetClientByClientID implements [op.Storage].
func (s *providerStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c, s.out}, nil
}

// TerminateSession implements [op.Storage]. It records the logout for Ended.
func (s *providerStorage) TerminateSession(ctx context.Context, user, client string) error {
	s.mu.Lock()
	s.ended = append(s.ended, user)
	s.mu.Unlock()
	return s.Storage.TerminateSession(ctx, user, client)
}

// SetUserinfoFromRequest adds the claims of the ID token.
func (s *providerStorage) SetUserinfoFromRequest(ctx context.Context, info *zoidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	s.claim(info, true)
	return s.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
}

// SetUserinfoFromToken adds the claims of the UserInfo.
func (s *providerStorage) SetUserinfoFromToken(ctx context.Context, info *zoidc.UserInfo, token, subject, origin string) error {
	s.claim(info, false)
	return s.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
}

// LogIn opens start, the URL at which a server redirects to the provider, logs in there, and
// returns the URL to which the provider redirects back. The users are anna, and one without
// a name.
func (p *Provider) LogIn(t *testing.T, browser *http.Client, start, user string) *url.URL {
	t.Helper()
	resp, err := browser.Get(start)
	check(t, err)
	resp.Body.Close()
	if at := resp.Request.URL; resp.StatusCode != http.StatusOK || at.Path != "/login/username" {
		t.Fatalf("%s led to %s: %s", start, at, resp.Status)
	}
	stay := *browser
	stay.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if "http://"+r.URL.Host != p.Issuer {
			return http.ErrUseLastResponse
		}
		return nil
	}
	password := map[string]string{"anna": "anna's", "": "bert's"}[user]
	back, err := stay.PostForm(p.Issuer+"/login/username", url.Values{
		"username": {user}, "password": {password}, "id": {resp.Request.URL.Query().Get("authRequestID")},
	})
	check(t, err)
	back.Body.Close()
	at, err := back.Location()
	if err != nil {
		t.Fatalf("the provider sent the browser nowhere: %s", back.Status)
	}
	return at
}

type users map[string]*storage.User

func (u users) GetUserByID(id string) *storage.User { return u[id] }
func (u users) ExampleClientID() string             { return "service" }
func (u users) GetUserByUsername(name string) *storage.User {
	for _, one := range u {
		if one.Username == name {
			return one
		}
	}
	return nil
}

// serve serves until standard input ends.
func serve(listen, redirect string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient(ClientID, ClientSecret, redirect))
	at, err := url.Parse(redirect)
	if err != nil {
		return err
	}
	at.Path = LoggedOutPath
	s := &providerStorage{out: at.String(), Storage: storage.NewStorage(users{
		"1": {ID: "1", Username: "anna", Password: "anna's", FirstName: "Anna", LastName: "Arnold", Email: "anna@example.org"},
		"2": {ID: "2", Username: "", Password: "bert's", FirstName: "", LastName: "", Email: "bert@example.org"},
	})}
	router := exampleop.SetupServer("http://"+l.Addr().String(), s, slog.New(slog.DiscardHandler), false)
	go http.Serve(l, s.lying(router)) //nolint:errcheck // ends with the process
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// lying wraps the provider and changes its answers as configured.
func (s *providerStorage) lying(honest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/control" {
			var v Said
			if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			s.mu.Lock()
			s.said = v
			s.mu.Unlock()
			return
		}
		if r.URL.Path == "/ended" {
			s.mu.Lock()
			defer s.mu.Unlock()
			json.NewEncoder(w).Encode(s.ended) //nolint:errcheck // the client is gone
			return
		}
		v := s.get()
		if r.URL.Path == "/.well-known/openid-configuration" && v.Configuration != nil {
			configure(w, r, honest, v.Configuration)
			return
		}
		if status := v.Status[r.URL.Path]; status != 0 {
			http.Error(w, "<html>out of order</html>", status)
			return
		}
		if r.URL.Path != "/oauth/token" {
			honest.ServeHTTP(w, r)
			return
		}
		if err := swap(r, v.Swap); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if rec.Code == http.StatusOK && (v.Lie != nil || v.Sign != "") {
			var err error
			if body, err = s.lie(body, v); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rec.Code)
		w.Write(body)
	})
}

// configure answers with the provider's configuration, changed.
func configure(w http.ResponseWriter, r *http.Request, honest http.Handler, with map[string]any) {
	rec := httptest.NewRecorder()
	honest.ServeHTTP(rec, r)
	var v map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for name, value := range with {
		if v[name] = value; value == nil {
			delete(v, name)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone
}

func swap(r *http.Request, with map[string]string) error {
	if len(with) == 0 {
		return nil
	}
	if err := r.ParseForm(); err != nil {
		return err
	}
	for k, v := range with {
		r.Form.Set(k, v)
		r.PostForm.Set(k, v)
	}
	return nil
}

// lie changes the ID token of a token response.
func (s *providerStorage) lie(body []byte, v Said) ([]byte, error) {
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if _, ok := v.Lie["id_token"]; ok {
		delete(answer, "id_token")
		return json.Marshal(answer)
	}
	parts := strings.Split(answer["id_token"].(string), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	for k, lie := range v.Lie {
		if claims[k] = lie; lie == nil {
			delete(claims, k)
		}
	}
	if payload, err = json.Marshal(claims); err != nil {
		return nil, err
	}
	switch v.Sign {
	case "none":
		answer["id_token"] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	case "kept": // the signature of the original claims
		answer["id_token"] = parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + parts[2]
	default:
		if answer["id_token"], err = s.sign(payload, v.Sign); err != nil {
			return nil, err
		}
	}
	return json.Marshal(answer)
}

func (s *providerStorage) sign(payload []byte, with string) (string, error) {
	key, err := s.SigningKey(context.Background())
	if err != nil {
		return "", err
	}
	sk := jose.SigningKey{Algorithm: key.SignatureAlgorithm(), Key: jose.JSONWebKey{Key: key.Key(), KeyID: key.ID()}}
	if with == "secret" { // HS256 with the secret of the client
		sk = jose.SigningKey{Algorithm: jose.HS256, Key: bytes.Repeat([]byte(ClientSecret), 2)}
	}
	signer, err := jose.NewSigner(sk, nil)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// A Provider is a running provider.
type Provider struct {
	Issuer, Addr string
	Stop         func()
}

// Start starts a provider that listens on addr and has a client with that redirect URL. It
// ends with the test at the latest.
func Start(t *testing.T, addr, redirect string) *Provider {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), redirectEnv+"="+redirect, listenEnv+"="+addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	stop := sync.OnceFunc(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(stop)
	at, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v", err)
	}
	at = strings.TrimSpace(at)
	return &Provider{Issuer: "http://" + at, Addr: at, Stop: stop}
}

// Ended returns the ids of the users whom the provider has logged out.
func (p *Provider) Ended(t *testing.T) (ids []string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(p.Issuer + "/ended")
	check(t, err)
	defer resp.Body.Close()
	check(t, json.NewDecoder(resp.Body).Decode(&ids))
	return ids
}

// Say configures the answers of the provider.
func (p *Provider) Say(t *testing.T, v Said) {
	t.Helper()
	body, err := json.Marshal(v)
	check(t, err)
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Post(p.Issuer+"/control", "application/json", bytes.NewReader(body))
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the provider does not accept its settings: %s", resp.Status)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
