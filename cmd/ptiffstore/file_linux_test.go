package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNamedPipe reads a named pipe that has no writer.
func TestNamedPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe.tiff")
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan result, 1)
	go func() { done <- command(t, "inspect", path) }()
	select {
	case r := <-done:
		if r.code != exitFailure || !strings.Contains(r.err, "is not a regular file") {
			t.Errorf("%v, want exit code %d", r, exitFailure)
		}
	case <-time.After(soon):
		t.Fatal("still waiting for somebody to write")
	}
}
