package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// workerAPI are the operations on workers.
type workerAPI struct{ *API }

// worker is a process that runs tasks.
type worker struct {
	ID        string    `json:"id" doc:"Opaque."`
	Host      *string   `json:"host" doc:"null unless the caller is an admin."`
	PID       *int      `json:"pid" doc:"null unless the caller is an admin."`
	Version   string    `json:"version" doc:"Version of the program."`
	Queues    []string  `json:"queues" doc:"Queues that it serves."`
	StartedAt time.Time `json:"started_at" doc:"When the process started."`
	SeenAt    time.Time `json:"seen_at" doc:"Last heartbeat."`
}

type workersOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []worker `json:"items" doc:"Items of the page."`
		NextCursor *string  `json:"next_cursor" doc:"Always null: the list is complete."`
	}
}

func (a workerAPI) register(h huma.API) {
	register(h, huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/api/v1/workers", Tags: []string{"tasks"},
		Summary: "List live workers",
	}, nil, a.list)
}

func (a workerAPI) list(ctx context.Context, _ *struct{}) (*workersOutput, error) {
	list, err := a.Catalog.Workers.List(ctx)
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
