package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExposedSecrets checks the warning about secrets that other users can read. It has the
// fix, and not the secret.
func TestExposedSecrets(t *testing.T) {
	t.Parallel()
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o400: false, 0o644: true, 0o604: true, 0o602: true} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte("hush hush hush\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log, said bytes.Buffer
		warnExposed(slog.New(slog.NewTextHandler(&log, nil)), "--edge-secret-file", path)
		word, err := passwordSource{PasswordFile: path}.read(streams{err: &said})
		if err != nil || word != "hush hush hush" {
			t.Errorf("%v: password %q, %v", mode, word, err)
		}
		for name, text := range map[string]string{"log": log.String(), "command": said.String()} {
			if got := strings.Contains(text, "chmod o=") && strings.Contains(text, path); got != want || strings.Contains(text, "hush") {
				t.Errorf("%v: %s says %q, warning wanted: %v", mode, name, text, want)
			}
		}
	}
	if exposed("/dev/null") || exposed(filepath.Join(t.TempDir(), "none")) {
		t.Error("what is no file is no secret of anybody")
	}
}
