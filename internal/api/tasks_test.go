package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// tasks adds task handlers to the site. Those of sync_store and hash_image return their
// arguments, of resync_store wait until go is closed, of verify_store fail.
func (st *site) tasks() (proceed chan struct{}) {
	st.t.Helper()
	proceed = make(chan struct{})
	asked := func(_ context.Context, t *task.Task) (any, error) {
		t.Logf("begun")
		return map[string]any{"asked": t.Args}, nil
	}
	kinds := []task.Kind{
		{Name: task.SyncStore, Unique: true, Run: asked},
		{Name: task.HashImage, Run: asked},
		{Name: task.ResyncStore, Unique: true, Run: func(ctx context.Context, t *task.Task) (any, error) {
			t.Progress(1, 3, "files")
			select {
			case <-proceed:
				return "done", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}},
		{Name: task.VerifyStore, MaxAttempts: 1, Run: func(context.Context, *task.Task) (any, error) {
			return nil, errors.New("a disk is not mounted")
		}},
	}
	j, err := task.Open(st.t.Context(), task.Options{
		Catalog: st.api.Catalog, Kinds: kinds, Host: "scan1", Version: "v1", Poll: 20 * time.Millisecond,
	})
	if err != nil {
		st.t.Fatal(err)
	}
	st.api.Tasks = j
	return proceed
}

// work runs a worker of these queues until the test ends.
func (st *site) work(queues ...string) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	o := task.WorkOptions{Queues: map[string]int{}}
	for _, q := range queues {
		o.Queues[q] = 2
	}
	go func() { ended <- st.api.Tasks.Work(ctx, o) }()
	st.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			st.t.Error(err)
		}
	})
}

// until polls a task until it has a state.
func (st *site) until(path, state string) map[string]any {
	st.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		v := st.object("GET", path, "", 200)
		if v["state"] == state {
			return v
		}
		if time.Now().After(deadline) {
			st.t.Fatalf("task %v, want it %s", v, state)
		}
	}
}

// A complete task, from submission to end.
func TestTask(t *testing.T) {
	st := newSite(t)
	st.tasks()
	a := st.ask("POST", "/api/v1/stores/"+st.store+"/sync?dry_run=true", "")
	if a.status != http.StatusAccepted {
		t.Fatalf("%d %s, want 202", a.status, a.body)
	}
	var got map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	args := map[string]any{"store": st.store, "dry_run": true}
	if id := a.header.Get("X-Request-Id"); id == "" || got["request_id"] != id && got["request_id"] != nil {
		t.Errorf("request %q submitted it, and the task says %v", id, got["request_id"])
	}
	want := map[string]any{
		"id": got["id"], "request_id": got["request_id"], "kind": "sync_store", "queue": "default", "args": args, "state": "waiting", "ready": false, "progress": nil,
		"result": nil, "error": nil, "error_code": nil, "attempts": 0.0, "worker": nil, "submitted_at": got["submitted_at"], "started_at": nil, "finished_at": nil,
		"log": []any{}, "waiting_for_worker": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("submitted (-want +got):\n%s", diff)
	}
	where := a.header.Get("Location")
	if where != "/api/v1/tasks/"+got["id"].(string) {
		t.Errorf("Location %q", where)
	}
	st.work("default")
	got = st.until(where, "succeeded")
	want["state"], want["ready"], want["waiting_for_worker"], want["attempts"] = "succeeded", true, false, 1.0
	want["result"] = map[string]any{"asked": args}
	for _, field := range []string{"worker", "started_at", "finished_at"} {
		if want[field] = got[field]; got[field] == nil {
			t.Errorf("%s is null", field)
		}
	}
	log, _ := got["log"].([]any)
	if len(log) != 1 || log[0].(map[string]any)["text"] != "begun" {
		t.Errorf("log %v, want one line", log)
	}
	want["log"] = got["log"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}

func TestSync(t *testing.T) {
	st := newSite(t)
	st.tasks()
	st.mkdir("far")
	far := st.putStore(catalog.Store{Mode: catalog.InPlace, Root: st.path("far"), Host: "Scan1.example"})
	tests := []struct {
		path, kind, queue string
		args              map[string]any
	}{
		{st.store + "/sync", "sync_store", "default", map[string]any{"store": st.store}},
		{st.store + "/sync?resync=true", "resync_store", "default", map[string]any{"store": st.store}},
		{st.store + "/sync?resync=true&dry_run=true", "resync_store", "default", map[string]any{"store": st.store, "dry_run": true}},
		{st.store + "/sync?confirm=true&dry_run=false", "sync_store", "default", map[string]any{"store": st.store, "confirm": true}},
		{far + "/sync", "sync_store", "host-scan1-example", map[string]any{"store": far}},
	}
	for _, tt := range tests {
		first := st.object("POST", "/api/v1/stores/"+tt.path, "", 202)
		if first["kind"] != tt.kind || first["queue"] != tt.queue || !cmp.Equal(first["args"], any(tt.args)) {
			t.Errorf("%s: %v %v %v, want %s in %s with %v", tt.path, first["kind"], first["queue"], first["args"], tt.kind, tt.queue, tt.args)
		}
		if again := st.object("POST", "/api/v1/stores/"+tt.path, "", 202); again["id"] != first["id"] {
			t.Errorf("%s again gave another task", tt.path)
		}
	}
	st.refused("POST", "/api/v1/stores/nobody/sync", "", 404, "no object with this id")
	st.refused("POST", "/api/v1/stores/"+st.store+"/sync?dry_run=perhaps", "", 422, "dry_run")
}

func TestSyncAll(t *testing.T) {
	st := newSite(t)
	st.tasks()
	st.mkdir("far")
	far := st.putStore(catalog.Store{Mode: catalog.InPlace, Root: st.path("far"), Queue: "far"})
	a := st.ask("POST", "/api/v1/stores/sync?resync=true", "")
	var page struct {
		Items []struct {
			Kind, Queue string
			Args        map[string]any
		}
	}
	if err := json.Unmarshal(a.body, &page); err != nil || a.status != 202 {
		t.Fatalf("%d %s, want 202", a.status, a.body)
	}
	var got []string
	for _, task := range page.Items {
		got = append(got, fmt.Sprint(task.Kind, " ", task.Queue, " ", task.Args["store"]))
	}
	want := []string{"resync_store default " + st.store, "resync_store far " + far}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	where := a.header.Get("Location")
	if n := len(st.object("GET", where, "", 200)["items"].([]any)); n != 2 {
		t.Errorf("GET %s: %d tasks, want 2", where, n)
	}
}

func TestListTasks(t *testing.T) {
	st := newSite(t)
	close(st.tasks())
	st.work("default")
	submit := func(kind, queue string) string {
		t.Helper()
		return st.object("POST", "/api/v1/tasks", body("kind", kind, "queue", queue, "args", map[string]string{"store": st.store}), 202)["id"].(string)
	}
	failed, done := submit("verify_store", "default"), submit("resync_store", "default")
	st.until("/api/v1/tasks/"+failed, "failed")
	st.until("/api/v1/tasks/"+done, "succeeded")
	waiting := submit("sync_store", "elsewhere")
	bare := st.object("POST", "/api/v1/tasks", body("kind", "verify_store", "queue", "elsewhere"), 202)["id"].(string)
	tests := []struct {
		query string
		want  []string
	}{
		{"", []string{bare, waiting, done, failed}},
		{"kind=verify_store", []string{bare, failed}},
		{"state=failed", []string{failed}},
		{"state=waiting", []string{bare, waiting}},
		{"queue=elsewhere", []string{bare, waiting}},
		{"store=" + st.store, []string{waiting, done, failed}},
		{"store=nobody", []string{}},
		{"state=running", []string{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, names(st.object("GET", "/api/v1/tasks?"+tt.query, "", 200), "id")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.query, diff)
		}
	}
	var got []string
	for query := "limit=3"; ; {
		page := st.object("GET", "/api/v1/tasks?"+query, "", 200)
		got = append(got, names(page, "id")...)
		cursor, more := page["next_cursor"].(string)
		if !more {
			break
		}
		query = "limit=3&cursor=" + cursor
	}
	if diff := cmp.Diff(tests[0].want, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if err, _ := st.object("GET", "/api/v1/tasks/"+failed, "", 200)["error"].(string); !strings.Contains(err, "a disk is not mounted") {
		t.Errorf("error %q", err)
	}
}

func TestSubmitTask(t *testing.T) {
	st := newSite(t)
	st.tasks()
	st.mkdir("far")
	far := st.putStore(catalog.Store{Mode: catalog.InPlace, Root: st.path("far"), Queue: "far"})
	ofFar := map[string]any{"store": far}
	image := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	for _, tt := range []struct{ body, queue string }{
		{body("kind", "verify_store"), "default"},
		{body("kind", "verify_store", "args", ofFar), "far"},
		{body("kind", "verify_store", "args", ofFar, "queue", "near"), "near"},
	} {
		if got := st.object("POST", "/api/v1/tasks", tt.body, 202)["queue"]; got != tt.queue {
			t.Errorf("%s: queue %v, want %s", tt.body, got, tt.queue)
		}
	}
	for _, tt := range []struct{ body, words string }{
		{`{}`, "kind"},
		{body("kind", "brew_coffee"), "kind: unknown kind"},
		{body("kind", "verify_store", "queue", "Fast Lane"), "queue: up to 64"},
		{body("kind", "verify_store", "args", []int{1}), "args: expected object"},
		{body("kind", "verify_store", "args", map[string]any{"store": "nobody"}), "args.store: there is no such store"},
		{body("kind", "verify_store", "args", map[string]any{"store": 5}), "args: store must be a string"},
		{body("kind", "verify_store", "args", map[string]any{"store": st.store, "confirm": true}), `args: the key \"confirm\" is not known`},
		{body("kind", "verify_store", "args", map[string]any{"store": strings.Repeat("x", 64<<10)}), "args: more than 64 KB"},
		{body("kind", "hash_image", "args", map[string]any{"store": far, "image": image}), "args.image: there is no such image in the store"},
		{body("kind", "hash_image", "args", map[string]any{"image": image}), "args.image: there is no such image in the store"},
		{body("kind", "verify_store", "queue", strings.Repeat("q", 65)), "queue: up to 64"},
		{`{"kind":"sync_store","args":{"store":"` + st.store + `","ſtore":"` + far + `","confirm":true}}`, `must be written \"store\"`},
		{`{"kind":"sync_store","args":{"store":"` + st.store + `","Store":"` + far + `","confirm":true}}`, `must be written \"store\"`},
		{`{"kind":"hash_image","args":{"store":"` + st.store + `","Image":"` + image + `"}}`, `must be written \"image\"`},
		{`{"kind":"sync_store","args":{"store":"` + st.store + `","store":"` + far + `"}}`, `\"store\" is given more than once`},
		{`{"kind":"sync_store","args":{"store":"` + st.store + `"},"args":{"store":"` + far + `"}}`, `\"args\" is given more than once`},
		{`{"kind":"sync_store","argſ":{"store":"` + st.store + `"}}`, "unexpected property"},
		{body("kind", "verify_store", "run_as", "root"), "unexpected property"},
	} {
		st.refused("POST", "/api/v1/tasks", tt.body, 422, tt.words)
	}
	st.refused("GET", "/api/v1/tasks?cursor=nowhere", "", 400, "start again without it")
	st.refused("GET", "/api/v1/tasks?state=asleep", "", 422, "query.state")
	st.refused("GET", "/api/v1/tasks?queue="+strings.Repeat("q", 65), "", 422, "queue: up to 64")
	for _, id := range []string{"t999", "nobody", "1"} {
		st.refused("GET", "/api/v1/tasks/"+id, "", 404, "There is no such task")
		st.refused("DELETE", "/api/v1/tasks/"+id, "", 404, "There is no such task")
		st.refused("GET", "/api/v1/tasks/"+id+"/events", "", 404, "There is no such task")
	}
}

func TestCancelTask(t *testing.T) {
	st := newSite(t)
	st.tasks()
	sync := func(query string) string {
		t.Helper()
		return "/api/v1/tasks/" + st.object("POST", "/api/v1/stores/"+st.store+"/sync"+query, "", 202)["id"].(string)
	}
	waiting := sync("")
	if got := st.object("DELETE", waiting, "", 200); got["state"] != "cancelled" || got["ready"] != true {
		t.Errorf("a waiting task is %v after DELETE", got)
	}
	st.work("default")
	running := sync("?resync=true")
	st.until(running, "running")
	st.object("DELETE", running, "", 200)
	st.until(running, "cancelled")
	done := sync("")
	st.until(done, "succeeded")
	if got := st.object("DELETE", done, "", 200); got["state"] != "succeeded" {
		t.Errorf("a task that had ended is %v after DELETE", got["state"])
	}
}

// follow opens a stream of events.
func (st *site) follow(path string, header ...string) *http.Response {
	st.t.Helper()
	r, err := http.NewRequestWithContext(st.t.Context(), "GET", st.url+path, nil)
	if err != nil {
		st.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// A stream sends each state of a task, keeps the connection open with comments, and ends
// with the task.
func TestEvents(t *testing.T) {
	st := newSite(t)
	proceed := st.tasks()
	st.api.Heartbeat = 30 * time.Millisecond
	id := st.object("POST", "/api/v1/stores/"+st.store+"/sync?resync=true", "", 202)["id"].(string)
	resp := st.follow("/api/v1/tasks/" + id + "/events")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	var states []string
	var event, last string
	beats := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == ":":
			if beats++; beats == 2 {
				st.work("default") // the task waited so long, and the stream was open
			}
		case field == "event":
			event = value
		case field == "id":
			last = value
		case field == "data":
			var v map[string]any
			if err := json.Unmarshal([]byte(value), &v); err != nil || event != "task" || v["id"] != id {
				t.Fatalf("event %q of %s: %v", event, value, err)
			}
			if n := len(states); n == 0 || states[n-1] != v["state"] {
				states = append(states, v["state"].(string))
			}
			if v["state"] == "running" && v["progress"] != nil {
				select {
				case <-proceed:
				default:
					close(proceed)
				}
			}
			if got := v["ready"] == true; got != (last == "end") {
				t.Errorf("ready is %t with id %q", got, last)
			}
		}
	}
	if diff := cmp.Diff([]string{"waiting", "running", "succeeded"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	// A browser that reconnects gets the end of the stream.
	if resp := st.follow("/api/v1/tasks/"+id+"/events", "Last-Event-ID", last); resp.StatusCode != http.StatusNoContent {
		t.Errorf("coming back after the end: %s, want 204", resp.Status)
	}
	if b, err := io.ReadAll(st.follow("/api/v1/tasks/" + id + "/events").Body); err != nil || strings.Count(string(b), "event: task\n") != 1 {
		t.Errorf("following a task that has ended: %s, %v, want one event", b, err)
	}
	if a := st.ask("HEAD", "/api/v1/tasks/"+id+"/events", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
}

// A server that shuts down does not wait for open streams.
func TestEventsEndWithServer(t *testing.T) {
	st := newSite(t)
	st.tasks()
	closing := make(chan struct{})
	st.api.Closing = closing
	id := st.object("POST", "/api/v1/stores/"+st.store+"/sync", "", 202)["id"].(string)
	resp := st.follow("/api/v1/tasks/" + id + "/events")
	close(closing)
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestWorkers(t *testing.T) {
	st := newSite(t)
	st.tasks()
	if diff := cmp.Diff([]string{}, names(st.object("GET", "/api/v1/workers", "", 200), "id")); diff != "" {
		t.Errorf("no workers (-want +got):\n%s", diff)
	}
	st.work("default", "far")
	var w map[string]any
	for range 500 {
		if items := st.object("GET", "/api/v1/workers", "", 200)["items"].([]any); len(items) > 0 {
			w = items[0].(map[string]any)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if w == nil {
		t.Fatal("no worker")
	}
	queues := fmt.Sprint(w["queues"])
	if w["host"] != "scan1" || w["version"] != "v1" || w["pid"] == nil || w["seen_at"] == nil || !strings.Contains(queues, "far") || !strings.Contains(queues, "default") {
		t.Errorf("worker %v", w)
	}
	st.admin.Store(false)
	w = st.object("GET", "/api/v1/workers", "", 200)["items"].([]any)[0].(map[string]any)
	if w["host"] != nil || w["pid"] != nil {
		t.Errorf("worker for others: %v", w)
	}
}

func TestNextSync(t *testing.T) {
	st := newSite(t)
	st.tasks()
	s := st.object("PATCH", "/api/v1/stores/"+st.store, `{"schedule":"15m"}`, 200)
	at, err := time.Parse(time.RFC3339, fmt.Sprint(s["next_sync"]))
	if in := time.Until(at); err != nil || in < 14*time.Minute || in > 15*time.Minute {
		t.Errorf("next_sync %v, want it in 15 minutes", s["next_sync"])
	}
	if s := st.object("PATCH", "/api/v1/stores/"+st.store, `{"schedule":null}`, 200); s["next_sync"] != nil {
		t.Errorf("next_sync %v without a schedule", s["next_sync"])
	}
}

// A server without tasks answers 503.
func TestNoTasks(t *testing.T) {
	st := newSite(t)
	id := st.record("a.tiff", nil)
	for _, r := range [][3]string{
		{"GET", "/api/v1/tasks"},
		{"POST", "/api/v1/tasks", `{"kind":"sync_store"}`},
		{"GET", "/api/v1/tasks/t1"},
		{"DELETE", "/api/v1/tasks/t1"},
		{"GET", "/api/v1/tasks/t1/events"},
		{"POST", "/api/v1/stores/" + st.store + "/sync"},
		{"POST", "/api/v1/stores/sync"},
		{"DELETE", "/api/v1/images/" + id},
		{"POST", "/api/v1/images/" + id + "/restore"},
		{"POST", "/api/v1/images/" + id + "/retry"},
	} {
		st.refused(r[0], r[1], r[2], 503, "This server is read-only")
	}
}

func TestTasksForOthers(t *testing.T) {
	st := newSite(t)
	st.tasks()
	id := st.object("POST", "/api/v1/stores/"+st.store+"/sync", "", 202)["id"].(string)
	st.admin.Store(false)
	for _, r := range [][3]string{
		{"POST", "/api/v1/tasks", `{"kind":"sync_store"}`},
		{"DELETE", "/api/v1/tasks/" + id},
		{"POST", "/api/v1/stores/" + st.store + "/sync"},
		{"POST", "/api/v1/stores/sync"},
	} {
		st.refused(r[0], r[1], r[2], 403, "Only an admin may do this")
	}
	st.object("GET", "/api/v1/tasks/"+id, "", 200)
	st.object("GET", "/api/v1/tasks", "", 200)
}
