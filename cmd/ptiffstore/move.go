package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
)

type storeMoveCmd struct {
	sourceFlags
	Store  string `arg:"" help:"Id, label or folder of the store."`
	To     string `required:"" placeholder:"s3://BUCKET/PREFIX" help:"Managed store in a bucket that gets the slides. If this address has no store, one is added with the settings for display and the permissions of the store."`
	DryRun bool   `name:"dry-run" help:"Report how many slides and bytes would be moved, and change nothing."`
	Sure   bool   `name:"confirm" help:"Confirm that more people will see the slides in the other store."`
	JSON   bool   `help:"Print JSON."`
	logFlags
}

func (*storeMoveCmd) Help() string {
	return "Copies each file to the bucket, compares it, and makes the slide one of the other store. Its id, links and tiles stay available meanwhile. Files of an in-place store are never removed; those of a managed store are removed 7 days later.\n\n" +
		"The task runs on a server or worker, and continues there if this command is interrupted. If none runs, this command does the work. An interrupted command can be repeated.\n\nExample:\n\n  ptiffstore store move Archive --to s3://slides/archive --dry-run"
}

// Run moves the slides and prints the result.
func (c *storeMoveCmd) Run(ctx context.Context, std streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	from, err := findStore(ctx, d.catalog, c.Store)
	if err != nil {
		return err
	}
	to, err := c.target(ctx, d.catalog, from)
	if err != nil {
		return err
	}
	if err := catalog.CheckMove(from, to); err != nil {
		return err
	}
	args := task.Args{Store: from.ID, Into: to.ID, DryRun: c.DryRun, Confirm: c.Sure}
	queue := task.QueueOf(from)
	served, err := isServed(ctx, d.catalog, queue)
	if err != nil {
		return err
	}
	var r taskhandler.Move
	b := newBar(std.err, "moving")
	if served && !c.DryRun {
		err = submitted(ctx, d, task.Submission{Kind: task.MoveImage, Queue: queue, Args: args}, b, &r)
	} else {
		err = c.moveHere(ctx, std, d.catalog, args, &r)
	}
	b.end(err)
	if err != nil {
		return err
	}
	return c.print(std, &r)
}

// target returns the store that gets the slides, and adds it if it does not exist. A dry run adds
// none.
func (c *storeMoveCmd) target(ctx context.Context, cat *catalog.Catalog, from *catalog.Store) (*catalog.Store, error) {
	root, err := source.CheckRoot(c.To)
	if err != nil || catalog.KindOf(root) != catalog.S3 {
		return nil, usage(errors.Join(err, errors.New("--to: give the address of a part of a bucket, s3://BUCKET/PREFIX")))
	}
	stores, err := cat.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range stores {
		if stores[i].Root == root {
			return &stores[i], nil
		}
	}
	s := catalog.Store{
		Mode: catalog.Managed, Kind: catalog.S3, Root: root, Label: from.Label + " (bucket)", Copyright: from.Copyright, CasePattern: from.CasePattern, CaseSource: from.CaseSource, Background: from.Background, Origin: from.Origin,
		Public: from.Public, HideLabels: from.HideLabels, KeepTrash: from.KeepTrash,
	}
	if c.DryRun {
		return &s, nil
	}
	put, err := bucketstore.AddStore(ctx, cat, c.settings(quiet()), s)
	if err != nil {
		return nil, err
	}
	return put, copyGrants(ctx, cat, from.ID, put.ID)
}

// copyGrants gives everyone with permissions for one store the same for another.
func copyGrants(ctx context.Context, cat *catalog.Catalog, from, to string) error {
	accounts, err := account.New(ctx, cat.DB(), account.Options{})
	if err != nil {
		return err
	}
	grants, err := accounts.Grants.List(ctx, account.GrantFilter{Store: from})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if _, err := accounts.Grants.Add(ctx, account.Grant{User: g.User, Group: g.Group, Role: g.Role, Store: to}); err != nil {
			return err
		}
	}
	return nil
}

// moveHere moves the slides in this process.
func (c *storeMoveCmd) moveHere(ctx context.Context, std streams, cat *catalog.Catalog, a task.Args, r *taskhandler.Move) error {
	accounts, err := account.New(ctx, cat.DB(), account.Options{})
	if err != nil {
		return err
	}
	syncer := c.syncer(cat, c.logger(std.err))
	defer syncer.Sources.Close() //nolint:errcheck // the task has ended
	h := taskhandler.Handlers{Catalog: cat, Wider: accounts.Grants.Wider, Syncer: syncer}
	result, err := runTask(ctx, &h, task.MoveImage, a)
	if m, ok := result.(taskhandler.Move); ok {
		*r = m
	}
	return err
}

// runTask runs a task in this process.
func runTask(ctx context.Context, h *taskhandler.Handlers, kind string, a task.Args) (any, error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	for _, k := range h.Kinds() {
		if k.Name == kind {
			return k.Run(ctx, &task.Task{Kind: k.Name, Store: a.Store, Args: raw, Attempt: 1})
		}
	}
	return nil, task.ErrUnknownKind
}

func (c *storeMoveCmd) print(std streams, r *taskhandler.Move) error {
	if c.JSON {
		return printJSON(std, r)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(std.out, "%s not moved: %s\n", f.Image, f.Reason)
	}
	for _, why := range r.Wider {
		fmt.Fprintf(std.out, "more people will see the slides: %s\n", why)
	}
	size := humanize.Bytes(uint64(max(r.Bytes, 0)))
	if c.DryRun {
		_, err := fmt.Fprintf(std.out, "%d of %d slides can be moved, %s\n", r.Count, r.Images, size)
		return err
	}
	_, err := fmt.Fprintf(std.out, "%d of %d slides moved, %s\n", r.Count, r.Images, size)
	return err
}
