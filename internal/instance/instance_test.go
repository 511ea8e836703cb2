package instance_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/instance"
)

// newMachine creates a machine of files; DIR in a file is replaced by the folder of all.
func newMachine(t *testing.T, files map[string]string) (m instance.Machine, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return instance.Machine{Proc: filepath.Join(dir, "proc"), Units: []string{filepath.Join(dir, "etc"), filepath.Join(dir, "lib")}}, dir
}

func TestServers(t *testing.T) {
	t.Parallel()
	const unit = "[Service]\nEnvironment=A=1 \"B=2 3\"\nEnvironmentFile=-DIR/site.env\nExecStart=/usr/bin/ptiffstore serve --title '100%% \"ours\"' /slides\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []*instance.Instance // Name without the folder
	}{
		{name: "none"},
		{
			name: "processes",
			files: map[string]string{
				"proc/7/cmdline": "/opt/ptiffstore-1.2\x00serve\x00--data\x00d\x00", "proc/7/environ": "A=b=c\x00PATH=/bin",
				"proc/8/cmdline":    "ptiffstore\x00tileserver\x00", // its environment cannot be read
				"proc/9/cmdline":    "nginx\x00serve\x00",
				"proc/10/cmdline":   "ptiffstore\x00worker\x00",
				"proc/11/cmdline":   "ptiffstore\x00serve\x00--help\x00",
				"proc/12/cmdline":   "", // a thread of the kernel
				"proc/self/cmdline": "ptiffstore\x00serve\x00",
				"proc/" + strconv.Itoa(os.Getpid()) + "/cmdline": "ptiffstore\x00serve\x00",
				"etc/ptiffstore.service":                         unit,
			},
			want: []*instance.Instance{
				{Name: "process 7", Args: []string{"serve", "--data", "d"}, Env: map[string]string{"A": "b=c", "PATH": "/bin"}, Dir: "/"},
				{Name: "process 8", Args: []string{"tileserver"}, Dir: "/"},
			},
		},
		{
			name: "units",
			files: map[string]string{
				"lib/ptiffstore.service": unit, "site.env": "# comment\n; comment\nC=\"4\"\nnothing\n",
				"lib/ptiffstore-doctor.service": "[Service]\nExecStart=/usr/bin/ptiffstore doctor\n",
				"lib/other.service":             unit,
			},
			want: []*instance.Instance{{
				Name: "ptiffstore.service", Args: []string{"serve", "--title", `100% "ours"`, "/slides"},
				Env: map[string]string{"A": "1", "B": "2 3", "C": "4"}, Dir: "/",
			}},
		},
		{
			name:  "the unit of the administrator comes first",
			files: map[string]string{"lib/ptiffstore.service": unit, "etc/ptiffstore-a.service": "ExecStart=-/usr/bin/ptiffstore demo\n"},
			want:  []*instance.Instance{{Name: "ptiffstore-a.service", Args: []string{"demo"}, Env: map[string]string{}, Dir: "/"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMachine(t, tt.files)
			got := m.Servers()
			for _, s := range got {
				s.Name = filepath.Base(s.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("servers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAbsolute(t *testing.T) {
	t.Parallel()
	i := &instance.Instance{Dir: "/srv"}
	for path, want := range map[string]string{"": "", "/d": "/d", "d": "/srv/d", "../d": "/d"} {
		if got := i.Absolute(path); got != want {
			t.Errorf("Absolute(%q) = %q, want %q", path, got, want)
		}
	}
}

// TestWorkingDirectory finds the working directory of a process.
func TestWorkingDirectory(t *testing.T) {
	t.Parallel()
	m, dir := newMachine(t, map[string]string{"proc/7/cmdline": "ptiffstore\x00serve\x00"})
	if err := os.Symlink(dir, filepath.Join(dir, "proc", "7", "cwd")); err != nil {
		t.Fatal(err)
	}
	if list := m.Servers(); len(list) != 1 || list[0].Dir != dir {
		t.Errorf("servers %+v, want one in %s", list, dir)
	}
}
