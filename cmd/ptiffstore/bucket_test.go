package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBucketFlags gives processes an endpoint with credentials, and other wrong ones: none starts,
// and no output has a secret.
func TestBucketFlags(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	for _, endpoint := range []string{"https://KEY:hunter2@s3.example.org", "s3.example.org", "https://s3.example.org/hunter2"} {
		for _, mode := range []string{"serve", "tileserver", "worker"} {
			r := command(t, mode, "--data", data, "--s3-endpoint", endpoint)
			if r.code == exitOK || !strings.Contains(r.err, "--s3-endpoint ") || strings.Contains(r.err+r.out, "hunter2") {
				t.Errorf("%s with %s: %v, want it refused without the secret", mode, endpoint, r)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte("s3:\n  endpoint: https://KEY:hunter2@s3.example.org\n  path_style: true\n  profile: slides\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, "config", "show", "--config", file)
	if r.code != exitOK || strings.Contains(r.out+r.err, "hunter2") || !strings.Contains(r.out, "slides") {
		t.Errorf("config show: %v", r)
	}
}

// TestAdoptCredentials takes the credentials of a server, unless there are others.
func TestAdoptCredentials(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, ".aws", "credentials")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	clear := func() {
		for _, name := range credentialVariables {
			t.Setenv(name, "")
		}
	}
	for _, tt := range []struct {
		own, env, want map[string]string
	}{
		{nil, nil, nil},
		{nil, map[string]string{"AWS_ACCESS_KEY_ID": "k", "PATH": "/none"}, map[string]string{"AWS_ACCESS_KEY_ID": "k", "PATH": os.Getenv("PATH")}},
		{nil, map[string]string{"HOME": home}, map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file}},
		{nil, map[string]string{"HOME": home, "AWS_SHARED_CREDENTIALS_FILE": "/other"}, map[string]string{"AWS_SHARED_CREDENTIALS_FILE": "/other"}},
		{map[string]string{"AWS_PROFILE": "mine"}, map[string]string{"HOME": home, "AWS_ACCESS_KEY_ID": "k"}, map[string]string{"AWS_PROFILE": "mine", "AWS_ACCESS_KEY_ID": "", "AWS_SHARED_CREDENTIALS_FILE": ""}},
	} {
		clear()
		for name, value := range tt.own {
			t.Setenv(name, value)
		}
		adoptCredentials(tt.env)
		for name, want := range tt.want {
			if got := os.Getenv(name); got != want {
				t.Errorf("with %v, of %v: %s is %q, want %q", tt.own, tt.env, name, got, want)
			}
		}
	}
}
