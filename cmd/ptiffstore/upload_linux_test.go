package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

// TestUploadKilled kills and restarts the server at random moments during an upload: the
// slide arrives complete and becomes available.
func TestUploadKilled(t *testing.T) {
	t.Parallel()
	uploadKilled(t, filepath.Join(slidesIn(t, nil), "archive"), 200<<20)
}

// TestUploadKilledBucket is TestUploadKilled for a store in a bucket, which has the slide, its
// sidecar and nothing else at the end.
func TestUploadKilledBucket(t *testing.T) {
	s3test.Env(t)
	server := s3test.New(t)
	bucket := server.Bucket(t)
	uploadKilled(t, "s3://"+bucket+"/archive", 90<<20, "--s3-endpoint", server.URL, "--s3-path-style")
	var files []string
	root := filepath.Join(server.Dir, bucket, "archive")
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, filepath.Ext(path))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	if !slices.Equal(files, []string{".json", ".ptiffstore-store", ".tiff"}) {
		t.Errorf("the bucket has %q", files)
	}
}

func uploadKilled(t *testing.T, root string, size int, flags ...string) {
	t.Helper()
	dir, data := slidesIn(t, nil), t.TempDir()
	flags = append(flags, "--data", data)
	store := strings.TrimSpace(done(t, append([]string{"store", "add", root, "--managed", "--label", "archive"}, flags...)...))
	file := filepath.Join(dir, patient+".tiff")
	if err := os.WriteFile(file, append(philips.bytes(t), make([]byte, size)...), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	begin := func() *process { return launchAt(t, addr, append([]string{"serve"}, flags...)...) }
	p := begin()
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(context.Background(), []string{"upload", file, "--to", "http://" + addr, "--store", store, "--state-dir", t.TempDir(), "--json"}, streams{out: &out, err: &logBuffer{}})
	}()
	for range 4 {
		time.Sleep(rand.N(600 * time.Millisecond))
		p.end(syscall.SIGKILL)
		p = begin()
	}
	select {
	case code := <-ended:
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, out.String())
		}
	case <-time.After(90 * time.Second):
		t.Fatalf("it has not ended: %s", p.log)
	}
	var got struct{ Items []uploaded }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Items) != 1 || got.Items[0].State != "available" || got.Items[0].Image == nil {
		t.Errorf("%v: %s", err, out.String())
	}
	if strings.Contains(p.log.String(), patient) {
		t.Errorf("the log names a patient: %s", p.log)
	}
}
