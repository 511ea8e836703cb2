// Package unprivileged runs tests, and servers of tests, as a user who may not read and write
// everything.
package unprivileged

import (
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The id of the unprivileged user nobody, and of its group.
const nobody = 65534

// HandOver makes dir the folder of an unprivileged user if this user is root, and returns that
// user, as whom to run a process: the first of names that exists, or else nobody. It returns
// nil, which is the current user, if this user is not root. The folder of t.TempDir is closed
// to other users.
func HandOver(dir string, names ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // as in SysProcAttr: the current user
	}
	uid, gid := nobody, nobody
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
			break
		}
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid) //nolint:gosec // ids of the system
}

// Rerun runs the test again as the user nobody if the user is root, and reports whether it
// did. The test then fails if the other run fails or is skipped, and has nothing left to do.
func Rerun(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "test") // the binary of go test is closed as well
	if err := copyProgram(bin, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	account, err := HandOver(dir)
	if err != nil {
		t.Skip("cannot become another user: ", err)
	}
	cmd := exec.Command(bin, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account}
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
