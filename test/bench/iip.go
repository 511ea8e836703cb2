package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const iipBinary = "/usr/lib/iipimage-server/iipsrv.fcgi"

// startIIP runs iipsrv as FastCGI behind nginx, with a worker for each processor. It is set
// up as Debian installs it, but with a JPEG quality of 85, that of all servers.
//
// The workers share the listening socket, as spawn-fcgi -F starts them; spawn-fcgi -n would
// start only one, whatever -F says.
func startIIP(ctx context.Context, o *options, fx *fixture, pin string) (*server, error) {
	ng, err := startNginx(ctx, o, fx, pin)
	if err != nil {
		return nil, err
	}
	sock := filepath.Join(o.work, "iip.sock")
	os.Remove(sock)
	// As FastCGI requires, the listening socket is file descriptor 0.
	l, err := listenUnix(sock)
	if err != nil {
		ng.stop()
		return nil, err
	}
	defer l.Close()
	s := &server{name: "iipsrv " + debianVersion("iipimage-server"), url: ng.url, pids: ng.pids}
	var workers []*exec.Cmd
	s.stop = func() {
		for _, w := range workers {
			w.Process.Kill()
			w.Wait()
		}
		ng.stop()
	}
	args := []string{iipBinary}
	if pin != "" {
		args = []string{"taskset", "-c", pin, iipBinary}
	}
	for range runtime.NumCPU() {
		w := exec.CommandContext(ctx, args[0], args[1:]...)
		w.Env = append(os.Environ(), "FILESYSTEM_PREFIX="+fx.folder+"/", "VERBOSITY=0", "JPEG_QUALITY=85", "LOGFILE=/dev/null")
		w.Stdin = l
		if err := w.Start(); err != nil {
			s.stop()
			return nil, err
		}
		workers = append(workers, w)
		s.pids = append(s.pids, w.Process.Pid)
	}
	levels, err := iipLevels(ctx, ng.url)
	if err != nil {
		s.stop()
		return nil, err
	}
	cols := fx.grid[0]
	s.paths, err = fx.paths(o, "iip", func(x, y string) string {
		var cx, cy int
		fmt.Sscan(x, &cx)
		fmt.Sscan(y, &cy)
		return fmt.Sprintf("/fcgi?FIF=bench.tiff&JTL=%d,%d", levels-1, cy*cols+cx)
	})
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func listenUnix(path string) (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), syscall.Listen(fd, 1024)
}

// iipLevels requests the number of resolutions, which also shows that iipsrv runs.
func iipLevels(ctx context.Context, base string) (int, error) {
	var last string
	for range 50 {
		b, err := getBody(ctx, base+"fcgi?FIF=bench.tiff&obj=Resolution-number")
		var n int
		if err == nil {
			if _, err := fmt.Sscanf(strings.TrimSpace(string(b)), "Resolution-number:%d", &n); err == nil && n > 0 {
				return n, nil
			}
			last = string(b)
		} else {
			last = err.Error()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, fmt.Errorf("iipsrv does not answer: %s", last)
}
