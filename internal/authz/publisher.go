package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/loop"
)

// RevokePath is the edge's route to which revocations are sent.
const RevokePath = "/api/v1/auth/revoke"

// A RevocationPublisher sends each revocation to the edges of a central server, and
// retries until they have received it. An edge that was unreachable also fetches missed
// revocations itself.
type RevocationPublisher struct {
	Accounts *account.Accounts
	Client   *http.Client // with the certificates of edges; nil is a client with a timeout of 5 seconds
	Log      *slog.Logger
	Loops    *loop.Set // shows whether edges are reached; may be nil

	mu    sync.Mutex
	edges map[string]*subscribedEdge
}

// subscribedEdge is an edge, and the goroutine that sends it revocations.
type subscribedEdge struct {
	edge account.Edge
	wake chan struct{}
	stop context.CancelFunc
}

const (
	edgePoll        = 30 * time.Second // interval of looking for new edges
	maxPublishPause = time.Minute      // the longest pause between attempts
	// revocationPoll is the interval of looking for revocations by other processes, such
	// as the command line.
	revocationPoll = time.Second
)

// Run sends revocations until ctx is done.
func (t *RevocationPublisher) Run(ctx context.Context) error {
	if t.Client == nil {
		t.Client = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	t.mu.Lock()
	t.edges = map[string]*subscribedEdge{}
	t.mu.Unlock()
	t.Accounts.Revocations.Notify(func(account.Revocation) { t.wake() })
	var running sync.WaitGroup
	defer running.Wait()
	l := t.Loops.New(t.Log, "edges", "")
	l.Run(ctx, func(ctx context.Context) error {
		if err := t.updateEdges(ctx, &running); err != nil {
			return fmt.Errorf("cannot read the edge servers: %w", err)
		}
		l.Well()
		return t.waitForRevocations(ctx, edgePoll)
	})
	return nil
}

// waitForRevocations wakes the edges' goroutines at each revocation, for that long.
func (t *RevocationPublisher) waitForRevocations(ctx context.Context, long time.Duration) error {
	last := int64(-1)
	for end := time.Now().Add(long); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(revocationPoll):
		}
		latest, err := t.Accounts.Revocations.Latest(ctx)
		if err != nil {
			return fmt.Errorf("cannot read revocations: %w", err)
		}
		if latest != last {
			t.wake() // the first time nothing is to be sent, which does no harm
			last = latest
		}
	}
	return nil
}

// wake has all pending revocations sent.
func (t *RevocationPublisher) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.edges {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// updateEdges starts and stops goroutines to match the current edges; Run calls it
// periodically.
func (t *RevocationPublisher) updateEdges(ctx context.Context, running *sync.WaitGroup) error {
	edges, err := t.Accounts.Edges.List(ctx)
	if err != nil {
		return err
	}
	latest, err := t.Accounts.Revocations.Latest(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := t.edges
	t.edges = map[string]*subscribedEdge{}
	for _, e := range edges {
		old := gone[e.ID]
		if old == nil {
			ctx, stop := context.WithCancel(ctx)
			old = &subscribedEdge{edge: e, wake: make(chan struct{}, 1), stop: stop}
			running.Go(func() { t.publish(ctx, old, latest) })
		}
		t.edges[e.ID] = old
		delete(gone, e.ID)
	}
	for _, e := range gone {
		e.stop()
	}
	return nil
}

// publish keeps one edge in sync, from revocation number last on.
func (t *RevocationPublisher) publish(ctx context.Context, e *subscribedEdge, last int64) {
	l := t.Loops.New(t.Log, "publishing revocations", "")
	l.Longest = maxPublishPause
	l.Run(ctx, func(ctx context.Context) error {
		n, err := t.send(ctx, &e.edge, last)
		if err != nil {
			return fmt.Errorf("cannot reach edge server %s; it uses cached decisions until they expire: %w", e.edge.ID, err)
		}
		if l.Well(); n > last {
			last = n
			return nil
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		}
		return nil
	})
}

// send sends the edge some revocations after last, and returns the number of the last one
// sent.
func (t *RevocationPublisher) send(ctx context.Context, e *account.Edge, last int64) (int64, error) {
	items, err := t.Accounts.Revocations.Since(ctx, last)
	if err != nil || len(items) == 0 {
		return last, err
	}
	n := items[len(items)-1].N
	body, err := json.Marshal(RevocationPage{Items: items, Latest: n})
	if err != nil {
		return last, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(e.URL, "/")+RevokePath, bytes.NewReader(body))
	if err != nil {
		return last, err
	}
	r.Header.Set("Content-Type", "application/json")
	Prove(r, body, e.Key, time.Now())
	resp, err := t.Client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return last, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) //nolint:errcheck // lets the connection be reused
	if resp.StatusCode/100 != 2 {
		return last, fmt.Errorf("the response has status %d", resp.StatusCode)
	}
	return n, nil
}
