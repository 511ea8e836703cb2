package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/taskhandler"
)

type taskCmd struct {
	Cancel taskCancelCmd `cmd:"" help:"Cancel a task."`
	List   taskListCmd   `cmd:"" help:"List tasks, newest first."`
	Show   taskShowCmd   `cmd:"" help:"Show a task, its progress, log and result."`
	Submit taskSubmitCmd `cmd:"" help:"Submit a task to a queue."`
	Wait   taskWaitCmd   `cmd:"" help:"Wait until a task has ended and show it."`
}

// A desk has the catalog and the task queues.
type desk struct {
	*task.Service
	catalog *catalog.Catalog
}

// desk opens both.
func (p *databaseFlags) desk(ctx context.Context) (*desk, error) {
	url, err := p.require(ctx, ledgers()...)
	if err != nil {
		return nil, err
	}
	c, err := catalog.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	j, err := task.Open(ctx, task.Options{Catalog: c, Kinds: new(taskhandler.Handlers).Kinds(), Version: version})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &desk{j, c}, nil
}

func (d *desk) close() { d.catalog.Close() } //nolint:errcheck // nothing depends on it

type taskSubmitCmd struct {
	databaseFlags
	Kind   string `arg:"" help:"sync_store, resync_store, verify_store, hash_image, read_barcode, make_previews, convert_image, import_file or export_dicom."`
	Store  string `arg:"" help:"Id, label or folder of the store."`
	Image  string `help:"Only this image: id."`
	Queue  string `help:"Queue. Default: the store's."`
	DryRun bool   `name:"dry-run" help:"For a sync: report what would be done, and change nothing."`
	Sure   bool   `name:"confirm" help:"For a sync: confirm that many slides have disappeared."`

	Labels     bool `help:"For export_dicom: include label and macro image, and the barcode."`
	Deidentify bool `help:"For export_dicom: leave out what identifies the patient, and use other identifiers."`
	Sparse     bool `help:"For export_dicom: leave out the tiles that the scanner skipped."`

	JSON bool `help:"Print JSON."`
}

func (*taskSubmitCmd) Help() string {
	return "Prints the id of the task. A task that already waits or runs is not submitted again.\n\nExamples:\n\n  ptiffstore task submit sync_store 'Scanner 1' --queue autosync\n  ptiffstore task submit export_dicom 'Scanner 1' --image qsnnj3jsmaxmvynku2dkpf2smi --deidentify"
}

// Run submits the task and prints its id.
func (c *taskSubmitCmd) Run(ctx context.Context, std streams) error {
	if err := c.check(); err != nil {
		return &exitError{exitUsage, err}
	}
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	s, err := findStore(ctx, d.catalog, c.Store)
	if err != nil {
		return err
	}
	queue := c.Queue
	if queue == "" {
		queue = task.QueueOf(s)
	}
	args := task.Args{Store: s.ID, Image: c.Image, DryRun: c.DryRun, Confirm: c.Sure, Labels: c.Labels, Deidentify: c.Deidentify, Sparse: c.Sparse}
	if args.Image != "" {
		im, err := d.catalog.Images.Get(ctx, args.Image)
		if err != nil {
			return err
		}
		if err := args.CheckImage(im); err != nil {
			return err
		}
	}
	v, err := c.submit(ctx, d, task.Submission{Kind: c.Kind, Queue: queue, Args: args})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, v)
	}
	_, err = fmt.Fprintln(std.out, v.ID)
	return err
}

// check checks that the flags agree with each other.
func (c *taskSubmitCmd) check() error {
	switch {
	case c.Labels && c.Deidentify:
		return dicom.ErrChoice
	case c.Kind == task.ExportDICOM && c.Image == "":
		return errors.New("export_dicom exports one image: use --image")
	}
	return nil
}

// submit submits a task. An export is recorded in the audit log.
func (c *taskSubmitCmd) submit(ctx context.Context, d *desk, s task.Submission) (v *task.View, err error) {
	if s.Kind != task.ExportDICOM {
		return d.Submit(ctx, s)
	}
	err = c.withPeople(ctx, "image.export", func(*account.Accounts) (string, error) {
		v, err = d.Submit(ctx, s)
		return s.Args.Image, err
	})
	return v, err
}

type taskListCmd struct {
	databaseFlags
	State string `help:"Only tasks in this state: waiting, running, retrying, succeeded, failed or cancelled."`
	Kind  string `help:"Only tasks of this kind."`
	Queue string `help:"Only tasks in this queue."`
	Store string `help:"Only tasks of this store."`
	Limit int    `default:"50" help:"Maximum number of tasks."`
	JSON  bool   `help:"Print JSON."`
}

func (*taskListCmd) Help() string { return "Example:\n\n  ptiffstore task list --state running" }

// Run prints a line for each task.
func (c *taskListCmd) Run(ctx context.Context, std streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if kinds := new(taskhandler.Handlers).Kinds(); c.Kind != "" && !slices.ContainsFunc(kinds, func(k task.Kind) bool { return k.Name == c.Kind }) {
		return fmt.Errorf("%w: %q", task.ErrUnknownKind, c.Kind)
	}
	f := task.Filter{State: task.State(c.State), Kind: c.Kind, Queue: c.Queue, Limit: c.Limit}
	if c.Store != "" {
		s, err := findStore(ctx, d.catalog, c.Store)
		if err != nil {
			return err
		}
		f.Store = s.ID
	}
	list, next, err := d.List(ctx, f)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, map[string]any{"items": list, "next_cursor": known(next)})
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tKIND\tQUEUE\tSTATE\tSUBMITTED\tPROGRESS")
	for i := range list {
		v := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Kind, v.Queue, stateWords(v), ago(&v.SubmittedAt), progressWords(v))
	}
	return w.Flush()
}

func stateWords(v *task.View) string {
	if v.WaitingForWorker {
		return "waiting for a worker"
	}
	return string(v.State)
}

func progressWords(v *task.View) string {
	switch p := v.Progress; {
	case p == nil:
		return ""
	case p.Total == nil:
		return fmt.Sprintf("%d %s", p.Done, p.Unit)
	default:
		return fmt.Sprintf("%d of %d %s", p.Done, *p.Total, p.Unit)
	}
}

type taskShowCmd struct {
	databaseFlags
	Task string `arg:"" help:"Id of the task."`
	JSON bool   `help:"Print JSON."`
}

func (*taskShowCmd) Help() string { return "Example:\n\n  ptiffstore task show t5 --json" }

// Run prints the task.
func (c *taskShowCmd) Run(ctx context.Context, std streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	v, err := d.Get(ctx, c.Task)
	if err != nil {
		return err
	}
	return printTask(std, v, c.JSON)
}

func printTask(std streams, v *task.View, asJSON bool) error {
	if asJSON {
		return printJSON(std, v)
	}
	lines := v.Log
	v.Log = nil
	if err := printFields(std, v); err != nil {
		return err
	}
	for _, l := range lines {
		fmt.Fprintf(std.out, "%s  %s\n", l.At.Format("2006-01-02 15:04:05"), strings.TrimSpace(l.Text))
	}
	return nil
}

type taskWaitCmd struct {
	databaseFlags
	Task string `arg:"" help:"Id of the task."`
	JSON bool   `help:"Print JSON."`
}

func (*taskWaitCmd) Help() string {
	return "Exits with 1 if the task failed or was cancelled.\n\nExample:\n\n  ptiffstore task wait $(ptiffstore task submit sync_store 'Scanner 1')"
}

// Run waits for the task.
func (c *taskWaitCmd) Run(ctx context.Context, std streams) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	v, err := d.Wait(ctx, c.Task)
	if err != nil {
		return err
	}
	if err := printTask(std, v, c.JSON); err != nil {
		return err
	}
	switch {
	case v.State == task.Succeeded:
		return nil
	case v.Error != nil:
		return fmt.Errorf("the task %s: %s", v.State, *v.Error)
	}
	return fmt.Errorf("the task was %s", v.State)
}

// endWords returns the outcome of a task as text.
var endWords = map[task.State]string{task.Succeeded: "succeeded", task.Failed: "failed", task.Cancelled: "was cancelled"}

type taskCancelCmd struct {
	databaseFlags
	Task string `arg:"" help:"Id of the task."`
}

func (*taskCancelCmd) Help() string {
	return "A running task is stopped; its changes until then stay.\n\nExample:\n\n  ptiffstore task cancel t5"
}

// Run cancels the task.
func (c *taskCancelCmd) Run(ctx context.Context) error {
	d, err := c.desk(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	before, err := d.Get(ctx, c.Task)
	if err != nil {
		return err
	}
	if before.FinishedAt != nil {
		return fmt.Errorf("the task has ended already: it %s", endWords[before.State])
	}
	_, err = d.Cancel(ctx, c.Task)
	return err
}
