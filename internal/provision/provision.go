// Package provision creates and updates the stores that the configuration file provisions.
//
// The file owns the settings that it names for a store, and the API and the commands
// refuse to change those. All other settings are edited in the catalog.
package provision

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

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// Options say where stores are provisioned.
type Options struct {
	Catalog *catalog.Catalog
	Host    string // name of this host; folders of other hosts are not accessed
	Bucket  bucket.Settings
	// Edit gives a store the settings of the file except for its folders, id and mode.
	Edit func(s *catalog.Store, fields map[string]any) error
}

// Results of provisioning a store.
const (
	Added    = "added"
	Changed  = "changed"
	Released = "released" // no longer in the file; it stays in the catalog
	Failed   = "failed"
)

// A Change is what provisioning changed of a store, or could not change.
type Change struct {
	Name   string // of the store in the file
	ID     string // of the store in the catalog; "" if it does not exist
	Result string
	Fields []string // changed settings; if Released, those that the file owned
	Err    error    // with Failed
}

// Apply creates and updates the stores of a file, and returns the changes. A failure of one
// store does not stop the others. Several processes may apply the same file at once.
//
// A store of the file is the one of the catalog that was provisioned under this name by
// the file of this site, or else has the id of the file, or its folder. No store is ever
// removed: one that is no longer in the file is released, which makes all its settings
// editable. A file without the key stores releases none; an empty list releases all.
//
// The error is not nil if the catalog cannot be read.
func Apply(ctx context.Context, o Options, f *config.File) ([]Change, error) {
	if !f.Provisions {
		return nil, nil
	}
	var changes []Change
	for i := range f.Stores {
		c, err := o.store(ctx, f, &f.Stores[i])
		if errors.Is(err, catalog.ErrConflict) { // possibly created by another process meanwhile
			c, err = o.store(ctx, f, &f.Stores[i])
		}
		if err != nil {
			if ctx.Err() != nil {
				return changes, ctx.Err()
			}
			c = &Change{Name: f.Stores[i].Name, Result: Failed, Err: err}
		}
		if c != nil {
			changes = append(changes, *c)
		}
	}
	released, err := o.release(ctx, f)
	return append(changes, released...), err
}

// store creates or updates one store. The change is nil if it is up to date.
func (o *Options) store(ctx context.Context, f *config.File, d *config.Store) (*Change, error) {
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
	fields := differing(s, &want)
	if len(fields) == 0 && reflect.DeepEqual(s.Provisioned, want.Provisioned) {
		return nil, nil
	}
	if err := o.move(ctx, s, &want); err != nil {
		return nil, err
	}
	_, err = o.Catalog.Stores.Update(ctx, s.ID, func(s *catalog.Store) error { return o.edit(s, f, d) })
	if err != nil {
		return nil, err
	}
	return &Change{Name: d.Name, ID: s.ID, Result: Changed, Fields: fields}, nil
}

// find returns the store of the catalog that d provisions, or nil if it does not exist yet.
func (o *Options) find(ctx context.Context, f *config.File, d *config.Store, root string) (*catalog.Store, error) {
	list, err := o.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	id, host := text(d, "id"), text(d, "host")
	var byName, byID, byRoot *catalog.Store
	for i := range list {
		s := &list[i]
		switch {
		case s.Provisioned != nil && s.Provisioned.Site == f.Site && s.Provisioned.Name == d.Name:
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
			return nil, fmt.Errorf("id: the store of this name has the id %s, which cannot be changed: remove the line, or give the store another name", byName.ID)
		}
		return byName, nil
	case byID == nil && byRoot != nil && id != "":
		return nil, fmt.Errorf("id: the folder belongs to the store %s in the catalog: write that id, or remove the line", byRoot.ID)
	case byID == nil:
		byID = byRoot
	}
	return byID, checkOwner(byID, f)
}

// checkOwner refuses a store that another file, or another name of this file, provisions.
func checkOwner(s *catalog.Store, f *config.File) error {
	if s == nil || s.Provisioned == nil {
		return nil
	}
	if s.Provisioned.Site != f.Site {
		return fmt.Errorf("the configuration file of another site provisions the store %s, as %s of the site %q", s.ID, s.Provisioned.Key(), s.Provisioned.Site)
	}
	if slices.ContainsFunc(f.Stores, func(d config.Store) bool { return d.Name == s.Provisioned.Name }) {
		return fmt.Errorf("the store is already provisioned as %s: a folder may be in one store only", s.Provisioned.Key())
	}
	return nil // it was renamed
}

// edit gives a store the settings of the file.
func (o *Options) edit(s *catalog.Store, f *config.File, d *config.Store) error {
	mode := catalog.InPlace
	if v := text(d, "mode"); v != "" {
		mode = catalog.Mode(v)
	}
	if s.Mode != "" && s.Mode != mode {
		return fmt.Errorf("mode: the store is %s in the catalog, which cannot be changed: give the store another name and another folder", s.Mode)
	}
	s.Mode, s.Root = mode, o.folder(d, "root")
	if incoming := o.folder(d, "incoming"); incoming != "" {
		s.Incoming = incoming
	}
	if secret, ok := d.Fields["password_file"]; ok {
		s.PasswordFile, _ = secret.V.(string)
	}
	s.Provisioned = &catalog.Provisioning{Site: f.Site, Name: d.Name, Keys: map[string]string{}}
	for name, v := range d.Fields {
		s.Provisioned.Keys[name] = v.Key
	}
	s.Provisioned.Keys["mode"] = s.Provisioned.Key() + ".mode" // even if the file does not have it
	return o.Edit(s, d.Values())
}

// add creates the store.
func (o *Options) add(ctx context.Context, f *config.File, d *config.Store) (*Change, error) {
	s := catalog.Store{ID: text(d, "id")}
	if err := o.edit(&s, f, d); err != nil {
		return nil, err
	}
	if s.Mode == catalog.Managed && !o.local(s.Host) {
		return nil, fmt.Errorf("host: a managed store must be created on its own host: start a process with this file on %s", s.Host)
	}
	put, err := bucketstore.AddStore(ctx, o.Catalog, o.Bucket, s)
	if err != nil {
		return nil, err
	}
	return &Change{Name: d.Name, ID: put.ID, Result: Added, Fields: slices.Sorted(maps.Keys(d.Fields))}, nil
}

// move prepares the folders of a managed store that the file has moved.
func (o *Options) move(ctx context.Context, was, s *catalog.Store) error {
	if s.Mode != catalog.Managed || was.Root == s.Root && was.Incoming == s.Incoming {
		return nil
	}
	if !o.local(s.Host) {
		return fmt.Errorf("root: a managed store must be moved on its own host: start a process with this file on %s", s.Host)
	}
	if s.Kind = catalog.KindOf(s.Root); s.ManagedBucket() {
		return bucketstore.Move(ctx, o.Bucket, s, len(was.Counts) > 0)
	}
	if was.Root != s.Root && len(was.Counts) > 0 {
		if id, err := managed.Marked(s.Root); err != nil {
			return err
		} else if id != s.ID {
			return errors.New("root: the folder has no file .ptiffstore-store of this store: move all files of the store there first")
		}
	}
	if err := os.MkdirAll(s.Incoming, 0o755); err != nil {
		return err
	}
	return managed.Prepare(ctx, s)
}

// release releases stores that are no longer in the file of this site.
func (o *Options) release(ctx context.Context, f *config.File) ([]Change, error) {
	list, err := o.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for i := range list {
		d := list[i].Provisioned
		if d == nil || d.Site != f.Site || slices.ContainsFunc(f.Stores, func(s config.Store) bool { return s.Name == d.Name }) {
			continue
		}
		c := Change{Name: d.Name, ID: list[i].ID, Result: Released, Fields: slices.Sorted(maps.Keys(d.Keys))}
		if _, err := o.Catalog.Stores.Update(ctx, c.ID, func(s *catalog.Store) error {
			s.Provisioned = nil
			return nil
		}); err != nil && !errors.Is(err, catalog.ErrNotFound) {
			c.Result, c.Err = Failed, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func text(d *config.Store, field string) string {
	s, _ := d.Fields[field].V.(string)
	return s
}

func (o *Options) local(host string) bool { return host == "" || host == o.Host }

// folder returns a folder of a store, without symbolic links if it exists on this host.
func (o *Options) folder(d *config.Store, field string) string {
	path := text(d, field)
	if path == "" {
		return ""
	}
	if source.IsURL(path) {
		if root, err := source.CheckRoot(path); err == nil {
			return root
		}
		return path // the catalog refuses it
	}
	if o.local(text(d, "host")) {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
	}
	return filepath.Clean(path)
}

// differing returns the settings in which two records of a store differ, as the API names
// them.
func differing(a, b *catalog.Store) []string {
	var names []string
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		f := va.Type().Field(i)
		if f.Name == "Provisioned" || f.Name == "Kind" || reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			continue
		}
		names = append(names, strings.ToLower(capital.ReplaceAllString(f.Name, "${1}_$2")))
	}
	return names
}

var capital = regexp.MustCompile(`([a-z])([A-Z])`)
