//go:build !linux

package limit

import (
	"net"
	"time"
)

// Only Linux tells how far the other side is. Elsewhere a write must have gone on
// itself to be given more time.

func bound(*net.TCPConn) {}

func queued(net.Listener) int { return 0 }

func stuck(*net.TCPConn, time.Duration) bool { return false }

func silence(*net.TCPConn) (time.Duration, bool) { return 0, false }

func acknowledged(*net.TCPConn) uint64 { return 0 }
