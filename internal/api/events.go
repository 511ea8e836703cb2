package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/slideatlas/ptiffstore/internal/task"
)

const (
	// defaultHeartbeat keeps streams of events open: proxies close connections that are
	// silent for a minute.
	defaultHeartbeat = 15 * time.Second
	// eventTimeout limits sending one event: a client that does not read is disconnected.
	eventTimeout = 30 * time.Second
	// lastEvent is the id of the final event of a task. When a stream ends, a browser
	// reconnects and sends the id of the last event it received.
	lastEvent = "end"
)

// EventsPattern is the route of streams of events.
const EventsPattern = "GET " + taskRoute + "/events"

type eventsInput struct {
	Task string `path:"task" doc:"Id of the task."`
	Last string `header:"Last-Event-ID" doc:"Id of the last event seen, as browsers send it."`
}

func (a taskAPI) registerEvents(h huma.API) {
	register(h, huma.Operation{
		OperationID: "follow-task", Method: http.MethodGet, Path: taskRoute + "/events", Tags: []string{"tasks"},
		Summary:     "Follow a task by server-sent events",
		Description: "The stream sends an event named task, with the task as JSON, at the start and at each change, and a comment every 15 seconds. It ends after the event of a finished task. A client that reconnects with Last-Event-ID then gets 204, at which browsers stop.",
	}, problems{404: noSuchTask, 503: noTasks}, a.follow)
	op := h.OpenAPI().Paths[taskRoute+"/events"].Get
	op.Responses["200"] = &huma.Response{
		Description: "A stream of events named task; the data of each is the task as JSON.",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	op.Responses["204"] = &huma.Response{Description: "The task has ended, and the client has received the last event."}
}

func (a taskAPI) follow(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	if err := a.requireTasks(); err != nil {
		return nil, err
	}
	v, err := a.Tasks.Get(ctx, in.Task)
	if err != nil {
		return nil, a.taskFailed(ctx, err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Cache-Control", "no-store")
		r, w := humago.Unwrap(ctx)
		if v.Ready && in.Last == lastEvent {
			ctx.SetStatus(http.StatusNoContent)
			return
		}
		ctx.SetHeader("Content-Type", "text/event-stream")
		ctx.SetHeader("X-Accel-Buffering", "no") // or nginx would buffer events
		ctx.SetStatus(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		s := stream{w: w, c: http.NewResponseController(w)}
		defer s.c.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection may be reused, or closed already
		a.stream(ctx.Context(), &s, in.Task)
	}}, nil
}

// stream sends a task's changes until the task has ended or the client disconnects.
func (a taskAPI) stream(ctx context.Context, s *stream, id string) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends the watch
	heartbeat := a.Heartbeat
	if heartbeat == 0 {
		heartbeat = defaultHeartbeat
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	changes := a.Tasks.Watch(ctx, id)
	for {
		var err error
		select {
		case v, ok := <-changes:
			if !ok {
				return
			}
			if a.mayFollow(ctx, &v) {
				err = s.task(ctx, a, &v)
			} else {
				return
			}
		case <-tick.C:
			err = s.send(":\n\n")
		case <-a.Closing:
			return
		}
		if err != nil {
			return
		}
	}
}

// A stream is a response of server-sent events.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s *stream) task(ctx context.Context, a taskAPI, v *task.View) error {
	shown, err := a.view(ctx, v)
	if err != nil {
		return err
	}
	b, err := json.Marshal(shown) // without line breaks
	if err != nil {
		return err
	}
	id := ""
	if v.Ready {
		id = "id: " + lastEvent + "\n"
	}
	return s.send(fmt.Sprintf("event: task\n%sdata: %s\n\n", id, b))
}

func (s *stream) send(text string) error {
	if err := s.c.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.c.Flush()
}
