package limit

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Read implements [net.Conn].
func (c *conn) Read(b []byte) (int, error) {
	for {
		// A deadline in the past ends a read that is in progress, and prevents one that
		// begins later: either this sees it, or SetReadDeadline sees the read.
		c.reads.Add(1)
		if c.reading.wanted.Load() == past {
			c.reads.Add(-1)
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.read(b)
		c.reads.Add(-1)
		if n > 0 || !c.reading.early(err) {
			return n, err
		}
		if err := c.reading.arm(c.stream.SetReadDeadline); err != nil {
			return 0, err
		}
	}
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	at := since(t)
	if late := c.reading.want(at); !late || at == past && c.reads.Load() == 0 {
		return nil
	}
	return c.reading.arm(c.stream.SetReadDeadline)
}

// aheadBytes is how many bytes are read while a server waits for the first byte of a request:
// most requests are shorter.
const aheadBytes = 4 << 10

var aheads = sync.Pool{New: func() any { return new([aheadBytes]byte) }}

// An ahead reads a request at once for a server that waits for its first byte before it takes
// memory for the rest. A connection that waits holds no memory for it either.
type ahead struct {
	raw  syscall.RawConn // nil if the server does not do so
	fill func(fd uintptr) bool
	buf  *[aheadBytes]byte // nil if nothing was read
	rest []byte            // of buf
	n    int
	err  error
}

func newAhead(s stream) (a ahead) {
	raw, err := s.SyscallConn()
	if err != nil {
		return a
	}
	a.raw = raw
	return a
}

// read reads from the stream, or returns what was read ahead.
func (c *conn) read(b []byte) (int, error) {
	a := &c.ahead
	if a.buf != nil {
		return a.take(b), nil
	}
	if len(b) != 1 || a.raw == nil {
		return c.stream.Read(b)
	}
	if a.fill == nil {
		a.fill = a.readNow
	}
	if err := a.raw.Read(a.fill); err != nil {
		return 0, err
	}
	n, err := a.n, a.err
	switch {
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return a.take(b), nil
}

// readNow reads what has arrived, and reports whether there was something.
func (a *ahead) readNow(fd uintptr) bool {
	buf := aheads.Get().(*[aheadBytes]byte)
	for {
		a.n, a.err = unix.Read(int(fd), buf[:]) //nolint:gosec // descriptors are small
		if !errors.Is(a.err, unix.EINTR) {
			break
		}
	}
	if a.err != nil || a.n <= 0 {
		aheads.Put(buf)
		return !errors.Is(a.err, unix.EAGAIN)
	}
	a.buf, a.rest = buf, buf[:a.n]
	return true
}

// take moves bytes that were read ahead to b.
func (a *ahead) take(b []byte) int {
	n := copy(b, a.rest)
	if a.rest = a.rest[n:]; len(a.rest) == 0 {
		aheads.Put(a.buf)
		a.buf, a.rest = nil, nil
	}
	return n
}
