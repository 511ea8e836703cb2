package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUploadToken uploads without a token, with a wrong one and with a good one from each of
// the places that may name it.
func TestUploadToken(t *testing.T) {
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	token := o.says("", "token", "add", "--user", "anna", "--scope", "write")
	store := done(t, "store", "add", filepath.Join(t.TempDir(), "archive"), "--managed", "--data", o.data)
	s := start(t, "serve", "--data="+o.data, "--auth=local", "--no-admin-link")
	folder := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrong := "ptfs_" + strings.Repeat("x", 40)
	for _, tt := range []struct {
		name   string
		args   []string
		env    string
		code   int
		want   string
		secret string // must not be shown
	}{
		{"none", nil, "", exitFailure, "no token given", token},
		{"wrong", nil, wrong, exitFailure, "does not accept this token", wrong},
		{"wrong file", []string{"--token-file", write("wrong", wrong+"\n")}, token, exitFailure, "does not accept this token", wrong},
		{"no file", []string{"--token-file", filepath.Join(folder, "none")}, token, exitFailure, "--token-file: ", token},
		{"empty file", []string{"--token-file", write("empty", "")}, token, exitFailure, "the first line is empty", token},
		{"environment", nil, token, exitOK, "", token},
		{"file", []string{"--token-file", write("token", token+"\n")}, wrong, exitOK, "", token},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PTIFFSTORE_TOKEN", tt.env)
			r := command(t, append([]string{"upload", plain.file(t), "--to", s.url, "--store", store, "--wait=0s", "--state-dir", t.TempDir()}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.err, tt.want) || strings.Contains(r.out+r.err, tt.secret) {
				t.Errorf("%v, want exit code %d and %q", r, tt.code, tt.want)
			}
		})
	}
	s.stop()
}
