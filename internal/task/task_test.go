package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

const (
	testPoll = 50 * time.Millisecond
	testBeat = 200 * time.Millisecond
	testDead = 5 * time.Minute  // no worker is taken for dead because the machine is busy
	waitTime = 60 * time.Second // for a machine that is busy with other tests
)

// template is a database without tasks, of which each test gets a copy.
var template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	c, err := catalog.Open(ctx, url)
	if err != nil {
		return err
	}
	_, err = Open(ctx, Options{Catalog: c})
	return errors.Join(err, c.Close())
}}

// onBoth runs a test on both databases, each without tasks.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	onEach(t, test, template.SQLite, template.Postgres)
}

// onEmpty runs a test on both databases, each without tables.
func onEmpty(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	onEach(t, test, func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "catalog.db") }, pgtest.New)
}

func onEach(t *testing.T, test func(t *testing.T, url string), sqlite, postgres func(testing.TB) string) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, postgres(t))
	})
}

// open opens the tasks of a database as another process would.
func open(t testing.TB, url string, kinds ...Kind) *Service {
	t.Helper()
	c, err := catalog.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := Open(t.Context(), Options{Catalog: c, Kinds: kinds, Poll: testPoll, Host: "test", Heartbeat: testBeat, DeadAfter: testDead})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return svc
}

// work runs a worker until the test ends, or the returned function is called.
func work(t testing.TB, svc *Service, queues map[string]int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Work(ctx, WorkOptions{Queues: queues}) }()
	var stopped atomic.Bool
	stop = func() {
		cancel()
		if stopped.CompareAndSwap(false, true) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func submit(t testing.TB, svc *Service, s Submission) *View {
	t.Helper()
	v, err := svc.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wait(t testing.TB, svc *Service, id string) *View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	v, err := svc.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// until waits until ok holds for a task.
func until(t testing.TB, svc *Service, id string, is func(*View) bool) *View {
	t.Helper()
	for began := time.Now(); ; time.Sleep(testPoll / 2) {
		v, err := svc.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if is(v) {
			return v
		}
		if time.Since(began) > waitTime {
			t.Fatalf("task is still %+v", v)
		}
	}
}

func inState(s State) func(*View) bool { return func(v *View) bool { return v.State == s } }

var one = map[string]int{DefaultQueue: 1}

func TestRun(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore, Run: func(_ context.Context, task *Task) (any, error) {
			task.Progress(1, 3, "files")
			task.Logf("looked at %d of %d", 3, 3)
			task.Progress(3, 3, "files")
			return map[string]any{"store": task.Store, "args": task.Args}, nil
		}})
		v := submit(t, svc, Submission{Kind: SyncStore, Store: "s1", Args: Args{DryRun: true}})
		want := &View{
			ID: v.ID, Kind: SyncStore, Queue: DefaultQueue, State: Waiting, Args: json.RawMessage(`{"dry_run":true,"store":"s1"}`),
			Log: []LogLine{}, WaitingForWorker: true, SubmittedAt: v.SubmittedAt,
		}
		asJSON := cmp.Transformer("json", func(m json.RawMessage) any {
			var a any
			if m != nil && json.Unmarshal(m, &a) != nil {
				t.Errorf("%s is no JSON", m)
			}
			return a
		})
		if diff := cmp.Diff(want, v, asJSON); diff != "" {
			t.Errorf("Submit (-want +got):\n%s", diff)
		}
		work(t, svc, one)
		v = wait(t, svc, v.ID)
		total := int64(3)
		want.State, want.Ready, want.Attempts, want.WaitingForWorker = Succeeded, true, 1, false
		want.Progress = &Progress{Done: 3, Total: &total, Unit: "files"}
		want.Result = json.RawMessage(`{"store":"s1","args":{"dry_run":true,"store":"s1"}}`)
		want.Log = []LogLine{{Text: "looked at 3 of 3"}}
		if v.Worker == nil || v.StartedAt == nil || v.FinishedAt == nil || v.FinishedAt.Before(v.SubmittedAt) {
			t.Errorf("worker %v, started %v, finished %v", v.Worker, v.StartedAt, v.FinishedAt)
		}
		if diff := cmp.Diff(want, v, asJSON, cmpopts.IgnoreFields(View{}, "Worker", "StartedAt", "FinishedAt"), cmpopts.IgnoreFields(LogLine{}, "At")); diff != "" {
			t.Errorf("Wait (-want +got):\n%s", diff)
		}
	})
}

func TestFailures(t *testing.T) {
	tests := []struct {
		name     string
		err      error
		attempts int // maximum
		fails    int // number of failures before it succeeds
		want     State
		tried    int
	}{
		{"again", errors.New("no luck"), 3, 1, Succeeded, 2},
		{"too often", errors.New("no luck"), 1, 9, Failed, 1},
		{"permanent", fmt.Errorf("no %w", Permanent(errors.New("luck"))), 5, 9, Failed, 1},
		{"later", Later(testPoll), 1, 2, Succeeded, 1},
	}
	onBoth(t, func(t *testing.T, url string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var calls atomic.Int32
				svc := open(t, url, Kind{Name: tt.name[:3] + "kind", MaxAttempts: tt.attempts, Run: func(context.Context, *Task) (any, error) {
					if int(calls.Add(1)) <= tt.fails {
						return nil, tt.err
					}
					return "done", nil
				}})
				work(t, svc, one)
				v := wait(t, svc, submit(t, svc, Submission{Kind: tt.name[:3] + "kind"}).ID)
				if v.State != tt.want || v.Attempts != tt.tried {
					t.Errorf("state %s after %d attempts, want %s after %d", v.State, v.Attempts, tt.want, tt.tried)
				}
				if tt.want == Failed && (v.Error == nil || *v.Error != "no luck") {
					t.Errorf("error %v", v.Error)
				}
				if tt.want == Succeeded && string(v.Result) != `"done"` {
					t.Errorf("result %s", v.Result)
				}
			})
		}
	})
}

// TestErrorCode checks that a task has the code of its last error only.
func TestErrorCode(t *testing.T) {
	coded := Permanent(fmt.Errorf("sync: %w", WithCode(errors.New("no luck"), "unlucky")))
	tests := []struct {
		name string
		errs []error
		want string
	}{
		{"code", []error{coded}, "unlucky"},
		{"none", []error{Permanent(errors.New("no luck"))}, ""},
		{"later error", []error{WithCode(errors.New("no luck"), "unlucky"), Permanent(errors.New("still none"))}, ""},
	}
	onBoth(t, func(t *testing.T, url string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kind := tt.name[:3] + "code"
				svc := open(t, url, Kind{Name: kind, MaxAttempts: 3, Run: func(_ context.Context, task *Task) (any, error) {
					return nil, tt.errs[task.Attempt-1]
				}})
				work(t, svc, one)
				v := wait(t, svc, submit(t, svc, Submission{Kind: kind}).ID)
				got := ""
				if v.ErrorCode != nil {
					got = *v.ErrorCode
				}
				if got != tt.want || v.Attempts != len(tt.errs) || v.State == Failed && v.Result != nil {
					t.Errorf("code %q, result %s after %d attempts, want %q and no result after %d", got, v.Result, v.Attempts, tt.want, len(tt.errs))
				}
			})
		}
	})
}

func TestUnique(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		none := func(context.Context, *Task) (any, error) { return nil, nil }
		svc := open(t, url, Kind{Name: SyncStore, Run: none, Unique: true}, Kind{Name: HashImage, Run: none})
		first := submit(t, svc, Submission{Kind: SyncStore, Store: "a", Args: Args{DryRun: true}})
		tests := []struct {
			name string
			s    Submission
			same bool
		}{
			{"the same", Submission{Kind: SyncStore, Args: Args{Store: "a", DryRun: true}}, true},
			{"in another queue", Submission{Kind: SyncStore, Queue: "other", Store: "a", Args: Args{DryRun: true}}, true},
			{"another store", Submission{Kind: SyncStore, Store: "b", Args: Args{DryRun: true}}, false},
			{"other arguments", Submission{Kind: SyncStore, Store: "a"}, false},
			{"another kind", Submission{Kind: HashImage, Store: "a"}, false},
		}
		for _, tt := range tests {
			if v := submit(t, svc, tt.s); (v.ID == first.ID) != tt.same {
				t.Errorf("%s: same task %v, want %v", tt.name, v.ID == first.ID, tt.same)
			}
		}
		a, b := submit(t, svc, Submission{Kind: HashImage}), submit(t, svc, Submission{Kind: HashImage})
		if a.ID == b.ID {
			t.Error("a kind that is not unique gave the same task twice")
		}
		work(t, svc, one)
		wait(t, svc, first.ID)
		if v := submit(t, svc, tests[0].s); v.ID == first.ID {
			t.Error("a task that has ended came back")
		}
	})
}

func TestRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore})
		tests := []struct {
			name string
			s    Submission
			want error
		}{
			{"kind", Submission{Kind: "make_coffee"}, ErrUnknownKind},
			{"queue", Submission{Kind: SyncStore, Queue: "Not This"}, ErrBadQueue},
			{"long queue", Submission{Kind: SyncStore, Queue: string(make([]byte, 65))}, ErrBadQueue},
			{"not of its kind", Submission{Kind: SyncStore, Args: Args{Image: "x"}}, ErrBadArgs},
			{"large", Submission{Kind: SyncStore, Store: strings.Repeat("x", maxArgs)}, ErrBadArgs},
			{"nothing", Submission{Kind: SyncStore}, nil},
		}
		for _, tt := range tests {
			if _, err := svc.Submit(t.Context(), tt.s); !errors.Is(err, tt.want) {
				t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
			}
		}
		for _, id := range []string{"", "t", "tzzz", "1", "t1", "t01", "T1", "t-1", "tg7ccccccccccccccc"} {
			want := ErrNotFound
			if id == "t1" {
				want = nil
			}
			if _, err := svc.Get(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("Get(%q): error %v, want %v", id, err, want)
			}
			if id == "t1" {
				continue
			}
			if _, err := svc.Cancel(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Cancel(%q): error %v", id, err)
			}
		}
		for _, f := range []Filter{{State: "happy"}, {Cursor: "what"}} {
			if _, _, err := svc.List(t.Context(), f); !errors.Is(err, ErrBadFilter) {
				t.Errorf("List(%+v): error %v", f, err)
			}
		}
	})
}

func TestList(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url,
			Kind{Name: SyncStore, Run: func(context.Context, *Task) (any, error) { return nil, nil }},
			Kind{Name: HashImage, Run: func(context.Context, *Task) (any, error) { return nil, Permanent(errors.New("no")) }},
			Kind{Name: VerifyStore, Run: func(context.Context, *Task) (any, error) { return nil, errors.New("not yet") }})
		var ids []string
		add := func(s Submission) string {
			ids = append(ids, submit(t, svc, s).ID)
			return ids[len(ids)-1]
		}
		done := add(Submission{Kind: SyncStore, Store: "a"})
		failed := add(Submission{Kind: HashImage, Store: "b"})
		retried := add(Submission{Kind: VerifyStore, Store: "a"})
		waits := add(Submission{Kind: SyncStore, Store: "a", Queue: "far"})
		off := add(Submission{Kind: SyncStore, Store: "b", Queue: "far"})
		if _, err := svc.Cancel(t.Context(), off); err != nil {
			t.Fatal(err)
		}
		stop := work(t, svc, one)
		wait(t, svc, done)
		wait(t, svc, failed)
		until(t, svc, retried, func(v *View) bool { return v.State == Retrying && v.Error != nil })
		stop()
		until(t, svc, retried, inState(Retrying))
		tests := []struct {
			f    Filter
			want []string
		}{
			{Filter{}, []string{off, waits, retried, failed, done}},
			{Filter{State: Succeeded}, []string{done}},
			{Filter{State: Failed}, []string{failed}},
			{Filter{State: Retrying}, []string{retried}},
			{Filter{State: Waiting}, []string{waits}},
			{Filter{State: Cancelled}, []string{off}},
			{Filter{State: Running}, nil},
			{Filter{Store: "a"}, []string{waits, retried, done}},
			{Filter{Store: "a", Kind: SyncStore, State: Waiting, Queue: "far"}, []string{waits}},
			{Filter{Queue: "far"}, []string{off, waits}},
			{Filter{Kind: HashImage}, []string{failed}},
		}
		for _, tt := range tests {
			page, next, err := svc.List(t.Context(), tt.f)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range page {
				got = append(got, v.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || next != "" {
				t.Errorf("List(%+v): next %q, (-want +got):\n%s", tt.f, next, diff)
			}
		}
		var got []string
		for f := (Filter{Limit: 2}); ; {
			page, next, err := svc.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page {
				got = append(got, v.ID)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(tests[0].want, got); diff != "" {
			t.Errorf("page by page (-want +got):\n%s", diff)
		}
	})
}

// TestNames checks the names of kinds, states and fields, which are part of the API.
func TestNames(t *testing.T) {
	b, err := json.Marshal(View{Progress: &Progress{}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"","kind":"","queue":"","args":null,"state":"","ready":false,"progress":{"done":0,"total":null,"unit":""},` +
		`"result":null,"error":null,"error_code":null,"attempts":0,"worker":null,"request_id":null,"submitted_at":"0001-01-01T00:00:00Z","started_at":null,"finished_at":null,` +
		`"log":null,"waiting_for_worker":false}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		stubborn := Kind{Name: SyncStore, MaxAttempts: 1, Run: func(ctx context.Context, _ *Task) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		svc, other := open(t, url, stubborn), open(t, url, stubborn)
		work(t, svc, one)
		running := submit(t, other, Submission{Kind: SyncStore, Store: "a"})
		waiting := submit(t, other, Submission{Kind: SyncStore, Store: "b"})
		until(t, other, running.ID, inState(Running))
		if v, err := other.Cancel(t.Context(), waiting.ID); err != nil || v.State != Cancelled || !v.Ready {
			t.Errorf("a task that waits: %+v, %v", v, err)
		}
		began := time.Now()
		if _, err := other.Cancel(t.Context(), running.ID); err != nil {
			t.Fatal(err)
		}
		if v := wait(t, other, running.ID); v.State != Cancelled || v.Error != nil || v.FinishedAt == nil {
			t.Errorf("a task that runs: %+v", v)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("cancelled after %s", d)
		}
		if v, err := other.Cancel(t.Context(), running.ID); err != nil || v.State != Cancelled {
			t.Errorf("again: %+v, %v", v, err)
		}
	})
}

func TestTimeout(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore, Timeout: 100 * time.Millisecond, MaxAttempts: 1, Run: func(ctx context.Context, _ *Task) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		work(t, svc, one)
		v := wait(t, svc, submit(t, svc, Submission{Kind: SyncStore}).ID)
		if v.State != Failed || v.Error == nil || *v.Error != "the task took longer than 100ms: context deadline exceeded" {
			t.Errorf("%+v", v)
		}
	})
}

func TestPanic(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: SyncStore, MaxAttempts: 1, Run: func(context.Context, *Task) (any, error) { panic("oh no") }})
		work(t, svc, one)
		v := wait(t, svc, submit(t, svc, Submission{Kind: SyncStore}).ID)
		if v.State != Failed || v.Error == nil || *v.Error != "the task panicked: oh no" {
			t.Errorf("%+v", v)
		}
	})
}

func TestProgress(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		goOn := make(chan struct{})
		svc := open(t, url, Kind{Name: SyncStore, Run: func(_ context.Context, task *Task) (any, error) {
			for i := range int64(1000) {
				task.Progress(i, 0, "files")
			}
			for i := range 300 {
				task.Logf("line %d", i)
			}
			<-goOn
			for i := range 5 {
				task.Logf("line %d", 300+i)
			}
			task.Progress(5, 7, "images")
			return nil, nil
		}})
		work(t, svc, one)
		id := submit(t, svc, Submission{Kind: SyncStore}).ID
		v := until(t, svc, id, func(v *View) bool { return v.Progress != nil && v.Progress.Done >= 999 })
		if diff := cmp.Diff(&Progress{Done: 999, Unit: "files"}, v.Progress); diff != "" {
			t.Errorf("while it runs (-want +got):\n%s", diff)
		}
		close(goOn)
		v = wait(t, svc, id)
		total := int64(7)
		if diff := cmp.Diff(&Progress{Done: 5, Total: &total, Unit: "images"}, v.Progress); diff != "" {
			t.Errorf("at the end (-want +got):\n%s", diff)
		}
		if n := len(v.Log); n != 200 || v.Log[0].Text != "line 105" || v.Log[199].Text != "line 304" {
			t.Errorf("%d lines: %v", n, v.Log)
		}
	})
}

func TestNobodyServes(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		none := Kind{Name: SyncStore, Run: func(context.Context, *Task) (any, error) { return nil, nil }}
		svc, other := open(t, url, none), open(t, url, none)
		work(t, svc, one)
		id := submit(t, svc, Submission{Kind: SyncStore, Queue: "far"}).ID
		time.Sleep(10 * testPoll)
		if v, err := svc.Get(t.Context(), id); err != nil || v.State != Waiting || !v.WaitingForWorker {
			t.Errorf("%+v, %v", v, err)
		}
		work(t, other, map[string]int{"far": 1})
		if v := wait(t, svc, id); v.State != Succeeded || v.WaitingForWorker {
			t.Errorf("%+v", v)
		}
	})
}

// TestShare lets two processes serve the same queue: each task runs once, and both get
// some.
func TestShare(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		var calls atomic.Int32
		k := Kind{Name: HashImage, Run: func(context.Context, *Task) (any, error) {
			calls.Add(1)
			time.Sleep(testPoll)
			return nil, nil
		}}
		a, b := open(t, url, k), open(t, url, k)
		a.DeadAfter, b.DeadAfter = time.Minute, time.Minute // a slow worker must not be considered dead here
		work(t, a, one)
		work(t, b, one)
		const tasks = 20
		var ids []string
		for range tasks {
			ids = append(ids, submit(t, a, Submission{Kind: HashImage}).ID)
		}
		workers := map[string]int{}
		for _, id := range ids {
			v := wait(t, b, id)
			workers[*v.Worker]++
			if v.State != Succeeded || v.Attempts != 1 {
				t.Errorf("%+v", v)
			}
		}
		if calls.Load() != tasks || len(workers) != 2 {
			t.Errorf("%d calls by %v", calls.Load(), workers)
		}
	})
}

func TestGracefulStop(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		var calls atomic.Int32
		k := Kind{Name: SyncStore, MaxAttempts: 1, Run: func(ctx context.Context, _ *Task) (any, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				return nil, errors.New("broken off") // some libraries do not wrap the error of the context
			}
			return nil, nil
		}}
		svc := open(t, url, k)
		stop := work(t, svc, one)
		id := submit(t, svc, Submission{Kind: SyncStore}).ID
		until(t, svc, id, inState(Running))
		stop()
		v, err := svc.Get(t.Context(), id)
		if err != nil || v.State != Waiting || v.Attempts != 0 || v.Error != nil || v.Worker != nil {
			t.Errorf("handed back: %+v, %v", v, err)
		}
		work(t, svc, one)
		if v := wait(t, svc, id); v.State != Succeeded || v.Attempts != 1 {
			t.Errorf("%+v", v)
		}
	})
}

func TestWatch(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		goOn := make(chan struct{})
		svc := open(t, url, Kind{Name: SyncStore, Run: func(_ context.Context, task *Task) (any, error) {
			<-goOn
			return nil, nil
		}})
		id := submit(t, svc, Submission{Kind: SyncStore}).ID
		var got []State
		for v := range svc.Watch(t.Context(), id) {
			if n := len(got); n == 0 || got[n-1] != v.State {
				got = append(got, v.State)
			}
			switch v.State {
			case Waiting:
				if len(got) == 1 && v.WaitingForWorker {
					work(t, svc, one)
				}
			case Running:
				select {
				case <-goOn:
				default:
					close(goOn)
				}
			}
		}
		if diff := cmp.Diff([]State{Waiting, Running, Succeeded}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		ctx, cancel := context.WithCancel(t.Context())
		c := svc.Watch(ctx, submit(t, svc, Submission{Kind: SyncStore, Queue: "far"}).ID)
		<-c
		cancel()
		for range c { //nolint:revive // it must be closed
		}
		for range svc.Watch(t.Context(), "t9999") {
			t.Error("a task that is not there was sent")
		}
	})
}

// A task stores the id of the request that submitted it and its trace context; tasks of a
// schedule, or of a program without requests, have neither.
func TestOrigin(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		type key struct{}
		type seen struct {
			ID, Kind, Queue string
			Origin          Origin
		}
		ran := make(chan seen, 2)
		ended := make(chan string, 2)
		svc := open(t, url, Kind{Name: "note", Run: func(ctx context.Context, k *Task) (any, error) {
			ran <- seen{k.ID, k.Kind, k.Queue, k.Origin}
			return ctx.Value(key{}), nil
		}})
		svc.Origin = func(ctx context.Context) Origin {
			id, _ := ctx.Value(key{}).(string)
			if id == "" {
				return Origin{}
			}
			return Origin{Request: id, Trace: "00-trace"}
		}
		svc.Begin = func(ctx context.Context, k *Task) (context.Context, func(string)) {
			return context.WithValue(ctx, key{}, "of "+k.Origin.Request), func(outcome string) { ended <- outcome }
		}
		v, err := svc.Submit(context.WithValue(t.Context(), key{}, "r1"), Submission{Kind: "note"})
		if err != nil || v.RequestID == nil || *v.RequestID != "r1" {
			t.Fatalf("submitted: %+v, %v, want it to know the request", v, err)
		}
		work(t, svc, map[string]int{"default": 1})
		got := wait(t, svc, v.ID)
		if got.RequestID == nil || *got.RequestID != "r1" || string(got.Result) != `"of r1"` {
			t.Errorf("when it has ended: request %v, result %s", got.RequestID, got.Result)
		}
		want := seen{v.ID, "note", "default", Origin{Request: "r1", Trace: "00-trace"}}
		if d := cmp.Diff(want, <-ran); d != "" {
			t.Errorf("the task that ran (-want +got):\n%s", d)
		}
		if o := <-ended; o != succeeded {
			t.Errorf("it ended with %q", o)
		}
		if none := submit(t, svc, Submission{Kind: "note"}); none.RequestID != nil {
			t.Errorf("without a request: %q", *none.RequestID)
		}
	})
}
