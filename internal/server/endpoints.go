package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// endpoints asks the tile servers near the files of stores whether they are there.
type endpoints struct {
	catalog *catalog.Catalog
	log     *slog.Logger
	loops   *loop.Set

	mu      sync.Mutex
	wrong   map[string]string // by URL; "" if it answers
	origins []string
}

const (
	endpointsEvery = 5 * time.Second
	// endpointTime is how long one may take to say that it lives.
	endpointTime = 3 * time.Second
)

// openEndpoints reads which endpoints there are, and has them asked again and again.
func (s *Server) openEndpoints(ctx context.Context) error {
	s.endpoints = &endpoints{catalog: s.catalog, log: s.log, loops: &s.loops}
	if _, err := s.endpoints.read(ctx); err != nil {
		return err
	}
	s.run(s.endpoints.run)
	return nil
}

// run asks all of them again and again until ctx is done.
func (e *endpoints) run(ctx context.Context) {
	// Who is there is all that is asked, and nothing is told: certificates are the
	// business of those who fetch tiles.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // see above
	client := &http.Client{Transport: transport, Timeout: endpointTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	e.loops.Run(ctx, e.log, "endpoints", loop.Every(endpointsEvery, func(ctx context.Context) error {
		urls, err := e.read(ctx) // those known, if the catalog is away
		e.ask(ctx, client, urls)
		return err
	}))
}

// read reads which endpoints there are.
func (e *endpoints) read(ctx context.Context) ([]string, error) {
	list, err := e.catalog.Stores(ctx)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Collect(maps.Keys(e.wrong)), err
	}
	var urls, origins []string
	for i := range list {
		u, err := neturl.Parse(list[i].Endpoint)
		if err != nil || u.Host == "" || slices.Contains(urls, list[i].Endpoint) {
			continue
		}
		urls = append(urls, list[i].Endpoint)
		origins = append(origins, u.Scheme+"://"+u.Host)
	}
	slices.Sort(origins)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.origins = slices.Compact(origins)
	return urls, nil
}

// ask asks each whether it is there.
func (e *endpoints) ask(ctx context.Context, client *http.Client, urls []string) {
	wrong := make([]string, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { wrong[i] = wrongWith(ctx, client, u) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	now := map[string]string{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, u := range urls {
		now[u] = wrong[i]
		was, asked := e.wrong[u]
		switch {
		case wrong[i] != "" && (!asked || was == ""):
			e.log.Warn("the endpoint of a store can't be reached", "endpoint", u, "err", wrong[i])
		case wrong[i] == "" && was != "":
			e.log.Info("the endpoint of a store is back", "endpoint", u)
		}
	}
	e.wrong = now
}

// wrongWith says in words what is wrong with an endpoint, "" if nothing.
func wrongWith(ctx context.Context, client *http.Client, endpoint string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint, "/")+"/healthz", nil)
	if err != nil {
		return "its address is none"
	}
	resp, err := client.Do(req)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "its name can't be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to its host"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", endpointTime)
	case err != nil:
		return "the connection broke"
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Sprintf("it answers with status %d", resp.StatusCode)
	}
	return ""
}

// status is what is wrong with each endpoint that has been asked, "" if nothing.
func (e *endpoints) status() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wrong // is replaced, never written to
}

// sources are the origins that pages may fetch tiles from.
func (e *endpoints) sources() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.origins
}
