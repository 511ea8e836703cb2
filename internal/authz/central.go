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
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// CheckPath is where a central server is asked.
const CheckPath = "/api/v1/auth/check"

// maxResponseBytes bounds what is read of a response.
const maxResponseBytes = 1 << 20

// CentralOptions say which central server is asked and how.
type CentralOptions struct {
	// URL is its base, "https://central.example.org". Without TLS it must be of this
	// machine, as credentials are sent there.
	URL string
	// Insecure lets credentials travel without TLS, as within a network of containers.
	Insecure bool
	// Path of the check, [CheckPath] if empty.
	Path string
	// Cookie is the name of the one cookie that is passed on; none is if empty.
	Cookie string
	// Roots are the authorities whose certificates are believed, the system's if nil.
	Roots *x509.CertPool
	// Certificate, if not nil, is shown to the server.
	Certificate *tls.Certificate
	// Timeout bounds one request, 5 seconds if 0.
	Timeout time.Duration
	// TTL is how long a decision may be cached that does not say so, 1 minute if 0.
	TTL time.Duration
	// EdgeKey is [account.EdgeKey] of the secret that the central server has given this edge.
	EdgeKey []byte
	// Wrap, if not nil, makes the transport of requests one that is observed.
	Wrap func(http.RoundTripper) http.RoundTripper
	Log  *slog.Logger
}

// Central is the authorizer of an edge: another server, which it asks by HTTP. It
// decisions [ErrUnavailable] whenever that one does not answer as it should.
type Central struct {
	o        CentralOptions
	base     *url.URL
	client   *http.Client
	breaker  breaker
	seed     maphash.Seed // of the hashes of credentials
	single   atomic.Bool  // the server knows no POST
	loggedAt atomic.Int64 // when the log was last told of a response that can't be used, in seconds of the Unix epoch
	back     chan struct{}
}

// NewCentral returns an authorizer that asks the server at o.URL.
func NewCentral(o CentralOptions) (*Central, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("authz: the central server's URL is like https://central.example.org and nothing more")
	}
	if base.Scheme == "http" && !o.Insecure && !LocalHost(base.Host) {
		return nil, fmt.Errorf("authz: the central server %s is to be asked without TLS, and everybody on the way could read passwords and tokens: give its https URL", base.Host)
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
			// A redirect would take the credential to who knows where.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close ends connections that are not in use.
func (c *Central) Close() { c.client.CloseIdleConnections() }

// checkVerdict is the body of the server's answer to one request.
type checkVerdict struct {
	Allow     *bool    `json:"allow"`
	User      *User    `json:"user"`
	TTL       *float64 `json:"ttl"` // seconds
	StoreWide bool     `json:"store_wide"`
	Session   string   `json:"session"`
	Token     string   `json:"token"`
}

// Check asks one request by GET, more by POST.
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
			if err == nil { // else it may be this credential that it does not take
				c.single.Store(true)
			}
			return got, err
		}
	}
	return decisions, nil
}

// one asks a request by GET.
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
	return send(c, r, cred, c.readDecision)
}

// readDecision reads the decision to a GET.
func (c *Central) readDecision(r *reply) (Decision, error) {
	var v checkVerdict
	if err := r.read(&v); err != nil {
		return Decision{}, err
	}
	return v.decision(r.status, len(r.body) == 0, c.o.TTL)
}

// decision is what the server said with a status. Of a server that says it with the
// status alone, as for nginx's auth_request, the body is empty.
func (v *checkVerdict) decision(status int, empty bool, ttl time.Duration) (Decision, error) {
	a := Decision{Status: status, TTL: ttl, StoreWide: v.StoreWide, Session: v.Session, Token: v.Token}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
	case empty:
		a.Allow, a.Status = true, http.StatusOK
	case v.Allow == nil:
		return Decision{}, errors.New(`it answered 200 with a body without "allow"`)
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
// 204 means yes, and so does 200 that says itself that there is none: any other empty
// body may be a response that was cut off.
func (r *reply) read(into any) error {
	refused := r.status == http.StatusUnauthorized || r.status == http.StatusForbidden
	switch {
	case r.status == http.StatusNoContent:
		return nil
	case !refused && r.status != http.StatusOK:
		return fmt.Errorf("it answered %d", r.status)
	case len(r.body) == 0 && !refused && !r.empty:
		return errors.New("it answered 200 without a body and without Content-Length: 0: the answer may have been cut off")
	case len(r.body) == 0:
		return nil
	}
	err := r.decode(into)
	if refused {
		return nil // without JSON it is a page or a problem, for people
	}
	return err
}

// decode reads a body of JSON.
func (r *reply) decode(into any) error {
	if kind, _, err := mime.ParseMediaType(r.kind); err != nil || kind != "application/json" {
		return fmt.Errorf("it answered %d with a body of type %.60q: is this the address of the check?", r.status, r.kind)
	}
	if err := strictjson.UnmarshalKnown(r.body, into); err != nil {
		return fmt.Errorf("it answered %d with a body that is no JSON as expected: %w", r.status, err)
	}
	return nil
}

var errNoBatch = errors.New("authz: the central server answers no POST")

// many asks requests of one scope by POST.
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
	got, err := send(c, r, cred, func(r *reply) ([]Decision, error) { return r.batch(len(list), c.o.TTL) })
	if err != nil {
		return err
	}
	for n, i := range list {
		decisions[i] = got[n]
	}
	return nil
}

// batch reads the decision to a POST: one verdict for each image, in their order.
func (r *reply) batch(n int, ttl time.Duration) ([]Decision, error) {
	switch r.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil, errNoBatch
	}
	var all struct {
		checkVerdict
		Decisions []checkVerdict `json:"answers"`
	}
	if err := r.read(&all); err != nil {
		return nil, err
	}
	allowed := r.status/100 == 2
	if allowed && all.Decisions == nil {
		return nil, errNoBatch // it does not look at the body
	}
	if allowed && len(all.Decisions) != n {
		return nil, fmt.Errorf("it gave %d answers to %d questions", len(all.Decisions), n)
	}
	decisions := make([]Decision, n)
	for i := range decisions {
		v := all.checkVerdict
		if allowed {
			one := all.Decisions[i]
			v.Allow, v.StoreWide = one.Allow, one.StoreWide
		}
		a, err := v.decision(r.status, false, ttl)
		if err != nil {
			return nil, err
		}
		decisions[i] = a
	}
	return decisions, nil
}

// each asks one by one, of a server that knows no POST.
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

// request makes a request that carries the credential, if there is one.
func (c *Central) request(ctx context.Context, method, path string, query url.Values, body []byte, cred Credential) (*http.Request, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("authz: the central server's address is malformed")
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
	return r, nil
}

// send sends r unless the server is to be spared, and reads the response. Errors hold
// neither the address, in which an external id may be, nor any of the credential.
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

// caller tells callers apart by what is sent of their credentials. An attacker can't find
// two that look the same.
func (c *Central) caller(cred Credential) uint64 {
	if c.o.Cookie == "" {
		cred.Cookie = ""
	}
	return maphash.Comparable(c.seed, [2]string{cred.Authorization, cred.Cookie})
}

// applyBreakerEvent draws the conclusion from an event of the breaker. A suspected server is asked
// with no credential at all, so that those of strangers can't close it to others.
func (c *Central) applyBreakerEvent(ctx context.Context, e breakerEvent, err error) {
	if e == suspected {
		o := failed
		r, e2 := c.request(ctx, http.MethodGet, c.o.Path, url.Values{"scope": {string(account.ScopeTiles)}}, nil, Credential{})
		if e2 == nil {
			_, o, _ = exchange(c, r, c.readDecision)
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

// logUnusable logs a response that can't be used, at most once a minute: strangers can
// provoke them.
func (c *Central) logUnusable(err error) {
	now, last := time.Now().Unix(), c.loggedAt.Load()
	if now-last >= 60 && c.loggedAt.CompareAndSwap(last, now) {
		c.o.Log.Warn("invalid response of the central server; the client gets 503", "err", err)
	}
}

// A reply is the response to a request.
type reply struct {
	status int
	kind   string // Content-Type
	empty  bool   // it says itself that it has no body
	body   []byte
}

// roundTrip sends r. The outcome is good if there is a response, whatever it is.
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
		return reply{}, unusable, fmt.Errorf("its response is larger than %d bytes", maxResponseBytes)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Content-Length") == "0", body}, good, nil
}

// Back delivers when the server answers again.
func (c *Central) Back() <-chan struct{} { return c.back }

// RevocationsPath is where a central server lists revocations.
const RevocationsPath = "/api/v1/auth/revocations"

// Revocations asks the central server for those after a number. The request is proved by the
// edge's key. A central server that keeps no log of them has none. That they can't be had says
// nothing of whether requests are answered.
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
		err = fmt.Errorf("it answered %d when asked for revocations", v.status)
	case strictjson.UnmarshalKnown(v.body, &p) != nil:
		err = errors.New("its list of revocations is not valid JSON")
	}
	if err != nil {
		return RevocationPage{}, &UnavailableError{RetryAfter: breakerPause, Err: fmt.Errorf("central server: %w", err)}
	}
	return p, nil
}
