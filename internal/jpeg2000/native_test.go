//go:build native && cgo && linux

package jpeg2000

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is also what the processes of these tests run.
func TestMain(m *testing.M) {
	switch os.Getenv("JPEG2000_TEST") {
	case "decode":
		decodeInput()
	case "hold":
		holdHelper()
	default:
		os.Exit(m.Run())
	}
}

// sample returns a file of testdata. All are of 96×80 pixels, and were made of the same
// pictures by opj_compress 2.5.0.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sampleOptions(components int) Options {
	return Options{Width: 96, Height: 80, Components: components}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string // of the planes, or what the error says
		sum  string // of the pixels, where they are known without this package
	}{
		{"rgb.j2k", sampleOptions(3), "96x80 96x80 96x80", ""},
		{"lossless.jp2", sampleOptions(3), "96x80 96x80 96x80", "f78a1e16f003c7b770abc39a7325b31ab2e02c54b977c26e85786768c4f493f7"},
		{"422.j2k", sampleOptions(3), "96x80 48x80 48x80", "d5581053700cb7b82046d801b629472e84e6b6322fc682be9894a87af95236ac"},
		{"gray.j2k", sampleOptions(1), "96x80", ""},
		{"tiled.j2k", sampleOptions(3), "96x80 96x80 96x80", ""},
		{"tiled.j2k", Options{Width: 96, Height: 80, Components: 3, Reduce: 2}, "24x20 24x20 24x20", ""},
		{"422.j2k", Options{Width: 96, Height: 80, Components: 3, Reduce: 1}, "48x40 24x40 24x40", ""},
		{"rgb.j2k", Options{Width: 240, Height: 240, MinWidth: 90, MinHeight: 1, Components: 3}, "96x80 96x80 96x80", ""},
		{"single.j2k", Options{Width: 96, Height: 80, Components: 3, Reduce: 1}, "not supported", ""},
		{"rgb.j2k", sampleOptions(1), "damaged: 3 components, expected 1", ""},
		{"rgb.j2k", Options{Width: 100, Height: 80, Components: 3}, "damaged: an image of 96x80 pixels, expected 100x80", ""},
		{"rgb.j2k", Options{Width: 90, Height: 80, Components: 3}, "damaged: an image of 96x80 pixels, expected 90x80", ""},
		{"offset.j2k", sampleOptions(3), "an offset of 8,8", ""},
		{"deep.j2k", sampleOptions(1), "samples of 16 bits", ""},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.name, tt.o), func(t *testing.T) {
			p, err := Decode(t.Context(), sample(t, tt.name), tt.o)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, l := range p.Planes {
				got = append(got, fmt.Sprintf("%dx%d", l.Width, l.Height))
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.sum != "" && sum(p) != tt.sum {
				t.Errorf("the pixels are not those that were compressed")
			}
		})
	}
}

// sum returns a digest of the samples: interleaved, or plane by plane if their sizes differ.
func sum(p *Picture) string {
	d := sha256.New()
	if p.Planes[len(p.Planes)-1].H == 1 {
		for i := range p.Planes[0].Pix {
			for _, l := range p.Planes {
				d.Write(l.Pix[i : i+1])
			}
		}
	} else {
		for _, l := range p.Planes {
			d.Write(l.Pix)
		}
	}
	return hex.EncodeToString(d.Sum(nil))
}

// TestTruncated: data that end early are an error at every length.
func TestTruncated(t *testing.T) {
	b := sample(t, "rgb.j2k")
	for n := 1; n < len(b); n += 1 + n/16 {
		if _, err := Decode(t.Context(), b[:n], sampleOptions(3)); err == nil {
			t.Errorf("the first %d of %d bytes were decoded", n, len(b))
		}
	}
}

// TestMutated decodes damaged data. Whatever a helper makes of them, the answer has the right
// size or is an error, and the next image is right.
func TestMutated(t *testing.T) {
	want, err := Decode(t.Context(), sample(t, "lossless.jp2"), sampleOptions(3))
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 60
	if os.Getenv("PTIFFSTORE_LONG") != "" {
		rounds = 20000
	}
	decoded := 0
	for i := range rounds {
		b := bytes.Clone(sample(t, []string{"rgb.j2k", "lossless.jp2", "422.j2k", "tiled.j2k"}[i%4]))
		for range 1 + random.IntN(4) {
			at := random.IntN(len(b))
			if random.IntN(2) == 0 {
				at = random.IntN(200) // markers and boxes
			}
			b[at] = byte(random.IntN(256))
		}
		p, err := Decode(t.Context(), b, sampleOptions(3))
		if err == nil {
			decoded++
			for _, l := range p.Planes {
				if len(l.Pix) != l.Width*l.Height {
					t.Fatalf("a plane of %d bytes", len(l.Pix))
				}
			}
		}
	}
	got, err := Decode(t.Context(), sample(t, "lossless.jp2"), sampleOptions(3))
	if err != nil || sum(got) != sum(want) {
		t.Errorf("after that, another image: %v", err)
	}
	t.Logf("%d of %d were decoded; %d helpers failed", decoded, rounds, crashes.Load())
}

// TestHelperKilled kills helpers before and while they work.
func TestHelperKilled(t *testing.T) {
	p := newPool(startHelper)
	defer p.close()
	o := sampleOptions(3)
	decode := func() error {
		_, err := p.decode(t.Context(), sample(t, "rgb.j2k"), o.complete())
		return err
	}
	for range 3 {
		if err := decode(); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(p.free[0].pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := decode(); err != nil {
		t.Fatal(err)
	}
	// A stopped one does not answer.
	p.limit = 200 * time.Millisecond
	if err := syscall.Kill(p.free[0].pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := p.free[0].pid
	if err := decode(); err != nil {
		t.Fatal(err)
	}
	if p.free[0].pid == before || alive(before) {
		t.Error("the helper that hung was not replaced")
	}
}

// alive reports whether a process exists that has not ended.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

// TestConcurrent decodes in more goroutines than there are helpers.
func TestConcurrent(t *testing.T) {
	want := map[string]string{}
	names := []string{"rgb.j2k", "lossless.jp2", "422.j2k", "tiled.j2k"}
	for _, name := range names {
		p, err := Decode(t.Context(), sample(t, name), sampleOptions(3))
		if err != nil {
			t.Fatal(err)
		}
		want[name] = sum(p)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 12 {
				name := names[(i+j)%4]
				if j == 5 { // another's damage
					Decode(t.Context(), sample(t, name)[:300], sampleOptions(3))
				}
				p, err := Decode(t.Context(), sample(t, name), sampleOptions(3))
				if err != nil || sum(p) != want[name] {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(helpers().free); n > cap(helpers().slots) {
		t.Errorf("%d helpers", n)
	}
}

// TestCage makes a helper that waits for a request call the kernel, as one would that has been
// taken over: every call but those for decoding ends it.
func TestCage(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("written for the registers of amd64")
	}
	const anonymous = unix.MAP_ANONYMOUS | unix.MAP_PRIVATE
	for _, tt := range []struct {
		name string
		call [5]uint64 // number and arguments
		dies bool
	}{
		{"brk", [5]uint64{unix.SYS_BRK}, false},
		{"mmap", [5]uint64{unix.SYS_MMAP, 0, 4096, unix.PROT_READ | unix.PROT_WRITE, anonymous}, false},
		{"mmap executable", [5]uint64{unix.SYS_MMAP, 0, 4096, unix.PROT_READ | unix.PROT_EXEC, anonymous}, true},
		{"mmap file", [5]uint64{unix.SYS_MMAP, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE}, true},
		{"mprotect", [5]uint64{unix.SYS_MPROTECT, 0, 0, unix.PROT_EXEC}, true},
		{"open", [5]uint64{unix.SYS_OPEN}, true},
		{"openat", [5]uint64{unix.SYS_OPENAT}, true},
		{"openat2", [5]uint64{unix.SYS_OPENAT2}, true},
		{"read of another file", [5]uint64{unix.SYS_READ, 3}, true},
		{"write to another file", [5]uint64{unix.SYS_WRITE, 2}, true},
		{"write to the input", [5]uint64{unix.SYS_WRITE, 0}, true},
		{"socket", [5]uint64{unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM}, true},
		{"fork", [5]uint64{unix.SYS_FORK}, true},
		{"clone", [5]uint64{unix.SYS_CLONE}, true},
		{"execve", [5]uint64{unix.SYS_EXECVE}, true},
		{"execveat", [5]uint64{unix.SYS_EXECVEAT}, true},
		{"kill", [5]uint64{unix.SYS_KILL, uint64(os.Getpid()), 0}, true},
		{"ptrace", [5]uint64{unix.SYS_PTRACE}, true},
		{"prctl", [5]uint64{unix.SYS_PRCTL, unix.PR_SET_SECCOMP}, true},
		{"ioctl", [5]uint64{unix.SYS_IOCTL, 0}, true},
		{"dup", [5]uint64{unix.SYS_DUP, 0}, true},
		{"io_uring_setup", [5]uint64{unix.SYS_IO_URING_SETUP}, true},
		{"a call of x32", [5]uint64{0x40000000 | unix.SYS_READ, 0}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := startHelper()
			if err != nil {
				t.Fatal(err)
			}
			defer h.end()
			status := inject(t, h.pid, tt.call)
			if died := status.Signaled() && status.Signal() == syscall.SIGSYS; died != tt.dies {
				t.Errorf("status %#x: died by SIGSYS %v, want %v", int(status), died, tt.dies)
			}
		})
	}
}

// inject makes a process that waits in read call the kernel, and returns how it stopped: by
// the next call, or by its death.
func inject(t *testing.T, pid int, call [5]uint64) syscall.WaitStatus {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	waitForRead(t, pid)
	if err := syscall.PtraceAttach(pid); err != nil {
		t.Skipf("a helper cannot be traced: %v", err)
	}
	var status syscall.WaitStatus
	wait := func() {
		t.Helper()
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	wait()
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	regs.Rip -= 2 // back to the instruction syscall
	regs.Orig_rax, regs.Rax = ^uint64(0), call[0]
	regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8 = call[1], call[2], call[3], call[4], ^uint64(0)
	if err := syscall.PtraceSetRegs(pid, &regs); err != nil {
		t.Fatal(err)
	}
	for range 3 { // entering and leaving the call, and entering read again
		if err := syscall.PtraceSyscall(pid, 0); err != nil {
			t.Fatal(err)
		}
		if wait(); !status.Stopped() {
			break
		}
	}
	return status
}

// waitForRead waits until a process waits for input.
func waitForRead(t *testing.T, pid int) {
	t.Helper()
	for range 1000 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		if err != nil {
			t.Skip(err) // without the right to trace
		}
		if strings.HasPrefix(string(b), "0 0x0 ") {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the helper does not wait for input")
}

// TestFiles: a helper has no files but its two pipes, and a name of its own in the process
// table.
func TestFiles(t *testing.T) {
	inherited, err := os.Open(".") // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	if _, err := unix.FcntlInt(inherited.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	h, err := startHelper()
	if err != nil {
		t.Fatal(err)
	}
	defer h.end()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.pid))
	if err != nil {
		t.Skip(err)
	}
	if len(files) != 2 {
		t.Errorf("the helper has %d files open, want 2", len(files))
	}
	for name, want := range map[string]string{"cmdline": "ptiffstore: JPEG 2000 decoder\x00", "comm": "jpeg2000\n", "environ": ""} {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", h.pid, name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v, want %q", name, b, err, want)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", h.pid))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Max address space": "805306368", "Max cpu time": "900", "Max core file size": "0", "Max open files": "0"} {
		if i := bytes.Index(limits, []byte(name)); i < 0 || strings.Fields(string(limits[i+len(name):]))[1] != want {
			t.Errorf("%s is not %s", name, want)
		}
	}
}

// self starts this test program in a mode of TestMain.
func self(t *testing.T, mode string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = []string{"JPEG2000_TEST=" + mode}
	return cmd
}

// holdHelper starts a helper, prints its process id, and waits.
func holdHelper() {
	h, err := startHelper()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(h.pid)
	io.Copy(io.Discard, os.Stdin)
}

// TestParentKilled: a program that is killed leaves no helper.
func TestParentKilled(t *testing.T) {
	cmd := self(t, "hold")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, _ := out.Read(line)
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil || !alive(pid) {
		t.Fatalf("%q: %v", line[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("helper %d is still there", pid)
		}
	}
}

// decodeInput removes the program file named by its argument, decodes the standard input, and
// prints the digest.
func decodeInput() {
	err := os.Remove(os.Args[1])
	b, failed := io.ReadAll(os.Stdin)
	var p *Picture
	if err = errors.Join(err, failed); err == nil {
		p, err = Decode(context.Background(), b, sampleOptions(3))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(sum(p))
}

// TestEmptyRoot decodes in a folder that has nothing but the program, which is removed first.
func TestEmptyRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	cmd, root := self(t, "decode"), t.TempDir()
	for _, file := range append(libraries(t, cmd.Path), cmd.Path) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == cmd.Path {
			file = "/program"
		}
		to := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Path, cmd.Dir, cmd.Args = "/program", "/", []string{"program", "/program"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 0, Gid: 0}}
	cmd.Stdin = bytes.NewReader(sample(t, "lossless.jp2"))
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "f78a1e16f003c7b770abc39a7325b31ab2e02c54b977c26e85786768c4f493f7" {
		t.Errorf("%v: %s", err, out)
	}
}

// libraries returns the shared libraries of a program: none of that which is shipped.
func libraries(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil // it is static
	}
	var files []string
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	return files
}

// BenchmarkDecode decodes a tile by a helper. BenchmarkInProcess does the same in a helper's
// loop without pipes; their ratio is the cost of the cage.
func BenchmarkDecode(b *testing.B) {
	data := sample(b, "rgb.j2k")
	for b.Loop() {
		if _, err := Decode(b.Context(), data, sampleOptions(3)); err != nil {
			b.Fatal(err)
		}
	}
}
