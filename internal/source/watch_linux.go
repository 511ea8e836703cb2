package source

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

// The events of a watch. IN_MODIFY is left out: a copy of 10 GB causes tens of
// thousands of them, and only closing by the writer and renames matter. (Package
// fsnotify does not distinguish these from other events.)
const folderEvents = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// A Watch receives events from inotify(7) and puts those of slides in the added
// directories into its inbox.
type Watch struct {
	*Inbox
	root   string
	prefix string // of the paths in the Inbox
	filter Filter
	f      *os.File
	fd     int
	done   chan struct{}

	mu      sync.Mutex
	dirs    map[int32]string // by watch descriptor, relative to root
	rootDev uint64
	failed  string // why a folder could not be watched
}

// WatchDirectory returns a watch of the directory at root that watches nothing yet.
// Paths in the inbox begin with prefix.
func WatchDirectory(root, prefix string, f Filter, in *Inbox) (*Watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			err = errors.New("too many inotify instances: raise fs.inotify.max_user_instances")
		}
		return nil, fmt.Errorf("inotify: %w", err)
	}
	n := &Watch{
		Inbox: in, root: root, prefix: prefix, filter: f,
		f: os.NewFile(uintptr(fd), "inotify"), fd: fd,
		done: make(chan struct{}), dirs: map[int32]string{},
	}
	go n.listen()
	return n, nil
}

// Close stops watching.
func (n *Watch) Close() {
	n.f.Close() // ends the read in listen
	<-n.done
}

// Add watches the directory dir, which is relative to the root and on the device dev.
// Adding a folder again is not an error; if it was renamed meanwhile, the new name
// replaces the old.
func (n *Watch) Add(dir string, dev uint64) {
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
		n.failed = "there are more directories than inotify may watch: raise fs.inotify.max_user_watches"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR): // removed since; its parent has reported it
	default:
		n.failed = "a directory cannot be watched: " + err.Error()
	}
}

// cross checks that a file system mounted below the root reports changes too.
func (n *Watch) cross(dir string, dev uint64) {
	if dev == n.rootDev || n.rootDev == 0 {
		return
	}
	if m, err := FileSystemOf(filepath.Join(n.root, dir)); err == nil && !m.Local {
		n.failed = "a directory below is on " + m.Kind + ", which does not report changes made by other machines"
	}
}

// Trouble is why not all changes are reported, "" if they are.
func (n *Watch) Trouble() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// listen reads events until the watch is closed.
func (n *Watch) listen() {
	defer close(n.done)
	buf := make([]byte, 64<<10)
	for {
		k, err := n.f.Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				n.Missed()
			}
			return
		}
		for b := buf[:k]; len(b) >= unix.SizeofInotifyEvent; {
			ev := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			end := unix.SizeofInotifyEvent + int(ev.Len)
			if end > len(b) {
				break // does not happen: the kernel writes whole events
			}
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:end]), "\x00")
			n.handle(ev.Wd, ev.Mask, name)
			b = b[end:]
		}
	}
}

// handle handles one event.
func (n *Watch) handle(wd int32, mask uint32, name string) {
	if mask&(unix.IN_Q_OVERFLOW|unix.IN_UNMOUNT) != 0 {
		n.Missed()
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
		n.Missed() // the root itself
		return
	}
	if name == "" {
		return
	}
	if p := path.Join(dir, name); mask&unix.IN_ISDIR != 0 {
		n.handleFolder(p, mask)
	} else if n.filter.File(p) {
		n.handleFile(p, mask)
	}
}

func (n *Watch) handleFile(p string, mask uint32) {
	p = n.prefix + p
	switch {
	case mask&unix.IN_CREATE != 0:
		n.Put(p, 0, WriterLeft)
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0:
		n.Put(p, WriterLeft, 0)
	default:
		n.Put(p, 0, 0)
	}
}

func (n *Watch) handleFolder(p string, mask uint32) {
	if !n.filter.Directory(p) {
		return
	}
	as := n.prefix + p
	switch {
	case mask&unix.IN_MOVED_TO != 0:
		n.Put(as, DirectoryCame|WriterLeft, 0)
	case mask&unix.IN_CREATE != 0:
		n.Put(as, DirectoryCame, WriterLeft)
	case mask&unix.IN_MOVED_FROM != 0:
		n.forget(p)
		fallthrough
	case mask&unix.IN_DELETE != 0:
		n.Put(as, DirectoryGone, 0)
	case mask&unix.IN_ATTRIB != 0:
		n.Put(as, DirectoryCame, 0) // it may have become readable
	}
}

// forget stops watching p and the folders below, which now have other names.
func (n *Watch) forget(p string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for wd, dir := range n.dirs {
		if dir == p || strings.HasPrefix(dir, p+"/") {
			unix.InotifyRmWatch(n.fd, uint32(wd)) // an error means that the watch is gone already
			delete(n.dirs, wd)
		}
	}
}
