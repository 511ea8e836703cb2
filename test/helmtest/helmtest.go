// Package helmtest runs Helm in tests. It is built from a module of its own when a test first
// needs it.
package helmtest

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/test/program"
)

// Run runs Helm with arguments and returns what it prints on standard output. It skips the test if Helm cannot be
// built, and fails it if Helm does.
func Run(t testing.TB, args ...string) string {
	t.Helper()
	helm, err := program.Build("test/helmtest/helm", "helm.sh/helm/v3/cmd/helm")
	if errors.Is(err, program.ErrBuild) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(helm, args...)
	dir := t.TempDir()
	cmd.Env = []string{"HOME=" + dir, "HELM_CACHE_HOME=" + dir, "HELM_CONFIG_HOME=" + dir, "HELM_DATA_HOME=" + dir}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm %s: %v: %s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}
