package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDataFolder serves without --data: the data directory is the user's own, and other
// users have no access.
func TestDataFolder(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_DATA_HOME", base)
	start(t, "serve").stop()
	fi, err := os.Stat(filepath.Join(base, "ptiffstore"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o700 {
		t.Errorf("the data folder has mode %v, want it for its owner alone", fi.Mode())
	}
	if _, err := os.Stat(filepath.Join(base, "ptiffstore", "catalog.db")); err != nil {
		t.Errorf("no catalog: %v", err)
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "")
	if r := command(t, "serve", "--listen", "127.0.0.1:0"); r.code != exitFailure || !strings.Contains(r.err, "use --data DIR") {
		t.Errorf("without a home: %v, want exit code %d and what to do", r, exitFailure)
	}
}

// TestServeFolders passes one folder under several paths, twice: it becomes one store, and
// the server writes nothing into it.
func TestServeFolders(t *testing.T) {
	t.Parallel()
	data, dir := newCatalog(t), slidesIn(t, map[string]*slideFile{"a.tiff": plain})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755) }) // so that it can be removed
	for range 2 {
		s := start(t, "serve", dir, dir+"/.", link, "--data", data)
		var list struct {
			Items []struct{ Label, Mode string }
		}
		if err := json.Unmarshal([]byte(s.get("/api/v1/stores").body), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].Label != filepath.Base(dir) || list.Items[0].Mode != "in-place" {
			t.Errorf("stores %+v, want one in place", list.Items)
		}
		s.stop()
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v; want what it held", files, err)
	}
}

// TestServeLog checks that every line of the log is JSON with --log-format json.
func TestServeLog(t *testing.T) {
	s, _ := serving(t, map[string]*slideFile{patient + ".tiff": plain}, "--log-format", "json")
	s.stop()
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	for _, line := range lines {
		var entry struct {
			Time, Level, Msg string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%v in line %q", err, line)
		}
	}
	s, _ = serving(t, map[string]*slideFile{patient + ".tiff": plain}, "--log-level", "error")
	if s.stop(); s.log.String() != "" {
		t.Errorf("with --log-level error the log has %s", s.log)
	}
}
