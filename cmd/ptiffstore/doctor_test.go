package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/doctor"
)

// TestDoctor examines a site that serve FOLDER has created, while it runs and after its
// folder was removed.
func TestDoctor(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	if r := command(t, "doctor", "--data="+data); r.code != exitFailure || !strings.Contains(r.out, "does not exist") || r.err != "" {
		t.Errorf("before there is anything: %v", r)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("doctor has made the data folder")
	}
	s, dir := serving(t, map[string]*slideFile{patient + ".tiff": plain}, "--data="+data)
	s.available(patient + ".tiff")
	s.until("nothing to fix", func() bool { // the worker is registered and the tables of tasks exist
		r := command(t, "doctor", "--data="+data, "--cache-size=1", "--timeout=1m") // a full disk is another matter
		return r.code == exitOK && strings.Count(r.out, "\n") == 1 && strings.HasSuffix(r.out, "nothing to fix\n")
	})
	site := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(site, []byte("data: "+data+"\nauth:\n  mode: local\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := command(t, "doctor", "--config="+site, "--all", "--timeout=1m"); r.code != exitOK || !strings.Contains(r.out, "--auth local") || !strings.Contains(r.out, data) {
		t.Errorf("by the configuration file: %v", r)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	r := command(t, "doctor", "--data="+data, "--json", "--timeout=1m")
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitFailure || report.Healthy || strings.Contains(r.out, patient) {
		t.Fatalf("with its folder away: %v, %v", err, r)
	}
	wrong := 0
	for _, f := range report.Findings {
		if f.Level == doctor.Wrong {
			wrong++
			if !strings.HasPrefix(f.Check, "store ") || !strings.Contains(f.Message, "does not exist") || f.Fix == "" {
				t.Errorf("with its folder away: %+v", f)
			}
		}
	}
	if wrong != 1 {
		t.Errorf("%d findings, want that its folder is away: %+v", wrong, report.Findings)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s.stop()
}

// TestDoctorAsksCentralServer examines an edge server with the secret that the central
// server knows, and with another one.
func TestDoctorAsksCentralServer(t *testing.T) {
	t.Parallel()
	data := newCatalog(t)
	central := start(t, "serve", "--data="+data, "--auth=local", "--no-admin-link")
	secret := filepath.Join(t.TempDir(), "secret")
	examine := func(text string) result {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return command(t, "doctor", "--all", "--data="+data, "--auth=central", "--central="+central.url, "--edge-secret-file="+secret, "--timeout=1m")
	}
	good := strings.TrimSpace(done(t, "edge", "add", "https://tiles.example.org", "--data="+data))
	if r := examine(good); !strings.Contains(r.out, "ok       central server: "+central.url+" answers correctly") {
		t.Errorf("with its secret: %v", r)
	}
	if r := examine("another" + good); r.code != exitFailure || !strings.Contains(r.out, "wrong    central server: ") || strings.Contains(r.out, good) {
		t.Errorf("with another secret: %v", r)
	}
}
