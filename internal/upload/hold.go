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
	of   *holds
	id   string
	done chan struct{}

	mu   sync.Mutex
	conn *http.ResponseController // of the request, once it reads a body
	last time.Time                // last byte received
	from time.Time                // start of the rate measurement
	got  int64                    // bytes since then
	why  error                    // reason for cutting the request off
}

// holds are the requests that change uploads: one at a time for each upload, and a limited
// number of those that receive bytes.
type holds struct {
	atOnce int // requests that may receive bytes

	mu        sync.Mutex
	byID      map[string]*hold
	ended     bool
	receiving int            // requests that receive bytes
	sending   map[string]int // the same by owner
}

// take returns the right to change an upload, or errLocked. A silent holder is cut off;
// with force any holder is.
func (s *holds) take(id string, force bool) (*hold, error) {
	for {
		s.mu.Lock()
		old := s.byID[id]
		if old == nil {
			if s.ended {
				s.mu.Unlock()
				return nil, errClosing
			}
			h := &hold{of: s, id: id, done: make(chan struct{}), last: time.Now()}
			s.byID[id] = h
			s.mu.Unlock()
			return h, nil
		}
		s.mu.Unlock()
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
func (s *holds) enter(owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.atOnce
	if owner != "" {
		most = max(1, most/2)
	}
	if s.receiving >= s.atOnce || s.sending[owner] >= most {
		return false
	}
	s.receiving++
	s.sending[owner]++
	return true
}

func (s *holds) leave(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiving--
	if s.sending[owner]--; s.sending[owner] == 0 {
		delete(s.sending, owner)
	}
}

// count is how many uploads are being written to by a request.
func (s *holds) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// end cuts off clients that are sending, and refuses new requests.
func (s *holds) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, h := range s.byID {
		h.cut(errClosing)
	}
}

func (h *hold) release() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	delete(h.of.byID, h.id)
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
