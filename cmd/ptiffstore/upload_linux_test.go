package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUploadKilled kills and restarts the server at random moments during an upload: the
// slide arrives complete and becomes available.
func TestUploadKilled(t *testing.T) {
	t.Parallel()
	dir, data := slidesIn(t, nil), t.TempDir()
	store := strings.TrimSpace(command(t, "store", "add", filepath.Join(dir, "archive"), "--managed", "--label", "archive", "--data", data).out)
	file := filepath.Join(dir, patient+".tiff")
	if err := os.WriteFile(file, append(philips.bytes(t), make([]byte, 200<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	begin := func() *process { return launchAt(t, addr, "serve", "--data", data) }
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
