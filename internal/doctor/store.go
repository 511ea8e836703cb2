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

// slideSize is the size of a large slide.
const slideSize = 10 << 30

// stores returns the checks of each store, and of inotify.
func (e *examination) stores() []check {
	if e.catalog == nil {
		return []check{{"stores", func(_ context.Context, n *notes) {
			n.unknown("fix the database first", "stores, tasks and endpoints are in the database and were not checked")
		}}}
	}
	var list []check
	for i := range e.list {
		st := &e.list[i]
		list = append(list, check{"store " + name(st), func(ctx context.Context, n *notes) { e.store(ctx, n, st) }})
	}
	return append(list, check{"inotify", e.watches})
}

// name returns the name of a store in the report.
func name(s *catalog.Store) string {
	if s.Label == "" {
		return s.ID
	}
	return fmt.Sprintf("%q (%s)", s.Label, s.ID)
}

// mine reports whether this host scans the store.
func (e *examination) mine(s *catalog.Store) bool { return s.Host == "" || s.Host == e.Host }

func (e *examination) store(ctx context.Context, n *notes, s *catalog.Store) {
	images(n, s)
	schedules(n, s)
	if !e.mine(s) {
		n.ok("its files are on %s: run doctor there, too", s.Host)
		return
	}
	if s.Kind == catalog.S3 {
		e.inBucket(ctx, n, s)
		e.lastScan(n, s)
		return
	}
	if s.Kind != catalog.Directory {
		database(ctx, n, s)
		e.lastScan(n, s)
		return
	}
	if !root(n, s) {
		return
	}
	if s.Mode == catalog.Managed {
		e.checkManaged(n, s)
	}
	e.lastScan(n, s)
	files(ctx, n, s)
}

// images reports slides with a known problem.
func images(n *notes, s *catalog.Store) {
	for _, bad := range []struct {
		state catalog.State
		fix   string
	}{
		{catalog.Broken, "the gallery, sorted by state, has the reason; copy the files again, or inspect them again: ptiffstore retry IMAGE"},
		{catalog.Quarantined, "the gallery, sorted by state, has the reason; ptiffstore retry IMAGE tries to import it again"},
	} {
		if k := s.Counts[bad.state]; k > 0 {
			n.warn(bad.fix, "%s %s", count(k, "image is", "images are"), bad.state)
		}
	}
}

// schedules checks the schedules of a store.
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

// root checks the folder of a store, and reports whether it is the same as before.
func root(n *notes, s *catalog.Store) bool {
	id, err := fsx.Stat(s.Root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("mount its disk; nothing is marked missing meanwhile", "its folder %s does not exist", s.Root)
		return false
	case errors.Is(err, fs.ErrPermission):
		n.wrong("give that user access to the parent folders", "its folder %s cannot be reached by user %d", s.Root, os.Geteuid())
		return false
	case err != nil:
		n.wrong("check its disk", "its folder %s: %v", s.Root, fsx.WithoutPath(err))
		return false
	}
	if err := access(s.Root, unix.R_OK|unix.X_OK); err != nil {
		n.wrong(fmt.Sprintf("make it readable for that user: setfacl -m u:%d:rx %s", os.Geteuid(), s.Root), "its folder %s cannot be read by user %d: %v", s.Root, os.Geteuid(), err)
		return false
	}
	f, err := source.FileSystemOf(s.Root)
	if err != nil {
		n.wrong("check its disk", "its folder %s: %v", s.Root, err)
		return false
	}
	if was := s.RootID; was.Ino != 0 && (was.Ino != id.Ino || was.Dev != id.Dev && (f.ID == "" || f.ID != s.RootFS)) {
		n.wrong("mount its disk; if the folder was changed on purpose: ptiffstore sync "+s.ID+", with --confirm if it is refused",
			"%s is not the same folder as at the last scan: check that its disk is mounted", s.Root)
		return false
	}
	if f.Local {
		n.ok("%s on %s, watched by inotify", s.Root, f.Kind)
	} else {
		n.ok("%s on %s, scanned every 30 seconds, as it does not report changes", s.Root, f.Kind)
	}
	return true
}

// checkManaged examines the folders of a store that owns them.
func (e *examination) checkManaged(n *notes, s *catalog.Store) {
	switch id, err := managed.Marked(s.Root); {
	case err != nil:
		n.wrong("check its permissions", "%v", err)
	case id == "":
		n.wrong("mount its disk; if it is the right folder, write the store's id "+s.ID+" to that file", "%s has no file .ptiffstore-store, so it is not used as the store's folder", s.Root)
	case id != s.ID:
		n.wrong("mount the right disk", "%s is the folder of another store, %s", s.Root, id)
	}
	device := deviceOf(s.Root)
	for _, dir := range []string{"slides", "staging", "quarantine", "trash"} {
		path := filepath.Join(s.Root, dir)
		switch err := access(path, unix.R_OK|unix.W_OK|unix.X_OK); {
		case errors.Is(err, fs.ErrNotExist): // created when it is needed
		case err != nil:
			n.wrong(runAs(path), "%s cannot be written to by user %d: %v", path, os.Geteuid(), err)
		case deviceOf(path) != device:
			n.wrong("make it a folder on the same file system: files are renamed between them", "%s is on another file system than the store", path)
		}
	}
	if err := access(s.Root, unix.W_OK); err != nil {
		n.wrong(runAs(s.Root), "%s cannot be written to by user %d: %v", s.Root, os.Geteuid(), err)
	}
	e.incoming(n, s, device)
	e.slideSpace(n, s.Root)
	for _, dir := range []string{"trash", "quarantine"} {
		if size := sizeOf(filepath.Join(s.Root, dir)); size > 0 {
			n.ok("size of %s: %s", dir, bytes(size))
		}
	}
}

// incoming checks the incoming folder of a managed store.
func (e *examination) incoming(n *notes, s *catalog.Store, device uint64) {
	switch err := access(s.Incoming, unix.R_OK|unix.W_OK|unix.X_OK); {
	case errors.Is(err, fs.ErrNotExist):
		n.wrong("create it, or mount its disk", "its incoming folder %s does not exist", s.Incoming)
		return
	case err != nil:
		n.wrong(runAs(s.Incoming), "its incoming folder %s cannot be emptied by user %d: %v", s.Incoming, os.Geteuid(), err)
		return
	}
	if deviceOf(s.Incoming) != device {
		n.ok("its incoming folder is on another file system: slides are copied, not renamed")
		e.slideSpace(n, s.Incoming)
	}
}

// slideSpace checks the free disk space for slides.
func (e *examination) slideSpace(n *notes, dir string) {
	switch free, err := e.Free(dir); {
	case err != nil:
		n.unknown("", "cannot determine the free space of %s: %v", dir, err)
	case free < full:
		n.wrong("free space: empty the trash, or add disks", "%s: only %s are free: uploads are refused", dir, bytes(free))
	case free < slideSize:
		n.warn("free space: empty the trash, or add disks", "%s: only %s are free, less than the size of a large slide", dir, bytes(free))
	default:
		n.ok("%s: %s free", dir, bytes(free))
	}
}

// stale is after how long without a completed scan something is wrong: watched folders are
// scanned every 5 minutes, too.
const stale = 20 * time.Minute

// lastScan checks when the store was last scanned completely.
func (e *examination) lastScan(n *notes, s *catalog.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	workers, err := e.catalog.Workers.List(ctx)
	if err != nil || len(workers) == 0 {
		return // that is a finding of its own
	}
	since := workers[0].StartedAt // none of them can have scanned for longer
	if s.LastSync != nil && s.LastSync.After(since) {
		since = *s.LastSync
	}
	age := time.Since(since)
	switch {
	case age > stale && s.LastSync == nil:
		n.wrong("see the log of the worker, and ptiffstore sync "+s.ID+" --dry-run", "it was never scanned completely")
	case age > stale:
		n.wrong("see the log of the worker, and ptiffstore sync "+s.ID+" --dry-run: a scan that finds too many files missing is refused until it is confirmed",
			"its last complete scan was %s ago", ago(time.Since(*s.LastSync)))
	}
}

// files counts the files of a store.
func files(ctx context.Context, n *notes, s *catalog.Store) {
	c, err := scan.Count(ctx, s)
	switch {
	case c.Closed > 0:
		n.wrong(fmt.Sprintf("make them readable for that user: setfacl -R -m u:%d:rX on its folder", os.Geteuid()),
			"%s cannot be read by user %d", count(c.Closed, "file or folder", "files and folders"), os.Geteuid())
	case err != nil && ctx.Err() != nil:
		n.unknown("give it more time: --timeout 5m", "only %s and %s were checked in time", count(c.Files, "file", "files"), count(c.Folders, "folder", "folders"))
	case err != nil:
		n.wrong("check its disk", "cannot scan its folder: %v", fsx.WithoutPath(err))
	default:
		n.ok("%s in %s, all readable", count(c.Files, "file", "files"), count(c.Folders, "folder", "folders"))
	}
}

// watches compares the number of folders with the limit of inotify.
func (e *examination) watches(ctx context.Context, n *notes) {
	most, err := number("/proc/sys/fs/inotify/max_user_watches")
	instances, err2 := number("/proc/sys/fs/inotify/max_user_instances")
	if err != nil || err2 != nil {
		return // not Linux: folders are polled
	}
	folders, watched := 0, 0
	for i := range e.list {
		s := &e.list[i]
		if _, away := remote(s.Root); away || !e.mine(s) || s.Kind != catalog.Directory {
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
			"there are %d folders to watch, and fs.inotify.max_user_watches is %d: stores beyond the limit are polled, and new slides noticed later", folders, most)
	case watched > instances*9/10:
		n.warn("sysctl fs.inotify.max_user_instances=1024, and in /etc/sysctl.d",
			"there are %d stores to watch, and fs.inotify.max_user_instances is %d: those beyond the limit are polled", watched, instances)
	default:
		n.ok("%s to watch, limit %d", count(folders, "folder", "folders"), most)
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
