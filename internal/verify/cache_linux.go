package verify

import (
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A cache removes from the page cache what a hash has read into it. It works in windows
// of the file, and queries which pages of a window are cached while the previous window
// is read: the kernel's readahead is shorter than a window.
type cache struct {
	f     *os.File
	fd    int
	size  int64
	sees  bool             // the kernel reports which pages are cached
	seen  map[int64][]byte // by the window's offset: a byte a page, odd if it was cached
	begun int64            // start of the windows not queried yet
	done  int64            // start of the windows not dropped yet
}

// window is the size of a window in bytes.
const window = 8 << 20

func newCache(f *os.File, size int64) *cache {
	c := &cache{f: f, fd: int(f.Fd()), size: size, seen: map[int64][]byte{}}
	c.sees = c.mayLook()
	// This is advice: an error does no harm.
	unix.Fadvise(c.fd, 0, 0, unix.FADV_SEQUENTIAL) //nolint:errcheck
	return c
}

// mayLook reports whether the kernel reports which pages are cached. To users who can't
// write the file it reports that all are, so that they can't observe the reads of
// others.
func (c *cache) mayLook() bool {
	var st unix.Stat_t
	if unix.Fstat(c.fd, &st) != nil {
		return false
	}
	if uid := os.Geteuid(); uid == 0 || uint32(uid) == st.Uid { //nolint:gosec // user ids are not negative
		return true
	}
	return unix.Access(filepath.Join("/proc/self/fd", strconv.Itoa(c.fd)), unix.W_OK) == nil
}

// reading is called before the bytes at an offset are read.
func (c *cache) reading(at int64) {
	for c.sees && c.begun < c.size && c.begun <= at+window {
		c.seen[c.begun] = c.resident(c.begun)
		c.begun += window
	}
}

// read is called after all bytes before an offset were read.
func (c *cache) read(at int64) {
	for c.done+window <= at || at == c.size && c.done < at {
		c.drop(c.done)
		c.done += window
	}
}

// close drops what an interrupted hash has left.
func (c *cache) close() {
	if c.done < c.size {
		c.drop(c.done)
	}
	unix.Fadvise(c.fd, 0, 0, unix.FADV_NORMAL) //nolint:errcheck
}

// drop removes a window's pages from the cache, except those that were cached before.
func (c *cache) drop(from int64) {
	pages := c.seen[from]
	delete(c.seen, from)
	end := min(from+window, c.size)
	if pages == nil {
		unix.Fadvise(c.fd, from, end-from, unix.FADV_DONTNEED) //nolint:errcheck
		return
	}
	size := int64(os.Getpagesize())
	for i := 0; i < len(pages); {
		j := i
		for j < len(pages) && pages[j]&1 == pages[i]&1 {
			j++
		}
		if pages[i]&1 == 0 {
			unix.Fadvise(c.fd, from+int64(i)*size, int64(j-i)*size, unix.FADV_DONTNEED) //nolint:errcheck
		}
		i = j
	}
}

// resident returns for each page of a window whether it is cached, or nil. The mapping
// is never read, so that a file that becomes shorter causes no fault.
func (c *cache) resident(from int64) []byte {
	length := min(window, c.size-from)
	m, err := unix.Mmap(c.fd, from, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	defer unix.Munmap(m) //nolint:errcheck // there is no remedy
	size := int64(os.Getpagesize())
	pages := make([]byte, (length+size-1)/size)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(length), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return nil
	}
	return pages
}
