package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBackupBar backs up at a terminal, which shows a bar, and elsewhere, where standard
// error stays empty.
func TestBackupBar(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	backup := func(std streams) {
		t.Helper()
		var out bytes.Buffer
		std.out = &out
		if code := run(t.Context(), []string{"backup", t.TempDir(), "--data", data}, std); code != exitOK {
			t.Fatalf("exit code %d", code)
		}
	}
	person, program := terminal(t)
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 120}); err != nil {
		t.Fatal(err)
	}
	screen := &logBuffer{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 1024)
		for {
			n, err := person.Read(b)
			if err != nil {
				return // the program's end is closed
			}
			screen.Write(b[:n]) //nolint:errcheck // memory
		}
	}()
	backup(streams{err: program})
	program.Close()
	<-ended
	if !strings.Contains(screen.String(), "100 %") || !strings.Contains(screen.String(), "computing the digest") {
		t.Errorf("the terminal shows %q, want a full bar", screen)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	backup(streams{err: file})
	if fi, err := file.Stat(); err != nil || fi.Size() > 0 {
		t.Errorf("%d bytes in the log, %v, want none", fi.Size(), err)
	}
}
