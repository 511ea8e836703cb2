package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

// TestSystemdUnits checks the units with systemd-analyze.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	verifier, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	dir := t.TempDir()
	done(t, "deploy", "systemd", "--site", "north", "-o", dir, "--program", built(t), "--user", "root", "--data", dir, "--backups", dir,
		"--tiles", "127.0.0.1:8081", "--queue", "default=4", "--queue", "verify=1", "/slides/scanner 1")
	done(t, "deploy", "systemd", "--site", "scanner-a", "--host", "Scanner A", "--central", "https://slides.example.org", "-o", dir, "--program", built(t),
		"--user", "root", "--data", dir, "--database", "postgres://db/slides", "--tiles", "127.0.0.1:8082", "/slides/scanner 1")
	units, err := filepath.Glob(filepath.Join(dir, "*.service"))
	if err != nil || len(units) != 6+4 {
		t.Fatalf("units %q, %v, want six of a site and four of a host", units, err)
	}
	if want := filepath.Join(dir, "ptiffstore-scanner-a-worker-host-scanner-a.service"); !slices.Contains(units, want) {
		t.Errorf("units %q, and none for what only this host can do", units)
	}
	timers, err := filepath.Glob(filepath.Join(dir, "*.timer"))
	if err != nil || len(timers) != 2+1 {
		t.Fatalf("timers %q, %v, want backup and doctor of a site and doctor of a host", timers, err)
	}
	units = slices.Concat(units, timers)
	units = append(units, filepath.Join(dir, "ptiffstore-north.target"), filepath.Join(dir, "ptiffstore-scanner-a.target"))
	out, err := exec.Command(verifier, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "ptiffstore") {
			t.Errorf("systemd-analyze says %s", line)
		}
	}
	if err != nil && strings.Contains(string(out), "ptiffstore") {
		t.Errorf("systemd-analyze: %v", err)
	}
	if r := command(t, "deploy", "systemd", "--site", "north", "-o", dir); r.code != exitFailure || !strings.Contains(r.err, "--force") {
		t.Errorf("deploy over files that are there: %v", r)
	}
}

// A supervised is a site under supervisord.
type supervised struct {
	*running
	dir string
}

// supervise starts a site under a supervisord of its own.
func supervise(t *testing.T, args ...string) *supervised {
	t.Helper()
	daemon, err := exec.LookPath("supervisord")
	if err != nil {
		t.Skip("supervisord is not installed (Debian: supervisor)")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &supervised{&running{t: t, client: &http.Client{Transport: &http.Transport{}}, log: &logBuffer{}}, t.TempDir()}
	port := freePort(t)
	done(t, append([]string{
		"deploy", "supervisor", "--site", "north", "-o", s.dir, "--program", built(t), "--user", me.Username,
		"--data", filepath.Join(s.dir, "data"), "--logs", s.dir, "--listen", "127.0.0.1:" + port, "--tiles", "127.0.0.1:" + freePort(t),
	}, args...)...)
	s.rotateSoon()
	conf := fmt.Sprintf("[supervisord]\nnodaemon=true\nlogfile=%[1]s/supervisord.log\npidfile=%[1]s/pid\nchildlogdir=%[1]s\n"+
		"[unix_http_server]\nfile=%[1]s/s\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"+
		"[supervisorctl]\nserverurl=unix://%[1]s/s\n[include]\nfiles=%[1]s/ptiffstore-north.conf\n", s.dir)
	if err := os.WriteFile(s.conf(), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "-c", s.conf())
	cmd.Stdout, cmd.Stderr = s.log, s.log
	begin(t, cmd, syscall.SIGTERM)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	s.url = "http://127.0.0.1:" + port
	s.up()
	return s
}

// rotateSoon configures a log size so small that logs are rotated during the test.
func (s *supervised) rotateSoon() {
	s.t.Helper()
	file := filepath.Join(s.dir, "ptiffstore-north.conf")
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	const as = "stdout_logfile_maxbytes=20MB"
	if strings.Count(string(b), as) != 4 {
		s.t.Fatalf("logs are not rotated: %s", b)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), as, "stdout_logfile_maxbytes=100")), 0o640); err != nil {
		s.t.Fatal(err)
	}
}

// control runs a supervisorctl command on a program.
func (s *supervised) control(verb, name string) {
	s.t.Helper()
	if out, err := exec.Command("supervisorctl", "-c", s.conf(), verb, "ptiffstore-north:"+name).CombinedOutput(); err != nil {
		s.t.Fatalf("supervisorctl %s %s: %v: %s", verb, name, err, out)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (s *supervised) conf() string { return filepath.Join(s.dir, "supervisord.conf") }

// status returns the process id of each program.
func (s *supervised) status() map[string]int {
	out, _ := exec.Command("supervisorctl", "-c", s.conf(), "status").Output() // fails if a program does not run
	pids := map[string]int{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(strings.NewReplacer(",", " ").Replace(line))
		if len(f) > 3 && f[1] == "RUNNING" {
			pids[f[0][strings.LastIndex(f[0], ":")+1:]], _ = strconv.Atoi(f[3])
		}
	}
	return pids
}

// up waits until everything runs and the server answers.
func (s *supervised) up() map[string]int {
	s.t.Helper()
	var pids map[string]int
	s.wait("all processes", 2*time.Minute, func() bool {
		resp, err := s.client.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		pids = s.status()
		return resp.StatusCode == http.StatusOK && len(pids) == 4
	})
	return pids
}

func (s *supervised) wait(what string, limit time.Duration, f func() bool) {
	s.t.Helper()
	for began := time.Now(); !f(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > limit {
			logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
			var all bytes.Buffer
			for _, l := range logs {
				b, _ := os.ReadFile(l)
				fmt.Fprintf(&all, "%s: %s\n", filepath.Base(l), b)
			}
			s.t.Fatalf("%s: not within %v: %v %s", what, limit, s.status(), &all)
		}
	}
}

// large is large enough for a rate limit to slow down reading it.
var large = &slideFile{name: "large.tiff", make: synth.Generic{Seed: 8, Width: 9000, Height: 7000, Levels: 1, Codec: synth.None}.Write}

// TestSupervised kills each process of a site under supervisord: all are restarted, and an
// interrupted task runs again and succeeds once.
func TestSupervised(t *testing.T) {
	t.Parallel()
	dir := slidesIn(t, map[string]*slideFile{"1.tiff": large, "2.tiff": plain})
	s := supervise(t, "--queue", "default=2", "--queue", "slow=1", dir)
	db := "--data=" + filepath.Join(s.dir, "data")
	s.wait("slides hashed", 2*time.Minute, func() bool { return strings.Count(s.get("/api/v1/images").body, `"digest":"`) == 2 })

	// A task that takes some seconds: the file is read at a twelfth of its size a second.
	done(t, "store", "set", dir, db, "--verify-rate", strconv.FormatInt(large.info.Size/12, 10))
	task := done(t, "task", "submit", "verify_store", dir, db, "--queue", "slow")
	s.wait("the task to run", 2*time.Minute, func() bool { return decoded[taskJSON](t, "task", "show", task, db).State == "running" })
	before := s.status()
	for name, pid := range before {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	s.wait("new processes", 2*time.Minute, func() bool {
		now := s.status()
		for name, pid := range before {
			if now[name] == 0 || now[name] == pid {
				return false
			}
		}
		return true
	})
	s.up()
	type view struct {
		State    string
		Ready    bool
		Attempts int
		Result   struct{ Checked int }
	}
	var v view
	s.wait("the task to end", 2*time.Minute, func() bool {
		v = decoded[view](t, "task", "show", task, db)
		return v.Ready
	})
	if v.State != "succeeded" || v.Attempts < 2 || v.Result.Checked > 2 {
		t.Errorf("the task that ran when its worker was killed: %+v", v)
	}
	list := decoded[struct{ Items []taskJSON }](t, "task", "list", db, "--kind", "verify_store")
	if len(list.Items) != 1 {
		t.Errorf("%d tasks of that kind, want one: %+v", len(list.Items), list)
	}

	// A worker that is stopped returns its task to the queue at once.
	done(t, "store", "set", dir, db, "--verify-rate", strconv.FormatInt(large.info.Size/6, 10))
	task = done(t, "task", "submit", "verify_store", dir, db, "--queue", "slow")
	s.wait("the task to run", 2*time.Minute, func() bool { return decoded[taskJSON](t, "task", "show", task, db).State == "running" })
	s.control("stop", "ptiffstore-north-worker-slow")
	if v := decoded[view](t, "task", "show", task, db); v.Ready || v.State == "running" {
		t.Errorf("the task of a stopped worker: %+v, want it to be in its queue", v)
	}
	s.control("start", "ptiffstore-north-worker-slow")
	s.wait("the task to end", 2*time.Minute, func() bool {
		v = decoded[view](t, "task", "show", task, db)
		return v.Ready
	})
	if v.State != "succeeded" {
		t.Errorf("the task that was handed back: %+v", v)
	}
	if old, err := filepath.Glob(filepath.Join(s.dir, "ptiffstore-north-*.log.1")); err != nil || len(old) == 0 {
		t.Errorf("no log was rotated: %q, %v", old, err)
	}
	if im := s.images(); im["1.tiff"].State != "available" || im["2.tiff"].State != "available" {
		t.Errorf("images after that: %+v", im)
	}
}
