package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

const (
	bucketDelay = 20 * time.Millisecond // to the bucket, in the figures that say so
	// A screen of 512 px tiles.
	screenColumns, screenRows = 6, 4
	sessionDives, sessionPans = 6, 12
)

// A bucketReport has the figures of the section.
type bucketReport struct {
	inspection              traffic
	first                   time.Duration // from the start of a server to the first inspected tile
	coldTile, screen        traffic
	screenTime              time.Duration
	session                 traffic
	sessionTiles            int
	sessionBytes            int64 // of the tiles
	servers                 []*server
	rates                   []round
	keys                    int
	sync, again             traffic
	syncTook, againTook     time.Duration
	againCPU                time.Duration
	syncMemory, againMemory int64 // bytes
}

// traffic is the requests to a bucket and the bytes of its answers.
type traffic struct{ requests, bytes int64 }

// A bucketProxy counts the requests to a bucket, and delays them.
type bucketProxy struct {
	url             string
	delay           atomic.Int64
	requests, bytes atomic.Int64
	server          *http.Server
}

func startBucketProxy(to string) (*bucketProxy, error) {
	backend, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &bucketProxy{url: "http://" + l.Addr().String()}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host // the signature covers it
		},
		Transport: transport,
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method != http.MethodHead {
				p.bytes.Add(max(0, r.ContentLength))
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		time.Sleep(time.Duration(p.delay.Load()))
		forward.ServeHTTP(w, r)
	})}
	go p.server.Serve(l) //nolint:errcheck // it is closed
	return p, nil
}

// count returns what f asked of the bucket.
func (p *bucketProxy) count(f func() error) (traffic, error) {
	requests, bytes := p.requests.Load(), p.bytes.Load()
	err := f()
	return traffic{p.requests.Load() - requests, p.bytes.Load() - bytes}, err
}

// inBuckets measures slides in a bucket: requests and time of tiles that are not cached, a session of a
// viewer, rates beside the same slide in a folder, and a sync.
func inBuckets(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk"); err != nil {
		return err
	}
	gateway, err := s3test.Start()
	if err != nil {
		return err
	}
	defer gateway.Stop()
	os.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	proxy, err := startBucketProxy(gateway.URL)
	if err != nil {
		return err
	}
	defer proxy.server.Close()
	b := &bucketBench{o: o, gateway: gateway, proxy: proxy, data: filepath.Join(o.work, "bucket-data")}
	if b.fx, err = prepare(o); err != nil {
		return err
	}
	if err := b.fill(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.inspect, b.cold, b.screen, b.session, b.rates, b.syncs} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.buckets(o, b.fx, &b.bucketReport)
	return nil
}

// A bucketBench is the section while it runs.
type bucketBench struct {
	bucketReport
	o       *options
	gateway *s3test.Server
	proxy   *bucketProxy
	fx      *fixture
	data    string
	zoom    int
}

// fill writes the slide and the other objects to buckets.
func (b *bucketBench) fill() error {
	for _, name := range []string{"slides", "many"} {
		if err := b.gateway.MakeBucket(name); err != nil {
			return err
		}
	}
	f, err := os.Open(b.fx.slide)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if err := b.gateway.PutReader("slides", "slide.tiff", f, fi.Size()); err != nil {
		return err
	}
	b.keys = b.o.keys
	small, err := smallSlide(b.o.work)
	if err != nil {
		return err
	}
	var all errgroup.Group
	all.SetLimit(16)
	for i := range b.keys {
		all.Go(func() error {
			return b.gateway.PutReader("many", fmt.Sprintf("%03d/%06d.tiff", i%1000, i), bytes.NewReader(small), int64(len(small)))
		})
	}
	return all.Wait()
}

// serve starts a server with empty caches.
func (b *bucketBench) serve(ctx context.Context, name string, more ...string) (*server, error) {
	args := append([]string{b.o.bin, "serve", "--data", b.data, "--listen", "127.0.0.1:0", "--log-level", "error", "--s3-endpoint", b.proxy.url, "--s3-path-style"}, more...)
	return start(ctx, name, "", append(args, "s3://slides")...)
}

// during runs f with a server with empty caches, and the delay of the bucket.
func (b *bucketBench) during(ctx context.Context, f func(s *server) error) error {
	s, err := b.serve(ctx, "bucket")
	if err != nil {
		return err
	}
	defer s.stop()
	if _, err := b.fx.find(ctx, s.url); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // until the first sync has ended
	b.proxy.delay.Store(int64(bucketDelay))
	defer b.proxy.delay.Store(0)
	return f(s)
}

// inspect measures the inspection of the slide, by the first server that finds it.
func (b *bucketBench) inspect(ctx context.Context) error {
	b.proxy.delay.Store(int64(bucketDelay))
	defer b.proxy.delay.Store(0)
	began := time.Now()
	var err error
	b.inspection, err = b.proxy.count(func() error {
		s, err := b.serve(ctx, "bucket")
		if err != nil {
			return err
		}
		defer s.stop()
		b.zoom, err = b.fx.find(ctx, s.url)
		b.first = time.Since(began)
		return err
	})
	return err
}

// tile requests a tile, and returns its size.
func (b *bucketBench) tile(s *server, zoom, x, y int) (int64, error) {
	resp, err := http.Get(fmt.Sprintf("%sapi/v1/images/%s/tiles/%d/%d/%d.jpg", s.url, b.fx.id, zoom, x, y)) //nolint:noctx // it ends
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("a tile is answered with %s", resp.Status))
	}
	return n, err
}

// show requests the tiles of a screen at once, with the connections of a browser.
func (b *bucketBench) show(s *server, seen map[[3]int]bool, zoom, left, top int) (tiles int, bytes int64, err error) {
	var all errgroup.Group
	all.SetLimit(6)
	var sum atomic.Int64
	columns, rows := b.grid(zoom)
	for y := max(0, top); y < min(top+screenRows, rows); y++ {
		for x := max(0, left); x < min(left+screenColumns, columns); x++ {
			if seen[[3]int{zoom, x, y}] {
				continue
			}
			seen[[3]int{zoom, x, y}] = true
			tiles++
			all.Go(func() error {
				n, err := b.tile(s, zoom, x, y)
				sum.Add(n)
				return err
			})
		}
	}
	err = all.Wait()
	return tiles, sum.Load(), err
}

// grid is the number of columns and rows of tiles at a zoom.
func (b *bucketBench) grid(zoom int) (columns, rows int) {
	shift := b.zoom - zoom
	return max(1, (b.fx.grid[0]+1<<shift-1)>>shift), max(1, (b.fx.grid[1]+1<<shift-1)>>shift)
}

// cold measures one tile of a server that has just started.
func (b *bucketBench) cold(ctx context.Context) error {
	return b.during(ctx, func(s *server) (err error) {
		b.coldTile, err = b.proxy.count(func() error {
			x, y := b.tissue(0)
			_, err := b.tile(s, b.zoom, x, y)
			return err
		})
		return err
	})
}

// screen measures the first screen of a server that has just started.
func (b *bucketBench) screen(ctx context.Context) error {
	return b.during(ctx, func(s *server) (err error) {
		began := time.Now()
		b.bucketReport.screen, err = b.proxy.count(func() error {
			var page any
			if err := getJSON(ctx, s.url+"api/v1/images/"+b.fx.id, &page); err != nil {
				return err
			}
			x, y := b.tissue(0)
			_, _, err := b.show(s, map[[3]int]bool{}, b.zoom, x-screenColumns/2, y-screenRows/2)
			return err
		})
		b.screenTime = time.Since(began)
		return err
	})
}

// session measures a viewer that shows the whole slide, and then dives to the largest zoom at several
// places and moves there.
func (b *bucketBench) session(ctx context.Context) error {
	return b.during(ctx, func(s *server) (err error) {
		b.bucketReport.session, err = b.proxy.count(func() error {
			seen := map[[3]int]bool{}
			for dive := range sessionDives {
				x, y := b.tissue(dive)
				for zoom := max(0, b.zoom-3); zoom <= b.zoom; zoom++ {
					if err := b.look(s, seen, zoom, x>>(b.zoom-zoom), y>>(b.zoom-zoom)); err != nil {
						return err
					}
				}
				for pan := range sessionPans {
					if err := b.look(s, seen, b.zoom, x+2*pan, y+pan); err != nil {
						return err
					}
				}
			}
			return nil
		})
		return err
	})
}

// look shows a screen of a session around a tile. Tiles that the browser has seen are not requested again.
func (b *bucketBench) look(s *server, seen map[[3]int]bool, zoom, x, y int) error {
	n, bytes, err := b.show(s, seen, zoom, x-screenColumns/2, y-screenRows/2)
	b.sessionTiles += n
	b.sessionBytes += bytes
	return err
}

// tissue returns a tile of level 0 with tissue, of those at several places of the slide.
func (b *bucketBench) tissue(place int) (x, y int) {
	t := b.fx.list[(2*place+1)*len(b.fx.list)/(2*sessionDives)]
	if _, err := fmt.Sscanf(t, "%d_%d", &x, &y); err != nil {
		panic(err) // the fixture has written it
	}
	return x, y
}

// rates compares tiles from the memory of the server, and those that mostly come from the bucket, with those of a folder.
func (b *bucketBench) rates(ctx context.Context) error {
	defer func() {
		for _, s := range b.servers {
			s.stop()
		}
	}()
	folder, err := b.fx.serve(ctx, b.o, b.o.bin, "folder", filepath.Join(b.o.work, "folder-data"), "")
	if err != nil {
		return err
	}
	b.servers = append(b.servers, folder)
	for _, kind := range []struct{ name, memory string }{{"bucket, tiles in memory", "2048"}, {"bucket, memory for 48 MB of tiles", "48"}} {
		s, err := b.serve(ctx, kind.name, "--bucket-memory", kind.memory)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, s)
		if _, err := b.fx.find(ctx, s.url); err != nil {
			return err
		}
		if s.paths, err = b.fx.paths(b.o, strings.ReplaceAll(kind.name, " ", "-"), func(x, y string) string {
			return fmt.Sprintf("/api/v1/images/%s/tiles/%d/%s/%s.jpg", b.fx.id, b.zoom, x, y)
		}); err != nil {
			return err
		}
	}
	if _, err := load(ctx, b.servers[1], 3*b.o.duration, b.o.conns, ""); err != nil { // fills its memory
		return err
	}
	b.bucketReport.rates, err = medians(ctx, b.o, b.o.conns, "", b.o.rounds, b.servers)
	return err
}

// syncs measures the first sync of many objects, and one that finds no changes.
func (b *bucketBench) syncs(ctx context.Context) error {
	data := filepath.Join(b.o.work, "many-data")
	args := []string{"--data", data, "--s3-endpoint", b.proxy.url, "--s3-path-style"}
	if out, err := exec.CommandContext(ctx, b.o.bin, append([]string{"store", "add", "s3://many", "--label", "many"}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for i, into := range []*traffic{&b.sync, &b.again} {
		cmd := exec.CommandContext(ctx, b.o.bin, append([]string{"sync", "many"}, args...)...)
		began, peak := time.Now(), int64(0)
		var err error
		*into, err = b.proxy.count(func() error {
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for {
				select {
				case err := <-ended:
					if err != nil {
						err = fmt.Errorf("%w: %s", err, &out)
					}
					return err
				case <-time.After(10 * time.Millisecond):
					_, now := residentBytes(cmd.Process.Pid)
					peak = max(peak, now)
				}
			}
		})
		if err != nil {
			return err
		}
		took := time.Since(began)
		if i == 0 {
			b.syncTook, b.syncMemory = took, peak
		} else {
			b.againTook, b.againMemory, b.againCPU = took, peak, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
		}
	}
	return nil
}

func (r *report) buckets(o *options, fx *fixture, b *bucketReport) {
	var t strings.Builder
	kb := func(n int64) string { return fmt.Sprintf("%.0f KB", float64(n)/1e3) }
	fmt.Fprintf(&t, "## Slides in a bucket\n\n`go run ./test/bench -only buckets`: versitygw 1.8.0 (files of this machine) behind a proxy that counts. Slide of %d × %d, %s tiles of level 0 with a mean of %.1f KB, in the layout of Philips.\nClient, servers, proxy and gateway share the processors. %s.\n\n", o.width, o.height, thousands(float64(len(fx.list))), float64(fx.mean)/1000, machine())
	fmt.Fprintf(&t, "With %v added to each request to the bucket, by servers that had just started:\n\n| | requests | bytes | time |\n|---|---|---|---|\n", bucketDelay)
	fmt.Fprintf(&t, "| start of a server with an empty catalog until the slide is available: listing and inspection | %d | %s | %.2f s |\n", b.inspection.requests, kb(b.inspection.bytes), b.first.Seconds())
	fmt.Fprintf(&t, "| a tile of an inspected slide | %d | %s | |\n", b.coldTile.requests, kb(b.coldTile.bytes))
	fmt.Fprintf(&t, "| description and %d tiles over six connections | %d | %s | %.0f ms |\n", screenColumns*screenRows, b.screen.requests, kb(b.screen.bytes), ms(b.screenTime))
	fmt.Fprintf(&t, "| a session: %d dives, %d moves in each; %s tiles, %s | %d | %s, %.2f times the tiles | |\n", sessionDives, sessionPans, thousands(float64(b.sessionTiles)), kb(b.sessionBytes), b.session.requests, kb(b.session.bytes), float64(b.session.bytes)/float64(b.sessionBytes))
	fmt.Fprintf(&t, "\nWithout the delay, level-0 tiles at random, %d connections, %d interleaved rounds of %v:\n\n| server | req/s | to the folder | p99 | server CPU, µs a request |\n|---|---|---|---|---|\n", o.conns, o.rounds, o.duration)
	for i, s := range b.servers {
		m := b.rates[i]
		fmt.Fprintf(&t, "| %s | %s | %.2f | %.1f ms | %.1f |\n", s.name, thousands(m.rate), m.rate/b.rates[0].rate, ms(m.p99), m.cpu)
	}
	fmt.Fprintf(&t, "\nSync of %s small slides in 1,000 folders: the first, which inspects each, takes %.1f s, %s requests and %d MB; one without changes %.1f s (%.1f s of processor time), %s requests and %d MB.\n",
		thousands(float64(b.keys)), b.syncTook.Seconds(), thousands(float64(b.sync.requests)), b.syncMemory>>20, b.againTook.Seconds(), b.againCPU.Seconds(), thousands(float64(b.again.requests)), b.againMemory>>20)
	r.sections["buckets"] = t.String()
}
