package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

var binary struct {
	once sync.Once
	path string
	err  error
}

// built returns the path of the program, built as by make build but without a version.
func built(t *testing.T) string {
	t.Helper()
	philips.file(t) // creates the folder
	binary.once.Do(func() {
		binary.path = filepath.Join(slides.dir, "ptiffstore")
		build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", binary.path, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

// The test binary starts itself to inspect files: a process of its own for some files shows
// the memory and the time of each, and a process for each file would take longer to start than
// to inspect it.
const (
	inspectorOf    = "INSPECT_FILES"
	inspectorFiles = 40
	inspectorMax   = 56 << 10 // KB before it has read a file, as with the race detector; more would hide the sizes to measure
)

// An inspection is the result of inspecting a file.
type inspection struct {
	Path string
	Code int
	Busy time.Duration // processor time
	KB   int64         // peak size of the process; 0 if hidden by its size before
	Err  string        // standard error
}

func init() {
	if os.Getenv(inspectorOf) != "" {
		inspector()
		os.Exit(0)
	}
}

// inspector inspects each file that is named on standard input.
func inspector() {
	names, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for names.Scan() {
		debug.FreeOSMemory()
		os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // now the peak is the present size
		size, busy := ownSize(), ownTime()
		var errs bytes.Buffer
		i := inspection{Path: names.Text()}
		i.Code = run(context.Background(), []string{"inspect", i.Path}, streams{out: io.Discard, err: &errs})
		i.Busy, i.Err = ownTime()-busy, errs.String()
		if size > 0 && size < inspectorMax {
			i.KB = ownSize()
		}
		out.Encode(i)
	}
}

// ownTime returns the processor time of this process.
func ownTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownSize returns the peak size of this process in KB, or 0.
func ownSize() (kb int64) {
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Sscan(peak, &kb)
	return kb
}

// inspected inspects files. It fails the test unless each is opened, or refused with an
// offset in the file, within a second of processor time and 64 MB.
func inspected(t *testing.T, paths []string) (list []inspection) {
	t.Helper()
	for some := range slices.Chunk(paths, inspectorFiles) {
		list = append(list, inspectedApart(t, some)...)
	}
	hidden := 0
	for _, i := range list {
		if i.KB == 0 {
			hidden++
		}
		if i.Busy > time.Second || i.KB > 64<<10 {
			t.Errorf("%s: %v of a processor and %d KB", i.Path, i.Busy, i.KB)
		}
		if i.Code != exitOK && (i.Code != exitFile || !located.MatchString(i.Err)) {
			t.Errorf("%s: exit code %d, %.500q: want 0, or 2 and where in the file", i.Path, i.Code, i.Err)
		}
	}
	if hidden > 0 {
		t.Logf("the memory of %d of %d is not known: the process was too large before", hidden, len(list))
	}
	return list
}

// inspectedApart inspects files in one other process.
func inspectedApart(t *testing.T, paths []string) (list []inspection) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), inspectorOf+"=1")
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v after %d of %d files: %s", err, bytes.Count(out, []byte("\n")), len(paths), errs.Bytes())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var i inspection
		if err := dec.Decode(&i); err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	if len(list) != len(paths) {
		t.Fatalf("%d of %d files", len(list), len(paths))
	}
	return list
}

// TestForeignFiles inspects every file of other programs, and damaged copies.
func TestForeignFiles(t *testing.T) {
	root := os.Getenv("PTIFFSTORE_TESTDATA")
	if root == "" {
		root = "../../../shared/data"
	}
	if _, err := os.Stat(root); err != nil {
		t.Skip("no folder of test files: name one in PTIFFSTORE_TESTDATA")
	}
	t.Parallel()
	var paths []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[int]int{}
	var busy time.Duration
	var kb int64
	for _, i := range inspected(t, paths) {
		codes[i.Code]++
		busy, kb = max(busy, i.Busy), max(kb, i.KB)
	}
	if codes[exitOK] == 0 || codes[exitFile] == 0 {
		t.Errorf("by exit code %v: want some of 0 and of 2", codes)
	}
	t.Logf("by exit code %v; the slowest took %v, the largest %d KB", codes, busy, kb)
}

// TestDamagedInProcess inspects every class of damage.
func TestDamagedInProcess(t *testing.T) {
	t.Parallel()
	made := damaged(t)
	var paths []string
	for _, d := range synth.Damages {
		paths = append(paths, made[d.Name])
	}
	want := map[string]int{synth.Ready: exitOK, synth.Broken: exitFile, synth.Unsupported: exitFile}
	for n, i := range inspected(t, paths) {
		if d := synth.Damages[n]; i.Code != want[d.Want] {
			t.Errorf("%s (%s): exit code %d, want %d", d.Name, d.Words, i.Code, want[d.Want])
		}
	}
}

// begin starts a command that the kernel sends the signal to when this process ends. The
// kernel sends it when the thread that started the command ends, so begin keeps the thread
// until the end of the test.
func begin(t *testing.T, cmd *exec.Cmd, sig syscall.Signal) {
	t.Helper()
	began, over := make(chan error), make(chan struct{})
	t.Cleanup(func() { close(over) })
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		began <- cmd.Start()
		<-over
	}()
	if err := <-began; err != nil {
		t.Fatal(err)
	}
}

// A process is the program running in its own process.
type process struct {
	*running
	cmd *exec.Cmd
}

// launch starts a mode in its own process, and waits for its URL.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	return launchAt(t, "127.0.0.1:0", args...)
}

// launchAt is launch with an address to listen on.
func launchAt(t *testing.T, addr string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(built(t), append(args, "--listen", addr)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{&running{t: t, client: &http.Client{Transport: &http.Transport{}}, log: log}, cmd}
	t.Cleanup(func() {
		cmd.Process.Kill() // fails if it has ended
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !urlLine.MatchString(line) {
		t.Fatalf("the first line on standard output is %q, %v: %s", line, err, log)
	}
	p.url = strings.TrimSuffix(line, "/\n")
	return p
}

// end sends a signal and waits for the process to end.
func (p *process) end(sig syscall.Signal) *os.ProcessState {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(soon):
		p.t.Fatalf("it has not ended %v after %v", soon, sig)
	}
	return p.cmd.ProcessState
}

// TestKilled kills the server repeatedly while slides arrive: after each restart it has the
// same images with the same ids, and finds the others. The leases of the killed server do
// not prevent that.
func TestKilled(t *testing.T) {
	t.Parallel()
	data, dir := newCatalog(t), filepath.Join(slidesIn(t, nil), "slides")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	known := map[string]string{} // ids by file name
	for round := range 5 {
		p := launch(t, "serve", dir, "--data", data)
		for name, im := range p.images() {
			if id := known[name]; id != "" && id != im.ID {
				t.Errorf("round %d: %s is %s, and was %s", round, name, im.ID, id)
			}
		}
		for i := range 20 {
			deliver(t, plain, filepath.Join(dir, fmt.Sprintf("%d-%d.tiff", round, i)))
		}
		p.until("some images", func() bool {
			list := p.images()
			for name, im := range list {
				known[name] = im.ID
			}
			return len(list) > 20*round+round
		})
		if state := p.end(syscall.SIGKILL); state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("round %d: it ended as %v", round, state)
		}
	}
	p := launch(t, "serve", dir, "--data", data)
	p.until("all images", func() bool {
		n := 0
		for _, im := range p.images() {
			if im.State == "available" {
				n++
			}
		}
		return n == 100
	})
	now := p.images()
	for name, id := range known {
		if now[name].ID != id {
			t.Errorf("%s is %s, and was %s", name, now[name].ID, id)
		}
	}
	a := p.get("/api/v1/images/" + now["0-0.tiff"].ID + "/tiles/2/1/1")
	sameTile(t, "a tile after all that", a, plain, 0, 1, 1)
	if state := p.end(syscall.SIGTERM); state.ExitCode() != exitOK {
		t.Errorf("after SIGTERM: %v: %s", state, p.log)
	}
}

// TestSignals ends each mode that serves with SIGTERM and with SIGINT.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"serve", "tileserver"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			p := launch(t, mode, "--data", newCatalog(t))
			if a := p.get("/readyz"); a.status != http.StatusOK {
				t.Errorf("%s: readyz has status %d", mode, a.status)
			}
			if state := p.end(sig); state.ExitCode() != exitOK {
				t.Errorf("%s after %v: %v, want exit code 0: %s", mode, sig, state, p.log)
			}
		}
	}
}

// TestPasswordsOfProgram fails if the program hashes passwords as cheaply as these tests do:
// neither its commands nor its server may. The server replaces a cheap hash at the next login.
func TestPasswordsOfProgram(t *testing.T) {
	t.Parallel()
	const strong = "$argon2id$v=19$m=65536,t=3,p=4$"
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "cheap")
	cmd := exec.Command(built(t), "user", "add", "anna", "--data", o.data)
	cmd.Stdin = strings.NewReader(goodPassword)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hash := func(user string) (hash string) {
		if err := c.DB().Read.QueryRowContext(t.Context(), `SELECT password FROM users WHERE name = $1`, user).Scan(&hash); err != nil {
			t.Fatal(err)
		}
		return hash
	}
	if h := hash("anna"); !strings.HasPrefix(h, strong) {
		t.Errorf("a command stores %s, want %s…", h, strong)
	}
	if h := hash("cheap"); strings.HasPrefix(h, strong) {
		t.Errorf("these tests store %s, want a cheaper hash", h)
	}
	p := launch(t, "serve", "--data", o.data, "--auth", "local", "--no-worker")
	resp, err := p.client.Post(p.url+"/api/v1/auth/login", "application/json", strings.NewReader(`{"name":"cheap","password":"`+goodPassword+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h := hash("cheap"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(h, strong) {
		t.Errorf("login has status %d, and the server stores %s, want %s…", resp.StatusCode, h, strong)
	}
}

// TestClosedPipe closes the pipe that a command prints to: the command must end, and not
// with a stack trace.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	cmd := exec.Command(built(t), "inspect", philips.file(t))
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = write, &errs
	err = cmd.Run()
	write.Close()
	if err == nil || strings.Contains(errs.String(), "goroutine") {
		t.Errorf("%v, %q: want it to fail without a trace", err, errs.String())
	}
}

// TestFullDisk writes a tile to a full disk.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	var errs bytes.Buffer
	for _, args := range [][]string{{"tile", philips.file(t), "0", "0", "0"}, {"inspect", philips.file(t)}, {"inspect", philips.file(t), "--json"}, {"version"}} {
		errs.Reset()
		if code := run(t.Context(), args, streams{out: full, err: &errs}); code != exitFailure || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s: exit code %d, %q: want %d and why", args[0], code, errs.String(), exitFailure)
		}
	}
}
