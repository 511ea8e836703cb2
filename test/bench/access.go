package main

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/fasthttp"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/slide"
)

// accessToken is as long as an API token of the server.
const accessToken = "Bearer pts_0123456789abcdef0123456789abcdef0123456789a"

// accessCost compares each adapter with access control by a central server, whose answers it
// caches, and without access control.
func accessCost(ctx context.Context, o *options, r *report) error {
	if err := installed("wrk", "taskset"); err != nil {
		return err
	}
	fx, err := prepare(o)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	zoom, err := maxZoom(fx.slide)
	if err != nil {
		return err
	}
	paths, err := fx.paths(o, "access", func(x, y string) string {
		return fmt.Sprintf("/api/v1/images/bench/tiles/%d/%s/%s.jpg", zoom, x, y)
	})
	if err != nil {
		return err
	}
	var servers []*server
	for _, kind := range []string{"net/http open", "net/http checked", "fasthttp open", "fasthttp checked"} {
		s, err := start(ctx, kind, "0", self, "-access", kind, "-slide", fx.slide)
		if err != nil {
			return err
		}
		defer s.stop()
		s.paths, s.authorization = paths, accessToken
		servers = append(servers, s)
	}
	var rounds [][]round
	for range o.rounds {
		one, err := medians(ctx, o, o.conns, "1", 1, servers)
		if err != nil {
			return err
		}
		rounds = append(rounds, one)
	}
	r.access(o, servers, rounds)
	return nil
}

// middle returns the median of f over the rounds.
func middle(rounds [][]round, f func([]round) float64) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, f(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func maxZoom(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		return 0, err
	}
	return len(s.Zooms) - 1, nil
}

// serveAccess serves one slide through an adapter, with or without access control by a
// central server over HTTP.
func serveAccess(ctx context.Context, kind, path, listen string) error {
	adapter, mode, _ := strings.Cut(kind, " ")
	t, err := oneSlide(path)
	if err != nil {
		return err
	}
	defer t.Close()
	var gate *authz.Gate
	if mode == "checked" {
		if gate, err = askingGate(ctx); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/\n", l.Addr())
	if adapter == "fasthttp" {
		s := (&fasthttp.Handler{Tiles: t, Gate: gate}).Server()
		context.AfterFunc(ctx, func() { s.Shutdown() }) //nolint:errcheck // it ends
		return s.Serve(l)
	}
	s := &http.Server{Handler: &nethttp.Handler{Tiles: t, Gate: gate}} //nolint:gosec // for the client beside it
	context.AfterFunc(ctx, func() { s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func oneSlide(path string) (*tile.Server, error) {
	identity, err := fsx.Stat(path)
	if err != nil {
		return nil, err
	}
	t := tile.New(tile.Options{})
	t.Put(tile.File{
		ID: "bench", Path: filepath.Base(path), Name: filepath.Base(path), Revision: identity.Revision(), Identity: identity,
		Store: &tile.Store{ID: "st", Root: filepath.Dir(path), Background: color.RGBA{255, 255, 255, 255}, Origin: slide.TopLeft},
	})
	return t, nil
}

// askingGate returns a gate that asks a central server in this process over HTTP.
func askingGate(ctx context.Context) (*authz.Gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // for the client beside it
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != accessToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"allow":true,"user":{"id":"u","name":"Ann"},"ttl":60,"session":"s"}`) //nolint:errcheck // the edge is gone
	})}
	go srv.Serve(l) //nolint:errcheck // it is closed
	context.AfterFunc(ctx, func() { srv.Close() })
	central, err := authz.NewCentral(authz.CentralOptions{URL: "http://" + l.Addr().String()})
	if err != nil {
		return nil, err
	}
	return authz.NewGate(authz.GateOptions{Authorizer: central}), nil
}

func (r *report) access(o *options, servers []*server, rounds [][]round) {
	var b strings.Builder
	fmt.Fprintf(&b, "## Access\n\nEach handler with and without access control: with a central server, which is asked over HTTP and whose responses are cached for a minute, and without one. Pinned as\nabove, every request with a token, %d connections, %d interleaved rounds of %v. %s. The ratios are medians of the ratios of\neach round, in which the two servers take turns; the goal is 0.95 or more.\n\n", o.conns, o.rounds, o.duration, machine())
	b.WriteString("| server | req/s | to open | server CPU, µs a request | to open |\n|---|---|---|---|---|\n")
	for i, s := range servers {
		open := i &^ 1 // the server without access control is before the one with it
		fmt.Fprintf(&b, "| %s | %s | %.3f | %.1f | %.3f |\n", s.name,
			thousands(middle(rounds, func(r []round) float64 { return r[i].rate })),
			middle(rounds, func(r []round) float64 { return r[i].rate / r[open].rate }),
			middle(rounds, func(r []round) float64 { return r[i].cpu }),
			middle(rounds, func(r []round) float64 { return r[open].cpu / r[i].cpu }))
	}
	r.sections["access"] = b.String()
}
