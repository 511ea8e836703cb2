package authz

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// CheckPath is the central server's route for requests.
const CheckPath = "/api/v1/auth/check"

// maxResponseBytes is the maximum size of a response.
const maxResponseBytes = 1 << 20

// CentralOptions configure the connection to a central server.
type CentralOptions struct {
	// URL is the central server's base, "https://central.example.org". Without TLS it
	// must be on this machine, because credentials are sent there.
	URL string
	// Insecure allows sending credentials without TLS, such as within a container
	// network.
	Insecure bool
	// Path is the path of the check, [CheckPath] if empty.
	Path string
	// Cookie is the name of the only cookie that is passed on; if empty, none is.
	Cookie string
	// Roots are the trusted certificate authorities, the system's if nil.
	Roots *x509.CertPool
	// Certificate, if not nil, is the client certificate.
	Certificate *tls.Certificate
	// Timeout limits one request, 5 seconds if 0.
	Timeout time.Duration
	// TTL is how long to cache a decision without a ttl, 1 minute if 0.
	TTL time.Duration
	// EdgeKey is [account.EdgeKey] of the secret that the central server created for this
	// edge.
	EdgeKey []byte
	// Wrap, if not nil, wraps the transport, for tracing.
	Wrap func(http.RoundTripper) http.RoundTripper
	Log  *slog.Logger
}

// Central is the authorizer of an edge server: it sends requests to the central server by
// HTTP. It returns [ErrUnavailable] whenever the central server does not respond
// properly.
type Central struct {
	o        CentralOptions
	base     *url.URL
	client   *http.Client
	breaker  breaker
	seed     maphash.Seed // for hashes of credentials
	single   atomic.Bool  // the server does not support POST
	loggedAt atomic.Int64 // when an unusable response was last logged, in seconds of the Unix epoch
	back     chan struct{}
}

// NewCentral returns an authorizer for the server at o.URL.
func NewCentral(o CentralOptions) (*Central, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("invalid URL of the central server: use one such as https://central.example.org, without path or query")
	}
	if base.Scheme == "http" && !o.Insecure && !LocalHost(base.Host) {
		return nil, fmt.Errorf("the URL of the central server %s has no TLS, so anyone on the network could read passwords and tokens: use its https URL", base.Host)
	}
	if o.Path == "" {
		o.Path = CheckPath
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.TTL == 0 {
		o.TTL = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config := &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	if o.Certificate != nil {
		config.Certificates = []tls.Certificate{*o.Certificate}
	}
	var transport http.RoundTripper = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: min(2*time.Second, o.Timeout)}).DialContext,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: o.Timeout,
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     32,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     time.Minute,
	}
	if o.Wrap != nil {
		transport = o.Wrap(transport)
	}
	return &Central{
		o: o, base: base, seed: maphash.MakeSeed(), back: make(chan struct{}, 1),
		client: &http.Client{
			Timeout:   o.Timeout,
			Transport: transport,
			// A redirect could send the credential to another server.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close closes idle connections.
func (c *Central) Close() { c.client.CloseIdleConnections() }

// checkVerdict is the body of the response to one request.
type checkVerdict struct {
	Allow     *bool    `json:"allow"`
	User      *User    `json:"user"`
	TTL       *float64 `json:"ttl"` // seconds
	StoreWide bool     `json:"store_wide"`
	Session   string   `json:"session"`
	Token     string   `json:"token"`
	Scope     string   `json:"scope"`
}

// Check sends a single request by GET, several by POST.
func (c *Central) Check(ctx context.Context, cred Credential, requests []Request) ([]Decision, error) {
	if len(requests) == 1 {
		a, err := c.one(ctx, cred, &requests[0])
		return []Decision{a}, err
	}
	if c.single.Load() {
		return c.each(ctx, cred, requests)
	}
	decisions := make([]Decision, len(requests))
	byScope := map[account.Scope][]int{}
	for i, q := range requests {
		byScope[q.Scope] = append(byScope[q.Scope], i)
	}
	for scope, list := range byScope {
		if err := c.many(ctx, cred, scope, requests, list, decisions); err != nil {
			if !errors.Is(err, errNoBatch) {
				return nil, err
			}
			got, err := c.each(ctx, cred, requests)
			if err == nil { // else the server may only have refused this credential
				c.single.Store(true)
			}
			return got, err
		}
	}
	return decisions, nil
}

// one sends a request by GET.
func (c *Central) one(ctx context.Context, cred Credential, q *Request) (Decision, error) {
	query := url.Values{"scope": {string(q.Scope)}}
	for k, v := range map[string]string{"store": q.Store, "image": q.Image, "external_id": q.ExternalID} {
		if v != "" {
			query.Set(k, v)
		}
	}
	r, err := c.request(ctx, http.MethodGet, c.o.Path, query, nil, cred)
	if err != nil {
		return Decision{}, err
	}
	return send(c, r, cred, func(r *reply) (Decision, error) {
		if q.Scope == account.ScopeFile && r.unknownScope() {
			return c.noFile(), nil
		}
		a, scope, err := c.readDecision(r)
		if err == nil && a.Allow && q.Scope == account.ScopeFile && scope != string(account.ScopeFile) {
			return c.noFile(), nil
		}
		return a, err
	})
}

// noFile is the decision about original files of a central server that does not know this scope: it
// refuses the request, or decides without looking at the scope and would give the file to everybody who
// may see the tiles.
func (c *Central) noFile() Decision {
	return Decision{Status: http.StatusForbidden, TTL: c.o.TTL, StoreWide: true}
}

// unknownScope reports whether the response refuses the request itself.
func (r *reply) unknownScope() bool {
	return r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity
}

// readDecision reads the response to a GET, and the scope that it names.
func (c *Central) readDecision(r *reply) (a Decision, scope string, err error) {
	var v checkVerdict
	if err := r.read(&v); err != nil {
		return Decision{}, "", err
	}
	a, err = v.decision(r.status, len(r.body) == 0, c.o.TTL)
	return a, v.Scope, err
}

// decision combines a response's body with its status. Servers that only use the status,
// as for nginx's auth_request, send an empty body.
func (v *checkVerdict) decision(status int, empty bool, ttl time.Duration) (Decision, error) {
	a := Decision{Status: status, TTL: ttl, StoreWide: v.StoreWide, Session: v.Session, Token: v.Token}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
	case empty:
		a.Allow, a.Status = true, http.StatusOK
	case v.Allow == nil:
		return Decision{}, errors.New(`the response has status 200 but no "allow" in its body`)
	case *v.Allow:
		a.Allow, a.Status = true, http.StatusOK
	default:
		a.Status = http.StatusForbidden
	}
	if v.User != nil {
		a.User = *v.User
	}
	if v.TTL != nil {
		a.TTL = time.Duration(max(0, min(*v.TTL, 86400)) * float64(time.Second))
	}
	return a, nil
}

// read reads the body of 200, 401 or 403; any other status is an error. Without a body
// 204 means yes, and so does 200 with Content-Length 0: any other empty body may be a
// truncated response.
func (r *reply) read(into any) error {
	refused := r.status == http.StatusUnauthorized || r.status == http.StatusForbidden
	switch {
	case r.status == http.StatusNoContent:
		return nil
	case !refused && r.status != http.StatusOK:
		return fmt.Errorf("the response has status %d", r.status)
	case len(r.body) == 0 && !refused && !r.empty:
		return errors.New("the response has status 200, no body and no Content-Length: 0: it may be incomplete")
	case len(r.body) == 0:
		return nil
	}
	err := r.decode(into)
	if refused {
		return nil // a body that is not JSON is a page or a problem, for people
	}
	return err
}

// decode reads a JSON body.
func (r *reply) decode(into any) error {
	if kind, _, err := mime.ParseMediaType(r.kind); err != nil || kind != "application/json" {
		return fmt.Errorf("the response has status %d and a body of type %.60q: check the URL and path of the permission check", r.status, r.kind)
	}
	if err := strictjson.UnmarshalKnown(r.body, into); err != nil {
		return fmt.Errorf("the response has status %d and a body that is not the expected JSON: %w", r.status, err)
	}
	return nil
}

var errNoBatch = errors.New("the central server does not accept POST")

// many sends requests of one scope by POST.
func (c *Central) many(ctx context.Context, cred Credential, scope account.Scope, requests []Request, list []int, decisions []Decision) error {
	type image struct {
		Store      string `json:"store,omitempty"`
		Image      string `json:"image,omitempty"`
		ExternalID string `json:"external_id,omitempty"`
	}
	ask := struct {
		Scope  account.Scope `json:"scope"`
		Images []image       `json:"images"`
	}{Scope: scope}
	for _, i := range list {
		q := &requests[i]
		ask.Images = append(ask.Images, image{q.Store, q.Image, q.ExternalID})
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	r, err := c.request(ctx, http.MethodPost, c.o.Path, nil, body, cred)
	if err != nil {
		return err
	}
	got, err := send(c, r, cred, func(r *reply) ([]Decision, error) {
		if scope == account.ScopeFile && r.unknownScope() {
			return slices.Repeat([]Decision{c.noFile()}, len(list)), nil
		}
		all, named, err := r.batch(len(list), c.o.TTL)
		if err == nil && scope == account.ScopeFile && named != string(account.ScopeFile) {
			return slices.Repeat([]Decision{c.noFile()}, len(list)), nil
		}
		return all, err
	})
	if err != nil {
		return err
	}
	for n, i := range list {
		decisions[i] = got[n]
	}
	return nil
}

// batch reads the response to a POST: one verdict for each image, in their order, and the scope that it
// names.
func (r *reply) batch(n int, ttl time.Duration) (decisions []Decision, scope string, err error) {
	switch r.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil, "", errNoBatch
	}
	var all struct {
		checkVerdict
		Decisions []checkVerdict `json:"answers"`
	}
	if err := r.read(&all); err != nil {
		return nil, "", err
	}
	allowed := r.status/100 == 2
	if allowed && all.Decisions == nil {
		return nil, "", errNoBatch // the server ignores the body
	}
	if allowed && len(all.Decisions) != n {
		return nil, "", fmt.Errorf("the response has %d answers to %d requests", len(all.Decisions), n)
	}
	decisions = make([]Decision, n)
	for i := range decisions {
		v := all.checkVerdict
		if allowed {
			one := all.Decisions[i]
			v.Allow, v.StoreWide = one.Allow, one.StoreWide
		}
		a, err := v.decision(r.status, false, ttl)
		if err != nil {
			return nil, "", err
		}
		decisions[i] = a
	}
	return decisions, all.Scope, nil
}

// each sends requests one by one, to a server that does not support POST.
func (c *Central) each(ctx context.Context, cred Credential, requests []Request) ([]Decision, error) {
	decisions, errs := make([]Decision, len(requests)), make([]error, len(requests))
	turns := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range requests {
		turns <- struct{}{}
		wg.Go(func() {
			decisions[i], errs[i] = c.one(ctx, cred, &requests[i])
			<-turns
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return decisions, nil
}

// request creates a request with the credential, if there is one.
func (c *Central) request(ctx context.Context, method, path string, query url.Values, body []byte, cred Credential) (*http.Request, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the path of the central server's permission check is invalid")
	}
	r.Header.Set("Accept", "application/json")
	if id := httperr.RequestID(ctx); id != "" {
		r.Header.Set(httperr.RequestIDHeader, id)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if cred.Authorization != "" {
		r.Header.Set("Authorization", cred.Authorization)
	}
	if c.o.Cookie != "" && cred.Cookie != "" {
		r.Header.Set("Cookie", c.o.Cookie+"="+cred.Cookie)
	}
	if c.o.Cookie == CookieName && cred.Share != "" { // a central server of another kind has no share links
		r.Header.Add("Cookie", ShareCookie+"="+cred.Share)
	}
	return r, nil
}

// send sends r unless the breaker is open, and reads the response. Errors contain neither
// the URL, which may have an external id, nor the credential.
func send[T any](c *Central, r *http.Request, cred Credential, read func(*reply) (T, error)) (T, error) {
	var zero T
	ok, trial, wait := c.breaker.enter(time.Now())
	if !ok {
		return zero, &UnavailableError{RetryAfter: wait, Err: errors.New("the central server is unreachable; the next request waits for the retry interval")}
	}
	got, o, err := exchange(c, r, read)
	c.applyBreakerEvent(r.Context(), c.breaker.leave(o, c.caller(cred), trial, time.Now()), err)
	switch {
	case err == nil:
		return got, nil
	case o == good:
		return zero, err
	}
	c.logUnusable(err)
	return zero, &UnavailableError{RetryAfter: breakerPause, Err: fmt.Errorf("central server: %w", err)}
}

// exchange sends r and reads the response.
func exchange[T any](c *Central, r *http.Request, read func(*reply) (T, error)) (got T, o outcome, err error) {
	v, o, err := c.roundTrip(r)
	if err != nil {
		return got, o, err
	}
	got, err = read(&v)
	switch {
	case err == nil, errors.Is(err, errNoBatch):
		return got, good, err
	case v.status >= http.StatusInternalServerError:
		return got, failed, err
	}
	return got, unusable, err
}

// caller returns a hash that identifies a caller by the sent credentials. An attacker
// can't find collisions.
func (c *Central) caller(cred Credential) uint64 {
	if c.o.Cookie == "" {
		cred.Cookie = ""
	}
	return maphash.Comparable(c.seed, [3]string{cred.Authorization, cred.Cookie, cred.Share})
}

// applyBreakerEvent acts on an event of the breaker. It probes a suspected server without
// a credential, so that credentials of attackers can't open the breaker for others.
func (c *Central) applyBreakerEvent(ctx context.Context, e breakerEvent, err error) {
	if e == suspected {
		o := failed
		r, e2 := c.request(ctx, http.MethodGet, c.o.Path, url.Values{"scope": {string(account.ScopeTiles)}}, nil, Credential{})
		if e2 == nil {
			_, o, _ = exchange(c, r, func(r *reply) (Decision, error) {
				a, _, err := c.readDecision(r)
				return a, err
			})
		}
		e = c.breaker.settle(o, time.Now())
	}
	switch e {
	case wentDown:
		c.o.Log.Warn("central server is unreachable or gives invalid responses; only cached decisions grant access", "err", err)
		c.loggedAt.Store(time.Now().Unix())
	case cameBack:
		c.o.Log.Info("central server is reachable again")
		select {
		case c.back <- struct{}{}:
		default:
		}
	}
}

// logUnusable logs an unusable response, at most once a minute, because clients can
// provoke them.
func (c *Central) logUnusable(err error) {
	now, last := time.Now().Unix(), c.loggedAt.Load()
	if now-last >= 60 && c.loggedAt.CompareAndSwap(last, now) {
		c.o.Log.Warn("invalid response of the central server; the client gets 503", "err", err)
	}
}

// A reply is a response.
type reply struct {
	status int
	kind   string // Content-Type
	empty  bool   // declared to have no body
	body   []byte
}

// roundTrip sends r. The outcome is good if there is any response.
func (c *Central) roundTrip(r *http.Request) (reply, outcome, error) {
	resp, err := c.client.Do(r)
	if err != nil {
		o := failed
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			o = unreached
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return reply{}, o, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes+1))
	if err != nil {
		return reply{}, failed, err
	}
	if len(body) > maxResponseBytes {
		return reply{}, unusable, fmt.Errorf("the response is larger than %d bytes", maxResponseBytes)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Content-Length") == "0", body}, good, nil
}

// Back delivers a value when the server responds again.
func (c *Central) Back() <-chan struct{} { return c.back }

// RevocationsPath is where a central server lists revocations.
const RevocationsPath = "/api/v1/auth/revocations"

// Revocations requests the revocations after a number. The edge's key signs the request.
// A central server without a log of revocations returns none. An error here does not open
// the breaker.
func (c *Central) Revocations(ctx context.Context, since int64) (RevocationPage, error) {
	r, err := c.request(ctx, http.MethodGet, RevocationsPath, url.Values{"since": {strconv.FormatInt(since, 10)}}, nil, Credential{})
	if err != nil {
		return RevocationPage{}, err
	}
	Prove(r, nil, c.o.EdgeKey, time.Now())
	v, _, err := c.roundTrip(r)
	p := RevocationPage{Latest: since}
	switch {
	case err != nil:
	case v.status == http.StatusNotFound:
	case v.status != http.StatusOK:
		err = fmt.Errorf("the response to the request for revocations has status %d", v.status)
	case strictjson.UnmarshalKnown(v.body, &p) != nil:
		err = errors.New("the list of revocations is not valid JSON")
	}
	if err != nil {
		return RevocationPage{}, &UnavailableError{RetryAfter: breakerPause, Err: fmt.Errorf("central server: %w", err)}
	}
	return p, nil
}
