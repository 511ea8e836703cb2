package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/pgtest"
)

const (
	testPoll = 50 * time.Millisecond
	patience = 60 * time.Second // for a machine that is busy with other tests
)

// onBoth runs a test on both databases, each fresh.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.New(t))
	})
}

// open opens the tasks of a database as another process would.
func open(t testing.TB, url string, kinds ...Kind) *Jobs {
	t.Helper()
	c, err := catalog.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(t.Context(), Options{Database: url, Catalog: c, Kinds: kinds, Poll: testPoll, Host: "test"})
	if err != nil {
		t.Fatal(err)
	}
	j.beat, j.dead = 200*time.Millisecond, 2*time.Second
	t.Cleanup(func() {
		if err := errors.Join(j.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
	return j
}

// work runs a worker until the test ends, or the function that is returned is called.
func work(t testing.TB, j *Jobs, queues map[string]int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Work(ctx, WorkOptions{Queues: queues}) }()
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

func submit(t testing.TB, j *Jobs, s Submission) *View {
	t.Helper()
	v, err := j.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wait(t testing.TB, j *Jobs, id string) *View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	v, err := j.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// until waits for a task to be as wanted.
func until(t testing.TB, j *Jobs, id string, is func(*View) bool) *View {
	t.Helper()
	for began := time.Now(); ; time.Sleep(testPoll / 2) {
		v, err := j.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if is(v) {
			return v
		}
		if time.Since(began) > patience {
			t.Fatalf("task is still %+v", v)
		}
	}
}

func inState(s State) func(*View) bool { return func(v *View) bool { return v.State == s } }

var one = map[string]int{DefaultQueue: 1}

func TestRun(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		j := open(t, url, Kind{Name: SyncStore, Run: func(_ context.Context, task *Task) (any, error) {
			task.Progress(1, 3, "files")
			task.Logf("looked at %d of %d", 3, 3)
			task.Progress(3, 3, "files")
			return map[string]any{"store": task.Store, "args": task.Args}, nil
		}})
		v := submit(t, j, Submission{Kind: SyncStore, Store: "s1", Args: map[string]any{"dry_run": true}})
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
		work(t, j, one)
		v = wait(t, j, v.ID)
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
		attempts int // at most
		fails    int // so often, then it succeeds
		want     State
		tried    int
	}{
		{"again", errors.New("no luck"), 3, 1, Succeeded, 2},
		{"too often", errors.New("no luck"), 1, 9, Failed, 1},
		{"permanent", Permanent(errors.New("no luck")), 5, 9, Failed, 1},
		{"later", Later(testPoll), 1, 2, Succeeded, 1},
	}
	onBoth(t, func(t *testing.T, url string) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var calls atomic.Int32
				j := open(t, url, Kind{Name: tt.name[:3] + "kind", MaxAttempts: tt.attempts, Run: func(context.Context, *Task) (any, error) {
					if int(calls.Add(1)) <= tt.fails {
						return nil, tt.err
					}
					return "done", nil
				}})
				work(t, j, one)
				v := wait(t, j, submit(t, j, Submission{Kind: tt.name[:3] + "kind"}).ID)
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
