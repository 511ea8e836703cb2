// Package pgtest runs a real PostgreSQL for tests: in its own folder, on a private Unix
// socket, without syncing to disk. Tests that need it are skipped if PostgreSQL is not
// installed.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// ErrNotInstalled reports that the programs of PostgreSQL are missing.
var ErrNotInstalled = errors.New("pgtest: PostgreSQL is not installed (Debian: apt-get install postgresql)")

const (
	// startTime is how long the server may take to answer, on a machine that is busy with
	// other tests.
	startTime = 60 * time.Second
	port      = "5432" // only part of the socket's name
)

// settings make the server fast and close it to the network. No data outlives the test, so
// nothing is synced.
var settings = []string{
	"port=" + port, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
	"max_connections=500", "log_min_messages=fatal", "timezone=UTC",
}

// socketEnv names the folder of the socket of a server that is already running, which
// scripts/testdb has started for the tests of all packages.
const socketEnv = "PTIFFSTORE_TEST_POSTGRES"

// shared is the server of all tests of a package.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	count  atomic.Int64 // of databases
}

// New returns the URL of a new, empty database, which is dropped when the test ends. All
// tests share the server that scripts/testdb has started. Without it, the tests of a package
// share a server that the first of them starts and that ends with the process.
func New(t testing.TB) string {
	t.Helper()
	return sharedServer(t).create(t, "")
}

// sharedServer returns the server of all tests of a package.
func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() {
		if dir := os.Getenv(socketEnv); dir != "" {
			shared.server = &Server{dir: dir}
			return
		}
		shared.server, shared.err = Start()
	})
	skipOrFail(t, shared.err)
	return shared.server
}

// newName returns the name of a database that does not exist on the shared server.
func newName() string { return fmt.Sprintf("t%d_%d", os.Getpid(), shared.count.Add(1)) }

// create creates a database that is dropped when the test ends, and returns its URL.
func (s *Server) create(t testing.TB, options string) string {
	t.Helper()
	name := newName()
	if err := s.exec("CREATE DATABASE " + name + options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.url(name)
}

// A Server is a PostgreSQL server for one test, which may stop and start it.
type Server struct {
	URL string // of its one database

	bin, dir string
	listen   string              // address; "" for the socket only
	account  *syscall.Credential // nil for the current user
	keeper   *exec.Cmd
	alive    io.Closer // closing it ends the keeper
}

// NewServer starts a server for one test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := Start()
	skipOrFail(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Env returns the environment variable by which tests in other processes find the server.
func (s *Server) Env() string { return socketEnv + "=" + s.dir }

// URLAt returns the URL of the server's only database at the address that it listens on.
func (s *Server) URLAt() string { return "postgres://postgres@" + s.listen + ":" + port + "/postgres" }

// Close stops the server and removes its data.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

func skipOrFail(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Start creates a database cluster and starts a server on it, which the caller must close.
// Tests use [NewServer]. The error may be [ErrNotInstalled].
func Start() (*Server, error) { return StartAt("") }

// StartAt is [Start] for a server that also listens on an address, without authentication:
// for programs in the network namespaces of a test.
func StartAt(addr string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	// Not below the test's folder: its path may be too long for a socket, and other users
	// may not have access.
	dir, err := os.MkdirTemp("/tmp", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, listen: addr}
	if err := s.init(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.URL = s.url("postgres")
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// programs returns the folder of PostgreSQL's programs, the newest if there are
// several. Debian keeps them out of the way.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is valid
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	if n := len(found); n > 0 {
		return filepath.Dir(found[n-1]), nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", ErrNotInstalled
}

func version(p string) int {
	n, _ := strconv.Atoi(strings.Split(p, "/")[4]) // 0 sorts first
	return n
}

// init creates the cluster.
func (s *Server) init() error {
	var err error
	// Neither PostgreSQL nor PgBouncer runs as root.
	if s.account, err = unprivileged.HandOver(s.dir, "postgres"); err != nil {
		return err
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	if s.listen == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, "host all all all trust\n")
	return errors.Join(err, f.Close())
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	s.prepare(cmd)
	return cmd
}

func (s *Server) prepare(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.account}
}

// keep runs a server until the end of its standard input, that is, until the process of the
// test has ended in any way. Then it stops the server with the signal that is its first
// argument, and removes the folder.
const keep = `
signal=$1
shift
"$@" >log 2>&1 &
read -r word
kill -$signal $! && wait $!
[ "$word" = stay ] || { cd / && rm -rf "$0"; }
`

// Start starts the server, and returns when it answers.
func (s *Server) Start() error {
	args := []string{"-c", keep, s.dir, "INT", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.dir}
	for _, set := range append(settings, "listen_addresses="+s.listen) {
		args = append(args, "-c", set)
	}
	s.keeper = exec.Command("/bin/sh", args...)
	s.prepare(s.keeper)
	alive, err := s.keeper.StdinPipe()
	if err != nil {
		return err
	}
	s.alive = alive
	if err := s.keeper.Start(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := s.exec("SELECT 1")
		if err == nil {
			return nil
		}
		if time.Since(began) > startTime {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return errors.Join(fmt.Errorf("pgtest: the server does not answer: %w\n%s", err, log), s.Stop())
		}
	}
}

// Stop stops the server without waiting for clients.
func (s *Server) Stop() error {
	if s.keeper == nil {
		return nil
	}
	_, err := io.WriteString(s.alive.(io.Writer), "stay\n")
	err = errors.Join(err, s.alive.Close())
	s.keeper.Wait() //nolint:errcheck // its status is that of the last test in it
	s.keeper = nil
	return err
}

// Freeze suspends all processes of the server, until thaw is called or the test ends.
func (s *Server) Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pids := []string{first}
	children, err := os.ReadFile("/proc/" + first + "/task/" + first + "/children")
	if err != nil {
		t.Fatal(err)
	}
	pids = append(pids, strings.Fields(string(children))...)
	signal := func(sig syscall.Signal) {
		for _, text := range pids {
			if pid, err := strconv.Atoi(text); err == nil {
				syscall.Kill(pid, sig) //nolint:errcheck // fails if it has ended
			}
		}
	}
	signal(syscall.SIGSTOP)
	thaw = sync.OnceFunc(func() { signal(syscall.SIGCONT) })
	t.Cleanup(thaw)
	return thaw
}

// Run runs a statement in the server's only database, even while that is read-only.
func (s *Server) Run(t testing.TB, statement string) {
	t.Helper()
	if err := s.exec(statement); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) url(database string) string {
	return "postgres://postgres@/" + database + "?host=" + s.dir + "&port=" + port
}

// Size returns the size of the server's only database on disk, in bytes.
func (s *Server) Size(ctx context.Context) (bytes float64, err error) {
	conn, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `SELECT pg_database_size(current_database())::float8`).Scan(&bytes)
	return bytes, err
}

// exec runs a statement outside of any test's database.
func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
