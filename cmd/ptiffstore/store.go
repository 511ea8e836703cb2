package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/ingest"
)

type storeCmd struct {
	Add    storeAddCmd    `cmd:"" help:"Make a folder a store."`
	List   storeListCmd   `cmd:"" help:"List the stores."`
	Show   storeShowCmd   `cmd:"" help:"Show a store and its settings."`
	Set    storeSetCmd    `cmd:"" help:"Change settings of a store."`
	Remove storeRemoveCmd `cmd:"" help:"Take a store out of the catalog. No file is touched."`
}

// storeSettings are the settings that can be given and changed; nil is not given.
type storeSettings struct {
	Label      *string        `help:"What people call it."`
	Host       *string        `help:"Host whose worker keeps it in step; empty for any."`
	Endpoint   *string        `placeholder:"URL" help:"Base URL of the tile server near its files."`
	Schedule   *string        `help:"When it is gone through: an interval such as 15m, or a cron expression; empty for never."`
	TimeZone   *string        `name:"time-zone" help:"Time zone of its schedules, such as Europe/Berlin."`
	Queue      *string        `help:"Queue of its tasks."`
	Include    []string       `help:"Names that are slides, such as *.tiff; may be repeated. Default: those of pyramidal TIFFs."`
	Exclude    []string       `help:"Names and folders that are passed over; may be repeated."`
	Settle     *time.Duration `help:"How long a file that is not whole may go without a change before it is broken."`
	MaxMissing *float64       `name:"max-missing" help:"Share of its slides that may be gone at once, 0 to 1."`
	HideAfter  *time.Duration `name:"hide-after" help:"Missing slides are hidden after this time."`
	DropAfter  *time.Duration `name:"drop-after" help:"Missing slides are forgotten after this time; 0 for never."`
	KeepTrash  *time.Duration `name:"keep-trash" help:"Deleted files of a managed store are kept this long."`
	Verify     *string        `help:"When its files are read again to find damage: an interval or a cron expression."`
	VerifyRate *int64         `name:"verify-rate" placeholder:"BYTES" help:"Bytes per second that may be read for that."`
	Background *string        `placeholder:"#RRGGBB" help:"Colour of tiles that the scanner left out."`
	Origin     *string        `help:"Of tile names: top-left or bottom-left."`
	Public     *bool          `negatable:"" help:"Everyone may see its tiles."`
	HideLabels *bool          `name:"hide-labels" negatable:"" help:"Labels and file names are for admins only."`
}

// apply writes what was given into s.
func (f *storeSettings) apply(s *catalog.Store) {
	set(&s.Label, f.Label)
	set(&s.Host, f.Host)
	set(&s.Endpoint, f.Endpoint)
	set(&s.Schedule, f.Schedule)
	set(&s.TimeZone, f.TimeZone)
	set(&s.Queue, f.Queue)
	if f.Include != nil {
		s.Include = given(f.Include)
	}
	if f.Exclude != nil {
		s.Exclude = given(f.Exclude)
	}
	set(&s.Settle, f.Settle)
	set(&s.MaxMissing, f.MaxMissing)
	set(&s.HideAfter, f.HideAfter)
	set(&s.DropAfter, f.DropAfter)
	set(&s.KeepTrash, f.KeepTrash)
	set(&s.Verify, f.Verify)
	set(&s.VerifyRate, f.VerifyRate)
	set(&s.Background, f.Background)
	set(&s.Origin, f.Origin)
	set(&s.Public, f.Public)
	set(&s.HideLabels, f.HideLabels)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// given is the list without empty entries, so that --include= empties it.
func given(list []string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

type storeAddCmd struct {
	place
	Folder   string `arg:"" help:"Folder of the slides; of a managed store, the one they are moved into."`
	Managed  bool   `help:"Files arrive in an incoming folder and are moved under their digest."`
	Incoming string `type:"path" placeholder:"DIR" help:"Where files of a managed store arrive. Default: incoming in the folder."`
	storeSettings
	JSON bool `help:"Print JSON."`
}

func (*storeAddCmd) Help() string {
	return "The folder of an in-place store is read and never written. A managed store makes its folder if need be.\n\nExamples:\n\n  ptiffstore store add /slides/scanner1 --label 'Scanner 1' --schedule 15m\n  ptiffstore store add /archive --managed --incoming /dropbox"
}

// Run adds the store and prints its id.
func (c *storeAddCmd) Run(ctx context.Context, std streams) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	if s, err = ingest.AddStore(ctx, cat, *s); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, api.DescribeStore(s))
	}
	_, err = fmt.Fprintln(std.out, s.ID)
	return err
}

func (c *storeAddCmd) store() (*catalog.Store, error) {
	s := &catalog.Store{Mode: catalog.InPlace}
	c.apply(s)
	if c.Managed {
		s.Mode = catalog.Managed
		if err := os.MkdirAll(c.Folder, 0o750); err != nil {
			return nil, err
		}
	} else if c.Incoming != "" {
		return nil, errors.New("--incoming is for managed stores: say --managed too")
	}
	root, err := filepath.Abs(c.Folder)
	if err != nil {
		return nil, err
	}
	if s.Root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	if s.Incoming = c.Incoming; c.Managed && s.Incoming == "" {
		s.Incoming = filepath.Join(s.Root, "incoming")
	}
	if s.Label == "" {
		s.Label = filepath.Base(s.Root)
	}
	return s, api.CheckStore(s)
}

type storeListCmd struct {
	place
	JSON bool `help:"Print JSON."`
}

func (*storeListCmd) Help() string { return "Example:\n\n  ptiffstore store list" }

// Run prints a line for each store.
func (c *storeListCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	list, err := cat.Stores(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		items := make([]any, len(list))
		for i := range list {
			items[i] = api.DescribeStore(&list[i])
		}
		return printJSON(std, map[string]any{"items": items, "next_cursor": nil})
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tLABEL\tMODE\tSLIDES\tLAST SYNC\tFOLDER")
	for i := range list {
		s := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", s.ID, s.Label, s.Mode, s.Counts[catalog.Available], ago(s.LastSync), printable(s.Root))
	}
	return w.Flush()
}

type storeShowCmd struct {
	place
	Store string `arg:"" help:"Id, label or folder of the store."`
	JSON  bool   `help:"Print JSON."`
}

func (*storeShowCmd) Help() string { return "Example:\n\n  ptiffstore store show 'Scanner 1' --json" }

// Run prints the store.
func (c *storeShowCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std, api.DescribeStore(s))
	}
	return printFields(std, api.DescribeStore(s))
}

type storeSetCmd struct {
	place
	Store string `arg:"" help:"Id, label or folder of the store."`
	storeSettings
}

func (*storeSetCmd) Help() string {
	return "Settings that are not named stay as they are.\n\nExample:\n\n  ptiffstore store set 'Scanner 1' --schedule '0 3 * * *' --time-zone Europe/Berlin"
}

// Run changes the store.
func (c *storeSetCmd) Run(ctx context.Context) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return err
	}
	_, err = cat.UpdateStore(ctx, s.ID, func(s *catalog.Store) error {
		c.apply(s)
		return api.CheckStore(s)
	})
	return err
}

type storeRemoveCmd struct {
	place
	Store     string `arg:"" help:"Id, label or folder of the store."`
	KeepFiles bool   `name:"keep-files" help:"Remove a managed store that still holds slides: its files stay where they are."`
}

func (*storeRemoveCmd) Help() string {
	return "Its slides are in the gallery no more. Adding the folder again brings them back; those of a managed store with their ids.\n\nExample:\n\n  ptiffstore store remove 'Scanner 1'"
}

// Run removes the store from the catalog.
func (c *storeRemoveCmd) Run(ctx context.Context) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return err
	}
	if s.Mode == catalog.Managed && len(s.Counts) > 0 && !c.KeepFiles {
		return errors.New("the store still holds slides under their digests: say --keep-files if they are to stay there without a catalog")
	}
	return cat.DeleteStore(ctx, s.ID)
}

func printJSON(std streams, v any) error {
	e := json.NewEncoder(std.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printFields prints a JSON object with a line for each field that is set.
func printFields(std streams, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := dec.Token(); err != nil { // {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		text := string(value)
		if s := ""; json.Unmarshal(value, &s) == nil {
			text = s
		}
		if text != "" && text != "null" && text != "[]" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	return w.Flush()
}

// ago says how long ago something was.
func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return time.Since(*t).Round(time.Second).String() + " ago"
}

// printable is a path for a terminal: other bytes than text could be commands to it.
func printable(path string) string {
	return strings.Trim(fmt.Sprintf("%q", path), `"`)
}
