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

// endpoints checks whether the tile servers of stores are reachable.
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
	// endpointTime is how long an endpoint may take to answer.
	endpointTime = 3 * time.Second
)

// openEndpoints reads the endpoints of all stores, and checks them periodically.
func (s *Server) openEndpoints(ctx context.Context) error {
	s.endpoints = &endpoints{catalog: s.storage.catalog, log: s.log, loops: &s.background.loops}
	if _, err := s.endpoints.read(ctx); err != nil {
		return err
	}
	s.background.add(s.endpoints.run)
	return nil
}

// run checks all endpoints periodically until ctx is done.
func (e *endpoints) run(ctx context.Context) {
	// The request has no secrets and its answer is not used, so the certificate does not
	// matter here: browsers that fetch tiles verify it.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // see above
	client := &http.Client{Transport: transport, Timeout: endpointTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	e.loops.Run(ctx, e.log, "endpoints", loop.Every(endpointsEvery, func(ctx context.Context) error {
		urls, err := e.read(ctx) // the known ones, if the catalog cannot be read
		e.ask(ctx, client, urls)
		return err
	}))
}

// read reads the endpoints of all stores.
func (e *endpoints) read(ctx context.Context) ([]string, error) {
	list, err := e.catalog.Stores.List(ctx)
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

// ask checks each endpoint, and logs changes.
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
			e.log.Warn("cannot reach the endpoint of a store", "endpoint", u, "err", wrong[i])
		case wrong[i] == "" && was != "":
			e.log.Info("the endpoint of a store is reachable again", "endpoint", u)
		}
	}
	e.wrong = now
}

// wrongWith returns why an endpoint cannot be reached, as text; "" if it can.
func wrongWith(ctx context.Context, client *http.Client, endpoint string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint, "/")+"/healthz", nil)
	if err != nil {
		return "the endpoint is not a valid URL"
	}
	resp, err := client.Do(req)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "the host name can't be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to its host"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", endpointTime)
	case err != nil:
		return "the connection was interrupted"
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Sprintf("it responds with status %d", resp.StatusCode)
	}
	return ""
}

// status returns the error of each endpoint that has been checked, "" if it is reachable.
func (e *endpoints) status() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wrong // replaced, never written to
}

// sources returns the origins that pages may fetch tiles from.
func (e *endpoints) sources() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.origins
}
