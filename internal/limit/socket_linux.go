package limit

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel keeps of an answer that the other side has no
// room for yet. What is on its way comes on top, so that fast lines stay so.
const unsent = 128 << 10

// bound bounds what the kernel keeps for a connection.
func bound(tcp *net.TCPConn) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // or it keeps more
	})
}

// queued is how many connections the kernel has established and nobody has accepted.
func queued(l net.Listener) int {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return 0
	}
	if in := info(tcp); in != nil {
		return int(in.Unacked) // that is what it means of a listener
	}
	return 0
}

func info(socket syscall.Conn) (in *unix.TCPInfo) {
	raw, err := socket.SyscallConn()
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

// stuck reports whether the other side has taken nothing for so long of what there is
// for it.
func stuck(tcp *net.TCPConn, after time.Duration) bool {
	in := info(tcp)
	return in != nil && in.Notsent_bytes > 0 && time.Duration(in.Last_data_sent)*time.Millisecond > after
}

// silence is for how long no bytes have moved either way, and whether there are some to
// be taken.
func silence(tcp *net.TCPConn) (quiet time.Duration, unsent bool) {
	in := info(tcp)
	if in == nil {
		return 0, false
	}
	return time.Duration(min(in.Last_data_sent, in.Last_data_recv)) * time.Millisecond, in.Notsent_bytes > 0
}

// acknowledged is how many bytes the other side has taken since the connection began.
func acknowledged(tcp *net.TCPConn) uint64 {
	if in := info(tcp); in != nil {
		return in.Bytes_acked
	}
	return 0
}
