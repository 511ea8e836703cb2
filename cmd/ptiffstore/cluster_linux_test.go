package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/test/pgtest"
	"github.com/slideatlas/ptiffstore/test/s3test"
)

// A cluster is three servers and two workers, each on a host of its own, with one database and one
// bucket. The database is reached by a socket in the file system, the bucket over the network.
type cluster struct {
	*testing.T
	router  *host // where the clients are
	storage *host
	hosts   [5]*host
	servers [3]*process
	workers [2]*process
	flags   []string
	cache   string       // on a disk that is full
	store   string       // id
	delay   atomic.Int64 // of each request to the bucket, in nanoseconds

	s3      *s3test.Server
	inPlace string // bucket of a store that is only read

	tiles  []clusterTile // that clients ask for
	outage atomic.Bool   // the bucket does not answer
	gentle atomic.Bool   // servers are stopped gently: clients may only find them closed
	asked  atomic.Int64
	busy   atomic.Int64 // answers 503
}

// A clusterTile is a tile with its bytes.
type clusterTile struct{ path, want string }

// clusterAddr is the address of the clients.
const clusterAddr = "10.78.0.1"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	s3test.Env(t)
	mount := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(mount, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, router: newHost(t, "router", mount), cache: t.TempDir()}
	c.router.ip("addr add " + clusterAddr + "/32 dev lo")
	if err := c.router.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) }); err != nil {
		t.Skipf("a network namespace cannot forward here: %v", err)
	}
	if err := unix.Mount("tmpfs", c.cache, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(c.cache, unix.MNT_DETACH) })
	c.storage = newHost(t, "storage", mount)
	c.router.connect(c.storage, "tostorage", "10.78.1")
	for i := range c.hosts {
		c.hosts[i] = newHost(t, fmt.Sprintf("host-%d", i), mount)
		c.router.connect(c.hosts[i], fmt.Sprintf("tohost%d", i), fmt.Sprintf("10.78.%d", 10+i))
	}
	server := s3test.New(t)
	c.s3, c.inPlace = server, server.Bucket(t)
	c.forward(strings.TrimPrefix(server.URL, "http://"))
	database := pgtest.New(t)
	createCatalog(t, &databaseFlags{Database: database})
	c.flags = []string{"--database", database, "--s3-endpoint", "http://" + c.storage.addr + ":7070", "--s3-path-style"}
	c.store = c.hosts[0].run(append([]string{"store", "add", "s3://" + server.Bucket(t) + "/archive", "--managed", "--label", "Archive"}, c.flags...)...)
	for i := range c.servers {
		c.serve(i)
	}
	for i := range c.workers {
		c.work(i)
	}
	return c
}

// forward makes the S3 server reachable at the storage host.
func (c *cluster) forward(to string) {
	c.Helper()
	var l net.Listener
	if err := c.storage.do(func() (err error) {
		l, err = net.Listen("tcp", c.storage.addr+":7070")
		return err
	}); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go c.pipe(from, to)
		}
	}()
}

// pipe passes the bytes of a connection on; each piece of a request waits for the delay.
func (c *cluster) pipe(from net.Conn, to string) {
	defer from.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	go func() {
		defer server.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			time.Sleep(time.Duration(c.delay.Load()))
			if n > 0 {
				if _, err := server.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	io.Copy(from, server) //nolint:errcheck // an end of the connection
}

// serve starts server i. The disk of the first one's cache is full.
func (c *cluster) serve(i int) {
	c.Helper()
	args := append([]string{"serve", "--listen", c.hosts[i].addr + ":8080", "--no-worker", "--insecure-no-auth"}, c.flags...)
	if i == 0 {
		args = append(args, "--bucket-cache", c.cache)
	}
	c.servers[i] = c.hosts[i].launch(args...)
	c.servers[i].client = c.router.client
}

// work starts worker i.
func (c *cluster) work(i int) {
	c.Helper()
	c.workers[i] = c.hosts[3+i].launch(append([]string{"worker"}, c.flags...)...)
}

// upload starts the upload of a file to a server. The result is what it prints.
func (c *cluster) upload(file string, server int) (wait func() string) {
	c.Helper()
	cmd := c.router.command("upload", file, "--to", c.servers[server].url, "--store", c.store, "--state-dir", c.TempDir(), "--json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := c.router.do(cmd.Start); err != nil {
		c.Fatal(err)
	}
	return func() string {
		c.Helper()
		if err := cmd.Wait(); err != nil {
			c.Errorf("upload: %v: %s %s", err, &out, &errs)
		}
		return out.String()
	}
}

// add uploads a slide, and returns its tiles.
func (c *cluster) add(f *slideFile) (tiles []clusterTile) {
	c.Helper()
	var got struct{ Items []uploaded }
	out := c.upload(f.file(c.T), 0)()
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Items) != 1 || got.Items[0].State != "available" {
		c.Fatalf("upload: %v: %s", err, out)
	}
	s := f.open(c.T)
	for z, zoom := range s.Zooms {
		for i := range zoom.Columns * zoom.Rows {
			x, y := i%zoom.Columns, i/zoom.Columns
			if zoom.Level < 0 {
				continue
			}
			b, err := s.AppendTile(nil, zoom.Level, x, y)
			if err != nil || len(b) == 0 {
				continue // of bare glass
			}
			tiles = append(tiles, clusterTile{fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d.jpg", *got.Items[0].Image, z, x, y), string(b)})
		}
	}
	return tiles
}

// fetch asks a server for a tile.
func (c *cluster) fetch(server int, path string) (answer, error) {
	resp, err := c.router.client.Get(c.servers[server].url + path)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b)}, err
}

// view asks for random tiles until stop is closed, as clients behind a proxy do that sends what one
// server cannot answer to the next. Each must come, with the right bytes, unless the bucket does
// not answer.
func (c *cluster) view(urls []string, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		time.Sleep(3 * time.Millisecond) // a viewer is not a benchmark
		tile, outage := c.tiles[rand.N(len(c.tiles))], c.outage.Load()
		first, why := rand.N(len(urls)), []error{}
		for i := range urls {
			resp, err := c.router.client.Get(urls[(first+i)%len(urls)] + tile.path)
			if err != nil {
				if dial, ok := errors.AsType[*net.OpError](err); c.gentle.Load() && (!ok || dial.Op != "dial") {
					return fmt.Errorf("%s: a request that had begun is lost: %w", tile.path, err)
				}
				why = append(why, err)
				continue
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case err != nil && c.gentle.Load():
				return fmt.Errorf("%s: an answer that had begun is cut short: %w", tile.path, err)
			case err != nil:
				why = append(why, err)
			case resp.StatusCode == http.StatusOK && string(b) == tile.want:
				c.asked.Add(1)
				why = nil
			case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
				why = append(why, fmt.Errorf("503 %s", b))
			default:
				return fmt.Errorf("%s: %d, %d bytes, want %d", tile.path, resp.StatusCode, len(b), len(tile.want))
			}
			if why == nil {
				break
			}
		}
		if why != nil {
			c.busy.Add(1)
			if !outage && !c.outage.Load() {
				return fmt.Errorf("%s: no server answers: %w", tile.path, errors.Join(why...))
			}
		}
	}
}

// under runs f while clients view tiles, and expects none of them to fail.
func (c *cluster) under(what string, f func()) {
	c.Helper()
	stop, urls := make(chan struct{}), []string{c.servers[0].url, c.servers[1].url, c.servers[2].url}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			if err := c.view(urls, stop); err != nil {
				c.Errorf("%s: %v", what, err)
			}
		})
	}
	before := c.asked.Load()
	f()
	for began := time.Now(); c.asked.Load() < before+50 && time.Since(began) < soon; { // each phase has some
		time.Sleep(10 * time.Millisecond)
	}
	close(stop)
	clients.Wait()
	c.Logf("%s: %d tiles, %d answers 503", what, c.asked.Load()-before, c.busy.Swap(0))
}

// allAvailable expects so many images, all available.
func (c *cluster) allAvailable(what string, n int) {
	c.Helper()
	images := c.servers[2].images()
	if len(images) != n {
		c.Errorf("%s: %d images, want %d", what, len(images), n)
	}
	for name, im := range images {
		if im.State != "available" {
			c.Errorf("%s: %s is %s", what, name, im.State)
		}
	}
}

// replace replaces a slide of a store that is only read, while clients view it: one revision has the
// tiles of one slide.
func (c *cluster) replace() {
	c.Helper()
	var slides [2]*slideFile
	var tiles [2]string
	for i := range slides {
		slides[i] = &slideFile{name: fmt.Sprintf("replaced-%d.tiff", i), make: synth.Philips{Seed: uint64(40 + i), Width: 1100, Height: 900}.Write}
		b, err := slides[i].open(c.T).AppendTile(nil, 0, 0, 0)
		if err != nil {
			c.Fatal(err)
		}
		tiles[i] = string(b)
	}
	c.s3.Put(c.T, c.inPlace, "replaced.tiff", slides[0].bytes(c.T))
	store := c.hosts[0].run(append([]string{"store", "add", "s3://" + c.inPlace}, c.flags...)...)
	path, revision := "", map[string]string{}
	c.servers[2].until("the slide that will be replaced", func() bool {
		im := c.servers[2].images()["replaced.tiff"]
		if im.State != "available" {
			return false
		}
		path = fmt.Sprintf("/api/v1/images/%s/tiles/%d/0/0.jpg", im.ID, *im.MaxZoom)
		return true
	})
	for n := range 5 { // the last slide is another than the first
		c.s3.Put(c.T, c.inPlace, "replaced.tiff", slides[(n+1)%2].bytes(c.T))
		c.servers[n%3].sync(store)
		for i := range 30 {
			a, err := c.fetch(i%3, path)
			switch tag := a.header.Get("Etag"); {
			case err != nil:
				c.Errorf("a slide that is replaced: %v", err)
			case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
			case a.status != http.StatusOK || a.body != tiles[0] && a.body != tiles[1]:
				c.Errorf("a slide that is replaced: %d, %d bytes", a.status, len(a.body))
			case revision[tag] != "" && revision[tag] != a.body:
				c.Errorf("the revision %s has tiles of two slides", tag)
			default:
				revision[tag] = a.body
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	c.servers[0].until("the slide that replaced it", func() bool {
		a, err := c.fetch(0, path)
		if err == nil && a.status == http.StatusOK {
			revision[a.header.Get("Etag")] = a.body
		}
		return err == nil && a.body == tiles[1]
	})
	if len(revision) < 2 {
		c.Errorf("%d revisions were seen, want several", len(revision))
	}
	c.Logf("a slide is replaced: %d revisions", len(revision))
}

// fullCluster makes TestCluster cut the bucket off for as long as it does in make test-long.
var fullCluster = os.Getenv("PTIFFSTORE_LONG") != "" // TestMain unsets it

// cutOff is how long the bucket is cut off.
func cutOff() time.Duration {
	if fullCluster {
		return 30 * time.Second
	}
	return 3 * time.Second
}

// TestCluster kills and restarts each process of a cluster, restarts all servers in turn, slows the
// bucket down, and cuts it off, while clients view slides and one uploads: no tile has wrong bytes,
// none is lost, tiles that are cached come even without the bucket, and no slide is taken for
// missing. The disk of one server's cache is full all the time.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	for i := range 2 {
		f := &slideFile{name: fmt.Sprintf("cluster-%d.tiff", i), make: synth.Philips{Seed: uint64(20 + i), Width: 1500, Height: 1100}.Write}
		c.tiles = append(c.tiles, c.add(f)...)
	}
	cold := c.add(&slideFile{name: "cold.tiff", make: synth.Philips{Seed: 30, Width: 1100, Height: 900}.Write})
	large := filepath.Join(t.TempDir(), "large.tiff")
	if err := os.WriteFile(large, append(plain.bytes(t), make([]byte, 50<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}

	uploading := c.upload(large, 1)
	c.under("servers are killed", func() {
		for i := range c.servers {
			c.servers[i].end(syscall.SIGKILL)
			c.serve(i)
		}
	})
	c.gentle.Store(true)
	c.under("servers are restarted in turn", func() {
		for i := range c.servers {
			c.servers[i].end(syscall.SIGTERM)
			c.serve(i)
		}
	})
	c.gentle.Store(false)
	if out := uploading(); !strings.Contains(out, `"available"`) {
		t.Errorf("the upload that was interrupted: %s", out)
	}
	c.under("workers are killed", func() {
		for i := range c.workers {
			c.servers[0].sync(c.store)
			c.workers[i].end(syscall.SIGKILL)
			c.work(i)
			c.servers[0].sync(c.store)
		}
	})
	c.delay.Store(int64(200 * time.Millisecond))
	c.under("the bucket is slow", func() { time.Sleep(time.Second) })
	c.delay.Store(0)
	c.replace()
	var disk unix.Statfs_t
	if err := unix.Statfs(c.cache, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) > 128<<10 { //nolint:gosec // positive
		t.Errorf("the disk of the cache is not full: %d bytes are free, %v", disk.Bavail*uint64(disk.Bsize), err) //nolint:gosec // positive
	}
	c.allAvailable("before the cut", 5)

	for i := range c.servers { // every server has it in memory
		if a, err := c.fetch(i, c.tiles[0].path); err != nil || a.body != c.tiles[0].want {
			t.Fatalf("%d %v", a.status, err)
		}
	}
	c.outage.Store(true)
	c.router.ip("link set tostorage down")
	c.under("the bucket is cut off", func() {
		time.Sleep(cutOff())
		for i := range c.servers {
			if a, err := c.fetch(i, c.tiles[0].path); err != nil || a.status != http.StatusOK || a.body != c.tiles[0].want {
				t.Errorf("a cached tile from server %d: %d %v", i, a.status, err)
			}
			a, err := c.fetch(i, cold[len(cold)-1].path)
			if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
				t.Errorf("another tile from server %d: %d %v", i, a.status, err)
			}
		}
		c.allAvailable("during the cut", 5)
		if fullCluster { // a bucket counts as unreachable after several requests, each of which takes seconds
			c.servers[1].until("the metrics say that the bucket is unreachable", func() bool {
				c.fetch(1, cold[0].path) //nolint:errcheck // it fails
				a, err := c.fetch(1, "/metrics")
				return err == nil && strings.Contains(a.body, "\nptiffstore_buckets_unreachable 1")
			})
		}
	})
	c.router.ip("link set tostorage up")
	back := time.Now()
	for i := range c.servers {
		c.servers[i].until("the bucket answers again", func() bool {
			a, err := c.fetch(i, cold[len(cold)-1].path)
			return err == nil && a.status == http.StatusOK && a.body == cold[len(cold)-1].want
		})
	}
	t.Logf("all servers had recovered %v after the cut of %v", time.Since(back).Round(time.Millisecond), cutOff())
	c.outage.Store(false)
	c.under("after the cut", func() { c.servers[0].sync(c.store) })
	c.allAvailable("at the end", 5)
}
