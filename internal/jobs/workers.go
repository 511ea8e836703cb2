package jobs

import (
	"context"
)

func (w *worker) register(context.Context) error   { return nil }
func (w *worker) unregister(context.Context) error { return nil }

func (w *worker) keepAlive(ctx context.Context, lost context.CancelCauseFunc) {}
func (w *worker) rescue(ctx context.Context, lost context.CancelCauseFunc)    {}
func (w *worker) schedule(ctx context.Context, lost context.CancelCauseFunc)  {}

// markUnserved says of tasks that wait whether nobody will do them.
func (j *Jobs) markUnserved(ctx context.Context, views []View) error { return nil }
