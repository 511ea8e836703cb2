package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/server"
	"github.com/slideatlas/ptiffstore/internal/socket"
	"github.com/slideatlas/ptiffstore/internal/trace"
)

// A flagError reports a flag of a process whose value is invalid, or contradicts another
// flag.
type flagError struct {
	flag string // without --
	err  error  // continues a text that begins with the flag
}

func (e *flagError) Error() string { return "--" + e.flag + " " + e.err.Error() }
func (e *flagError) Unwrap() error { return e.err }

// serverFlags are the flags of every mode that serves.
type serverFlags struct {
	databaseFlags
	bucketFlags
	runFlags
	Listen   string        `key:"listen" default:"127.0.0.1:8080" help:"Address to listen on; port 0 picks one. unix:PATH for a Unix socket, whose clients count as 127.0.0.1."`
	Drain    time.Duration `key:"drain" default:"0s" placeholder:"TIME" help:"When stopping, keep serving for this time with /readyz at 503, so that load balancers switch to another server before the port closes."`
	Insecure bool          `key:"auth.insecure" name:"insecure-no-auth" help:"Serve every client that can reach the port, without access control. With --auth central: allow a central server without TLS."`
	Origins  []string      `key:"cors.origins" live:"" name:"cors-origin" placeholder:"ORIGIN" help:"Allow pages of this origin to read tiles; can be repeated; * for all."`
	accessFlags
	logFlags
	cacheFlags
	limitFlags
	debugFlags
}

// cacheFlags limit the image cache, open slides and memory.
type cacheFlags struct {
	CacheSize   int64 `key:"limits.cache_mb" live:"" name:"cache-size" default:"10240" placeholder:"MB" help:"Maximum size of the image cache, in MB."`
	OpenFiles   int   `key:"limits.open_slides" live:"" name:"open-slides" default:"512" help:"Maximum number of open slides."`
	OpenBytes   int64 `key:"limits.open_memory_mb" live:"" name:"open-memory" default:"96" placeholder:"MB" help:"Maximum memory for the tables of open slides, in MB."`
	TileMemory  int64 `key:"limits.tile_memory_mb" name:"tile-memory" placeholder:"MB" help:"Maximum memory for cached tiles, in MB; -1 for none. Default: a sixteenth of --memory-limit."`
	MemoryLimit int64 `key:"limits.memory_mb" name:"memory-limit" placeholder:"MB" help:"Memory limit of the process, in MB. Default: half of the machine's memory, at least 512 and at most 4096."`
}

// logFlags are the flags of the log, which goes to standard error.
type logFlags struct {
	LogLevel  string `key:"log.level" live:"" default:"info" enum:"debug,info,warn,error" help:"Log level: debug, info, warn or error."`
	LogFormat string `key:"log.format" default:"text" enum:"text,json" help:"Log format: text or json."`
}

func (c *logFlags) logger(w io.Writer) *slog.Logger {
	log, _ := c.leveled(w)
	return log
}

// leveled returns a log and its level, which can be changed. It is also the default, for
// packages that are given none, such as net/http.
func (c *logFlags) leveled(w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.level())
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	log := slog.New(trace.LogHandler(h))
	slog.SetDefault(log)
	return log, level
}

func (c *logFlags) level() (level slog.Level) {
	level.UnmarshalText([]byte(c.LogLevel)) // cannot fail: the flag is an enum
	return level
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open reports whether the server answers others than this machine.
func (c *serverFlags) open() bool { return c.Insecure || c.Auth != "none" && c.Auth != "" }

// checkListen refuses to publish slides by accident.
func (c *serverFlags) checkListen() error {
	if err := c.accessFlags.check(); err != nil {
		return err
	}
	if err := c.bucketFlags.check(); err != nil {
		return err
	}
	if err := socket.Check(c.Listen); err != nil {
		return &flagError{"listen", fmt.Errorf("%s: %w", c.Listen, err)}
	}
	if !c.open() && !loopback(c.Listen) {
		return &flagError{"listen", fmt.Errorf("%s is reachable from other machines, but there is no access control: listen on 127.0.0.1, use --auth local, or use --insecure-no-auth if everyone may see every slide", c.Listen)}
	}
	return nil
}

// loopback reports whether only clients of this machine reach an address.
func loopback(address string) bool {
	if _, ok := socket.Path(address); ok {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	return err == nil && authz.LocalHost(net.JoinHostPort(host, "1"))
}

// listen opens the port.
func (c *serverFlags) listen() (net.Listener, error) {
	if err := c.checkListen(); err != nil {
		return nil, err
	}
	return c.listenOn("listen", c.Listen, c.Listen)
}

// url returns the URL at which a browser reaches a listener at addr, or the address of a
// Unix socket.
func url(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return socket.Address(addr)
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("http://%s/", net.JoinHostPort(host, fmt.Sprint(tcp.Port)))
}

// limitFlags limit connections.
type limitFlags struct {
	Connections int `key:"limits.connections" name:"max-connections" default:"16384" help:"Maximum number of connections. At the limit the longest-idle connection is closed; if none is idle, new ones get 503."`
	PerAddress  int `key:"limits.connections_per_address" name:"max-connections-per-address" default:"1024" help:"Maximum number of connections from one address, or one /64 IPv6 network; 0 for no limit. At the limit, stalled connections of that address are closed first, then the longest-idle ones. Trusted proxies are exempt."`
}

// socketFlags are the flags of the files of Unix sockets.
type socketFlags struct {
	SocketMode  string `key:"socket.mode" name:"socket-mode" default:"0660" help:"Mode of the files of Unix sockets, in octal. Every user who may write to one can connect."`
	SocketGroup string `key:"socket.group" name:"socket-group" placeholder:"GROUP" help:"Group of the files of Unix sockets, such as that of a reverse proxy. Default: the group of the process."`
}

// options returns the mode and group of sockets.
func (o *socketFlags) options() (so socket.Options, err error) {
	mode, err := strconv.ParseUint(o.SocketMode, 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return so, &flagError{"socket-mode", fmt.Errorf("%s: must be an octal mode such as 0660", o.SocketMode)}
	}
	return socket.Options{Mode: fs.FileMode(mode), Group: o.SocketGroup}, nil
}

// debugFlags are the flags of monitoring and debugging.
type debugFlags struct {
	socketFlags
	Metrics string  `key:"metrics_listen" name:"metrics-listen" placeholder:"ADDRESS" help:"Address for /metrics, /healthz and /readyz without login; a port alone means 127.0.0.1; or unix:PATH. Default: none."`
	Debug   string  `key:"debug_listen" name:"debug-listen" placeholder:"ADDRESS" help:"Loopback address or unix:PATH for /metrics and /debug/pprof. Default: none."`
	OTLP    string  `key:"otlp_endpoint" name:"otlp-endpoint" placeholder:"URL" help:"Send traces to this collector by OTLP over HTTP, such as http://127.0.0.1:4318. Default: OTEL_EXPORTER_OTLP_ENDPOINT, or none."`
	Share   float64 `key:"trace_share" name:"trace-share" default:"0.01" placeholder:"SHARE" help:"Share of requests to trace, from 0 to 1, in addition to those whose traceparent asks for it."`
}

// check returns an error if a flag is invalid.
func (o *debugFlags) check() error {
	if o.Share < 0 || o.Share > 1 {
		return &flagError{"trace-share", fmt.Errorf("%v: must be from 0 to 1", o.Share)}
	}
	if _, err := o.socketFlags.options(); err != nil {
		return err
	}
	if address := local(o.Debug); o.Debug != "" && socket.Check(address) == nil && !loopback(address) {
		return &flagError{"debug-listen", fmt.Errorf("%s is reachable from other machines, and profiles show the contents of memory: use a loopback address", o.Debug)}
	}
	return nil
}

// listeners returns functions that open the ports for metrics and debugging; nil if that
// port is not configured.
func (o *debugFlags) listeners() (metrics, debug func() (net.Listener, error)) {
	if o.Metrics != "" {
		metrics = func() (net.Listener, error) { return o.listenOn("metrics-listen", o.Metrics, local(o.Metrics)) }
	}
	if o.Debug != "" {
		debug = func() (net.Listener, error) { return o.listenOn("debug-listen", o.Debug, local(o.Debug)) }
	}
	return metrics, debug
}

// local returns the address, on 127.0.0.1 if it is only a port: access from other machines
// must be configured explicitly.
func local(address string) string {
	if number := strings.TrimPrefix(address, ":"); !strings.Contains(number, ":") {
		return net.JoinHostPort("127.0.0.1", number)
	}
	return address
}

// listenOn listens on an address. Errors name the flag and its value.
func (o *socketFlags) listenOn(flag, given, address string) (net.Listener, error) {
	so, err := o.options()
	if err != nil {
		return nil, err
	}
	l, err := socket.Listen(address, so)
	if _, isUnix := socket.Path(address); !isUnix && errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("the address is already in use: choose another port, or stop the program that uses it (ss -ltnp shows it): %w", err)
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok { // it is no address, on any machine
		return nil, &flagError{flag, fmt.Errorf("%s: %w", given, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", flag, given, err)
	}
	return l, nil
}

// cache returns the limits of the image cache and of open slides.
func (k *cacheFlags) cache() server.Cache {
	return server.Cache{Bytes: k.CacheSize << 20, OpenSlides: k.OpenFiles, OpenBytes: k.OpenBytes << 20, TileBytes: k.TileMemory << 20}
}

// options returns the options that all processes have, and creates the data directory.
func options(mode server.Mode, p *databaseFlags, k *cacheFlags, o *debugFlags, log *slog.Logger) (so server.Options, err error) {
	if err := o.check(); err != nil {
		return so, err
	}
	so = server.Options{
		Mode: mode, Version: version, Log: log, Memory: k.MemoryLimit << 20, Cache: k.cache(),
		Trace: server.Trace{Endpoint: o.OTLP, Share: o.Share},
	}
	if so.DataDir, err = p.dataDir(); err != nil {
		return so, err
	}
	so.Database = p.database(so.DataDir)
	so.ListenMetrics, so.ListenDebug = o.listeners()
	return so, nil
}

// options returns the options of a process that serves.
func (c *serverFlags) options(mode server.Mode, log *slog.Logger) (server.Options, error) {
	if err := c.checkListen(); err != nil {
		return server.Options{}, err // before the data directory is created
	}
	o, err := options(mode, &c.databaseFlags, &c.cacheFlags, &c.debugFlags, log)
	if err != nil {
		return o, err
	}
	o.Listen, o.Bucket, o.BucketCache = c.listen, c.bucketFlags.settings(log), c.runFlags.options()
	o.HTTP = server.HTTP{
		Public: c.open(), Origins: c.Origins, PublicURL: c.PublicURL, Connections: c.Connections, PerAddress: c.PerAddress, Drain: c.Drain,
	}
	if o.HTTP.Proxies, err = c.proxies(); err != nil {
		return o, err
	}
	o.Access, err = c.accessFlags.options(c.Insecure, log)
	return o, err
}
