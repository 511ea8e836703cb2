package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/loop"
	"github.com/slideatlas/ptiffstore/internal/metrics"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// background is what runs beside the requests, until the process ends.
type background struct {
	log   *slog.Logger
	loops loop.Set

	functions []func(context.Context)
}

// add adds a function that runs until its context is done. Call it before start.
func (b *background) add(f func(ctx context.Context)) { b.functions = append(b.functions, f) }

// addLoop adds a loop; see [loop.Set.Run].
func (b *background) addLoop(name string, round func(context.Context) error) {
	b.add(func(ctx context.Context) { b.loops.Run(ctx, b.log, name, round) })
}

// start starts all functions. They have ended when wg is done.
func (b *background) start(ctx context.Context, wg *sync.WaitGroup) {
	for _, f := range b.functions {
		wg.Go(func() { f(ctx) })
	}
}

// states returns the states of the loops, as metrics.
func (b *background) states() []metrics.Loop {
	list := b.loops.States()
	out := make([]metrics.Loop, len(list))
	for i, l := range list {
		out[i] = metrics.Loop{Name: l.Name, Store: l.Store, Failures: l.Failures}
		if l.Failing != nil {
			out[i].Failing = l.Failing.Since
		}
	}
	return out
}

// degraded returns a line for each name of failing loops, without details, since every
// client can read /readyz.
func (b *background) degraded() []string {
	type many struct {
		failing, all int
		since        time.Time
		why          string
	}
	names := map[string]*many{}
	for _, l := range b.loops.States() {
		m := names[l.Name]
		if m == nil {
			m = new(many)
			names[l.Name] = m
		}
		m.all++
		if l.Failing == nil {
			continue
		}
		if m.failing++; m.since.IsZero() || l.Failing.Since.Before(m.since) {
			m.since, m.why = l.Failing.Since, publicReason(l.Failing.Err)
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if m := names[name]; m.failing > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d of %d failing since %s: %s", name, m.failing, m.all, m.since.UTC().Format(time.RFC3339), m.why))
		}
	}
	return lines
}

// publicReason returns an error as text without internal details.
func publicReason(err error) string {
	switch {
	case errors.Is(err, catalog.ErrFull), errors.Is(err, scan.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "a disk is full"
	case errors.Is(err, catalog.ErrAway):
		return "the database is unavailable"
	}
	return "see the log"
}
