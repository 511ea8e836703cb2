package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// seen has the metrics of the processes of a site.
type seen struct {
	serve, tileserver, worker string
}

func (s *seen) all() string { return s.serve + s.tileserver + s.worker }

// names returns the names of the metrics and of their samples.
func (s *seen) names() (metrics, samples []string) {
	for line := range strings.Lines(s.all()) {
		if f := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			metrics = append(metrics, f[2])
		} else if line[0] != '#' {
			name, _, _ := strings.Cut(f[0], "{")
			samples = append(samples, name)
		}
	}
	slices.Sort(metrics)
	slices.Sort(samples)
	return slices.Compact(metrics), slices.Compact(samples)
}

// asideAddress returns the address of the --metrics-listen port of a process.
func asideAddress(t *testing.T, log *logBuffer) string {
	t.Helper()
	line := regexp.MustCompile(`msg=metrics address=(127\.0\.0\.1:\d+)`)
	await(t, "the address of the metrics", func() bool { return line.MatchString(log.String()) })
	return "http://" + line.FindStringSubmatch(log.String())[1]
}

// observed runs a site with all kinds of processes, uses each, and returns the metrics. All
// names of files, users and stores contain a patient's name.
func observed(t *testing.T) *seen {
	t.Helper()
	const name = patient + " 1.tiff"
	dir := filepath.Join(slidesIn(t, nil), patient)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	deliver(t, philips, filepath.Join(dir, name))
	o := newOffice(t)
	s := start(t, "serve", dir, "--data", o.data, "--auth", "local", "--no-worker", "--no-admin-link", "--metrics-listen", "127.0.0.1:0")
	o.says(goodPassword+"\n", "user", "add", patient, "--admin")
	token := "Bearer " + o.says("", "token", "add", "--user", patient, "--scope", "admin")
	store := storeOf(t, s, token)
	o.says("", "store", "set", store, "--label", patient)
	o.says("", "task", "submit", "verify_store", store, "--queue", "nobody")
	log := &logBuffer{}
	stop := startWorkerLogging(t, log, "--data", o.data, "--metrics-listen", ":0")
	defer stop()
	var im imageJSON
	await(t, "the slide", func() bool {
		var page struct{ Items []imageJSON }
		json.Unmarshal([]byte(s.get("/api/v1/images", "Authorization", token).body), &page)
		if len(page.Items) == 1 {
			im = page.Items[0]
		}
		return im.State == "available"
	})
	ts := beside(t, o.data, "--auth", "central", "--central", s.url, "--metrics-listen", "0")
	for _, p := range []*running{s, ts} {
		await(t, "a tile", func() bool {
			return p.get("/api/v1/images/"+im.ID+"/tiles/0/0/0", "Authorization", token).status == http.StatusOK
		})
	}
	for _, p := range []*running{s, ts} {
		for _, path := range []string{
			"/api/v1/images/" + im.ID + "/tiles/3/3/2", "/api/v1/images/" + im.ID + "/thumbnail", "/api/v1/images/" + im.ID + "/preview",
			"/apiv1/slides/" + patient + "%201.tiff/label/", "/apiv1/slides/" + patient + "%201.tiff/0/0/0", "/" + patient + "?q=" + patient, "/api/v1/images?q=" + patient,
			"/tile?db=" + store + "&img=" + patient + "&name=t.jpg",
		} {
			p.get(path, "Authorization", token, "X-Request-Id", patient)
			p.get(path, "X-Request-Id", patient)
		}
	}
	worker := asideAddress(t, log)
	await(t, "a task that is done", func() bool {
		return strings.Contains(fetch(t, http.DefaultClient, worker+"/metrics").body, `ptiffstore_task_attempts_total{kind="make_previews",outcome="done"} 1`)
	})
	for _, url := range []string{worker, asideAddress(t, s.log)} {
		if a := fetch(t, http.DefaultClient, url+"/readyz"); a.status != http.StatusOK {
			t.Errorf("%s/readyz: %d", url, a.status)
		}
		checkProblem(t, "another host's name", (&running{t: t, url: url, client: http.DefaultClient}).get("/metrics", "Host", "figures.example"), http.StatusMisdirectedRequest)
	}
	return &seen{
		serve:      s.get("/metrics", "Authorization", token).body,
		tileserver: fetch(t, http.DefaultClient, asideAddress(t, ts.log)+"/metrics").body,
		worker:     fetch(t, http.DefaultClient, worker+"/metrics").body,
	}
}

// TestFigures compares the metrics of a complete site with the documentation, the dashboard
// and the alerts.
func TestFigures(t *testing.T) {
	t.Parallel()
	figures := observed(t)
	t.Run("nothing of patients", func(t *testing.T) {
		for line := range strings.Lines(figures.all()) {
			for _, private := range []string{"MUSTER", "ERIKA", "S-12", "/tmp", ".tiff"} {
				if strings.Contains(line, private) {
					t.Errorf("%q is in the figures: %s", private, line)
				}
			}
		}
	})
	t.Run("each process", func(t *testing.T) {
		for _, tt := range []struct{ who, answer, want string }{
			{"serve", figures.serve, `ptiffstore_requests_total{route="GET /api/v1/images/{image}/preview",status="200"} 1`},
			{"serve", figures.serve, `ptiffstore_requests_total{route="tile",status="200"} `},
			{"serve", figures.serve, `ptiffstore_uploads_in_flight 0`},
			{"serve", figures.serve, `ptiffstore_tasks{queue="nobody",state="waiting"} 1`},
			{"serve", figures.serve, `ptiffstore_image_cache_misses_total `},
			{"tileserver", figures.tileserver, `ptiffstore_open_slides 1`},
			{"tileserver", figures.tileserver, `ptiffstore_request_seconds_count{route="tile"} `},
			{"tileserver", figures.tileserver, `ptiffstore_access_misses_total `},
			{"worker", figures.worker, `ptiffstore_task_attempt_seconds_count{kind="make_previews"} 1`},
			{"worker", figures.worker, `ptiffstore_task_attempts_total{kind="verify_store",outcome="failed"} 0`},
			{"worker", figures.worker, `ptiffstore_requests_total{route="GET /metrics",status="200"} `},
			{"worker", figures.worker, `ptiffstore_workers{host="`},
			{"worker", figures.worker, `ptiffstore_database_up 1`},
		} {
			if !strings.Contains(tt.answer, "\n"+tt.want) {
				t.Errorf("%s does not say %q:\n%s", tt.who, tt.want, tt.answer)
			}
		}
	})
	metrics, samples := figures.names()
	t.Run("documentation", func(t *testing.T) { checkDocumented(t, metrics) })
	t.Run("dashboard and alerts", func(t *testing.T) {
		for _, file := range []string{"dashboard.json", "alerts.yml"} {
			for _, name := range regexp.MustCompile(`\b(ptiffstore|process|go)_[a-z_]+\b`).FindAllString(read(t, file), -1) {
				if !slices.Contains(samples, name) {
					t.Errorf("%s asks for %s, which no process exports", file, name)
				}
			}
		}
	})
}

// read returns a file of docs/monitoring.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../docs/monitoring", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkDocumented fails the test unless docs/monitoring.md has a row for each metric of the
// program and for no other.
func checkDocumented(t *testing.T, metrics []string) {
	t.Helper()
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(ptiffstore_[a-z_]+)` \\|").FindAllStringSubmatch(read(t, "../monitoring.md"), -1) {
		documented[row[1]] = true
	}
	for _, name := range metrics {
		if strings.HasPrefix(name, "ptiffstore_") && !documented[name] {
			t.Errorf("%s is not in docs/monitoring.md", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/monitoring.md has %s, which no process exports", name)
	}
}

// TestAlerts runs the unit tests of the alerts with promtool, and checks the queries of the
// dashboard.
func TestAlerts(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed")
	}
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := read(t, "alerts.yml")
	write("alerts.yml", rules)
	tests, err := os.ReadFile("testdata/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", filepath.Join(dir, "alerts.yml")},
		{"test", "rules", write("alerts_test.yml", string(tests))},
		{"check", "rules", write("dashboard.yml", dashboardRules(t))},
	} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
	for _, m := range regexp.MustCompile(`alert: (\S+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(read(t, "../monitoring.md"), "| `"+m[1]+"` |") {
			t.Errorf("docs/monitoring.md does not say when %s comes", m[1])
		}
	}
}

// dashboardRules returns a rule file with the queries of the dashboard, which promtool can
// check.
func dashboardRules(t *testing.T) string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr)
			fmt.Fprintf(&b, "  - {record: dashboard:%d, expr: %q}\n", n, expr)
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d expressions in the dashboard", n)
	}
	return b.String()
}

// TestDebugListen checks that profiles are served only on loopback and only if configured.
func TestDebugListen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "nonsense"} {
		r := command(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--debug-listen", address)
		if r.code == exitOK || !strings.Contains(r.err, "--debug-listen "+address) {
			t.Errorf("%s: %v, want it refused", address, r)
		}
	}
	s := start(t, "serve", "--data", newCatalog(t), "--debug-listen", "127.0.0.1:0")
	address := regexp.MustCompile(`msg="metrics and profiles" address=(\S+)`)
	await(t, "the address of the profiles", func() bool { return address.MatchString(s.log.String()) })
	debug := &running{t: t, url: "http://" + address.FindStringSubmatch(s.log.String())[1], client: http.DefaultClient}
	if a := debug.get("/debug/pprof/goroutine?debug=1"); a.status != http.StatusOK || !strings.Contains(a.body, "goroutine profile") {
		t.Errorf("profile of goroutines: %d %.100s", a.status, a.body)
	}
	checkProblem(t, "by another name", debug.get("/debug/pprof/", "Host", "evil.example"), http.StatusMisdirectedRequest)
	off := start(t, "serve", "--data", newCatalog(t))
	if strings.Contains(off.log.String(), "profiles") || strings.Contains(off.get("/debug/pprof/").body, "goroutine profile") {
		t.Errorf("profiles are served without --debug-listen: %s", off.log)
	}
}
