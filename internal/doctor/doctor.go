// Package doctor examines a site, and reports problems and how to fix them.
//
// It changes nothing. Each check has a time limit and all run concurrently, so that a disk
// or server that hangs affects only the findings about itself. The findings name folders of
// stores, but nothing in them.
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

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A Level is the severity of a finding.
type Level string

const (
	OK      Level = "ok"
	Unknown Level = "unknown" // it could not be checked
	Warning Level = "warning" // it works, but may not for long or for everyone
	Wrong   Level = "wrong"   // it must be fixed
)

// A Finding is the result of checking one thing.
type Finding struct {
	Check   string `json:"check"` // what was checked
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // what to do
}

// A Site is what to examine, with the settings of its processes.
type Site struct {
	Version  string
	Data     string // data directory; not created if it is missing
	Database string // as for [catalog.Open]
	Host     string // name of this host
	Decoder  string // name of the JPEG decoder

	// Origin is the server whose settings these are, such as "process 12"; "" if they were
	// given. Doubt is why they may be others than the server's, or nil.
	Origin string
	Doubt  error

	Listen  string
	Metrics string // address of the metrics of a process, "" for none
	Auth    string // none, local or central
	// Open: every client that reaches the port is served without access control.
	Open bool
	// Refused is why a server would not start with these flags, or nil.
	Refused    error
	PublicURL  string
	Issuer     string // of OpenID Connect
	Central    string // URL of the central server
	Roots      *x509.CertPool
	AskCentral func(context.Context) error // asks as the edge does; nil without one
	Secrets    map[string]string           // files that other users must not read, by the flag that names them

	OpenFiles int    // slides kept open
	CacheSize int64  // bytes
	Backups   string // folder of backups; "" if it is not known
	Bucket    bucket.Settings
	// Free returns the free bytes on the disk of a folder; [fsx.Free] if nil.
	Free func(dir string) (int64, error)
	// Limit is the time limit of a check; 10 s if 0.
	Limit time.Duration
}

// A Report has the findings in the order of the checks.
type Report struct {
	Healthy  bool      `json:"healthy"` // nothing is wrong
	Findings []Finding `json:"findings"`
}

// A check examines one thing.
type check struct {
	name string
	run  func(context.Context, *notes)
}

// notes are the findings of a check so far.
type notes struct {
	name string
	mu   sync.Mutex
	list []Finding
	over bool // its time is over; later findings are dropped
}

func (n *notes) add(l Level, fix, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.over {
		n.list = append(n.list, Finding{n.name, l, fmt.Sprintf(format, args...), fix})
	}
}

func (n *notes) ok(format string, args ...any)           { n.add(OK, "", format, args...) }
func (n *notes) unknown(fix, format string, args ...any) { n.add(Unknown, fix, format, args...) }
func (n *notes) warn(fix, format string, args ...any)    { n.add(Warning, fix, format, args...) }
func (n *notes) wrong(fix, format string, args ...any)   { n.add(Wrong, fix, format, args...) }

func (n *notes) close() []Finding {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	return n.list
}

const defaultLimit = 10 * time.Second

// Examine runs all checks and returns the report.
func Examine(ctx context.Context, s Site) Report {
	if s.Limit <= 0 {
		s.Limit = defaultLimit
	}
	if s.Free == nil {
		s.Free = fsx.Free
	}
	e := &examination{Site: s}
	defer e.close()
	// The other checks need the content of the database.
	first := e.run(ctx, []check{{"database", e.database}})
	rest := e.run(ctx, slices.Concat(e.host(), e.stores(), e.network(), e.taskChecks()))
	r := Report{Healthy: true, Findings: slices.Concat(first, rest)}
	for _, f := range r.Findings {
		r.Healthy = r.Healthy && f.Level != Wrong
	}
	return r
}

// run runs checks concurrently. It does not wait for one that exceeds its time.
func (e *examination) run(ctx context.Context, checks []check) []Finding {
	found := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { found[i] = e.one(ctx, c) })
	}
	wg.Wait()
	return slices.Concat(found...)
}

// grace is how long a check may still take after its time limit: waiting for a disk that
// hangs cannot be interrupted.
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
			n.unknown("check whether its disk or network hangs; --timeout gives it more time", "no answer within %v", e.Limit)
		}
	}
	return n.close()
}

// Text returns the report for people: the problems, or all findings.
func (r Report) Text(all bool) string {
	var b strings.Builder
	count := map[Level]int{}
	for _, f := range r.Findings {
		count[f.Level]++
		if f.Level == OK && !all {
			continue
		}
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Level, f.Check, f.Message)
		if f.Fix != "" {
			fmt.Fprintf(&b, "         → %s\n", f.Fix)
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
	}{{Wrong, "to fix"}, {Warning, "to check"}, {Unknown, "unknown"}} {
		if n := count[l.level]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, l.word))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing to fix")
}
