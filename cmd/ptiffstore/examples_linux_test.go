package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestNginx checks that the documented configuration of nginx forwards the address of the
// client and the use of TLS, does not buffer uploads and events, and serves tiles under
// their own host name.
func TestNginx(t *testing.T) {
	t.Parallel()
	p := startNginx(t)
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	login := []string{"Authorization", "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")}
	archive := filepath.Join(slidesIn(t, nil), "archive")
	store := done(t, "store", "add", archive, "--managed", "--data", o.data)
	launchAt(t, p.central[0], "serve", "--data", o.data, "--auth", "local", "--trusted-proxy", "127.0.0.1") // of two servers one is enough
	launchAt(t, p.tiles[1], "tileserver", "--data", o.data, "--auth", "local", "--trusted-proxy", "127.0.0.1")
	ask := func(method, url, body string, header ...string) answer {
		t.Helper()
		a, err := p.ask(method, url, body, append(header, login...)...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}

	a, err := p.ask("POST", centreName+"/api/v1/auth/login", `{"name":"anna","password":"`+goodPassword+`"}`, "Content-Type", "application/json", "X-Forwarded-For", "198.51.100.7")
	if err != nil || !strings.Contains(a.header.Get("Set-Cookie"), "Secure") || a.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("login by TLS: status %d, %v, headers %v", a.status, err, a.header)
	}
	if log := ask("GET", centreName+"/api/v1/audit?limit=5", "").body; !strings.Contains(log, `"127.0.0.1"`) || strings.Contains(log, "198.51.100.7") {
		t.Errorf("the audit log has another client than nginx saw: %s", log)
	}
	if a := ask("GET", tilesName+"/api/v1/images", ""); a.status != http.StatusNotFound || !strings.Contains(a.body, "only tiles") {
		t.Errorf("the name of the tile servers is answered by another: status %d, %s", a.status, a.body)
	}

	// Half an upload is on disk before the other half is sent.
	slide := plain.bytes(t)
	a = ask("POST", centreName+"/api/v1/uploads", "", "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(slide)),
		"Upload-Metadata", "filename "+base64.StdEncoding.EncodeToString([]byte("a.tiff"))+",store "+base64.StdEncoding.EncodeToString([]byte(store)))
	to := a.header.Get("Location")
	if a.status != http.StatusCreated || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, centreName) {
		t.Fatalf("creation: status %d, Location %q: %s", a.status, to, a.body)
	}
	read, write := io.Pipe()
	req, err := http.NewRequest("PATCH", centreName+strings.TrimPrefix(to, centreName), read)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(slide))
	req.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {"0"}, "Content-Type": {"application/offset+octet-stream"}, "Authorization": {login[1]}}
	ended := make(chan error, 1)
	go func() {
		resp, err := p.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		ended <- err
	}()
	write.Write(slide[:len(slide)/2])
	await(t, "half an upload on disk", func() bool {
		size := int64(0)
		filepath.WalkDir(archive, func(_ string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					size = max(size, info.Size())
				}
			}
			return nil
		})
		return size >= int64(len(slide)/2)
	})
	write.Write(slide[len(slide)/2:])
	write.Close()
	if err := <-ended; err != nil {
		t.Errorf("upload: %v", err)
	}

	// Events arrive while the stream is open.
	task := done(t, "task", "submit", "sync_store", store, "--queue", "nobodys", "--data", o.data)
	req, err = http.NewRequest("GET", centreName+"/api/v1/tasks/"+task+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", login[1])
	resp, err := p.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || resp.StatusCode != http.StatusOK || line == "" {
		t.Errorf("the first line of events is %q, %v, with status %d", line, err, resp.StatusCode)
	}
}

// TestCaddyfile validates the example with Caddy.
func TestCaddyfile(t *testing.T) {
	t.Parallel()
	caddy, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("caddy is not installed (Debian: caddy)")
	}
	cmd := exec.Command(caddy, "adapt", "--config", filepath.Join("..", "..", "docs", "examples", "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "tiles.example.org") {
		t.Errorf("caddy adapt: %v: %s", err, out)
	}
}

// TestContainerFiles parses each command line of the container files with the program.
func TestContainerFiles(t *testing.T) {
	t.Parallel()
	type service struct {
		Command     []string
		Entrypoint  []string
		Environment map[string]string
		Healthcheck struct{ Test []string }
		Grace       string `yaml:"stop_grace_period"`
	}
	lines := map[string][]string{}
	for _, file := range []string{"compose.yaml", "compose-bucket.yaml"} {
		var compose struct {
			Services map[string]service
			Volumes  map[string]any
		}
		if err := yaml.Unmarshal([]byte(exampleFile(t, file)), &compose); err != nil {
			t.Fatal(err)
		}
		for name, s := range compose.Services {
			if s.Environment["PTIFFSTORE_DATABASE"] == "" {
				continue
			}
			lines[file+" "+name] = s.Command
			if s.Grace != "30s" {
				t.Errorf("service %s is given %q to end", name, s.Grace)
			}
			for key := range s.Environment {
				if !knownVariable(key) {
					t.Errorf("service %s has the variable %s, which says nothing to the program", name, key)
				}
			}
		}
	}
	if len(lines) != 5 {
		t.Fatalf("of the services these are the program: %v", lines)
	}
	image := exampleFile(t, "Dockerfile")
	for line := range strings.Lines(image) {
		if _, list, ok := strings.Cut(line, "CMD ["); ok {
			var args []string
			if err := yaml.Unmarshal([]byte("["+strings.TrimSpace(list)), &args); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if args[0] == "/ptiffstore" {
				args = args[1:]
			}
			lines["image "+args[0]] = args
		}
	}
	lines["another comment"] = strings.Fields("store add s3://slides/archive --managed --label Archive")
	if !strings.Contains(exampleFile(t, "compose-bucket.yaml"), "store add s3://slides/archive --managed --label Archive") {
		t.Error("compose-bucket.yaml no longer says how the store is added")
	}
	lines["comment"] = strings.Fields("store add /slides --host archive --endpoint https://tiles.example.org")
	if !strings.Contains(exampleFile(t, "compose.yaml"), "store add /slides --label 'Scanner A' --host archive --endpoint https://tiles.example.org") {
		t.Error("compose.yaml no longer says how the store is added")
	}
	for name, args := range lines {
		if _, err := newParser(&program{}).Parse(args); err != nil {
			t.Errorf("%s: %q: %v", name, args, err)
		}
	}
	if !strings.Contains(image, "FROM scratch") || !strings.Contains(image, "USER 65532") || len(lines) != 9 {
		t.Errorf("the image is not what it was: %v", lines)
	}
}

// knownVariable reports whether an environment variable sets a flag of serve, names the configuration
// file, or has credentials of a bucket.
func knownVariable(name string) bool {
	if name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY" || name == "PTIFFSTORE_CONFIG" {
		return true
	}
	for _, n := range newParser(&program{}).Model.Children {
		if n.Name != "serve" {
			continue
		}
		for _, f := range n.Flags {
			for _, e := range f.Envs {
				if e == name {
					return true
				}
			}
		}
	}
	return false
}

// TestEmptyRoot runs the program as in a container: as an unprivileged user, in a root
// directory with only a certificate, a data directory and a folder of slides. It asks a
// central server over TLS for permissions.
func TestEmptyRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder")
	}
	t.Parallel()
	const uid = 65532
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	login := []string{"Authorization", "Bearer " + o.says("", "token", "add", "--user", "anna", "--scope", "admin")}
	central := launch(t, "serve", "--data", o.data, "--auth", "local")
	behind, err := neturl.Parse(central.url)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(behind))
	defer front.Close()

	root := t.TempDir()
	for _, dir := range []string{"etc/ssl/certs", "data", "slides"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(built(t))
	if err != nil {
		t.Fatal(err)
	}
	certified(t, root, "") // the proxy in front uses cert.pem, too
	cert, err := os.ReadFile(filepath.Join(root, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"ptiffstore": program, "etc/ssl/certs/ca-certificates.crt": cert, "slides/a.tiff": plain.bytes(t)} {
		if err := os.WriteFile(filepath.Join(root, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(root, "data"), uid, uid); err != nil {
		t.Fatal(err)
	}
	contain := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/ptiffstore", args...)
		cmd.Dir, cmd.Env = "/", []string{"PTIFFSTORE_DATA=/data"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return cmd
	}
	addr := "127.0.0.1:" + freePort(t)
	cmd := contain("serve", "/slides", "--listen", addr, "--auth", "central", "--central", front.URL, "--host", "container")
	edge := &running{t: t, client: &http.Client{Transport: &http.Transport{}}, log: &logBuffer{}, url: "http://" + addr}
	cmd.Stderr = edge.log
	begin(t, cmd, syscall.SIGKILL)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	await(t, "ready", func() bool { return contain("ready", "--listen", addr).Run() == nil })
	id := ""
	edge.until("the slide", func() bool {
		_, rest, ok := strings.Cut(edge.get("/api/v1/images?state=available", login...).body, `"id":"`)
		id, _, _ = strings.Cut(rest, `"`)
		return ok
	})
	tile := "/api/v1/images/" + id + "/tiles/2/1/1"
	edge.until("its tile", func() bool { return edge.get(tile, login...).status == http.StatusOK })
	sameTile(t, "in an empty root folder", edge.get(tile, login...), plain, 0, 1, 1)
	checkProblem(t, "without a login", edge.get(tile), http.StatusUnauthorized)
	if err := contain("ready", "--listen", "127.0.0.1:1").Run(); err == nil {
		t.Error("ready reports a port without a server as ready")
	}
}
