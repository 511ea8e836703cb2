package verify

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A hash removes from the page cache what it has read, and leaves the rest.
func TestPageCache(t *testing.T) {
	const size = 5 * window / 2
	f := open(t, create(t, noise(1, size)))
	fd := int(f.Fd())
	// Only clean pages can be removed, and none on tmpfs.
	if err := unix.Fsync(fd); err != nil {
		t.Fatal(err)
	}
	c := newCache(f, size)
	if !c.sees {
		t.Skip("the kernel does not report which pages are cached")
	}
	cached := func() (n int) {
		for at := int64(0); at < size; at += window {
			for _, p := range c.resident(at) {
				n += int(p & 1)
			}
		}
		return n
	}
	unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	if cached() > 0 {
		t.Skip("this file system keeps its pages")
	}
	unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM) // no readahead
	hot := []int64{0, 3 << 20, window - 4096, window + 5<<20, size - 4096}
	for _, at := range hot {
		if _, err := f.ReadAt(make([]byte, 4096), at); err != nil {
			t.Fatal(err)
		}
	}
	before := cached()
	if _, err := Hash(t.Context(), f, Options{}); err != nil {
		t.Fatal(err)
	}
	// Pages that were read ahead at the border of two windows may stay.
	if after, all := cached(), size/os.Getpagesize(); after < before || after > before+all/20 {
		t.Errorf("%d pages in the cache before, %d after, of %d", before, after, all)
	}
	for _, at := range hot {
		if p := c.resident(at / window * window); p[at%window/int64(os.Getpagesize())]&1 == 0 {
			t.Errorf("the page at %d was taken out", at)
		}
	}
}
