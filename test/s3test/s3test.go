// Package s3test runs S3 servers for tests: versitygw over a folder, as a process, which is
// built from its own module when a test first needs it, and a proxy that fails on demand.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// The credentials of all servers.
const (
	AccessKey = "s3test-access"
	SecretKey = "s3test-secret-d41d8cd98f"
)

// startTime is how long a server may take to start, on a machine that is busy.
const startTime = time.Minute

// A Server is a running server.
type Server struct {
	URL string // http://HOST:PORT
	Dir string // its buckets are folders here

	top   string
	cmd   *exec.Cmd
	alive io.Closer // closing it ends the process
	core  *minio.Core
}

// shared is the server of all tests of a package. It ends with the process.
var shared = sync.OnceValues(Start)

// New returns the server of all tests of a package: each uses buckets of its own. It skips the
// test if the server cannot be built.
func New(t testing.TB) *Server {
	t.Helper()
	return checked(t, shared)
}

// NewServer starts a server for one test, which may stop it.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := checked(t, Start)
	t.Cleanup(s.Stop)
	return s
}

// errBuild is the reason why tests are skipped.
var errBuild = errors.New("s3test: cannot build versitygw")

func checked(t testing.TB, start func() (*Server, error)) *Server {
	t.Helper()
	s, err := start()
	if errors.Is(err, errBuild) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Env sets the environment so that the process finds the credentials of the servers, and no
// others.
func Env(t testing.TB) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	for _, name := range []string{"AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "")
	}
}

// Start starts a server for a program, as an unprivileged user if this one is root. The caller
// stops it.
func Start() (*Server, error) {
	program, err := build()
	if err != nil {
		return nil, err
	}
	top, err := os.MkdirTemp("", "s3test")
	if err != nil {
		return nil, err
	}
	s := &Server{top: top, Dir: filepath.Join(top, "buckets")}
	if err := s.start(program); err != nil {
		s.Stop()
		return nil, fmt.Errorf("s3test: the server does not start: %w", err)
	}
	return s, nil
}

// start starts the process on a free port. Another process may take the port in between.
func (s *Server) start(program string) error {
	account, err := unprivileged.HandOver(s.top)
	if err != nil {
		return err
	}
	args := []string{"posix"}
	for _, dir := range []string{s.Dir, filepath.Join(s.top, "attributes")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if _, err := unprivileged.HandOver(dir); err != nil {
			return err
		}
	}
	if syscall.Setxattr(s.Dir, "user.s3test", []byte("1"), 0) != nil {
		args = append(args, "--sidecar", filepath.Join(s.top, "attributes"))
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if err := s.run(program, address, account, append(args, s.Dir)); err != nil {
		return err
	}
	return s.wait()
}

// run starts the process. A shell ends it when this process ends.
func (s *Server) run(program, address string, account *syscall.Credential, args []string) error {
	script := `"$@" & p=$!; read -r _; kill -9 $p; wait $p 2>/dev/null`
	s.cmd = exec.Command("/bin/sh", append([]string{
		"-c", script, "sh", program, "--port", address,
		"--access", AccessKey, "--secret", SecretKey, "--keep-alive", "--quiet",
	}, args...)...)
	s.cmd.Dir, s.cmd.Stderr, s.cmd.WaitDelay = s.top, os.Stderr, 10*time.Second
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	var err error
	if s.alive, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	s.URL = "http://" + address
	if s.core, err = minio.NewCore(address, &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	}); err != nil {
		return err
	}
	return s.cmd.Start()
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// wait waits until the server answers.
func (s *Server) wait() error {
	var err error
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var resp *http.Response
		if resp, err = http.Get(s.URL); err == nil { //nolint:noctx // it ends with the process
			return resp.Body.Close()
		}
	}
	return err
}

// Stop ends the server and removes its data.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.alive.Close()
		_ = s.cmd.Wait() // it is stopped by a signal
	}
	os.RemoveAll(s.top)
}

// Bucket makes a new bucket and returns its name.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := strings.ToLower("b-" + rand.Text()[:12])
	if err := s.MakeBucket(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// MakeBucket makes a bucket.
func (s *Server) MakeBucket(name string) error {
	return s.core.MakeBucket(context.Background(), name, minio.MakeBucketOptions{Region: "us-east-1"})
}

// Put writes an object, or replaces it.
func (s *Server) Put(t testing.TB, bucket, key string, body []byte) {
	t.Helper()
	if err := s.PutReader(bucket, key, bytes.NewReader(body), int64(len(body))); err != nil {
		t.Fatal(err)
	}
}

// PutReader writes an object, in parts of 16 MiB if it is larger.
func (s *Server) PutReader(bucket, key string, r io.Reader, size int64) error {
	_, err := s.core.Client.PutObject(context.Background(), bucket, key, r, size, minio.PutObjectOptions{
		PartSize:             16 << 20,
		DisableContentSha256: true, // the server leaves the end of an empty signed body in the connection
	})
	return err
}

// Remove deletes an object.
func (s *Server) Remove(t testing.TB, bucket, key string) {
	t.Helper()
	if err := s.core.RemoveObject(context.Background(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Get returns the bytes of an object, and whether there is one.
func (s *Server) Get(t testing.TB, bucket, key string) ([]byte, bool) {
	t.Helper()
	body, _, _, err := s.core.GetObject(context.Background(), bucket, key, minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return b, true
}

// build returns the path of the program, which it builds unless it did before. The program
// stays in the user's cache: linking it takes longer than most tests.
func build() (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("ptiffstore-versitygw-%d-%s-%x", os.Getuid(), runtime.Version(), sum.Sum(nil)[:8]))
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
	program := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program+".new", "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %w\n%s", errBuild, err, out)
	}
	return program, os.Rename(program+".new", program)
}

// sourceDir returns the folder of the module of the program. Tests are built with -trimpath and
// run in the folder of their package.
func sourceDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		source := filepath.Join(dir, "test", "s3test", "versitygw")
		if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
			return source, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("s3test: no module of versitygw above the current folder")
		}
		dir = filepath.Dir(dir)
	}
}

// private returns an error unless the folder belongs to this user: another one could have
// put a program there.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); !ok || !fi.IsDir() || int(s.Uid) != os.Getuid() || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("s3test: %s belongs to another user", dir)
	}
	return nil
}
