package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingDone runs commands that have nothing to do: they report that.
func TestNothingDone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.says(goodPassword, "user", "add", "anna", "--admin")
	o.says("", "group", "add", "doctors")
	folder := t.TempDir()
	empty := filepath.Join(t.TempDir(), "empty.csv")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.refuses("no file was verified", "", "verify") // without a store
	o.says("", "store", "add", folder, "--label=s")
	task := o.says("", "task", "submit", "sync_store", "s")
	o.says("", "task", "cancel", task)
	for _, tt := range []struct {
		words string
		args  []string
	}{
		{"nothing to change", []string{"user", "set", "anna"}},
		{"nothing to change", []string{"group", "set", "doctors"}},
		{"nothing to change", []string{"store", "set", "s"}},
		{"anna is not in the group", []string{"group", "leave", "doctors", "anna"}},
		{"it was cancelled", []string{"task", "cancel", task}},
		{"unknown kind", []string{"task", "list", "--kind", "sync"}},
		{"unknown state", []string{"task", "list", "--state", "lost"}},
		{`unknown user "bert"`, []string{"audit", "--user", "bert"}},
		{`unknown user "bert"`, []string{"token", "list", "--user", "bert"}},
		{`unknown edge server "x"`, []string{"edge", "remove", "x"}},
		{"the file is empty", []string{"image", "map", empty}},
	} {
		o.refuses(tt.words, "", tt.args...)
	}
	o.says("", "store", "set", "s", "--label=t")
	o.says("", "group", "set", "doctors", "--name=nurses")
}

// TestNewCatalogIsSaid runs the commands that create a catalog: they print where.
func TestNewCatalogIsSaid(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	words := "created a new catalog"
	for _, first := range []bool{true, false} {
		r := command(t, "store", "add", t.TempDir(), "--data="+data)
		if said := strings.Contains(r.err, words+" in "+data); r.code != exitOK || said != first {
			t.Errorf("first: %v; store add: %v", first, r)
		}
	}
	data = filepath.Join(t.TempDir(), "data")
	for _, first := range []bool{true, false} {
		s := start(t, "serve", "--data="+data)
		if said := strings.Contains(s.log.String(), words); said != first {
			t.Errorf("first: %v; serve: %s", first, s.log)
		}
		s.stop()
	}
}

// TestDeployWritesAllOrNothing runs deploy where the last of its files exists.
func TestDeployWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "ptiffstore-x.target"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	deploy := []string{"deploy", "systemd", "--site=x", "-o", out}
	if r := command(t, deploy...); r.code != exitFailure || r.out != "" || !strings.Contains(r.err, "--force") {
		t.Errorf("%v, want it refused", r)
	}
	if files, _ := os.ReadDir(out); len(files) != 1 {
		t.Errorf("%d files are there, want the one that was", len(files))
	}
	done(t, append(deploy, "--force")...)
}
