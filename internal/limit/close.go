package limit

import (
	"net"
	"time"
)

// acceptTime bounds how long [Close] waits for a server to accept what waits.
const acceptTime = time.Second

// Close closes a listener as soon as no connection waits to be accepted, or after a
// second. The kernel resets those that wait when their listener is closed, and a proxy
// cannot send again what it has sent over them, unless it is safe to do so twice.
func Close(l net.Listener) error {
	for end := time.Now().Add(acceptTime); queued(l) > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	return l.Close()
}
