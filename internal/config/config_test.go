package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/config"
)

// schema has a key of each kind.
var schema = config.Schema{
	Keys: []config.Key{
		{Name: "listen", Kind: config.Text},
		{Name: "data", Kind: config.Text, Path: true},
		{Name: "log.level", Kind: config.Text, OneOf: []string{"debug", "info", "warn"}},
		{Name: "auth.oidc.issuer", Kind: config.Text},
		{Name: "auth.on", Kind: config.Switch},
		{Name: "limits.open", Kind: config.Number},
		{Name: "limits.share", Kind: config.Share},
		{Name: "limits.keep", Kind: config.Period},
		{Name: "origins", Kind: config.List},
		{Name: "queues", Kind: config.Counts},
		{Name: "port", Kind: config.Number, Check: func(v any) error {
			if v.(int64) > 65535 {
				return errors.New("ports end at 65535")
			}
			return nil
		}},
	},
	Sections: []string{"worker"},
	Store:    []config.Key{{Name: "root", Kind: config.Text, Path: true, Own: true}, {Name: "schedule", Kind: config.Text}, {Name: "public", Kind: config.Switch}},
	CheckStore: func(fields map[string]any) (string, error) {
		if fields["root"] == nil {
			return "root", errors.New("it needs a folder")
		}
		if fields["schedule"] == "never" {
			return "schedule", errors.New("never is no time")
		}
		return "", nil
	},
}

// TestFindings gives files in which something is wrong.
func TestFindings(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string // line:column: the rest
	}{
		{"nothing", "", nil},
		{"comments only", "# nothing yet\n", nil},
		{"keys that are commented out", "log:\n#  level: info\nstores:\n", nil},
		{"a letter too many", "lissten: :80", []string{"1:1: lissten is a key that there is not. Did you mean listen?"}},
		{"letters that changed places", "queus:\n  a: 1\nlog: {lvele: info}", []string{
			"1:1: queus is a key that there is not. Did you mean queues?", "3:7: log.lvele is a key that there is not. Did you mean log.level?",
		}},
		{"the name of a flag", "oidc-issuer: x", []string{"1:1: oidc-issuer is a key that there is not. Did you mean auth.oidc.issuer?"}},
		{"nothing like it", "log:\n  colour: red", []string{"2:3: log.colour is a key that there is not. Here may stand level."}},
		{"in a section", "worker:\n  lisen: x", []string{"2:3: worker.lisen is a key that there is not. Did you mean listen?"}},
		{"stores in a section", "worker:\n  stores: {}", []string{"2:3: worker.stores is a key that there is not. Here may stand auth, data, limits, listen, log, origins, port or queues."}},
		{"word", "log: {level: inof}", []string{"1:14: log.level can't be inof. Did you mean info? It may be debug, info or warn."}},
		{"no value", "listen:", []string{"1:8: listen has no value. Write one behind the colon, or take the line out."}},
		{"switch for text", "listen: true", []string{"1:9: listen is true where text is wanted. Put it in quotes if it is meant."}},
		{"mapping for text", "listen: {a: b}", []string{"1:9: listen is a mapping where one value is wanted. Write: listen: text."}},
		{"text for mapping", "log: info", []string{"1:6: log is a single value where names and values are wanted. Write each on a line of its own, further to the right: name: value."}},
		{"quoted number", `limits: {open: "5"}`, []string{`1:16: limits.open is "5" where a whole number is wanted, 0 or more. Write digits without quotes: 8.`}},
		{"number below 0", "limits: {open: -5}", []string{"1:16: limits.open is -5 where a whole number is wanted, 0 or more. Write digits without quotes: 8."}},
		{"fraction", "limits: {open: 1.5, share: much}", []string{
			"1:16: limits.open is 1.5 where a whole number is wanted, 0 or more. Write digits without quotes: 8.",
			"1:28: limits.share is much where a number is wanted. Write it without quotes: 0.5.",
		}},
		{"yes", "auth: {on: yes}", []string{"1:12: auth.on is yes where true or false is wanted. Write true or false, without quotes."}},
		{"no unit", "limits: {keep: 30}", []string{"1:16: limits.keep is 30 where a duration is wanted. Write a number with its unit: 90s, 15m, 36h or 30d."}},
		{"no list", "origins: a", []string{"1:10: origins is a single value where a list is wanted. Write each entry on a line of its own, behind a hyphen."}},
		{"list of lists", "origins: [[a]]", []string{"1:10: origins has an entry on line 1 that is no text. Write a single text behind each hyphen."}},
		{"queue without a number", "queues: {a: }", []string{"1:9: queues has on line 1 no number from 1 to 1000 behind the name a. Write each name with its number on a line of its own, as default: 4."}},
		{"queue twice", "queues: {a: 1, a: 2}", []string{`1:9: queues has "a" a second time on line 1. Take one of the two out.`}},
		{"bad value", "port: 65536", []string{"1:7: port can't be this: ports end at 65535."}},
		{"twice", "listen: a\nlisten: b\n", []string{"2:1: listen stands here a second time, after line 1. Take one of the two out."}},
		{"anchor", "listen: &a x\ndata: *a\n", []string{"1:9: listen uses an anchor (& or *). Write the value itself.", "2:7: data uses an anchor (& or *). Write the value itself."}},
		{"merge", "log: {<<: {level: info}}", []string{"1:7: log has a name that is not a word. Write: name: value."}},
		{"no mapping", "- a", []string{"1:1: is a list where names and values are wanted. Write each on a line of its own, further to the right: name: value."}},
		{"two documents", "listen: a\n---\nlisten: b\n", []string{"2:0: this is not YAML: a second document begins with ---: a site has one."}},
		{"tab", "log:\n\tlevel: info", []string{"2:0: this is not YAML: found character that cannot start any token."}},
		{"site", "site: North Wing", []string{"1:7: site is no name of a site. Write lower-case letters and digits with single hyphens: north."}},
		{"list of stores", "stores:\n  - root: /a", []string{"2:3: stores is a list. Give each store a name instead of a hyphen, by which it is known from now on: scanner1: {root: /slides/scanner1}."}},
		{"name of a store", "stores: {A b: {root: /a}}", []string{"1:10: stores.A b is no name of a store. Write lower-case letters and digits, with single hyphens or underscores between them; label is for people."}},
		{"field of a store", "stores: {a: {rot: /a}}", []string{"1:14: stores.a.rot is a key that there is not. Did you mean root?"}},
		{"no folder", "stores:\n  a:\n    public: true", []string{"2:3: stores.a.root does not fit: it needs a folder."}},
		{"from the defaults", "store_defaults:\n  schedule: never\nstores: {a: {root: /a}}", []string{"2:0: stores.a.schedule does not fit: never is no time."}},
		{"one for all", "store_defaults: {root: /a}", []string{"1:18: store_defaults.root can't be the same for all stores. Write it below each store."}},
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

// TestValues reads a file in which nothing is wrong.
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
		{"serve", "limits.keep", config.Value{Key: "limits.keep", Line: 5, V: "48h0m0s"}},
		{"serve", "auth.on", config.Value{Key: "auth.on", Line: 6, V: true}},
		{"serve", "origins", config.Value{Key: "origins", Line: 7, V: []string{"a", "1"}}},
		{"serve", "queues", config.Value{Key: "queues", Line: 8, V: []string{"default=4", "verify=1"}}},
		{"worker", "queues", config.Value{Key: "worker.queues", Line: 11, V: []string{"own=2"}}},
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
	if d := cmp.Diff(want, f.Stores); d != "" || f.Site != "north" || !f.Declares {
		t.Errorf("site %q, declares %v, stores (-want +got):\n%s", f.Site, f.Declares, d)
	}
}

// TestBounds gives what would take long, or much memory.
func TestBounds(t *testing.T) {
	vast := filepath.Join(t.TempDir(), "vast.yaml")
	if err := os.WriteFile(vast, []byte("#"+strings.Repeat("x", config.MaxSize)), 0o644); err != nil {
		t.Fatal(err)
	}
	_, findings, err := config.Read(vast, schema)
	if err != nil || len(findings) != 1 || !strings.Contains(findings[0].What, "larger than 1048576 bytes") {
		t.Errorf("a vast file: %v, %v", findings, err)
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
		t.Errorf("a bomb of aliases: %d findings, want one for each anchor", len(findings))
	}
	if _, _, err := config.Read(filepath.Join(t.TempDir(), "none"), schema); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzParse fails when a file is read without a finding and something is left out, or
// with findings that name no line of it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"listen: a", "log: {level: x}", "stores: {a: {root: /a}}", "queues: {a: 1}", "a: &b [*b]", "? [a]\n: b", "stores:\n  a:\n", "!!binary a: b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file, findings := config.Parse("f", []byte(s), schema)
		lines := strings.Count(s, "\n") + strings.Count(s, "\r") + 2
		for _, f := range findings {
			if f.What == "" || f.Line > lines+1 {
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
