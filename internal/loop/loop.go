// Package loop runs what a process does in the background for as long as it lives. A
// loop never ends because of an error or a panic: it waits, each time longer, and
// begins again. Until then everybody can see that it fails, since when and why.
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

// A Set holds the loops of a process, to be shown. The zero value is ready for use, and
// the loops of a nil Set are shown nowhere.
type Set struct {
	mu    sync.Mutex
	loops []*Loop // that run
}

// A Loop is one thing that goes on in the background.
type Loop struct {
	// Longest bounds the wait between two attempts, 30 s if 0.
	Longest time.Duration

	set   *Set
	log   *slog.Logger
	name  string
	store string

	mu       sync.Mutex
	failure  *Failure // nil while it is well
	failures int64
}

// A Failure is why a loop does not do its work at present.
type Failure struct {
	Err   error
	Since time.Time // of the first failure in a row
	Next  time.Time // when it is tried again
	Times int       // in a row
}

// A State is how it stands with the loops of one name and store.
type State struct {
	Name     string
	Store    string   // id; "" if they are about no store
	Failing  *Failure // the one that has lasted longest; nil if all are well
	Failures int64    // since the start
}

// New returns a loop that is shown in the set while it runs. The name is a noun of a few
// words, and store the id of the store that it is about, "" for none.
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

// Run calls round again and again until ctx is done: at once if it returned nil, or after
// a pause if it failed or panicked. A round waits for something to do, does it, and
// returns; one that lasts calls [Loop.Well] once it has begun its work.
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

// Every is a round that does f and then waits for pause.
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

// Try calls f, and makes an error of a panic.
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

// fail notes a failure, and returns how long to wait for the next attempt.
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

// pause doubles with each failure up to a bound. Half of it is by chance, so that
// processes that failed together don't come back together.
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

// Well says that the loop does its work.
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

// Failing returns why the loop does not do its work, nil if it does.
func (l *Loop) Failing() *Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure // is replaced, never written to
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

// States returns how it stands with the loops that run, in the order of their names.
// Loops of the same name and store are one.
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
