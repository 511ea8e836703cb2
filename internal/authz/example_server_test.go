package authz_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
)

// TestExampleServer builds the server of docs/central-server.md, and sends it requests.
func TestExampleServer(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/central-server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(page), "```go\n")
	code, _, ok2 := strings.Cut(code, "```\n")
	if !ok || !ok2 {
		t.Fatal("the page has no example")
	}
	dir := t.TempDir()
	source, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "central")
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", bin, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the other packages are built, so that they are not built again
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(bin, "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may be dead already
		cmd.Wait()         //nolint:errcheck // it was killed
	})
	base, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	central, err := authz.NewCentral(authz.CentralOptions{URL: strings.TrimSpace(base)})
	if err != nil {
		t.Fatal(err)
	}
	defer central.Close()
	question := func(store, image string, scope account.Scope) authz.Request {
		return authz.Request{Store: store, Image: image, Scope: scope}
	}
	tests := []struct {
		token string
		qs    []authz.Request
		want  []int
	}{
		{"ann-secret", []authz.Request{question("kidney", "a", account.ScopeTiles)}, []int{200}},
		{"bob-secret", []authz.Request{question("kidney", "a", account.ScopeTiles)}, []int{403}},
		{"ann-secret", []authz.Request{question("kidney", "a", account.ScopeLabel)}, []int{403}},
		{"ann-secret", []authz.Request{question("", "", account.ScopeTiles)}, []int{403}},
		{"eve", []authz.Request{question("kidney", "a", account.ScopeTiles)}, []int{401}},
		{"bob-secret", []authz.Request{question("kidney", "a", account.ScopeTiles), question("lung", "b", account.ScopeTiles)}, []int{403, 200}},
		{"bob-secret", []authz.Request{question("lung", "a", account.ScopeLabel), question("lung", "b", account.ScopeLabel)}, []int{403, 403}},
		{"eve", []authz.Request{question("lung", "a", account.ScopeTiles), question("lung", "b", account.ScopeTiles)}, []int{401, 401}},
	}
	for _, tt := range tests {
		decisions, err := central.Check(t.Context(), authz.Credential{Authorization: "Bearer " + tt.token}, tt.qs)
		if err != nil {
			t.Errorf("%s: %v", tt.token, err)
		}
		var got []int
		for _, a := range decisions {
			got = append(got, a.Status)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s asks %v:\n%s", tt.token, tt.qs, d)
		}
	}
}
