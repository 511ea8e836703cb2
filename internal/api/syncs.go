package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// syncAPI are the operations that sync stores.
type syncAPI struct{ *API }

type syncInput struct {
	Store   string `path:"store" doc:"Id of the store."`
	Resync  bool   `query:"resync" doc:"Read every file again as if it were new. Ids stay the same."`
	DryRun  bool   `query:"dry_run" doc:"Report what would change, and change nothing."`
	Confirm bool   `query:"confirm" doc:"Confirm that many slides have disappeared."`
}

type syncAllInput struct {
	Resync  bool `query:"resync" doc:"Read every file again as if it were new. Ids stay the same."`
	DryRun  bool `query:"dry_run" doc:"Report what would change, and change nothing."`
	Confirm bool `query:"confirm" doc:"Confirm that many slides have disappeared."`
}

func (a syncAPI) register(h huma.API) {
	tags := []string{"stores"}
	register(h, huma.Operation{
		OperationID: "sync-store", Method: http.MethodPost, Path: storeRoute + "/sync", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary:     "Sync a store",
		Description: "Returns the task that updates the catalog from the store's folder. If the same task exists and has not ended, it is returned.",
	}, problems{404: "No such store.", 503: noTasks}, a.store)
	register(h, huma.Operation{
		OperationID: "sync-all-stores", Method: http.MethodPost, Path: storesRoute + "/sync", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Sync all stores, each in a separate task",
	}, problems{503: noTasks}, a.all)
}

// submit submits a sync task for a store.
func (a syncAPI) submit(ctx context.Context, s *catalog.Store, o *syncAllInput) (*task.View, error) {
	kind := task.SyncStore
	if o.Resync {
		kind = task.ResyncStore
	}
	return a.Tasks.Submit(ctx, task.Submission{Kind: kind, Queue: task.QueueOf(s), Args: task.Args{Store: s.ID, DryRun: o.DryRun, Confirm: o.Confirm}})
}

func (a syncAPI) store(ctx context.Context, in *syncInput) (*taskOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	s, err := a.Catalog.Stores.Get(ctx, in.Store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	v, err := a.submit(ctx, s, &syncAllInput{in.Resync, in.DryRun, in.Confirm})
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return taskAPI(a).accepted(ctx, v)
}

func (a syncAPI) all(ctx context.Context, in *syncAllInput) (*tasksOutput, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	list, err := a.Catalog.Stores.List(ctx)
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
		v, err := a.submit(ctx, &list[i], in)
		if err != nil {
			return nil, a.taskFailed(ctx, err)
		}
		shown, err := taskAPI(a).view(ctx, v)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		out.Body.Items = append(out.Body.Items, shown)
	}
	return out, nil
}
