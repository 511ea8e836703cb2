package oidc

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

// The provider is a certified one, in a process of its own: this test binary, run once
// more. A control route changes what it says of its users, and has it tell lies.

const (
	clientID     = "ptiffstore"
	clientSecret = "a secret of the client"
	providerEnv  = "OIDC_TEST_PROVIDER"
)

func TestMain(m *testing.M) {
	if redirect := os.Getenv(providerEnv); redirect != "" {
		if err := serveProvider(os.Getenv(providerEnv+"_LISTEN"), redirect); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// said is what the provider is to say from now on.
type said struct {
	Groups  any               // value of the claim; nil is no claim
	Claim   string            // its name; "groups" if empty
	InToken bool              // the claim is in the id token and not in the UserInfo
	Lie     map[string]any    // claims of the id token that are changed
	Sign    string            // "": with the provider's key; other: with another; none: without
	Status  map[string]int    // by path: the status to fail with
	Swap    map[string]string // parameters of the token request that are changed
}

type providerStorage struct {
	*storage.Storage
	mu   sync.Mutex
	said said
}

func (s *providerStorage) get() said {
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

// SetUserinfoFromRequest is for the id token.
func (s *providerStorage) SetUserinfoFromRequest(ctx context.Context, info *zoidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	s.claim(info, true)
	return s.Storage.SetUserinfoFromRequest(ctx, info, r, scopes)
}

// SetUserinfoFromToken is for the UserInfo.
func (s *providerStorage) SetUserinfoFromToken(ctx context.Context, info *zoidc.UserInfo, token, subject, origin string) error {
	s.claim(info, false)
	return s.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
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

// serveProvider serves until standard input ends.
func serveProvider(listen, redirect string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient(clientID, clientSecret, redirect))
	s := &providerStorage{Storage: storage.NewStorage(users{
		"1": {ID: "1", Username: "anna", Password: "anna's", FirstName: "Anna", LastName: "Arnold", Email: "anna@example.org"},
		"2": {ID: "2", Username: "", Password: "bert's", FirstName: "", LastName: "", Email: "bert@example.org"},
	})}
	router := exampleop.SetupServer("http://"+l.Addr().String(), s, slog.New(slog.DiscardHandler), false)
	go http.Serve(l, s.lying(router)) //nolint:errcheck // ends with the process
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// lying is the provider with what it was told to get wrong.
func (s *providerStorage) lying(honest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/control" {
			var v said
			if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			s.mu.Lock()
			s.said = v
			s.mu.Unlock()
			return
		}
		v := s.get()
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

// lie changes the id token of a token response.
func (s *providerStorage) lie(body []byte, v said) ([]byte, error) {
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
	case "kept": // the signature is of what was there before
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
	if with == "secret" { // HS256 with what both know
		sk = jose.SigningKey{Algorithm: jose.HS256, Key: bytes.Repeat([]byte(clientSecret), 2)}
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

// A provider is one that runs.
type provider struct {
	issuer, addr string
	stop         func()
}

// startProvider starts one that listens on addr and has a client with that redirect URL.
func startProvider(t *testing.T, addr, redirect string) *provider {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), providerEnv+"="+redirect, providerEnv+"_LISTEN="+addr)
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
	return &provider{issuer: "http://" + at, addr: at, stop: stop}
}

// say tells the provider what to say.
func (p *provider) say(t *testing.T, v said) {
	t.Helper()
	body, err := json.Marshal(v)
	check(t, err)
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Post(p.issuer+"/control", "application/json", bytes.NewReader(body))
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the provider does not do as told: %s", resp.Status)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
