// Package socket opens and dials the addresses on which servers listen: HOST:PORT, or
// unix:PATH for a Unix socket.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// scheme begins the address of a Unix socket, as in nginx.
const scheme = "unix:"

// maxPath is the maximum length of a path, with that of a new socket: the kernel takes
// 107 bytes.
const maxPath = 107 - len(newSuffix)

// newSuffix ends the name of a socket until it has its mode and group.
const newSuffix = ".new"

// DefaultMode is the default mode of the file of a Unix socket.
const DefaultMode fs.FileMode = 0o660

var errPath = errors.New("a Unix socket needs an absolute path, such as unix:/run/ptiffstore/ptiffstore.sock")

// Path returns the path of a Unix socket's address. Ok is false for other addresses.
func Path(address string) (path string, ok bool) {
	if path, ok = strings.CutPrefix(address, scheme); !ok {
		return "", false
	}
	return path, true
}

// Check returns an error if the address cannot be listened on: it is neither HOST:PORT nor
// unix: and an absolute path.
func Check(address string) error {
	path, ok := Path(address)
	if !ok {
		_, _, err := net.SplitHostPort(address)
		return err
	}
	if !filepath.IsAbs(path) {
		return errPath
	}
	if len(path) > maxPath {
		return fmt.Errorf("the path of a Unix socket has at most %d bytes, and this one has %d", maxPath, len(path))
	}
	return nil
}

// Options are those of the file of a Unix socket. Users who may write to it may connect.
type Options struct {
	Mode  fs.FileMode // [DefaultMode] if 0
	Group string      // name or id of its group; "" for that of the process
}

// Listen listens on an address. A file that an earlier server left behind is replaced, but
// neither that of a running server nor a file of another kind.
func Listen(address string, o Options) (net.Listener, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	path, ok := Path(address)
	if !ok {
		return net.Listen("tcp", address)
	}
	gid := -1
	if o.Group != "" {
		var err error
		if gid, err = groupID(o.Group); err != nil {
			return nil, err
		}
	}
	if o.Mode == 0 {
		o.Mode = DefaultMode
	}
	// Another process that starts at the same time waits here, and then finds this one's.
	dir, err := fsx.OpenFolder(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("its folder: %w", fsx.WithoutPath(err))
	}
	defer dir.Close()
	fsx.Lock(dir) // on a file system without locks it does nothing
	if err := vacant(path); err != nil {
		return nil, err
	}
	return listenUnix(path, o.Mode, gid)
}

// listenUnix creates the socket beside its path and renames it, so that no client finds it
// with another mode.
func listenUnix(path string, mode fs.FileMode, gid int) (_ net.Listener, err error) {
	fresh := path + newSuffix
	if fi, err := os.Lstat(fresh); err == nil && fi.Mode().Type() == fs.ModeSocket {
		os.Remove(fresh) // left behind by a crash; otherwise listening fails
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove another server's
	defer func() {
		if err != nil {
			l.Close()
			os.Remove(fresh)
		}
	}()
	if err := os.Chmod(fresh, mode); err != nil {
		return nil, err
	}
	if gid >= 0 {
		if err := os.Chown(fresh, -1, gid); err != nil {
			return nil, fmt.Errorf("cannot give the socket to its group: the user of the server must be a member: %w", fsx.WithoutPath(err))
		}
	}
	fi, err := os.Lstat(fresh)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return nil, err
	}
	return &Listener{UnixListener: l, path: path, file: fi}, nil
}

// vacant returns an error unless a server may listen at path: nothing is there, or a socket
// that refuses connections.
func vacant(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("another process listens there: stop it, or choose another path: %w", syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("another process listens there and accepts nothing: stop it, or choose another path: %w", syscall.EADDRINUSE)
	}
	return fmt.Errorf("cannot tell whether another process listens there: %w", err)
}

func groupID(name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("unknown group %q", name)
	}
	return strconv.Atoi(g.Gid)
}

// A Listener listens on a Unix socket.
type Listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // of the socket at path
	hide sync.Once
}

// Addr returns the path as the listener's address.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Hide removes the socket's file, unless another server has replaced it: no further client
// connects, and those that wait are still accepted.
func (l *Listener) Hide() {
	l.hide.Do(func() {
		if fi, err := os.Lstat(l.path); err == nil && os.SameFile(fi, l.file) {
			os.Remove(l.path) // fails if the folder is gone as well
		}
	})
}

// Close hides the socket and stops listening.
func (l *Listener) Close() error {
	l.Hide()
	return l.UnixListener.Close()
}

// Address returns the address of a listener as Listen takes it.
func Address(addr net.Addr) string {
	if addr.Network() == "unix" {
		return scheme + addr.String()
	}
	return addr.String()
}

// Dialer returns a function that connects to the server that listens on address, whatever
// it is called with, and the host for URLs of requests to it. A server that listens on every
// address of this machine is reached at its loopback address.
func Dialer(address string) (dial func(ctx context.Context, network, addr string) (net.Conn, error), host string, err error) {
	if err := Check(address); err != nil {
		return nil, "", err
	}
	network, at, host := "tcp", address, "localhost"
	if path, ok := Path(address); ok {
		network, at = "unix", path
	} else {
		h, port, _ := net.SplitHostPort(address) // checked above
		if ip := net.ParseIP(h); h == "" || ip != nil && ip.IsUnspecified() {
			h = "127.0.0.1"
			if ip != nil && ip.To4() == nil {
				h = "::1"
			}
		}
		at = net.JoinHostPort(h, port)
		host = at
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}, host, nil
}
