package upload

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

var (
	errLocked  = errors.New("another request writes to this upload")
	errTaken   = errors.New("another request has taken over this upload")
	errClosing = errors.New("the server is stopping")
)

const (
	// yieldAfter is how long a client may send nothing before another request for its
	// upload takes its place: it is probably the same client, whose connection was lost.
	yieldAfter = 2 * time.Second
	// yieldWait is how long to wait for the end of a request that was cut off.
	yieldWait = 10 * time.Second
)

// A hold is the right of one request to change an upload.
type hold struct {
	u    *Uploads
	id   string
	done chan struct{}

	mu   sync.Mutex
	conn *http.ResponseController // of the request, once it reads a body
	last time.Time                // last byte received
	from time.Time                // start of the rate measurement
	got  int64                    // bytes since then
	why  error                    // reason for cutting the request off
}

// take returns the right to change an upload, or errLocked. A silent holder is cut off;
// with force any holder is.
func (u *Uploads) take(id string, force bool) (*hold, error) {
	for {
		u.mu.Lock()
		old := u.holds[id]
		if old == nil {
			if u.ended {
				u.mu.Unlock()
				return nil, errClosing
			}
			h := &hold{u: u, id: id, done: make(chan struct{}), last: time.Now()}
			u.holds[id] = h
			u.mu.Unlock()
			return h, nil
		}
		u.mu.Unlock()
		if !force && !old.silent() {
			return nil, errLocked
		}
		old.cut(errTaken)
		select {
		case <-old.done:
		case <-time.After(yieldWait):
			return nil, errLocked
		}
	}
}

// enter takes one of the slots for requests that receive bytes, if one is free. One
// owner gets at most half of them; this does not limit clients without a login.
func (u *Uploads) enter(owner string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := u.o.AtOnce
	if owner != "" {
		most = max(1, most/2)
	}
	if u.receiving >= u.o.AtOnce || u.sending[owner] >= most {
		return false
	}
	u.receiving++
	u.sending[owner]++
	return true
}

func (u *Uploads) leave(owner string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.receiving--
	if u.sending[owner]--; u.sending[owner] == 0 {
		delete(u.sending, owner)
	}
}

// InFlight is how many uploads are being written to by a request.
func (u *Uploads) InFlight() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.holds)
}

func (h *hold) release() {
	h.u.mu.Lock()
	defer h.u.mu.Unlock()
	delete(h.u.holds, h.id)
	close(h.done)
}

func (h *hold) silent() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn != nil && time.Since(h.last) > yieldAfter
}

// reads starts the limits on the request's body, before it is read.
func (h *hold) reads(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn, h.last = http.NewResponseController(w), time.Now()
	h.from, h.got = h.last, 0
}

// came records that n bytes came, and sets the deadline for the next. It returns why
// the request must end, if so: errIdle for a client that sends less than the minimum
// rate.
func (h *hold) came(n int, idle time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why != nil {
		return h.why
	}
	h.last = time.Now()
	h.got += int64(n)
	if d := h.last.Sub(h.from); d > idle {
		if h.got < int64(d/time.Second)*minRate {
			return errIdle
		}
		h.from, h.got = h.last, 0
	}
	h.conn.SetReadDeadline(h.last.Add(idle)) // recorders in tests have no deadlines
	return nil
}

// rest removes the deadline once nothing more is read: passing it would close the
// connection.
func (h *hold) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn.SetReadDeadline(time.Time{})
	h.conn = nil
}

// cut stops the reading of the request's body.
func (h *hold) cut(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.why == nil {
		h.why = why
	}
	if h.conn != nil {
		h.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// claim keeps other processes from writing to an upload until release is called. The
// upload need not have any bytes.
func (f *folder) claim(id string) (release func(), err error) {
	file, err := fsx.OpenFileIn(f.dir, part(id), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if !fsx.TryLock(file) {
		file.Close()
		return nil, errLocked
	}
	return func() { file.Close() }, nil
}
