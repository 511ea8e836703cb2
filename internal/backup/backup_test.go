package backup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// newCatalog opens a catalog in a new data directory, with a store of that label.
func newCatalog(t *testing.T, label string) *catalog.Catalog {
	t.Helper()
	c := catalogtest.Open(t, filepath.Join(t.TempDir(), databaseName))
	if _, err := c.Stores.Put(t.Context(), catalog.Store{Label: label, Mode: catalog.InPlace, Root: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return c
}

// labels returns the labels of the stores of a catalog file.
func labels(t *testing.T, path string) []string {
	t.Helper()
	c, err := catalog.OpenReadOnly("sqlite:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it was only read
	list, err := c.Stores.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Label)
	}
	return names
}

// TestRestore restores a backup into an empty data directory, and over a catalog.
func TestRestore(t *testing.T) {
	t.Parallel()
	var stages []string
	made, err := Create(t.Context(), newCatalog(t, "saved"), Options{Folder: t.TempDir(), Version: "1.2", Progress: func(stage string, _ float64) {
		stages = append(stages, stage)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"checking", "computing the digest"}, slices.Compact(stages)); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	b, err := Open(made.Folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, b); diff != "" {
		t.Errorf("opened (-made +opened):\n%s", diff)
	}
	data := t.TempDir()
	for _, replace := range []bool{false, true} {
		path, err := b.Restore(t.Context(), data, replace)
		if err != nil {
			t.Fatalf("replace %v: %v", replace, err)
		}
		if got := labels(t, path); !slices.Equal(got, []string{"saved"}) {
			t.Errorf("replace %v: stores %q", replace, got)
		}
	}
	_, err = b.Restore(t.Context(), data, false)
	if e, ok := errors.AsType[*ExistsError](err); !ok || e.Path != filepath.Join(data, databaseName) {
		t.Errorf("over a catalog: %v", err)
	}
	kept, err := filepath.Glob(filepath.Join(data, "*.before-*"))
	if err != nil || len(kept) == 0 {
		t.Errorf("the replaced catalog: %q, %v", kept, err)
	}
}

// TestMakeFolder creates a folder when the first names are taken.
func TestMakeFolder(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "b")
	for _, want := range []string{name, name + "-2", name + "-3"} {
		got, err := makeFolder(name)
		if err != nil || got != want {
			t.Errorf("makeFolder(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, manifest, want string }{
		{"complete", `{"at":"2026-01-02T03:04:05Z","file":"catalog.db","size":1,"sha256":"00"}`, ""},
		{"from a newer program", `{"file":"catalog.db","color":"red"}`, ""},
		{"no manifest", "", "is not a backup"},
		{"not JSON", "no", "cannot read its backup.json"},
		{"no file", `{"size":1}`, "cannot read its backup.json"},
		{"a file elsewhere", `{"file":"../catalog.db"}`, "cannot read its backup.json"},
		{"too large", strings.Repeat(" ", maxManifest+1), "is not a backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if tt.manifest != "" {
				writeFile(t, filepath.Join(folder, manifestName), tt.manifest)
			}
			_, err := Open(folder)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPrune removes old backups from a folder that also holds other things.
func TestPrune(t *testing.T) {
	t.Parallel()
	folder, elsewhere := t.TempDir(), t.TempDir()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	complete := func(in, name string, age time.Duration) {
		at := now.Add(-age).Format(time.RFC3339)
		writeFile(t, filepath.Join(in, name, manifestName), `{"at":"`+at+`","file":"catalog.db"}`)
	}
	complete(folder, "ptiffstore-20260301-120000", 0)
	complete(folder, "ptiffstore-20260301-120000-2", 0)
	complete(folder, "ptiffstore-20260228-120000", 24*time.Hour)
	complete(folder, "before-the-upgrade", 48*time.Hour)
	complete(elsewhere, "ptiffstore-20260227-120000", 48*time.Hour)
	writeFile(t, filepath.Join(folder, "ptiffstore-20200101-000000", databaseName), "incomplete")
	if err := os.Symlink(filepath.Join(elsewhere, "ptiffstore-20260227-120000"), filepath.Join(folder, "ptiffstore-20260227-120000")); err != nil {
		t.Fatal(err)
	}
	if err := Prune(folder, 2); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{"before-the-upgrade", "ptiffstore-20200101-000000", "ptiffstore-20260227-120000", "ptiffstore-20260301-120000", "ptiffstore-20260301-120000-2"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("after removing old backups (-want +got):\n%s", diff)
	}
}
