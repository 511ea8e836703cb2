package rendercache

import (
	"bytes"
	"errors"
	"fmt"
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

// A Cache keeps made pictures in a folder, bounded in bytes: when there is too
// much, what was longest unused goes first. Nothing in it is the only copy of
// anything, and the folder may be emptied at any time.
//
// The layout is {folder}/{first two letters of the key}/{key}.jpg.
type Cache struct {
	dir  string
	max  atomic.Int64
	log  *slog.Logger
	size atomic.Int64
	// counted is closed once size has what was there at the start. What is put meanwhile
	// may be in it twice, until the cache is trimmed.
	counted chan struct{}
	sweep   sync.Mutex
	// writing is held for reading by whatever changes the folder, and by Close.
	writing sync.RWMutex
	closed  bool // under writing

	hits, misses, evicted atomic.Int64
}

// CacheStats are figures for an operator. The counts are since the start.
type CacheStats struct {
	Bytes, MaxBytes int64 // kept, and the bound
	Hits, Misses    int64 // pictures that were asked for and kept, and not kept
	Evicted         int64 // pictures removed to make room
}

// Stats returns figures as of now.
func (c *Cache) Stats() CacheStats {
	return CacheStats{Bytes: c.size.Load(), MaxBytes: c.max.Load(), Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load()}
}

// usedEvery is how exactly the last use of a picture is known: its mtime is
// brought up to date no more often.
const usedEvery = time.Hour

// OpenCache makes dir if need be and counts what is in it. Pictures show
// patients' tissue: the folder is for its owner alone.
func OpenCache(dir string, maxBytes int64, log *slog.Logger) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("rendercache: cache folder: %w", err)
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

// Bound sets another bound, and removes what is more.
func (c *Cache) Bound(maxBytes int64) {
	c.max.Store(maxBytes)
	go c.trim()
}

// Get returns a kept picture, nil if it is not there or not whole.
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
	if !bytes.HasPrefix(b, []byte{0xff, 0xd8}) || !bytes.HasSuffix(b, []byte{0xff, 0xd9}) {
		os.Remove(path) // cut off by a crash of the machine: it is made again
		return nil
	}
	if fi, err := os.Stat(path); err == nil && time.Since(fi.ModTime()) > usedEvery {
		now := time.Now()
		os.Chtimes(path, now, now) // only the order of removal depends on it
	}
	return b
}

// Put keeps a picture. A failure costs that it is made again.
func (c *Cache) Put(key string, b []byte) {
	if err := c.put(key, b); err != nil {
		c.log.Warn("made picture not kept", "err", fsx.WithoutPath(err))
		return
	}
	if c.size.Add(int64(len(b))) > c.max.Load() {
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
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (c *Cache) path(key string) string {
	return filepath.Join(c.dir, key[:2], key+".jpg")
}

type kept struct {
	path string
	size int64
	used time.Time
}

// trim removes the pictures longest unused until a tenth of the bound is free.
func (c *Cache) trim() {
	if !c.sweep.TryLock() {
		return // somebody is at it
	}
	defer c.sweep.Unlock()
	c.writing.RLock()
	defer c.writing.RUnlock()
	if c.closed || c.size.Load() <= c.max.Load() {
		return
	}
	all := c.list()
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
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
			c.log.Warn("made picture not removed", "err", fsx.WithoutPath(err))
			continue
		}
		total -= e.size
		c.evicted.Add(1)
	}
	c.size.Store(total)
}

func (c *Cache) list() []kept {
	var all []kept
	filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what cannot be read is not counted
		}
		fi, err := d.Info()
		if err != nil {
			return nil
		}
		if strings.HasPrefix(d.Name(), ".new-") && time.Since(fi.ModTime()) > usedEvery {
			os.Remove(path) // left by a process that was killed
			return nil
		}
		all = append(all, kept{path, fi.Size(), fi.ModTime()})
		return nil
	})
	return all
}
