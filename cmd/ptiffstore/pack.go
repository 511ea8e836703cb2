package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
)

type packCmd struct {
	sourceFlags
	What    string `arg:"" name:"image-or-store" help:"Id of an image of a database or dump; or id, label or URL of such a store, for all of its images."`
	Into    string `required:"" placeholder:"STORE" help:"Managed store that gets the images: id, label or folder."`
	DryRun  bool   `name:"dry-run" help:"Report which images can be packed, and change nothing. Tiles are not read."`
	Sure    bool   `name:"confirm" help:"Confirm that more people will see the images in the other store."`
	Damaged bool   `name:"damaged-as-background" help:"Write background in place of tiles that are empty or not a JPEG. Without it such an image is not packed."`
	JSON    bool   `help:"Print JSON."`
	logFlags
}

func (*packCmd) Help() string {
	return "Writes each image as a file with the same tiles, and moves the image to the managed store. Its id, links and permissions stay the same. The images in the database or dump are only read.\n\n" +
		"The task runs on a server or worker, and continues there if this command is interrupted. If none runs, this command does the work. An interrupted command can be repeated.\n\nExample:\n\n  ptiffstore pack 'Old slides' --into Archive --dry-run"
}

// Run packs the images and prints the result.
func (c *packCmd) Run(ctx context.Context, std streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	args, into, err := c.args(ctx, d.catalog)
	if err != nil {
		return err
	}
	queue := task.QueueOf(into)
	served, err := isServed(ctx, d.catalog, queue)
	if err != nil {
		return err
	}
	var r taskhandler.Packed
	b := newBar(std.err, "packing")
	if served {
		err = submitted(ctx, d, task.Submission{Kind: task.PackImage, Queue: queue, Args: args}, b, &r)
	} else {
		r, err = c.packHere(ctx, std, d.catalog, args)
	}
	b.end(err)
	if err != nil {
		return err
	}
	return c.print(std, &r)
}

// args returns the arguments of the task, and the store that gets the images.
func (c *packCmd) args(ctx context.Context, cat *catalog.Catalog) (task.Args, *catalog.Store, error) {
	a := task.Args{DryRun: c.DryRun, Confirm: c.Sure, Damaged: c.Damaged}
	into, err := findStore(ctx, cat, c.Into)
	if err != nil {
		return a, nil, err
	}
	a.Into = into.ID
	var from *catalog.Store
	im, err := cat.Images.Get(ctx, c.What)
	switch {
	case err == nil:
		a.Image = im.ID
		from, err = cat.Stores.Get(ctx, im.StoreID)
	case errors.Is(err, catalog.ErrNotFound):
		from, err = findStore(ctx, cat, c.What)
	}
	if err != nil {
		return a, nil, err
	}
	a.Store = from.ID
	return a, into, catalog.CheckPack(from, into)
}

// isServed reports whether a live worker serves a queue.
func isServed(ctx context.Context, cat *catalog.Catalog, queue string) (bool, error) {
	workers, err := cat.Workers.List(ctx)
	return slices.ContainsFunc(workers, func(w catalog.Worker) bool { return slices.Contains(w.Queues, queue) }), err
}

// submitted submits a task, waits for it, and decodes its result.
func submitted(ctx context.Context, d *desk, s task.Submission, b *bar, result any) error {
	v, err := d.Submit(ctx, s)
	if err != nil {
		return err
	}
	for now := range d.Watch(ctx, v.ID) {
		if p := now.Progress; p != nil && p.Total != nil && *p.Total > 0 {
			b.set(float64(p.Done) / float64(*p.Total))
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the task %s continues on the server: %w", v.ID, ctx.Err())
	}
	if v, err = d.Get(ctx, v.ID); err != nil {
		return err
	}
	switch {
	case v.State == task.Succeeded:
		return json.Unmarshal(v.Result, result)
	case v.Error != nil:
		return fmt.Errorf("the task %s: %s", endWords[v.State], *v.Error)
	}
	return fmt.Errorf("the task %s", endWords[v.State])
}

// packHere packs in this process.
func (c *packCmd) packHere(ctx context.Context, std streams, cat *catalog.Catalog, a task.Args) (r taskhandler.Packed, err error) {
	accounts, err := account.New(ctx, cat.DB(), account.Options{})
	if err != nil {
		return r, err
	}
	syncer := c.syncer(cat, c.logger(std.err))
	defer syncer.Sources.Close() //nolint:errcheck // only read
	syncer.Received = managed.NewReceived()
	h := taskhandler.Handlers{Catalog: cat, Decode: render.NewBudget(256 << 20), Wider: accounts.Grants.Wider, Syncer: syncer}
	result, err := runTask(ctx, &h, task.PackImage, a)
	if p, ok := result.(taskhandler.Packed); ok {
		r = p
	}
	return r, err
}

func (c *packCmd) print(std streams, r *taskhandler.Packed) error {
	if c.JSON {
		return printJSON(std, r)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(std.out, "%s not packed: %s\n", f.Image, f.Reason)
	}
	for _, why := range r.Wider {
		fmt.Fprintf(std.out, "more people will see the images: %s\n", why)
	}
	if c.DryRun {
		_, err := fmt.Fprintf(std.out, "%d of %d images can be packed, about %s\n", r.Count, r.Images, humanize.Bytes(uint64(max(r.Bytes, 0))))
		return err
	}
	_, err := fmt.Fprintf(std.out, "%d of %d images packed, %s: %d tiles, of them %d padded; %d tiles are not stored, %d damaged\n",
		r.Count, r.Images, humanize.Bytes(uint64(max(r.Bytes, 0))), r.Tiles, r.Padded, r.Background, r.Damaged)
	return err
}
