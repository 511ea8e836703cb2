package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample returns a release with a short program and few other files. The current folder
// becomes that of the source.
func sample(t *testing.T) *release {
	t.Helper()
	t.Chdir("../..")
	return &release{
		version: "v0.9.0-dev+0123456789ab", revision: "0123456789abcdef", at: time.Unix(1_700_000_000, 0).UTC(),
		extra: map[string][]byte{
			"etc/ptiffstore/ptiffstore.yaml":                      []byte("listen: 127.0.0.1:8080\n"),
			"etc/ptiffstore/ptiffstore.env":                       []byte("# none\n"),
			"usr/lib/systemd/system/ptiffstore.service":           []byte("[Service]\nExecStart=/usr/bin/ptiffstore\n\n[Install]\nWantedBy=multi-user.target\n"),
			"usr/share/man/man1/ptiffstore.1":                     []byte(".TH PTIFFSTORE 1\n"),
			"usr/share/zsh/vendor-completions/_ptiffstore":        []byte("#compdef ptiffstore\n"),
			"usr/share/bash-completion/completions/ptiffstore":    []byte("complete\n"),
			"usr/share/fish/vendor_completions.d/ptiffstore.fish": []byte("complete\n"),
		},
	}
}

const program = "#!/bin/sh\necho a program\n"

// buildPackage writes a package to a file and returns its path. Building it twice must give the
// same bytes.
func (r *release) buildPackage(t *testing.T, format string) string {
	t.Helper()
	name, content, err := r.packaged(format, "amd64", []byte(program))
	if err != nil {
		t.Fatal(err)
	}
	if _, again, err := r.packaged(format, "amd64", []byte(program)); err != nil || !bytes.Equal(again, content) {
		t.Errorf("the second package differs (%v)", err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// wantFiles are the files of a package with mode, owner and group.
const wantFiles = `drwxr-xr-x root root /etc/ptiffstore
-rw-r----- root ptiffstore /etc/ptiffstore/ptiffstore.env
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml
-rwxr-xr-x root root /usr/bin/ptiffstore
-rw-r--r-- root root /usr/lib/systemd/system/ptiffstore.service
-rw-r--r-- root root /usr/share/bash-completion/completions/ptiffstore
-rw-r--r-- root root /usr/share/doc/ptiffstore/CHANGELOG.md.gz
-rw-r--r-- root root /usr/share/doc/ptiffstore/NOTICES.gz
-rw-r--r-- root root /usr/share/doc/ptiffstore/copyright
-rw-r--r-- root root /usr/share/doc/ptiffstore/examples/Caddyfile
-rw-r--r-- root root /usr/share/doc/ptiffstore/examples/alerts.yml
-rw-r--r-- root root /usr/share/doc/ptiffstore/examples/dashboard.json
-rw-r--r-- root root /usr/share/doc/ptiffstore/examples/nginx.conf
-rw-r--r-- root root /usr/share/fish/vendor_completions.d/ptiffstore.fish
-rw-r--r-- root root /usr/share/man/man1/ptiffstore.1.gz
-rw-r--r-- root root /usr/share/zsh/vendor-completions/_ptiffstore
drwx------ ptiffstore ptiffstore /var/backups/ptiffstore
drwx------ ptiffstore ptiffstore /var/lib/ptiffstore
`

func TestDeb(t *testing.T) {
	deb := sample(t).buildPackage(t, "deb")
	if got, want := filepath.Base(deb), "ptiffstore_0.9.0~dev+0123456789ab_amd64.deb"; got != want {
		t.Errorf("file name %s, want %s", got, want)
	}
	var got strings.Builder
	for line := range strings.Lines(output(t, "dpkg-deb", "--contents", deb)) {
		f := strings.Fields(line)
		owner, group, _ := strings.Cut(f[1], "/")
		path := strings.TrimPrefix(strings.TrimSuffix(f[5], "/"), ".")
		if f[0][0] != 'd' || strings.Contains(path, "/ptiffstore") && !strings.Contains(path, "doc") {
			fmt.Fprintln(&got, f[0], owner, group, path)
		}
	}
	if diff := cmp.Diff(wantFiles, sorted(got.String())); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := output(t, "dpkg-deb", "--info", deb, "conffiles"); sorted(got) != "/etc/ptiffstore/ptiffstore.env\n/etc/ptiffstore/ptiffstore.yaml\n" {
		t.Errorf("configuration files %s", got)
	}
	if got := output(t, "dpkg-deb", "--field", deb, "Package", "Version", "Architecture", "Pre-Depends"); got != "Package: ptiffstore\nVersion: 0.9.0~dev+0123456789ab\nArchitecture: amd64\nPre-Depends: passwd\n" {
		t.Errorf("fields %s", got)
	}
	output(t, "dpkg", "--compare-versions", "0.9.0~dev+0123456789ab", "lt", "0.9.0")
}

func TestRPM(t *testing.T) {
	rpm := sample(t).buildPackage(t, "rpm")
	got := output(t, "rpm", "-qp", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]`, rpm)
	if diff := cmp.Diff(strings.ReplaceAll(wantFiles, "vendor-completions/_", "site-functions/_"), sorted(got)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := output(t, "rpm", "-qp", "--queryformat", `[%{FILENAMES} %{FILEFLAGS:fflags}\n]`, rpm); strings.Count(got, " cn\n") != 2 {
		t.Errorf("want two configuration files that are not replaced: %s", got)
	}
	if got := output(t, "rpm", "-qp", "--queryformat", "%{VERSION} %{ARCH} %{BUILDHOST} %{BUILDTIME}", rpm); got != "0.9.0~dev+0123456789ab x86_64 localhost 1700000000" {
		t.Errorf("fields %s", got)
	}
}

// sorted returns lines in the order of their last word.
func sorted(lines string) string {
	list := strings.SplitAfter(strings.TrimSuffix(lines, "\n")+"\n", "\n")
	list = list[:len(list)-1]
	key := func(l string) string { f := strings.Fields(l); return f[len(f)-1] }
	for i := range list {
		for j := i; j > 0 && key(list[j]) < key(list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return strings.Join(list, "")
}

// inOverlay runs a script with the system of this machine as its root folder, in which it
// can change everything without an effect: the changes are in memory, and vanish.
const inOverlay = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --bind /dev "$1/root/dev"
cp "$2" "$3" "$1/root/"
exec chroot "$1/root" /bin/sh -ec "$4"
`

// life is the life of a package: each step says what there is.
const life = `
state() {
	echo "== $1"
	stat -c '%A %U %G %n' /usr/bin/ptiffstore /etc/ptiffstore/* /var/lib/ptiffstore /var/lib/ptiffstore/catalog.db /var/backups/ptiffstore 2>/dev/null || true
	grep -hs listen /etc/ptiffstore/ptiffstore.yaml || true
	getent passwd ptiffstore | cut -d: -f1,6,7
	dpkg-query --show --showformat '${Status}\n' ptiffstore 2>/dev/null || true
	test ! -e /etc/systemd/system/multi-user.target.wants/ptiffstore.service || echo enabled
}
dpkg="dpkg --no-triggers --force-confdef --force-confold"
$dpkg --install /old.deb
state installed
systemctl --quiet enable ptiffstore.service
echo 'listen: changed' > /etc/ptiffstore/ptiffstore.yaml
touch /var/lib/ptiffstore/catalog.db
$dpkg --install /new.deb
state upgraded
$dpkg --remove ptiffstore
state removed
$dpkg --purge ptiffstore
state purged
`

const wantLife = `ptiffstore is installed, and not started. Edit /etc/ptiffstore/ptiffstore.yaml, then run:
  systemctl enable --now ptiffstore.service ptiffstore-backup.timer ptiffstore-doctor.timer
== installed
-rwxr-xr-x root root /usr/bin/ptiffstore
-rw-r----- root ptiffstore /etc/ptiffstore/ptiffstore.env
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml
drwx------ ptiffstore ptiffstore /var/lib/ptiffstore
drwx------ ptiffstore ptiffstore /var/backups/ptiffstore
listen: 127.0.0.1:8080
ptiffstore:/var/lib/ptiffstore:/usr/sbin/nologin
install ok installed
== upgraded
-rwxr-xr-x root root /usr/bin/ptiffstore
-rw-r----- root ptiffstore /etc/ptiffstore/ptiffstore.env
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml.dpkg-dist
drwx------ ptiffstore ptiffstore /var/lib/ptiffstore
-rw-r--r-- root root /var/lib/ptiffstore/catalog.db
drwx------ ptiffstore ptiffstore /var/backups/ptiffstore
listen: changed
ptiffstore:/var/lib/ptiffstore:/usr/sbin/nologin
install ok installed
enabled
ptiffstore: kept /var/lib/ptiffstore and the user ptiffstore. To delete them: rm -r /var/lib/ptiffstore; userdel ptiffstore
== removed
-rw-r----- root ptiffstore /etc/ptiffstore/ptiffstore.env
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml
-rw-r--r-- root root /etc/ptiffstore/ptiffstore.yaml.dpkg-dist
drwx------ ptiffstore ptiffstore /var/lib/ptiffstore
-rw-r--r-- root root /var/lib/ptiffstore/catalog.db
listen: changed
ptiffstore:/var/lib/ptiffstore:/usr/sbin/nologin
deinstall ok config-files
ptiffstore: kept /var/lib/ptiffstore and the user ptiffstore. To delete them: rm -r /var/lib/ptiffstore; userdel ptiffstore
== purged
drwx------ ptiffstore ptiffstore /var/lib/ptiffstore
-rw-r--r-- root root /var/lib/ptiffstore/catalog.db
ptiffstore:/var/lib/ptiffstore:/usr/sbin/nologin
`

// TestInstallDeb installs, upgrades, removes and purges a package with dpkg.
func TestInstallDeb(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for _, name := range []string{"unshare", "dpkg", "chroot"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	r := sample(t)
	older := r.buildPackage(t, "deb")
	r.version, r.extra["etc/ptiffstore/ptiffstore.yaml"] = "v0.9.0", []byte("listen: new\n")
	newer := r.buildPackage(t, "deb")
	dir := t.TempDir()
	for from, to := range map[string]string{older: "old.deb", newer: "new.deb"} {
		if err := os.Rename(from, filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	point := t.TempDir()
	if out, err := exec.Command("unshare", "--mount", "sh", "-ec", "mount --make-rprivate / && mount -t tmpfs tmpfs "+point+" && mkdir "+point+"/u "+point+"/w "+point+
		"/r && mount -t overlay overlay -o lowerdir=/,upperdir="+point+"/u,workdir="+point+"/w "+point+"/r").CombinedOutput(); err != nil {
		t.Skipf("no overlay file system: %v: %s", err, out)
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", inOverlay, "sh", point, filepath.Join(dir, "old.deb"), filepath.Join(dir, "new.deb"), life)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if diff := cmp.Diff(wantLife, withoutDpkg(string(out))); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, out)
	}
}

// withoutDpkg returns the output without the lines of dpkg itself.
func withoutDpkg(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		ours := strings.HasPrefix(line, "ptiffstore") || strings.HasPrefix(line, "== ") || strings.HasPrefix(line, "  systemctl") || strings.HasPrefix(line, "listen") ||
			strings.HasPrefix(line, "-r") || strings.HasPrefix(line, "drw") || strings.Contains(line, " ok ") || line == "enabled\n"
		if ours {
			b.WriteString(line)
		}
	}
	return b.String()
}
