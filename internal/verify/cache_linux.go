package verify

import (
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A cache takes out of the page cache what a hash has brought in. It goes by
// windows of the file, and looks which pages of each were there while the one
// before it is read: the kernel reads ahead, but not as far.
type cache struct {
	f     *os.File
	fd    int
	size  int64
	sees  bool             // the kernel tells us which pages are there
	seen  map[int64][]byte // by the window's offset: a byte a page, odd if it was there
	begun int64            // where the windows not looked at begin
	done  int64            // where those not taken out begin
}

// window is how much is taken out at a time.
const window = 8 << 20

func newCache(f *os.File, size int64) *cache {
	c := &cache{f: f, fd: int(f.Fd()), size: size, seen: map[int64][]byte{}}
	c.sees = c.mayLook()
	// It is advice: who does not take it is none the worse.
	unix.Fadvise(c.fd, 0, 0, unix.FADV_SEQUENTIAL) //nolint:errcheck
	return c
}

// mayLook reports whether the kernel tells us which pages are in the cache. To who
// can't write the file it says that all are, lest one spy on what others read.
func (c *cache) mayLook() bool {
	var st unix.Stat_t
	if unix.Fstat(c.fd, &st) != nil {
		return false
	}
	if uid := os.Geteuid(); uid == 0 || uint32(uid) == st.Uid { //nolint:gosec // a user's number
		return true
	}
	return unix.Access(filepath.Join("/proc/self/fd", strconv.Itoa(c.fd)), unix.W_OK) == nil
}

// reading is told before what lies at an offset is read.
func (c *cache) reading(at int64) {
	for c.sees && c.begun < c.size && c.begun <= at+window {
		c.seen[c.begun] = c.resident(c.begun)
		c.begun += window
	}
}

// read is told that all before an offset was read.
func (c *cache) read(at int64) {
	for c.done+window <= at || at == c.size && c.done < at {
		c.drop(c.done)
		c.done += window
	}
}

// close takes out what a hash that was broken off has left.
func (c *cache) close() {
	if c.done < c.size {
		c.drop(c.done)
	}
	unix.Fadvise(c.fd, 0, 0, unix.FADV_NORMAL) //nolint:errcheck
}

// drop takes a window's pages out, but those that were there before.
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

// resident tells of each page of a window whether it is in the cache, or returns
// nil. The map of the file is never read through, so that a file cut short does no
// harm.
func (c *cache) resident(from int64) []byte {
	length := min(window, c.size-from)
	m, err := unix.Mmap(c.fd, from, int(length), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	defer unix.Munmap(m) //nolint:errcheck // there is nothing to be done
	size := int64(os.Getpagesize())
	pages := make([]byte, (length+size-1)/size)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(length), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		return nil
	}
	return pages
}
