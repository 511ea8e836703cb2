package tile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/runcache"
	"github.com/slideatlas/ptiffstore/slide"
)

// A handle is an open slide. Readers hold a reference while they read, and the cache
// holds one until it evicts the slide. Releasing the last reference closes the file.
type handle struct {
	slide    *slide.Slide
	f        *os.File // nil if opened is set
	fd       int
	opened   *Opened         // of a store that is not a folder, or a set of files
	remote   *runcache.Slide // of an object of a bucket
	identity fsx.Identity
	refs     atomic.Int64
	used     atomic.Int64 // last use, in nanoseconds of the monotonic clock
	checked  atomic.Int64 // when the path was last compared
	image    *Image
	number   uint64 // of the slides that this process has opened
	tiles    tileTable
}

// handles counts the slides that were opened.
var handles atomic.Uint64

// began is the start of the monotonic clock of this process.
var began = time.Now()

func monotonic() int64 { return int64(time.Since(began)) }

// acquire takes a reference, unless the handle has been closed.
func (h *handle) acquire() bool {
	for {
		n := h.refs.Load()
		if n <= 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		h.close()
	}
}

func (h *handle) close() {
	h.image.srv.tiles.drop(&h.tiles)
	switch {
	case h.f != nil:
		h.f.Close() // opened for reading: an error loses nothing
	case h.opened.Close != nil:
		h.opened.Close()
	}
}

// files is how many files the slide counts as.
func (h *handle) files() int {
	if h.opened != nil {
		return max(h.opened.Files, 1)
	}
	return 1
}

// current reports whether the file is still the one whose tables were read. It checks
// the open file at every call and the file at its path once per [PathCheck]. Other slides
// report a change when a tile is read; sets of files are also compared once per [PathCheck].
func (h *handle) current(now int64) bool {
	if h.opened == nil {
		id, err := fsx.Identify(uintptr(h.fd))
		if err != nil || id != h.identity {
			return false
		}
	} else if !h.isSet() {
		return true
	} else if h.opened.Written() {
		return false
	}
	last := h.checked.Load()
	if now-last < int64(PathCheck) || !h.checked.CompareAndSwap(last, now) {
		return true
	}
	return h.samePath()
}

// samePath reports whether the file at the path is the open one. If the file system does
// not answer, it reports false: the next request then reopens the slide, which has a
// time limit of its own.
func (h *handle) samePath() bool {
	same := make(chan bool, 1)
	go func() {
		if h.isSet() {
			same <- h.opened.Current() == nil
			return
		}
		id, err := h.image.srv.statFile(h.image.path)
		same <- err == nil && id == h.identity
	}()
	timer := time.NewTimer(pathTime)
	defer timer.Stop()
	select {
	case is := <-same:
		return is
	case <-timer.C:
		return false
	}
}

// fileReader reads an open file with pread instead of mapping it into memory: reading a
// file that was truncated is then an error and not a signal.
type fileReader int

func (fd fileReader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := unix.Pread(int(fd), p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return n, fmt.Errorf("cannot read %d bytes at %d: %w", len(p), off, err)
		case m == 0:
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// acquire returns the open slide of the image with a reference that the caller must
// release. If the slide is not open, it opens it, once for concurrent callers.
func (im *Image) acquire(ctx context.Context) (*handle, error) {
	for {
		if h := im.handle.Load(); h != nil && h.acquire() {
			h.used.Store(monotonic())
			return h, nil
		}
		o, err := im.store.opening(im)
		if err != nil {
			return nil, err
		}
		select {
		case <-o.done:
			if o.err != nil {
				return nil, o.err
			}
		case <-o.late:
			return nil, fmt.Errorf("%w: opening it took more than %v", ErrUnreachable, openTime)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openSlide opens the file and adds its slide to the cache.
func (im *Image) openSlide() error {
	if h := im.handle.Load(); h != nil && h.refs.Load() > 0 {
		return nil
	}
	h, err := im.open()
	if err != nil {
		return err
	}
	h.refs.Store(1)
	now := monotonic()
	h.used.Store(now)
	h.checked.Store(now)
	im.srv.cache.add(h)
	if old := im.handle.Swap(h); old != nil {
		im.srv.cache.remove(old)
	}
	if cur, _ := im.srv.images.Load(im.File.ID); cur != any(im) {
		im.close() // replaced or deleted while it was being opened
		return ErrChanged
	}
	return nil
}

// open opens the slide.
func (im *Image) open() (*handle, error) {
	switch {
	case im.File.Store.Kind != "":
		return im.openOther(context.Background())
	case im.File.Set:
		return im.openSet(context.Background())
	}
	f, err := im.srv.openFile(im.path)
	if err != nil {
		im.changed(err)
		return nil, openError(err)
	}
	h, err := im.newHandle(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

func (im *Image) newHandle(f *os.File) (*handle, error) {
	fd := f.Fd()
	id, err := fsx.Identify(fd)
	if err != nil {
		return nil, err
	}
	if !id.Same(im.File.Identity) {
		im.changed(ErrChanged)
		return nil, ErrChanged
	}
	sl, err := slide.Open(fileReader(fd), id.Size)
	if after, serr := fsx.Identify(fd); serr != nil || after != id {
		im.changed(ErrChanged)
		return nil, ErrChanged
	}
	if err != nil {
		return nil, asUnreadable(err)
	}
	return &handle{slide: sl, f: f, fd: int(fd), identity: id, image: im, number: handles.Add(1), tiles: newTileTable(sl)}, nil
}

func openError(err error) error {
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return ErrBusy
	}
	if errors.Is(err, fsx.ErrNotRegular) {
		return ErrChanged // a named pipe or directory has replaced the slide
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ENOTCONN) {
		return fmt.Errorf("%w: %w", ErrUnreachable, fsx.WithoutPath(err))
	}
	return err
}

// drop removes an open slide whose file has changed.
func (im *Image) drop(h *handle) {
	if im.handle.CompareAndSwap(h, nil) {
		im.srv.cache.remove(h)
	}
	im.changed(ErrChanged)
}

// close removes the open slide from the cache, if there is one.
func (im *Image) close() {
	if h := im.handle.Swap(nil); h != nil {
		im.srv.cache.remove(h)
	}
}

// A cache limits the number of open slides and their memory. Only opening and closing a
// slide takes its lock.
type cache struct {
	mu       sync.Mutex
	handles  map[*handle]struct{}
	maxBytes int64
	maxFiles int

	opened, evicted int64 // since the start
}

// SetLimits replaces the limits of open slides of [Options]. They are enforced when the
// next slide is opened.
func (s *Server) SetLimits(maxBytes int64, maxFiles int) {
	s.cache.mu.Lock()
	s.cache.maxBytes, s.cache.maxFiles = maxBytes, maxFiles
	s.cache.mu.Unlock()
}

// add adds h and closes the least recently used slides until the limits hold. It sums up
// the memory each time, as slides grow when their tables are read.
func (c *cache) add(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handles == nil {
		c.handles = map[*handle]struct{}{}
	}
	c.handles[h] = struct{}{}
	c.opened++
	for len(c.handles) > 1 {
		var total int64
		var oldest *handle
		files := 0
		for o := range c.handles {
			total += o.slide.Bytes()
			files += o.files()
			if o != h && (oldest == nil || o.used.Load() < oldest.used.Load()) {
				oldest = o
			}
		}
		if files <= c.maxFiles && total <= c.maxBytes {
			return
		}
		oldest.image.handle.CompareAndSwap(oldest, nil)
		delete(c.handles, oldest)
		c.evicted++
		oldest.release()
	}
}

// remove removes h and releases it, once.
func (c *cache) remove(h *handle) {
	c.mu.Lock()
	_, held := c.handles[h]
	delete(c.handles, h)
	c.mu.Unlock()
	if held {
		h.release()
	}
}

func (c *cache) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{MaxFiles: c.maxFiles, MaxBytes: c.maxBytes, Opened: c.opened, Evicted: c.evicted}
	for h := range c.handles {
		s.OpenFiles += h.files()
		s.OpenBytes += h.slide.Bytes()
	}
	return s
}
