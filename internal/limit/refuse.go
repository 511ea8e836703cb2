package limit

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

const (
	// maxRefusing is how many connections at once are refused after reading their
	// request. Others are refused without reading.
	maxRefusing = 512
	refuseTime  = 2 * time.Second
	refuseHead  = 2 << 10 // of a request is read; more is not needed to refuse it
	lingerBytes = 64 << 10
	retryAfter  = 1 // seconds
)

// refusal is the answer to refused connections; for HEAD only its head.
var refusal, refusalHead = func() ([]byte, []byte) {
	head, body := lastAnswer(http.StatusServiceUnavailable, "The server has as many connections as it can hold. Try again.")
	return slices.Concat(head, body), head
}()

// lastAnswer is a problem as the last answer of a connection, with the headers that all
// answers have.
func lastAnswer(status int, detail string) (head, body []byte) {
	body = httperr.NewProblem(status, detail, "").JSON()
	head = fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n",
		status, http.StatusText(status), httperr.ProblemType, len(body))
	if status == http.StatusServiceUnavailable {
		head = fmt.Appendf(head, "Retry-After: %d\r\n", retryAfter)
	}
	httperr.SetSecurity(func(key, value string) { head = fmt.Appendf(head, "%s: %s\r\n", key, value) }, false)
	return append(head, "\r\n"...), body
}

// unreadable is the head, after the status line, of the answer that net/http itself writes
// to a request that it cannot parse. It writes it in a single call.
const unreadable = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// problemFor returns the answer to send instead of b, or nil if b is not such an answer.
func problemFor(b []byte) []byte {
	line, _, ok := bytes.Cut(b, []byte(unreadable))
	rest, isHTTP := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if bytes.HasPrefix(rest, []byte("417 ")) { // no handler sends that status
		head, body := lastAnswer(http.StatusExpectationFailed, "The request expects something that the server does not know.")
		return append(head, body...)
	}
	if !ok || !isHTTP || len(rest) < 3 || bytes.ContainsAny(rest, "\r\n") {
		return nil
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || status < 400 {
		return nil
	}
	detail := "The request cannot be read: it is not HTTP/1.1 or has a malformed address or header."
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		detail = "The head of the request, its address and headers, is larger than 16 KB."
	case http.StatusNotImplemented:
		detail = "The body of the request has a transfer coding that is not supported."
	case http.StatusHTTPVersionNotSupported:
		detail = "The server speaks HTTP/1.1."
	}
	head, body := lastAnswer(status, detail)
	return append(head, body...)
}

// refuse answers a new connection with 503 and closes it.
func (p *ConnLimiter) refuse(client stream) {
	p.refused.Add(1)
	p.warn("connection limit reached; refusing new connections")
	select {
	case p.refusing <- struct{}{}:
		go func() {
			defer func() { <-p.refusing }()
			answerRefused(client)
		}()
	default:
		client.Write(refusal) // a new connection takes that without waiting
		client.Close()
	}
}

// answerRefused reads a request before it refuses it: to many clients an answer before the
// request is an error, and closing a connection with unread bytes resets it.
func answerRefused(client stream) {
	defer client.Close()
	client.SetDeadline(time.Now().Add(refuseTime))
	buf := make([]byte, refuseHead)
	n := 0
	for n < len(buf) && !bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
		m, err := client.Read(buf[n:])
		if n += m; err != nil {
			break
		}
	}
	if n == 0 {
		return // no request
	}
	answer := refusal
	if bytes.HasPrefix(buf, []byte("HEAD ")) {
		answer = refusalHead
	}
	if _, err := client.Write(answer); err != nil {
		return
	}
	client.CloseWrite()
	io.CopyN(io.Discard, client, lingerBytes) // until either side closes
}
