package server

import (
	"context"
	"net"

	"github.com/slideatlas/ptiffstore/internal/limit"
)

// A port is that of the service; a worker has none.
type port struct {
	listener net.Listener
	limiter  *limit.ConnLimiter // limits its connections

	requests *limit.RequestLimiter // limits requests other than tiles, events and uploads
	buffer   *limit.Buffer         // for their bodies and answers
}

// openPort opens the port of the service and limits its connections.
func (s *Server) openPort(context.Context) (err error) {
	if s.port.listener, err = s.o.Listen(); err != nil {
		return err
	}
	http := &s.o.HTTP
	o := limit.Options{
		Max: limit.Connections(http.Connections, s.o.Cache.OpenSlides), PerAddress: http.PerAddress, Exempt: http.Proxies.Trust,
		Ahead: s.o.Mode == TileServer, Memory: s.storage.memory, Log: s.log,
	}
	if o.Max < http.Connections {
		s.log.Warn("the limit of open files is too low for all connections: raise LimitNOFILE, or ulimit -n",
			"connections", o.Max, "wanted", http.Connections)
	}
	s.port.limiter = limit.New(s.port.listener, o)
	s.port.requests = limit.NewRequestLimiter(requestsAtOnce, requestsWaiting, requestPatience)
	s.port.buffer = &limit.Buffer{Budget: bufferBudget(s.storage.memory)}
	s.background.addLoop("connections", func(ctx context.Context) error {
		s.port.limiter.Run(ctx)
		return nil
	})
	return nil
}

// relieve closes connections when tiles being sent take all of their memory.
func (p *port) relieve() {
	if p.limiter != nil {
		p.limiter.Relieve()
	}
}

// close closes the port. It is closed already if it served.
func (p *port) close() {
	if p.listener != nil {
		p.listener.Close()
	}
}
