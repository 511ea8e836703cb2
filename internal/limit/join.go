package limit

import (
	"bytes"
	"net"
	"net/http"
	"sync"
)

// Join tells a connection of a [ConnLimiter] that an answer with a body of so many bytes is
// written next, head and body at once. Servers write it in two parts, since the first 4 KB
// fill their buffer; the connection holds back the first part, and gives both to the kernel
// in one call. The caller must be the goroutine that writes.
func Join(c net.Conn, body int) {
	if c, ok := c.(*conn); ok {
		c.joined.body = body
	}
}

// JoinAnswer is [Join] for the connection of a request.
func JoinAnswer(r *http.Request, body int) {
	if p := connInfoOf(r); p != nil && p.conn != nil {
		p.conn.joined.body = body
	}
}

// heldBytes is the size of the buffers of net/http and fasthttp.
const heldBytes = 4 << 10

var helds = sync.Pool{New: func() any { return new([heldBytes]byte) }}

// A joined is the first part of an answer, held back until the second part is written.
type joined struct {
	body  int // of the next answer; 0 if it is not written at once
	buf   *[heldBytes]byte
	n     int
	parts [2][]byte
	both  net.Buffers // of parts
}

// hold copies the first part of an answer. It reports false for anything else, such as a
// complete answer.
func (j *joined) hold(b []byte) bool {
	body := j.body
	j.body = 0
	if j.buf != nil || len(b) > heldBytes {
		return false
	}
	if head := bytes.Index(b, []byte("\r\n\r\n")); head < 0 || head+4+body <= len(b) {
		return false
	}
	j.buf = helds.Get().(*[heldBytes]byte)
	j.n = copy(j.buf[:], b)
	return true
}

// writeJoined writes the first part, which was held back, and b. It returns how much of b.
func (c *conn) writeJoined(b []byte) (int, error) {
	j := &c.joined
	j.parts = [2][]byte{j.buf[:j.n], b}
	j.both = j.parts[:]
	total, held := 0, j.n
	var err error
	for {
		c.renew()
		var n int64
		n, err = j.both.WriteTo(c.stream)
		total += int(n)
		if err == nil || !c.again(n, err) {
			break
		}
	}
	helds.Put(j.buf)
	j.buf, j.n, j.both, j.parts = nil, 0, nil, [2][]byte{}
	return max(0, total-held), err
}
