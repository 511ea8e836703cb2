package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed testdata/regions.lua
var regionsLua string

// A regionLoad is a kind of region that clients request, each time another one.
type regionLoad struct {
	name          string
	width, height int // of the region, in pixels of the image; 0 for all of it except a margin
	columns, rows int // number of positions
	step          int // pixels between them
	result        int // width of the result in pixels
}

// margin is how many columns, and rows, near the top left corner a region of the complete
// slide may begin at: otherwise each request would be the same.
const margin = 512

// regionLoads returns the loads for a slide of that size.
func regionLoads(w, h int) []regionLoad {
	square := func(name string, side, step, result int) regionLoad {
		return regionLoad{name: name, width: side, height: side, columns: (w - side) / step, rows: (h - side) / step, step: step, result: result}
	}
	return []regionLoad{
		square("512", 512, 1, 512),
		square("1024 → 512", 1024, 1, 512),
		square("1500 → 512", 1500, 1, 512),
		{name: "complete slide → 1024", width: -w, height: -h, columns: margin, rows: margin, step: 1, result: 1024},
		{name: "the same again", width: -w, height: -h, columns: 1, rows: 1, step: 1, result: 1024},
		square("256 at multiples of 16", 256, 16, 256),
	}
}

// count returns the number of regions.
func (l *regionLoad) count() uint64 { return uint64(l.columns) * uint64(l.rows) }

// next returns the position after at in the order of regions.lua: a linear congruential
// generator that takes each value below a power of two once.
func (l *regionLoad) next(at uint64) uint64 {
	modulus := uint64(1)
	for modulus < l.count() {
		modulus *= 2
	}
	for {
		if at = (1664525*at + 1013904223) % modulus; at < l.count() {
			return at
		}
	}
}

// start returns where part i of n of the order begins, so that rounds share no region.
func (l *regionLoad) start(i, n int) uint64 {
	at, steps := uint64(0), min(l.count()/uint64(n), 1<<20)*uint64(i)
	for range steps {
		at = l.next(at)
	}
	return at
}

// region returns the region at a position.
func (l *regionLoad) region(at uint64) (x, y, w, h int) {
	x, y = int(at%uint64(l.columns))*l.step, int(at/uint64(l.columns))*l.step //nolint:gosec // below the size of a slide
	if l.width < 0 {
		return x, y, -l.width - x, -l.height - y
	}
	return x, y, l.width, l.height
}

// A regionServer is a server of regions.
type regionServer struct {
	*server
	// format returns the format of a path with x, y, width and height of a region.
	format func(l *regionLoad) string
}

func iiifFormat(base string) func(l *regionLoad) string {
	return func(l *regionLoad) string { return base + "%d,%d,%d,%d/" + strconv.Itoa(l.result) + ",/0/default.jpg" }
}

func apiFormat(image string) func(l *regionLoad) string {
	return func(l *regionLoad) string {
		return "/api/v1/images/" + image + "/region?x=%d&y=%d&w=%d&h=%d&width=" + strconv.Itoa(l.result)
	}
}

// path returns the path of the region at a position.
func (s *regionServer) path(l *regionLoad, at uint64) string {
	x, y, w, h := l.region(at)
	return fmt.Sprintf(s.format(l), x, y, w, h)
}

// load requests regions from s for that duration, in part i of n of their order.
func (s *regionServer) load(ctx context.Context, o *options, l *regionLoad, i, n int) (round, error) {
	script := filepath.Join(o.work, "regions.lua")
	if err := os.WriteFile(script, []byte(regionsLua), 0o644); err != nil {
		return round{}, err
	}
	return wrk(ctx, s.server, o.duration, regionConnections, o.clientPin(), script,
		s.format(l), strconv.Itoa(l.columns), strconv.Itoa(l.rows), strconv.Itoa(l.step), strconv.Itoa(l.width), strconv.Itoa(l.height), strconv.FormatUint(l.start(i, n), 10))
}

// check requests one region and compares the size of the result. It may be off by a pixel, as
// servers round differently.
func (s *regionServer) check(ctx context.Context, l *regionLoad, at uint64) error {
	path := s.path(l, at)
	b, err := getBody(ctx, s.url+path[1:])
	if err != nil {
		return err
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s: %s: %w: %.100q", s.name, path, err, b)
	}
	_, _, w, h := l.region(at)
	if want := float64(l.result) * float64(h) / float64(w); math.Abs(float64(c.Width-l.result)) > 1 || math.Abs(float64(c.Height)-want) > 1 {
		return fmt.Errorf("%s: %s has %d×%d pixels, want %d×%.0f", s.name, path, c.Width, c.Height, l.result, want)
	}
	return nil
}

// alone requests regions one after another and returns how long the answers took.
func (s *regionServer) alone(ctx context.Context, l *regionLoad, at *uint64, times int) ([]time.Duration, error) {
	var all []time.Duration
	for range times {
		*at = l.next(*at)
		began := time.Now()
		if _, err := getBody(ctx, s.url+s.path(l, *at)[1:]); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
	return all, nil
}
