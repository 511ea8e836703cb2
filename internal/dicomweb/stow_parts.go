package dicomweb

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// parts are the instances in the body of a request, as they arrive.
type parts struct {
	body   *slowBody
	multi  *multipart.Reader // nil for one instance
	served bool              // that instance was returned
}

// A part is one of them.
type part struct {
	io.Reader
	other bool // of another media type
}

// errLastPart reports that all parts were read.
var errLastPart = errors.New("no further part")

// errBody reports that the rest of a body cannot be read.
var errBody = &httperr.Error{Status: http.StatusBadRequest, Detail: "The connection was interrupted, or the body is not multipart/related as its header says."}

// errSlow reports a client that sends almost nothing.
var errSlow = &httperr.Error{Status: http.StatusRequestTimeout, Detail: "Almost no data arrived for a long time."}

// maxBoundary limits the boundary in bytes. RFC 2046 section 5.1.1 allows 70; Orthanc sends 73.
const maxBoundary = 256

// newParts checks the media type of a request: multipart/related with parts of application/dicom,
// or one instance.
func newParts(r *http.Request) (*parts, error) {
	name, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Content-Type") == "", err == nil && name != typeRelated && name != typeDICOM:
		return nil, unsupportedType("")
	case err != nil:
		return nil, badRequest("The header Content-Type cannot be read.")
	case r.Header.Get("Content-Encoding") != "":
		return nil, unsupportedType(" without Content-Encoding")
	}
	p := &parts{body: &slowBody{r: r.Body}}
	if name == typeDICOM {
		return p, nil
	}
	if t := params["type"]; t != "" && !isDICOMType(t) {
		return nil, unsupportedType("")
	}
	if n := len(params["boundary"]); n == 0 || n > maxBoundary {
		return nil, badRequest("The header Content-Type has no boundary, or a very long one.")
	}
	p.multi = multipart.NewReader(p.body, params["boundary"])
	return p, nil
}

// isDICOMType reports whether a media type, with or without parameters, is that of Part 10 files.
func isDICOMType(t string) bool {
	name, _, _ := strings.Cut(t, ";")
	return strings.EqualFold(strings.TrimSpace(name), typeDICOM)
}

func unsupportedType(how string) error {
	return &httperr.Error{Status: http.StatusUnsupportedMediaType, Detail: `Send instances as multipart/related; type="application/dicom", or one as application/dicom` + how + "."}
}

// next returns the next part, and passes the rest of the one before. The error may be errLastPart.
func (p *parts) next() (*part, error) {
	if p.multi == nil {
		if p.served {
			return nil, errLastPart
		}
		p.served = true
		return &part{Reader: p.body}, nil
	}
	one, err := p.multi.NextRawPart()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errLastPart
	case err != nil:
		return nil, err
	}
	t := one.Header.Get("Content-Type")
	return &part{Reader: one, other: t != "" && !isDICOMType(t)}, nil
}

// minRate is the minimum rate of a client in bytes per second, measured over the idle time: slower
// clients would occupy the limited slots.
const minRate = 1 << 10

// A slowBody is a body whose client must not stop sending.
type slowBody struct {
	r    io.Reader
	conn *http.ResponseController
	idle time.Duration
	from time.Time // start of the measurement of the rate
	got  int64     // bytes since then
	slow bool
	promise
}

// A promise is the rest of the bytes that a request has announced, of those of all requests.
type promise struct {
	left int64
	of   *atomic.Int64
}

// keep takes bytes off a promise.
func (p *promise) keep(n int64) {
	n = min(n, p.left)
	p.left -= n
	p.of.Add(-n)
}

// start starts the limits, before the body is read.
func (b *slowBody) start(w http.ResponseWriter, idle time.Duration, p promise) {
	b.conn, b.idle, b.from, b.promise = http.NewResponseController(w), idle, time.Now(), p
}

// stop removes the deadline: passing it would close the connection.
func (b *slowBody) stop() {
	b.keep(b.left)
	b.conn.SetReadDeadline(time.Time{}) //nolint:errcheck // recorders in tests have no deadlines
}

// Read implements [io.Reader].
func (b *slowBody) Read(p []byte) (int, error) {
	now := time.Now()
	if d := now.Sub(b.from); d > b.idle {
		if b.got < int64(d/time.Second)*minRate {
			b.slow = true
			return 0, errSlow
		}
		b.from, b.got = now, 0
	}
	b.conn.SetReadDeadline(now.Add(b.idle)) //nolint:errcheck // see stop
	n, err := b.r.Read(p)
	b.got += int64(n)
	b.keep(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.slow = true
	}
	return n, err
}

// why returns the error for the client when the body could not be read on.
func (b *slowBody) why(err error) error {
	if public, ok := errors.AsType[*httperr.Error](err); ok {
		return public
	}
	if b.slow {
		return errSlow
	}
	return errBody
}
