package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
	"github.com/slideatlas/ptiffstore/internal/mongodump"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/siteimport"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

type importCmd struct {
	Slideatlas importSlideAtlasCmd `cmd:"" name:"slideatlas" help:"Import stores, images, users, groups and permissions of a SlideAtlas site."`
}

type importSlideAtlasCmd struct {
	sourceFlags
	Site         string            `arg:"" help:"Admin database of the site: mongodb://USER@HOST/slideatlas, or dump:///FOLDER that mongodump wrote of it."`
	DryRun       bool              `name:"dry-run" help:"Report what would be done, and change nothing."`
	PasswordFile string            `name:"password-file" placeholder:"FILE" help:"File with the password of the user in the address, on one line."`
	Root         map[string]string `placeholder:"OLD=NEW" help:"New path of a folder that was moved, by its old path or by the name of its store's database; can be repeated."`
	Sync         bool              `default:"true" negatable:"" help:"Sync the stores, so that their images are in the catalog. Permissions for single images need that."`
	JSON         bool              `help:"Print JSON."`
	logFlags
}

func (*importSlideAtlasCmd) Help() string {
	return "Passwords of users are not imported. Passwords of databases go to files in the folder credentials of the data directory. Running the import again changes nothing, and completes one that was interrupted.\n\nExamples:\n\n  ptiffstore import slideatlas dump:///backups/slideatlas --dry-run\n  ptiffstore import slideatlas mongodb://reader@db:27017/slideatlas --password-file /root/slideatlas.password --root /mnt/old=/slides"
}

// Run imports the site and prints a report.
func (c *importSlideAtlasCmd) Run(ctx context.Context, std streams) error {
	site, err := c.openSite(std)
	if err != nil {
		return err
	}
	defer site.close()
	cat, _, err := c.catalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	a, err := account.New(ctx, cat.DB(), account.Options{})
	if err != nil {
		return err
	}
	defer a.Close()
	data, err := c.dataFolder()
	if err != nil {
		return err
	}
	o := siteimport.Options{
		Catalog: cat, Accounts: a, Admin: site.admin, Data: site.data, Hosts: site.hosts, Roots: c.Root, DryRun: c.DryRun,
		Credentials: filepath.Join(data, "credentials"),
		Audit: func(ctx context.Context, e account.Event) error {
			by := byCommand(e.Act, e.Object)
			by.Images = e.Images
			return a.Audit.Record(ctx, by)
		},
	}
	if site.dumps != "" {
		o.Dump = site.dump
	}
	if c.Sync && !c.DryRun {
		syncer := c.syncer(cat, c.logger(std.err))
		defer syncer.Sources.Close()
		o.Sync = func(ctx context.Context, store string) error {
			_, err := syncer.Sync(ctx, store, scan.Options{Wait: true})
			return err
		}
	}
	report, err := siteimport.Run(ctx, o)
	if err != nil {
		return fmt.Errorf("the import was not completed; run it again to continue: %w", err)
	}
	if c.JSON {
		return printJSON(std, report)
	}
	return printReport(std, report)
}

// catalog opens the catalog; only an import that is not a dry run creates it.
func (c *importSlideAtlasCmd) catalog(ctx context.Context) (*catalog.Catalog, bool, error) {
	if c.DryRun {
		cat, err := c.open(ctx)
		return cat, true, err
	}
	return c.create(ctx)
}

// A site is the admin database of a SlideAtlas site.
type site struct {
	admin    siteimport.Documents
	dumps    string // folder in which the dumps are; "" for a server
	address  mongodb.Address
	password string
	hosts    []string
	close    func()
}

// openSite opens the admin database.
func (c *importSlideAtlasCmd) openSite(std streams) (*site, error) {
	if dir, ok := strings.CutPrefix(c.Site, "dump://"); ok {
		if c.PasswordFile != "" {
			return nil, usage(errors.New("--password-file is for the address of a server"))
		}
		if !filepath.IsAbs(dir) {
			return nil, usage(errors.New("give the whole path of the dump: dump:///FOLDER"))
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		f, err := mongodump.Open(dir, "")
		if err != nil {
			return nil, err
		}
		if err := f.Check("databases"); err != nil {
			f.Close()
			return nil, err
		}
		return &site{admin: f, dumps: filepath.Dir(dir), close: func() { f.Close() }}, nil
	}
	a, err := mongodb.ParseAddress(c.Site)
	if err != nil {
		return nil, usage(err)
	}
	s := &site{address: a}
	if !a.Seedlist {
		s.hosts = a.Hosts
	}
	if c.PasswordFile != "" {
		if s.password, err = (passwordSource{c.PasswordFile}).read(std); err != nil {
			return nil, err
		}
	}
	db, err := mongodb.Open(a, mongodb.Options{Password: s.password})
	if err != nil {
		return nil, err
	}
	s.admin, s.close = db, func() { closeDatabase(db) }
	return s, nil
}

func closeDatabase(db *mongodb.Database) { _ = db.Close(context.Background()) } // it is only read

// dump returns the folder with the dump of a database beside that of the admin database, or "".
func (s *site) dump(database string) string {
	if database == "" || database != filepath.Base(database) || strings.HasPrefix(database, ".") {
		return ""
	}
	dir := filepath.Join(s.dumps, database)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}

// data opens the database with the documents of a store's images.
func (s *site) data(_ context.Context, st *slideatlas.Store) (siteimport.Documents, func(), error) {
	if s.dumps != "" {
		dir := s.dump(st.Database)
		if dir == "" {
			return nil, nil, fmt.Errorf("there is no dump of the database %q beside that of the admin database", st.Database)
		}
		f, err := mongodump.Open(dir, "")
		if err != nil {
			return nil, nil, err
		}
		return f, func() { f.Close() }, nil
	}
	if st.Database == "" {
		return nil, nil, errors.New("its document does not name a database")
	}
	a, password := s.address, s.password
	if len(st.Hosts) > 0 {
		a.Hosts, a.Seedlist = st.Hosts, false
	}
	if st.Username != "" {
		a.User, password = st.Username, st.Password.Reveal()
	}
	a.Database = st.Database
	a, err := mongodb.ParseAddress(a.String())
	if err != nil {
		return nil, nil, err
	}
	db, err := mongodb.Open(a, mongodb.Options{Password: password})
	if err != nil {
		return nil, nil, err
	}
	return db, func() { closeDatabase(db) }, nil
}

// printReport prints the report of an import.
func printReport(std streams, r *siteimport.Report) error {
	if r.DryRun {
		fmt.Fprintln(std.out, "Nothing was changed. The import would do this:")
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	results := []siteimport.Result{siteimport.Added, siteimport.Changed, siteimport.Unchanged, siteimport.Skipped}
	fmt.Fprintln(w, "\tADDED\tCHANGED\tUNCHANGED\tSKIPPED")
	for _, kind := range r.Kinds() {
		fmt.Fprint(w, kind+"s")
		for _, result := range results {
			fmt.Fprintf(w, "\t%d", r.Counts[kind][result])
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, i := range r.Items {
		if i.Result == siteimport.Skipped {
			fmt.Fprintf(std.out, "skipped %s %s %s: %s\n", i.Kind, i.ID, printable(i.Name), i.Reason)
		}
	}
	kinds := make([]string, 0, len(r.NotMoved))
	for kind := range r.NotMoved {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		fmt.Fprintf(std.out, "not imported: %d documents of the collection %s, for which there is no place here\n", r.NotMoved[kind], kind)
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(std.out, "warning: %s\n", printable(text))
	}
	return nil
}
