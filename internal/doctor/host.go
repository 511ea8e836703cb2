package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/socket"
	"github.com/slideatlas/ptiffstore/internal/source"
)

const (
	// Below scarce free bytes the disk is nearly full, and below full it is: SQLite,
	// uploads and the image cache need space.
	scarce = 2 << 30
	full   = 256 << 20

	stranger = 0o007 // permissions of users other than owner and group
)

// host returns the checks of this host.
func (e *examination) host() []check {
	list := []check{
		{"data directory", e.data}, {"listening", e.listening}, {"open files", e.files}, {"time zone", timeZone}, {"JPEG decoder", e.decoder},
	}
	for _, address := range []string{e.Listen, e.Metrics} {
		if address != "" {
			list = append(list, check{"background " + address, func(ctx context.Context, n *notes) { background(ctx, n, address) }})
		}
	}
	if e.Origin != "" || e.Doubt != nil {
		list = append(list, check{"settings", e.settings})
	}
	for _, flag := range sorted(e.Secrets) {
		path := e.Secrets[flag]
		list = append(list, check{flag, func(_ context.Context, n *notes) { secret(n, path) }})
	}
	if e.Backups != "" {
		list = append(list, check{"backups", e.backups})
	}
	return list
}

// settings reports where the settings come from.
func (e *examination) settings(_ context.Context, n *notes) {
	switch {
	case e.Doubt != nil:
		n.warn("run it as the user of the server, or give its --config or flags", "%v", e.Doubt)
	default:
		n.ok("those of %s", e.Origin)
	}
}

// data checks the data directory.
func (e *examination) data(_ context.Context, n *notes) {
	st, err := os.Stat(e.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("give --data DIR if it is elsewhere; ptiffstore serve FOLDER creates it", "%s does not exist", e.Data)
		return
	case err != nil:
		n.wrong(runAs(e.Data), "cannot access %s: %v", e.Data, fsx.WithoutPath(err))
		return
	case !st.IsDir():
		n.wrong("give --data DIR", "%s is not a folder", e.Data)
		return
	}
	if err := access(e.Data, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		n.wrong(runAs(e.Data), "%s cannot be written to by user %d: %v", e.Data, os.Geteuid(), err)
		return
	}
	e.owner(n)
	e.private(n, st.Mode())
	e.space(n)
}

// owner checks that this user has the permissions of the site's processes.
func (e *examination) owner(n *notes) {
	uid, ok := ownerOf(e.Data)
	if ok && uid != os.Geteuid() {
		n.warn(fmt.Sprintf("run it as that user: setpriv --reuid=%d --regid=%d --clear-groups ptiffstore doctor …", uid, uid),
			"%s belongs to user %d, and this is user %d: permissions were checked for the wrong user", e.Data, uid, os.Geteuid())
	}
	for _, name := range []string{"catalog.db", "catalog.db-wal", "catalog.db-shm", "cache"} {
		path := filepath.Join(e.Data, name)
		if err := access(path, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.wrong(fmt.Sprintf("chown -R %d %s", uid, e.Data), "%s cannot be written to by user %d: %v", path, os.Geteuid(), err)
		}
	}
}

// private checks that other users of the host cannot read the files of the folder.
func (e *examination) private(n *notes, mode fs.FileMode) {
	if mode.Perm()&0o001 == 0 {
		return // they cannot enter it
	}
	for _, name := range []string{"catalog.db", "catalog.db-wal", "cache"} {
		path := filepath.Join(e.Data, name)
		if st, err := os.Stat(path); err == nil && st.Mode().Perm()&stranger != 0 {
			n.wrong("chmod 700 "+e.Data, "%s can be read by every user of this host; it holds patient names and keys", path)
			return
		}
	}
}

// space checks the free disk space.
func (e *examination) space(n *notes) {
	free, err := e.Free(e.Data)
	cache, used := filepath.Join(e.Data, "cache"), int64(0)
	cacheFree, cacheErr := e.Free(cache)
	if cacheErr == nil {
		used = sizeOf(cache)
	}
	apart := cacheErr == nil && deviceOf(cache) != deviceOf(e.Data)
	switch {
	case err != nil:
		n.unknown("", "cannot determine the free space of %s: %v", e.Data, err)
	case free < full:
		n.wrong("free space on its disk", "%s: only %s are free, too little to write the catalog", e.Data, bytes(free))
	case free < scarce:
		n.warn("free space on its disk", "%s: only %s are free", e.Data, bytes(free))
	case !apart && used+free < e.CacheSize+full:
		n.warn(fmt.Sprintf("use --cache-size %d (in MB), or a larger disk", (used+free)/2>>20),
			"%s: %s are free, and the image cache may grow by %s", e.Data, bytes(free), bytes(e.CacheSize-used))
	case apart && cacheFree < full:
		n.wrong("free space on its disk", "%s is on a disk of its own, with only %s free", cache, bytes(cacheFree))
	default:
		n.ok("%s: %s free, image cache %s of %s", e.Data, bytes(free), bytes(used), bytes(e.CacheSize))
	}
}

// listening checks which clients are served.
func (e *examination) listening(_ context.Context, n *notes) {
	err := socket.Check(e.Listen)
	switch {
	case e.Refused != nil:
		n.wrong("correct the flags, or the server does not start", "%v", e.Refused)
	case err != nil:
		n.wrong("give --listen ADDRESS:PORT or unix:PATH", "--listen %s: %v", e.Listen, err)
	case e.Auth == "none" && e.Open:
		n.warn("use --auth local or central, or make sure that a firewall or a proxy admits only users who may see every slide",
			"--insecure-no-auth: every client that reaches %s sees all slides, labels and file names", e.Listen)
	case e.Auth == "none":
		n.ok("on %s, for this machine only", e.Listen)
	case strings.HasPrefix(e.PublicURL, "http://") && !strings.HasPrefix(e.Listen, "localhost:"):
		n.warn("use a proxy with TLS, and give its https:// URL", "--public-url has no TLS: passwords can be intercepted")
	default:
		n.ok("on %s, --auth %s", e.Listen, e.Auth)
	}
}

// background asks a process on this host which of its background loops fail. None needs to
// run, and another program may listen there.
func background(ctx context.Context, n *notes, address string) {
	dial, host, err := socket.Dialer(address)
	if err != nil {
		return
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/readyz", nil)
	if err != nil {
		return
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}} // never through a proxy
	resp, err := client.Do(r)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	first, rest, _ := strings.Cut(string(b), "\n")
	if err != nil || !strings.HasPrefix(first, "ready") {
		return
	}
	failing := strings.FieldsFunc(rest, func(r rune) bool { return r == '\n' })
	for _, line := range failing {
		n.wrong("see the log of the process for the reason, at level WARN; it retries by itself", "%s", line)
	}
	if len(failing) == 0 {
		n.ok("all background loops of the process work")
	}
}

// files checks the limit of open files. Go raises it as far as possible.
func (e *examination) files(_ context.Context, n *notes) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		n.unknown("", "cannot determine the limit: %v", err)
		return
	}
	most := int64(min(uint64(l.Max), math.MaxInt32)) //nolint:unconvert // its type differs between systems
	need := int64(e.OpenFiles) + 128                 // databases, folders that are watched, a few clients
	switch {
	case most < need:
		n.wrong("raise it to 65536: LimitNOFILE= of systemd, minfds= of supervisord, ulimit -n; or lower --open-slides",
			"the limit is %d open files, and --open-slides %d leaves none for connections", most, e.OpenFiles)
	case most < need+896:
		n.warn("raise it to 65536: LimitNOFILE= of systemd, minfds= of supervisord, ulimit -n",
			"the limit is %d open files, which leaves %d connections", most, most-need)
	default:
		n.ok("%d may be open, %d of them slides", most, e.OpenFiles)
	}
}

func timeZone(_ context.Context, n *notes) {
	if name, ok := os.LookupEnv("TZ"); ok && name != "" {
		if _, err := time.LoadLocation(strings.TrimPrefix(name, ":")); err != nil {
			n.wrong("set TZ to a name such as Europe/Berlin, or unset it", "TZ=%s is not a time zone: schedules run in UTC", name)
			return
		}
	}
	zone, _ := time.Now().Zone()
	n.ok("%s", zone)
}

func (e *examination) decoder(_ context.Context, n *notes) {
	n.ok("%s", e.Decoder)
}

// secret checks a file with a secret.
func secret(n *notes, path string) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		n.wrong("make it readable for the user that runs the site", "%s cannot be read: %v", path, fsx.WithoutPath(err))
	case access(path, unix.R_OK) != nil:
		n.wrong("make it readable for the user that runs the site", "%s cannot be read by user %d", path, os.Geteuid())
	case st.Mode().Perm()&stranger != 0:
		n.wrong("chmod o= "+path, "%s can be read by every user of this host", path)
	default:
		n.ok("%s", path)
	}
}

// runAs returns what to do about a folder of another user.
func runAs(dir string) string {
	if uid, ok := ownerOf(dir); ok && uid != os.Geteuid() {
		return fmt.Sprintf("it belongs to user %d: run this as that user, or give the folder to user %d", uid, os.Geteuid())
	}
	return "check its permissions and those of its parent folders, and whether its disk is mounted read-only"
}

// access returns an error unless this user has a permission for a file.
func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}

func ownerOf(path string) (int, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0, false
	}
	return int(st.Uid), true
}

func deviceOf(path string) uint64 {
	id, err := fsx.Stat(path)
	if err != nil {
		return 0
	}
	return id.Dev
}

// sizeOf returns the total size of the files in a folder.
func sizeOf(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // what can't be read is left out
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				sum += i.Size()
			}
		}
		return nil
	})
	return sum
}

// remote reports whether a folder is on a file system that other machines change.
func remote(path string) (string, bool) {
	f, err := source.FileSystemOf(path)
	return f.Kind, err == nil && !f.Local
}

func bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", max(n, 0)>>10)
}

// ago formats a duration for people.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

func sorted(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
