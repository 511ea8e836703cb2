package rendercache

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func jpegOf(n int) []byte {
	b := bytes.Repeat([]byte{7}, n)
	copy(b, []byte{0xff, 0xd8})
	copy(b[n-2:], []byte{0xff, 0xd9})
	return b
}

func openCache(t *testing.T, max int64) *Cache {
	t.Helper()
	c, err := OpenCache(filepath.Join(t.TempDir(), "c"), max, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	<-c.counted
	return c
}

func TestCacheStores(t *testing.T) {
	c := openCache(t, 1<<20)
	want := jpegOf(500)
	if got := c.Get("rev-z1-0-0"); got != nil {
		t.Fatalf("empty cache holds %d bytes", len(got))
	}
	c.Put("rev-z1-0-0", want)
	if got := c.Get("rev-z1-0-0"); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	if got, want := c.Stats(), (CacheStats{Bytes: 504, MaxBytes: 1 << 20, Hits: 1, Misses: 1}); got != want {
		t.Errorf("figures %+v, want %+v", got, want)
	}
}

// A crash of the host can leave a file that has its name but not its contents.
func TestCacheDiscardsIncompleteImages(t *testing.T) {
	whole := withChecksum(jpegOf(100))
	hole, bit := bytes.Clone(whole), bytes.Clone(whole)
	clear(hole[20:60])
	bit[50] ^= 1
	for name, b := range map[string][]byte{
		"empty": {}, "zeros": make([]byte, 100), "cut": whole[:60], "a hole": hole, "one bit": bit, "no checksum": jpegOf(100), "cut in the checksum": whole[:len(whole)-1],
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, 1<<20)
			c.Put("rev-a", jpegOf(100))
			if err := os.WriteFile(c.path("rev-a"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := c.Get("rev-a"); got != nil {
				t.Errorf("got %d bytes of an incomplete image", len(got))
			}
			if _, err := os.Stat(c.path("rev-a")); !os.IsNotExist(err) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

func TestCacheBound(t *testing.T) {
	const max, each = 100_000, 1000
	c := openCache(t, max)
	for i := range 300 {
		key := fmt.Sprintf("rev-%03d", i)
		c.Put(key, jpegOf(each))
		// Files of one second would have no order.
		at := time.Now().Add(time.Duration(i-1000) * time.Second)
		os.Chtimes(c.path(key), at, at)
	}
	var total int64
	for _, e := range c.list() {
		total += e.size
	}
	if total > max {
		t.Errorf("%d bytes are cached, the limit is %d", total, max)
	}
	if s := c.Stats(); s.Bytes > max || s.Evicted < 300-max/each {
		t.Errorf("figures %+v: more than the limit, or too few removed", s)
	}
	if c.Get("rev-299") == nil {
		t.Error("the newest image was evicted")
	}
	if c.Get("rev-000") != nil {
		t.Error("the oldest image was not evicted")
	}
}

// TestCacheClosed puts an image into a closed cache: an abandoned rendering may end after
// the server has ended.
func TestCacheClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	c, err := OpenCache(dir, 1<<20, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Put("abc", []byte{0xff, 0xd8, 0xff, 0xd9})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder of a closed cache has %v, %v, want nothing", entries, err)
	}
}
