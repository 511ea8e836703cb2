package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A host is a network namespace and a thread in it. Processes that the thread starts have
// the host's name, see only its addresses, and see its disk at the path where other hosts
// have theirs. The kernel removes it when this process ends.
type host struct {
	t          *testing.T
	name, addr string
	disk       string       // folder of this machine with the content of its disk
	mount      string       // where processes of the host see it
	ns         *os.File     // the network
	calls      chan func()  // to its thread
	client     *http.Client // connects from this host
	transport  *http.Transport
}

// newHost creates a host without connections. It skips the test where that is not allowed.
func newHost(t *testing.T, name, mount string) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("hosts are network namespaces, which only root can make")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed (Debian: iproute2)")
	}
	h := &host{t: t, name: name, disk: t.TempDir(), mount: mount, calls: make(chan func())}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
			return
		}
		var err error
		h.ns, err = os.Open("/proc/thread-self/ns/net")
		made <- err
		for f := range h.calls {
			f()
		}
	}()
	if err := <-made; errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		t.Skipf("network namespaces are refused here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(h.calls)
		h.ns.Close()
	})
	h.transport = &http.Transport{DialContext: h.dial}
	h.client = &http.Client{Transport: h.transport, Timeout: soon, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.ip("link set lo up")
	return h
}

// do runs f on the thread of the host. Processes that f starts run on the host, too, and end
// with this process.
func (h *host) do(f func() error) error {
	ended := make(chan error, 1)
	h.calls <- func() { ended <- f() }
	return <-ended
}

// ip runs a command of iproute2 on the host.
func (h *host) ip(command string, files ...*os.File) {
	h.t.Helper()
	cmd := exec.Command("ip", strings.Fields(command)...)
	cmd.ExtraFiles = files
	err := h.do(func() error {
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	if err != nil {
		h.t.Fatalf("ip %s: %v", command, err)
	}
}

// connect connects the host, by an interface of that name, to another host, and routes the
// addresses of the host there.
func (h *host) connect(other *host, name, net string) {
	h.ip(fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/self/fd/3", name), other.ns)
	h.ip(fmt.Sprintf("addr add %s.1/24 dev %s", net, name))
	h.ip(fmt.Sprintf("link set %s up", name))
	other.addr = net + ".2"
	other.ip("addr add " + other.addr + "/24 dev eth0")
	other.ip("link set eth0 up")
	other.ip("route add default via " + net + ".1")
}

// dial connects from the host.
func (h *host) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	ended := make(chan struct{})
	go func() { // a thread of its own: it may have to wait
		defer close(ended)
		runtime.LockOSThread()
		if err = unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
		}
	}()
	<-ended
	return c, err
}

// command returns a command of the program on the host.
func (h *host) command(args ...string) *exec.Cmd {
	const script = `hostname "$1" && mount --bind "$2" "$3" && shift 3 && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh", h.name, h.disk, h.mount, built(h.t)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs a command of the program on the host, and returns what it prints.
func (h *host) run(args ...string) string {
	h.t.Helper()
	cmd := h.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := h.do(cmd.Run); err != nil {
		h.t.Fatalf("%s: %s: %v: %s", h.name, strings.Join(args, " "), err, &errs)
	}
	return strings.TrimSpace(out.String())
}

// launch starts the program on the host, and waits for the URL if it serves.
func (h *host) launch(args ...string) *process {
	h.t.Helper()
	cmd := h.command(append(args, "--data", filepath.Join(h.t.TempDir(), "data"))...)
	log := &logBuffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.do(cmd.Start); err != nil {
		h.t.Fatal(err)
	}
	p := &process{&running{t: h.t, client: h.client, log: log}, cmd}
	h.t.Cleanup(func() {
		cmd.Process.Kill() // fails if it has ended
		cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("%s on %s: %.3000s", args[0], h.name, log)
		}
	})
	if args[0] == "worker" {
		return p
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.t.Fatalf("%s: no URL: %v: %s", h.name, err, log)
	}
	p.url = strings.TrimSuffix(line, "/\n")
	return p
}
