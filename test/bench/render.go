package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

// The slide that regions are rendered from.
const (
	regionSlideWidth  = 30208
	regionSlideHeight = 20480
	// regionConnections is the number of connections that request regions.
	regionConnections = 8
)

// regionLoadResult are the rounds of a load: of each round, one of each server.
type regionLoadResult struct {
	regionLoad
	rounds [][]round
	alone  [][]time.Duration // of each server, sorted; nil if not measured
}

// renderedRegions compares servers that render regions: Debian's iipsrv with a worker for
// each processor, and the builds of the program.
func renderedRegions(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk", "nginx", "taskset"); err != nil {
		return err
	}
	fx, err := prepareRegions(o)
	if err != nil {
		return err
	}
	servers, err := startRegions(ctx, o, fx)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return err
	}
	var all []regionLoadResult
	for _, l := range regionLoads(regionSlideWidth, regionSlideHeight) {
		res, err := measureRegions(ctx, o, servers, l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		all = append(all, res)
	}
	r.render(o, fx, servers, all)
	return nil
}

// prepareRegions writes the slide. It has all its tiles: iipsrv answers 404, in the body of an
// answer with status 200, if one is left out.
func prepareRegions(o *options) (*fixture, error) {
	return prepareIn(filepath.Join(o.work, "regions"), synth.Philips{Seed: 42, Width: regionSlideWidth, Height: regionSlideHeight, Big: true, Label: true, Macro: true})
}

// startRegions starts the servers, iipsrv first.
func startRegions(ctx context.Context, o *options, fx *fixture) ([]*regionServer, error) {
	iip, err := startIIP(ctx, o, fx, o.pin)
	if err != nil {
		return nil, err
	}
	servers := []*regionServer{{iip, iiifFormat("/fcgi?IIIF=bench.tiff/")}}
	builds, err := regionBuilds(ctx, o)
	if err != nil {
		return servers, err
	}
	for i, b := range builds {
		s, err := fx.serve(ctx, o, b.path, b.name, filepath.Join(o.work, fmt.Sprint("data-regions-", i)), o.pin)
		if err != nil {
			return servers, err
		}
		s.name = b.name
		servers = append(servers, &regionServer{s, iiifFormat("/iiif/2/" + s.image + "/")})
		if i > 0 {
			continue
		}
		api := *s
		api.name, api.stop = s.name+", region API", func() {}
		if l := regionLoads(regionSlideWidth, regionSlideHeight)[0]; (&regionServer{&api, apiFormat(s.image)}).check(ctx, &l, l.start(1, 2)) == nil {
			servers = append(servers, &regionServer{&api, apiFormat(s.image)})
		}
	}
	return servers, nil
}

// A build is a build of the program.
type build struct{ name, path string }

// regionBuilds returns the builds of the program: the one to measure, the one in pure Go, and
// the one before.
func regionBuilds(ctx context.Context, o *options) ([]build, error) {
	all := []build{{"ptiffstore, pure Go", o.bin}}
	if isNative(o.bin) {
		all[0].name = "ptiffstore"
		if o.pure == "" {
			o.pure = filepath.Join(o.work, "ptiffstore-pure")
			cmd := exec.CommandContext(ctx, "go", "build", "-o", o.pure, "./cmd/ptiffstore")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building in pure Go: %w: %s", err, out)
			}
		}
		all = append(all, build{"ptiffstore, pure Go", o.pure})
	}
	if o.before != "" {
		all = append(all, build{"before", o.before})
	}
	return all, nil
}

// isNative reports whether a build of the program has libjpeg-turbo in it.
func isNative(path string) bool {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			return slices.Contains(strings.Split(s.Value, ","), "native")
		}
	}
	return false
}

// measureRegions measures one load. The order of regions has a part for each round, one for
// the first requests, which open the slide, and one for requests alone.
func measureRegions(ctx context.Context, o *options, servers []*regionServer, l regionLoad) (regionLoadResult, error) {
	res := regionLoadResult{regionLoad: l}
	parts := o.rounds + 2
	for _, s := range servers {
		at := l.start(o.rounds, parts)
		for range min(10, l.count()-1) { // iipsrv gives the complete slide a wrong size
			if err := s.check(ctx, &l, at); err != nil {
				return res, err
			}
			at = l.next(at)
		}
	}
	if l.count() > 1 && l.result > 256 {
		if err := res.measureAlone(ctx, o, servers, parts); err != nil {
			return res, err
		}
	}
	for n := range o.rounds {
		var one []round
		for _, s := range servers {
			got, err := s.load(ctx, o, &l, n, parts)
			if err != nil {
				return res, err
			}
			fmt.Fprintf(os.Stderr, "  %-22s round %d %-28s %9.1f/s  p99 %v  %.2f ms\n", l.name, n+1, s.name, got.rate, got.p99, got.cpu/1000)
			one = append(one, got)
		}
		res.rounds = append(res.rounds, one)
	}
	return res, nil
}

// measureAlone measures how long requests take that no other one disturbs.
func (res *regionLoadResult) measureAlone(ctx context.Context, o *options, servers []*regionServer, parts int) error {
	res.alone = make([][]time.Duration, len(servers))
	at := make([]uint64, len(servers))
	for i := range servers {
		at[i] = res.start(o.rounds+1, parts)
	}
	for range o.rounds {
		for i, s := range servers {
			d, err := s.alone(ctx, &res.regionLoad, &at[i], 10)
			if err != nil {
				return err
			}
			res.alone[i] = append(res.alone[i], d...)
		}
	}
	for i := range res.alone {
		slices.Sort(res.alone[i])
	}
	return nil
}

func (r *report) render(o *options, fx *fixture, servers []*regionServer, all []regionLoadResult) {
	where := "All servers may use all processors, which they share with wrk"
	if o.pin != "" {
		where = "Servers are pinned to processor " + o.pin + ", wrk to processor " + o.clientPin()
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Rendered regions\n\n`go run ./test/bench -only render`: regions of a %d × %d slide (tiles of 512, mean %.1f KB) by the IIIF Image API, each at a place that was not requested before;\nJPEG quality 85. iipsrv has a worker for each processor, behind nginx. %s;\n%d connections, %d interleaved rounds of %v. %s. Ratios are medians of the ratios of each round. Alone: one\nrequest at a time, median and the slowest of %d.\n",
		regionSlideWidth, regionSlideHeight, float64(fx.mean)/1000, where, regionConnections, o.rounds, o.duration, machine(), 10*o.rounds)
	for _, l := range all {
		fmt.Fprintf(&b, "\n**%s**\n\n| server | req/s | to iipsrv | p99 | server CPU, ms a request | alone, ms |\n|---|---|---|---|---|---|\n", l.name)
		for i, s := range servers {
			alone := "–"
			if l.alone != nil {
				alone = fmt.Sprintf("%.1f, %.1f", ms(l.alone[i][len(l.alone[i])/2]), ms(l.alone[i][len(l.alone[i])-1]))
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.1f ms | %.2f | %s |\n", s.name,
				rate(middle(l.rounds, func(r []round) float64 { return r[i].rate })),
				middle(l.rounds, func(r []round) float64 { return r[i].rate / r[0].rate }),
				middle(l.rounds, func(r []round) float64 { return ms(r[i].p99) }),
				middle(l.rounds, func(r []round) float64 { return r[i].cpu / 1000 }), alone)
		}
	}
	b.WriteString("\nRegions of the complete slide begin at a random place of its first 512 × 512 pixels; \"the same again\" is one address all the time. 256 at multiples of 16: begins on a\nblock boundary of the tiles and is not scaled.\n")
	r.sections["render"] = b.String()
}

// ms returns a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rate formats requests a second.
func rate(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(v)
}
