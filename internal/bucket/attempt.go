package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A failure is why a call failed. Its text has no key and no credentials.
type failure struct {
	class  error // ErrUnavailable, ErrDenied, …
	text   string
	code   string // of the server
	detail string // status and code, or the error of the network
	again  bool   // another attempt may succeed
	renew  bool   // the credentials may be out of date
	health health
}

// A health is what an answer says about the server.
type health int

const (
	unknown health = iota
	healthy
	unhealthy
)

// Error implements error.
func (f *failure) Error() string {
	s := f.class.Error()
	if f.text != "" {
		s += ": " + f.text
	}
	if f.detail != "" {
		s += " (" + f.detail + ")"
	}
	return s
}

// Unwrap returns the class.
func (f *failure) Unwrap() error { return f.class }

// Is reports whether target is [ErrArchived] and the object is archived.
func (f *failure) Is(target error) bool {
	return target == ErrArchived && f.code == "InvalidObjectState"
}

// bad returns the failure of an answer that does not fit its request.
func bad(text string) *failure {
	return &failure{class: ErrUnavailable, text: text, again: true, health: unhealthy}
}

// do makes attempts at a request until one succeeds, another one would not help, or the effort
// is spent. F sends one request with the context it gets; only its own failures count, those of
// the exchange are looked up there. The error is a *failure or that of ctx.
func (b *Bucket) do(ctx context.Context, k kind, f func(ctx context.Context, x *exchange) error) error {
	within := ctx
	if b.effort.total > 0 {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeoutCause(ctx, b.effort.total, errStalled)
		defer cancel()
	}
	renewed := false
	for n := 1; ; n++ {
		err := b.attempt(within, k, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fail, ok := errors.AsType[*failure](err)
		if !ok { // only the time of all attempts is over
			return &failure{class: ErrUnavailable, text: "no answer in time"}
		}
		if fail.renew && !renewed {
			renewed = true
			if b.renewal.due() {
				b.creds.Expire()
			}
		} else if !fail.again || n >= b.effort.attempts {
			return err
		}
		b.figures.retries.Add(1)
		if !sleep(within, b.effort.backoff(n)) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
}

// renewEvery is how often credentials are fetched again at most because a server refuses them:
// those of many requests are the same.
const renewEvery = 10 * time.Second

// A renewal says when credentials may be fetched again. The zero value is ready.
type renewal struct {
	mu   sync.Mutex
	last time.Time
}

func (r *renewal) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < renewEvery {
		return false
	}
	r.last = time.Now()
	return true
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt sends one request, if the limit and the breaker allow it.
func (b *Bucket) attempt(ctx context.Context, k kind, f func(ctx context.Context, x *exchange) error) error {
	if err := b.limit.acquire(ctx); err != nil {
		return err
	}
	defer b.limit.release()
	if _, ok := b.breaker.allow(); !ok {
		return &failure{class: ErrUnavailable, text: "it failed several times in a row; a request is tried once a second", again: b.effort.total == 0}
	}
	timed, end := context.WithTimeoutCause(ctx, b.effort.attempt, errStalled)
	defer end()
	within, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	x := &exchange{kind: k, stall: b.effort.stall, cancel: cancel}
	err := f(context.WithValue(within, exchangeKey{}, x), x)
	if err != nil {
		err = x.failed(ctx, err)
	}
	b.report(err)
	return err
}

// report tells the breaker what became of a request, and logs when its state changes.
func (b *Bucket) report(err error) {
	state := healthy
	if err != nil {
		state = unknown // cancelled
		if fail, ok := errors.AsType[*failure](err); ok {
			state = fail.health
		}
	}
	if state == unknown {
		return
	}
	opened, closed := b.breaker.report(state == unhealthy)
	if opened {
		b.log.Warn("a bucket is unreachable; it is tried once a second", "bucket", b.address.Bucket, "err", err)
	}
	if closed {
		b.log.Info("a bucket is reachable again", "bucket", b.address.Bucket)
	}
}

// failed returns the reason why an exchange failed. Err is the error of the library, or the
// caller's failure.
func (x *exchange) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStalled) {
		return ctx.Err()
	}
	if fail, ok := errors.AsType[*failure](err); ok {
		return fail
	}
	switch {
	case x.sent == 0:
		if ctx.Err() != nil {
			return &failure{class: ErrUnavailable, text: "no answer in time"}
		}
		return unsent(err)
	case x.err != nil:
		return x.broken(ctx)
	case x.status >= 300 || x.code != "":
		return x.refused()
	case ctx.Err() != nil:
		return &failure{class: ErrUnavailable, text: "no answer in time", health: unhealthy}
	}
	return bad("the answer is not one of an S3 server, or was cut short")
}

// unsent explains why no request was sent: there are no credentials. Errors of their providers
// may contain URLs with secrets.
func unsent(err error) *failure {
	f := &failure{class: ErrDenied, text: "the credentials cannot be read or fetched"}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		f.detail = "the host name of their server is unknown"
	case errors.As(err, &op):
		f.detail = "their server is unreachable"
	}
	return f
}

// broken explains an exchange that brought no complete answer.
func (x *exchange) broken(ctx context.Context) *failure {
	f := bad("")
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(x.err, &certificate):
		f.text, f.again = "its certificate is not valid, or of an unknown authority", false
	case errors.As(x.err, &record):
		f.text, f.again = "it does not speak TLS: is the endpoint http://?", false
	case ctx.Err() != nil, errors.Is(x.err, errStalled), errors.Is(x.err, context.Canceled), errors.Is(x.err, context.DeadlineExceeded):
		f.text = "no answer in time"
	case errors.As(x.err, &dns):
		f.text = "its host name is unknown"
		if !dns.IsNotFound {
			f.text = "its host name cannot be resolved"
		}
	case errors.As(x.err, &op) && op.Op == "dial":
		f.text = "it accepts no connection"
		f.detail = op.Err.Error()
	case errors.Is(x.err, errLong):
		f.text = errLong.Error()
	case x.status != 0:
		f.text = "the answer is not one of an S3 server, or was cut short"
	default:
		f.text = "the connection was lost"
	}
	return f
}

// denials are what the codes of refusals mean, for a person.
var denials = map[string]string{
	"RequestTimeTooSkewed":         "the clocks of this machine and of the server differ by more than 15 minutes",
	"SignatureDoesNotMatch":        "the secret key is wrong",
	"InvalidAccessKeyId":           "the access key is unknown",
	"XAdminUserNotFound":           "the access key is unknown",
	"ExpiredToken":                 "the credentials have expired",
	"InvalidToken":                 "the session token is not valid",
	"AccessDenied":                 "the credentials do not permit this",
	"NoSuchBucket":                 "there is no such bucket",
	"PermanentRedirect":            "the bucket is in another region",
	"TemporaryRedirect":            "the bucket is in another region",
	"AuthorizationHeaderMalformed": "the region is wrong",
	"InvalidRegion":                "the region is wrong",
	"InvalidPart":                  "a part was replaced or is missing",
	"EntityTooSmall":               "a part is too small",
	"NoSuchUpload":                 "there is no such upload",
	"InvalidObjectState":           "the object is archived and must be restored first",
}

// refused classifies an answer with an error.
func (x *exchange) refused() *failure {
	f := &failure{code: x.code, detail: fmt.Sprint(x.status), health: healthy}
	if x.code != "" {
		f.detail += " " + x.code
	}
	switch {
	case x.status < 300, x.status == http.StatusRequestTimeout, x.status == http.StatusTooManyRequests, x.code == "RequestTimeout",
		x.status >= 500 && x.status != http.StatusNotImplemented, x.status == http.StatusConflict && x.code == "ConditionalRequestConflict":
		f.class, f.again, f.health = ErrUnavailable, true, unhealthy
		if x.code == "SlowDown" || x.status == http.StatusTooManyRequests {
			f.text = "it is overloaded"
		}
		if x.status == http.StatusConflict {
			f.health = healthy
		}
	case x.status == http.StatusPreconditionFailed, x.status == http.StatusRequestedRangeNotSatisfiable:
		f.class, f.text = ErrChanged, ""
	case x.status == http.StatusNotFound && x.code == "NoSuchKey":
		f.class = ErrGone
	default:
		f.class = ErrDenied
		f.text = denials[x.code]
		if f.text == "" && x.status/100 == 3 {
			f.text = "the bucket is in another region or at another address"
		}
		if strings.Contains(f.text, "region") && safeRegion(x.region) {
			f.text += ": " + x.region
		}
		if x.status == http.StatusForbidden && x.code == "" { // an answer to HEAD
			f.text = denials["AccessDenied"]
		}
		f.renew = x.code == "ExpiredToken" || x.code == "InvalidAccessKeyId" || x.code == "InvalidToken" || x.code == "SignatureDoesNotMatch"
	}
	return f
}

// safeRegion reports whether s looks like a region: it is shown.
func safeRegion(s string) bool {
	return s != "" && len(s) < 40 && safeCode(strings.ReplaceAll(s, "-", "")) != ""
}
