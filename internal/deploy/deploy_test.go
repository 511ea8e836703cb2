package deploy

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func site() Site {
	return Site{
		Name: "north", Program: "/usr/local/bin/ptiffstore", User: "ptiffstore", Data: "/var/lib/ptiffstore",
		Database: "postgres://db/slides", Listen: "127.0.0.1:8080", Tiles: "127.0.0.1:8081",
		Queues: []string{"default=4", "autosync"}, Folders: []string{"/slides/scanner 1", "/slides/50%"}, Writable: []string{"/archive"},
		LogFolder: "/var/log/ptiffstore",
	}
}

// configured returns f for a site with a configuration file.
func configured(f func(Site) ([]File, error)) func(Site) ([]File, error) {
	return func(s Site) ([]File, error) {
		s.Config = "/etc/ptiffstore/north.yaml"
		return f(s)
	}
}

// host returns f for a host with slides of a larger site.
func host(f func(Site) ([]File, error)) func(Site) ([]File, error) {
	return func(s Site) ([]File, error) {
		s.Host, s.Central, s.Queues = "scanner-a", "https://slides.example.org", []string{"host-scanner-a", "default=2"}
		return f(s)
	}
}

func TestGolden(t *testing.T) {
	for kind, f := range map[string]func(Site) ([]File, error){
		"systemd-host": host(Systemd), "supervisor-host": host(configured(Supervisor)),
		"package": func(Site) ([]File, error) { return Package() },
		"systemd-config": configured(func(s Site) ([]File, error) {
			s.Database, s.Backups = "", "/var/backups/north"
			return Systemd(s)
		}),
		"systemd": Systemd, "supervisor": Supervisor, "supervisor-config": configured(Supervisor),
	} {
		files, err := f(site())
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, f := range files {
			b.WriteString("==> " + f.Name + "\n" + string(f.Content))
		}
		path := filepath.Join("testdata", kind+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
}

func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Site)
		want   string
	}{
		{"name with a slash", func(s *Site) { s.Name = "../x" }, "name of a site"},
		{"no name", func(s *Site) { s.Name = "" }, "name of a site"},
		{"relative configuration file", func(s *Site) { s.Config = "north.yaml" }, "absolute path"},
		{"relative program", func(s *Site) { s.Program = "bin/ptiffstore" }, "absolute paths"},
		{"a host without a database", func(s *Site) { s.Host, s.Database = "scanner-a", "" }, "needs the URL of the database"},
		{"another server for a whole site", func(s *Site) { s.Central = "https://slides.example.org" }, "use --host"},
		{"a central server without an edge server", func(s *Site) { s.Host, s.Central, s.Tiles = "a", "https://slides.example.org", "" }, "--tiles"},
		{"another server that is no URL", func(s *Site) { s.Host, s.Central = "a", "slides.example.org" }, "such as https://slides.example.org"},
		{"backups of PostgreSQL", func(s *Site) { s.Backups = "/backups" }, "pg_dump"},
		{"relative folder of backups", func(s *Site) { s.Database, s.Backups = "", "backups" }, "absolute path"},
		{"a line in the user", func(s *Site) { s.User = "root\nExecStartPre=rm" }, "user"},
		{"a quote in a folder", func(s *Site) { s.Folders = []string{`/sl"ides`} }, "argument"},
		{"a semicolon, which begins a comment", func(s *Site) { s.Database = "postgres://a;b" }, "database"},
	}
	for _, tt := range tests {
		s := site()
		tt.change(&s)
		for _, f := range []func(Site) ([]File, error){Systemd, Supervisor} {
			if _, err := f(s); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
			}
		}
	}
}
