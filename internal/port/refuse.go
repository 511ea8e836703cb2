package port

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/web"
)

const (
	// maxRefusing is how many connections are refused with patience at once. Those
	// beyond are refused without.
	maxRefusing = 512
	refuseTime  = 2 * time.Second
	refuseHead  = 2 << 10 // of a request is read; more is not needed to refuse it
	lingerBytes = 64 << 10
	retryAfter  = 1 // seconds
)

// refusal is the answer to whoever there is no room for; to HEAD only its head.
var refusal, refusalHead = func() ([]byte, []byte) {
	body := web.NewProblem(http.StatusServiceUnavailable, "The server has as many connections as it can hold. Try again.", "").JSON()
	head := fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\nRetry-After: %s\r\nConnection: close\r\n\r\n",
		web.ProblemType, len(body), strconv.Itoa(retryAfter))
	return append(bytes.Clone(head), body...), head
}()

// refuse tells a new connection that there is no room, and closes it.
func (p *Port) refuse(tcp *net.TCPConn) {
	p.refused.Add(1)
	p.tell("there are as many connections as there may be: new ones are refused")
	select {
	case p.refusing <- struct{}{}:
		go func() {
			defer func() { <-p.refusing }()
			turnAway(tcp)
		}()
	default:
		tcp.Write(refusal) // a new connection takes that without waiting
		tcp.Close()
	}
}

// turnAway hears a request before it is refused: an answer that comes before the
// question is an error to many clients, and a connection that is closed on unread
// bytes is reset, and the answer lost.
func turnAway(tcp *net.TCPConn) {
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(refuseTime))
	buf := make([]byte, refuseHead)
	n := 0
	for n < len(buf) && !bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
		m, err := tcp.Read(buf[n:])
		if n += m; err != nil {
			break
		}
	}
	if n == 0 {
		return // it had nothing to ask
	}
	answer := refusal
	if bytes.HasPrefix(buf, []byte("HEAD ")) {
		answer = refusalHead
	}
	if _, err := tcp.Write(answer); err != nil {
		return
	}
	tcp.CloseWrite()
	io.CopyN(io.Discard, tcp, lingerBytes) // until its end, or ours
}
