package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/config"
)

var text = reflect.TypeFor[string]()

// schema has a key of each type.
var schema = config.Schema{
	Keys: []config.Key{
		{Name: "listen", Type: text},
		{Name: "data", Type: text, Path: true},
		{Name: "log.level", Type: text, OneOf: []string{"debug", "info", "warn"}},
		{Name: "auth.oidc.issuer", Type: text},
		{Name: "auth.on", Type: reflect.TypeFor[bool]()},
		{Name: "limits.open", Type: reflect.TypeFor[int64]()},
		{Name: "limits.share", Type: reflect.TypeFor[float64]()},
		{Name: "limits.keep", Type: reflect.TypeFor[time.Duration]()},
		{Name: "origins", Type: reflect.TypeFor[[]string]()},
		{Name: "queues", Type: reflect.TypeFor[config.Counts]()},
		{Name: "port", Type: reflect.TypeFor[int64](), Check: func(v any) error {
			if v.(int64) > 65535 {
				return errors.New("ports end at 65535")
			}
			return nil
		}},
	},
	Sections: []string{"worker"},
	Store:    []config.Key{{Name: "root", Type: text, Path: true, Own: true}, {Name: "schedule", Type: text}, {Name: "public", Type: reflect.TypeFor[bool]()}},
	CheckStore: func(fields map[string]any) error {
		if fields["root"] == nil {
			return &config.FieldError{Field: "root", Err: errors.New("the folder is missing")}
		}
		if fields["schedule"] == "never" {
			return &config.FieldError{Field: "schedule", Err: errors.New("never is not a schedule")}
		}
		return nil
	},
}

// TestFindings reads files with mistakes.
func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string // line:column: the rest
	}{
		{"nothing", "", nil},
		{"comments only", "# nothing yet\n", nil},
		{"keys that are commented out", "log:\n#  level: info\nstores:\n", nil},
		{"one letter too many", "lissten: :80", []string{"1:1: lissten: unknown key. Did you mean listen?"}},
		{"swapped letters", "queus:\n  a: 1\nlog: {lvele: info}", []string{"1:1: queus: unknown key. Did you mean queues?", "3:7: log.lvele: unknown key. Did you mean log.level?"}},
		{"the name of a flag", "oidc-issuer: x", []string{"1:1: oidc-issuer: unknown key. Did you mean auth.oidc.issuer?"}},
		{"nothing similar", "log:\n  colour: red", []string{"2:3: log.colour: unknown key. Allowed here: level."}},
		{"in a section", "worker:\n  lisen: x", []string{"2:3: worker.lisen: unknown key. Did you mean listen?"}},
		{"stores in a section", "worker:\n  stores: {}", []string{"2:3: worker.stores: unknown key. Allowed here: auth, data, limits, listen, log, origins, port or queues."}},
		{"enumeration", "log: {level: inof}", []string{"1:14: log.level: cannot be inof. Did you mean info? Allowed are debug, info or warn."}},
		{"no value", "listen:", []string{"1:8: listen: has no value. Write one after the colon, or remove the line."}},
		{"switch for text", "listen: true", []string{"1:9: listen: must be text, not true. Put it in quotes if it is meant."}},
		{"mapping for text", "listen: {a: b}", []string{"1:9: listen: must be a single value, not a mapping."}},
		{"text for mapping", "log: info", []string{"1:6: log: must be a mapping, not a single value. Write each setting on a line of its own, indented: name: value."}},
		{"quoted number", `limits: {open: "5"}`, []string{`1:16: limits.open: must be a whole number, 0 or more, not "5". Write digits without quotes: 8.`}},
		{"number below 0", "limits: {open: -5}", []string{"1:16: limits.open: must be a whole number, 0 or more, not -5. Write digits without quotes: 8."}},
		{"fraction", "limits: {open: 1.5, share: much}", []string{"1:16: limits.open: must be a whole number, 0 or more, not 1.5. Write digits without quotes: 8.", "1:28: limits.share: must be a number, not much. Write it without quotes: 0.5."}},
		{"yes", "auth: {on: yes}", []string{"1:12: auth.on: must be true or false, not yes. Write true or false, without quotes."}},
		{"no unit", "limits: {keep: 30}", []string{"1:16: limits.keep: must be a duration, not 30. Write a number with its unit: 90s, 15m, 36h or 30d."}},
		{"no list", "origins: a", []string{"1:10: origins: must be a list, not a single value. Write each entry on a line of its own, after a hyphen."}},
		{"list of lists", "origins: [[a]]", []string{"1:10: origins: has an entry on line 1 that is not text. Write one text after each hyphen."}},
		{"queue without a number", "queues: {a: }", []string{"1:9: queues: has no number from 1 to 1000 for a on line 1. Write each name with its number on a line of its own: default: 4."}},
		{"queue twice", "queues: {a: 1, a: 2}", []string{`1:9: queues: repeats "a" on line 1. Remove one of the two.`}},
		{"bad value", "port: 65536", []string{"1:7: port: invalid value: ports end at 65535."}},
		{"twice", "listen: a\nlisten: b\n", []string{"2:1: listen: repeats line 1. Remove one of the two."}},
		{"anchor", "listen: &a x\ndata: *a\n", []string{"1:9: listen: anchors (& and *) are not supported. Write the value itself.", "2:7: data: anchors (& and *) are not supported. Write the value itself."}},
		{"merge", "log: {<<: {level: info}}", []string{"1:7: log: has a name that is not a word. Write: name: value."}},
		{"no mapping", "- a", []string{"1:1: must be a mapping, not a list. Write each setting on a line of its own, indented: name: value."}},
		{"two documents", "listen: a\n---\nlisten: b\n", []string{"2:0: invalid YAML: a second document begins with ---; write one document."}},
		{"tab", "log:\n\tlevel: info", []string{"2:0: invalid YAML: found character that cannot start any token."}},
		{"site", "site: North Wing", []string{"1:7: site: invalid name of a site. Write lower-case letters and digits with single hyphens: north."}},
		{"list of stores", "stores:\n  - root: /a", []string{"2:3: stores: must be a mapping, not a list. Give each store a name instead of a hyphen: scanner1: {root: /slides/scanner1}."}},
		{"name of a store", "stores: {A b: {root: /a}}", []string{"1:10: stores.A b: invalid name of a store. Write lower-case letters and digits, with single hyphens or underscores between them; the name for people is its label."}},
		{"field of a store", "stores: {a: {rot: /a}}", []string{"1:14: stores.a.rot: unknown key. Did you mean root?"}},
		{"no folder", "stores:\n  a:\n    public: true", []string{"2:3: stores.a.root: the folder is missing."}},
		{"from the defaults", "store_defaults:\n  schedule: never\nstores: {a: {root: /a}}", []string{"2:0: stores.a.schedule: never is not a schedule."}},
		{"own key in the defaults", "store_defaults: {root: /a}", []string{"1:18: store_defaults.root: cannot be the same for all stores. Write it below each store."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, findings := config.Parse("f", []byte(tt.file), schema)
			var got []string
			for _, f := range findings {
				line := strings.TrimPrefix(f.String(), "f:")
				if f.Column == 0 {
					line = strings.Replace(line, ": ", ":0: ", 1)
				}
				got = append(got, line)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("findings of %q (-want +got):\n%s", tt.file, d)
			}
		})
	}
}

// TestValues reads a file without mistakes.
func TestValues(t *testing.T) {
	const file = `
site: north
listen: 0123
data: slides
limits: {open: 7, share: 1, keep: 2d}
auth: {on: True}
origins: [a, 1]
queues: {default: 4, verify: 1}
worker:
  listen: w
  queues: {own: 2}
store_defaults: {schedule: 15m}
stores:
  b: {root: /b, schedule: 1h}
  a: {root: c}
`
	f, findings := config.Parse("/etc/site.yaml", []byte(file), schema)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	for _, tt := range []struct {
		mode, key string
		want      config.Value
	}{
		{"serve", "listen", config.Value{Key: "listen", Line: 3, V: "0123"}},
		{"worker", "listen", config.Value{Key: "worker.listen", Line: 10, V: "w"}},
		{"serve", "data", config.Value{Key: "data", Line: 4, V: "/etc/slides"}},
		{"serve", "limits.open", config.Value{Key: "limits.open", Line: 5, V: int64(7)}},
		{"serve", "limits.share", config.Value{Key: "limits.share", Line: 5, V: 1.0}},
		{"serve", "limits.keep", config.Value{Key: "limits.keep", Line: 5, V: 48 * time.Hour}},
		{"serve", "auth.on", config.Value{Key: "auth.on", Line: 6, V: true}},
		{"serve", "origins", config.Value{Key: "origins", Line: 7, V: []string{"a", "1"}}},
		{"serve", "queues", config.Value{Key: "queues", Line: 8, V: config.Counts{"default=4", "verify=1"}}},
		{"worker", "queues", config.Value{Key: "worker.queues", Line: 11, V: config.Counts{"own=2"}}},
	} {
		if got, ok := f.Value(tt.mode, tt.key); !ok || cmp.Diff(tt.want, got) != "" {
			t.Errorf("Value(%s, %s) = %+v, %v, want %+v", tt.mode, tt.key, got, ok, tt.want)
		}
	}
	if v, ok := f.Value("serve", "port"); ok {
		t.Errorf("port is not in the file, and is %v", v)
	}
	shared := config.Value{Key: "store_defaults.schedule", Line: 12, V: "15m"}
	want := []config.Store{
		{Name: "b", Line: 14, Fields: map[string]config.Value{"root": {Key: "stores.b.root", Line: 14, V: "/b"}, "schedule": {Key: "stores.b.schedule", Line: 14, V: "1h"}}},
		{Name: "a", Line: 15, Fields: map[string]config.Value{"root": {Key: "stores.a.root", Line: 15, V: "/etc/c"}, "schedule": shared}},
	}
	if d := cmp.Diff(want, f.Stores); d != "" || f.Site != "north" || !f.Provisions {
		t.Errorf("site %q, provisions %v, stores (-want +got):\n%s", f.Site, f.Provisions, d)
	}
}

// TestLimits reads files that could take long, or much memory.
func TestLimits(t *testing.T) {
	vast := filepath.Join(t.TempDir(), "vast.yaml")
	if err := os.WriteFile(vast, []byte("#"+strings.Repeat("x", config.MaxSize)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, findings, err := config.Read(vast, schema)
	if err != nil || len(findings) != 1 || !strings.Contains(findings[0].Problem, "larger than 1048576 bytes") {
		t.Errorf("a large file: %v, %v", findings, err)
	}
	wrong := strings.Builder{}
	for i := range 20000 {
		wrong.WriteString(strings.Repeat("k", i%50))
		wrong.WriteString("x" + string(rune('a'+i%26)) + ": 1\n")
	}
	if _, findings := config.Parse("f", []byte(wrong.String()), schema); len(findings) != 100 {
		t.Errorf("%d findings, want the first 100", len(findings))
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 8) + "*" + string(c-1) + "]\n"
	}
	if _, findings := config.Parse("f", []byte(bomb), schema); len(findings) != 10 {
		t.Errorf("aliases of aliases: %d findings, want one for each anchor", len(findings))
	}
	if _, _, err := config.Read(filepath.Join(t.TempDir(), "none"), schema); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzParse fails when a file is read without a finding although something is missing, or
// with findings whose lines it does not have.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"listen: a", "log: {level: x}", "stores: {a: {root: /a}}", "queues: {a: 1}", "a: &b [*b]", "? [a]\n: b", "stores:\n  a:\n", "!!binary a: b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, findings := config.Parse("f", []byte(s), schema)
		lines := strings.Count(s, "\n") + strings.Count(s, "\r") + 2
		for _, f := range findings {
			if f.Problem == "" || f.Line > lines+1 {
				t.Errorf("%q: finding %+v", s, f)
			}
		}
		for _, st := range file.Stores {
			if len(findings) == 0 && st.Fields["root"].V == nil {
				t.Errorf("%q: a store without a folder", s)
			}
		}
	})
}
