package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/auth"
	"github.com/slideatlas/ptiffstore/internal/metrics"
)

// looking are the flags of those who look after a process.
type looking struct {
	Debug string `name:"debug-listen" placeholder:"ADDRESS" help:"Loopback address for /metrics and /debug/pprof; default: none."`
}

// figures gathers what Prometheus is told of the site.
func (s *site) figures() metrics.Site {
	m := metrics.Site{
		Slides: func() (int, int, int64) {
			st := s.tiles.Stats()
			return st.Images, st.OpenFiles, st.OpenBytes
		},
		Making: s.maker.Waiting,
		Stores: s.storeFigures,
		Workers: func(ctx context.Context) (map[string]int, error) {
			list, err := s.catalog.Workers(ctx)
			hosts := map[string]int{}
			for i := range list {
				hosts[list[i].Host]++
			}
			return hosts, err
		},
	}
	if s.jobs != nil {
		m.Queues = s.queueFigures
	}
	return m
}

func (s *site) storeFigures(ctx context.Context) ([]metrics.Store, error) {
	list, err := s.catalog.Stores(ctx)
	out := make([]metrics.Store, len(list))
	for i := range list {
		out[i] = metrics.Store{ID: list[i].ID, LastSync: list[i].LastSync, Counts: map[string]int{}}
		for state, n := range list[i].Counts {
			out[i].Counts[string(state)] = n
		}
	}
	return out, err
}

func (s *site) queueFigures(ctx context.Context) ([]metrics.Queue, error) {
	list, err := s.jobs.Depths(ctx)
	out := make([]metrics.Queue, len(list))
	for i, d := range list {
		out[i] = metrics.Queue{Name: d.Queue, State: string(d.State), Tasks: d.Tasks, Oldest: d.Oldest}
	}
	return out, err
}

// lookAfter serves figures and profiles on a loopback address of their own, if one is
// wanted.
func (s *site) lookAfter(ctx context.Context, wg *sync.WaitGroup, o *looking) error {
	if o.Debug == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Debug)
	if err != nil {
		return fmt.Errorf("--debug-listen %s: %w", o.Debug, err)
	}
	if !auth.LocalHost(net.JoinHostPort(host, "1")) {
		return fmt.Errorf("--debug-listen %s is reachable from other machines: profiles hold what is in memory. Give a loopback address", o.Debug)
	}
	l, err := net.Listen("tcp", o.Debug)
	if err != nil {
		return fmt.Errorf("--debug-listen %s: %w", o.Debug, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: (&auth.Guard{}).Handler(mux), ReadHeaderTimeout: 10 * time.Second}
	s.log.Info("figures and profiles", "address", l.Addr().String())
	wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("figures and profiles are no longer served", "err", err)
		}
	})
	wg.Go(func() {
		<-ctx.Done()
		server.Close()
	})
	return nil
}
