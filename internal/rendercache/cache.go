package rendercache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A Cache stores rendered images in a directory of limited size and evicts the least
// recently used ones. Its contents can be rendered again, so the directory may be emptied
// at any time. A Cache is safe for concurrent use.
//
// The layout is {directory}/{first two letters of the key}/{key}.jpg. Files are not flushed to
// the disk: four bytes behind the image are its checksum, which shows what a crash of the host
// left incomplete.
type Cache struct {
	dir  string
	max  atomic.Int64
	log  *slog.Logger
	size atomic.Int64
	// counted is closed when size includes the images that were there at the start.
	// Images that are added before may be counted twice until the cache is trimmed.
	counted chan struct{}
	sweep   sync.Mutex
	// writing is held for reading while the directory is changed, and by Close.
	writing sync.RWMutex
	closed  bool // under writing

	hits, misses, evicted atomic.Int64
}

// CacheStats are figures for operators. The counts are since the start.
type CacheStats struct {
	Bytes, MaxBytes int64 // in the cache, and the limit
	Hits, Misses    int64 // requests for images in the cache, and not in the cache
	Evicted         int64 // images removed to keep the limit
}

// Stats returns current figures.
func (c *Cache) Stats() CacheStats {
	return CacheStats{Bytes: c.size.Load(), MaxBytes: c.max.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load()}
}

// usedEvery is the precision of the time of last use: the mtime of an image is updated at
// most so often.
const usedEvery = time.Hour

// OpenCache opens the cache in dir, which it creates if necessary with access for its
// owner only, as the images are patient data. The size is counted in the background.
func OpenCache(dir string, maxBytes int64, log *slog.Logger) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the directory of the image cache: %w", err)
	}
	c := &Cache{dir: dir, log: log, counted: make(chan struct{})}
	c.max.Store(maxBytes)
	go func() {
		defer close(c.counted)
		var n int64
		for _, e := range c.list() {
			n += e.size
		}
		c.size.Add(n)
		c.trim()
	}()
	return c, nil
}

// Close waits for changes to the folder that are under way. From then on the cache
// stores and removes nothing: an image whose rendering was abandoned may still end later.
func (c *Cache) Close() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.closed = true
}

// SetMaxBytes changes the limit in bytes and evicts images beyond it.
func (c *Cache) SetMaxBytes(maxBytes int64) {
	c.max.Store(maxBytes)
	go c.trim()
}

// Get returns the image with that key, or nil if it is not in the cache or not complete.
func (c *Cache) Get(key string) []byte {
	b := c.get(key)
	if b == nil {
		c.misses.Add(1)
	} else {
		c.hits.Add(1)
	}
	return b
}

func (c *Cache) get(key string) []byte {
	path := c.path(key)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	b, ok := withoutChecksum(b)
	if !ok {
		os.Remove(path) // incomplete after a crash of the host: it is rendered again
		return nil
	}
	if fi, err := os.Stat(path); err == nil && time.Since(fi.ModTime()) > usedEvery {
		now := time.Now()
		os.Chtimes(path, now, now) // only the order of removal depends on it
	}
	return b
}

// checksumSize is the size in bytes of the checksum behind an image.
const checksumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// withChecksum returns what the file of an image has.
func withChecksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, len(b)+checksumSize), b...), crc32.Checksum(b, castagnoli))
}

// withoutChecksum returns the image in a file, if it is complete.
func withoutChecksum(b []byte) ([]byte, bool) {
	n := len(b) - checksumSize
	if n <= 0 || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return nil, false
	}
	return b[:n:n], true
}

// Put stores an image. If that fails, it logs a warning, and the image is rendered again
// when it is next requested.
func (c *Cache) Put(key string, b []byte) {
	if err := c.put(key, b); err != nil {
		c.log.Warn("cannot cache a rendered image", "err", fsx.WithoutPath(err))
		return
	}
	if c.size.Add(int64(len(b)+checksumSize)) > c.max.Load() {
		c.trim()
	}
}

func (c *Cache) put(key string, b []byte) error {
	c.writing.RLock()
	defer c.writing.RUnlock()
	if c.closed {
		return nil
	}
	path := c.path(key)
	temp, err := create(filepath.Dir(path), withChecksum(b))
	if errors.Is(err, fs.ErrNotExist) { // the first image of its folder
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			temp, err = create(filepath.Dir(path), withChecksum(b))
		}
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil && temp != "" {
		os.Remove(temp)
	}
	return err
}

// create writes a new file in a folder, and returns its path, also if it is incomplete.
func create(dir string, b []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	return f.Name(), errors.Join(err, f.Close())
}

func (c *Cache) path(key string) string {
	return filepath.Join(c.dir, key[:2], key+".jpg")
}

type cachedFile struct {
	path string
	size int64
	used time.Time
}

// trim evicts the least recently used images until a tenth of the limit is free.
func (c *Cache) trim() {
	if !c.sweep.TryLock() {
		return // already running
	}
	defer c.sweep.Unlock()
	c.writing.RLock()
	defer c.writing.RUnlock()
	if c.closed || c.size.Load() <= c.max.Load() {
		return
	}
	all := c.list()
	slices.SortFunc(all, func(a, b cachedFile) int { return a.used.Compare(b.used) })
	most := c.max.Load()
	var total int64
	for _, e := range all {
		total += e.size
	}
	for _, e := range all {
		if total <= most-most/10 {
			break
		}
		if err := os.Remove(e.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("cannot remove an image from the cache", "err", fsx.WithoutPath(err))
			continue
		}
		total -= e.size
		c.evicted.Add(1)
	}
	c.size.Store(total)
}

func (c *Cache) list() []cachedFile {
	var all []cachedFile
	filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // unreadable files are not counted
		}
		fi, err := d.Info()
		if err != nil {
			return nil
		}
		if strings.HasPrefix(d.Name(), ".new-") && time.Since(fi.ModTime()) > usedEvery {
			os.Remove(path) // left behind by a killed process
			return nil
		}
		all = append(all, cachedFile{path, fi.Size(), fi.ModTime()})
		return nil
	})
	return all
}
