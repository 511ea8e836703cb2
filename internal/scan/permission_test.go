package scan

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// TestPermissionDenied runs as a user who may not read everything: root starts this
// test again as the user nobody.
func TestPermissionDenied(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		asNobody(t, "^TestPermissionDenied$")
		return
	}
	st := newSite(t)
	st.write("closed.tiff", slidetest.Pyramid{}.Bytes())
	st.write("closed/a.tiff", slidetest.Pyramid{Seed: 1}.Bytes())
	st.write("open.tiff", slidetest.Pyramid{Seed: 2}.Bytes())
	st.later(time.Minute)
	chmod := func(mode os.FileMode, name string) {
		t.Helper()
		if err := os.Chmod(st.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(st.path("closed"), 0o755) })

	chmod(0, "closed.tiff")
	r := st.scan(Options{})
	if im := st.image("closed.tiff"); im.State != catalog.Broken || !strings.Contains(im.Reason, "permission denied") || !strings.Contains(im.Reason, "user ") {
		t.Errorf("a file that may not be read: %s %q, want %s, and whom to give permission", im.State, im.Reason, catalog.Broken)
	}
	if len(r.Failed) != 1 || r.Added != 3 {
		t.Errorf("%+v, want 3 added, 1 of them failed", r)
	}
	chmod(0, "closed")
	for range 2 {
		if r = st.scan(Options{}); r.Missing != 0 || r.Updated != 0 || len(r.Failed) != 2 {
			t.Errorf("a folder that may not be read: %+v, want 2 failed, none missing", r)
		}
	}
	if got := st.image("closed/a.tiff").State; got != catalog.Available {
		t.Errorf("in a folder that may not be read: %s, want %s as before", got, catalog.Available)
	}
	chmod(0o755, "closed")
	chmod(0o644, "closed.tiff")
	if r = st.scan(Options{}); len(r.Failed) != 0 || r.Updated != 1 {
		t.Errorf("all may be read again: %+v, want 1 updated", r)
	}
	if got := st.image("closed.tiff").State; got != catalog.Available {
		t.Errorf("a file that may be read again: %s, want %s", got, catalog.Available)
	}
	chmod(0, "")
	_, err := st.Sync(t.Context(), st.store, Options{})
	chmod(0o755, "")
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a store that may not be read: %v, want permission denied", err)
	}
}

// asNobody runs tests of this binary as an unprivileged user.
func asNobody(t *testing.T, run string) {
	t.Helper()
	const nobody = 65534
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := filepath.Join(dir, "test") // the binary of go test is unreadable for this user
	if err := copyFile(bin, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Skip("cannot become another user: ", err)
	}
	cmd := exec.Command(bin, "-test.run="+run, "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
