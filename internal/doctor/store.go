package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// slideSize is what a slide that arrives may take.
const slideSize = 10 << 30

// stores are the checks of each store, and of what they need together.
func (e *examination) stores() []check {
	if e.catalog == nil {
		return []check{{"stores", func(_ context.Context, n *notes) {
			n.unknown("see to the database first", "stores, tasks and endpoints, which are in the database, were not looked at")
		}}}
	}
	var list []check
	for i := range e.list {
		st := &e.list[i]
		list = append(list, check{"store " + name(st), func(ctx context.Context, n *notes) { e.store(ctx, n, st) }})
	}
	return append(list, check{"inotify", e.watches})
}

// name is what a store is called in a report.
func name(s *catalog.Store) string {
	if s.Label == "" {
		return s.ID
	}
	return fmt.Sprintf("%q (%s)", s.Label, s.ID)
}

// mine reports whether this host keeps the store in step.
func (e *examination) mine(s *catalog.Store) bool { return s.Host == "" || s.Host == e.Host }

func (e *examination) store(ctx context.Context, n *notes, s *catalog.Store) {
	images(n, s)
	schedules(n, s)
	if !e.mine(s) {
		n.ok("its files are on %s: run this there, too", s.Host)
		return
	}
	if !root(n, s) {
		return
	}
	if s.Mode == catalog.Managed {
		checkManaged(n, s)
	}
	e.lastPass(n, s)
	files(ctx, n, s)
}

// images looks at what is known to be wrong with slides.
func images(n *notes, s *catalog.Store) {
	for _, bad := range []struct {
		state catalog.State
		mend  string
	}{
		{catalog.Broken, "the gallery, sorted by state, says why; copy the files anew, or have them looked at again: ptiffstore retry IMAGE"},
		{catalog.Quarantined, "the gallery, sorted by state, says why; ptiffstore retry IMAGE takes one back"},
	} {
		if k := s.Counts[bad.state]; k > 0 {
			n.warn(bad.mend, "%s %s", count(k, "image is", "images are"), bad.state)
		}
	}
}

// schedules looks at whether they are understood.
func schedules(n *notes, s *catalog.Store) {
	for _, text := range []string{s.Schedule, s.Verify} {
		if text == "" {
			continue
		}
		if err := task.CheckSchedule(text, s.TimeZone); err != nil {
			n.wrong("ptiffstore store set "+s.ID, "%v", err)
		}
	}
}

// root looks at the store's folder, and reports whether it is the one it was.
func root(n *notes, s *catalog.Store) bool {
	id, err := fsx.Stat(s.Root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("mount its disk; nothing is marked missing meanwhile", "its folder %s is not there", s.Root)
		return false
	case errors.Is(err, fs.ErrPermission):
		n.wrong("let that user enter the folders above", "its folder %s can't be reached by user %d", s.Root, os.Geteuid())
		return false
	case err != nil:
		n.wrong("see its disk", "its folder %s: %v", s.Root, fsx.WithoutPath(err))
		return false
	}
	if err := access(s.Root, unix.R_OK|unix.X_OK); err != nil {
		n.wrong(fmt.Sprintf("let that user read it: setfacl -m u:%d:rx %s", os.Geteuid(), s.Root), "its folder %s can't be read by user %d: %v", s.Root, os.Geteuid(), err)
		return false
	}
	f, err := source.FileSystemOf(s.Root)
	if err != nil {
		n.wrong("see its disk", "its folder %s: %v", s.Root, err)
		return false
	}
	if was := s.RootID; was.Ino != 0 && (was.Ino != id.Ino || was.Dev != id.Dev && (f.ID == "" || f.ID != s.RootFS)) {
		n.wrong("mount its disk; if one has just been mounted, or the folder is meant to be another: ptiffstore sync "+s.ID+", with --confirm if that is refused",
			"another folder is at %s than when it was last gone through: is a disk not mounted?", s.Root)
		return false
	}
	if f.Local {
		n.ok("%s on %s, watched by inotify", s.Root, f.Kind)
	} else {
		n.ok("%s on %s, gone through every 30 seconds, as that does not tell of changes", s.Root, f.Kind)
	}
	return true
}

// checkManaged examines the folders of a store that owns them.
func checkManaged(n *notes, s *catalog.Store) {
	switch id, err := managed.Marked(s.Root); {
	case err != nil:
		n.wrong("see its permissions", "%v", err)
	case id == "":
		n.wrong("mount its disk; if it is the right folder, write the store's id "+s.ID+" into that file", "%s has no file .ptiffstore-store: it is not taken for the store's", s.Root)
	case id != s.ID:
		n.wrong("mount the right disk", "%s is the folder of another store, %s", s.Root, id)
	}
	device := deviceOf(s.Root)
	for _, dir := range []string{"slides", "staging", "quarantine", "trash"} {
		path := filepath.Join(s.Root, dir)
		switch err := access(path, unix.R_OK|unix.W_OK|unix.X_OK); {
		case errors.Is(err, fs.ErrNotExist): // made when it is needed
		case err != nil:
			n.wrong(runAs(path), "%s can't be written to by user %d: %v", path, os.Geteuid(), err)
		case deviceOf(path) != device:
			n.wrong("let it be a plain folder: files are renamed from one to the other", "%s is on another file system than the store", path)
		}
	}
	if err := access(s.Root, unix.W_OK); err != nil {
		n.wrong(runAs(s.Root), "%s can't be written to by user %d: %v", s.Root, os.Geteuid(), err)
	}
	arriving(n, s, device)
	space(n, s.Root)
	for _, dir := range []string{"trash", "quarantine"} {
		if size := sizeOf(filepath.Join(s.Root, dir)); size > 0 {
			n.ok("%s takes %s", dir, bytes(size))
		}
	}
}

// arriving looks at where a managed store's files arrive.
func arriving(n *notes, s *catalog.Store, device uint64) {
	switch err := access(s.Incoming, unix.R_OK|unix.W_OK|unix.X_OK); {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("make it, or mount its disk", "its incoming folder %s is not there", s.Incoming)
		return
	case err != nil:
		n.wrong(runAs(s.Incoming), "files can't be taken out of its incoming folder %s by user %d: %v", s.Incoming, os.Geteuid(), err)
		return
	}
	if deviceOf(s.Incoming) != device {
		n.ok("its incoming folder is on another file system: slides are copied, not renamed")
		space(n, s.Incoming)
	}
}

// space looks at the room for slides.
func space(n *notes, dir string) {
	switch free, err := freeOf(dir); {
	case err != nil:
		n.unknown("", "the free space of %s can't be told: %v", dir, err)
	case free < full:
		n.wrong("make room: empty the trash, or add disks", "%s: only %s are free: uploads are refused", dir, bytes(free))
	case free < slideSize:
		n.warn("make room: empty the trash, or add disks", "%s: only %s are free, which is less than a large slide takes", dir, bytes(free))
	default:
		n.ok("%s: %s free", dir, bytes(free))
	}
}

// stale is after how long without a completed pass something is amiss: folders that are
// watched are gone through every 5 minutes all the same.
const stale = 20 * time.Minute

// lastPass looks at when the store was last gone through to the end.
func (e *examination) lastPass(n *notes, s *catalog.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	workers, err := e.catalog.Workers(ctx)
	if err != nil || len(workers) == 0 {
		return // that is a finding of its own
	}
	since := workers[0].StartedAt // none of them can have been at it for longer
	if s.LastSync != nil && s.LastSync.After(since) {
		since = *s.LastSync
	}
	age := time.Since(since)
	switch {
	case age > stale && s.LastSync == nil:
		n.wrong("the log of the worker, and ptiffstore sync "+s.ID+" --dry-run, say why", "it was never gone through to the end")
	case age > stale:
		n.wrong("the log of the worker, and ptiffstore sync "+s.ID+" --dry-run, say why: a pass that finds too much missing is refused until a person confirms it",
			"it was last gone through to the end %s ago", ago(time.Since(*s.LastSync)))
	}
}

// files counts what is in the folder.
func files(ctx context.Context, n *notes, s *catalog.Store) {
	c, err := scan.Count(ctx, s)
	switch {
	case c.Closed > 0:
		n.wrong(fmt.Sprintf("let that user read them: setfacl -R -m u:%d:rX on its folder", os.Geteuid()),
			"%s can't be read by user %d", count(c.Closed, "file or folder", "files and folders"), os.Geteuid())
	case err != nil && ctx.Err() != nil:
		n.unknown("give it more time: --limit 5m", "%s and %s were looked at when the time was over", count(c.Files, "file", "files"), count(c.Folders, "folder", "folders"))
	case err != nil:
		n.wrong("see its disk", "its folder can't be gone through: %v", fsx.WithoutPath(err))
	default:
		n.ok("%s in %s, all readable", count(c.Files, "file", "files"), count(c.Folders, "folder", "folders"))
	}
}

// watches compares the number of folders with what inotify may watch.
func (e *examination) watches(ctx context.Context, n *notes) {
	most, err := number("/proc/sys/fs/inotify/max_user_watches")
	instances, err2 := number("/proc/sys/fs/inotify/max_user_instances")
	if err != nil || err2 != nil {
		return // not Linux: folders are polled
	}
	folders, watched := 0, 0
	for i := range e.list {
		s := &e.list[i]
		if _, away := remote(s.Root); away || !e.mine(s) {
			continue
		}
		c, err := scan.Count(ctx, s)
		if err == nil || ctx.Err() != nil {
			watched++
			folders += c.Folders
		}
	}
	switch {
	case folders > most*9/10:
		n.warn(fmt.Sprintf("sysctl fs.inotify.max_user_watches=%d, and in /etc/sysctl.d", max(524288, 4*folders)),
			"%d folders are to be watched, and fs.inotify.max_user_watches is %d: stores beyond are polled, and slides noticed later", folders, most)
	case watched > instances*9/10:
		n.warn("sysctl fs.inotify.max_user_instances=1024, and in /etc/sysctl.d",
			"%d stores are to be watched, and fs.inotify.max_user_instances is %d: those beyond are polled", watched, instances)
	default:
		n.ok("%s to watch, %d may be", count(folders, "folder", "folders"), most)
	}
}

func number(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
