package api

import (
	"context"
	"errors"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// checkRule checks a task that moves slides as the settings of their store say, which only an
// administrator of everything sets.
func (a taskAPI) checkRule(ctx context.Context, s *task.Submission, from *catalog.Store) error {
	if from.MoveTo == "" {
		return invalid(errors.New("args.into: name the managed store in a bucket that slides are moved to, or set move_to of the store"))
	}
	if s.Args.Confirm {
		return a.require(ctx, mayAdmin, "")
	}
	return nil
}

// checkPack checks that the caller may move images into the other store of a task, and that
// an administrator of everything has confirmed that more people will see them. By default a
// task that packs waits in the queue of that store, whose files are written, and one that moves in
// that of the store whose files are read.
func (a taskAPI) checkPack(ctx context.Context, s *task.Submission) error {
	from, err := a.Catalog.Stores.Get(ctx, s.Args.Store)
	if errors.Is(err, catalog.ErrNotFound) {
		return invalid(errors.New("args.store: there is no such store"))
	} else if err != nil {
		return a.failed(ctx, err)
	}
	if s.Args.Into == "" && s.Kind == task.MoveImage {
		return a.checkRule(ctx, s, from)
	}
	if s.Args.Into == "" {
		return invalid(errors.New("args.into: name the managed store that images are moved into"))
	}
	if err := a.require(ctx, mayWrite, s.Args.Into); err != nil {
		return err
	}
	to, err := a.Catalog.Stores.Get(ctx, s.Args.Into)
	if errors.Is(err, catalog.ErrNotFound) {
		return invalid(errors.New("args.into: there is no such store"))
	} else if err != nil {
		return a.failed(ctx, err)
	}
	check := catalog.CheckPack
	if s.Kind == task.MoveImage {
		check = catalog.CheckMove
	}
	if err := check(from, to); err != nil {
		return invalid(err)
	}
	if s.Kind == task.PackImage && s.Queue == task.QueueOf(from) {
		s.Queue = task.QueueOf(to)
	}
	if s.Args.Confirm {
		return a.require(ctx, mayAdmin, "")
	}
	if a.Access == nil || a.Access.Accounts == nil || s.Args.DryRun {
		return nil // the task checks the settings of the stores
	}
	why, err := a.Access.Accounts.Grants.Wider(ctx, from, to)
	if err != nil {
		return a.failed(ctx, err)
	}
	if len(why) > 0 {
		return invalid(errors.New("args.confirm: more people would see the images: " + strings.Join(why, "; ") + ". An administrator of everything must confirm this"))
	}
	return nil
}
