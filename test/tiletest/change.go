package tiletest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// replaced replaces a slide that is open with another, in every way a file can be replaced.
// As soon as the server can notice, it must not send old bytes, and must send new ones only
// with their own revision.
func replaced(t *testing.T, site *Site, base string) {
	for _, how := range []struct {
		name    string
		replace func(t *testing.T, path, other string)
		wait    time.Duration // until the server must know
	}{
		{"overwritten in place", overwrite, 0},
		{"renamed over", func(t *testing.T, path, other string) { mustDo(t, os.Rename(other, path)) }, tile.PathCheck + 200*time.Millisecond},
		{"truncated", func(t *testing.T, path, _ string) { mustDo(t, os.Truncate(path, 4096)) }, 0},
		{"truncated and its time put back", func(t *testing.T, path, _ string) {
			fi, err := os.Stat(path)
			mustDo(t, err)
			mustDo(t, os.Truncate(path, 4096))
			mustDo(t, os.Chtimes(path, fi.ModTime(), fi.ModTime()))
		}, 0},
		{"removed", func(t *testing.T, path, _ string) { mustDo(t, os.Remove(path)) }, tile.PathCheck + 200*time.Millisecond},
	} {
		t.Run(how.name, func(t *testing.T) {
			path, other := filepath.Join(site.Dir, "r.tiff"), filepath.Join(site.Dir, "other.part")
			write(t, synth.Philips{Seed: 10, Width: 275, Height: 225}, path)
			write(t, synth.Philips{Seed: 11, Width: 275, Height: 225}, other)
			site.Add(t, "r", "r.tiff")
			im, err := site.Tiles.Image("r")
			mustDo(t, err)
			url := base + "/api/v1/images/r/tiles/0/0/0.jpg?v=" + im.File.Revision
			before := get(t, url)
			if before.status != 200 {
				t.Fatalf("before: status %d: %s", before.status, before.body)
			}
			how.replace(t, path, other)
			time.Sleep(how.wait)
			after := get(t, url)
			if after.status != 503 || after.header.Get("Retry-After") == "" || after.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("after: status %d, Retry-After %q, Cache-Control %q: want 503, to be asked again, not to be kept", after.status, after.header.Get("Retry-After"), after.header.Get("Cache-Control"))
			}
			if got := ask(t, "GET", url, "If-None-Match", before.header.Get("ETag")); got.status != 503 {
				t.Errorf("after, with the old ETag: status %d, want 503", got.status)
			}
			select {
			case id := <-site.changed:
				if id != "r" {
					t.Errorf("notified of image %q, want r", id)
				}
			case <-time.After(time.Second):
				t.Error("the change of the file was not reported")
			}
			drain(site.changed)
			if _, err := os.Stat(path); err != nil || fileSize(path) < 5000 {
				os.Remove(path)
				site.Tiles.Delete("r")
				return
			}
			site.Add(t, "r", "r.tiff") // as an inspection of the file would
			if got := get(t, url); got.status != 404 {
				t.Errorf("old revision: status %d, want 404", got.status)
			}
			im, _ = site.Tiles.Image("r")
			want, _ := site.Slides["r"].AppendTile(nil, site.Slides["r"].Zooms[0].Level, 0, 0)
			got := get(t, base+"/api/v1/images/r/tiles/0/0/0.jpg?v="+im.File.Revision)
			if got.status != 200 || !bytes.Equal(got.body, want) || bytes.Equal(got.body, before.body) {
				t.Errorf("new revision: status %d, %d bytes, want the new slide's %d", got.status, len(got.body), len(want))
			}
			site.Tiles.Delete("r")
		})
	}
}

// noFile replaces a slide with an unreadable file before it is opened. Every client must get
// an answer, and other slides must be served.
func noFile(t *testing.T, site *Site, base string) {
	for _, what := range []struct {
		name string
		put  func(path string) error
	}{
		{"a named pipe", func(path string) error { return unix.Mkfifo(path, 0o644) }},
		{"a link to a device", func(path string) error { return os.Symlink("/dev/zero", path) }},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o755) }},
	} {
		t.Run(what.name, func(t *testing.T) {
			path := filepath.Join(site.Dir, "n.tiff")
			write(t, synth.Philips{Seed: 12, Width: 150, Height: 125}, path)
			site.Add(t, "n", "n.tiff")
			mustDo(t, os.Remove(path))
			mustDo(t, what.put(path))
			for range 70 { // more than are opened at once
				got := get(t, base+"/api/v1/images/n/tiles/0/0/0.jpg")
				if got.status != 503 || got.header.Get("Retry-After") == "" {
					t.Fatalf("status %d, Retry-After %q, want 503, to be asked again", got.status, got.header.Get("Retry-After"))
				}
			}
			if got := get(t, base+"/api/v1/images/a/tiles/0/0/0.jpg"); got.status != 200 {
				t.Errorf("another slide: status %d", got.status)
			}
			select {
			case <-site.changed:
			default:
				t.Error("the change of the file was not reported")
			}
			drain(site.changed)
			site.Tiles.Delete("n")
			mustDo(t, os.Remove(path))
		})
	}
}

func overwrite(t *testing.T, path, other string) {
	b, err := os.ReadFile(other)
	mustDo(t, err)
	mustDo(t, os.WriteFile(path, b, 0o644))
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

func drain(c <-chan string) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}

// damaged requests a tile whose bytes are not a JPEG, and its neighbors.
func damaged(t *testing.T, site *Site, base string) {
	path := filepath.Join(site.Dir, "d.tiff")
	write(t, synth.Philips{Seed: 3, Width: 275, Height: 225}, path)
	site.Add(t, "d", "d.tiff")
	s := site.Slides["d"]
	x, y := firstTile(t, s)
	stored, err := s.AppendTile(nil, 0, x, y)
	mustDo(t, err)
	b, err := os.ReadFile(path)
	mustDo(t, err)
	at := bytes.Index(b, stored[len(stored)-200:])
	start := bytes.LastIndex(b[:at], []byte{0xff, 0xd8, 0xff})
	if at < 0 || start < 0 {
		t.Fatal("the tile's bytes are not found in its file")
	}
	copy(b[start:], make([]byte, 64))
	mustDo(t, os.WriteFile(path, b, 0o644))
	site.Add(t, "d", "d.tiff")
	z := len(s.Zooms) - 1
	got := get(t, fmt.Sprintf("%s/api/v1/images/d/tiles/%d/%d/%d", base, z, x, y))
	if got.status != 502 || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("damaged tile: status %d, %s, %s: want a problem of status 502 that is not kept", got.status, got.header.Get("Content-Type"), got.header.Get("Cache-Control"))
	}
	if bytes.Contains(got.body, []byte("d.tiff")) || bytes.Contains(got.body, []byte(site.Dir)) {
		t.Errorf("the problem names the file: %s", got.body)
	}
	if got := get(t, base+"/api/v1/images/d/tiles/0/0/0"); got.status != 200 {
		t.Errorf("another tile of the damaged slide: status %d, want 200", got.status)
	}
	if got := get(t, fmt.Sprintf("%s/dzi/d_files/%d/%d_%d.jpg", base, tile.DeepZoomLevels(s.Levels[0].Width, s.Levels[0].Height), x, y)); got.status != 502 {
		t.Errorf("damaged tile by deep zoom: status %d, want 502", got.status)
	}
	site.Tiles.Delete("d")
}

// underLoad overwrites slide A with slide B and back, many times, while clients request tiles
// by revision. An answer of 200 must have the bytes of its revision; all other answers must
// be errors.
func underLoad(t *testing.T, site *Site, base string) {
	path := filepath.Join(site.Dir, "l.tiff")
	var files [2][]byte
	for i := range files {
		p := filepath.Join(t.TempDir(), "x.tiff")
		write(t, synth.Philips{Seed: uint64(20 + i), Width: 375, Height: 275}, p)
		b, err := os.ReadFile(p)
		mustDo(t, err)
		files[i] = b
	}
	mustDo(t, os.WriteFile(path, files[0], 0o644))
	site.Add(t, "l", "l.tiff")
	x, y := firstTile(t, site.Slides["l"])
	z := len(site.Slides["l"].Zooms) - 1
	var tilesOf [2][]byte
	for i, b := range files {
		s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
		mustDo(t, err)
		tilesOf[i], err = s.AppendTile(nil, 0, x, y)
		mustDo(t, err)
	}
	if bytes.Equal(tilesOf[0], tilesOf[1]) {
		t.Fatal("the two slides have the same tile")
	}
	var truth sync.Map // revision → which slide it is
	note := func(n int) {
		im, err := site.Tiles.Image("l")
		mustDo(t, err)
		truth.Store(im.File.Revision, n)
	}
	note(0)

	var wrong, right, refused atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				im, err := site.Tiles.Image("l")
				if err != nil {
					continue
				}
				rev := im.File.Revision
				got := get(t, fmt.Sprintf("%s/api/v1/images/l/tiles/%d/%d/%d?v=%s", base, z, x, y, rev))
				n, known := truth.Load(rev)
				switch {
				case got.status != 200:
					refused.Add(1)
				case !known: // recorded a moment later
				case bytes.Equal(got.body, tilesOf[n.(int)]):
					right.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	for i := 1; i <= 60; i++ {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		mustDo(t, err)
		b := files[i%2]
		for off := 0; off < len(b); off += 1 << 12 { // in pieces, as a copy does
			_, err := f.WriteAt(b[off:min(len(b), off+1<<12)], int64(off))
			mustDo(t, err)
		}
		mustDo(t, f.Truncate(int64(len(b))))
		mustDo(t, f.Close())
		site.Add(t, "l", "l.tiff")
		note(i % 2)
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	drain(site.changed)
	if wrong.Load() > 0 {
		t.Errorf("%d answers held another slide's tile under the revision asked for", wrong.Load())
	}
	if right.Load() == 0 {
		t.Errorf("no answer was right (%d refused): nothing was tried", refused.Load())
	}
	t.Logf("%d right, %d refused", right.Load(), refused.Load())
	site.Tiles.Delete("l")
}
