package limit

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// fileChunk is how many bytes of a file are sent before the write deadline is extended.
const fileChunk = 1 << 20

// unreadableMax is larger than the errors that net/http itself writes.
const unreadableMax = 512

// A stream is a connection of TCP, or of a Unix socket as a [local].
type stream interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// A local is a connection of a Unix socket. Its client is on this machine, so its address is
// that of the loopback: access control, trusted proxies and the log treat it like one that
// connects to 127.0.0.1.
type local struct{ *net.UnixConn }

// RemoteAddr returns the loopback address.
func (local) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// ReadFrom hides that of packets.
func (l local) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{l.UnixConn}, r)
}

// discard closes a connection and what it has not sent.
func discard(s stream) {
	if tcp, ok := s.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	s.Close()
}

// A conn is a connection that is closed when its client takes nothing for a while, but not
// while an answer progresses.
type conn struct {
	stream
	connInfo
	stall   time.Duration
	reading deadline
	writing deadline
	reads   atomic.Int32 // in progress
	renewed atomic.Int64 // when the write deadline was last extended, by the monotonic clock; 0 to extend it next
	own     atomic.Bool  // the server has set a deadline of its own
	taken   uint64       // bytes that the client had acknowledged at the last check
	ahead   ahead
	joined  joined
}

// renew extends the write deadline, unless at least half of it is left.
func (c *conn) renew() {
	if c.own.Load() {
		return
	}
	now := monotonic()
	if last := c.renewed.Load(); last != 0 && now-last < int64(c.stall/2) {
		return
	}
	c.renewed.Store(now)
	c.setWriting(now + int64(c.stall)) // or the write fails
}

// setWriting sets the write deadline, by the monotonic clock.
func (c *conn) setWriting(at int64) error {
	if !c.writing.want(at) {
		return nil
	}
	return c.writing.arm(c.stream.SetWriteDeadline)
}

// again reports whether a write that timed out is to continue, since the client has taken
// something.
func (c *conn) again(n int64, err error) bool {
	if c.writing.early(err) {
		return c.writing.arm(c.stream.SetWriteDeadline) == nil
	}
	if c.own.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.renewed.Store(0)
	taken := acknowledged(c.stream)
	moved := n > 0 || taken != c.taken
	c.taken = taken
	return moved
}

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	if len(b) < unreadableMax && bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		if p := problemFor(b); p != nil {
			_, err := c.stream.Write(p)
			return len(b), err
		}
	}
	switch {
	case c.joined.body > 0 && c.joined.hold(b):
		return len(b), nil
	case c.joined.buf != nil:
		return c.writeJoined(b)
	}
	total := 0
	for {
		c.renew()
		n, err := c.stream.Write(b[total:])
		total += n
		if err == nil || !c.again(int64(n), err) {
			return total, err
		}
	}
}

// ReadFrom implements [io.ReaderFrom], so that the kernel copies files.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	left := int64(-1)
	l, limited := r.(*io.LimitedReader) // the kernel copies if this is around a file, and only once
	if limited {
		r, left = l.R, l.N
	}
	var total int64
	for left != 0 {
		chunk := &io.LimitedReader{R: r, N: fileChunk}
		if left > 0 {
			chunk.N = min(chunk.N, left)
		}
		want := chunk.N
		c.renew()
		n, err := c.readFrom(chunk)
		total += n
		if left -= min(n, max(left, 0)); limited {
			l.N = left
		}
		if err != nil && !c.again(n, err) {
			return total, err
		}
		if err == nil && n < want {
			break // the end
		}
	}
	return total, nil
}

// readFrom sends a part of a file, by the kernel if the connection can.
func (c *conn) readFrom(chunk *io.LimitedReader) (int64, error) {
	if tcp, ok := c.stream.(*net.TCPConn); ok {
		return tcp.ReadFrom(chunk)
	}
	return io.Copy(struct{ io.Writer }{c}, chunk) // whose Write renews the deadline
}

// SetWriteDeadline implements [net.Conn]. A deadline set by the server replaces the own
// one until it is removed.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	c.renewed.Store(0)
	return c.setWriting(since(t))
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	return cmp.Or(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
