package jpeg2000

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of the helpers.
const (
	answerTime = 10 * time.Second       // of one answer
	cancelTime = 100 * time.Millisecond // left to a helper whose client has gone, which is cheaper than a new one
	idleTime   = time.Minute            // until an unused helper ends
	busyTime   = 10 * time.Minute       // of work in a helper's life; its processor time ends at 15 minutes, see cage.h
)

// A helper is a process that decodes.
type helper struct {
	in  *os.File // its standard input
	out *os.File // its standard output
	end func()   // kills the process and waits for its end
	//lint:ignore U1000 for tests
	pid      int
	sequence uint32
	request  []byte // memory for requests
	busy     time.Duration
	since    time.Time // of its last answer
}

// A pool has the helpers of the program. There are at most as many as processors at the start,
// counting those that are about to be started.
type pool struct {
	start func() (*helper, error)
	limit time.Duration // of one answer
	idle  time.Duration
	slots chan struct{}

	mu   sync.Mutex
	free []*helper // the last one was used last
	reap *time.Timer
}

var helpers = sync.OnceValue(func() *pool { return newPool(startHelper) })

func newPool(start func() (*helper, error)) *pool {
	return &pool{start: start, limit: answerTime, idle: idleTime, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// decode decodes by a helper. One that fails is replaced, and the data are tried once more:
// the helper may have been damaged by others before.
func (p *pool) decode(ctx context.Context, data []byte, o Options) (*Picture, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	var failed error
	for try := range 2 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := p.take(try > 0)
		if err != nil {
			return nil, err
		}
		img, refusal, err := h.decode(ctx, data, &o, p.limit)
		switch {
		case err == nil && refusal == nil:
			p.put(h)
			return img, nil
		case err == nil:
			h.end() // what reports damage may have been damaged by it
			return nil, refusal
		}
		h.end()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failed = err
		crashes.Add(1)
	}
	slog.WarnContext(ctx, "JPEG 2000 decoder failed", "error", failed)
	return nil, fmt.Errorf("%w: %w", ErrDecoder, failed)
}

// crashes counts helpers that failed.
var crashes atomic.Int64

// take returns a helper that is not in use, or a new one.
func (p *pool) take(fresh bool) (*helper, error) {
	for !fresh {
		p.mu.Lock()
		n := len(p.free)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		h := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		if h.quiet() {
			return h, nil
		}
		h.end()
	}
	h, err := p.start()
	if err != nil && !errors.Is(err, ErrUnavailable) {
		err = fmt.Errorf("%w: it cannot be started: %w", ErrDecoder, err)
	}
	return h, err
}

// put returns a helper to the pool, unless it has worked long enough.
func (p *pool) put(h *helper) {
	if h.busy > busyTime {
		h.end()
		return
	}
	h.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, h)
	if p.reap == nil {
		p.reap = time.AfterFunc(p.idle, p.endIdle)
	}
}

// endIdle ends the helpers that were not used for a while, and comes again while there are
// others.
func (p *pool) endIdle() {
	p.mu.Lock()
	now := time.Now()
	n := slices.IndexFunc(p.free, func(h *helper) bool { return now.Sub(h.since) < p.idle })
	if n < 0 {
		n = len(p.free)
	}
	old := slices.Clone(p.free[:n])
	p.free = slices.Delete(p.free, 0, n)
	if p.reap = nil; len(p.free) > 0 {
		p.reap = time.AfterFunc(p.idle-now.Sub(p.free[0].since), p.endIdle)
	}
	p.mu.Unlock()
	for _, h := range old {
		h.end()
	}
}

// warm starts a helper if no helper runs.
func (p *pool) warm(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	h, err := p.take(false)
	if err == nil {
		p.put(h)
	}
	return err
}

func (p *pool) close() {
	p.mu.Lock()
	old := p.free
	p.free = nil
	p.mu.Unlock()
	for _, h := range old {
		h.end()
	}
}

// decode sends data and reads the answer. With err the helper is of no more use.
func (h *helper) decode(ctx context.Context, data []byte, o *Options, limit time.Duration) (img *Picture, refusal, err error) {
	began := time.Now()
	deadline := began.Add(limit)
	if err := errors.Join(h.in.SetWriteDeadline(deadline), h.out.SetReadDeadline(deadline)); err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		soon := time.Now().Add(cancelTime)
		if soon.Before(deadline) {
			_ = errors.Join(h.in.SetWriteDeadline(soon), h.out.SetReadDeadline(soon)) // the files are open
		}
	})
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx) // its deadlines may still change
		}
	}()
	h.sequence++
	// One call, as each one may wake the helper.
	h.request = append(appendRequest(h.request[:0], h.sequence, len(data), o), data...)
	_, err = h.in.Write(h.request)
	if cap(h.request) > maxKept {
		h.request = nil
	}
	if err == nil {
		img, refusal, err = readReply(h.out, h.sequence, o)
	}
	h.busy += time.Since(began)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("no answer within %v", limit)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isBrokenPipe(err):
		err = errors.New("it crashed")
	}
	return img, refusal, err
}

// quiet reports whether a helper that is not in use still runs, and has written nothing more.
func (h *helper) quiet() bool {
	c, err := h.out.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	var failed error
	err = c.Read(func(fd uintptr) bool {
		var b [1]byte
		n, failed = syscall.Read(int(fd), b[:])
		return true
	})
	return err == nil && n < 1 && failed == syscall.EAGAIN
}

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
