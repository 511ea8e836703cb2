package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// slowServers compares servers that decode every tile: Debian's iipsrv behind nginx, and
// OpenSlide's Deep Zoom in Python. Nothing is pinned, so that they use both processors.
func slowServers(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk", "nginx", "python3"); err != nil {
		return err
	}
	fx, err := prepare(o)
	if err != nil {
		return err
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	main, err := fx.serve(ctx, o, o.bin, "ptiffstore", filepath.Join(o.work, "data"), "")
	if err != nil {
		return err
	}
	servers = append(servers, main)
	iip, err := startIIP(ctx, o, fx)
	if err != nil {
		return err
	}
	servers = append(servers, iip)
	osr, err := startOpenSlide(ctx, o, fx)
	if err != nil {
		return err
	}
	servers = append(servers, osr)
	med, err := medians(ctx, o, 8, "", max(1, o.rounds/2+1), servers)
	if err != nil {
		return err
	}
	r.slow(servers, med, iip.name)
	return nil
}

const iipBinary = "/usr/lib/iipimage-server/iipsrv.fcgi"

// startIIP runs iipsrv as FastCGI behind nginx.
func startIIP(ctx context.Context, o *options, fx *fixture) (*server, error) {
	ng, err := startNginx(ctx, o, fx, "")
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
	cmd := exec.CommandContext(ctx, iipBinary)
	cmd.Env = append(os.Environ(), "FILESYSTEM_PREFIX="+fx.folder+"/", "VERBOSITY=0", "MAX_IMAGE_CACHE_SIZE=0", "JPEG_QUALITY=80", "LOGFILE=/dev/null")
	cmd.Stdin = l
	if err := cmd.Start(); err != nil {
		ng.stop()
		return nil, err
	}
	l.Close()
	s := &server{name: "iipsrv " + debianVersion("iipimage-server") + ", decoding", url: ng.url, pids: []int{cmd.Process.Pid, ng.pids[0]}}
	s.stop = func() { cmd.Process.Kill(); cmd.Wait(); ng.stop() }
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
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
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

func debianVersion(pkg string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pkg).Output()
	if err != nil {
		return "of unknown version"
	}
	return string(out)
}

// deepZoomServer serves OpenSlide's Deep Zoom as its own example does, with a process for
// each processor but without the web framework.
const deepZoomServer = `
import io, os, sys, socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import openslide
from openslide.deepzoom import DeepZoomGenerator
dz = DeepZoomGenerator(openslide.OpenSlide(sys.argv[1]), tile_size=512, overlap=0)
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        x, y = self.path.strip("/").split("_")
        buf = io.BytesIO()
        dz.get_tile(dz.level_count - 1, (int(x), int(y))).save(buf, "jpeg", quality=80)
        b = buf.getvalue()
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)
    def log_message(self, *a): pass
class S(ThreadingHTTPServer):
    request_queue_size = 128
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()
s = S(("127.0.0.1", int(sys.argv[2])), H)
print("http://127.0.0.1:%d/" % s.server_port, flush=True)
for _ in range(os.cpu_count() - 1):
    if os.fork() == 0: break
s.serve_forever()
`

func startOpenSlide(ctx context.Context, o *options, fx *fixture) (*server, error) {
	script := filepath.Join(o.work, "deepzoom.py")
	if err := os.WriteFile(script, []byte(deepZoomServer), 0o644); err != nil {
		return nil, err
	}
	// Debian's own Python has Debian's python3-openslide.
	s, err := start(ctx, "OpenSlide "+debianVersion("libopenslide0")+" Deep Zoom, Python", "", "/usr/bin/python3", script, fx.slide, "0")
	if err != nil {
		return nil, err
	}
	s.paths, err = fx.paths(o, "openslide", func(x, y string) string { return "/" + x + "_" + y })
	return s, err
}

func getBody(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", url, resp.Status, b)
	}
	return b, err
}

func getJSON(ctx context.Context, url string, v any) error {
	b, err := getBody(ctx, url)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
