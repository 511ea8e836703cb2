package bucket

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTime    = 2 * time.Second
	idleTime    = 90 * time.Second
	idlePerHost = 256
	maxError    = 64 << 10 // bytes of the body of an error
	maxDocument = 8 << 20  // bytes of another XML document: a page of 1,000 keys has at most 4 MB
	maxPages    = 200      // answers that make up one page
	maxElements = 64 << 10 // tags of a document: each key of a page has at most 30
)

// A kind of request, for figures and for what its answer has to look like.
type kind int

const (
	kindGet kind = iota
	kindHead
	kindList
	kindPut
	kindDelete
	kindUpload   // begin, abort, list
	kindPart     // upload or copy a part
	kindComplete // of an upload
	kindCopy
	kindRules // of the bucket
	kinds
)

var kindNames = [kinds]string{"get", "head", "list", "put", "delete", "upload", "part", "complete", "copy", "rules"}

// roots are the root elements of answers with an XML document. A proxy's page with the status
// 200 would else be a listing without keys.
var roots = map[kind][]string{
	kindList:     {"ListBucketResult"},
	kindUpload:   {"InitiateMultipartUploadResult", "ListMultipartUploadsResult", "ListPartsResult"},
	kindComplete: {"CompleteMultipartUploadResult"},
	kindCopy:     {"CopyObjectResult", "CopyPartResult"},
	kindRules:    {"VersioningConfiguration", "LifecycleConfiguration"},
}

// An exchange is one request of the library and what became of it. The library gets it in the
// context: its own errors leave too much out, and may contain keys.
type exchange struct {
	kind   kind
	stall  time.Duration
	cancel context.CancelCauseFunc // of the context of the exchange
	extra  http.Header             // conditions that the library has no options for; they are not signed

	sent   int // requests: more than one only for a page of a listing
	status int // 0 if no answer came
	code   string
	region string // of the bucket, if the answer to a wrong one has it
	header http.Header
	err    error // of the transport, or of the body
}

type exchangeKey struct{}

// errLong is the end of an answer that is longer than any of a server in order.
var errLong = errors.New("the answer is too long")

// errStalled is the cause of the end of a request that makes no progress.
var errStalled = errors.New("no answer in time")

// A transport sends the requests of the library: to no other host than the endpoint's, never
// longer than the stall time without progress, and with bounded answers.
type transport struct {
	base    *http.Transport
	figures *Figures
}

func newTransport(caFile string, figures *Figures) (*transport, error) {
	roots, err := authorities(caFile)
	if err != nil {
		return nil, err
	}
	return &transport{figures: figures, base: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: idlePerHost,
		IdleConnTimeout:     idleTime,
		DisableCompression:  true,
		WriteBufferSize:     32 << 10,
		ReadBufferSize:      32 << 10,
	}}, nil
}

// authorities returns those of the system and those of the file, or nil for the former.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate authorities of the object storage: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s contains no certificate in PEM format", file)
	}
	return pool, nil
}

func (t *transport) close() { t.base.CloseIdleConnections() }

// RoundTrip implements [http.RoundTripper]. Answers other than successes end the exchange: the
// library does not wait and try again.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok || x.sent > 0 && x.kind != kindList || x.sent >= maxPages {
		return nil, errors.New("bucket: a request that was not asked for")
	}
	cancel := x.cancel
	*x = exchange{kind: x.kind, stall: x.stall, cancel: cancel, extra: x.extra, sent: x.sent + 1}
	for name, values := range x.extra {
		req.Header[name] = values
	}
	w := &watch{x: x, figures: t.figures, began: time.Now()}
	w.timer = time.AfterFunc(x.stall, func() { cancel(errStalled) })
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{ReadCloser: req.Body, w: w}
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		x.err = err
		w.end()
		x.cancel(err)
		return nil, err
	}
	x.status, x.header = resp.StatusCode, resp.Header
	dropHeaders(resp.Header)
	resp.Body = &watchedBody{ReadCloser: resp.Body, w: w, answer: true}
	if err := x.check(resp); err != nil {
		x.err = err
		resp.Body.Close()
		x.cancel(err)
		return nil, err
	}
	if x.status >= 300 || x.code != "" {
		x.cancel(errors.New("an error as the answer")) // its body has been read
	}
	return resp, nil
}

// dropHeaders removes headers that the library parses, and whose values make it fail: proxies
// send "Expires: 0". Cookies would be sent back.
func dropHeaders(h http.Header) {
	for _, name := range []string{"Expires", "X-Minio-Source-Mtime", "X-Amz-Tagging", "X-Amz-Tagging-Count", "Set-Cookie"} {
		h.Del(name)
	}
}

// check reads the body of errors and of documents, and checks documents.
func (x *exchange) check(resp *http.Response) error {
	x.region = resp.Header.Get("X-Amz-Bucket-Region")
	want, document := roots[x.kind]
	if x.status < 300 && (!document || x.status == http.StatusNoContent) {
		return nil
	}
	limit := int64(maxDocument)
	if x.status >= 300 {
		limit = maxError
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(b))
	if x.status >= 300 {
		x.code = errorCode(b)
		if x.code == "" {
			x.code = safeCode(resp.Header.Get("X-Minio-Error-Code")) // of an answer to HEAD
		}
		return nil
	}
	if err != nil {
		return err
	}
	if int64(len(b)) > limit || bytes.Count(b, []byte("<")) > maxElements {
		return errLong
	}
	root := rootElement(b)
	if root == "Error" { // 200 is sent before the work is done
		x.code = errorCode(b)
		return nil
	}
	for _, w := range want {
		if root == w && (x.kind != kindList || bytes.Contains(b, []byte("<IsTruncated>"))) {
			return nil
		}
	}
	return errors.New("the answer is not one of an S3 server")
}

// rootElement returns the name of the first element of a document.
func rootElement(b []byte) string {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		t, err := d.RawToken()
		if err != nil {
			return ""
		}
		if start, ok := t.(xml.StartElement); ok {
			return start.Name.Local
		}
	}
}

// errorCode returns the code of an error document, or "".
func errorCode(b []byte) string {
	var e struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	if xml.Unmarshal(b, &e) != nil {
		return ""
	}
	return safeCode(e.Code)
}

// safeCode returns a code as it is if it looks like one: it is shown.
func safeCode(s string) string {
	if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
	}) {
		return ""
	}
	return s
}

// A watch ends a request that makes no progress, and counts it when it is done.
type watch struct {
	x       *exchange
	figures *Figures
	timer   *time.Timer
	began   time.Time
	bytes   atomic.Int64
	once    sync.Once
}

// progress starts the time again.
func (w *watch) progress(n int) {
	if n > 0 {
		w.bytes.Add(int64(n))
		w.timer.Reset(w.x.stall)
	}
}

func (w *watch) end() {
	w.once.Do(func() {
		w.timer.Stop()
		w.figures.request(w.x.kind, w.x.status, w.bytes.Load(), time.Since(w.began))
	})
}

// A watchedBody is a body of a request or an answer.
type watchedBody struct {
	io.ReadCloser
	w      *watch
	answer bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.w.progress(n)
	if err != nil && b.answer {
		b.w.end()
	}
	return n, err
}

func (b *watchedBody) Close() error {
	if b.answer {
		b.w.end()
	}
	return b.ReadCloser.Close()
}
