// Package declaration brings the stores of a catalog to what a site's file says of
// them. Of a store that is declared the file has the say over the settings that it
// names, and whoever changes the catalog elsewhere leaves those alone; the others are
// the catalog's own.
package declaration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/ingest"
)

// Options are what is needed beside the file.
type Options struct {
	Catalog *catalog.Catalog
	Host    string // name of this host: folders of others are not looked at
	// Edit gives a store the settings of a file, but for its folders, id and mode. The
	// field is the one that is wrong.
	Edit func(s *catalog.Store, fields map[string]any) (field string, err error)
}

// What became of a store.
const (
	Added    = "added"
	Changed  = "changed"
	Released = "released" // it is in the file no more, and stays in the catalog
	Failed   = "failed"
)

// A Change is one of a store of the catalog, or one that could not be made.
type Change struct {
	Name   string // of the store in the file
	ID     string // of the store in the catalog; "" if there is none
	What   string
	Fields []string // what is different now; with Released, what the file said
	Err    error    // with Failed
}

// Bring brings the catalog to what a file declares, and returns what that changed. What
// fails with one store stops no other. Several processes may do so at the same time with
// the same file.
//
// A store of the catalog is the declared one if it was declared under this name by the
// file of this site, or if it has the id that the file gives, or the folder. No store is
// ever removed: one that the file declares no more is released, and then its settings
// are as free as any other's. A file without stores releases none: that is said by an
// empty list.
//
// The error is that the catalog can't be read.
func Bring(ctx context.Context, o Options, f *config.File) ([]Change, error) {
	if !f.Declares {
		return nil, nil
	}
	var changes []Change
	for i := range f.Stores {
		c, err := o.one(ctx, f, &f.Stores[i])
		if errors.Is(err, catalog.ErrConflict) { // perhaps another process was first
			c, err = o.one(ctx, f, &f.Stores[i])
		}
		if err != nil {
			if ctx.Err() != nil {
				return changes, ctx.Err()
			}
			c = &Change{Name: f.Stores[i].Name, What: Failed, Err: err}
		}
		if c != nil {
			changes = append(changes, *c)
		}
	}
	released, err := o.release(ctx, f)
	return append(changes, released...), err
}

// one brings one store to what the file says. The change is nil if it is so already.
func (o *Options) one(ctx context.Context, f *config.File, d *config.Store) (*Change, error) {
	root := o.folder(d, "root")
	s, err := o.find(ctx, f, d, root)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return o.add(ctx, f, d)
	}
	want := *s
	if err := o.edit(&want, f, d); err != nil {
		return nil, err
	}
	fields := different(s, &want)
	if len(fields) == 0 && reflect.DeepEqual(s.Declared, want.Declared) {
		return nil, nil
	}
	if err := o.move(ctx, s, &want); err != nil {
		return nil, err
	}
	_, err = o.Catalog.UpdateStore(ctx, s.ID, func(s *catalog.Store) error { return o.edit(s, f, d) })
	if err != nil {
		return nil, err
	}
	return &Change{Name: d.Name, ID: s.ID, What: Changed, Fields: fields}, nil
}

// find returns the store that is declared, nil if there is none yet.
func (o *Options) find(ctx context.Context, f *config.File, d *config.Store, root string) (*catalog.Store, error) {
	list, err := o.Catalog.Stores(ctx)
	if err != nil {
		return nil, err
	}
	id, host := text(d, "id"), text(d, "host")
	var byName, byID, byRoot *catalog.Store
	for i := range list {
		s := &list[i]
		switch {
		case s.Declared != nil && s.Declared.Site == f.Site && s.Declared.Name == d.Name:
			byName = s
		case id != "" && s.ID == id:
			byID = s
		case s.Root == root && (s.Host == host || s.Host == "" || host == ""):
			byRoot = s
		}
	}
	switch {
	case byName != nil:
		if id != "" && byName.ID != id {
			return nil, fmt.Errorf("id: the store of this name has the id %s, which can't be changed: take the line out, or give the store another name", byName.ID)
		}
		return byName, nil
	case byID == nil && byRoot != nil && id != "":
		return nil, fmt.Errorf("id: the folder is that of the store %s in the catalog: write this id, or take the line out", byRoot.ID)
	case byID == nil:
		byID = byRoot
	}
	return byID, free(byID, f)
}

// free refuses a store that is declared elsewhere: two files would take turns.
func free(s *catalog.Store, f *config.File) error {
	if s == nil || s.Declared == nil {
		return nil
	}
	if s.Declared.Site != f.Site {
		return fmt.Errorf("the file of another site declares the store %s, as %s of the site %q", s.ID, s.Declared.Key(), s.Declared.Site)
	}
	if slices.ContainsFunc(f.Stores, func(d config.Store) bool { return d.Name == s.Declared.Name }) {
		return fmt.Errorf("this is also the store that is declared as %s: a folder may be in one store only", s.Declared.Key())
	}
	return nil // it has got another name
}

// edit gives a store what the file says.
func (o *Options) edit(s *catalog.Store, f *config.File, d *config.Store) error {
	mode := catalog.InPlace
	if v := text(d, "mode"); v != "" {
		mode = catalog.Mode(v)
	}
	if s.Mode != "" && s.Mode != mode {
		return fmt.Errorf("mode: the store is %s in the catalog, which can't be changed: give the store another name and another folder", s.Mode)
	}
	s.Mode, s.Root = mode, o.folder(d, "root")
	if incoming := o.folder(d, "incoming"); incoming != "" {
		s.Incoming = incoming
	}
	fields := map[string]any{}
	s.Declared = &catalog.Declaration{Site: f.Site, Name: d.Name, Keys: map[string]string{}}
	for name, v := range d.Fields {
		fields[name] = v.V
		s.Declared.Keys[name] = v.Key
	}
	s.Declared.Keys["mode"] = s.Declared.Key() + ".mode" // also if the file leaves it at in-place
	if field, err := o.Edit(s, fields); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// add makes the store.
func (o *Options) add(ctx context.Context, f *config.File, d *config.Store) (*Change, error) {
	s := catalog.Store{ID: text(d, "id")}
	if err := o.edit(&s, f, d); err != nil {
		return nil, err
	}
	if s.Mode == catalog.Managed && !o.mine(s.Host) {
		return nil, fmt.Errorf("host: a managed store is made on its own host: start a process with this file on %s", s.Host)
	}
	put, err := ingest.AddStore(ctx, o.Catalog, s)
	if err != nil {
		return nil, err
	}
	return &Change{Name: d.Name, ID: put.ID, What: Added, Fields: slices.Sorted(maps.Keys(d.Fields))}, nil
}

// move readies the folders of a managed store that the file has moved.
func (o *Options) move(ctx context.Context, was, s *catalog.Store) error {
	if s.Mode != catalog.Managed || was.Root == s.Root && was.Incoming == s.Incoming {
		return nil
	}
	if !o.mine(s.Host) {
		return fmt.Errorf("root: a managed store is moved on its own host: start a process with this file on %s", s.Host)
	}
	if was.Root != s.Root && len(was.Counts) > 0 {
		if id, err := ingest.Marked(s.Root); err != nil {
			return err
		} else if id != s.ID {
			return errors.New("root: this is not the folder of the store, as its file .ptiffstore-store would say: move all its files there first")
		}
	}
	if err := os.MkdirAll(s.Incoming, 0o755); err != nil {
		return err
	}
	return ingest.Prepare(ctx, s)
}

// release lets go of stores that the file of this site declared and does so no more.
func (o *Options) release(ctx context.Context, f *config.File) ([]Change, error) {
	list, err := o.Catalog.Stores(ctx)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for i := range list {
		d := list[i].Declared
		if d == nil || d.Site != f.Site || slices.ContainsFunc(f.Stores, func(s config.Store) bool { return s.Name == d.Name }) {
			continue
		}
		c := Change{Name: d.Name, ID: list[i].ID, What: Released, Fields: slices.Sorted(maps.Keys(d.Keys))}
		if _, err := o.Catalog.UpdateStore(ctx, c.ID, func(s *catalog.Store) error {
			s.Declared = nil
			return nil
		}); err != nil && !errors.Is(err, catalog.ErrNotFound) {
			c.What, c.Err = Failed, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func text(d *config.Store, field string) string {
	s, _ := d.Fields[field].V.(string)
	return s
}

func (o *Options) mine(host string) bool { return host == "" || host == o.Host }

// folder is a folder of a declared store, without symbolic links if it is there and
// this host's.
func (o *Options) folder(d *config.Store, field string) string {
	path := text(d, field)
	if path == "" {
		return ""
	}
	if o.mine(text(d, "host")) {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
	}
	return filepath.Clean(path)
}

// different are the settings that two records of a store differ in, as the API calls
// them.
func different(a, b *catalog.Store) []string {
	var names []string
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		f := va.Type().Field(i)
		if f.Name == "Declared" || reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			continue
		}
		names = append(names, strings.ToLower(capital.ReplaceAllString(f.Name, "${1}_$2")))
	}
	return names
}

var capital = regexp.MustCompile(`([a-z])([A-Z])`)
