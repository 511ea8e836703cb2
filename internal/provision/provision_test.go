package provision_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/provision"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// A site is a catalog and a folder.
type site struct {
	*catalog.Catalog
	t   *testing.T
	dir string
}

func onBoth(t *testing.T, test func(*site)) {
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "catalog.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := catalog.Open(t.Context(), url(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			test(&site{c, t, dir})
		})
	}
}

var text = reflect.TypeFor[string]()

var schema = config.Schema{Store: []config.Key{
	{Name: "id", Type: text},
	{Name: "label", Type: text},
	{Name: "mode", Type: text},
	{Name: "root", Type: text, Path: true},
	{Name: "incoming", Type: text, Path: true},
	{Name: "host", Type: text},
	{Name: "schedule", Type: text},
}}

func edit(s *catalog.Store, fields map[string]any) error {
	if fields["schedule"] == "bad" {
		return &config.FieldError{Field: "schedule", Err: errors.New("no interval")}
	}
	for name, to := range map[string]*string{"label": &s.Label, "schedule": &s.Schedule, "host": &s.Host} {
		if v, ok := fields[name]; ok {
			*to = v.(string)
		}
	}
	return nil
}

// apply provisions the stores of a file, and returns a line for each change.
func (st *site) apply(file string) []string {
	st.t.Helper()
	f, findings := config.Parse(filepath.Join(st.dir, "site.yaml"), []byte(file), schema)
	if findings != nil {
		st.t.Fatal(findings)
	}
	changes, err := provision.Apply(st.t.Context(), provision.Options{Catalog: st.Catalog, Host: "here", Edit: edit}, f)
	if err != nil {
		st.t.Fatal(err)
	}
	var lines []string
	for _, c := range changes {
		line := c.Name + " " + c.Result
		if c.Err != nil {
			line += ": " + c.Err.Error()
		} else if c.Result == provision.Changed {
			line += " " + strings.Join(c.Fields, ",")
		}
		lines = append(lines, line)
	}
	return lines
}

func (st *site) mkdir(name string) string {
	st.t.Helper()
	path := filepath.Join(st.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		st.t.Fatal(err)
	}
	return path
}

func (st *site) stores() []catalog.Store {
	st.t.Helper()
	list, err := st.Stores.List(st.t.Context())
	if err != nil {
		st.t.Fatal(err)
	}
	return list
}

// TestApply applies one version of a file after the other.
func TestApply(t *testing.T) {
	onBoth(t, func(st *site) {
		t := st.t
		for _, dir := range []string{"a", "moved", "b", "by-hand"} {
			st.mkdir(dir)
		}
		hand, err := st.Stores.Put(t.Context(), catalog.Store{Label: "By hand", Mode: catalog.InPlace, Root: filepath.Join(st.dir, "by-hand"), Queue: "kept"})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			name, file string
			want       []string
		}{
			{"without stores", "site: north", nil},
			{"first", "site: north\nstores: {a: {root: a, schedule: 15m}}", []string{"a added"}},
			{"unchanged", "site: north\nstores: {a: {root: a, schedule: 15m}}", nil},
			{"one field more", "site: north\nstores: {a: {root: a, schedule: 15m, label: A}}", []string{"a changed label"}},
			{"one field less", "site: north\nstores: {a: {root: a, label: A}}", []string{"a changed "}},
			{"another folder", "site: north\nstores: {a: {root: moved}}", []string{"a changed root"}},
			{"another name for the folder", "site: north\nstores: {z: {root: moved}}", []string{"z changed "}},
			{"the same folder twice", "site: north\nstores:\n  z: {root: moved}\n  y: {root: moved}", []string{
				"y failed: the store is already provisioned as stores.z: a folder may be in one store only",
			}},
			{"nested folders", "site: north\nstores:\n  z: {root: moved}\n  y: {root: moved/in}", []string{
				fmt.Sprintf("y failed: conflict: %q overlaps with %q of the store %s (A): a file may lie in one store only",
					filepath.Join(st.dir, "moved", "in"), filepath.Join(st.dir, "moved"), "ID"),
			}},
			{"an existing store is adopted", "site: north\nstores:\n  z: {root: moved}\n  hand: {root: by-hand, schedule: 1h}", []string{"hand changed schedule"}},
			{"the file of another site", "site: south\nstores: {x: {root: by-hand}}", []string{
				"x failed: the configuration file of another site provisions the store " + hand.ID + `, as stores.hand of the site "north"`,
			}},
			{"another mode", "site: north\nstores:\n  z: {root: moved, mode: managed}\n  hand: {root: by-hand, schedule: 1h}", []string{
				"z failed: mode: the store is in-place in the catalog, which cannot be changed: give the store another name and another folder",
			}},
			{"one of two fails", "site: north\nstores:\n  z: {root: moved, schedule: bad}\n  hand: {root: by-hand, schedule: 2h}", []string{
				"z failed: schedule: no interval", "hand changed schedule",
			}},
			{"removed from the file", "site: north\nstores: {z: {root: moved}}", []string{"hand released"}},
			{"without stores again", "site: north", nil},
			{"empty list of stores", "site: north\nstores:", []string{"z released"}},
		} {
			got := st.apply(step.file)
			for i := range got { // the id is not known beforehand
				for _, s := range st.stores() {
					if s.ID != hand.ID {
						got[i] = strings.ReplaceAll(got[i], s.ID, "ID")
					}
				}
			}
			if d := cmp.Diff(step.want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, d)
			}
		}
		list := st.stores()
		if len(list) != 2 || list[0].ID != hand.ID || list[0].Queue != "kept" || list[0].Schedule != "2h" || list[0].Provisioned != nil || list[1].Label != "A" {
			t.Errorf("stores in the end: %+v, want both, with the last settings", list)
		}
	})
}

// TestOwnedSettings checks which settings of a store the file owns.
func TestOwnedSettings(t *testing.T) {
	onBoth(t, func(st *site) {
		t := st.t
		st.apply("site: north\nstore_defaults: {schedule: 15m}\nstores: {a: {root: " + st.mkdir("a") + "}}")
		s := st.stores()[0]
		want := map[string]string{"root": "stores.a.root", "mode": "stores.a.mode", "schedule": "store_defaults.schedule"}
		if d := cmp.Diff(want, s.Provisioned.Keys); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if err := s.Editable("label", "queue"); err != nil {
			t.Errorf("other settings: %v", err)
		}
		if err := s.Editable("label", "schedule"); !errors.Is(err, catalog.ErrProvisioned) || !strings.Contains(err.Error(), "store_defaults.schedule") {
			t.Errorf("a provisioned setting: %v", err)
		}
		if err := s.Removable(); !errors.Is(err, catalog.ErrProvisioned) || !strings.Contains(err.Error(), "stores.a") {
			t.Errorf("removal: %v", err)
		}
	})
}

// TestManaged provisions managed stores: their folders are created on their own host only.
func TestManaged(t *testing.T) {
	onBoth(t, func(st *site) {
		t := st.t
		const file = "stores:\n  here: {root: new/here, mode: managed, id: chosen}\n  there: {root: new/there, mode: managed, host: elsewhere}"
		want := []string{"here added", "there failed: host: a managed store must be created on its own host: start a process with this file on elsewhere"}
		if d := cmp.Diff(want, st.apply(file)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if _, err := os.Stat(filepath.Join(st.dir, "new", "here", "incoming")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(st.dir, "new", "there")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder of another host: %v", err)
		}
		if list := st.stores(); len(list) != 1 || list[0].ID != "chosen" {
			t.Errorf("stores %+v, want one with the id of the file", list)
		}
		if got := st.apply("stores: {here: {root: new/here, mode: managed, id: another}}"); len(got) != 1 || !strings.Contains(got[0], "cannot be changed") {
			t.Errorf("another id: %q", got)
		}
	})
}

// TestConcurrentApply applies one file several times at once: one store of each name is
// created.
func TestConcurrentApply(t *testing.T) {
	onBoth(t, func(st *site) {
		file := "stores:\n"
		for i := range 4 {
			st.mkdir(fmt.Sprint("s", i))
			file += fmt.Sprintf("  s%d: {root: s%d, mode: %s}\n", i, i, []string{"in-place", "managed"}[i%2])
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for _, line := range st.apply(file) {
					if strings.Contains(line, provision.Failed) {
						st.t.Error(line)
					}
				}
			})
		}
		wg.Wait()
		var names []string
		for _, s := range st.stores() {
			names = append(names, s.Provisioned.Name)
		}
		slices.Sort(names)
		if d := cmp.Diff([]string{"s0", "s1", "s2", "s3"}, names); d != "" {
			st.t.Errorf("(-want +got):\n%s", d)
		}
	})
}
