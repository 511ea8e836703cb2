package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// storeAPI are the operations on stores.
type storeAPI struct{ *API }

// store is a store as the API shows it. A setting with its default value is null.
type store struct {
	ID          string     `json:"id" doc:"Opaque."`
	Label       string     `json:"label" doc:"Label, set by users."`
	Copyright   *string    `json:"copyright" doc:"Copyright notice, set by users."`
	Mode        string     `json:"mode" enum:"in-place,managed" doc:"in-place: the folder is only read. managed: new files are uploaded or arrive in a folder, and the server stores them under names of its own."`
	Kind        string     `json:"kind" enum:"directory,mongodb,dump,s3" doc:"Where the slides are. directory: files in a folder. mongodb: images in a MongoDB database of SlideAtlas. dump: images in a folder that mongodump wrote of such a database. s3: objects in a bucket of an S3-compatible server, each a file."`
	ExternalID  *string    `json:"external_id" doc:"Id of the store in another application, such as SlideAtlas."`
	Root        *string    `json:"root" doc:"Folder of the slides, or the URL of their database or bucket: mongodb://USER@HOST/DATABASE, dump:///FOLDER or s3://BUCKET/PREFIX/; null unless the caller is an admin."`
	Password    *string    `json:"password_file" doc:"File with the password of the user of a MongoDB database; null unless the caller is an admin."`
	Incoming    *string    `json:"incoming" doc:"Folder for new files of a managed store; null unless the caller is an admin."`
	Host        *string    `json:"host" doc:"Host whose worker syncs the store, null for any; also null unless the caller is an admin."`
	Endpoint    *string    `json:"endpoint" doc:"Base URL of the tile server near the files."`
	HostAway    *bool      `json:"host_away" doc:"Whether the workers of the store's host have sent no heartbeat for 15 seconds, so that the store is not synced; null if the store is bound to no host."`
	HostSeen    *time.Time `json:"host_seen_at" doc:"Last heartbeat of a worker of the store's host; null if the store is bound to no host, or the last one was more than a day ago."`
	Away        *bool      `json:"endpoint_away" doc:"Whether the tile server near the files is unreachable from this server; null if the store has none, or it was not checked yet."`
	AwayWhy     *string    `json:"endpoint_error" doc:"Why it is unreachable; null unless the caller is an admin."`
	Schedule    *string    `json:"schedule" doc:"When the store is synced: an interval or a cron expression."`
	TimeZone    *string    `json:"time_zone" example:"Europe/Vienna" doc:"Time zone of the schedules; null for the server's."`
	NextSync    *time.Time `json:"next_sync" doc:"Time of the next scheduled sync."`
	Queue       *string    `json:"queue" doc:"Queue of the store's tasks."`
	Include     []string   `json:"include" doc:"Patterns of the files that are slides; empty for the usual names of TIFF files."`
	Exclude     []string   `json:"exclude" doc:"Patterns of files and folders to skip."`
	Settle      *string    `json:"settle" example:"10m0s" doc:"How long an incomplete file counts as arriving; null for ten minutes."`
	MaxMissing  *float64   `json:"max_missing" doc:"Share of the slides that may disappear at once without confirmation; null for a half."`
	HideAfter   *string    `json:"hide_after" example:"720h0m0s" doc:"Missing images are hidden after this time; null for never."`
	DropAfter   *string    `json:"drop_after" doc:"Missing images are removed from the catalog after this time; null for never."`
	KeepTrash   *string    `json:"keep_trash" doc:"How long deleted files of a managed store stay in the trash; null for 30 days."`
	MoveTo      *string    `json:"move_to" doc:"Managed store in a bucket that slides of this folder are moved to, s3://BUCKET/PREFIX/; null for none, and unless the caller is an admin."`
	MoveAfter   *string    `json:"move_after" doc:"How long after they were added they are moved; null for the next night."`
	Verify      *string    `json:"verify" doc:"When all files are read again and compared with their digests: an interval or a cron expression."`
	VerifyRate  *int64     `json:"verify_rate" doc:"Read limit for verifying, in bytes per second; null for the default."`
	Quota       *int64     `json:"quota" doc:"Maximum size of a managed store's files in bytes, including uploads in progress; null for unlimited."`
	Bytes       int64      `json:"bytes" doc:"Total size of the files of images that are not missing."`
	Convert     bool       `json:"convert" doc:"Whether the store converts images without levels to pyramids; false for in-place stores."`
	CasePattern *string    `json:"case_pattern" doc:"Regular expression that finds the case of a slide, with groups named accession, part, block and stain; null for none."`
	CaseSource  *string    `json:"case_source" enum:"barcode,filename,folder" doc:"Text in which it matches; null for the first of barcode, file name and folder in which it does."`
	Background  string     `json:"background" example:"#ffffff" doc:"Colour of areas that were not scanned."`
	Origin      string     `json:"origin" enum:"top-left,bottom-left" doc:"Origin of tile names."`
	Public      bool       `json:"public" doc:"Whether everyone may see the tiles without a login."`
	HideLabels  bool       `json:"hide_labels" doc:"Whether only admins may see labels, macros and names."`

	Scopes []account.Scope `json:"scopes" doc:"Scopes that the caller holds for the whole store: tiles, label, file, write, admin."`

	Declared map[string]string `json:"declared" doc:"Settings that the configuration file sets and that can only be changed there, with their keys; empty unless the caller is an admin."`

	LastSync   *time.Time       `json:"last_sync" doc:"When the last complete scan ended."`
	LastResult *json.RawMessage `json:"last_result" doc:"What that scan found: count, added, updated, moved, missing, returned, failed, arriving, duration in seconds."`
	Counts     map[string]int   `json:"counts" doc:"Images by state."`
	Watch      *watch           `json:"watch" doc:"How the folder is watched; null if this server does not watch it."`
}

// watch is the watch status of a store's folder.
type watch struct {
	Polling   bool       `json:"polling" doc:"Whether the folder is scanned periodically because its file system reports no changes."`
	Why       *string    `json:"why" doc:"Why the folder is scanned periodically."`
	Error     *string    `json:"error" doc:"Why the last scan failed."`
	ErrorCode *string    `json:"error_code" example:"too_many_missing" doc:"Kind of the error, for programs: too_many_missing, other_folder or folder_unreachable; null for other errors."`
	LastPass  *time.Time `json:"last_pass" doc:"When the last complete scan ended."`
	Arriving  int        `json:"arriving" doc:"Number of files that are arriving."`
	Failing   *time.Time `json:"failing_since" doc:"Since when the folder can't be watched because of the error; null if it is watched."`
	NextTry   *time.Time `json:"next_try" doc:"When watching is retried."`
}

type storeOutput struct {
	CacheControl string `header:"Cache-Control"`
	Location     string `header:"Location"`
	Body         store
}

type storesOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []store `json:"items" doc:"All stores."`
		NextCursor *string `json:"next_cursor" doc:"Always null: the list is complete."`
	}
}

type storePath struct {
	Store string `path:"store" doc:"Id of the store."`
}

const storesRoute, storeRoute = "/api/v1/stores", "/api/v1/stores/{store}"

// noFolder describes status 403 of routes that accept a folder.
const noFolder = "Only an admin may do this; or a folder is outside the folders in which stores are allowed."

func (a storeAPI) register(h huma.API) {
	tags := []string{"stores"}
	register(h, huma.Operation{
		OperationID: "list-stores", Method: http.MethodGet, Path: storesRoute, Tags: tags,
		Summary: "List all stores, oldest first",
	}, nil, a.list)
	register(h, huma.Operation{
		OperationID: "get-store", Method: http.MethodGet, Path: storeRoute, Tags: tags,
		Summary: "Describe a store",
	}, problems{404: "No such store."}, a.get)
	register(h, huma.Operation{
		OperationID: "add-store", Method: http.MethodPost, Path: storesRoute, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Add a store",
		Description: "root is required; all other fields have a default, which null selects, too. No file is changed; a managed store's folder for new files is created if it does not exist, and with make_folder=true also root.",
	}, problems{403: noFolder, 409: "A folder is the same as, contains or is inside the folder of another store."}, a.add)
	register(h, huma.Operation{
		OperationID: "list-store-folders", Method: http.MethodGet, Path: storeFoldersRoute, Tags: tags,
		Summary: "List the folders in or below which stores may be added",
	}, nil, a.listFolders)
	register(h, huma.Operation{
		OperationID: "change-store", Method: http.MethodPatch, Path: storeRoute, Tags: tags,
		Summary:     "Change a store",
		Description: "Absent fields stay unchanged; null selects the default (RFC 7396). The mode can't be changed.",
	}, problems{403: noFolder, 404: "No such store.", 409: "The configuration file sets a field; or a folder is the same as, contains or is inside the folder of another store."}, a.change)
	register(h, huma.Operation{
		OperationID: "remove-store", Method: http.MethodDelete, Path: storeRoute, Tags: tags,
		Summary:     "Remove a store from the catalog",
		Description: "No file is changed. If the folder of a managed store is added again, its slides have the same ids as before.",
	}, problems{404: "No such store.", 409: "The configuration file provisions the store; or a managed store still has slides: use keep_files=true."}, a.remove)
}

func (a storeAPI) list(ctx context.Context, _ *struct{}) (*storesOutput, error) {
	list, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &storesOutput{CacheControl: private}
	vis, err := a.visibilityOf(ctx, list)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out.Body.Items = make([]store, 0, len(list))
	near, err := a.surroundings(ctx, list)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	for i := range list {
		if vis.tiles[list[i].ID] == whole {
			out.Body.Items = append(out.Body.Items, a.view(ctx, &list[i], vis, near))
		}
	}
	return out, nil
}

func (a storeAPI) get(ctx context.Context, in *storePath) (*storeOutput, error) {
	s, err := a.Catalog.Stores.Get(ctx, in.Store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return a.show(ctx, s)
}

func (a storeAPI) show(ctx context.Context, s *catalog.Store) (*storeOutput, error) {
	vis, err := a.visibilityOf(ctx, []catalog.Store{*s})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	near, err := a.surroundings(ctx, []catalog.Store{*s})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &storeOutput{CacheControl: private, Body: a.view(ctx, s, vis, near)}, nil
}

// view returns a store as the caller may see it.
func (a storeAPI) view(ctx context.Context, s *catalog.Store, vis *visibility, near *neighbourhood) store {
	admin := slices.Contains(vis.scopes[s.ID], mayAdmin)
	v := newStore(s, near.watching, admin)
	near.tell(&v, s, admin)
	v.Scopes = vis.scopes[s.ID]
	if vis.labels[s.ID] != whole {
		v.withoutLabels()
	}
	if a.Tasks == nil {
		return v
	}
	var err error
	if v.NextSync, err = a.Tasks.NextRun(ctx, s, task.SyncStore); err != nil {
		a.Log.WarnContext(ctx, "cannot determine the next sync", "store", s.ID, "err", err)
	}
	return v
}

// A neighbourhood is this server's information about workers and endpoints of stores.
type neighbourhood struct {
	watching  map[string]scan.Status // by this server, by store
	hosts     map[string]catalog.HostSeen
	endpoints map[string]string // errors, by URL
}

func (a storeAPI) surroundings(ctx context.Context, list []catalog.Store) (*neighbourhood, error) {
	n := new(neighbourhood)
	if a.Watching != nil {
		n.watching = a.Watching()
	}
	if a.Endpoints != nil {
		n.endpoints = a.Endpoints()
	}
	if !slices.ContainsFunc(list, func(s catalog.Store) bool { return s.Host != "" }) {
		return n, nil
	}
	var err error
	n.hosts, err = a.Catalog.Workers.Hosts(ctx)
	return n, err
}

// tell adds to a store whether its host and its endpoint are available.
func (n *neighbourhood) tell(v *store, s *catalog.Store, admin bool) {
	if s.Host != "" {
		seen := n.hosts[s.Host]
		away := !seen.Alive
		v.HostAway = &away
		if !seen.At.IsZero() {
			v.HostSeen = known(seen.At.UTC())
		}
	}
	if why, asked := n.endpoints[s.Endpoint]; asked && s.Endpoint != "" {
		away := why != ""
		v.Away = &away
		if admin {
			v.AwayWhy = known(why)
		}
	}
}

func newStore(s *catalog.Store, watching map[string]scan.Status, admin bool) store {
	v := store{
		ID: s.ID, Label: s.Label, Copyright: known(s.Copyright), Mode: string(s.Mode), Kind: string(catalog.KindOf(s.Root)), ExternalID: known(s.ExternalID), Endpoint: known(s.Endpoint),
		Schedule: known(s.Schedule), TimeZone: known(s.TimeZone), Queue: known(s.Queue), Include: s.Include, Exclude: s.Exclude,
		Settle: period(s.Settle), MaxMissing: known(s.MaxMissing), HideAfter: period(s.HideAfter), DropAfter: period(s.DropAfter), KeepTrash: period(s.KeepTrash), MoveAfter: period(s.MoveAfter),
		Verify: known(s.Verify), VerifyRate: known(s.VerifyRate), Quota: known(s.Quota), Bytes: s.Bytes, Convert: s.ManagedFolder() && !s.NoConvert, CasePattern: known(s.CasePattern), CaseSource: known(string(s.CaseSource)), Background: s.Background, Origin: s.Origin, Public: s.Public, HideLabels: s.HideLabels,
		LastSync: s.LastSync, Counts: map[string]int{}, Declared: map[string]string{},
	}
	if admin && s.Provisioned != nil {
		maps.Copy(v.Declared, s.Provisioned.Keys)
	}
	if admin {
		v.Root, v.Incoming, v.Host, v.Password, v.MoveTo = known(s.Root), known(s.Incoming), known(s.Host), known(s.PasswordFile), known(s.MoveTo)
	}
	for _, list := range []*[]string{&v.Include, &v.Exclude} {
		if *list == nil {
			*list = []string{}
		}
	}
	for k, n := range s.Counts {
		v.Counts[string(k)] = n
	}
	if len(s.LastResult) > 0 {
		v.LastResult = &s.LastResult
	}
	if w, ok := watching[s.ID]; ok {
		v.Watch = &watch{Polling: w.Polling, Why: known(w.Why), Error: known(w.Err), ErrorCode: known(w.Code), LastPass: known(w.LastScan.UTC()), Arriving: w.Arriving}
		if f := w.Failing; f != nil {
			v.Watch.ErrorCode = known(scan.ErrorCode(f.Err))
			v.Watch.Error, v.Watch.Failing, v.Watch.NextTry = known(f.Err.Error()), known(f.Since.UTC()), known(f.Next.UTC())
		}
	}
	return v
}

// withoutLabels removes fields that may contain file names.
func (v *store) withoutLabels() {
	v.LastResult = withoutFailures(v.LastResult)
	if v.Watch != nil {
		v.Watch.Why, v.Watch.Error = nil, nil
	}
	v.Include, v.Exclude = []string{}, []string{}
}

// withoutFailures returns the result of a scan without its list of failures.
func withoutFailures(result *json.RawMessage) *json.RawMessage {
	if result == nil {
		return nil
	}
	all := map[string]json.RawMessage{}
	if json.Unmarshal(*result, &all) != nil {
		return nil
	}
	kept := map[string]json.RawMessage{"failed": json.RawMessage("[]")}
	for _, field := range []string{"count", "added", "updated", "moved", "missing", "returned", "arriving", "duration"} {
		if v, ok := all[field]; ok && len(v) > 0 && v[0] != '[' && v[0] != '{' && v[0] != '"' {
			kept[field] = v
		}
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return nil
	}
	return (*json.RawMessage)(&b)
}

// period formats a duration; it returns nil for 0.
func period(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	return known(d.String())
}

type removeStoreInput struct {
	Store     string `path:"store" doc:"Id of the store."`
	KeepFiles bool   `query:"keep_files" doc:"Remove the store even if it has slides; the files of a managed store stay in its folder."`
}

func (a storeAPI) remove(ctx context.Context, in *removeStoreInput) (*struct{}, error) {
	s, err := a.Catalog.Stores.Get(ctx, in.Store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if err := s.Removable(); err != nil {
		return nil, a.storeFailed(ctx, err)
	}
	if held := held(s); s.Mode == catalog.Managed && held > 0 && !in.KeepFiles {
		return nil, newError(http.StatusConflict, "The store still has slides. With keep_files=true their files stay in its folder; if the folder is added again, the slides are restored.")
	}
	if err := a.Catalog.Stores.Delete(ctx, s.ID); err != nil {
		return nil, a.failed(ctx, err)
	}
	return nil, nil
}

// held returns the number of a store's images whose files are present.
func held(s *catalog.Store) (n int) {
	for state, images := range s.Counts {
		if state != catalog.Missing {
			n += images
		}
	}
	return n
}
