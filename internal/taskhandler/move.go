package taskhandler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// A Move is the result of moving slides to a bucket.
type Move struct {
	Count  int            `json:"count"`  // slides that were moved; with a dry run, that can be
	Images int            `json:"images"` // slides that were to be moved
	Bytes  int64          `json:"bytes"`  // of the files that were moved
	Failed []scan.Failure `json:"failed"` // slides that stay, each with the reason
	Wider  []string       `json:"wider"`  // why more people can see the slides than before
}

// errNoTarget reports that the store of the setting move_to does not exist.
var errNoTarget = errors.New("the setting move_to of the store does not name a managed store in a bucket: add it with ptiffstore store add s3://BUCKET/PREFIX --managed")

// moveImages moves the slides of a store in a folder, or one of them, to a managed store in a
// bucket: the one of the arguments, or else that of the store's settings, which also say from
// which age. What an interrupted attempt has moved is not moved again.
func (h *Handlers) moveImages(ctx context.Context, t *task.Task, a task.Args) (any, error) {
	r := Move{Failed: []scan.Failure{}, Wider: []string{}}
	from, err := h.Catalog.Stores.Get(ctx, a.Store)
	if err != nil {
		return r, err
	}
	to, before, err := h.moveTo(ctx, a, from)
	if err != nil {
		return r, err
	}
	if to == nil { // a dry run before it is added
		to = &catalog.Store{Mode: catalog.Managed, Kind: catalog.S3, Public: from.Public, HideLabels: from.HideLabels}
	}
	if err := catalog.CheckMove(from, to); err != nil {
		return r, task.Permanent(err)
	}
	if to.ID != "" {
		if err := h.checkWider(ctx, a, from, to, &r.Wider); err != nil {
			return r, err
		}
	}
	ids, err := h.toMove(ctx, a, from, before, &r)
	if err != nil {
		return r, err
	}
	return r, fsx.WithoutPath(h.moveAll(ctx, t, a, from, to, ids, &r))
}

// moveTo returns the store that slides are moved to, nil for a dry run without one, and before
// which time they must have arrived.
func (h *Handlers) moveTo(ctx context.Context, a task.Args, from *catalog.Store) (to *catalog.Store, before time.Time, err error) {
	if a.Into != "" {
		to, err = h.Catalog.Stores.Get(ctx, a.Into)
		return to, time.Now(), err
	}
	stores, err := h.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, before, err
	}
	for i := range stores {
		if stores[i].ManagedBucket() && stores[i].Root == from.MoveTo && from.MoveTo != "" {
			return &stores[i], time.Now().Add(-from.MoveAfter), nil
		}
	}
	if a.DryRun && from.MoveTo == "" {
		return nil, time.Now(), nil
	}
	return nil, before, task.Permanent(errNoTarget)
}

// toMove returns the slides to be moved. Those of a store that are not available are failures.
func (h *Handlers) toMove(ctx context.Context, a task.Args, from *catalog.Store, before time.Time, r *Move) (ids []string, err error) {
	if a.Image != "" {
		r.Images = 1
		return []string{a.Image}, nil
	}
	err = h.Catalog.Images.Each(ctx, from.ID, func(im *catalog.Image) error {
		switch {
		case im.DeletedAt != nil, im.CreatedAt.After(before):
		case im.State != catalog.Available:
			if im.State != catalog.Missing {
				r.Failed = append(r.Failed, scan.Failure{Image: im.ID, Reason: fmt.Sprintf("it is %s: %s", im.State, im.Reason)})
			}
		case catalog.IsSeries(im.Path):
			r.Failed = append(r.Failed, scan.Failure{Image: im.ID, Reason: scan.ErrSeries.Error()})
		default:
			ids = append(ids, im.ID)
			if a.DryRun {
				r.Count, r.Bytes = r.Count+1, r.Bytes+im.Identity.Size
			}
		}
		return nil
	})
	r.Images = len(ids) + len(r.Failed)
	return ids, err
}

// moveAll moves slides.
func (h *Handlers) moveAll(ctx context.Context, t *task.Task, a task.Args, from, to *catalog.Store, ids []string, r *Move) error {
	if a.DryRun {
		return nil
	}
	single := a.Image != ""
	var progress func(done, total int64)
	if single {
		progress = func(done, total int64) { t.Progress(done, total, "bytes") }
	}
	return eachImage(ctx, t, ids, single, &r.Failed, func(id string) error {
		n, err := h.Syncer.Move(ctx, id, from, to, progress)
		if err == nil {
			r.Count++
			r.Bytes += n
		}
		return err
	})
}
