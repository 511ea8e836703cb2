// Command bench compares the program with other servers and writes the results to
// docs/benchmarks.md.
//
// The servers of a comparison take turns within one run, so that changes in the speed of the
// machine affect all of them. Fast servers are pinned to one processor and the client to
// another: otherwise the fastest server would not use its processor fully, and a ratio to it
// would measure the client.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the options of a run.
type options struct {
	bin      string
	before   string
	pure     string
	pin      string
	jp2k     string
	out      string
	work     string
	rounds   int
	duration time.Duration
	conns    int
	width    int
	height   int
	only     string
	files    int
	images   int
	keys     int
	soak     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin/ptiffstore", "program to measure")
	flag.StringVar(&o.before, "before", "", "an older build of the program, to measure beside it in sections fast, render and thumbnails")
	flag.StringVar(&o.pure, "pure", "", "build of the program in pure Go for sections render and thumbnails; built if empty and -bin has native codecs")
	flag.StringVar(&o.jp2k, "jpeg2000", "", "slide in JPEG 2000 of section jpeg2000, which is left out without it")
	flag.StringVar(&o.pin, "pin", "", "processor of the servers of section render; the client then gets the next one. Without it, all processors are shared.")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "file to write the figures to")
	flag.StringVar(&o.work, "work", "", "folder for slides and tiles; a temporary one if empty")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each server")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "length of a round")
	flag.IntVar(&o.conns, "connections", 64, "connections of the pinned runs")
	flag.IntVar(&o.width, "width", 61440, "width of the slide in pixels")
	flag.IntVar(&o.height, "height", 46080, "height of the slide in pixels")
	flag.StringVar(&o.only, "only", "", "run only these sections, separated by commas: fast, access, slow, render, thumbnails, jpeg2000, mongodb, dicom, buckets, open, memory, sync, catalog or soak; soak is run only so")
	flag.DurationVar(&o.soak, "soak", 2*time.Minute, "length of section soak")
	flag.IntVar(&o.files, "files", 100_000, "files of the folder that is gone through")
	flag.IntVar(&o.images, "images", 1_000_000, "images in the catalog that is listed and searched")
	flag.IntVar(&o.keys, "keys", 20_000, "objects of the bucket that is listed in section buckets")
	bare := flag.String("bare", "", "internal: serve this slide as the bare handler")
	access := flag.String("access", "", "internal: serve -slide by this adapter, open or checked")
	slide := flag.String("slide", "", "internal: slide of -access")
	listen := flag.String("listen", "127.0.0.1:0", "internal: address of the bare handler")
	tree := flag.String("passes", "", "internal: go through this folder again and again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *bare != "":
		err = serveBare(ctx, *bare, *listen)
	case *access != "":
		err = serveAccess(ctx, *access, *slide, *listen)
	case *tree != "":
		err = passes(ctx, *tree, o.work)
	default:
		err = run(ctx, &o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if o.work == "" {
		dir, err := os.MkdirTemp("", "ptiffstore-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.work = dir
	}
	var err error
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	r, err := newReport(o)
	if err != nil {
		return err
	}
	sections := []struct {
		name string
		run  func(context.Context, *options, *report) error
	}{
		{"fast", fastServers},
		{"access", accessCost},
		{"slow", slowServers},
		{"render", renderedRegions},
		{"thumbnails", thumbnails},
		{"jpeg2000", jpeg2000Tiles},
		{"mongodb", mongoTiles},
		{"dicom", dicomSlides},
		{"buckets", inBuckets},
		{"open", openings},
		{"memory", manySlides},
		{"sync", synchronisation},
		{"catalog", listings},
		{"soak", soaks},
	}
	for _, s := range sections {
		if named := slices.Contains(strings.Split(o.only, ","), s.name); !named && (o.only != "" || s.name == "soak") {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", s.name)
		if err := s.run(ctx, o, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := r.write(o.out); err != nil { // now, in case that a later section fails
			return err
		}
	}
	return nil
}

// clientPin returns the processor of the client if servers are pinned.
func (o *options) clientPin() string {
	n, err := strconv.Atoi(o.pin)
	if err != nil {
		return ""
	}
	return strconv.Itoa((n + 1) % runtime.NumCPU())
}
