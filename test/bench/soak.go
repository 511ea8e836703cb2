package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/test/soak"
)

// soakMemory is the --memory-limit of both servers, in MB.
const soakMemory = 512

// soakRest is the part of the time for preparing and checking.
const soakRest = 10 * time.Second

// soaks overloads each server, for half of the time each.
func soaks(ctx context.Context, o *options, r *report) error {
	folder, archive, data := filepath.Join(o.work, "soak"), filepath.Join(o.work, "archive"), filepath.Join(o.work, "soak-data")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	stored := synth.Philips{Seed: 7, Width: 8192, Height: 6144, Big: true, Label: true, Macro: true, Barcode: "S7"}
	if _, err := stored.Write(filepath.Join(folder, "stored.tiff")); err != nil {
		return err
	}
	made := synth.Generic{Seed: 8, Width: 6144, Height: 4608, Codec: synth.Deflate}
	if _, err := made.Write(filepath.Join(folder, "made.tiff")); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, o.bin, "store", "add", archive, "--managed", "--data", data).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	serve, err := startSoaked(ctx, o, "serve", data, folder)
	if err != nil {
		return err
	}
	defer serve.stop()
	if err := findTiles(ctx, serve.target); err != nil {
		return err
	}
	edge, err := startSoaked(ctx, o, "tileserver", data)
	if err != nil {
		return err
	}
	defer edge.stop()
	edge.target.Stored, edge.target.Made = serve.target.Stored, serve.target.Made
	var results []*soak.Result
	for _, s := range []*soaked{serve, edge} {
		res, err := soak.Run(ctx, s.target, soak.Options{
			Duration: max(20*time.Second, o.soak-soakRest) / 2, Idle: 10_000, Slow: 200, Clients: 64, Makers: 8, Timed: true,
			Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) },
		})
		if err != nil {
			return err
		}
		results = append(results, res)
	}
	r.soak(o, results)
	return soakFailures(results)
}

func soakFailures(results []*soak.Result) error {
	var errs []error
	for _, res := range results {
		for _, f := range res.Failures {
			errs = append(errs, errors.New(res.Target.Name+": "+f))
		}
	}
	return errors.Join(errs...)
}

// A soaked is a server with its target.
type soaked struct {
	*server
	target *soak.Target
}

func startSoaked(ctx context.Context, o *options, mode, data string, args ...string) (*soaked, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	debug := fmt.Sprintf("127.0.0.1:%d", port)
	s, err := start(ctx, mode, "", append([]string{
		o.bin, mode, "--data", data, "--listen", "127.0.0.1:0", "--debug-listen", debug,
		"--memory-limit", fmt.Sprint(soakMemory), "--max-connections-per-address", "0", "--cache-size", "1", "--log-level", "error",
	}, args...)...)
	if err != nil {
		return nil, err
	}
	address := strings.Trim(strings.TrimPrefix(s.url, "http:"), "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		s.stop()
		return nil, err
	}
	return &soaked{s, &soak.Target{Name: mode, Address: address, Debug: debug, PID: s.pids[0], Ceiling: soakMemory << 20}}, nil
}

// findTiles waits for both slides, and lists the tiles of their largest levels.
func findTiles(ctx context.Context, t *soak.Target) error {
	var page struct {
		Items []struct {
			ID       string `json:"id"`
			State    string `json:"state"`
			FileName string `json:"file_name"`
			MaxZoom  int    `json:"max_zoom"`
			Levels   []struct {
				Columns int `json:"columns"`
				Rows    int `json:"rows"`
			} `json:"levels"`
		} `json:"items"`
	}
	var stores struct {
		Items []struct{ ID, Mode string }
	}
	base := "http://" + t.Address + "/api/v1/"
	for range 600 {
		if err := getJSON(ctx, base+"images", &page); err != nil {
			return err
		}
		if len(page.Items) == 2 && page.Items[0].State == "available" && page.Items[1].State == "available" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, im := range page.Items {
		if im.State != "available" || len(im.Levels) == 0 {
			return fmt.Errorf("a slide is %s", im.State)
		}
		list := &t.Stored
		if im.FileName == "made.tiff" {
			list = &t.Made
		}
		for y := range im.Levels[0].Rows {
			for x := range im.Levels[0].Columns {
				*list = append(*list, fmt.Sprintf("/api/v1/images/%s/tiles/%d/%d/%d.jpg", im.ID, im.MaxZoom, x, y))
			}
		}
	}
	if err := getJSON(ctx, base+"stores", &stores); err != nil {
		return err
	}
	for _, s := range stores.Items {
		if s.Mode == "managed" {
			t.Upload = s.ID
		}
	}
	return nil
}

func (r *report) soak(o *options, results []*soak.Result) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## Soak\n\nMade by `make soak` (`SOAK=%v`): more load than a server can handle, from clients on the same machine and its %s. Both servers run with\n`--memory-limit %d`. "+
		"Each client gets a tile or 503 with Retry-After; anything else, more memory than that, a goroutine or file that stays open, or more than a\nsecond until good responses after a burst: then the run fails. [Limits](limits.md) lists the limits.\n\n", o.soak, machine(), soakMemory)
	for _, res := range results {
		fmt.Fprintf(&b, "**%s**\n\n| load | tiles/s | p50 | p99 | 503 | maximum memory | open files | recovered after |\n|---|---|---|---|---|---|---|---|\n", res.Target.Name)
		for _, p := range res.Phases {
			after := "–"
			if p.Recovery > 0 {
				after = fmt.Sprintf("%.0f ms", p.Recovery.Seconds()*1000)
			}
			fmt.Fprintf(&b, "| %s | %s | %.1f ms | %.1f ms | %s | %d MB | %s | %s |\n", p.Name, thousands(p.Tally.Rate()), p.Tally.Quantile(0.5).Seconds()*1000, p.Tally.Quantile(0.99).Seconds()*1000,
				thousands(float64(p.Tally.Busy())), p.Peak.Resident>>20, thousands(float64(p.Peak.Files)), after)
		}
		fmt.Fprintf(&b, "\nBefore: %v. After: %v.", res.Before, res.After)
		for _, f := range res.Failures {
			fmt.Fprintf(&b, " **Failed: %s.**", f)
		}
		b.WriteString("\n\n")
	}
	b.WriteString("10,000 connections do nothing in the second phase; 200 clients are slow; in the bursts there are fifty times as many clients as keep the server busy (64 with\nstored tiles, 8 with made ones). Clients and server share the processors, so times are those of a machine under full load.\n")
	r.sections["soak"] = b.String()
}
