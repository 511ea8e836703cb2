// Package siteimport moves a site of SlideAtlas to this program: from its admin database it
// adds the image stores, users, groups and permissions, and to images of files their ids and
// labels. It reports what it has done with each object, and why something was left out.
//
// An import can be repeated: it finds what an earlier one has added, by the ids of
// SlideAtlas, by e-mail address and by name, and changes nothing that people have changed
// since. No report, error or event contains a password.
package siteimport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/mongodump"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// Documents is a database of SlideAtlas: a [mongodb.Database] or a [mongodump.Folder].
type Documents interface {
	// Documents calls each with the documents of a collection.
	Documents(ctx context.Context, collection string, each func(doc bson.Raw) error) error
}

// Options are what an import reads and writes.
type Options struct {
	Catalog  *catalog.Catalog
	Accounts *account.Accounts
	// Admin is the admin database.
	Admin Documents
	// Data opens the database that has the documents of a store's images. The error says why
	// it cannot be opened. The function it returns closes it.
	Data func(ctx context.Context, s *slideatlas.Store) (Documents, func(), error)
	// Dump returns the folder with the dump of a database, "" if it does not exist. It is nil
	// for a site on a server.
	Dump func(database string) string
	// Hosts are the servers of stores whose documents name none.
	Hosts []string
	// Roots are the folders that were moved: the new path by the old one, or by the name of a
	// store's database.
	Roots map[string]string
	// Credentials is the folder for files with the passwords of databases.
	Credentials string
	// DryRun changes nothing.
	DryRun bool
	// Sync syncs a store. It is nil in a dry run, or if stores are not to be synced.
	Sync func(ctx context.Context, store string) error
	// Audit records a change.
	Audit func(ctx context.Context, e account.Event) error
}

// A Result is what an import has done with an object.
type Result string

const (
	Added     Result = "added"
	Changed   Result = "changed"   // it existed, and something was added to it
	Unchanged Result = "unchanged" // it existed
	Skipped   Result = "skipped"   // Reason says why
)

// An Item is an object of SlideAtlas in the report.
type Item struct {
	Kind   string `json:"kind"` // store, image, user, group, member, permission
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Result Result `json:"result"`
	Object string `json:"object,omitempty"` // the id in this program
	Reason string `json:"reason,omitempty"`
}

// A Report lists what an import has done, or with DryRun would do.
type Report struct {
	DryRun   bool                      `json:"dry_run"`
	Counts   map[string]map[Result]int `json:"counts"`    // by kind
	Items    []Item                    `json:"items"`     // stores, users and groups, and whatever was skipped
	NotMoved map[string]int            `json:"not_moved"` // numbers of documents that this program has no place for, by collection
	Warnings []string                  `json:"warnings"`
}

const (
	maxDocuments = 200_000 // of a collection that are kept in memory
	maxItems     = 10_000  // of the report
	maxGrants    = 1000    // of a group for single images
)

// add adds an object to the report.
func (r *Report) add(i Item) {
	if r.Counts[i.Kind] == nil {
		r.Counts[i.Kind] = map[Result]int{}
	}
	r.Counts[i.Kind][i.Result]++
	listed := i.Kind == "store" || i.Kind == "user" || i.Kind == "group" || i.Result == Skipped
	if listed && len(r.Items) < maxItems {
		r.Items = append(r.Items, i)
	}
}

func (r *Report) warn(format string, args ...any) {
	if len(r.Warnings) < maxItems {
		r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
	}
}

// An importer runs one import.
type importer struct {
	Options
	report *Report

	stores   map[slideatlas.ID]string // id of the store in the catalog, "" if it was skipped or in a dry run
	users    map[slideatlas.ID]string
	groups   map[slideatlas.ID]string
	sessions map[slideatlas.ID]*slideatlas.Session
	views    map[slideatlas.ID]*slideatlas.View
}

// Run imports a site. If it fails, the report lists what was done before.
func Run(ctx context.Context, o Options) (*Report, error) {
	m := &importer{
		Options: o,
		report:  &Report{DryRun: o.DryRun, Counts: map[string]map[Result]int{}, Items: []Item{}, NotMoved: map[string]int{}, Warnings: []string{}},
		stores:  map[slideatlas.ID]string{}, users: map[slideatlas.ID]string{}, groups: map[slideatlas.ID]string{},
		sessions: map[slideatlas.ID]*slideatlas.Session{}, views: map[slideatlas.ID]*slideatlas.View{},
	}
	for _, step := range []func(context.Context) error{m.importStores, m.importGroups, m.importUsers, m.importPermissions, m.countRest} {
		if err := step(ctx); err != nil {
			return m.report, err
		}
	}
	return m.report, nil
}

// read calls f with the documents of a collection, decoded. Documents that are damaged are
// reported. It returns their number; a collection that does not exist has none.
func read[T any](ctx context.Context, m *importer, from Documents, collection string, decode func(bson.Raw) (*T, error), f func(*T) error) (int, error) {
	n := 0
	err := from.Documents(ctx, collection, func(doc bson.Raw) error {
		if n++; n > maxDocuments {
			return fmt.Errorf("the collection %q has more than %d documents", collection, maxDocuments)
		}
		v, err := decode(doc)
		if err != nil {
			m.report.warn("document %d of the collection %q was left out: %v", n, collection, err)
			return nil
		}
		return f(v)
	})
	if damage, ok := errors.AsType[*mongodump.DamageError](err); ok {
		m.report.warn("the collection %q was read in part: %v", collection, damage)
		return n, nil
	}
	if errors.Is(err, mongodump.ErrNoCollection) {
		return n, nil
	}
	return n, err
}

// warnings adds the warnings about a document to the report.
func (m *importer) warnings(kind string, id slideatlas.ID, list []string) {
	for _, w := range list {
		m.report.warn("%s %s: %s", kind, id, w)
	}
}

// record records a change in the audit log.
func (m *importer) record(ctx context.Context, act, object string) error {
	return m.Audit(ctx, account.Event{Act: act, Object: object})
}

// countRest counts the documents that this program has no place for.
func (m *importer) countRest(ctx context.Context) error {
	n, err := read(ctx, m, m.Admin, "permalinks", slideatlas.DecodePermalink, func(*slideatlas.Permalink) error { return nil })
	if err != nil {
		return err
	}
	m.report.NotMoved["permalinks"] = n
	if n, err = read(ctx, m, m.Admin, "collections", slideatlas.DecodeCollection, func(*slideatlas.Collection) error { return nil }); err != nil {
		return err
	}
	m.report.NotMoved["collections"] = n
	m.report.NotMoved["sessions"], m.report.NotMoved["views"] = len(m.sessions), len(m.views)
	maps.DeleteFunc(m.report.NotMoved, func(_ string, n int) bool { return n == 0 })
	return nil
}

// Kinds returns the kinds of objects in the report, in the order of the import.
func (r *Report) Kinds() []string {
	order := []string{"store", "image", "group", "user", "member", "permission"}
	return slices.DeleteFunc(order, func(kind string) bool { return r.Counts[kind] == nil })
}
