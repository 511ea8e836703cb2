package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// databaseAPI are SlideAtlas's operations on stores, which it called databases.
type databaseAPI struct{ *API }

// database is a store in the form of SlideAtlas's collection "databases". A store has no
// password in it.
type database struct {
	ID         string `json:"_id" doc:"ObjectId of the store if it was imported, or else its id."`
	Class      string `json:"_cls" doc:"Class of the store in SlideAtlas."`
	Label      string `json:"label" doc:"Label, set by users."`
	Copyright  string `json:"copyright" doc:"Copyright notice."`
	Host       hosts  `json:"host,omitempty" doc:"Servers of a store in MongoDB: NAME or NAME:PORT, or a list of them. Absent unless the caller is an admin."`
	ReplicaSet string `json:"replica_set,omitempty" doc:"Replica set of the servers."`
	Database   string `json:"dbname,omitempty" doc:"Database that has the images. Absent unless the caller is an admin."`
	User       string `json:"username,omitempty" doc:"User of the database. Absent unless the caller is an admin."`
	AuthDB     string `json:"auth_db,omitempty" doc:"Database that has the user."`
	LastSync   string `json:"last_sync" example:"2026-11-30 09:12:44.318200" doc:"When the last complete scan ended, in UTC; 0001-01-01 00:00:00 if never."`
	Root       string `json:"root_path,omitempty" doc:"Folder of a store of files. Absent unless the caller is an admin."`
	HostName   string `json:"host_name,omitempty" doc:"Host that has the files. Absent unless the caller is an admin."`
}

// hosts is a host, or a list of several.
type hosts []string

// UnmarshalJSON accepts a text, a list of texts, or null.
func (h *hosts) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		err := strictjson.Unmarshal(b, &one)
		*h = nil
		for s := range strings.SplitSeq(one, ",") {
			*h = append(*h, strings.TrimSpace(s))
		}
		return err
	}
	return strictjson.Unmarshal(b, (*[]string)(h))
}

// MarshalJSON returns a text if there is one host.
func (h hosts) MarshalJSON() ([]byte, error) {
	if len(h) == 1 {
		return json.Marshal(h[0])
	}
	return json.Marshal([]string(h))
}

// Schema returns the schema of a text or a list.
func (hosts) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{OneOf: []*huma.Schema{text, {Type: huma.TypeArray, Items: text, MaxItems: new(50)}}}
}

// truth is a truth value, which clients of SlideAtlas send as a number.
type truth bool

// UnmarshalJSON accepts true, false, 1 and 0.
func (t *truth) UnmarshalJSON(b []byte) error {
	switch string(bytes.TrimSpace(b)) {
	case "true", "1":
		*t = true
	case "false", "0":
		*t = false
	default:
		return errors.New("write 1 or 0")
	}
	return nil
}

// Schema returns the schema of a truth value or a number.
func (truth) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeBoolean}, {Type: huma.TypeInteger, Minimum: new(0.0), Maximum: new(1.0)}}}
}

// databaseFields are the fields of a document that a request can give. Those that are absent
// stay as they are.
type databaseFields struct {
	ID         *string `json:"_id,omitempty" doc:"The store's own id: it can't be changed."`
	Class      *string `json:"_cls,omitempty" doc:"Class of a new store: MongoImageStore, which is the default, or PtiffImageStore; can't be changed."`
	Label      *string `json:"label,omitempty" doc:"Label, at most 200 characters."`
	Copyright  *string `json:"copyright,omitempty" doc:"Copyright notice, at most 200 characters."`
	Host       hosts   `json:"host,omitempty" doc:"Servers of a store in MongoDB: NAME or NAME:PORT, or a list of them."`
	ReplicaSet *string `json:"replica_set,omitempty" doc:"Replica set of the servers."`
	Database   *string `json:"dbname,omitempty" doc:"Database that has the images."`
	User       *string `json:"username,omitempty" doc:"User of the database."`
	Password   *string `json:"password,omitempty" doc:"Refused: give the store a file with the password on the server."`
	AuthDB     *string `json:"auth_db,omitempty" doc:"Database that has the user."`
	LastSync   *string `json:"last_sync,omitempty" doc:"Ignored."`
	Root       *string `json:"root_path,omitempty" doc:"Folder of a store of files: an absolute path on the server."`
	HostName   *string `json:"host_name,omitempty" doc:"Host that has the files."`
}

// databaseRequest is the body of POST: one of the actions.
type databaseRequest struct {
	Insert *databaseFields `json:"insert,omitempty" doc:"Add a store with these fields."`
	Modify *databaseFields `json:"modify,omitempty" doc:"Change these fields of the store."`
	Sync   truth           `json:"sync,omitempty" doc:"Sync the store, and wait for the result."`
	Re     truth           `json:"re,omitempty" doc:"With sync: read every file again as if it were new."`
}

// syncResults are the results of a sync in SlideAtlas's form.
type syncResults struct {
	Count  int             `json:"count" doc:"Items in the store."`
	Synced int             `json:"synced" doc:"New and changed ones."`
	Images []databaseImage `json:"images" doc:"The new images, newest first; at most 500."`
}

// databaseImage is an image in the form of SlideAtlas's collection "images".
type databaseImage struct {
	ID         string    `json:"_id" doc:"ObjectId of the image if it was imported, or else its id."`
	FileName   string    `json:"filename,omitempty" doc:"Name of the file. Absent unless the caller may see labels."`
	Label      string    `json:"label,omitempty" doc:"Label. Absent unless the caller may see labels."`
	Uploaded   string    `json:"uploaded_at" doc:"When the image was added to the catalog."`
	Dimensions []int     `json:"dimensions,omitempty" doc:"Width, height and 1."`
	Levels     int       `json:"levels,omitempty" doc:"Number of zoom levels."`
	TileSize   int       `json:"TileSize,omitempty" doc:"Width of the tiles in pixels."`
	Spacing    []float64 `json:"spacing,omitempty" doc:"Size of a pixel in nanometres."`
}

// databaseAnswer is the answer to POST: a document, or the results of a sync with it.
type databaseAnswer struct {
	*database
	Results  *syncResults `json:"syncresults,omitempty" doc:"Results of the sync."`
	Database *database    `json:"database,omitempty" doc:"The store after the sync."`
	Task     string       `json:"task,omitempty" doc:"Id of the task, if the sync takes longer than the server lets a request wait."`
}

type databasesAnswer struct {
	Databases []database `json:"databases" doc:"All stores that the caller may see."`
}

type databasePath struct {
	Store string `path:"store" doc:"ObjectId or id of the store."`
}

type insertDatabaseInput struct{ Body databaseRequest }

type postDatabaseInput struct {
	Store string `path:"store" doc:"ObjectId or id of the store."`
	Body  databaseRequest
}

type putDatabaseInput struct {
	Store string `path:"store" doc:"ObjectId or id of the store."`
	Body  databaseFields
}

const databasesRoute, databaseRoute = "/apiv1/databases", "/apiv1/databases/{store}"

// DatabasePattern is the route of requests that wait for a sync.
const DatabasePattern = "POST " + databaseRoute

// syncWait is how long a request waits for the end of a sync. Proxies give up after a minute.
const syncWait = 30 * time.Second

func (a databaseAPI) register(h huma.API) {
	op := func(method, path, id, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{olderTag}, Summary: summary, Description: description}
	}
	conflict := "The folder or database is that of another store; or the configuration file sets a field."
	register(h, op(http.MethodGet, databasesRoute, "list-databases", "List the stores", ""), nil, a.list)
	register(h, op(http.MethodPost, databasesRoute, "insert-database", "Add a store", "The body has insert."), problems{403: noFolder, 409: conflict}, a.insert)
	register(h, op(http.MethodGet, databaseRoute, "get-database", "Describe a store", ""), problems{404: "No such store."}, a.get)
	register(h, op(http.MethodPost, databaseRoute, "post-database", "Sync or change a store",
		"The body has sync or modify. A sync that takes longer than 30 seconds continues as a task, which the response names."),
		problems{403: noFolder, 404: "No such store.", 409: conflict, 502: "The sync failed: see detail.", 503: noTasks}, a.post)
	register(h, op(http.MethodPut, databaseRoute, "put-database", "Change a store", "The document of the store with changed fields."),
		problems{403: noFolder, 404: "No such store.", 409: conflict}, a.put)
	register(h, op(http.MethodDelete, databaseRoute, "delete-database", "Remove a store from the catalog", "No file and no database is changed."),
		problems{404: "No such store.", 409: "The configuration file provisions the store; or a managed store still has slides."}, a.delete)
}

func (a databaseAPI) list(ctx context.Context, _ *struct{}) (*one[databasesAnswer], error) {
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	vis, err := a.visibilityOf(ctx, stores)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	list := []database{}
	for i := range stores {
		if s := &stores[i]; vis.tiles[s.ID] == whole {
			list = append(list, *newDatabase(s, slices.Contains(vis.scopes[s.ID], mayAdmin)))
		}
	}
	return oneOf(databasesAnswer{list}), nil
}

func (a databaseAPI) get(ctx context.Context, in *databasePath) (*one[database], error) {
	d, err := a.document(ctx, in.Store)
	if err != nil {
		return nil, err
	}
	return oneOf(*d), nil
}

// document returns a store as the caller may see it.
func (a databaseAPI) document(ctx context.Context, store string) (*database, error) {
	s, err := a.Catalog.Stores.Get(ctx, store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	vis, err := a.visibilityOf(ctx, []catalog.Store{*s})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return newDatabase(s, slices.Contains(vis.scopes[s.ID], mayAdmin)), nil
}

// newDatabase returns the document of a store, with the places of its images for admins.
func newDatabase(s *catalog.Store, admin bool) *database {
	d := &database{ID: s.ID, Class: slideatlas.TIFFClass, Label: s.Label, Copyright: s.Copyright, LastSync: slideatlasTime(time.Time{})}
	if s.ExternalID != "" {
		d.ID = s.ExternalID
	}
	if s.LastSync != nil {
		d.LastSync = slideatlasTime(*s.LastSync)
	}
	if s.Kind == catalog.MongoDB || s.Kind == catalog.Dump {
		d.Class = slideatlas.MongoDBClass
	}
	if !admin {
		return d
	}
	d.HostName = s.Host
	switch s.Kind {
	case catalog.MongoDB:
		d.setAddress(s.Root)
	case catalog.Dump:
		d.Database, d.Root = path.Base(s.Root), strings.TrimPrefix(s.Root, "dump://")
	default:
		d.Root = s.Root
	}
	return d
}

// slideatlasTime formats a time as Python does.
func slideatlasTime(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01 00:00:00"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000000")
}

// setAddress sets the fields that are in the address of a store in MongoDB.
func (d *database) setAddress(root string) {
	a, err := mongodb.ParseAddress(root)
	if err != nil {
		return
	}
	d.User, d.Host, d.Database = a.User, a.Hosts, a.Database
	d.ReplicaSet, d.AuthDB = a.Option("replicaSet"), a.Option("authSource")
}

// address returns the address of the store in MongoDB that d describes. Options of the old
// address that d has no field for stay.
func (d *database) address(old string) string {
	a, _ := mongodb.ParseAddress(old) // "" of a new store
	a.User, a.Hosts, a.Database = d.User, d.Host, d.Database
	return a.With("replicaSet", d.ReplicaSet).With("authSource", d.AuthDB).String()
}

// change applies the fields of a request to a document.
func (f *databaseFields) change(d *database) error {
	var errs []error
	for _, fixed := range []struct {
		name  string
		given *string
		is    string
	}{{"_id", f.ID, d.ID}, {"_cls", f.Class, d.Class}} {
		if fixed.given != nil && *fixed.given != fixed.is {
			errs = append(errs, errors.New(fixed.name+": it can't be changed"))
		}
	}
	if f.Password != nil {
		errs = append(errs, errors.New("password: a request may not have one: write it to a file on the server, and name the file with ptiffstore store set --password-file"))
	}
	set(&d.Label, f.Label)
	set(&d.Copyright, f.Copyright)
	set(&d.ReplicaSet, f.ReplicaSet)
	set(&d.Database, f.Database)
	set(&d.User, f.User)
	set(&d.AuthDB, f.AuthDB)
	set(&d.Root, f.Root)
	set(&d.HostName, f.HostName)
	if f.Host != nil {
		d.Host = f.Host
	}
	if len(errs) > 0 {
		return invalid(errs...)
	}
	return nil
}

// fields returns the settings of the API in which a document differs from the one of a store,
// which may be nil.
func (d *database) fields(s *catalog.Store) storeFields {
	was, f := new(database), storeFields{}
	root := ""
	if s != nil {
		was, root = newDatabase(s, true), s.Root
	}
	setting := func(to *optional[string], was, is string) {
		if is != was {
			*to = optional[string]{Given: true, Null: is == "", Value: is}
		}
	}
	setting(&f.Label, was.Label, d.Label)
	setting(&f.Copyright, was.Copyright, d.Copyright)
	setting(&f.Host, was.HostName, d.HostName)
	switch {
	case d.Class == slideatlas.TIFFClass:
		setting(&f.Root, was.Root, d.Root)
	case s != nil && s.Kind == catalog.Dump:
		if d.Root != was.Root {
			setting(&f.Root, root, "dump://"+d.Root)
		}
	default:
		setting(&f.Root, root, d.address(root))
	}
	return f
}

func (a databaseAPI) insert(ctx context.Context, in *insertDatabaseInput) (*one[database], error) {
	r := &in.Body
	if r.Insert == nil || r.Modify != nil || bool(r.Sync) || bool(r.Re) {
		return nil, invalid(errors.New("the body has insert and nothing else; modify and sync need the id of a store in the address"))
	}
	d := &database{Class: slideatlas.MongoDBClass}
	if class := r.Insert.Class; class != nil {
		switch name := (*class)[strings.LastIndexByte(*class, '.')+1:]; name {
		case "PtiffImageStore", "PtiffTileStore":
			d.Class = slideatlas.TIFFClass
		case "MongoImageStore", "Database":
		default:
			return nil, invalid(errors.New("_cls: MongoImageStore or PtiffImageStore"))
		}
		r.Insert.Class = nil
	}
	if r.Insert.ID != nil {
		return nil, invalid(errors.New("_id: the server assigns it"))
	}
	if err := r.Insert.change(d); err != nil {
		return nil, err
	}
	if d.Class == slideatlas.MongoDBClass && (len(d.Host) == 0 || d.Database == "") {
		return nil, invalid(errors.New("host and dbname: a store in MongoDB needs both"))
	}
	out, err := storeAPI(a).add(ctx, &addStoreInput{Body: d.fields(nil)})
	if err != nil {
		return nil, err
	}
	if d, err = a.document(ctx, out.Body.ID); err != nil {
		return nil, err
	}
	return &one[database]{CacheControl: private, Location: databasesRoute + "/" + out.Body.ID, Body: *d}, nil
}

func (a databaseAPI) post(ctx context.Context, in *postDatabaseInput) (*one[databaseAnswer], error) {
	r := &in.Body
	switch {
	case r.Insert != nil:
		return nil, invalid(errors.New("insert: it is for " + databasesRoute + ", without the id of a store"))
	case bool(r.Sync) == (r.Modify != nil):
		return nil, invalid(errors.New("the body has either sync or modify"))
	case bool(r.Re) && r.Modify != nil:
		return nil, invalid(errors.New("re: it is for sync"))
	case bool(r.Sync):
		return a.sync(ctx, in.Store, bool(r.Re))
	}
	d, err := a.modify(ctx, in.Store, r.Modify)
	if err != nil {
		return nil, err
	}
	return oneOf(databaseAnswer{database: d}), nil
}

func (a databaseAPI) put(ctx context.Context, in *putDatabaseInput) (*one[database], error) {
	if in.Body.ID == nil {
		return nil, invalid(errors.New("_id: give that of the store"))
	}
	d, err := a.modify(ctx, in.Store, &in.Body)
	if err != nil {
		return nil, err
	}
	return oneOf(*d), nil
}

// modify changes a store. Only its admins may.
func (a databaseAPI) modify(ctx context.Context, store string, f *databaseFields) (*database, error) {
	callerOf(ctx).act = "store.set"
	if err := a.require(ctx, mayAdmin, store); err != nil {
		return nil, err
	}
	s, err := a.Catalog.Stores.Get(ctx, store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	d := newDatabase(s, true)
	if f.ID != nil && *f.ID == s.ID {
		f.ID = nil
	}
	if err := f.change(d); err != nil {
		return nil, err
	}
	if _, err := storeAPI(a).change(ctx, &changeStoreInput{Store: s.ID, Body: d.fields(s)}); err != nil {
		return nil, err
	}
	return a.document(ctx, s.ID)
}

func (a databaseAPI) delete(ctx context.Context, in *databasePath) (*one[struct{}], error) {
	if _, err := storeAPI(a).remove(ctx, &removeStoreInput{Store: in.Store}); err != nil {
		return nil, err
	}
	return oneOf(struct{}{}), nil
}

// sync syncs a store in a task, and waits for its end.
func (a databaseAPI) sync(ctx context.Context, store string, again bool) (*one[databaseAnswer], error) {
	out, err := syncAPI(a).store(ctx, &syncInput{Store: store, Resync: again})
	if err != nil {
		return nil, err
	}
	wait, stop := context.WithTimeout(ctx, syncWait)
	defer stop()
	v, err := a.Tasks.Wait(wait, out.Body.ID)
	if err != nil && wait.Err() == nil {
		return nil, a.taskFailed(ctx, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, a.failed(ctx, err)
	}
	d, err := a.document(ctx, store)
	if err != nil {
		return nil, err
	}
	answer := databaseAnswer{Database: d}
	switch {
	case v == nil || !v.Ready:
		answer.Task = out.Body.ID
		return madeAt(answer, tasksRoute, out.Body.ID), nil
	case v.State != task.Succeeded:
		shown, err := taskAPI(a).view(ctx, v)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		why := "The sync was cancelled."
		if shown.Error != nil {
			why = "The sync failed: " + *shown.Error + "."
		}
		return nil, newError(http.StatusBadGateway, why)
	}
	if answer.Results, err = a.results(ctx, store, v.Result); err != nil {
		return nil, a.failed(ctx, err)
	}
	return oneOf(answer), nil
}

// results returns the result of a sync in SlideAtlas's form.
func (a databaseAPI) results(ctx context.Context, store string, result json.RawMessage) (*syncResults, error) {
	var counts struct{ Count, Added, Updated int }
	if err := json.Unmarshal(result, &counts); err != nil {
		return nil, err
	}
	r := &syncResults{Count: counts.Count, Synced: counts.Added + counts.Updated, Images: []databaseImage{}}
	if counts.Added == 0 {
		return r, nil
	}
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	vis, err := a.visibilityOf(ctx, stores)
	if err != nil {
		return nil, err
	}
	page, err := vis.images(ctx, catalog.Query{Store: store, Limit: min(counts.Added, 500), Labels: true})
	if err != nil {
		if errors.Is(err, errForbidden) {
			return r, nil // the caller may sync, and see no images
		}
		return nil, err
	}
	labelled, err := vis.labelled(ctx, page.Items)
	if err != nil {
		return nil, err
	}
	if err := vis.recordLabels(ctx, store, page.Items, labelled); err != nil {
		return nil, err
	}
	for i := range page.Items {
		r.Images = append(r.Images, newDatabaseImage(&page.Items[i], labelled[i]))
	}
	return r, nil
}

func newDatabaseImage(im *catalog.Image, labels bool) databaseImage {
	v := databaseImage{ID: im.ID, Uploaded: slideatlasTime(im.CreatedAt), TileSize: im.TileWidth}
	if im.ExternalID != nil && (labels || tile.IsObjectID(*im.ExternalID)) {
		v.ID = *im.ExternalID
	}
	if labels {
		v.FileName = im.FileName
		set(&v.Label, im.Label)
	}
	if im.Width > 0 {
		v.Dimensions, v.Levels = []int{im.Width, im.Height, 1}, im.MaxZoom+1
	}
	if im.MPPX != nil && im.MPPY != nil {
		v.Spacing = []float64{*im.MPPX * 1000, *im.MPPY * 1000, 1}
	}
	return v
}

// byExternalID returns the id of the store that a request of SlideAtlas names by its external
// id, or the key itself.
func (a databaseAPI) byExternalID(ctx context.Context, key string) (string, error) {
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return "", err
	}
	for i := range stores {
		if key != "" && stores[i].ExternalID == key {
			return stores[i].ID, nil
		}
	}
	return key, nil
}
