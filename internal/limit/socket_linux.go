package limit

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/socket"
)

// unsent is how many bytes of an answer the kernel buffers beyond those in flight, so that
// fast connections stay fast.
const unsent = 128 << 10

// limitSendBuffer limits what the kernel buffers for a connection.
func limitSendBuffer(s stream) {
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // or it keeps more
	})
}

// queued returns the number of established connections that are not accepted yet.
func queued(l net.Listener) int {
	if u, ok := l.(*socket.Listener); ok {
		return queuedUnix(u)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return 0
	}
	if in := info(tcp); in != nil {
		return int(in.Unacked) // the backlog, for a listener
	}
	return 0
}

// queuedUnix is [queued] for a Unix socket: 1 if any connection waits, because the system
// does not report how many.
func queuedUnix(l *socket.Listener) (n int) {
	raw, err := l.SyscallConn()
	if err != nil {
		return 0
	}
	failed := raw.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // descriptors are small
	})
	if failed != nil || err != nil {
		return 0
	}
	return n
}

func info(s syscall.Conn) (in *unix.TCPInfo) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	raw.Control(func(fd uintptr) {
		in, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil {
		return nil
	}
	return in
}

// blocked reports whether the client has taken nothing for that time although there is
// something to take.
func blocked(s stream, after time.Duration) bool {
	in := info(s)
	return in != nil && in.Notsent_bytes > 0 && time.Duration(in.Last_data_sent)*time.Millisecond > after
}

// silence returns for how long no bytes moved either way, and whether some are unsent.
func silence(s stream) (quiet time.Duration, unsent bool) {
	in := info(s)
	if in == nil {
		return 0, false
	}
	return time.Duration(min(in.Last_data_sent, in.Last_data_recv)) * time.Millisecond, in.Notsent_bytes > 0
}

// acknowledged returns how many bytes the client has taken so far.
func acknowledged(s stream) uint64 {
	if in := info(s); in != nil {
		return in.Bytes_acked
	}
	return 0
}
