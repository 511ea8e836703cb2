package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// exampleFile returns a file of docs/examples with replacements, given as pairs of old and
// new text. It fails the test if an old text is missing.
func exampleFile(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(b), pairs[i]) {
			t.Fatalf("%s no longer has %q", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(b))
}

// certified writes a certificate for example.com and its subdomains, with its key. It
// returns a client that trusts it and resolves every name to addr.
func certified(t *testing.T, dir, addr string) *http.Client {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // makes the certificate; the key is from net/http/httptest
	s.Close()
	cert := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}, DialContext: dial, MaxIdleConnsPerHost: 16,
	}}
}

// A proxied is nginx with the documented configuration in front of servers on this machine.
type proxied struct {
	*http.Client
	central, tiles [2]string // addresses of the servers
}

// startNginx starts nginx. Its client reaches nginx by both of its host names.
func startNginx(t *testing.T) *proxied {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("nginx is not installed (Debian: nginx)")
		}
	}
	dir := t.TempDir()
	local := func() string { return "127.0.0.1:" + freePort(t) }
	p := &proxied{central: [2]string{local(), local()}, tiles: [2]string{local(), local()}}
	front := local()
	p.Client = certified(t, dir, front)
	conf := exampleFile(t, "nginx.conf",
		"127.0.0.1:8080", p.central[0], "127.0.0.1:8090", p.central[1], "127.0.0.1:8081", p.tiles[0], "127.0.0.1:8091", p.tiles[1],
		"listen 443", "listen "+front,
		"/etc/ssl/slides.pem", dir+"/cert.pem", "/etc/ssl/slides.key", dir+"/key.pem", "/etc/ssl/tiles.pem", dir+"/cert.pem", "/etc/ssl/tiles.key", dir+"/key.pem")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // other users cannot read the folder
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	main := fmt.Sprintf("%sdaemon off;\nworker_processes 1;\npid %[2]s/pid;\nerror_log %[2]s/error.log;\nevents { worker_connections 512; }\nhttp {\n%[3]s%[4]s}\n", user, dir, temp, conf)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-t", "-e", dir+"/error.log", "-c", file).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-e", dir+"/error.log", "-c", file)
	begin(t, cmd, syscall.SIGTERM)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if b, err := os.ReadFile(dir + "/error.log"); err == nil && t.Failed() {
			t.Logf("nginx: %.4000s", b)
		}
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
			return p
		}
		if time.Since(began) > soon {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}

// ask sends a request through nginx, and returns the answer.
func (p *proxied) ask(method, url, body string, header ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := p.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

const (
	centreName = "https://slides.example.org"
	tilesName  = "https://tiles.example.org"
)

// TestRollingRestart restarts two servers and two tile servers behind nginx one after the
// other, under load: no request fails, not even those that nginx must not repeat.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	p := startNginx(t)
	dir := slidesIn(t, map[string]*slideFile{"1.tiff": plain})
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	token := o.says("", "token", "add", "--user", "anna", "--scope", "admin")
	login := []string{"Authorization", "Bearer " + token}
	begin := func(kind, addr string) *process {
		return launchAt(t, addr, kind, "--data", o.data, "--auth", "local", "--trusted-proxy", "127.0.0.1", "--drain", "200ms")
	}
	store := done(t, "store", "add", dir, "--data", o.data)
	servers := map[string]*process{}
	for i := range 2 {
		servers[p.central[i]], servers[p.tiles[i]] = begin("serve", p.central[i]), begin("tileserver", p.tiles[i])
	}
	first := servers[p.central[0]]
	var id string
	first.until("the slide", func() bool {
		a := first.get("/api/v1/images", login...)
		_, rest, ok := strings.Cut(a.body, `"id":"`)
		id, _, _ = strings.Cut(rest, `"`)
		return ok && strings.Contains(a.body, `"available"`)
	})
	tile := "/api/v1/images/" + id + "/tiles/2/1/1"
	for _, addr := range []string{p.tiles[0], p.tiles[1], p.central[1]} {
		first.until("its tiles at "+addr, func() bool { return servers[addr].get(tile, login...).status == http.StatusOK })
	}

	requests := []struct{ method, url string }{
		{"GET", centreName + tile},
		{"GET", centreName + "/api/v1/images"},
		{"POST", centreName + "/api/v1/auth/check"},
		{"GET", tilesName + tile},
		{"GET", tilesName + "/api/v1/images/" + id + "/thumbnail"},
		{"GET", centreName + "/api/v1/stores/" + store},
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent, failed atomic.Int64
	for i := range 2 * len(requests) {
		wg.Go(func() {
			for r := requests[i%len(requests)]; failed.Load() < 10; time.Sleep(2 * time.Millisecond) {
				select {
				case <-stop:
					return
				default:
				}
				body := ""
				if r.method == "POST" {
					body = `{"scope":"tiles","images":[{"store":"` + store + `","image":"` + id + `"}]}`
				}
				a, err := p.ask(r.method, r.url, body, append(login, "Content-Type", "application/json")...)
				sent.Add(1)
				if err != nil || a.status >= 300 {
					failed.Add(1)
					t.Errorf("%s %s: status %d, %v: %.200s", r.method, r.url, a.status, err, a.body)
				}
			}
		})
	}
	for i := range 2 {
		for kind, addr := range map[string]string{"serve": p.central[i], "tileserver": p.tiles[i]} {
			if state := servers[addr].end(syscall.SIGTERM); state.ExitCode() != exitOK {
				t.Errorf("%s: %v after SIGTERM: %s", kind, state, servers[addr].log)
			}
			servers[addr] = begin(kind, addr)
			servers[addr].until("ready again", func() bool { return servers[addr].get("/readyz").status == http.StatusOK })
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d requests, %d failed", sent.Load(), failed.Load())
	if sent.Load() < 100 {
		t.Errorf("only %d requests: that is no load", sent.Load())
	}
}

// TestDrain stops each kind of server: /readyz fails before the port closes, requests are
// answered meanwhile, and each answer closes its connection.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"serve", "tileserver"} {
		p := launch(t, kind, "--data", newCatalog(t), "--drain", "1h")
		p.get("/readyz") // leaves an idle connection
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		var a answer
		p.until("not ready", func() bool { a = p.get("/readyz"); return a.status == http.StatusServiceUnavailable })
		for _, path := range []string{"/healthz", "/readyz", "/api/v1/images/none/tiles/0/0/0"} {
			resp, err := p.client.Get(p.url + path)
			if err != nil {
				t.Fatalf("%s: %s while it ends: %v", kind, path, err)
			}
			resp.Body.Close()
			if !resp.Close {
				t.Errorf("%s: %s is not its connection's last answer: %v", kind, path, resp.Header)
			}
		}
	}
}
