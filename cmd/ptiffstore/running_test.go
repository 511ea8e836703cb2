package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/instance"
)

// newMachine creates a process table and a folder of units.
func newMachine(t *testing.T, files map[string]string) instance.Machine {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		content = strings.ReplaceAll(content, "DIR", dir)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return instance.Machine{Proc: filepath.Join(dir, "proc"), Units: []string{filepath.Join(dir, "etc"), filepath.Join(dir, "lib")}}
}

// TestDoctorFindsServer starts doctor beside servers of a process table and of units.
func TestDoctorFindsServer(t *testing.T) {
	t.Parallel()
	const unit = "[Service]\nEnvironmentFile=-DIR/site.env\nExecStart=/usr/bin/ptiffstore serve --config \"DIR/a site.yaml\" --drain 5s\n"
	for _, tt := range []struct {
		name   string
		files  map[string]string
		args   []string
		origin string // end of where the settings come from
		doubt  string
		want   []string // address, access control and data directory
	}{
		{name: "none", files: map[string]string{"proc/7/cmdline": "nginx\x00serve\x00"}},
		{
			name:   "a process with flags, of which some are in its environment",
			files:  map[string]string{"proc/7/cmdline": "/opt/ptiffstore\x00serve\x00--listen=:99\x00--queue\x00default=2\x00/slides\x00", "proc/7/environ": "PTIFFSTORE_LISTEN=:1\x00PTIFFSTORE_AUTH=local\x00PTIFFSTORE_DATA=/d\x00PATH=/bin"},
			origin: "process 7",
			want:   []string{":99", "local", "/d"},
		},
		{
			name:   "the data directory of another user",
			files:  map[string]string{"proc/7/cmdline": "ptiffstore\x00demo\x00", "proc/7/environ": "HOME=/home/anna"},
			origin: "process 7",
			want:   []string{"127.0.0.1:8080", "none", "/home/anna/.local/share/ptiffstore"},
		},
		{
			name:   "an environment that cannot be read",
			files:  map[string]string{"proc/7/cmdline": "ptiffstore\x00serve\x00--data=/d\x00"},
			origin: "process 7", doubt: "may not read the environment of process 7",
			want: []string{"127.0.0.1:8080", "none", "/d"},
		},
		{
			name: "two sites",
			files: map[string]string{
				"proc/7/cmdline": "ptiffstore\x00serve\x00--data=/a\x00", "proc/7/environ": "", "proc/8/cmdline": "ptiffstore\x00serve\x00--data=/b\x00", "proc/8/environ": "",
			},
			doubt: "process 7 and",
		},
		{
			name: "one of two sites",
			files: map[string]string{
				"proc/7/cmdline": "ptiffstore\x00serve\x00--data=/a\x00", "proc/7/environ": "", "proc/8/cmdline": "ptiffstore\x00serve\x00--data=/b\x00--auth=local\x00", "proc/8/environ": "",
			},
			args:   []string{"--data=/b"},
			origin: "process 8",
			want:   []string{"127.0.0.1:8080", "local", "/b"},
		},
		{
			name: "a server and its tile server",
			files: map[string]string{
				"proc/7/cmdline": "ptiffstore\x00tileserver\x00--data=/a\x00--listen=:2\x00", "proc/7/environ": "", "proc/8/cmdline": "ptiffstore\x00serve\x00--data=/a\x00--listen=:1\x00--auth=local\x00", "proc/8/environ": "",
			},
			origin: "process 7",
			want:   []string{":1", "local", "/a"},
		},
		{
			name: "the unit of a server that does not run",
			files: map[string]string{
				"lib/ptiffstore.service": unit, "lib/ptiffstore-doctor.service": "[Service]\nExecStart=/usr/bin/ptiffstore doctor\n",
				"a site.yaml": "data: /from-file\nlisten: 127.0.0.1:7\n", "site.env": "# none\nPTIFFSTORE_AUTH=\"local\"\n",
			},
			origin: "lib/ptiffstore.service",
			want:   []string{"127.0.0.1:7", "local", "/from-file"},
		},
		{
			name:  "a unit whose configuration file is invalid",
			files: map[string]string{"lib/ptiffstore.service": unit, "a site.yaml": "data: /d\nlissen: x\n"},
			doubt: "lib/ptiffstore.service cannot be read: invalid configuration file",
		},
		{
			name:  "other settings are given",
			files: map[string]string{"proc/7/cmdline": "ptiffstore\x00serve\x00--data=/a\x00", "proc/7/environ": ""},
			args:  []string{"--auth=local"},
			want:  []string{"127.0.0.1:8080", "local", ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, site := &program{}, &configFile{}
			parser := newParser(p)
			ctx, err := parser.Parse(append([]string{"doctor"}, tt.args...))
			if err != nil {
				t.Fatal(err)
			}
			c := &p.Doctor
			origin, doubt := c.adopt(newMachine(t, tt.files), inForce(ctx, site))
			if !strings.HasSuffix(origin, tt.origin) || origin == "" != (tt.origin == "") {
				t.Errorf("from %q, want %q", origin, tt.origin)
			}
			if text := fmt.Sprint(doubt); (doubt != nil) != (tt.doubt != "") || !strings.Contains(text, tt.doubt) && tt.doubt != "" {
				t.Errorf("doubt %v, want %q", doubt, tt.doubt)
			}
			if tt.want != nil {
				if diff := cmp.Diff(tt.want, []string{c.Listen, c.Auth, c.Data}); diff != "" {
					t.Errorf("settings (-want +got):\n%s", diff)
				}
			}
		})
	}
}
