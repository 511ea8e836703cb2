package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

type storeCmd struct {
	Add    storeAddCmd    `cmd:"" help:"Make a folder, a part of a bucket, or a database a store."`
	List   storeListCmd   `cmd:"" help:"List the stores."`
	Move   storeMoveCmd   `cmd:"" help:"Move the slides of a folder to a managed store in a bucket."`
	Remove storeRemoveCmd `cmd:"" help:"Remove a store from the catalog. Its files stay."`
	Set    storeSetCmd    `cmd:"" help:"Change settings of a store."`
	Show   storeShowCmd   `cmd:"" help:"Show a store and its settings."`
}

// storeSettings are the settings of a store that can be set, named as in the API; nil is
// not given. They are not read from the environment, whose variables are for processes.
type storeSettings struct {
	Label       *string  `json:"label,omitempty" help:"Display name."`
	Copyright   *string  `json:"copyright,omitempty" help:"Copyright notice; empty for none."`
	Host        *string  `json:"host,omitempty" help:"Host whose worker scans the store; empty for any host."`
	Endpoint    *string  `json:"endpoint,omitempty" placeholder:"URL" help:"Base URL of the tile server on the host that has the files."`
	Schedule    *string  `json:"schedule,omitempty" help:"When the store is scanned: an interval such as 15m, or a cron expression; empty for never."`
	TimeZone    *string  `json:"time_zone,omitempty" name:"time-zone" help:"Time zone of the schedules, such as Europe/Berlin."`
	Queue       *string  `json:"queue,omitempty" help:"Queue of the store's tasks."`
	Include     []string `json:"include,omitempty" help:"Pattern of file names that are slides, such as *.tiff; can be repeated; empty for the usual names of pyramidal TIFFs."`
	Exclude     []string `json:"exclude,omitempty" help:"Pattern of files and folders to skip; can be repeated."`
	Settle      *string  `json:"settle,omitempty" placeholder:"TIME" help:"An incomplete file that has not changed for this time is reported as broken."`
	MaxMissing  *float64 `json:"max_missing,omitempty" name:"max-missing" help:"Ask for confirmation if more than this share of the slides disappears at once: above 0, at most 1."`
	HideAfter   *string  `json:"hide_after,omitempty" name:"hide-after" placeholder:"TIME" help:"Hide missing slides after this time, such as 30d."`
	DropAfter   *string  `json:"drop_after,omitempty" name:"drop-after" placeholder:"TIME" help:"Remove missing slides from the catalog after this time."`
	KeepTrash   *string  `json:"keep_trash,omitempty" name:"keep-trash" placeholder:"TIME" help:"Keep deleted files of a managed store for this time."`
	MoveTo      *string  `json:"move_to,omitempty" name:"move-to" placeholder:"s3://BUCKET/PREFIX" help:"Once a day, move slides of the folder to this managed store in a bucket; empty for none."`
	MoveAfter   *string  `json:"move_after,omitempty" name:"move-after" placeholder:"TIME" help:"Move slides that were added longer ago than this, such as 90d."`
	Verify      *string  `json:"verify,omitempty" help:"When the files are read again to find damage: an interval or a cron expression."`
	VerifyRate  *int64   `json:"verify_rate,omitempty" name:"verify-rate" placeholder:"BYTES" help:"Maximum read rate of the verification, in bytes per second."`
	Quota       *string  `json:"-" placeholder:"SIZE" help:"Maximum size of the files, uploads in progress included, such as 500GB or 2TiB; empty for no limit."`
	Convert     *bool    `json:"convert,omitempty" negatable:"" help:"Convert images that are not pyramids. On by default for managed stores."`
	CasePattern *string  `json:"case_pattern,omitempty" name:"case-pattern" placeholder:"REGEXP" help:"Regular expression that finds the case of a slide, with groups named accession, part, block and stain; empty for none."`
	CaseSource  *string  `json:"case_source,omitempty" name:"case-source" help:"Text in which the case pattern matches: barcode, filename or folder; empty for the first in which it does."`
	Background  *string  `json:"background,omitempty" placeholder:"#RRGGBB" help:"Colour of tiles that the scanner left out."`
	Origin      *string  `json:"origin,omitempty" help:"Origin of tile coordinates: top-left or bottom-left."`
	Public      *bool    `json:"public,omitempty" negatable:"" help:"Let everyone see the tiles."`
	HideLabels  *bool    `json:"hide_labels,omitempty" name:"hide-labels" negatable:"" help:"Show labels and file names to admins only."`
	Password    *string  `json:"-" name:"password-file" placeholder:"FILE" help:"File with the password of the user of a MongoDB database, on one line; empty for none."`
}

// fields returns the settings that were given.
func (f *storeSettings) fields() (map[string]any, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	err = json.Unmarshal(b, &fields)
	if f.Quota != nil && err == nil {
		fields["quota"], err = parseQuota(*f.Quota)
	}
	return fields, err
}

// names returns the names of the settings that were given.
func (f *storeSettings) names() ([]string, error) {
	fields, err := f.fields()
	for name, list := range map[string][]string{"include": f.Include, "exclude": f.Exclude} {
		if list != nil {
			fields[name] = list
		}
	}
	if f.Password != nil {
		fields["password_file"] = *f.Password
	}
	return slices.Collect(maps.Keys(fields)), err
}

// apply sets the given settings on s. An empty text means the default.
func (f *storeSettings) apply(s *catalog.Store) error {
	fields, err := f.fields()
	if err != nil {
		return err
	}
	for name, v := range fields {
		if v == "" {
			fields[name] = nil
		}
	}
	for name, list := range map[string][]string{"include": f.Include, "exclude": f.Exclude} {
		if list != nil && len(given(list)) == 0 {
			fields[name] = nil
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	if err := f.applyPassword(s); err != nil {
		return err
	}
	return api.EditStore(s, b)
}

// applyPassword sets the password file of a store.
func (f *storeSettings) applyPassword(s *catalog.Store) (err error) {
	if f.Password == nil {
		return nil
	}
	s.PasswordFile = *f.Password
	if s.PasswordFile != "" {
		if s.PasswordFile, err = filepath.Abs(s.PasswordFile); err != nil {
			return err
		}
		if _, err := source.ReadSecret(s.PasswordFile); err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
	}
	if err := source.CheckSecret(s.Root, s.PasswordFile); err != nil {
		return usage(fmt.Errorf("--password-file: %w", err))
	}
	return nil
}

// parseQuota parses a size such as 500GB; nil is no limit.
func parseQuota(s string) (any, error) {
	if s == "" {
		return nil, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return nil, &exitError{exitUsage, fmt.Errorf("--quota: invalid size %q: use one such as 500GB or 2TiB", s)}
	}
	return n, nil
}

// given returns the list without empty entries: --include= empties it.
func given(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

type storeAddCmd struct {
	sourceFlags
	Folder   string `arg:"" help:"Folder of the slides; for a managed store, the folder that they are moved into. Or s3://BUCKET/PREFIX: a part of a bucket, empty for a managed store. Or mongodb://USER@HOST/DATABASE, or dump:///FOLDER: a database of SlideAtlas, or a folder that mongodump wrote of one."`
	Managed  bool   `help:"Create a managed store: files are uploaded, or arrive in an incoming folder, and get names of the store's own."`
	Incoming string `type:"path" placeholder:"DIR" help:"Incoming folder of a managed store in a folder. Default: incoming in it."`
	storeSettings
	JSON bool `help:"Print JSON."`
}

func (*storeAddCmd) Help() string {
	return "The folder of an in-place store is read and never written. The folder of a managed store is created if it does not exist.\n\nExample:\n\n  ptiffstore store add /slides/scanner1 --label 'Scanner 1' --schedule 15m\n  ptiffstore store add /archive --managed --incoming /dropbox\n  ptiffstore store add s3://slides/scanner1 --s3-endpoint https://storage.example.org --s3-path-style\n  ptiffstore store add s3://slides/archive --managed --label Archive\n  ptiffstore store add mongodb://reader@db:27017/tiles1 --password-file /etc/ptiffstore/tiles1 --label 'Old slides'\n  ptiffstore store add dump:///backups/tiles1"
}

// Run adds the store and prints its id.
func (c *storeAddCmd) Run(ctx context.Context, std streams) error {
	s, err := c.store()
	if err != nil {
		return err
	}
	cat, existed, err := c.create(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	if !existed { // the server may have another one
		url, _ := c.url()
		fmt.Fprintf(std.err, "created a new catalog in %s\n", c.words(url))
	}
	if s, err = bucketstore.AddStore(ctx, cat, c.settings(quiet()), *s); err != nil {
		return err
	}
	c.try(std, s)
	if c.JSON {
		return printJSON(std, api.DescribeStore(s))
	}
	_, err = fmt.Fprintln(std.out, s.ID)
	return err
}

// try warns if a new store in a database or bucket cannot be reached from here, or others can read
// its password.
func (c *storeAddCmd) try(std streams, s *catalog.Store) {
	if s.Kind == catalog.Directory {
		return
	}
	if s.PasswordFile != "" && exposed(s.PasswordFile) {
		fmt.Fprintf(std.err, "warning: every user of this host can read the password file: run chmod o= %s\n", s.PasswordFile)
	}
	if s.Host != "" {
		return
	}
	sources := &source.Pool{Indexes: os.DevNull, Timeout: tryTime, Bucket: c.settings(quiet())}
	defer sources.Close()
	src, err := sources.Open(s)
	if err == nil {
		_, err = src.Root()
		src.Close()
	}
	if err != nil {
		fmt.Fprintf(std.err, "warning: the store was added, but its images cannot be read from here: %v\n", err)
	}
}

// tryTime is how long a new store's database is waited for.
const tryTime = 5 * time.Second

func (c *storeAddCmd) store() (*catalog.Store, error) {
	s := &catalog.Store{Mode: catalog.InPlace}
	if source.IsURL(c.Folder) {
		return s, c.images(s)
	}
	if c.Managed {
		s.Mode = catalog.Managed
		if err := os.MkdirAll(c.Folder, 0o750); err != nil {
			return nil, err
		}
	} else if c.Incoming != "" {
		return nil, usage(errors.New("--incoming is for managed stores: use --managed too"))
	}
	root, err := filepath.Abs(c.Folder)
	if err != nil {
		return nil, err
	}
	if s.Root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	s.Incoming = c.Incoming
	return s, c.apply(s)
}

// images sets the root of a store that is not a folder of files.
func (c *storeAddCmd) images(s *catalog.Store) (err error) {
	if s.Root, err = source.CheckRoot(c.Folder); err != nil {
		return usage(err)
	}
	s.Kind = catalog.KindOf(s.Root)
	if c.Managed && s.Kind != catalog.S3 {
		return usage(errors.New("images of a database are only read: do not use --managed"))
	}
	if c.Incoming != "" {
		return usage(errors.New("--incoming is for managed stores in folders; into a bucket slides are uploaded"))
	}
	if c.Managed {
		s.Mode = catalog.Managed
	}
	if s.Kind == catalog.Dump {
		dir, err := filepath.EvalSymlinks(s.DumpFolder())
		if err != nil {
			return err
		}
		s.Root = "dump://" + dir
	}
	return c.apply(s)
}

type storeListCmd struct {
	databaseFlags
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
	list, err := cat.Stores.List(ctx)
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
	databaseFlags
	Store string `arg:"" help:"Id, label, folder or URL of the store."`
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
	databaseFlags
	Store   string `arg:"" help:"Id, label, folder or URL of the store."`
	Release bool   `help:"Release a store from a configuration file that is no longer used. A file still in use provisions the store again."`
	Try     bool   `help:"Only show what --case-pattern finds in the ten newest slides of the store."`
	storeSettings
}

func (*storeSetCmd) Help() string {
	return "Settings that are not named stay as they are.\n\nExample:\n\n  ptiffstore store set 'Scanner 1' --schedule '0 3 * * *' --time-zone Europe/Berlin\n  ptiffstore store set 'Scanner 1' --case-pattern '(?P<accession>S\\d\\d-\\d+)[ _](?P<block>[A-Z]\\d+)[ _](?P<stain>\\w+)' --try"
}

// Run changes the store.
func (c *storeSetCmd) Run(ctx context.Context, std streams) error {
	if names, err := c.names(); err == nil && len(names) == 0 && !c.Release && !c.Try {
		return &exitError{exitUsage, errors.New("nothing to change: use a flag, such as --label or --schedule")}
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return err
	}
	if c.Try {
		return c.tryCasePattern(ctx, std, cat, s)
	}
	_, err = cat.Stores.Update(ctx, s.ID, func(s *catalog.Store) error {
		if c.Release {
			s.Provisioned = nil
		}
		names, err := c.names()
		if err != nil {
			return err
		}
		if err := s.Editable(names...); err != nil {
			return provisionedWords(err)
		}
		return c.apply(s)
	})
	return err
}

// tryCasePattern prints what the case pattern finds in the newest slides of a store.
func (c *storeSetCmd) tryCasePattern(ctx context.Context, std streams, cat *catalog.Catalog, s *catalog.Store) error {
	if err := c.apply(s); err != nil { // the store is a copy
		return err
	}
	if s.CasePattern == "" {
		return usage(errors.New("--try needs a pattern: use --case-pattern too"))
	}
	pattern, err := catalog.NewCasePattern(s.CasePattern, s.CaseSource)
	if err != nil {
		return err
	}
	page, err := cat.Images.List(ctx, catalog.Query{Store: s.ID, Limit: 10})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BARCODE\tFOLDER\tFILE\tFOUND IN\tACCESSION\tPART\tBLOCK\tSTAIN")
	for i := range page.Items {
		im := &page.Items[i]
		barcode := ""
		if im.Barcode != nil {
			barcode = *im.Barcode
		}
		names, source := pattern.Find(im)
		row := []string{barcode, im.Folder(), im.FileName, string(source), names.Accession, names.Part, names.Block, names.Stain}
		for i := range row {
			row[i] = cmp.Or(printable(row[i]), "-")
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// provisionedWords returns the error of changing a provisioned store without its prefix.
func provisionedWords(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), catalog.ErrProvisioned.Error()+": "))
}

type storeRemoveCmd struct {
	databaseFlags
	Store     string `arg:"" help:"Id, label, folder or URL of the store."`
	KeepFiles bool   `name:"keep-files" help:"Remove a managed store that still holds slides; its files stay where they are."`
}

func (*storeRemoveCmd) Help() string {
	return "Its slides disappear from the gallery. If the folder is added again, they return; those of a managed store keep their ids.\n\nExample:\n\n  ptiffstore store remove 'Scanner 1'"
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
	if err := s.Removable(); err != nil {
		return provisionedWords(err)
	}
	if s.Mode == catalog.Managed && len(s.Counts) > 0 && !c.KeepFiles {
		return errors.New("the store still holds slides: use --keep-files to remove it and leave its files where they are")
	}
	return cat.Stores.Delete(ctx, s.ID)
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

// ago formats the time since t.
func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return time.Since(*t).Round(time.Second).String() + " ago"
}

// printable returns a path without control characters, which a terminal would interpret.
func printable(path string) string {
	return strings.Trim(fmt.Sprintf("%q", path), `"`)
}
