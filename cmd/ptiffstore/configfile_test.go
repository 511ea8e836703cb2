package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/api"
)

// siteYAML writes a configuration file.
func siteYAML(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settingsOf returns the settings in force by key, as config show prints them.
func settingsOf(t *testing.T, args ...string) map[string]setting {
	t.Helper()
	r := command(t, append([]string{"config", "show", "--json"}, args...)...)
	var shown struct{ Settings, Stores []setting }
	if err := json.Unmarshal([]byte(r.out), &shown); r.code != exitOK || err != nil {
		t.Fatalf("config show %q: %v", args, r)
	}
	m := map[string]setting{}
	for _, s := range append(shown.Settings, shown.Stores...) {
		m[s.Key] = s
	}
	return m
}

// TestPrecedence sets one setting of each type in the file, in the environment and by a
// flag, in every combination: the flag counts most, then the environment, then the file,
// then the default. Each run of the command has all settings, each in another combination.
func TestPrecedence(t *testing.T) {
	tests := []struct {
		key, file, env, flag             string
		byDefault, byFile, byEnv, byFlag any
	}{
		{"listen", "127.0.0.1:1", "PTIFFSTORE_LISTEN=127.0.0.1:2", "--listen=127.0.0.1:3", "127.0.0.1:8080", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
		{"database", "sqlite:a", "PTIFFSTORE_DATABASE=", "--database=sqlite:c", "", "sqlite:a", "", "sqlite:c"},
		{"log.level", "warn", "PTIFFSTORE_LOG_LEVEL=error", "--log-level=debug", "info", "warn", "error", "debug"},
		{"limits.open_slides", "1", "PTIFFSTORE_OPEN_SLIDES=2", "--open-slides=3", 512.0, 1.0, 2.0, 3.0},
		{"upload.expiry", "1d", "PTIFFSTORE_UPLOAD_EXPIRY=48h", "--upload-expiry=72h", "168h0m0s", "24h0m0s", "48h0m0s", "72h0m0s"},
		{"auth.insecure", "true", "PTIFFSTORE_INSECURE_NO_AUTH=false", "--insecure-no-auth=true", false, true, false, true},
		{"auth.admin_link", "false", "PTIFFSTORE_ADMIN_LINK=true", "--no-admin-link", true, false, true, false},
		{"cors.origins", "['https://a', 'https://b']", "PTIFFSTORE_CORS_ORIGIN=https://c", "--cors-origin=https://d", []any{}, []any{"https://a", "https://b"}, []any{"https://c"}, []any{"https://d"}},
		{"auth.oidc.allow_groups", "['a,b']", "PTIFFSTORE_OIDC_ALLOW_GROUP=c,d", "--oidc-allow-group=e,f", []any{}, []any{"a,b"}, []any{"c,d"}, []any{"e,f"}},
		{"queues", "{default: 1, verify: 2}", "PTIFFSTORE_QUEUE=default=3", "--queue=default=4", []any{}, []any{"default=1", "verify=2"}, []any{"default=3"}, []any{"default=4"}},
	}
	const combinations = 8 // of file, environment and flag
	for round := range combinations {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			inFile, flags, want := map[string]string{}, []string{}, map[string]setting{}
			for i, tt := range tests {
				given := (round + i) % combinations
				value, origin := tt.byDefault, fromDefault
				if given&1 != 0 {
					inFile[tt.key] = tt.file
					value, origin = tt.byFile, fromFile
				}
				if given&2 != 0 {
					name, text, _ := strings.Cut(tt.env, "=")
					t.Setenv(name, text)
					value, origin = tt.byEnv, fromEnvironment
				}
				if given&4 != 0 {
					flags = append(flags, tt.flag)
					value, origin = tt.byFlag, fromFlag
				}
				want[tt.key] = setting{Value: value, Origin: origin}
			}
			got := settingsOf(t, append([]string{"--config", siteYAML(t, flow(inFile)), "serve"}, flags...)...)
			for key, want := range want {
				if d := cmp.Diff(want.Value, got[key].Value); d != "" || got[key].Origin != want.Origin {
					t.Errorf("%s: origin %s, want %s; value (-want +got):\n%s", key, got[key].Origin, want.Origin, d)
				}
			}
		})
	}
}

// flow returns the values of dotted keys as nested flow mappings of YAML.
func flow(values map[string]string) string {
	items, groups := []string{}, map[string]map[string]string{}
	for key, value := range values {
		group, rest, dotted := strings.Cut(key, ".")
		if !dotted {
			items = append(items, key+": "+value)
			continue
		}
		if groups[group] == nil {
			groups[group] = map[string]string{}
		}
		groups[group][rest] = value
	}
	for name, group := range groups {
		items = append(items, name+": "+flow(group))
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// TestSections gives modes different settings.
func TestSections(t *testing.T) {
	path := siteYAML(t, "listen: 127.0.0.1:1\nlog: {level: warn}\ntileserver:\n  listen: 127.0.0.1:2\n")
	t.Setenv("PTIFFSTORE_CONFIG", path)
	serve, tiles := settingsOf(t), settingsOf(t, "tileserver")
	got := []any{serve["listen"].Value, tiles["listen"].Value, serve["log.level"].Value, tiles["log.level"].Value, tiles["listen"].Where}
	if d := cmp.Diff([]any{"127.0.0.1:1", "127.0.0.1:2", "warn", "warn", path + ":4"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestSecretsHidden looks for passwords in the output of config show.
func TestSecretsHidden(t *testing.T) {
	for _, database := range []string{
		"postgres://u:Geheim1@db/x", "postgres://db/x?password=Geheim1&sslmode=require", "host=db password=Geheim1", "postgres://u:Geheim1 @db:x",
		"postgres://u@db/x?sslkey=Geheim1",
	} {
		path := siteYAML(t, "database: '"+database+"'\nauth: {mode: central, central: {url: 'https://u:Geheim1@central.example.org'}}\n")
		for _, args := range [][]string{{"config", "show", "--config", path}, {"config", "show", "--json", "--config", path}} {
			r := command(t, args...)
			if r.code != exitOK || strings.Contains(r.out, "Geheim1") || !strings.Contains(r.out, "hidden") || !strings.Contains(r.out, "central.example.org") {
				t.Errorf("%s: %v", database, r)
			}
		}
	}
}

// TestConfigCheck checks files with common mistakes.
func TestConfigCheck(t *testing.T) {
	folder := filepath.Dir(plain.file(t))
	for _, tt := range []struct {
		name, file string
		code       int
		want       []string
	}{
		{"valid", "stores: {a: {root: " + folder + "}}", exitOK, []string{"valid; stores provisioned: 1"}},
		{"no stores", "listen: 127.0.0.1:1", exitOK, []string{"valid; no stores are provisioned"}},
		{"two mistakes", "lissten: x\nlog: {level: loud}", exitFile, []string{":1:1: lissten: unknown key", ":2:14: log.level: cannot be loud"}},
		{"contradiction", "# who may see\nauth:\n  mode: central\n", exitFile, []string{":3: auth.mode: with serve: --auth central needs the URL"}},
		{"related flags", "auth:\n  central:\n    cookie: session\n", exitFile, []string{":3: auth.central.cookie: with serve: --central-cookie has no effect without --auth central"}},
		{"two contradictions", "listen: 0.0.0.0:80\ntime_zone: Mars/North", exitFile, []string{":1: listen: with serve", ":2: time_zone: with serve"}},
		{"reachable without access control", "listen: 0.0.0.0:80", exitFile, []string{":1: listen: with serve: --listen 0.0.0.0:80 is reachable"}},
		{"profiles for other machines", "trace_share: 0.5\ndebug_listen: 0.0.0.0:6060", exitFile, []string{":2: debug_listen: with serve: --debug-listen 0.0.0.0:6060 is reachable"}},
		{"share of traces", "trace_share: 2", exitFile, []string{":1: trace_share: with serve: --trace-share 2: must be from 0 to 1"}},
		{"of a section", "tileserver: {listen: ':80'}", exitFile, []string{":1: tileserver.listen: with tileserver: --listen :80"}},
		{"queue", "queues: {Default: 1}", exitFile, []string{":1: queues: with serve: --queue Default"}},
		{"time zone of the site", "time_zone: Mars/North", exitFile, []string{":1: time_zone: with serve: --time-zone Mars/North: unknown time zone"}},
		{"missing secret", "auth: {mode: local, oidc: {client_secret_file: none}}", exitFile, []string{"none"}},
		{"missing folder", "stores:\n  a: {root: /none/such}", exitOK, []string{":2: warning: stores.a.root: cannot use /none/such: no such file", "valid; "}},
		{"file for a folder", "stores:\n  a: {root: " + plain.file(t) + "}", exitOK, []string{"warning: stores.a.root", "is not a folder"}},
		{"folder of another host", "stores:\n  a: {root: /none/such, host: elsewhere}", exitOK, []string{"valid; "}},
		{"incoming of an in-place store", "stores:\n  a:\n    root: /a\n    incoming: /b", exitFile, []string{":4: stores.a.incoming: only managed stores have an incoming folder"}},
		{"schedule", "stores: {a: {root: /a, schedule: 15}}", exitFile, []string{`stores.a.schedule: invalid value: "15" has no unit; write 15m, 15h or 15d`}},
		{"hidden after removal", "stores:\n  a:\n    root: /a\n    hide_after: 2d\n    drop_after: 1d", exitFile, []string{":5: stores.a.drop_after: 24h0m0s is shorter than hide_after"}},
		{"public URL", "public_url: slides.example.org", exitFile, []string{`--public-url "slides.example.org" is not a URL such as https://slides.example.org`}},
		{"time zone", "store_defaults: {time_zone: Mars/North}", exitFile, []string{"store_defaults.time_zone: invalid value: the name of a time zone such as Europe/Vienna or UTC."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := command(t, "config", "check", siteYAML(t, tt.file))
			if r.code != tt.code {
				t.Errorf("%v, want exit code %d", r, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(r.out, want) {
					t.Errorf("%v, want %q", r, want)
				}
			}
		})
	}
	if r := command(t, "config", "check", filepath.Join(folder, "none.yaml")); r.code != exitFailure {
		t.Errorf("missing file: %v", r)
	}
	if r := command(t, "config", "check"); r.code != exitUsage {
		t.Errorf("no file given: %v", r)
	}
	r := command(t, "config", "check", "--json", siteYAML(t, "lissten: x"))
	if r.code != exitFile || !strings.Contains(r.out, `"usable": false`) || !strings.Contains(r.out, `"line": 1`) {
		t.Errorf("as JSON: %v", r)
	}
}

// TestProvisionedStore changes a store of the file on the command line.
func TestProvisionedStore(t *testing.T) {
	data := t.TempDir()
	site := siteYAML(t, "data: "+data+"\nlisten: 127.0.0.1:0\nstores: {a: {label: A, root: "+t.TempDir()+", schedule: 15m}}")
	start(t, "serve", "--config", site).stop()
	for _, args := range [][]string{{"set", "A", "--schedule", "1h"}, {"set", "A", "--schedule="}, {"set", "A", "--queue", "q", "--label", "B"}, {"remove", "A"}} {
		r := command(t, append([]string{"store", "--config", site}, args...)...)
		if r.code != exitFailure || !strings.Contains(r.err, "can't be") || !strings.Contains(r.err, "stores.a") {
			t.Errorf("store %q: %v", args, r)
		}
	}
	done(t, "store", "set", "A", "--queue", "q", "--data", data)
	done(t, "store", "set", "A", "--release", "--schedule", "1h", "--data", data)
	if r := done(t, "store", "show", "A", "--data", data); !strings.Contains(r, "1h") || !strings.Contains(r, "q") {
		t.Errorf("released: %s", r)
	}
}

// TestBrokenFile runs commands with an invalid file: only those that need nothing of it
// work.
func TestBrokenFile(t *testing.T) {
	path := siteYAML(t, "lissten: x")
	t.Setenv("PTIFFSTORE_CONFIG", path)
	for _, args := range [][]string{{"serve"}, {"worker"}, {"store", "list"}} {
		if r := command(t, args...); r.code != exitFile || !strings.Contains(r.err, path+":1:1: lissten: unknown key") {
			t.Errorf("%q: %v", args, r)
		}
	}
	if r := command(t, "inspect", plain.file(t)); r.code != exitOK {
		t.Errorf("inspect: %v", r)
	}
	if r := command(t, "config", "check"); r.code != exitFile {
		t.Errorf("config check: %v", r)
	}
	if r := command(t, "store", "list", "--config", path+"x"); r.code != exitFailure {
		t.Errorf("a file that is not there: %v", r)
	}
}

// TestKeys fails when a flag of a mode has no tag key, two flags have the same key, or a
// key is also a group of keys.
func TestKeys(t *testing.T) {
	list := keysOf(newParser(&program{}).Model)
	if len(list) < 30 {
		t.Fatalf("%d keys", len(list))
	}
	for _, node := range newParser(&program{}).Model.Children {
		for _, f := range flagsOf(node) {
			if slices.Contains(modes, node.Name) && f.Tag.Get("key") == "" && !slices.Contains([]string{"help", "version", "config"}, f.Name) {
				t.Errorf("--%s of %s has no tag key", f.Name, node.Name)
			}
		}
	}
	flags := map[string]string{}
	for _, k := range list {
		if was := flags[k.Name]; was != "" {
			t.Errorf("%s is the key of --%s and --%s", k.Name, was, k.flag.Name)
		}
		flags[k.Name] = k.flag.Name
		for _, other := range list {
			if strings.HasPrefix(other.Name, k.Name+".") {
				t.Errorf("%s is a key, and so is %s", k.Name, other.Name)
			}
		}
		for _, m := range modes {
			if k.Name == m || strings.HasPrefix(k.Name, m+".") {
				t.Errorf("%s is also a section", k.Name)
			}
		}
	}
}

var updateDocs = flag.Bool("update-docs", false, "write the tables of docs/configuration.md")

// TestConfigurationPage fails when the tables of the page are not up to date.
func TestConfigurationPage(t *testing.T) {
	const page = "../../docs/configuration.md"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, table := range map[string]string{"keys": keyTable(), "stores": storeTable()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no %q", page, begin)
		}
		text = before + begin + table + end + after
	}
	if text == string(b) {
		return
	}
	if !*updateDocs {
		t.Errorf("%s is not up to date (tags of flags: key:\"…\" is the key in the configuration file, live:\"\" means that reloading changes it): run go test ./cmd/ptiffstore -run TestConfigurationPage -update-docs\n%s",
			page, cmp.Diff(string(b), text))
		return
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// keyTable returns a line for each key.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key | value | flag | modes | reload | description |\n|---|---|---|---|---|---|\n")
	for _, k := range keysOf(newParser(&program{}).Model) {
		kind, reload := k.Form(), ""
		if k.OneOf != nil {
			kind = strings.Join(k.OneOf, ", ")
		}
		if k.flag.Tag.Has("live") { // it can be changed while the program runs
			reload = "yes"
		}
		help := k.flag.Help
		if k.flag.Default != "" {
			help += " Default: `" + k.flag.Default + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | `--%s` | %s | %s | %s |\n", k.Name, kind, k.flag.Name, strings.Join(k.modes, ", "), reload, escaped(help))
	}
	return b.String()
}

// storeTable returns a line for each key of a store.
func storeTable() string {
	docs := map[string]string{"id": "Id of the new store, or of the existing store that is meant. Default: a generated id."}
	for _, f := range api.StoreFields() {
		docs[f.Name] = strings.ReplaceAll(f.Doc, "; null for the default", "")
	}
	var b strings.Builder
	b.WriteString("| key | value | in `store_defaults` | description |\n|---|---|---|---|\n")
	for _, k := range storeKeys() {
		shared, kind := "yes", k.Form()
		if k.Own {
			shared = ""
		}
		if k.OneOf != nil {
			kind = strings.Join(k.OneOf, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, kind, shared, escaped(docs[k.Name]))
	}
	return b.String()
}

func escaped(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
