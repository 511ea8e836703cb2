package api_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStoreFolders(t *testing.T) {
	st := newSite(t)
	top := t.TempDir()
	st.api.StoreRoots = []string{top, filepath.Join(top, "absent")}
	items := st.object("GET", "/api/v1/store-folders", "", 200)["items"].([]any)
	first := items[0].(map[string]any)
	if free, _ := first["free"].(float64); free <= 0 {
		t.Errorf("free space %v", first["free"])
	}
	first["free"] = nil
	want := []any{
		map[string]any{"path": top, "exists": true, "writable": true, "free": nil},
		map[string]any{"path": filepath.Join(top, "absent"), "exists": false, "writable": false, "free": nil},
	}
	if diff := cmp.Diff(want, items); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

func TestMakeFolder(t *testing.T) {
	st := newSite(t)
	top, outside := t.TempDir(), t.TempDir()
	st.api.StoreRoots = []string{top}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	const path = "/api/v1/stores?make_folder=true"
	body := func(root string) string { return fmt.Sprintf(`{"mode":"managed","root":%q}`, root) }
	made := filepath.Join(top, "archive", "2031")
	st.refused("POST", "/api/v1/stores", body(made), 422, "does not exist")
	v := st.object("POST", path, body(made), 201)
	if v["root"] != made || v["incoming"] != filepath.Join(made, "incoming") {
		t.Errorf("store %v", v)
	}
	if info, err := os.Stat(made); err != nil || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("folder: %v %v, want one that others can't read", info, err)
	}
	st.refused("POST", path, body(made), 409, "another store")
	if _, err := os.Stat(made); err != nil {
		t.Errorf("a refused request has removed the folder of another store: %v", err)
	}
	for _, tt := range []struct {
		name, root string
		status     int
		words      string
	}{
		{"outside", filepath.Join(outside, "new"), 403, "outside"},
		{"through a link", filepath.Join(top, "link", "new"), 403, "outside"},
		{"dots", top + "/../new", 403, "outside"},
		{"below a file", filepath.Join(top, "file", "new"), 422, "does not exist"},
		{"relative", "new", 422, "whole path"},
	} {
		st.refused("POST", path, body(tt.root), tt.status, tt.words)
	}
	// An invalid request leaves no folder behind.
	st.refused("POST", path, fmt.Sprintf(`{"mode":"managed","root":%q,"hide_after":"2h","drop_after":"1h"}`, filepath.Join(top, "other")), 422, "shorter")
	for _, gone := range []string{filepath.Join(top, "other"), filepath.Join(outside, "new")} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s was created", gone)
		}
	}
}
