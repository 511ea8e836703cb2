package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a notifier listens to. Not IN_MODIFY: a copy of 10 GB makes tens of thousands
// of those, and the two that count are when its writer closes a file and when a
// file is renamed in. (Package fsnotify tells neither from the others.)
const folderEvents = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// A notifier listens to inotify (inotify(7)) and puts what happens to slides in the
// folders it is told to watch into its inbox.
type notifier struct {
	*inbox
	root   string
	prefix string // of the paths that are put into the inbox
	filter filter
	f      *os.File
	fd     int
	done   chan struct{}

	mu      sync.Mutex
	dirs    map[int32]string // by watch descriptor, relative to root
	rootDev uint64
	failed  string // why a folder could not be watched
}

// newNotifier returns a notifier that watches nothing yet.
func newNotifier(root, prefix string, f filter, in *inbox) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			err = errors.New("too many inotify instances: raise fs.inotify.max_user_instances")
		}
		return nil, fmt.Errorf("inotify: %w", err)
	}
	n := &notifier{
		inbox: in, root: root, prefix: prefix, filter: f,
		f: os.NewFile(uintptr(fd), "inotify"), fd: fd,
		done: make(chan struct{}), dirs: map[int32]string{},
	}
	go n.listen()
	return n, nil
}

// close stops listening.
func (n *notifier) close() {
	n.f.Close() // ends the read in listen
	<-n.done
}

// watch listens to the folder dir, relative to the root and on the device dev, from
// now on. Watching a folder again is no error; if it was renamed meanwhile, its new
// name counts.
func (n *notifier) watch(dir string, dev uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	flags := uint32(folderEvents)
	if dir == "" {
		n.rootDev = dev
	} else {
		flags |= unix.IN_DONT_FOLLOW
		n.cross(dir, dev)
	}
	wd, err := unix.InotifyAddWatch(n.fd, filepath.Join(n.root, dir), flags)
	switch {
	case err == nil:
		n.dirs[int32(wd)] = dir
	case errors.Is(err, unix.ENOSPC):
		n.failed = "there are more folders than inotify may watch: raise fs.inotify.max_user_watches"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR): // gone since it was listed; its parent has told
	default:
		n.failed = "a folder cannot be watched: " + err.Error()
	}
}

// cross makes sure that a file system mounted below the root tells of changes too.
func (n *notifier) cross(dir string, dev uint64) {
	if dev == n.rootDev || n.rootDev == 0 {
		return
	}
	if m, err := mountOf(filepath.Join(n.root, dir)); err == nil && !m.local {
		n.failed = "a folder below is on " + m.kind + ", which does not tell of what other machines change"
	}
}

// trouble says why not everything is heard, "" if it is.
func (n *notifier) trouble() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// listen reads events until the notifier is closed.
func (n *notifier) listen() {
	defer close(n.done)
	buf := make([]byte, 64<<10)
	for {
		k, err := n.f.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				n.missed()
			}
			return
		}
		for b := buf[:k]; len(b) >= unix.SizeofInotifyEvent; {
			ev := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			end := unix.SizeofInotifyEvent + int(ev.Len)
			if end > len(b) {
				break // the kernel writes whole events only
			}
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:end]), "\x00")
			n.hear(ev.Wd, ev.Mask, name)
			b = b[end:]
		}
	}
}

// hear takes one event.
func (n *notifier) hear(wd int32, mask uint32, name string) {
	if mask&(unix.IN_Q_OVERFLOW|unix.IN_UNMOUNT) != 0 {
		n.missed()
		return
	}
	n.mu.Lock()
	dir, ok := n.dirs[wd]
	if mask&unix.IN_IGNORED != 0 {
		delete(n.dirs, wd)
	}
	n.mu.Unlock()
	if !ok {
		return
	}
	if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 && dir == "" {
		n.missed() // the root itself
		return
	}
	if name == "" {
		return
	}
	if p := path.Join(dir, name); mask&unix.IN_ISDIR != 0 {
		n.hearFolder(p, mask)
	} else if n.filter.file(p) {
		n.hearFile(p, mask)
	}
}

func (n *notifier) hearFile(p string, mask uint32) {
	p = n.prefix + p
	switch {
	case mask&unix.IN_CREATE != 0:
		n.put(p, 0, writerLeft)
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		n.put(p, writerLeft, 0)
	default:
		n.put(p, 0, 0)
	}
}

func (n *notifier) hearFolder(p string, mask uint32) {
	if !n.filter.folder(p) {
		return
	}
	as := n.prefix + p
	switch {
	case mask&unix.IN_MOVED_TO != 0:
		n.put(as, folderCame|writerLeft, 0)
	case mask&unix.IN_CREATE != 0:
		n.put(as, folderCame, writerLeft)
	case mask&unix.IN_MOVED_FROM != 0:
		n.forget(p)
		fallthrough
	case mask&unix.IN_DELETE != 0:
		n.put(as, folderParted, 0)
	case mask&unix.IN_ATTRIB != 0:
		n.put(as, folderCame, 0) // it may have become readable
	}
}

// forget stops watching p and the folders below, which now have other names.
func (n *notifier) forget(p string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for wd, dir := range n.dirs {
		if dir == p || strings.HasPrefix(dir, p+"/") {
			unix.InotifyRmWatch(n.fd, uint32(wd)) // an error means that it is gone already
			delete(n.dirs, wd)
		}
	}
}
