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
	errLocked  = errors.New("upload: another request writes to this upload")
	errTaken   = errors.New("upload: another request goes on with this upload")
	errClosing = errors.New("upload: the server ends")
)

const (
	// yieldAfter is how long a client may send nothing before another that wants to go
	// on with its upload takes its place: most likely it is the same one, whose
	// connection has gone without a word.
	yieldAfter = 2 * time.Second
	// yieldWait is how long is waited for a request that was cut off.
	yieldWait = 10 * time.Second
)

// A hold is the right of one request to change an upload.
type hold struct {
	u    *Uploads
	id   string
	done chan struct{}

	mu   sync.Mutex
	conn *http.ResponseController // of the request, once it reads a body
	last time.Time                // a byte came
	from time.Time                // the rate is taken
	got  int64                    // since then
	why  error                    // it was cut off
}

// take returns the right to change an upload, or errLocked. A holder that has been
// sending nothing has to yield, or if force is set any other.
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

// enter takes one of the places of requests whose bytes are received, if there is one.
// One owner gets no more than half of them. Where nobody logs in all are one owner.
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

// InFlight is how many uploads a request is writing to now.
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

// reads says that the request is going to read its body, whose bytes then have to
// come.
func (h *hold) reads(w http.ResponseWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn, h.last = http.NewResponseController(w), time.Now()
	h.from, h.got = h.last, 0
}

// came says that n bytes came, and how long the next may take. It returns why the
// request is to end, if it is: errIdle for one that keeps its place by a byte now and
// then.
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
	h.conn.SetReadDeadline(h.last.Add(idle)) // a recorder of a test can't
	return nil
}

// rest says that no more is read: a deadline that passed now would break the
// connection off.
func (h *hold) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn.SetReadDeadline(time.Time{})
	h.conn = nil
}

// cut breaks off the reading of the request's body.
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

// claim keeps other processes from writing to an upload until release is called.
// There may be no bytes of it.
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
