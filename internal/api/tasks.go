package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// taskView is a task as the API shows it: a [task.View].
type taskView struct {
	ID               string          `json:"id" doc:"Opaque."`
	Kind             string          `json:"kind" example:"sync_store" doc:"What is done."`
	Queue            string          `json:"queue" doc:"Whose workers do it."`
	Args             json.RawMessage `json:"args" doc:"An object. In lists, arguments of more than 1 KB are shown without all but the store."`
	State            task.State      `json:"state" enum:"waiting,running,retrying,succeeded,failed,cancelled" doc:"Where it stands."`
	Ready            bool            `json:"ready" doc:"It has ended: succeeded, failed or cancelled."`
	Progress         *task.Progress  `json:"progress" doc:"done of total units; total is null if it is not known."`
	Result           json.RawMessage `json:"result" doc:"Of a task that succeeded."`
	Error            *string         `json:"error" doc:"The last one, if it failed or is tried again."`
	Attempts         int             `json:"attempts" doc:"How often it was begun."`
	Worker           *string         `json:"worker" doc:"Id of the worker that runs it, or ran it last."`
	RequestID        *string         `json:"request_id" doc:"Id of the request that submitted it, as in the log; null if none did."`
	SubmittedAt      time.Time       `json:"submitted_at" doc:"When it was asked for."`
	StartedAt        *time.Time      `json:"started_at" doc:"Begin of the last attempt."`
	FinishedAt       *time.Time      `json:"finished_at" doc:"When it ended."`
	Log              []task.LogLine  `json:"log" doc:"What it said, oldest first; null in lists."`
	WaitingForWorker bool            `json:"waiting_for_worker" doc:"It waits and no worker that is alive serves its queue."`
}

type taskOutput struct {
	CacheControl string `header:"Cache-Control"`
	Location     string `header:"Location"`
	Body         taskView
}

type tasksOutput struct {
	CacheControl string `header:"Cache-Control"`
	Location     string `header:"Location"`
	Body         struct {
		Items      []taskView `json:"items" doc:"The page."`
		NextCursor *string    `json:"next_cursor" doc:"null at the end of the list."`
	}
}

type taskPath struct {
	Task string `path:"task" doc:"Id of the task."`
}

const tasksRoute, taskRoute = "/api/v1/tasks", "/api/v1/tasks/{task}"

const (
	noTasks     = "The database does not answer; or this server has no tasks."
	noSuchTask  = "No such task, or it ended long ago."
	kindsOfTask = "sync_store, resync_store, verify_store, import_file, hash_image, read_barcode, make_previews or convert_image"
)

func (a *API) tasks(h huma.API) {
	tags := []string{"tasks"}
	register(h, huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: tasksRoute, Tags: tags,
		Summary: "List tasks, newest first, a page at a time", Description: "Those that ended are kept for a week.",
	}, problems{400: "The cursor is not one of this list.", 503: noTasks}, a.listTasks)
	register(h, huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: tasksRoute, Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary:     "Submit a task",
		Description: "Of some kinds there is one at a time with the same arguments: while one has not ended, that is the answer.",
	}, problems{503: noTasks}, a.submitTask)
	register(h, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: taskRoute, Tags: tags,
		Summary: "Describe a task",
	}, problems{404: noSuchTask, 503: noTasks}, a.getTask)
	register(h, huma.Operation{
		OperationID: "cancel-task", Method: http.MethodDelete, Path: taskRoute, Tags: tags,
		Summary:     "Cancel a task",
		Description: "One that waits ends at once, one that runs as soon as it can. One that has ended stays as it is.",
	}, problems{404: noSuchTask, 503: noTasks}, a.cancelTask)
	a.events(h)
	a.syncs(h)
	register(h, huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/api/v1/workers", Tags: tags,
		Summary: "List the workers that are alive",
	}, nil, a.listWorkers)
}

// withTasks returns the refusal of a server that has no tasks.
func (a *API) withTasks() error {
	if a.Jobs == nil {
		return newError(http.StatusServiceUnavailable, "This server only reads and has no tasks: ask the one that keeps the stores.")
	}
	return nil
}

// taskFailed is failed for what the tasks have against a request.
func (a *API) taskFailed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, task.ErrNotFound):
		return newError(http.StatusNotFound, "There is no such task, or it ended long ago.")
	case errors.Is(err, task.ErrBadFilter):
		return newError(http.StatusBadRequest, "The cursor is not one of this list: begin again without it.")
	case errors.Is(err, task.ErrUnknownKind):
		return invalid(errors.New("kind: this server knows none of that name; there are " + kindsOfTask))
	case errors.Is(err, task.ErrBadQueue):
		_, err = checkQueue("")
		return invalid(errors.New("queue: " + err.Error()))
	case errors.Is(err, task.ErrBadArgs):
		return invalid(errors.New("args: " + words(err, task.ErrBadArgs)))
	}
	return a.failed(ctx, err)
}

func (a *API) showTask(ctx context.Context, v *task.View) (*taskOutput, error) {
	shown, err := a.taskFor(ctx, v)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &taskOutput{CacheControl: private, Body: shown}, nil
}

// accepted is the answer to a request for a task.
func (a *API) accepted(ctx context.Context, v *task.View) (*taskOutput, error) {
	out, err := a.showTask(ctx, v)
	if err != nil {
		return nil, err
	}
	out.Location = tasksRoute + "/" + v.ID
	return out, nil
}

type tasksInput struct {
	Kind   string `query:"kind" doc:"Only tasks of this kind."`
	State  string `query:"state" enum:"waiting,running,retrying,succeeded,failed,cancelled" doc:"Only tasks in this state."`
	Queue  string `query:"queue" doc:"Only tasks of this queue."`
	Store  string `query:"store" doc:"Only tasks that are about this store."`
	Cursor string `query:"cursor" doc:"next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most."`
}

func (a *API) listTasks(ctx context.Context, in *tasksInput) (*tasksOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	f := task.Filter{Kind: in.Kind, State: task.State(in.State), Queue: in.Queue, Store: in.Store, Cursor: in.Cursor, Limit: in.Limit}
	out := &tasksOutput{CacheControl: private}
	items, next, err := a.tasksFor(ctx, f)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	out.Body.Items, out.Body.NextCursor = items, known(next)
	return out, nil
}

func (a *API) getTask(ctx context.Context, in *taskPath) (*taskOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	v, err := a.Jobs.Get(ctx, in.Task)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.showTask(ctx, v)
}

type submitInput struct {
	Body struct {
		Kind  string     `json:"kind" doc:"sync_store, resync_store, verify_store, import_file, hash_image, read_barcode, make_previews or convert_image."`
		Queue string     `json:"queue,omitempty" doc:"By default that of the store in args, or else default. Up to 64 lower-case letters and digits, with single hyphens or underscores between them."`
		Args  taskObject `json:"args,omitempty" doc:"What the kind needs: store; of an image also image; of a sync also dry_run and confirm. Ids, never names of files, as everyone sees them. Any other key is refused."`
	}
}

// taskObject is an object that is decoded when it is known what it must be: there is no
// way to look at it before.
type taskObject struct{ raw []byte }

// UnmarshalJSON is not called for what is absent.
func (o *taskObject) UnmarshalJSON(b []byte) error {
	o.raw = bytes.Clone(b)
	return nil
}

// Schema is that of an object.
func (taskObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// args are the arguments that a task is asked for with.
func (in *submitInput) args() (task.Args, error) {
	if len(in.Body.Args.raw) == 0 {
		return task.Args{}, nil
	}
	return task.DecodeArgs(in.Body.Kind, in.Body.Args.raw)
}

func (a *API) submitTask(ctx context.Context, in *submitInput) (*taskOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	args, err := in.args()
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	if args.Store == "" {
		err = a.mayOn(ctx, mayAdmin, "")
	} else {
		err = a.mayOn(ctx, mayWrite, args.Store)
	}
	if err != nil {
		return nil, err
	}
	s := task.Submission{Kind: in.Body.Kind, Queue: in.Body.Queue, Args: args}
	if args.Store != "" {
		store, err := a.Catalog.Store(ctx, args.Store)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, invalid(errors.New("args.store: there is no such store"))
		} else if err != nil {
			return nil, a.failed(ctx, err)
		}
		if s.Queue == "" {
			s.Queue = task.QueueOf(store)
		}
	}
	if err := a.imageOf(ctx, args); err != nil {
		return nil, err
	}
	v, err := a.Jobs.Submit(ctx, s)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.accepted(ctx, v)
}

func (a *API) cancelTask(ctx context.Context, in *taskPath) (*taskOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	v, err := a.Jobs.Cancel(ctx, in.Task)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.showTask(ctx, v)
}

type syncInput struct {
	Store   string `path:"store" doc:"Id of the store."`
	Resync  bool   `query:"resync" doc:"Read every file again as if it were new. Ids stay."`
	DryRun  bool   `query:"dry_run" doc:"Say what would be done, and do nothing."`
	Confirm bool   `query:"confirm" doc:"A person has seen how many slides are gone, and means it."`
}

type syncAllInput struct {
	Resync  bool `query:"resync" doc:"Read every file again as if it were new. Ids stay."`
	DryRun  bool `query:"dry_run" doc:"Say what would be done, and do nothing."`
	Confirm bool `query:"confirm" doc:"A person has seen how many slides are gone, and means it."`
}

func (a *API) syncs(h huma.API) {
	tags := []string{"stores"}
	register(h, huma.Operation{
		OperationID: "sync-store", Method: http.MethodPost, Path: storeRoute + "/sync", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary:     "Bring the catalog to what a store's folder holds",
		Description: "The answer is the task. While the same one has not ended, it is that one.",
	}, problems{404: "No such store.", 503: noTasks}, a.syncStore)
	register(h, huma.Operation{
		OperationID: "sync-all-stores", Method: http.MethodPost, Path: storesRoute + "/sync", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Sync all stores, each by a task of its own",
	}, problems{503: noTasks}, a.syncStores)
}

// syncTask submits the task that syncs a store.
func (a *API) syncTask(ctx context.Context, s *catalog.Store, o *syncAllInput) (*task.View, error) {
	kind := task.SyncStore
	if o.Resync {
		kind = task.ResyncStore
	}
	return a.Jobs.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Args: task.Args{Store: s.ID, DryRun: o.DryRun, Confirm: o.Confirm}})
}

func (a *API) syncStore(ctx context.Context, in *syncInput) (*taskOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	s, err := a.Catalog.Store(ctx, in.Store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	v, err := a.syncTask(ctx, s, &syncAllInput{in.Resync, in.DryRun, in.Confirm})
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.accepted(ctx, v)
}

func (a *API) syncStores(ctx context.Context, in *syncAllInput) (*tasksOutput, error) {
	if err := a.withTasks(); err != nil {
		return nil, err
	}
	list, err := a.Catalog.Stores(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	kind := task.SyncStore
	if in.Resync {
		kind = task.ResyncStore
	}
	out := &tasksOutput{CacheControl: private, Location: tasksRoute + "?kind=" + url.QueryEscape(kind)}
	out.Body.Items = make([]taskView, 0, len(list))
	for i := range list {
		v, err := a.syncTask(ctx, &list[i], in)
		if err != nil {
			return nil, a.taskFailed(ctx, err)
		}
		shown, err := a.taskFor(ctx, v)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out.Body.Items = append(out.Body.Items, shown)
	}
	return out, nil
}

// worker is a process that does tasks.
type worker struct {
	ID        string    `json:"id" doc:"Opaque."`
	Host      *string   `json:"host" doc:"null but for admins."`
	PID       *int      `json:"pid" doc:"null but for admins."`
	Version   string    `json:"version" doc:"Of the program."`
	Queues    []string  `json:"queues" doc:"That it serves."`
	StartedAt time.Time `json:"started_at" doc:"When the process began."`
	SeenAt    time.Time `json:"seen_at" doc:"When it last said that it is alive."`
}

type workersOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []worker `json:"items" doc:"The page."`
		NextCursor *string  `json:"next_cursor" doc:"Always null: the list is whole."`
	}
}

func (a *API) listWorkers(ctx context.Context, _ *struct{}) (*workersOutput, error) {
	list, err := a.Catalog.Workers(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &workersOutput{CacheControl: private}
	out.Body.Items = make([]worker, 0, len(list))
	for _, w := range list {
		v := worker{ID: w.ID, Version: w.Version, Queues: w.Queues, StartedAt: w.StartedAt.UTC(), SeenAt: w.SeenAt.UTC()}
		if isAdmin(ctx) {
			v.Host, v.PID = known(w.Host), known(w.PID)
		}
		out.Body.Items = append(out.Body.Items, v)
	}
	return out, nil
}
