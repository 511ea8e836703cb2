package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPackageFiles writes the files of a package, and checks them with the programs that
// will read them.
func TestPackageFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	written := strings.Fields(done(t, "deploy", "package", "-o", root, "--date=2026-01-15"))
	t.Run("configuration", func(t *testing.T) {
		if r := command(t, "config", "check", filepath.Join(root, "etc/ptiffstore/ptiffstore.yaml")); r.code != exitOK || strings.Count(r.out, "\n") != 1 {
			t.Errorf("%v, want it valid without a warning", r)
		}
	})
	t.Run("manual pages", func(t *testing.T) { checkManual(t, filepath.Join(root, "usr/share/man/man1")) })
	t.Run("completions", func(t *testing.T) {
		for shell, file := range map[string]string{
			"bash": "usr/share/bash-completion/completions/ptiffstore", "zsh": "usr/share/zsh/vendor-completions/_ptiffstore", "fish": "usr/share/fish/vendor_completions.d/ptiffstore.fish",
		} {
			file = filepath.Join(root, file)
			if !slices.Contains(written, file) {
				t.Errorf("%s is not among the files written", file)
			}
			if program, err := exec.LookPath(shell); err == nil {
				if out, err := exec.Command(program, "-n", file).CombinedOutput(); err != nil {
					t.Errorf("%s: %v: %s", shell, err, out)
				}
			}
		}
	})
	t.Run("units", func(t *testing.T) { checkPackageUnits(t, filepath.Join(root, "usr/lib/systemd/system")) })
}

// checkManual checks that the pages name each command and flag, and that the readers of
// manual pages find nothing wrong with them.
func checkManual(t *testing.T, dir string) {
	text := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), `\-`, "-")
	}
	overview := text("ptiffstore.1")
	for _, leaf := range newParser(&program{}).Model.Leaves(true) {
		top := leaf
		for top.Parent.Parent != nil {
			top = top.Parent
		}
		page := text("ptiffstore-" + top.Name + ".1")
		if !strings.Contains(overview, "ptiffstore-"+top.Name) || !strings.Contains(page, leaf.FullPath()) {
			t.Errorf("the manual lacks the command %s", leaf.FullPath())
		}
		for _, f := range leaf.Flags {
			if !f.Hidden && !strings.Contains(page, "--"+f.Name) && !strings.Contains(page, "--[no-]"+f.Name) {
				t.Errorf("the page of %s lacks the flag --%s", top.Name, f.Name)
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 25 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, reader := range [][]string{{"mandoc", "-Tlint"}, {"groff", "-man", "-Tutf8", "-ww", "-z"}} {
		program, err := exec.LookPath(reader[0])
		if err != nil {
			t.Logf("%s is not installed", reader[0])
			continue
		}
		if out, err := exec.Command(program, append(reader[1:], pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", reader[0], err, out)
		}
	}
}

// checkPackageUnits checks the units with systemd-analyze, with this machine's programs and
// folders in place of those of the package.
func checkPackageUnits(t *testing.T, dir string) {
	verifier, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	units, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(units) != 5 {
		t.Fatalf("units %q, %v, want the server, and backup and doctor with a timer each", units, err)
	}
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("/usr/bin/ptiffstore", built(t), "=ptiffstore\n", "=root\n").Replace(string(b))
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(verifier, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if strings.Contains(string(out), "ptiffstore") {
		t.Errorf("systemd-analyze: %v: %s", err, out)
	}
}
