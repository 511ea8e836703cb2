package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/web"
)

// CheckPath is where a central server is asked.
const CheckPath = "/api/v1/auth/check"

// answerBytes bounds what is read of an answer.
const answerBytes = 1 << 20

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
	// TTL is how long an answer may be remembered that does not say so, 1 minute if 0.
	TTL time.Duration
	// EdgeKey is [account.EdgeKey] of the secret that the centre has given this edge.
	EdgeKey []byte
	// Wrap, if not nil, makes the transport of requests one that is observed.
	Wrap func(http.RoundTripper) http.RoundTripper
	Log  *slog.Logger
}

// Central is the authority of an edge: another server, which it asks by HTTP. It
// answers [ErrUnavailable] whenever that one does not answer as it should.
type Central struct {
	o       CentralOptions
	base    *url.URL
	client  *http.Client
	breaker breaker
	single  atomic.Bool // the server knows no POST
	back    chan struct{}
}

// NewCentral returns an authority that asks the server at o.URL.
func NewCentral(o CentralOptions) (*Central, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.User != nil {
		return nil, errors.New("auth: the central server's URL is like https://central.example.org and nothing more")
	}
	if base.Scheme == "http" && !o.Insecure && !LocalHost(base.Host) {
		return nil, fmt.Errorf("auth: the central server %s is to be asked without TLS, and everybody on the way could read passwords and tokens: give its https URL", base.Host)
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
		o: o, base: base, back: make(chan struct{}, 1),
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

// verdict is the body of the server's answer to one question.
type verdict struct {
	Allow     *bool    `json:"allow"`
	User      *User    `json:"user"`
	TTL       *float64 `json:"ttl"` // seconds
	StoreWide bool     `json:"store_wide"`
	Session   string   `json:"session"`
	Token     string   `json:"token"`
}

// Check asks one question by GET, more by POST.
func (c *Central) Check(ctx context.Context, cred Credential, questions []Question) ([]Answer, error) {
	if len(questions) == 1 {
		a, err := c.one(ctx, cred, &questions[0])
		return []Answer{a}, err
	}
	if c.single.Load() {
		return c.each(ctx, cred, questions)
	}
	answers := make([]Answer, len(questions))
	byScope := map[account.Scope][]int{}
	for i, q := range questions {
		byScope[q.Scope] = append(byScope[q.Scope], i)
	}
	for scope, list := range byScope {
		if err := c.many(ctx, cred, scope, questions, list, answers); err != nil {
			if errors.Is(err, errNoBatch) {
				c.single.Store(true)
				return c.each(ctx, cred, questions)
			}
			return nil, err
		}
	}
	return answers, nil
}

// one asks a question by GET.
func (c *Central) one(ctx context.Context, cred Credential, q *Question) (Answer, error) {
	query := url.Values{"scope": {string(q.Scope)}}
	for k, v := range map[string]string{"store": q.Store, "image": q.Image, "external_id": q.ExternalID} {
		if v != "" {
			query.Set(k, v)
		}
	}
	r, err := c.request(ctx, http.MethodGet, c.o.Path, query, nil, cred)
	if err != nil {
		return Answer{}, err
	}
	return send(c, r, func(status int, kind string, body []byte) (Answer, error) {
		var v verdict
		if err := read(status, kind, body, &v); err != nil {
			return Answer{}, err
		}
		return v.answer(status, len(body) == 0, c.o.TTL)
	})
}

// answer is what the server said with a status. Of a server that says it with the
// status alone, as for nginx's auth_request, the body is empty.
func (v *verdict) answer(status int, empty bool, ttl time.Duration) (Answer, error) {
	a := Answer{Status: status, TTL: ttl, StoreWide: v.StoreWide, Session: v.Session, Token: v.Token}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
	case empty:
		a.Allow, a.Status = true, http.StatusOK
	case v.Allow == nil:
		return Answer{}, errors.New(`it answered 200 with a body without "allow"`)
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

// read reads the body of 200, 401 or 403; any other status is an error.
func read(status int, kind string, body []byte, into any) error {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	switch {
	case !refused && status/100 != 2:
		return fmt.Errorf("it answered %d", status)
	case len(body) == 0:
		return nil
	case !strings.HasPrefix(kind, "application/json"):
		if refused {
			return nil // a page or a problem, for people
		}
		return fmt.Errorf("it answered %d with a body of type %.60q: is this the address of the check?", status, kind)
	}
	if err := strictjson.UnmarshalKnown(body, into); err != nil {
		if refused {
			return nil
		}
		return fmt.Errorf("it answered %d with a body that is no JSON as expected", status)
	}
	return nil
}

var errNoBatch = errors.New("auth: the central server answers no POST")

// many asks questions of one scope by POST.
func (c *Central) many(ctx context.Context, cred Credential, scope account.Scope, questions []Question, list []int, answers []Answer) error {
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
		q := &questions[i]
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
	got, err := send(c, r, func(status int, kind string, body []byte) ([]Answer, error) {
		switch status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return nil, errNoBatch
		}
		return batch(status, kind, body, len(list), c.o.TTL)
	})
	if err != nil {
		return err
	}
	for n, i := range list {
		answers[i] = got[n]
	}
	return nil
}

// batch reads the answer to a POST: one verdict for each image, in their order.
func batch(status int, kind string, body []byte, n int, ttl time.Duration) ([]Answer, error) {
	var all struct {
		verdict
		Answers []verdict `json:"answers"`
	}
	if err := read(status, kind, body, &all); err != nil {
		return nil, err
	}
	if status/100 == 2 && all.Answers == nil {
		return nil, errNoBatch // it does not look at the body
	}
	if status/100 == 2 && len(all.Answers) != n {
		return nil, fmt.Errorf("it gave %d answers to %d questions", len(all.Answers), n)
	}
	answers := make([]Answer, n)
	for i := range answers {
		v := all.verdict
		if status/100 == 2 {
			one := all.Answers[i]
			v.Allow, v.StoreWide = one.Allow, one.StoreWide
		}
		a, err := v.answer(status, false, ttl)
		if err != nil {
			return nil, err
		}
		answers[i] = a
	}
	return answers, nil
}

// each asks one by one, of a server that knows no POST.
func (c *Central) each(ctx context.Context, cred Credential, questions []Question) ([]Answer, error) {
	answers, errs := make([]Answer, len(questions)), make([]error, len(questions))
	turns := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range questions {
		turns <- struct{}{}
		wg.Go(func() {
			answers[i], errs[i] = c.one(ctx, cred, &questions[i])
			<-turns
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// request makes a request that carries the credential, if there is one.
func (c *Central) request(ctx context.Context, method, path string, query url.Values, body []byte, cred Credential) (*http.Request, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("auth: the central server's address is malformed")
	}
	r.Header.Set("Accept", "application/json")
	if id := web.RequestID(ctx); id != "" {
		r.Header.Set(web.RequestIDHeader, id)
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

// send sends r unless the server is to be spared, and reads the answer. Errors hold
// neither the address, in which an external id may be, nor any of the credential.
func send[T any](c *Central, r *http.Request, read func(status int, kind string, body []byte) (T, error)) (T, error) {
	var zero T
	ok, wait := c.breaker.enter(time.Now())
	if !ok {
		return zero, &UnavailableError{RetryAfter: wait, Err: errors.New("the central server does not answer; it is not asked for a while")}
	}
	v, err := c.roundTrip(r)
	var got T
	if err == nil {
		got, err = read(v.status, v.kind, v.body)
	}
	good := err == nil || errors.Is(err, errNoBatch)
	gone, back := c.breaker.leave(good, time.Now())
	if gone {
		c.o.Log.Warn("the central server does not answer as it should: only answers that are remembered let anybody in", "err", err)
	}
	if back {
		c.o.Log.Info("the central server answers again")
		select {
		case c.back <- struct{}{}:
		default:
		}
	}
	if err != nil {
		if good {
			return zero, err
		}
		return zero, &UnavailableError{RetryAfter: breakerPause, Err: fmt.Errorf("central server: %w", err)}
	}
	return got, nil
}

type reply struct {
	status int
	kind   string
	body   []byte
}

func (c *Central) roundTrip(r *http.Request) (reply, error) {
	resp, err := c.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes+1))
	if err != nil {
		return reply{}, err
	}
	if len(body) > answerBytes {
		return reply{}, fmt.Errorf("its answer has more than %d bytes", answerBytes)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), body}, nil
}

// Back delivers when the server answers again.
func (c *Central) Back() <-chan struct{} { return c.back }

// RevocationsPath is where a centre lists revocations.
const RevocationsPath = "/api/v1/auth/revocations"

// Revocations asks the centre for those after a number. The request is proved by the
// edge's key. A centre that keeps no log of them has none. That they can't be had says
// nothing of whether questions are answered.
func (c *Central) Revocations(ctx context.Context, since int64) (RevocationPage, error) {
	r, err := c.request(ctx, http.MethodGet, RevocationsPath, url.Values{"since": {strconv.FormatInt(since, 10)}}, nil, Credential{})
	if err != nil {
		return RevocationPage{}, err
	}
	Prove(r, nil, c.o.EdgeKey, time.Now())
	v, err := c.roundTrip(r)
	p := RevocationPage{Latest: since}
	switch {
	case err != nil:
	case v.status == http.StatusNotFound:
	case v.status != http.StatusOK:
		err = fmt.Errorf("it answered %d when asked for revocations", v.status)
	case strictjson.UnmarshalKnown(v.body, &p) != nil:
		err = errors.New("its list of revocations is no JSON as expected")
	}
	if err != nil {
		return RevocationPage{}, &UnavailableError{RetryAfter: breakerPause, Err: fmt.Errorf("central server: %w", err)}
	}
	return p, nil
}
