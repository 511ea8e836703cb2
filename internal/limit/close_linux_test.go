package limit_test

import (
	"net"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/limit"
)

// TestClose has connections wait to be accepted when their listener is to be closed.
func TestClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	go func() {
		for {
			time.Sleep(10 * time.Millisecond) // a server that is slow to accept
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("x"))
		}
	}()
	if err := limit.Close(l); err != nil {
		t.Fatal(err)
	}
	for i, c := range clients {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}
