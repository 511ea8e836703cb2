package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
)

// fixture is the slide of the benchmark, and its level-0 tiles as files.
type fixture struct {
	slide  string // path
	folder string // that holds it
	tiles  string // folder of {x}_{y}.jpg
	grid   [2]int
	mean   int // bytes of a tile
	list   []string
	id     string
}

// prepare writes the slide and extracts the tiles of level 0.
func prepare(o *options) (*fixture, error) {
	return prepareIn(o.work, synth.Philips{Seed: 42, Width: o.width, Height: o.height, Big: true, Sparse: true, Label: true, Macro: true, Barcode: "B42"})
}

// prepareIn is prepare for a folder and a slide.
func prepareIn(dir string, p synth.Philips) (*fixture, error) {
	fx := &fixture{folder: filepath.Join(dir, "slides"), tiles: filepath.Join(dir, "tiles")}
	for _, d := range []string{fx.folder, fx.tiles} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	fx.slide = filepath.Join(fx.folder, "bench.tiff")
	if _, err := os.Stat(fx.slide); err != nil {
		if _, err := p.Write(fx.slide); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(fx.slide)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		return nil, err
	}
	l := &s.Levels[0]
	fx.grid = [2]int{l.Columns, l.Rows}
	total := 0
	for y := range l.Rows {
		for x := range l.Columns {
			b, err := s.AppendTile(nil, 0, x, y)
			if err == slide.ErrEmptyTile {
				continue
			} else if err != nil {
				return nil, err
			}
			name := fmt.Sprintf("%d_%d", x, y)
			if err := os.WriteFile(filepath.Join(fx.tiles, name+".jpg"), b, 0o644); err != nil {
				return nil, err
			}
			total += len(b)
			fx.list = append(fx.list, name)
		}
	}
	fx.mean = total / len(fx.list)
	return fx, nil
}

func writeSlide(path string, w, h int, description int) error {
	p := synth.Philips{Seed: 42, Width: w, Height: h, Big: true, Sparse: true, Label: true, Macro: true, Barcode: "B42", DescriptionPad: description}
	_, err := p.Write(path)
	return err
}

// paths writes a file with the paths to request from a server, and returns its name.
func (fx *fixture) paths(o *options, name string, path func(x, y string) string) (string, error) {
	file := filepath.Join(o.work, name+".paths")
	var b strings.Builder
	for _, t := range fx.list {
		x, y, _ := strings.Cut(t, "_")
		b.WriteString(path(x, y) + "\n")
	}
	return file, os.WriteFile(file, []byte(b.String()), 0o644)
}

// fastServers compares servers that use a processor fully: nginx with extracted tiles, the
// bare handler, and the two adapters.
func fastServers(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk", "nginx", "taskset"); err != nil {
		return err
	}
	fx, err := prepare(o)
	if err != nil {
		return err
	}
	servers, err := startFast(ctx, o, fx)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	med, err := medians(ctx, o, o.conns, "1", o.rounds, servers)
	if err != nil {
		return err
	}
	r.fast(o, fx, servers, med)
	return nil
}

func startFast(ctx context.Context, o *options, fx *fixture) ([]*server, error) {
	var servers []*server
	ng, err := startNginx(ctx, o, fx, "0")
	if err != nil {
		return servers, err
	}
	servers = append(servers, ng)
	self, err := os.Executable()
	if err != nil {
		return servers, err
	}
	bare, err := start(ctx, "bare net/http + pread", "0", self, "-bare", fx.slide)
	if err != nil {
		return servers, err
	}
	servers = append(servers, bare)
	if bare.paths, err = fx.paths(o, "bare", func(x, y string) string { return "/" + x + "/" + y + ".jpg" }); err != nil {
		return servers, err
	}
	ours, err := startOurs(ctx, o, fx, o.bin, "ptiffstore")
	servers = append(servers, ours...)
	if err != nil || o.before == "" {
		return servers, err
	}
	before, err := startOurs(ctx, o, fx, o.before, "before")
	return append(servers, before...), err
}

// startOurs starts a build of the program with each of the two adapters.
func startOurs(ctx context.Context, o *options, fx *fixture, bin, name string) ([]*server, error) {
	data := filepath.Join(o.work, "data-"+name)
	main, err := fx.serve(ctx, o, bin, name, data, "0")
	if err != nil {
		return nil, err
	}
	edge, err := start(ctx, name+" tileserver", "0", bin, "tileserver", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error")
	if err != nil {
		return []*server{main}, err
	}
	edge.paths = main.paths
	return []*server{main, edge}, nil
}

// serve starts a build of the program with the slide, which clients request at its largest
// zoom. If that fails, it stops the program.
func (fx *fixture) serve(ctx context.Context, o *options, bin, name, data, pin string) (*server, error) {
	s, err := start(ctx, name+" serve", pin, bin, "serve", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error", fx.folder)
	if err != nil {
		return nil, err
	}
	zoom, err := fx.find(ctx, s.url)
	if err == nil {
		s.paths, err = fx.paths(o, name, func(x, y string) string {
			return fmt.Sprintf("/api/v1/images/%s/tiles/%d/%s/%s.jpg", fx.id, zoom, x, y)
		})
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	s.image = fx.id
	return s, nil
}

// find waits until the slide is in the gallery, and returns its largest zoom. Its id is
// in fx until another server is asked.
func (fx *fixture) find(ctx context.Context, base string) (int, error) {
	var page struct {
		Items []struct {
			ID      string `json:"id"`
			State   string `json:"state"`
			MaxZoom int    `json:"max_zoom"`
		} `json:"items"`
	}
	for range 600 {
		if err := getJSON(ctx, base+"api/v1/images", &page); err != nil {
			return 0, err
		}
		if len(page.Items) > 0 && page.Items[0].State == "available" {
			fx.id = page.Items[0].ID
			return page.Items[0].MaxZoom, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, fmt.Errorf("the slide did not become available: %+v", page)
}

const nginxConf = `
daemon off; worker_processes 1; master_process off;
pid %[1]s/nginx.pid; error_log %[1]s/nginx.err error;
events { worker_connections 20000; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 120;
  open_file_cache max=100000 inactive=120s; open_file_cache_valid 120s;
  types { image/jpeg jpg; }
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server {
    listen 127.0.0.1:%[2]d; root %[3]s;
    location /fcgi { fastcgi_pass unix:%[1]s/iip.sock; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params; }
  }
  upstream iip { server unix:%[1]s/iip.sock; keepalive 16; }
}
`

// startNginx serves the extracted tiles.
func startNginx(ctx context.Context, o *options, fx *fixture, pin string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(o.work, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, o.work, port, fx.tiles), 0o644); err != nil {
		return nil, err
	}
	args := []string{"nginx", "-c", conf, "-e", filepath.Join(o.work, "nginx.err")}
	if pin != "" {
		args = append([]string{"taskset", "-c", pin}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: "nginx, extracted files", url: fmt.Sprintf("http://127.0.0.1:%d/", port), pids: []int{cmd.Process.Pid}}
	s.stop = func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }
	s.paths, err = fx.paths(o, "nginx", func(x, y string) string { return "/" + x + "_" + y + ".jpg" })
	if err != nil {
		return nil, err
	}
	return s, waitFor(port)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func waitFor(port int) error {
	for range 100 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("nothing listens on port %d", port)
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// residentBytes is the resident memory of a process now, and its peak.
func residentBytes(pid int) (now, peak int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak
}
