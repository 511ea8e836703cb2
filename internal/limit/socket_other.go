//go:build !linux

package limit

import (
	"net"
	"time"
)

// Only Linux reports what a client has taken. Elsewhere a write gets more time only if it
// progressed itself.

func limitSendBuffer(stream) {}

func queued(net.Listener) int { return 0 }

func blocked(stream, time.Duration) bool { return false }

func silence(stream) (time.Duration, bool) { return 0, false }

func acknowledged(stream) uint64 { return 0 }
