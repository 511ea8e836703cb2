package limit

import (
	"net"
	"time"

	"github.com/slideatlas/ptiffstore/internal/socket"
)

// acceptTime limits how long [Close] waits for a server to accept queued connections.
const acceptTime = time.Second

// Close closes a listener once no connection waits to be accepted, or after a second.
// Otherwise the kernel would reset them, and a proxy can repeat idempotent requests only.
func Close(l net.Listener) error {
	if u, ok := l.(*socket.Listener); ok {
		u.Hide()
	}
	for end := time.Now().Add(acceptTime); queued(l) > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	return l.Close()
}
