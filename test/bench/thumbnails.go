package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// thumbnailsOfRound is the number of thumbnails of a round, each of another size.
const thumbnailsOfRound = 64

// thumbnails compares thumbnails with those of OpenSlide in Python. Each one has a size that
// was not requested before, so that none comes from a cache.
func thumbnails(ctx context.Context, o *options, r *report) error {
	fx, err := prepareRegions(o)
	if err != nil {
		return err
	}
	var servers []*server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	osr, err := startThumbnails(ctx, o, fx)
	if err != nil {
		return err
	}
	servers = append(servers, osr)
	builds, err := regionBuilds(ctx, o)
	if err != nil {
		return err
	}
	for i, b := range builds {
		data := filepath.Join(o.work, fmt.Sprint("data-thumbnails-", i))
		if err := os.RemoveAll(data); err != nil { // an earlier run in this folder left thumbnails
			return err
		}
		s, err := fx.serve(ctx, o, b.path, b.name, data, "")
		if err != nil {
			return err
		}
		s.name = b.name
		servers = append(servers, s)
	}
	var rounds [][]round
	for n := range min(o.rounds, 900/thumbnailsOfRound-1) + 1 {
		var one []round
		for i, s := range servers {
			var paths []string
			for k := range thumbnailsOfRound {
				side := 128 + n*thumbnailsOfRound + k
				if i == 0 {
					paths = append(paths, fmt.Sprintf("/%d", side))
				} else {
					paths = append(paths, fmt.Sprintf("/api/v1/images/%s/thumbnail?width=%d&height=%d", s.image, side, side))
				}
			}
			got, err := batch(ctx, s, paths, regionConnections)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "  round %d %-28s %9.1f/s  %.2f ms\n", n, s.name, got.rate, got.cpu/1000)
			one = append(one, got)
		}
		if n > 0 { // the first opens the slide
			rounds = append(rounds, one)
		}
	}
	r.thumbnails(servers, rounds)
	return nil
}

func (r *report) thumbnails(servers []*server, rounds [][]round) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Thumbnails\n\n`go run ./test/bench -only thumbnails`: thumbnails of the slide of the regions, of 192 pixels and more and each of another size; %d connections, %d interleaved rounds of %d.\nOpenSlide renders them in Python, in a process for each processor. %s. Ratios are medians of the ratios of each round.\n\n",
		regionConnections, len(rounds), thumbnailsOfRound, machine())
	b.WriteString("| server | req/s | to OpenSlide | server CPU, ms a request |\n|---|---|---|---|\n")
	for i, s := range servers {
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f |\n", s.name,
			rate(middle(rounds, func(r []round) float64 { return r[i].rate })),
			middle(rounds, func(r []round) float64 { return r[i].rate / r[0].rate }),
			middle(rounds, func(r []round) float64 { return r[i].cpu / 1000 }))
	}
	r.sections["thumbnails"] = b.String()
}
