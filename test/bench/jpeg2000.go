package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/slide"
)

//go:embed testdata/opj.c
var openJPEGLoop string

// openJPEGTimes is how often the loop decodes each tile in a round.
const openJPEGTimes = 3

// jpeg2000Tiles compares tiles of a slide in JPEG 2000, which the program decodes and encodes
// as JPEG, with a loop that only decodes them, by the same library.
func jpeg2000Tiles(ctx context.Context, o *options, r *report) error {
	if err := installed("gcc"); err != nil {
		return err
	}
	if o.jp2k == "" {
		fmt.Fprintln(os.Stderr, "  no slide: use -jpeg2000 PATH")
		return nil
	}
	j := jpeg2000Run{o: o, fx: fixture{folder: filepath.Join(o.work, "jpeg2000")}}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	var loops, ours []round
	for n := range o.rounds {
		loop, err := j.loop(ctx)
		if err != nil {
			return err
		}
		got, err := j.serve(ctx, n)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  round %d loop %.0f/s, %.2f ms; ptiffstore %.0f/s, %.2f ms\n", n+1, loop.rate, loop.cpu/1000, got.rate, got.cpu/1000)
		loops, ours = append(loops, loop), append(ours, got)
	}
	r.jpeg2000(o, &j, loops, ours)
	return nil
}

type jpeg2000Run struct {
	o     *options
	fx    fixture
	loops string   // the program that decodes in a loop
	files []string // codestreams of the tiles of level 0
	tiles []string // their columns and rows, separated by a slash
}

// prepare extracts the codestreams and compiles the loop.
func (j *jpeg2000Run) prepare(ctx context.Context) error {
	if err := os.MkdirAll(j.fx.folder, 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(j.o.jp2k)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(j.fx.folder, filepath.Base(j.o.jp2k)), b, 0o644); err != nil {
		return err
	}
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	l := &s.Levels[0]
	for y := range l.Rows {
		for x := range l.Columns {
			tile, err := s.AppendTile(nil, 0, x, y)
			if errors.Is(err, slide.ErrEmptyTile) {
				continue
			} else if err != nil {
				return err
			}
			file := filepath.Join(j.o.work, fmt.Sprintf("%d_%d.j2k", x, y))
			if err := os.WriteFile(file, tile, 0o644); err != nil {
				return err
			}
			j.files, j.tiles = append(j.files, file), append(j.tiles, fmt.Sprintf("%d/%d", x, y))
		}
	}
	source := filepath.Join(j.o.work, "opj.c")
	if err := os.WriteFile(source, []byte(openJPEGLoop), 0o644); err != nil {
		return err
	}
	j.loops = filepath.Join(j.o.work, "opj")
	include, err := filepath.Glob("/usr/include/openjpeg-*")
	if err != nil || len(include) == 0 {
		return errors.New("libopenjp2-7-dev is not installed: run scripts/setup")
	}
	if out, err := exec.CommandContext(ctx, "gcc", "-O2", "-I"+include[0], source, "-o", j.loops, "-lopenjp2").CombinedOutput(); err != nil {
		return fmt.Errorf("compiling: %w: %s", err, out)
	}
	return nil
}

// loop decodes all tiles, on each processor.
func (j *jpeg2000Run) loop(ctx context.Context) (round, error) {
	var all []*exec.Cmd
	outs := make([]bytes.Buffer, runtime.NumCPU())
	began := time.Now()
	for i := range outs {
		c := exec.CommandContext(ctx, j.loops, append([]string{strconv.Itoa(openJPEGTimes)}, j.files...)...)
		c.Stdout, c.Stderr = &outs[i], os.Stderr
		if err := c.Start(); err != nil {
			return round{}, err
		}
		all = append(all, c)
	}
	var n, seconds float64
	for i, c := range all {
		if err := c.Wait(); err != nil {
			return round{}, err
		}
		var one, took float64
		if _, err := fmt.Sscan(outs[i].String(), &one, &took); err != nil {
			return round{}, err
		}
		n, seconds = n+one, seconds+took
	}
	return round{rate: n / time.Since(began).Seconds(), cpu: seconds * 1e6 / n}, nil
}

// serve requests each tile once, from a server that has none in its cache.
func (j *jpeg2000Run) serve(ctx context.Context, n int) (round, error) {
	data := filepath.Join(j.o.work, fmt.Sprint("data-jpeg2000-", n))
	s, err := start(ctx, "ptiffstore", "", j.o.bin, "serve", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error", j.fx.folder)
	if err != nil {
		return round{}, err
	}
	defer s.stop()
	zoom, err := j.fx.find(ctx, s.url)
	if err != nil {
		return round{}, err
	}
	var paths []string
	for _, t := range j.tiles {
		paths = append(paths, fmt.Sprintf("/api/v1/images/%s/tiles/%d/%s.jpg", j.fx.id, zoom, t))
	}
	if err := quiet(ctx, s); err != nil { // a new slide is verified, and gets a preview
		return round{}, err
	}
	const warm = 8 // tiles that start what decodes
	if _, err := batch(ctx, s, paths[:warm], runtime.NumCPU()); err != nil {
		return round{}, err
	}
	return batch(ctx, s, paths[warm:], runtime.NumCPU())
}

// quiet waits until a server has done nothing for a while.
func quiet(ctx context.Context, s *server) error {
	const still, most = 3 * time.Second, 2 * time.Minute
	before, err := processorTime(s.pids)
	for since, end := time.Now(), time.Now().Add(most); err == nil && time.Since(since) < still; {
		if time.Now().After(end) {
			return errors.New("the server is still busy")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(still / 10):
		}
		var now time.Duration
		if now, err = processorTime(s.pids); now-before > 20*time.Millisecond { // more than timers take
			before, since = now, time.Now()
		}
	}
	return err
}

func (r *report) jpeg2000(o *options, j *jpeg2000Run, loops, ours []round) {
	rounds := make([][]round, len(ours))
	for i := range ours {
		rounds[i] = []round{loops[i], ours[i]}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "## JPEG 2000\n\n`go run ./test/bench -only jpeg2000 -jpeg2000 %s`: each of the %d tiles of the largest level once, over %d connections, from a server that has none of them in its cache:\ndecoded, encoded as JPEG, stored in the cache, sent. The server has done its work on the new slide before, and its processor time includes that of its decoders. The loop decodes the same tiles with OpenJPEG %s, in a process for each processor, and does nothing else. %d interleaved rounds. %s.\n\n",
		filepath.Base(o.jp2k), len(j.tiles), runtime.NumCPU(), debianVersion("libopenjp2-7"), o.rounds, machine())
	b.WriteString("| | tiles/s | to the loop | CPU, ms a tile | to the loop |\n|---|---|---|---|---|\n")
	for i, name := range []string{"libopenjp2 in a loop", "ptiffstore"} {
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.2f |\n", name,
			rate(middle(rounds, func(r []round) float64 { return r[i].rate })),
			middle(rounds, func(r []round) float64 { return r[i].rate / r[0].rate }),
			middle(rounds, func(r []round) float64 { return r[i].cpu / 1000 }),
			middle(rounds, func(r []round) float64 { return r[0].cpu / r[i].cpu }))
	}
	r.sections["jpeg2000"] = b.String()
}
