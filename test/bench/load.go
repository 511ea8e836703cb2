package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is one of the compared servers.
type server struct {
	name  string
	url   string // base, with a slash at its end
	paths string // file of paths below url, one a line
	image string // id of the slide, if this is the program: each server has its own
	pids  []int  // of its processes, to measure their processor time
	stop  func()
	// authorization and accept, if not empty, are sent with each request.
	authorization, accept string
}

// A round is the result of one round of load.
type round struct {
	rate float64       // answers a second
	p99  time.Duration // latency
	cpu  float64       // microseconds of the server's processor time an answer
	bad  int           // answers other than 200
}

// load requests random paths from s for that duration.
func load(ctx context.Context, s *server, duration time.Duration, conns int, pin string) (round, error) {
	script := filepath.Join(filepath.Dir(s.paths), "load.lua")
	if err := os.WriteFile(script, []byte(lua), 0o644); err != nil {
		return round{}, err
	}
	return wrk(ctx, s, duration, conns, pin, script, s.paths, s.authorization, s.accept)
}

// wrk requests from s for that duration what a script says.
func wrk(ctx context.Context, s *server, duration time.Duration, conns int, pin, script string, scriptArgs ...string) (round, error) {
	before, err := processorTime(s.pids)
	if err != nil {
		return round{}, err
	}
	args := []string{"wrk", "-t1", "-c" + strconv.Itoa(conns), fmt.Sprintf("-d%ds", int(duration.Seconds())), "--latency", "--timeout", "20s", "-s", script, s.url, "--"}
	args = append(args, scriptArgs...)
	if pin != "" {
		args = append([]string{"taskset", "-c", pin}, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return round{}, fmt.Errorf("%s: %w: %s", s.name, err, out)
	}
	after, err := processorTime(s.pids)
	if err != nil {
		return round{}, err
	}
	return parseLoad(out, after-before)
}

// lua picks a path at random for each request.
const lua = `
local paths = {}
init = function(args)
  if args[2] and args[2] ~= "" then wrk.headers["Authorization"] = args[2] end
  if args[3] and args[3] ~= "" then wrk.headers["Accept"] = args[3] end
  for line in io.lines(args[1]) do paths[#paths + 1] = wrk.format("GET", wrk.path:gsub("/$", "") .. line) end
  math.randomseed(7)
end
request = function() return paths[math.random(#paths)] end
`

var (
	rateLine  = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	totalLine = regexp.MustCompile(`(\d+) requests in`)
	p99Line   = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s)`)
	badLine   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

func parseLoad(out []byte, cpu time.Duration) (round, error) {
	var r round
	m := rateLine.FindSubmatch(out)
	total := totalLine.FindSubmatch(out)
	if m == nil || total == nil {
		return r, fmt.Errorf("wrk said: %s", out)
	}
	r.rate, _ = strconv.ParseFloat(string(m[1]), 64)
	if n, _ := strconv.ParseFloat(string(total[1]), 64); n > 0 {
		r.cpu = float64(cpu.Microseconds()) / n
	}
	if m := p99Line.FindSubmatch(out); m != nil {
		r.p99, _ = time.ParseDuration(string(m[1]) + string(m[2]))
	}
	if m := badLine.FindSubmatch(out); m != nil {
		r.bad, _ = strconv.Atoi(string(m[1]))
		return r, fmt.Errorf("%d answers were not 200", r.bad)
	}
	return r, nil
}

// processorTime returns the user and system time of processes, their threads, and their
// child processes: those in the same process group, and those that they started in others.
func processorTime(pids []int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(string(f[1]))
		group, _ := strconv.Atoi(string(f[2]))
		if !slices.Contains(pids, pid) && !slices.Contains(pids, parent) && !slices.Contains(pids, group) {
			continue
		}
		for _, i := range []int{11, 12} { // utime, stime: proc(5), in ticks of 10 ms
			n, err := strconv.ParseInt(string(f[i]), 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total, nil
}

// start runs a program and waits until it prints its URL. Pin is the processor that it may
// use, "" for all.
func start(ctx context.Context, name, pin string, args ...string) (*server, error) {
	if pin != "" {
		args = append([]string{"taskset", "-c", pin}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if pin != "" {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, pids: []int{cmd.Process.Pid}, stop: func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
	}}
	line := make(chan string, 1)
	go func() {
		buf := make([]byte, 4096)
		n, _ := out.Read(buf)
		first, _, _ := strings.Cut(string(buf[:n]), "\n")
		line <- strings.TrimSpace(first)
	}()
	select {
	case s.url = <-line:
	case <-time.After(2 * time.Minute):
	}
	if !strings.HasPrefix(s.url, "http") {
		s.stop()
		return nil, fmt.Errorf("%s did not print a URL: %q %s", name, s.url, errs.String())
	}
	return s, nil
}

// medians runs each server in turn, rounds times and in both directions, and returns the median round of
// each by rate.
func medians(ctx context.Context, o *options, conns int, pin string, rounds int, servers []*server) ([]round, error) {
	all := make([][]round, len(servers))
	for n := range rounds {
		for i := range servers {
			if n%2 == 1 { // the place in a round has an effect of its own
				i = len(servers) - 1 - i
			}
			s := servers[i]
			r, err := load(ctx, s, o.duration, conns, pin)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "  round %d %-28s %9.0f/s  p99 %v  %.1f µs\n", n+1, s.name, r.rate, r.p99, r.cpu)
			all[i] = append(all[i], r)
		}
	}
	med := make([]round, len(servers))
	for i, rs := range all {
		slices.SortFunc(rs, func(a, b round) int { return int(a.rate - b.rate) })
		med[i] = rs[len(rs)/2]
	}
	return med, nil
}

// installed returns an error with the first missing program.
func installed(names ...string) error {
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			return fmt.Errorf("%s is not installed: run scripts/setup", n)
		}
	}
	return nil
}
