package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// workerAPI are the operations on workers.
type workerAPI struct{ *API }

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

func (a workerAPI) register(h huma.API) {
	register(h, huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/api/v1/workers", Tags: []string{"tasks"},
		Summary: "List the workers that are alive",
	}, nil, a.list)
}

func (a workerAPI) list(ctx context.Context, _ *struct{}) (*workersOutput, error) {
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
