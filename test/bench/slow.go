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
	iip, err := startIIP(ctx, o, fx, "")
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

func debianVersion(pkg string) string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}\n", pkg).Output()
	if err != nil {
		return "of unknown version"
	}
	first, _, _ := strings.Cut(string(out), "\n") // one line for each architecture
	return first
}

// openSlideServer serves OpenSlide's Deep Zoom as its own example does, and thumbnails, with a
// process for each processor but without the web framework.
const openSlideServer = `
import io, os, sys, socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import openslide
from openslide.deepzoom import DeepZoomGenerator
slide = openslide.OpenSlide(sys.argv[1])
dz = DeepZoomGenerator(slide, tile_size=512, overlap=0)
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        n = [int(s) for s in self.path.strip("/").split("_")]
        img = dz.get_tile(dz.level_count - 1, (n[0], n[1])) if len(n) == 2 else slide.get_thumbnail((n[0], n[0]))
        buf = io.BytesIO()
        img.save(buf, "jpeg", quality=85)
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
	s, err := startPython(ctx, o, fx, "OpenSlide "+debianVersion("libopenslide0")+" Deep Zoom, Python")
	if err != nil {
		return nil, err
	}
	s.paths, err = fx.paths(o, "openslide", func(x, y string) string { return "/" + x + "_" + y })
	return s, err
}

// startThumbnails starts OpenSlide as a server of thumbnails.
func startThumbnails(ctx context.Context, o *options, fx *fixture) (*server, error) {
	return startPython(ctx, o, fx, "OpenSlide "+debianVersion("libopenslide0")+", Python")
}

func startPython(ctx context.Context, o *options, fx *fixture, name string) (*server, error) {
	script := filepath.Join(o.work, "deepzoom.py")
	if err := os.WriteFile(script, []byte(openSlideServer), 0o644); err != nil {
		return nil, err
	}
	// Debian's own Python has Debian's python3-openslide.
	return start(ctx, name, "", "/usr/bin/python3", script, fx.slide, "0")
}

// client keeps the connections of all that request at the same time.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func getBody(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
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
