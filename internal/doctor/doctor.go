// Package doctor examines a site and says in words what must be mended.
//
// It changes nothing. Each check has a bounded time and all run side by side, so that
// a disk or server that hangs keeps back only what is said of itself. What it says
// names folders of stores, and nothing that is in them.
package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Level says how bad a finding is.
type Level string

const (
	OK      Level = "ok"
	Unknown Level = "unknown" // it could not be checked
	Warning Level = "warning" // it works, and may not for long or for all
	Wrong   Level = "wrong"   // it must be mended
)

// A Finding is what was found by looking at one thing.
type Finding struct {
	Check string `json:"check"` // what was looked at
	Level Level  `json:"level"`
	Said  string `json:"said"`           // what is so
	Mend  string `json:"mend,omitempty"` // what to do
}

// A Site says what is to be examined: what the processes of the site are told, too.
type Site struct {
	Version  string
	Data     string // folder; not made if it is not there
	Database string // as for [catalog.Open]
	Host     string // name of this host
	Decoder  string // of JPEGs, as it calls itself

	Listen  string
	Metrics string // address of the figures of a process, "" for none
	Auth    string // none, local or central
	// Open says that whoever reaches the port is served without access control.
	Open bool
	// Refused is why a server would not start with these flags, nil if it would.
	Refused    error
	PublicURL  string
	Issuer     string // of OpenID Connect
	Central    string // URL of the central server
	Roots      *x509.CertPool
	AskCentral func(context.Context) error // asks as the edge does; nil without one
	Secrets    map[string]string           // files that nobody else may read, by the flag that names them

	OpenFiles int    // slides kept open
	CacheSize int64  // bytes
	Backups   string // folder of backups; "" if it is not known
	// Limit bounds the time of a check; 10 s if 0.
	Limit time.Duration
}

// A Report is what was found, in the order in which things were looked at.
type Report struct {
	Healthy  bool      `json:"healthy"` // nothing is wrong
	Findings []Finding `json:"findings"`
}

// A check looks at one thing.
type check struct {
	name string
	run  func(context.Context, *notes)
}

// notes are what a check has found so far.
type notes struct {
	name string
	mu   sync.Mutex
	list []Finding
	over bool // its time; what comes later is not heard
}

func (n *notes) add(l Level, mend, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.over {
		n.list = append(n.list, Finding{n.name, l, fmt.Sprintf(format, args...), mend})
	}
}

func (n *notes) ok(format string, args ...any)            { n.add(OK, "", format, args...) }
func (n *notes) unknown(mend, format string, args ...any) { n.add(Unknown, mend, format, args...) }
func (n *notes) warn(mend, format string, args ...any)    { n.add(Warning, mend, format, args...) }
func (n *notes) wrong(mend, format string, args ...any)   { n.add(Wrong, mend, format, args...) }

func (n *notes) close() []Finding {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	return n.list
}

const defaultLimit = 10 * time.Second

// Examine looks at everything, and returns what it found.
func Examine(ctx context.Context, s Site) Report {
	if s.Limit <= 0 {
		s.Limit = defaultLimit
	}
	e := &examination{Site: s}
	defer e.close()
	// What the others are about is in the database.
	first := e.run(ctx, []check{{"database", e.database}})
	rest := e.run(ctx, slices.Concat(e.here(), e.stores(), e.elsewhere(), e.work()))
	r := Report{Healthy: true, Findings: slices.Concat(first, rest)}
	for _, f := range r.Findings {
		r.Healthy = r.Healthy && f.Level != Wrong
	}
	return r
}

// run runs checks side by side. One that does not end in time is left behind.
func (e *examination) run(ctx context.Context, checks []check) []Finding {
	found := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { found[i] = e.one(ctx, c) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

// grace is what a check is given to end once its time is over: one that waits for a
// disk that hangs can't be broken off.
const grace = 500 * time.Millisecond

func (e *examination) one(ctx context.Context, c check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, e.Limit)
	defer cancel()
	n := &notes{name: c.name}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.run(ctx, n)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		select {
		case <-ended:
		case <-time.After(grace):
			n.unknown("see whether its disk or network hangs; --limit gives it more time", "no answer within %v", e.Limit)
		}
	}
	return n.close()
}

// Text is the report for people: what is not as it should be, or all of it.
func (r Report) Text(all bool) string {
	var b strings.Builder
	count := map[Level]int{}
	for _, f := range r.Findings {
		count[f.Level]++
		if f.Level == OK && !all {
			continue
		}
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Level, f.Check, f.Said)
		if f.Mend != "" {
			fmt.Fprintf(&b, "         → %s\n", f.Mend)
		}
	}
	fmt.Fprintf(&b, "%d checked, %s\n", len(r.Findings), tally(count))
	return b.String()
}

func tally(count map[Level]int) string {
	var parts []string
	for _, l := range []struct {
		level Level
		word  string
	}{{Wrong, "to mend"}, {Warning, "to look at"}, {Unknown, "not known"}} {
		if n := count[l.level]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, l.word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing to mend")
}
