// Package mongotest runs MongoDB servers for tests: FerretDB with SQLite as a process,
// which is built from its own module when a test first needs it.
package mongotest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/program"
	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// startTime is how long the server may take to start, on a machine that is busy with other
// tests.
const startTime = time.Minute

// A Server is a running server. Its databases are empty at first.
type Server struct {
	Host string // NAME:PORT

	dir   string
	cmd   *exec.Cmd
	alive io.Closer // closing it ends the process
}

// shared is the server of all tests of a package. It ends with the process.
var shared = sync.OnceValues(func() (*Server, error) { return start() })

// New returns the server of all tests of a package: each uses a database of its own.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Start starts a server for a program. The caller stops it.
func Start() (*Server, error) { return start() }

// NewServer starts a server for one test, which may stop it. With a certificate and a key it
// accepts TLS only.
func NewServer(t testing.TB, certificate ...string) *Server {
	t.Helper()
	s, err := start(certificate...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server and removes its data.
func (s *Server) Stop() {
	s.alive.Close()
	_ = s.cmd.Wait() // it is stopped by a signal if it does not end by itself
	os.RemoveAll(s.dir)
}

// start starts a server as an unprivileged user, if this one is root.
func start(certificate ...string) (*Server, error) {
	server, err := program.Build("test/mongotest/ferretdb", ".")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mongotest")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(server, append([]string{dir}, certificate...)...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	account, err := unprivileged.HandOver(dir)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{dir: dir, cmd: cmd, alive: alive}
	if s.Host, err = host(out); err != nil {
		s.Stop()
		return nil, fmt.Errorf("mongotest: the server does not start: %w", err)
	}
	return s, nil
}

// host returns the host of the address that the server prints.
func host(out io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	lines := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(out).ReadString('\n')
		lines <- line{text, err}
	}()
	select {
	case l := <-lines:
		if l.err != nil {
			return "", l.err
		}
		u, err := url.Parse(l.text[:len(l.text)-1])
		if err != nil {
			return "", err
		}
		return u.Host, nil
	case <-time.After(startTime):
		return "", errors.New("it has not printed its address")
	}
}
