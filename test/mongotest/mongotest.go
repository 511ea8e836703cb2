// Package mongotest runs MongoDB servers for tests: FerretDB with SQLite as a process,
// which is built from its own module when a test first needs it.
package mongotest

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
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
	program, err := build()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mongotest")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append([]string{dir}, certificate...)...)
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

// build returns the path of the program, which it builds unless it did before. The program
// stays in the user's cache: linking it takes longer than most tests.
func build() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(file), "ferretdb")
	if !filepath.IsAbs(source) { // built with -trimpath; tests run in the folder of their package
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		source = filepath.Join(root, "test", "mongotest", "ferretdb")
	}
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("ptiffstore-ferretdb-%d-%s-%x", os.Getuid(), runtime.Version(), sum.Sum(nil)[:8]))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := private(dir); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	fsx.Lock(lock) // the tests of several packages run at once
	program := filepath.Join(dir, "ferretdb")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program+".new", ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mongotest: cannot build the server: %w\n%s", err, out)
	}
	return program, os.Rename(program+".new", program)
}

// private returns an error unless the folder belongs to this user: another one could have
// put a program there.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); !ok || !fi.IsDir() || int(s.Uid) != os.Getuid() || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("mongotest: %s belongs to another user", dir)
	}
	return nil
}

// moduleRoot returns the folder of this module, in or above the current one.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("mongotest: no go.mod above the current folder")
		}
		dir = filepath.Dir(dir)
	}
}
