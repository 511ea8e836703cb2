// Package loop runs a process's background work. A loop never ends because of an error or
// a panic: it waits, each time longer, and starts again. While it fails, health checks
// and metrics show since when and why.
package loop

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// firstPause is the wait after the first failure. It doubles with each further one.
	firstPause = 500 * time.Millisecond
	// longestPause is the longest wait, unless [Loop.Longest] is set.
	longestPause = 30 * time.Second
)

// A Set lists the running loops of a process, for display. The zero value is ready for
// use; a nil Set lists no loops.
type Set struct {
	mu    sync.Mutex
	loops []*Loop // running
}

// A Loop is one background activity.
type Loop struct {
	// Longest bounds the wait between two attempts, 30 s if 0.
	Longest time.Duration

	set   *Set
	log   *slog.Logger
	name  string
	store string

	mu       sync.Mutex
	failure  *Failure // nil while the loop works
	failures int64
}

// A Failure describes why a loop does not work at present.
type Failure struct {
	Err   error
	Since time.Time // first failure in a row
	Next  time.Time // next attempt
	Times int       // failures in a row
}

// A State is the status of the loops of one name and store.
type State struct {
	Name     string
	Store    string   // id, or ""
	Failing  *Failure // the longest lasting one; nil if all work
	Failures int64    // since the process started
}

// New returns a loop that the set lists while it runs. The name is a noun of a few words;
// store is the id of its store, or "".
func (s *Set) New(log *slog.Logger, name, store string) *Loop {
	if log == nil {
		log = slog.Default()
	}
	return &Loop{set: s, log: log, name: name, store: store}
}

// Run runs a new loop; see [Loop.Run].
func (s *Set) Run(ctx context.Context, log *slog.Logger, name string, round func(context.Context) error) {
	s.New(log, name, "").Run(ctx, round)
}

// Run calls round repeatedly until ctx is done: at once if it returned nil, or after a
// pause if it failed or panicked. A round waits for work, does it, and returns; a long
// round calls [Loop.Well] once its work has begun.
func (l *Loop) Run(ctx context.Context, round func(context.Context) error) {
	l.set.add(l)
	defer l.set.remove(l)
	for ctx.Err() == nil {
		err := Try(func() error { return round(ctx) })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			l.Well()
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.fail(ctx, err)):
		}
	}
}

// Every returns a round that calls f and then waits for pause.
func Every(pause time.Duration, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := f(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		return nil
	}
}

// Try calls f, and turns a panic into an error.
func Try(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, debug.Stack()}
		}
	}()
	return f()
}

// A panicError is the error of a round that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// fail records a failure, and returns how long to wait before the next attempt.
func (l *Loop) fail(ctx context.Context, err error) time.Duration {
	now := time.Now()
	l.mu.Lock()
	f := Failure{Err: err, Since: now, Times: 1}
	if l.failure != nil {
		f.Since, f.Times = l.failure.Since, l.failure.Times+1
	}
	pause := l.pause(f.Times)
	f.Next = now.Add(pause)
	l.failure = &f
	l.failures++
	l.mu.Unlock()
	attrs := append(l.attrs(), slog.Any("err", err), slog.Duration("next_try_in", pause.Round(time.Millisecond)), slog.Int("failures", f.Times))
	if p, ok := err.(*panicError); ok { //nolint:errorlint // call returns it as it is
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	l.log.LogAttrs(ctx, slog.LevelWarn, "background loop failed, trying again", attrs...)
	return pause
}

// pause doubles with each failure up to a limit. Half of it is random, so that processes
// that failed together don't retry together.
func (l *Loop) pause(times int) time.Duration {
	longest := l.Longest
	if longest <= 0 {
		longest = longestPause
	}
	d := longest
	if times < 16 {
		d = min(longest, firstPause<<(times-1))
	}
	return d/2 + rand.N(d/2+1)
}

// Well reports that the loop works.
func (l *Loop) Well() {
	l.mu.Lock()
	was := l.failure
	l.failure = nil
	l.mu.Unlock()
	if was != nil {
		attrs := append(l.attrs(), slog.Duration("after", time.Since(was.Since).Round(time.Millisecond)), slog.Int("failures", was.Times))
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "background loop works again", attrs...)
	}
}

func (l *Loop) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("loop", l.name)}
	if l.store != "" {
		attrs = append(attrs, slog.String("store", l.store))
	}
	return attrs
}

// Failing returns why the loop does not work, or nil if it works.
func (l *Loop) Failing() *Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure // replaced, never modified
}

func (s *Set) add(l *Loop) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loops = append(s.loops, l)
}

func (s *Set) remove(l *Loop) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.loops, l); i >= 0 {
		s.loops = slices.Delete(s.loops, i, i+1)
	}
}

// States returns the status of the running loops, ordered by name. Loops of the same name
// and store are combined.
func (s *Set) States() []State {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	loops := slices.Clone(s.loops)
	s.mu.Unlock()
	slices.SortStableFunc(loops, func(a, b *Loop) int {
		return strings.Compare(a.name+"\x00"+a.store, b.name+"\x00"+b.store)
	})
	var list []State
	for _, l := range loops {
		if n := len(list); n == 0 || list[n-1].Name != l.name || list[n-1].Store != l.store {
			list = append(list, State{Name: l.name, Store: l.store})
		}
		last := &list[len(list)-1]
		l.mu.Lock()
		f, failures := l.failure, l.failures
		l.mu.Unlock()
		last.Failures += failures
		if f != nil && (last.Failing == nil || f.Since.Before(last.Failing.Since)) {
			last.Failing = f
		}
	}
	return list
}
