package fasthttp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

const (
	// readTime limits the time for the head and the body of a request together.
	readTime = 10 * time.Second
	// smallBody is the largest body, in bytes, for which no memory is reserved: every
	// connection may have one.
	smallBody = 4 << 10
	// largeBody is the largest body, in bytes. Only lists of revocations are as large.
	largeBody = 1 << 20
	// bodyHold is how long memory is reserved for a large body: long enough for it to
	// arrive, to wait and to be processed.
	bodyHold = 3 * readTime
	// drainTime and drainBytes limit what is read of a body that is too large. Closing
	// the connection with unread bytes would lose the answer.
	drainTime  = time.Second
	drainBytes = 256 << 10
)

const badAddress = "The address of the request is malformed: % must be followed by two hexadecimal digits."

var (
	errAddress = &httperr.Error{Status: http.StatusBadRequest, Detail: badAddress}
	errMemory  = &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server has too many answers in memory. Try again.", RetryAfter: 1}
)

// malformed reports whether the path of a URL has a malformed escape, which net/http
// rejects and fasthttp accepts.
func malformed(uri []byte) bool {
	for {
		i := bytes.IndexByte(uri, '%')
		if i < 0 || bytes.IndexByte(uri[:i], '?') >= 0 {
			return false
		}
		if len(uri) < i+3 || !hexDigit(uri[i+1]) || !hexDigit(uri[i+2]) {
			return true
		}
		uri = uri[i+3:]
	}
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// bodyLimit returns the limit of the body of a request.
func (s *server) bodyLimit(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	if !h.IsPost() || !bytes.HasPrefix(h.RequestURI(), []byte(authz.RevokePath)) {
		return c
	}
	n := h.ContentLength()
	if n < 0 { // no Content-Length
		n = largeBody
	}
	if n <= smallBody || n > largeBody {
		return c
	}
	if s.Hold != nil {
		release, ok := s.Hold(int64(n))
		if !ok {
			return c
		}
		time.AfterFunc(bodyHold, release) // fasthttp does not tell when the body has been processed
	}
	c.MaxRequestBodySize = n
	return c
}

// other answers requests that are not for tiles.
func (s *server) other(ctx *fasthttp.RequestCtx) {
	if _, err := url.ParseRequestURI(text(ctx.Request.Header.RequestURI())); err != nil {
		s.fail(ctx, errAddress)
		return
	}
	s.next(ctx)
	if s.Hold == nil || ctx.Response.IsBodyStream() {
		return
	}
	n := len(ctx.Response.Body())
	if n <= smallBody {
		return
	}
	release, ok := s.Hold(int64(n))
	if !ok {
		ctx.Response.Reset()
		s.crossOrigin(ctx)
		s.fail(ctx, errMemory)
		return
	}
	ctx.SetUserValue(holdKey, closer(release))
}

const holdKey = "hold"

// A closer is a function that fasthttp calls when it has sent the response.
type closer func()

// Close implements [io.Closer].
func (c closer) Close() error {
	c()
	return nil
}

// unreadable answers a request that is malformed, too large or too slow.
func (s *server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	status, detail := http.StatusBadRequest, "The request cannot be read: it is not HTTP/1.1 or has a malformed address or header."
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		status, detail = http.StatusRequestHeaderFieldsTooLarge, "The head of the request, its address and headers, is larger than 8 KB."
	} else if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		status, detail = http.StatusRequestTimeout, "The request took too long to arrive. Try again."
	} else if errors.Is(err, fasthttp.ErrBodyTooLarge) {
		status, detail = http.StatusRequestEntityTooLarge, "The body of the request is larger than is needed here."
		c := ctx.Conn()
		c.SetReadDeadline(time.Now().Add(drainTime)) // or it is drained for less
		io.CopyN(io.Discard, c, drainBytes)          // until its end, or ours
	}
	s.crossOrigin(ctx)
	s.problem(ctx, requestID(ctx), tile.Problem{Status: status, Detail: detail})
	ctx.Response.SkipBody = ctx.IsHead()
}
