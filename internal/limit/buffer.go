package limit

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

const (
	// maxBody is the largest body of a request that is not an upload.
	maxBody = 1 << 20
	// maxAnswer is the largest answer that is buffered until its slot is free. A larger
	// one, of which no route is known, keeps its slot while it is sent.
	maxAnswer = 16 << 20
	// bodyTime is how long the body of a request may take as a whole.
	bodyTime = 30 * time.Second
	// sendTime is how long an answer may take as a whole, beside a second for each
	// sendRate bytes.
	sendTime = 30 * time.Second
	sendRate = 32 << 10
)

// A Buffer keeps slow clients from holding slots: the body of a request is complete before
// the request takes a slot, and its answer is sent after the slot is free again. Both take
// their memory from a budget.
type Buffer struct {
	Budget   *Budget
	BodyTime time.Duration // for a body as a whole, 30 s if 0
	SendTime time.Duration // for an answer as a whole, or a part of a streamed one, 30 s if 0
	SendRate int           // bytes for which an answer gets another second, 32 KiB if 0
}

// Handler serves by next the requests that get a slot of the limiter; a nil one does not
// limit.
func (b *Buffer) Handler(limiter *RequestLimiter, next http.Handler) http.Handler {
	return b.handler(limiter, next, false)
}

// Streamed is Handler for answers that may be too large for memory. With the first Flush the
// slot is free again. From then on the answer is sent as it is written, and each Write takes
// its memory from the budget until the client has received it; its error ends the answer.
func (b *Buffer) Streamed(limiter *RequestLimiter, next http.Handler) http.Handler {
	return b.handler(limiter, next, true)
}

func (b *Buffer) handler(limiter *RequestLimiter, next http.Handler, streamed bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := connInfoOf(r)
		h := b.Budget.open(at)
		if h == nil {
			refuse(w, r, errMemory)
			return
		}
		defer h.close()
		size, problem := b.receive(w, r, h)
		if problem != nil {
			w.Header().Set("Connection", "close") // the rest of the body is not waited for
			refuse(w, r, problem)
			return
		}
		a := &answer{w: w, header: w.Header().Clone(), hold: h, beside: size, streamed: streamed, sendTime: cmp.Or(b.SendTime, sendTime), sendRate: cmp.Or(b.SendRate, sendRate)}
		if !a.run(limiter, next, r) {
			refuse(w, r, errBusy)
			return
		}
		at.startWait()
		defer at.endWait()
		a.send(r)
	})
}

// refuse answers with why a request is not served. It is not logged, so that a flood does
// not fill the disk.
func refuse(w http.ResponseWriter, r *http.Request, e *httperr.Error) {
	httperr.WriteProblem(w, r, e.Status, e.Detail, e.RetryAfter)
}

// Static serves answers by next that are in memory and need no slot.
func Static(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := connInfoOf(r)
		at.startWait()
		defer at.endWait()
		next.ServeHTTP(w, r)
	})
}

var (
	errBusy   = &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server has more to do than it can. Try again.", RetryAfter: retryAfter}
	errMemory = &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server has as many requests and answers in memory as it can hold. Try again.", RetryAfter: retryAfter}
	errLarge  = &httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: "The body of the request is larger than 1 MB."}
	errSlow   = &httperr.Error{Status: http.StatusRequestTimeout, Detail: "The body of the request took too long to arrive. Try again."}
	errCutOff = &httperr.Error{Status: http.StatusBadRequest, Detail: "The request ended before its body did."}
)

// receive reads the body of r completely and returns what memory it takes, or why not.
func (b *Buffer) receive(w http.ResponseWriter, r *http.Request, h *hold) (int, *httperr.Error) {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return 0, nil
	}
	if r.ContentLength > maxBody {
		return 0, errLarge
	}
	c := http.NewResponseController(w)
	end := time.Now().Add(cmp.Or(b.BodyTime, bodyTime))
	if idle, ok := r.Body.(*body); ok {
		idle.end = end // or each read would extend the deadline
	}
	c.SetReadDeadline(end) // not supported by the recorders of tests
	h.connInfo.startWait()
	data, problem := readBody(r, h)
	h.connInfo.endWait()
	if problem != nil {
		return 0, problem
	}
	c.SetReadDeadline(time.Time{}) // the server reads on to see whether the client is still there
	r.Body = io.NopCloser(bytes.NewReader(data))
	return cap(data), nil
}

// readBody reserves memory as the bytes arrive, so that a client that only announces a large
// body occupies none.
func readBody(r *http.Request, h *hold) ([]byte, *httperr.Error) {
	size := int64(4 << 10)
	if r.ContentLength > 0 {
		size = min(size, r.ContentLength+1) // one more to see its end
	}
	data := make([]byte, 0, size)
	for {
		if len(data) == cap(data) {
			size = min(2*size, maxBody+1)
			if !h.fit(size) {
				return nil, errMemory
			}
			data = append(make([]byte, 0, size), data...)
		}
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > maxBody:
			return nil, errLarge
		case errors.Is(err, io.EOF):
			return data, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errSlow
		case err != nil:
			return nil, errCutOff
		}
	}
}

// An answer is buffered until it is complete. It has no Unwrap, so that handlers cannot
// bypass it.
type answer struct {
	w       http.ResponseWriter
	header  http.Header
	status  int // 0 until it is known
	body    []byte
	hold    *hold
	beside  int  // bytes of the request's body, of the same hold
	through bool // it goes to the client as it is written
	short   bool // there was no memory for it

	streamed bool          // it gives back its slot when it begins
	leave    func()        // gives back the slot; nil without one
	sendTime time.Duration // for an answer, or a part of a streamed one
	sendRate int           // bytes
}

// run has next write the answer while it has a slot, and reports whether it got one.
func (a *answer) run(limiter *RequestLimiter, next http.Handler, r *http.Request) bool {
	if limiter != nil {
		if !limiter.enter(r) {
			return false
		}
		a.leave = sync.OnceFunc(limiter.leave)
		defer a.leave()
	}
	next.ServeHTTP(a, r)
	return true
}

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements [io.Writer].
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	switch need := len(a.body) + len(b); {
	case a.short:
		return len(b), nil // the handler need not know: the client gets an error in the end
	case a.through && a.streamed:
		return a.sendPart(b)
	case !a.through && need > maxAnswer:
		if err := a.start(); err != nil {
			return 0, err
		}
		return a.Write(b)
	case a.through:
		return a.w.Write(b)
	case need > cap(a.body) && !a.grow(need):
		a.short, a.body = true, nil
		return len(b), nil
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// grow allocates space for need bytes in all. Most answers are written at once.
func (a *answer) grow(need int) bool {
	size := max(need, min(2*cap(a.body), maxAnswer))
	if !a.hold.fit(int64(a.beside + size)) {
		return false
	}
	a.body = append(make([]byte, 0, size), a.body...)
	return true
}

// sendPart sends a part of a streamed answer.
func (a *answer) sendPart(b []byte) (int, error) {
	const piece = 1 << 20 // a client that takes one in time is not slow
	if !a.hold.fit(int64(a.beside + len(b))) {
		return 0, errMemory
	}
	defer a.hold.shrink(int64(a.beside))
	c, at := http.NewResponseController(a.w), a.hold.connInfo
	defer at.endWait()
	defer c.SetWriteDeadline(time.Time{}) //nolint:errcheck // as below
	total := 0
	for len(b) > 0 {
		part := b[:min(len(b), piece)]
		at.startWait()
		c.SetWriteDeadline(time.Now().Add(a.sendTime + time.Duration(len(part)/a.sendRate)*time.Second)) // not supported by the recorders of tests
		n, err := a.w.Write(part)
		if total += n; err != nil {
			return total, err
		}
		b = b[len(part):]
	}
	return total, nil
}

// FlushError sends what is buffered. From then on the answer is sent as it is written. It
// keeps its slot, unless it is streamed.
func (a *answer) FlushError() error {
	if a.short {
		return errMemory
	}
	if !a.through {
		a.WriteHeader(http.StatusOK)
		if err := a.start(); err != nil {
			return err
		}
	}
	return http.NewResponseController(a.w).Flush()
}

// SetReadDeadline does nothing: the body is already in memory.
func (a *answer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is kept only once bytes go to the client.
func (a *answer) SetWriteDeadline(t time.Time) error {
	if !a.through {
		return nil
	}
	return http.NewResponseController(a.w).SetWriteDeadline(t)
}

// start begins an answer that is not complete yet.
func (a *answer) start() error {
	if !a.streamed {
		a.begin()
		return nil
	}
	if a.leave != nil {
		a.leave()
	}
	body := a.body
	a.body = nil
	a.begin()
	_, err := a.sendPart(body)
	return err
}

// begin sends the head and the body so far.
func (a *answer) begin() {
	a.through = true
	h := a.w.Header()
	clear(h)
	maps.Copy(h, a.header)
	a.w.WriteHeader(a.status)
	if len(a.body) > 0 {
		a.w.Write(a.body) // the client is gone if this fails
	}
	a.body = nil
}

// send sends the complete answer.
func (a *answer) send(r *http.Request) {
	switch {
	case a.through:
		return
	case a.short:
		refuse(a.w, r, errMemory)
		return
	}
	a.WriteHeader(http.StatusOK)
	if len(a.body) > 0 && a.header["Content-Length"] == nil && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if len(a.body) > firstHold { // the kernel takes less at once; the server forgets the time after the answer
		d := a.sendTime + time.Duration(len(a.body)/a.sendRate)*time.Second
		http.NewResponseController(a.w).SetWriteDeadline(time.Now().Add(d)) // not supported by the recorders of tests
	}
	a.begin()
}
