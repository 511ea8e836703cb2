package task

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/test/pgtest"
)

const (
	// childURL is the URL of the database on which a child process of the test runs a worker.
	childURL = "JOBS_TEST_CHILD"
	// childDead is after how long without a heartbeat that worker is dead.
	childDead = "JOBS_TEST_DEAD"
	// shortDead is for tests in which a worker has to notice by itself that it is lost.
	shortDead = 5 * time.Second
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		if err := beChild(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they mostly wait
		panic(err)
	}
	os.Exit(m.Run())
}

// beChild runs tasks that never end, and prints each that has begun.
func beChild(url string) error {
	ctx := context.Background()
	dead, err := time.ParseDuration(os.Getenv(childDead))
	if err != nil {
		return err
	}
	c, err := catalog.Open(ctx, url)
	if err != nil {
		return err
	}
	svc, err := Open(ctx, Options{Catalog: c, Poll: testPoll, Heartbeat: testBeat, DeadAfter: dead, Host: "child", Kinds: []Kind{{Name: HashImage, Run: func(ctx context.Context, t *Task) (any, error) {
		t.Progress(1, 2, "halves")
		fmt.Println(t.ID)
		<-ctx.Done()
		return nil, ctx.Err()
	}}}})
	if err != nil {
		return err
	}
	return svc.Work(ctx, WorkOptions{Queues: map[string]int{DefaultQueue: 2}})
}

// child starts another process that runs a worker, and returns it with its output.
func child(t *testing.T, url string, deadAfter time.Duration) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childURL+"="+url, childDead+"="+deadAfter.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // killed
	})
	return cmd, bufio.NewScanner(out)
}

// lapse sets back the last heartbeats of all workers so far, and when their tasks began, so far
// that they are dead unless they send another one.
func lapse(ctx context.Context, svc *Service) error {
	begun := `UPDATE river_job SET attempted_at = datetime(attempted_at, 'subsec', '-3600 seconds') WHERE state = 'running'`
	if !svc.Catalog.DB().IsSQLite() {
		begun = `UPDATE river_job SET attempted_at = attempted_at - interval '1 hour' WHERE state = 'running'`
	}
	for _, statement := range []string{begun, `UPDATE workers SET seen_at = seen_at - 3600000000`} {
		if _, err := svc.db.write.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// childWorkers returns the ids of the workers that the child has registered so far.
func childWorkers(t *testing.T, svc *Service) (ids []string) {
	t.Helper()
	rows, err := svc.db.read.QueryContext(t.Context(), `SELECT id FROM workers WHERE host = 'child'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestKill kills a process with SIGKILL in the middle of two tasks. Another process runs
// them, each once; a third one, which was to be cancelled, is not started again.
func TestKill(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		var mu sync.Mutex
		done := map[string]int{}
		svc := open(t, url, Kind{Name: HashImage, Run: func(_ context.Context, task *Task) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			done[task.ID]++
			return task.Attempt, nil
		}})
		first, second := submit(t, svc, Submission{Kind: HashImage}).ID, submit(t, svc, Submission{Kind: HashImage}).ID
		cmd, said := child(t, url, testDead)
		for range 2 {
			if !said.Scan() {
				t.Fatal("the child ended")
			}
		}
		until(t, svc, first, func(v *View) bool { return v.State == Running && v.Progress != nil })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := svc.Cancel(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if err := lapse(t.Context(), svc); err != nil {
			t.Fatal(err)
		}
		work(t, svc, one)
		work(t, open(t, url, svc.Kinds...), one) // also looks for dead workers
		v := wait(t, svc, first)
		if v.State != Succeeded || v.Attempts != 2 || string(v.Result) != "2" {
			t.Errorf("%+v", v)
		}
		if v := wait(t, svc, second); v.State != Cancelled {
			t.Errorf("the one that was cancelled: %+v", v)
		}
		last := submit(t, svc, Submission{Kind: HashImage}).ID // a worker that started the others again would do so before
		wait(t, svc, last)
		mu.Lock()
		defer mu.Unlock()
		if len(done) != 2 || done[first] != 1 || done[last] != 1 {
			t.Errorf("run: %v, want %s and %s", done, first, last)
		}
	})
}

// TestKillsEveryWorker: a task whose worker dies each time fails in the end.
func TestKillsEveryWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		svc := open(t, url, Kind{Name: HashImage, MaxAttempts: 1}, Kind{Name: SyncStore, Run: func(context.Context, *Task) (any, error) { return nil, nil }})
		id := submit(t, svc, Submission{Kind: HashImage}).ID
		cmd, said := child(t, url, testDead)
		if !said.Scan() {
			t.Fatal("the child ended")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := lapse(t.Context(), svc); err != nil {
			t.Fatal(err)
		}
		work(t, svc, one)
		if v := wait(t, svc, id); v.State != Failed || v.Error == nil || *v.Error != lostError {
			t.Errorf("%+v", v)
		}
	})
}

// TestAsleep stops a process for so long that another one takes over its task. When it
// continues, it must not end the other's attempt.
func TestAsleep(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		goOn := make(chan struct{})
		var calls atomic.Int32
		svc := open(t, url, Kind{Name: HashImage, Run: func(context.Context, *Task) (any, error) {
			calls.Add(1)
			<-goOn
			return "whole", nil
		}})
		id := submit(t, svc, Submission{Kind: HashImage}).ID
		cmd, said := child(t, url, shortDead)
		if !said.Scan() {
			t.Fatal("the child ended")
		}
		// Not within a transaction: others would wait for it.
		asleep := func() bool {
			if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := lapse(ctx, svc)
			if err != nil {
				cmd.Process.Signal(syscall.SIGCONT) //nolint:errcheck // it is there
			}
			return err == nil
		}
		for !asleep() {
			time.Sleep(testPoll)
		}
		began := time.Now()
		before := childWorkers(t, svc)
		work(t, svc, one)
		mine := until(t, svc, id, func(v *View) bool { return v.State == Running && !slices.Contains(before, *v.Worker) })
		time.Sleep(shortDead - time.Since(began)) // by the clock of the process that sleeps
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		// It notices that it was lost, has ended its attempt, and starts again.
		for began := time.Now(); ; time.Sleep(testPoll) {
			if again := childWorkers(t, svc); slices.ContainsFunc(again, func(id string) bool { return !slices.Contains(before, id) }) {
				break
			}
			if time.Since(began) > waitTime {
				t.Fatal("the first worker has not started again")
			}
		}
		v, err := svc.Get(t.Context(), id)
		if err != nil || v.State != Running || v.Attempts != mine.Attempts || *v.Worker != *mine.Worker {
			t.Errorf("after the first worker has woken: %+v, %v", v, err)
		}
		close(goOn)
		if v := wait(t, svc, id); v.State != Succeeded || string(v.Result) != `"whole"` || calls.Load() != 1 {
			t.Errorf("%+v after %d calls", v, calls.Load())
		}
	})
}

// TestStartAgain: a worker that others consider dead starts again under another id.
func TestStartAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		var mu sync.Mutex
		first := ""
		svc := open(t, url, Kind{Name: HashImage, Run: func(ctx context.Context, task *Task) (any, error) {
			mu.Lock()
			if first == "" {
				first = task.Worker
			}
			again := task.Worker != first
			mu.Unlock()
			if again {
				return nil, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		svc.DeadAfter = 2 * time.Second
		svc.Heartbeat = 2 * svc.DeadAfter // its heartbeats are always late
		work(t, svc, one)
		id := submit(t, svc, Submission{Kind: HashImage}).ID
		if v := wait(t, svc, id); v.State != Succeeded {
			t.Errorf("%+v", v)
		}
	})
}

// TestOpenTogether opens an empty database several times at once.
func TestOpenTogether(t *testing.T) {
	onEmpty(t, func(t *testing.T, url string) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				c, err := catalog.Open(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := Open(t.Context(), Options{Catalog: c}); err != nil {
					t.Error(err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestNewerTables: a program does not run on tables that a newer one has changed.
func TestNewerTables(t *testing.T) {
	for name, change := range map[string]string{
		"ours":  `INSERT INTO task_migrations (version_id, is_applied) VALUES (99, true)`,
		"River": `INSERT INTO river_migration (line, version) VALUES ('main', 99)`,
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, url string) {
				svc := open(t, url)
				if _, err := svc.db.write.ExecContext(t.Context(), change); err != nil {
					t.Fatal(err)
				}
				_, err := Open(t.Context(), Options{Catalog: svc.Catalog})
				if err == nil || !strings.Contains(err.Error(), "newer ptiffstore") {
					t.Errorf("Open after %s: %v", change, err)
				}
			})
		})
	}
}

// TestDatabaseUnreachable stops the database until the worker is lost. When the database is back,
// the worker starts again, and so does its task.
func TestDatabaseUnreachable(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	var calls atomic.Int32
	stopped := make(chan struct{})
	var log safeBuffer
	c, err := catalog.Open(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	svc, err := Open(t.Context(), Options{
		Catalog: c, Poll: testPoll, Heartbeat: testBeat, DeadAfter: 2 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Kinds: []Kind{{Name: SyncStore, Run: func(ctx context.Context, _ *Task) (any, error) {
			if calls.Add(1) > 1 {
				return nil, nil
			}
			<-ctx.Done()
			close(stopped)
			return nil, ctx.Err()
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := work(t, svc, one)
	id := submit(t, svc, Submission{Kind: SyncStore}).ID
	until(t, svc, id, inState(Running))
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped: // it learned that it was lost
	case <-time.After(waitTime):
		t.Fatal("the task continues without a database")
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if v := wait(t, svc, id); v.State != Succeeded || calls.Load() != 2 {
		t.Errorf("%+v after %d calls", v, calls.Load())
	}
	stop()
	if n := strings.Count(log.String(), "\n"); n > 20 {
		t.Errorf("%d lines were logged:\n%s", n, log.String())
	}
}

// A safeBuffer is written to by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
