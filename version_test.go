package ptiffstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestVersion runs scripts/version in a copy of the source: without git, before a release,
// at its tag, and after it.
func TestVersion(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	script, err := os.ReadFile("scripts/version")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	commit := func() {
		run("git", "add", "-A")
		run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "-m", "x")
	}
	check := func(state, want string) {
		t.Helper()
		if got := run("bash", "scripts/version"); !regexp.MustCompile(`^` + want + `$`).MatchString(got) {
			t.Errorf("%s: version %s, want %s", state, got, want)
		}
	}
	const changes = "# Changes\n\n## v0.9.0 (unreleased)\n\n## v0.8.0 (2025-01-02)\n"
	released := strings.Replace(changes, "unreleased", "2027-01-15", 1)
	write("scripts/version", string(script))
	write("CHANGELOG.md", changes)
	check("an archive before the release", `v0\.9\.0-dev`)
	write("CHANGELOG.md", released)
	check("an archive of the release", `v0\.9\.0`)

	write("CHANGELOG.md", changes)
	run("git", "init", "--quiet")
	commit()
	check("a commit before the release", `v0\.9\.0-dev\+[0-9a-f]{12}`)
	write("CHANGELOG.md", released)
	check("a changed file", `v0\.9\.0\+[0-9a-f]{12}\.dirty`)
	commit()
	check("a clone without tags", `v0\.9\.0\+[0-9a-f]{12}`)
	run("git", "tag", "unrelated")
	run("git", "tag", "v0.9.0")
	check("the tag", `v0\.9\.0`)
	write("CHANGELOG.md", strings.Replace(released, "# Changes\n", "# Changes\n\n## v0.10.0 (unreleased)\n", 1))
	commit()
	check("a commit after the release", `v0\.10\.0-dev\+[0-9a-f]{12}`)
}

// TestVersionOfSource fails when CHANGELOG.md does not name the version of this source.
func TestVersionOfSource(t *testing.T) {
	out, err := exec.Command("bash", "scripts/version").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || !regexp.MustCompile(`^v\d+\.\d+\.\d+(-dev)?(\+[0-9a-f]{12}(\.dirty)?)?$`).MatchString(got) {
		t.Errorf("version %q, %v", got, err)
	}
}
