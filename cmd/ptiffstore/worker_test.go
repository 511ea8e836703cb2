package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// startWorker starts a worker in this process, and returns a function that stops it.
func startWorker(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	return startWorkerLogging(t, &logBuffer{}, args...)
}

// startWorkerLogging is [startWorker] with a log that can be read.
func startWorkerLogging(t *testing.T, log *logBuffer, args ...string) (stop func()) {
	t.Helper()
	mustBeServerTest(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, append([]string{"worker"}, args...), streams{out: log, err: log}) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case code := <-ended:
			if code != exitOK {
				t.Errorf("worker ended with exit code %d: %s", code, log)
			}
		case <-time.After(3 * soon):
			t.Errorf("worker has not ended: %s", log)
		}
		if strings.Contains(log.String(), patient) {
			t.Errorf("patient data in the log: %s", log)
		}
	}
	t.Cleanup(stop)
	return stop
}

// done runs a command that must succeed, and returns its output.
func done(t *testing.T, args ...string) string {
	t.Helper()
	r := command(t, args...)
	if r.code != exitOK {
		t.Fatalf("%s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.out)
}

// decoded decodes the JSON that a command prints.
func decoded[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	out := done(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%s: %v in %s", strings.Join(args, " "), err, out)
	}
	return v
}

// taskJSON has the fields of a task that these tests read.
type taskJSON struct {
	ID, State, Kind, Queue string
	Worker                 *string
	Result                 struct{ Count, Added, Missing int }
	Waiting                bool `json:"waiting_for_worker"`
}

func TestStoreCommands(t *testing.T) {
	t.Parallel()
	data, dir := newCatalog(t), slidesIn(t, map[string]*slideFile{"a.tiff": plain})
	db := "--data=" + data
	id := done(t, "store", "add", dir, db, "--label", "Scanner 1", "--schedule", "15m", "--exclude", "tmp*", "--hide-after", "30d")
	type store struct {
		ID, Label, Mode, Root string
		Schedule              *string
		Exclude               []string
		HideAfter             *string `json:"hide_after"`
		Counts                map[string]int
	}
	s := decoded[store](t, "store", "show", "Scanner 1", db)
	if s.ID != id || s.Root != dir || s.Mode != "in-place" || *s.Schedule != "15m" || *s.HideAfter != "720h0m0s" || len(s.Exclude) != 1 {
		t.Errorf("store show gives %+v", s)
	}
	done(t, "store", "set", dir, db, "--label", "Scanner 2", "--schedule=", "--exclude=")
	if s = decoded[store](t, "store", "show", id, db); s.Label != "Scanner 2" || s.Schedule != nil || len(s.Exclude) != 0 || s.HideAfter == nil {
		t.Errorf("after store set: %+v", s)
	}
	done(t, "sync", "Scanner 2", db)
	if out := done(t, "store", "list", db); !strings.Contains(out, "Scanner 2") || !strings.Contains(out, dir) {
		t.Errorf("store list prints %q", out)
	}
	refused := []struct {
		name, want string
		args       []string
	}{
		{"no such store", "unknown store", []string{"store", "show", "Scanner 9", db}},
		{"the same folder", "one store only", []string{"store", "add", dir, db}},
		{"a bad schedule", "schedule", []string{"store", "set", id, db, "--schedule", "whenever"}},
		{"a bad colour", "background", []string{"store", "set", id, db, "--background", "red"}},
		{"no folder", "no such file", []string{"store", "add", filepath.Join(dir, "none"), db}},
	}
	for _, tt := range refused {
		if r := command(t, tt.args...); r.code != exitFailure || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, r, tt.want)
		}
	}
	done(t, "store", "remove", "Scanner 2", db)
	if _, err := os.Stat(filepath.Join(dir, "a.tiff")); err != nil {
		t.Errorf("removing a store touched a file: %v", err)
	}
}

// TestManagedStoreReturns removes a managed store and adds its folder again: the store and
// its slides keep their ids.
func TestManagedStoreReturns(t *testing.T) {
	t.Parallel()
	db, dir := "--data="+newCatalog(t), filepath.Join(slidesIn(t, nil), "archive")
	id := done(t, "store", "add", dir, db, "--managed")
	s := start(t, "serve", db)
	deliver(t, plain, filepath.Join(dir, "incoming", patient+".tiff"))
	s.available(patient + ".tiff")
	s.until("imported", func() bool { return strings.Contains(s.get("/api/v1/images").body, `"digest":"`) })
	before := s.images()
	s.stop()
	if r := command(t, "store", "remove", id, db); r.code != exitFailure || !strings.Contains(r.err, "--keep-files") {
		t.Errorf("store remove of one that holds slides: %v", r)
	}
	done(t, "store", "remove", id, db, "--keep-files")
	if again := done(t, "store", "add", dir, db, "--managed"); again != id {
		t.Errorf("the store is now %s, and was %s", again, id)
	}
	s = start(t, "serve", db)
	s.available(patient + ".tiff")
	diff(t, "ids", before[patient+".tiff"].ID, s.images()[patient+".tiff"].ID)
}

// TestQueues submits a task to a queue without a worker, and then starts one.
func TestQueues(t *testing.T) {
	t.Parallel()
	db := "--data=" + t.TempDir()
	done(t, "store", "add", slidesIn(t, map[string]*slideFile{patient + ".tiff": plain}), db, "--label", "s", "--host", "elsewhere")
	id := done(t, "task", "submit", "sync_store", "s", db, "--queue", "autosync")
	if again := done(t, "task", "submit", "sync_store", "s", db, "--queue", "autosync"); again != id {
		t.Errorf("the same task again is %s, want %s", again, id)
	}
	if v := decoded[taskJSON](t, "task", "show", id, db); v.State != "waiting" || !v.Waiting {
		t.Errorf("task without a worker: %+v", v)
	}
	if out := done(t, "task", "list", db); !strings.Contains(out, "waiting for a worker") {
		t.Errorf("task list prints %q", out)
	}
	startWorker(t, db, "--queue", "autosync=1", "--host", "elsewhere")
	v := decoded[taskJSON](t, "task", "wait", id, db)
	if v.State != "succeeded" || v.Result.Count != 1 || v.Worker == nil {
		t.Errorf("task that was done: %+v", v)
	}
	id = done(t, "task", "submit", "sync_store", "s", db, "--queue", "nobody", "--dry-run")
	done(t, "task", "cancel", id, db)
	if r := command(t, "task", "wait", id, db); r.code != exitFailure || !strings.Contains(r.err, "cancelled") {
		t.Errorf("task wait for one that was cancelled: %v", r)
	}
	for name, args := range map[string][]string{
		"unknown kind":  {"task", "submit", "make_coffee", "s", db},
		"unknown task":  {"task", "show", "t999999", db},
		"unknown state": {"task", "list", db, "--state", "bored"},
	} {
		if r := command(t, args...); r.code != exitFailure || r.err == "" {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestSeveralHosts runs a server, a tile server and two workers on one PostgreSQL, each with
// its own host name: only the worker of its host scans a store, and the tile server follows.
func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	db := "--database=" + pgtest.New(t)
	dir := slidesIn(t, nil)
	folder := filepath.Join(dir, "slides")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	done(t, "store", "add", folder, db, "--label", "far", "--host", "b")
	central := start(t, "serve", db, "--host", "central", "--data", t.TempDir())
	edge := start(t, "tileserver", db, "--data", t.TempDir())
	startWorker(t, db, "--host", "a", "--data", t.TempDir())
	deliver(t, plain, filepath.Join(folder, patient+"-1.tiff"))
	time.Sleep(3 * time.Second) // neither the central server nor worker a may scan it
	if list := central.images(); len(list) != 0 {
		t.Errorf("another host than the store's has looked: %v", list)
	}
	startWorker(t, db, "--host", "b", "--data", t.TempDir())
	central.until("the slide", func() bool { return central.images()[patient+"-1.tiff"].State == "available" })
	deliver(t, philips, filepath.Join(folder, patient+"-2.tiff"))
	central.until("the second slide", func() bool { return central.images()[patient+"-2.tiff"].State == "available" })
	im := central.images()[patient+"-2.tiff"]
	path := "/api/v1/images/" + im.ID + "/tiles/0/0/0?v=" + im.Revision
	edge.until("tile of the second slide", func() bool { return edge.get(path).status == 200 })
	central.until("tile of the second slide", func() bool { return central.get(path).status == 200 })
	diff(t, "tiles of both", central.get(path).body, edge.get(path).body)
	var workers struct {
		Items []struct{ Host string }
	}
	if err := json.Unmarshal([]byte(central.get("/api/v1/workers").body), &workers); err != nil || len(workers.Items) != 3 {
		t.Errorf("workers: %v, %+v, want three", err, workers)
	}
	done(t, "task", "wait", done(t, "task", "submit", "verify_store", "far", db), db)
	tasks := decoded[struct{ Items []taskJSON }](t, "task", "list", db, "--kind", "verify_store")
	if len(tasks.Items) != 1 || tasks.Items[0].Queue != "host-b" {
		t.Errorf("tasks of a store of host b: %+v", tasks)
	}
}

// TestVerifyCommand changes a byte of a file without a write, as a failing disk does.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	db, dir := "--data="+newCatalog(t), slidesIn(t, map[string]*slideFile{"1.tiff": plain, "2.tiff": deflated})
	done(t, "store", "add", dir, db, "--label", "s")
	done(t, "sync", "s", db)
	if out := done(t, "verify", db); !strings.Contains(out, "2 files are undamaged, 2 of them hashed for the first time, 0 damaged") {
		t.Errorf("verify prints %q", out)
	}
	rot(t, filepath.Join(dir, "1.tiff"))
	r := command(t, "verify", "s", db, "--rate=-1")
	if r.code != exitFile || !strings.Contains(r.out, "damaged: ") || !strings.Contains(r.err, "1 files are damaged") {
		t.Errorf("verify of a damaged file: %v", r)
	}
	found := decoded[struct{ Count, Updated int }](t, "sync", "s", db, "--resync")
	if found.Count != 2 {
		t.Errorf("resync: %+v", found)
	}
	s := start(t, "serve", db)
	s.state("1.tiff", "broken")
	checkProblem(t, "tile of a damaged file", s.get("/api/v1/images/"+s.images()["1.tiff"].ID+"/tiles/0/0/0"), 404)
	s.stop()
	if r := command(t, "retry", "no-such-image", db); r.code != exitFailure {
		t.Errorf("retry of no image: %v", r)
	}
}

// rot changes a byte in the middle of a file and keeps its modification time.
func rot(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{b[len(b)/2] ^ 1}, int64(len(b)/2)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, fi.ModTime()); err != nil {
		t.Fatal(err)
	}
}
