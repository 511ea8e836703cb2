// Package s3test runs S3 servers for tests: versitygw over a folder, as a process, which is
// built from its own module when a test first needs it, and a proxy that fails on demand.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/slideatlas/ptiffstore/test/program"
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

func checked(t testing.TB, start func() (*Server, error)) *Server {
	t.Helper()
	s, err := start()
	if errors.Is(err, program.ErrBuild) {
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
	server, err := program.Build("test/s3test/versitygw", "github.com/versity/versitygw/cmd/versitygw")
	if err != nil {
		return nil, err
	}
	top, err := os.MkdirTemp("", "s3test")
	if err != nil {
		return nil, err
	}
	s := &Server{top: top, Dir: filepath.Join(top, "buckets")}
	if err := s.start(server); err != nil {
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
