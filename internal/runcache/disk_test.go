package runcache

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// files returns the files of runs in a folder.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// written closes a cache when it has written its runs.
func written(t *testing.T, c *Cache, dir string, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(files(t, dir)) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d files, want %d", len(files(t, dir)), n)
		}
	}
	c.Close()
}

// TestDisk opens a cache again: runs come from the disk, also those that begin at other tiles, unless a
// file is damaged, of another revision, or gone.
func TestDisk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string, all []string)
		col    int
		reads  int
	}{
		{"the same", nil, 10, 0},
		{"another tile of it", nil, 11, 0},
		{"its last tile", nil, 13, 0},
		{"its first tile", nil, 0, 0},
		{"of two runs", nil, 6, 0},
		{"the tile beside it", nil, 16, 1},
		{"bit flipped", func(t *testing.T, _ string, all []string) { flip(t, all) }, 10, 1},
		{"cut", func(t *testing.T, _ string, all []string) {
			for _, path := range all {
				if err := os.Truncate(path, 1000); err != nil {
					t.Fatal(err)
				}
			}
		}, 10, 1},
		{"renamed", func(t *testing.T, _ string, all []string) {
			if err := os.Rename(all[0], all[1]); err != nil {
				t.Fatal(err)
			}
		}, 10, 1},
		{"deleted", func(t *testing.T, dir string, _ []string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, 10, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			r, s := newRemote(t)
			r.delay = 0
			c, err := New(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			for _, col := range []int{10, 4} { // 6-13, 0-5
				if err := get(t.Context(), t, c, s, col, 1); err != nil {
					t.Fatal(err)
				}
			}
			written(t, c, dir, 2)
			if tt.change != nil {
				tt.change(t, dir, files(t, dir))
			}
			before := r.count()
			again := newCache(t, Options{Dir: dir})
			if err := get(t.Context(), t, again, s, tt.col, 1); err != nil {
				t.Fatal(err)
			}
			if n := r.count() - before; n != tt.reads || again.Stats().DiskHits != int64(1-tt.reads) {
				t.Errorf("%d reads, want %d; %+v", n, tt.reads, again.Stats())
			}
			other := *s
			other.Revision = "r2"
			before = r.count()
			if err := get(t.Context(), t, again, &other, 10, 1); err != nil || r.count() != before+1 {
				t.Errorf("another revision: %v, %d reads", err, r.count()-before)
			}
		})
	}
}

// flip changes a bit of each file.
func flip(t *testing.T, all []string) {
	t.Helper()
	for i, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[(i*7919+500)%len(b)] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskLimit writes more than fits, from two caches that share the folder: the least recently used
// files are removed.
func TestDiskLimit(t *testing.T) {
	dir := t.TempDir()
	r, s := newRemote(t)
	r.delay = 0
	e, err := s.Extent(0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	limit := int64(e.Size) * 30
	old := filepath.Join(dir, ".new-1")
	if err := os.WriteFile(old, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*usedEvery)); err != nil {
		t.Fatal(err)
	}
	a, b := newCache(t, Options{Dir: dir, DirBytes: limit}), newCache(t, Options{Dir: dir, DirBytes: limit})
	for i, c := range []*Cache{a, b} {
		for row := range 3 {
			for _, col := range []int{4, 12, 18} {
				other := *s
				other.ID = string(rune('a' + i))
				if err := get(t.Context(), t, c, &other, col, row); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	total := func() (n int64) {
		for _, f := range a.disk.list() {
			n += f.size
		}
		return n
	}
	for end := time.Now().Add(10 * time.Second); len(a.disk.queue)+len(b.disk.queue) > 0 || total() > limit; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes, the limit is %d", total(), limit)
		}
	}
	if n := total(); n < limit/3 {
		t.Errorf("%d bytes of %d are left", n, limit)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("an old incomplete file is left")
	}
	a.Forget("a")
	a.Forget("b")
	if n := total(); n != 0 {
		t.Errorf("%d bytes after both images were forgotten", n)
	}
}
