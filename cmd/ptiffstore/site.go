package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/limit"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// common are the flags of every mode that serves.
type common struct {
	place
	Listen   string        `key:"listen" default:"127.0.0.1:8080" help:"Address to listen on; port 0 picks one."`
	Drain    time.Duration `key:"drain" default:"0s" placeholder:"TIME" help:"When told to stop, go on for this long with /readyz at 503, so that load balancers turn to another server before the port is closed."`
	Insecure bool          `key:"auth.insecure" name:"insecure-no-auth" help:"Serve everyone who can reach the port, without access control. With --auth central: ask a centre that is reached without TLS."`
	Origins  []string      `key:"cors.origins" live:"" name:"cors-origin" placeholder:"ORIGIN" help:"Let pages of this origin read tiles; may be repeated; * for all."`
	access
	logging
	keeping
	bounds
	looking
}

// keeping are the flags that bound what is kept of slides.
type keeping struct {
	CacheSize   int64 `key:"limits.cache_mb" live:"" name:"cache-size" default:"10240" placeholder:"MB" help:"Bound of kept pictures on disk, in MB."`
	OpenFiles   int   `key:"limits.open_slides" live:"" name:"open-slides" default:"512" help:"Bound of slides kept open."`
	OpenBytes   int64 `key:"limits.open_memory_mb" live:"" name:"open-memory" default:"96" placeholder:"MB" help:"Bound of the memory of open slides' tables, in MB."`
	MemoryLimit int64 `key:"limits.memory_mb" name:"memory-limit" placeholder:"MB" help:"Memory that the process keeps to, in MB. Default: half of the machine's, 512 at least and 4096 at most."`
}

// logging are the flags of the log, which goes to standard error.
type logging struct {
	LogLevel  string `key:"log.level" live:"" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat string `key:"log.format" default:"text" enum:"text,json" help:"text or json."`
}

func (c *logging) logger(w io.Writer) *slog.Logger {
	log, _ := c.leveled(w)
	return log
}

// leveled is a log whose level can be changed.
func (c *logging) leveled(w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.level())
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(trace.LogHandler(slog.NewJSONHandler(w, o))), level
	}
	return slog.New(trace.LogHandler(slog.NewTextHandler(w, o))), level
}

func (c *logging) level() (level slog.Level) {
	level.UnmarshalText([]byte(c.LogLevel)) // the flag's enum leaves only what it knows
	return level
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (c *common) guard() *authz.Guard { return &authz.Guard{Open: c.open()} }

// open reports whether the server answers others than this machine.
func (c *common) open() bool { return c.Insecure || c.Auth != "none" && c.Auth != "" }

func (c *common) cors() *httperr.CORS {
	return &httperr.CORS{Origins: c.Origins, Credentials: c.Auth != "none" && !slices.Contains(c.Origins, "*")}
}

// checkListen refuses to publish slides by accident.
func (c *common) checkListen() error {
	if err := c.access.check(); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	if !c.open() && !authz.LocalHost(net.JoinHostPort(host, "1")) {
		return fmt.Errorf("--listen %s is reachable from other machines, and there is no access control: listen on 127.0.0.1, keep users with --auth local, or say --insecure-no-auth if everyone may see every slide", c.Listen)
	}
	return nil
}

// listen opens the port.
func (c *common) listen() (net.Listener, error) {
	if err := c.checkListen(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	return l, nil
}

// url is where a browser reaches l.
func url(l net.Listener) string {
	addr := l.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("http://%s/", net.JoinHostPort(host, fmt.Sprint(addr.Port)))
}

// lasting is a context that ends after ctx does. If there is to be a while in between, a
// load balancer gets to know first, then l is closed, and requests that come along open
// connections are still answered, each with the word that it is the last: so no request is
// lost that must not be sent twice. What is returned besides ends it at once.
func (s *site) lasting(ctx context.Context, l net.Listener) (context.Context, context.CancelFunc) {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-inner.Done():
		}
	}
	go func() {
		defer stop()
		select {
		case <-ctx.Done():
		case <-inner.Done():
			return
		}
		if !s.health.End() || s.c.Drain <= 0 {
			return
		}
		s.log.Info("about to end", "in", s.c.Drain)
		wait(s.c.Drain)
		limit.Close(l) // is closed again when the server ends
		wait(lingerTime)
	}()
	return inner, stop
}

// lingerTime is how long connections are served after the port has been closed. Under load
// a proxy uses those that it has within it, and gives them up.
const lingerTime = time.Second

// shutdownTime bounds how long a server that ends waits for requests under way.
const shutdownTime = 10 * time.Second

// lasts waits until ctx is done, or until what serves has failed otherwise than because its
// port was closed.
func lasts(ctx context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// serveHTTP serves h at l until ctx is done, then lets requests under way end.
func serveHTTP(ctx context.Context, l *limit.Port, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           limit.Bodies(h, 30*time.Second),
		ConnState:         l.State,
		ConnContext:       l.Context,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	if err := lasts(ctx, failed); err != nil {
		return err
	}
	end, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	err := s.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}
