package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPythonClient runs the tests of clients/python against a server with access control.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	python := pythonFor(t)
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "robot", "--admin")
	token := o.says("", "token", "add", "--user", "robot", "--scope", "admin", "--scope", "write", "--scope", "label")
	files := map[string]*slideFile{"philips.tiff": philips, "plain.tiff": plain}
	folder, lost := slidesIn(t, files), slidesIn(t, files)
	o.says("", "store", "add", folder, "--label", "Scanner 1")
	o.says("", "store", "add", slidesIn(t, map[string]*slideFile{"profile.tiff": profiled}), "--label", "Other")
	o.says("", "store", "add", lost, "--label", "Lost")
	o.says("", "store", "add", t.TempDir(), "--managed", "--label", "Archive")
	s := start(t, "serve", "--data", o.data, "--auth", "local", "--no-admin-link")
	s.until("all slides", func() bool {
		return strings.Count(s.get("/api/v1/images", "Authorization", "Bearer "+token).body, `"state":"available"`) == 5
	})
	// Another folder in its place: its sync fails at once, until a person confirms.
	if err := os.Rename(lost, lost+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lost, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-W", "error", "-B", "-m", "unittest", "discover", "-s", "tests", "-t", ".")
	cmd.Dir = "../../clients/python"
	cmd.Env = append(os.Environ(), "PYTHONPATH=.", "PTIFFSTORE_URL="+s.url, "PTIFFSTORE_TOKEN="+token, "TEST_FOLDER="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("python3 -m unittest: %v\n%s", err, out)
	}
}

// pythonFor returns a Python, one with OpenSlide if there is any: Debian's packages are not seen by
// another python3 in PATH. Tests that need a missing package skip.
func pythonFor(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import PIL, openslide").Run() == nil {
			return python
		}
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed (Debian: python3)")
	}
	return python
}
