package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// taskAPI are the operations on tasks.
type taskAPI struct{ *API }

// taskView is a task as the API shows it: a [task.View].
type taskView struct {
	ID               string          `json:"id" doc:"Opaque."`
	Kind             string          `json:"kind" example:"sync_store" doc:"Kind of task."`
	Queue            string          `json:"queue" doc:"Queue the task waits in."`
	Args             json.RawMessage `json:"args" doc:"Arguments, an object. Lists show only the store of arguments larger than 1 KB."`
	State            task.State      `json:"state" enum:"waiting,running,retrying,succeeded,failed,cancelled" doc:"State of the task."`
	Ready            bool            `json:"ready" doc:"Whether the task has ended: succeeded, failed or cancelled."`
	Progress         *task.Progress  `json:"progress" doc:"done of total units; total is null if unknown."`
	Result           json.RawMessage `json:"result" doc:"Result of a task that succeeded."`
	Error            *string         `json:"error" doc:"Last error, if the task failed or is retried."`
	ErrorCode        *string         `json:"error_code" example:"too_many_missing" doc:"Kind of the error, for programs: too_many_missing, other_folder or folder_unreachable for a sync; null for other errors."`
	Attempts         int             `json:"attempts" doc:"Number of attempts."`
	Worker           *string         `json:"worker" doc:"Id of the worker that runs the task or ran it last."`
	RequestID        *string         `json:"request_id" doc:"Id of the request that submitted the task, as in the log; null if no request did."`
	SubmittedAt      time.Time       `json:"submitted_at" doc:"When the task was submitted."`
	StartedAt        *time.Time      `json:"started_at" doc:"Start of the last attempt."`
	FinishedAt       *time.Time      `json:"finished_at" doc:"When the task ended."`
	Log              []task.LogLine  `json:"log" doc:"Log of the task, oldest line first; null in lists."`
	WaitingForWorker bool            `json:"waiting_for_worker" doc:"Whether the task waits and no live worker serves its queue."`
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
		Items      []taskView `json:"items" doc:"Items of the page."`
		NextCursor *string    `json:"next_cursor" doc:"null at the end of the list."`
	}
}

type taskPath struct {
	Task string `path:"task" doc:"Id of the task."`
}

const tasksRoute, taskRoute = "/api/v1/tasks", "/api/v1/tasks/{task}"

const (
	noTasks     = "The database is unreachable; or this server runs no tasks."
	noSuchTask  = "No such task, or it ended more than a week ago."
	kindsOfTask = "sync_store, resync_store, verify_store, import_file, hash_image, read_barcode, make_previews, convert_image, pack_image, move_image or export_dicom"
)

func (a taskAPI) register(h huma.API) {
	tags := []string{"tasks"}
	register(h, huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: tasksRoute, Tags: tags,
		Summary: "List tasks, newest first, a page at a time", Description: "Finished tasks are kept for a week.",
	}, problems{400: "The cursor is not one of this list.", 503: noTasks}, a.list)
	register(h, huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: tasksRoute, Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary:     "Submit a task",
		Description: "Some kinds allow only one unfinished task with the same arguments; if there is one, it is returned.",
	}, problems{503: noTasks}, a.submit)
	register(h, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: taskRoute, Tags: tags,
		Summary: "Describe a task",
	}, problems{404: noSuchTask, 503: noTasks}, a.get)
	register(h, huma.Operation{
		OperationID: "cancel-task", Method: http.MethodDelete, Path: taskRoute, Tags: tags,
		Summary:     "Cancel a task",
		Description: "A waiting task ends at once, a running task as soon as possible. A finished task does not change.",
	}, problems{404: noSuchTask, 503: noTasks}, a.cancel)
	a.registerEvents(h)
}

func (a taskAPI) show(ctx context.Context, v *task.View) (*taskOutput, error) {
	shown, err := a.view(ctx, v)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &taskOutput{CacheControl: private, Body: shown}, nil
}

// accepted returns the response to a submitted task.
func (a taskAPI) accepted(ctx context.Context, v *task.View) (*taskOutput, error) {
	out, err := a.show(ctx, v)
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
	Store  string `query:"store" doc:"Only tasks of this store."`
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
}

func (a taskAPI) list(ctx context.Context, in *tasksInput) (*tasksOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	f := task.Filter{Kind: in.Kind, State: task.State(in.State), Queue: in.Queue, Store: in.Store, Cursor: in.Cursor, Limit: in.Limit}
	out := &tasksOutput{CacheControl: private}
	items, next, err := a.page(ctx, f)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	out.Body.Items, out.Body.NextCursor = items, known(next)
	return out, nil
}

func (a taskAPI) get(ctx context.Context, in *taskPath) (*taskOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	v, err := a.Tasks.Get(ctx, in.Task)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.show(ctx, v)
}

type submitInput struct {
	Body struct {
		Kind  string     `json:"kind" doc:"sync_store, resync_store, verify_store, import_file, hash_image, read_barcode, make_previews, convert_image, pack_image, move_image or export_dicom."`
		Queue string     `json:"queue,omitempty" doc:"Queue; by default that of the store in args, else default. Up to 64 lower-case letters and digits, with single hyphens or underscores between them."`
		Args  taskObject `json:"args,omitempty" doc:"Arguments of the kind: store; image for kinds that handle images; dry_run and confirm for syncs, pack_image and move_image; into, the managed store that images are moved into, for pack_image and move_image (if absent, that of the store's settings); damaged_as_background for pack_image; labels, deidentify and sparse for export_dicom. Use ids, never file names: they are visible to everyone. Unknown keys are refused."`
	}
}

// taskObject is an object that is decoded later, when its type is known.
type taskObject struct{ raw []byte }

// UnmarshalJSON is not called for an absent field.
func (o *taskObject) UnmarshalJSON(b []byte) error {
	o.raw = bytes.Clone(b)
	return nil
}

// Schema returns the schema of any object.
func (taskObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// args returns the arguments of the requested task.
func (in *submitInput) args() (task.Args, error) {
	if len(in.Body.Args.raw) == 0 {
		return task.Args{}, nil
	}
	return task.DecodeArgs(in.Body.Kind, in.Body.Args.raw)
}

func (a taskAPI) submit(ctx context.Context, in *submitInput) (*taskOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	args, err := in.args()
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	if args.Store == "" {
		err = a.require(ctx, mayAdmin, "")
	} else {
		err = a.require(ctx, mayWrite, args.Store)
	}
	if err != nil {
		return nil, err
	}
	s := task.Submission{Kind: in.Body.Kind, Queue: in.Body.Queue, Args: args}
	if args.Store != "" {
		store, err := a.Catalog.Stores.Get(ctx, args.Store)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, invalid(errors.New("args.store: there is no such store"))
		} else if err != nil {
			return nil, a.failed(ctx, err)
		}
		if s.Queue == "" {
			s.Queue = task.QueueOf(store)
		}
	}
	if err := a.checkImage(ctx, args); err != nil {
		return nil, err
	}
	if s.Kind == task.ExportDICOM {
		if err := a.checkExport(ctx, args); err != nil {
			return nil, err
		}
	}
	if s.Kind == task.PackImage || s.Kind == task.MoveImage {
		if err := a.checkPack(ctx, &s); err != nil {
			return nil, err
		}
	}
	v, err := a.Tasks.Submit(ctx, s)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.accepted(ctx, v)
}

func (a taskAPI) cancel(ctx context.Context, in *taskPath) (*taskOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	v, err := a.Tasks.Cancel(ctx, in.Task)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return a.show(ctx, v)
}

// mayFollow reports whether the caller may still follow a task.
func (a taskAPI) mayFollow(ctx context.Context, v *task.View) bool {
	if a.Access == nil {
		return true
	}
	store, scope := v.StoreOf(), seeTiles
	if store == "" {
		scope = mayAdmin
	}
	return a.hold(ctx, callerOf(ctx), authz.Request{Store: store, Scope: scope}) == nil
}

// view returns a task as the caller may see it.
func (a taskAPI) view(ctx context.Context, v *task.View) (taskView, error) {
	if a.Access == nil || isAdmin(ctx) {
		return taskView(*v), nil
	}
	store := v.StoreOf()
	hidden := false
	if store != "" {
		s, err := a.Catalog.Stores.Get(ctx, store)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return taskView{}, err
		}
		hidden = err != nil || s.HideLabels
	}
	ok, err := a.may(ctx, callerOf(ctx), authz.Request{Store: store, Scope: labelScope(hidden)})
	if err != nil {
		return taskView{}, err
	}
	return trimmed(v, store, ok), nil
}

// trimmed returns a task without fields for admins only, and without those that may name
// slides if labels is false.
func trimmed(v *task.View, store string, labels bool) taskView {
	t := taskView(*v)
	t.Worker = nil
	if strings.HasPrefix(t.Queue, "host-") {
		t.Queue = "host"
	}
	if labels {
		return t
	}
	t.Args, t.Result, t.Error, t.Log = json.RawMessage("{}"), nil, nil, nil
	if isID(store) {
		t.Args = json.RawMessage(`{"store":"` + store + `"}`)
	}
	return t
}

// page returns a page of the tasks that the caller may see.
func (a taskAPI) page(ctx context.Context, f task.Filter) ([]taskView, string, error) {
	items := []taskView{}
	if a.Access == nil || isAdmin(ctx) {
		page, next, err := a.Tasks.List(ctx, f)
		for i := range page {
			items = append(items, taskView(page[i]))
		}
		return items, next, err
	}
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, "", err
	}
	v, err := a.visibilityOf(ctx, stores)
	if err != nil {
		return nil, "", err
	}
	if f.Store != "" && !v.everything && v.tiles[f.Store] != whole {
		return nil, "", errForbidden
	}
	next, limit := "", f.Limit
	for range scanRounds {
		f.Limit = limit - len(items)
		var page []task.View
		if page, next, err = a.Tasks.List(ctx, f); err != nil {
			return nil, "", err
		}
		for i := range page {
			if store := page[i].StoreOf(); v.tiles[store] == whole {
				items = append(items, trimmed(&page[i], store, v.labels[store] == whole))
			}
		}
		if next == "" || len(items) == limit {
			break
		}
		f.Cursor = next
	}
	return items, next, nil
}

// checkImage refuses a task about an image that is not in the given store, because the
// caller's rights were checked for that store.
func (a taskAPI) checkImage(ctx context.Context, args task.Args) error {
	if args.Image == "" {
		return nil
	}
	im, err := a.Catalog.Images.Get(ctx, args.Image)
	if err == nil && args.CheckImage(im) != nil {
		err = catalog.ErrNotFound
	}
	if errors.Is(err, catalog.ErrNotFound) {
		return invalid(errors.New("args.image: there is no such image in the store"))
	} else if err != nil {
		return a.failed(ctx, err)
	}
	return nil
}
