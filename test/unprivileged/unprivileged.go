// Package unprivileged runs tests as a user who may not read and write everything.
package unprivileged

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// userID is the id of the unprivileged user nobody, and of its group.
const userID = 65534

// Rerun runs the test again as the user nobody if the user is root, and reports whether it
// did. The test then fails if the other run fails or is skipped, and has nothing left to do.
func Rerun(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	dir, err := os.MkdirTemp("", "nobody") // the folder of t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "test") // the binary of go test is closed as well
	if err := copyProgram(bin, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, userID, userID); err != nil {
		t.Skip("cannot become another user: ", err)
	}
	cmd := exec.Command(bin, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID, Gid: userID}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
	return true
}

// copyProgram copies a program to a file that everybody may run.
func copyProgram(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err = io.Copy(dst, src); err == nil {
		err = dst.Chmod(0o755)
	}
	if closed := dst.Close(); err == nil {
		err = closed
	}
	return err
}
