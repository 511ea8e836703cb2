package ptiffstore_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStatic builds the program as make build does, with and without the libraries in C, and
// runs it where there is nothing else: no libraries, no /etc, no /proc.
func TestStatic(t *testing.T) {
	t.Run("pure Go", func(t *testing.T) {
		t.Parallel()
		testStatic(t, "Go image/jpeg", "NATIVE=no")
	})
	t.Run("native", func(t *testing.T) {
		t.Parallel()
		tag, err := exec.Command("scripts/build", "--native").Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(tag) == 0 {
			t.Skip("the libraries in C cannot be linked: scripts/setup build")
		}
		testStatic(t, "libjpeg-turbo ", "NATIVE=")
	})
}

func testStatic(t *testing.T, codec, native string) {
	root := t.TempDir()
	bin := filepath.Join(root, "ptiffstore")
	build := exec.Command("scripts/build", bin, "v0.0.0")
	build.Env = append(os.Environ(), native, "GOFLAGS=-buildvcs=false -trimpath")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkStatic(t, bin)
	if os.Getuid() != 0 {
		t.Skip("not run in an empty root folder: only root may change it")
	}
	cmd := exec.Command("/ptiffstore", "version")
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "ptiffstore v0.0.0 ") || !strings.Contains(string(out), "JPEG decoder: "+codec) {
		t.Errorf("in an empty root folder, ptiffstore version gives %q, %v", out, err)
	}
}

// checkStatic fails the test if the program asks for an interpreter or a library.
func checkStatic(t *testing.T, bin string) {
	t.Helper()
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program asks for an interpreter (PT_INTERP): it is not static")
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if len(libs) > 0 {
		t.Errorf("the program needs %v: it is not static", libs)
	}
}
