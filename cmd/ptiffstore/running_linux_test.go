package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestDoctorOfProcess examines a running server without its flags: they are found in the
// process table.
func TestDoctorOfProcess(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := launch(t, "serve", "--data="+data, "--auth=local", "--no-admin-link")
	r := command(t, "doctor", "--data="+data, "--all", "--timeout=1m")
	for _, want := range []string{"ok       settings: those of process ", "--auth local"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%v, want %q", r, want)
		}
	}
	p.end(syscall.SIGTERM)
}
