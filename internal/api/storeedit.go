package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/storeroot"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// optional is a field of a JSON merge patch: absent, null, or a value.
type optional[T any] struct {
	Given, Null bool
	Value       T
}

// UnmarshalJSON is not called for a field that is absent.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.Given, o.Null = true, bytes.Equal(b, []byte("null"))
	if o.Null {
		return nil
	}
	return strictjson.Unmarshal(b, &o.Value)
}

// Schema returns the schema of the value, or null.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}

// storeFields are the settings of a store that a request can give. The checks are below
// instead of here, for errors in plain sentences.
type storeFields struct {
	Label       optional[string]   `json:"label,omitempty" doc:"Label, at most 200 characters; the name of the folder by default."`
	Copyright   optional[string]   `json:"copyright,omitempty" doc:"Copyright notice, at most 200 characters; none by default."`
	Mode        optional[string]   `json:"mode,omitempty" doc:"in-place (default) or managed."`
	Root        optional[string]   `json:"root,omitempty" doc:"Folder of the slides: an absolute path on the server. Or the URL of a database of SlideAtlas, mongodb://USER@HOST/DATABASE, or of a folder that mongodump wrote of one, dump:///FOLDER. Or of a part of a bucket, s3://BUCKET/PREFIX. A password in the URL is refused."`
	Incoming    optional[string]   `json:"incoming,omitempty" doc:"Folder for new files of a managed store; the folder incoming in its root by default."`
	Host        optional[string]   `json:"host,omitempty" doc:"Host whose worker syncs the store; any by default."`
	Password    optional[string]   `json:"password_file,omitempty" doc:"File on the server with the password of the user of a MongoDB database, on its first line. Over HTTP, it must be in or below a folder in which stores are allowed, such as the data directory."`
	Endpoint    optional[string]   `json:"endpoint,omitempty" doc:"Base URL of the tile server near the files, http or https; this server by default."`
	Schedule    optional[string]   `json:"schedule,omitempty" doc:"When the store is synced: an interval such as 15m or 7d, or a cron expression of five fields."`
	TimeZone    optional[string]   `json:"time_zone,omitempty" doc:"Time zone of the schedules, such as Europe/Vienna; the server's by default."`
	Queue       optional[string]   `json:"queue,omitempty" doc:"Queue of the store's tasks: lower-case letters and digits, with single hyphens or underscores between them."`
	Include     optional[[]string] `json:"include,omitempty" doc:"Patterns of the files that are slides. A pattern without a slash matches file names; one with slashes matches paths below the root, and ** matches any number of folders."`
	Exclude     optional[[]string] `json:"exclude,omitempty" doc:"Patterns of files and folders to skip."`
	Settle      optional[string]   `json:"settle,omitempty" doc:"How long an incomplete file counts as arriving: a duration such as 10m0s."`
	MaxMissing  optional[float64]  `json:"max_missing,omitempty" doc:"Share of the slides that may disappear at once without confirmation: above 0, at most 1."`
	HideAfter   optional[string]   `json:"hide_after,omitempty" doc:"Missing images are hidden after this time: a duration such as 720h or 30d."`
	DropAfter   optional[string]   `json:"drop_after,omitempty" doc:"Missing images are removed from the catalog after this time, not before they are hidden."`
	KeepTrash   optional[string]   `json:"keep_trash,omitempty" doc:"How long deleted files of a managed store stay in the trash."`
	MoveTo      optional[string]   `json:"move_to,omitempty" doc:"Managed store in a bucket that slides of this folder are moved to once a day, s3://BUCKET/PREFIX. The files of an in-place store stay; those of a managed store are removed 7 days later."`
	MoveAfter   optional[string]   `json:"move_after,omitempty" doc:"How long after they were added slides are moved, such as 90d."`
	Verify      optional[string]   `json:"verify,omitempty" doc:"When all files are verified: an interval or a cron expression of five fields."`
	VerifyRate  optional[int64]    `json:"verify_rate,omitempty" doc:"Read limit for verifying, in bytes per second."`
	Quota       optional[int64]    `json:"quota,omitempty" doc:"Maximum size of a managed store's files in bytes, including uploads in progress; unlimited by default."`
	Convert     optional[bool]     `json:"convert,omitempty" doc:"Whether a managed store converts images without levels to pyramids; true by default."`
	CasePattern optional[string]   `json:"case_pattern,omitempty" doc:"Regular expression with the syntax of RE2 that finds the case of a slide: groups named accession, which is required, part, block and stain. None by default."`
	CaseSource  optional[string]   `json:"case_source,omitempty" doc:"Text in which the case pattern matches: barcode, filename or folder; by default the first of them in which it does."`
	Background  optional[string]   `json:"background,omitempty" doc:"Colour of areas that were not scanned, #rrggbb; white by default."`
	Origin      optional[string]   `json:"origin,omitempty" doc:"Origin of tile names: top-left (default) or bottom-left."`
	Public      optional[bool]     `json:"public,omitempty" doc:"Whether everyone may see the tiles without a login."`
	HideLabels  optional[bool]     `json:"hide_labels,omitempty" doc:"Whether only admins may see labels, macros and names."`
}

// An edit is the requested changes of a store.
type edit struct {
	set    []func(*catalog.Store)
	errs   []error // errors in the fields
	timing bool    // a schedule or the time zone changes
}

// A FieldError reports an invalid setting of a store.
type FieldError struct {
	Field string // in JSON
	Err   error
	Null  string // what null means for the field, as a hint; "" if that is no help
}

func (e *FieldError) Error() string {
	if e.Null != "" {
		return fmt.Sprintf("%s: %v; null for %s", e.Field, e.Err, e.Null)
	}
	return e.Field + ": " + e.Err.Error()
}

func (e *FieldError) Unwrap() error { return e.Err }

// inField names the field of an error, which may be a FieldError without a field.
func inField(name string, err error) *FieldError {
	if e, ok := errors.AsType[*FieldError](err); ok {
		return &FieldError{name, e.Err, e.Null}
	}
	return &FieldError{Field: name, Err: err}
}

// orNull returns the error of a check, whose caller names the field.
func orNull(want, null string) error { return &FieldError{Err: errors.New(want), Null: null} }

// take adds the change of a field whose default is zero.
func take[In, Out any](e *edit, name string, o optional[In], to func(*catalog.Store) *Out, check func(In) (Out, error)) {
	if !o.Given {
		return
	}
	var v Out
	if !o.Null {
		var err error
		if v, err = check(o.Value); err != nil {
			e.errs = append(e.errs, inField(name, err))
			return
		}
	}
	e.set = append(e.set, func(s *catalog.Store) { *to(s) = v })
}

// newEdit checks all fields except the folders.
func newEdit(f *storeFields) *edit {
	e := &edit{timing: f.Schedule.Given || f.Verify.Given || f.TimeZone.Given}
	take(e, "label", f.Label, func(s *catalog.Store) *string { return &s.Label }, checkLabel)
	take(e, "copyright", f.Copyright, func(s *catalog.Store) *string { return &s.Copyright }, checkNotice)
	take(e, "host", f.Host, func(s *catalog.Store) *string { return &s.Host }, checkHost)
	take(e, "endpoint", f.Endpoint, func(s *catalog.Store) *string { return &s.Endpoint }, checkEndpoint)
	take(e, "schedule", f.Schedule, func(s *catalog.Store) *string { return &s.Schedule }, checkSchedule)
	take(e, "time_zone", f.TimeZone, func(s *catalog.Store) *string { return &s.TimeZone }, checkTimeZone)
	take(e, "queue", f.Queue, func(s *catalog.Store) *string { return &s.Queue }, checkQueue)
	take(e, "include", f.Include, func(s *catalog.Store) *[]string { return &s.Include }, checkPatterns)
	take(e, "exclude", f.Exclude, func(s *catalog.Store) *[]string { return &s.Exclude }, checkPatterns)
	take(e, "settle", f.Settle, func(s *catalog.Store) *time.Duration { return &s.Settle }, checkPeriod)
	take(e, "max_missing", f.MaxMissing, func(s *catalog.Store) *float64 { return &s.MaxMissing }, checkShare)
	take(e, "hide_after", f.HideAfter, func(s *catalog.Store) *time.Duration { return &s.HideAfter }, checkPeriod)
	take(e, "drop_after", f.DropAfter, func(s *catalog.Store) *time.Duration { return &s.DropAfter }, checkPeriod)
	take(e, "keep_trash", f.KeepTrash, func(s *catalog.Store) *time.Duration { return &s.KeepTrash }, checkPeriod)
	take(e, "move_to", f.MoveTo, func(s *catalog.Store) *string { return &s.MoveTo }, checkMoveTo)
	take(e, "move_after", f.MoveAfter, func(s *catalog.Store) *time.Duration { return &s.MoveAfter }, checkPeriod)
	take(e, "verify", f.Verify, func(s *catalog.Store) *string { return &s.Verify }, checkSchedule)
	take(e, "verify_rate", f.VerifyRate, func(s *catalog.Store) *int64 { return &s.VerifyRate }, checkRate)
	take(e, "quota", f.Quota, func(s *catalog.Store) *int64 { return &s.Quota }, checkQuota)
	take(e, "convert", f.Convert, func(s *catalog.Store) *bool { return &s.NoConvert }, func(v bool) (bool, error) { return !v, nil })
	take(e, "case_pattern", f.CasePattern, func(s *catalog.Store) *string { return &s.CasePattern }, checkCasePattern)
	take(e, "case_source", f.CaseSource, func(s *catalog.Store) *catalog.CaseSource { return &s.CaseSource }, checkCaseSource)
	take(e, "background", f.Background, func(s *catalog.Store) *string { return &s.Background }, checkColor)
	take(e, "origin", f.Origin, func(s *catalog.Store) *string { return &s.Origin }, checkOrigin)
	take(e, "public", f.Public, func(s *catalog.Store) *bool { return &s.Public }, asIs)
	take(e, "hide_labels", f.HideLabels, func(s *catalog.Store) *bool { return &s.HideLabels }, asIs)
	return e
}

// folders checks the folders on disk.
func (e *edit) folders(a storeAPI, f *storeFields) error {
	take(e, "root", f.Root, func(s *catalog.Store) *string { return &s.Root }, a.StoreRoots.CheckRoot)
	take(e, "incoming", f.Incoming, func(s *catalog.Store) *string { return &s.Incoming }, a.StoreRoots.Check)
	take(e, "password_file", f.Password, func(s *catalog.Store) *string { return &s.PasswordFile }, a.StoreRoots.CheckPasswordFile)
	if f.Root.Given && f.Root.Null {
		e.errs = append(e.errs, errors.New("root: a store needs a folder"))
	}
	for _, err := range e.errs {
		if errors.Is(err, storeroot.ErrOutside) {
			return newError(http.StatusForbidden, sentence(err))
		}
	}
	return nil
}

// apply changes a store, or returns a [*FieldError] about the result.
func (e *edit) apply(s *catalog.Store) error {
	for _, set := range e.set {
		set(s)
	}
	if s.Label == "" {
		s.Label = source.Name(s.Root)
	}
	if s.Mode == "" {
		s.Mode = catalog.InPlace
	}
	kind := catalog.KindOf(s.Root)
	if s.Mode == catalog.Managed && kind != catalog.Directory && kind != catalog.S3 {
		return inField("mode", errors.New("images of a database are only read: in-place"))
	}
	if s.Mode == catalog.Managed && kind == catalog.S3 && s.Incoming != "" {
		return inField("incoming", errors.New("a store in a bucket has no folder for new files: upload them"))
	}
	if err := source.CheckSecret(s.Root, s.PasswordFile); err != nil {
		return inField("password_file", err)
	}
	if s.Mode == catalog.InPlace && s.Incoming != "" {
		return inField("incoming", errors.New("an in-place store has no folder for new files"))
	}
	if s.MoveTo != "" && kind != catalog.Directory {
		return inField("move_to", errors.New("only slides of folders are moved to a bucket"))
	}
	if s.HideAfter > 0 && s.DropAfter > 0 && s.DropAfter < s.HideAfter {
		return inField("drop_after", fmt.Errorf("%v is shorter than hide_after, which is %v", s.DropAfter, s.HideAfter))
	}
	if e.timing {
		return checkTiming(s)
	}
	return nil
}

// checkTiming checks the schedules of a store in its time zone.
func checkTiming(s *catalog.Store) error {
	for _, of := range []struct{ name, schedule string }{{"schedule", s.Schedule}, {"verify", s.Verify}} {
		if of.schedule == "" {
			continue
		}
		if err := task.CheckSchedule(of.schedule, s.TimeZone); err != nil {
			return inField(of.name, errors.New(words(err, task.ErrBadSchedule)))
		}
	}
	return nil
}

type addStoreInput struct {
	MakeFolder bool `query:"make_folder" doc:"Create the folder root if it does not exist."`
	Body       storeFields
}

func (a storeAPI) add(ctx context.Context, in *addStoreInput) (*storeOutput, error) {
	f := &in.Body
	e := newEdit(f)
	take(e, "mode", f.Mode, func(s *catalog.Store) *catalog.Mode { return &s.Mode }, checkMode)
	if !f.Root.Given {
		e.errs = append(e.errs, errors.New("root: a store needs a folder"))
	}
	remove := func() {}
	if in.MakeFolder && len(e.errs) == 0 && !f.Root.Null {
		var err error
		if remove, err = a.StoreRoots.Make(f.Root.Value); err != nil {
			e.errs = append(e.errs, inField("root", err))
		}
	}
	put, err := a.addStore(ctx, e, f)
	if err != nil {
		remove()
		return nil, err
	}
	out, err := a.show(ctx, put)
	if err != nil {
		return nil, err
	}
	out.Location = storesRoute + "/" + put.ID
	return out, nil
}

// addStore adds the store of a request, whose folder exists.
func (a storeAPI) addStore(ctx context.Context, e *edit, f *storeFields) (*catalog.Store, error) {
	if err := e.folders(a, f); err != nil {
		return nil, err
	}
	if len(e.errs) > 0 {
		return nil, invalid(e.errs...)
	}
	s := catalog.Store{}
	if err := e.apply(&s); err != nil {
		return nil, invalid(err)
	}
	undo, err := a.makeIncoming(&s)
	if err != nil {
		return nil, err
	}
	put, err := bucketstore.AddStore(ctx, a.Catalog, a.Bucket, s)
	if err != nil {
		undo()
		return nil, a.storeFailed(ctx, err)
	}
	return put, nil
}

// makeIncoming creates the incoming folder of a managed store if it is the one in the
// root and does not exist. The returned function deletes the folder again if it was
// created.
func (a storeAPI) makeIncoming(s *catalog.Store) (undo func(), err error) {
	undo = func() {}
	if s.Mode != catalog.Managed || catalog.KindOf(s.Root) != catalog.Directory || s.Incoming != "" {
		return undo, nil
	}
	path := filepath.Join(s.Root, "incoming")
	switch err := os.Mkdir(path, 0o755); {
	case err == nil:
		undo = func() { os.Remove(path) } // fails if it is not empty
	case !errors.Is(err, fs.ErrExist):
		return undo, invalid(errors.New("root: can't create the folder for new files in it: the server must be allowed to write there"))
	}
	// A folder that existed may be a link to any place.
	if s.Incoming, err = a.StoreRoots.Check(path); errors.Is(err, storeroot.ErrOutside) {
		return undo, newError(http.StatusForbidden, "The folder incoming in the root: "+err.Error()+".")
	} else if err != nil {
		return undo, invalid(fmt.Errorf("the folder incoming in the root: %w", err))
	}
	return undo, nil
}

type changeStoreInput struct {
	Store string `path:"store" doc:"Id of the store."`
	Body  storeFields
}

func (a storeAPI) change(ctx context.Context, in *changeStoreInput) (*storeOutput, error) {
	f := &in.Body
	e := newEdit(f)
	if err := e.folders(a, f); err != nil {
		return nil, err
	}
	if len(e.errs) > 0 {
		return nil, invalid(e.errs...)
	}
	if err := f.where(ctx); err != nil {
		return nil, err
	}
	st, err := a.Catalog.Stores.Get(ctx, in.Store)
	if err == nil {
		err = st.Editable(f.given()...) // before a folder is created
	}
	if err != nil {
		return nil, a.storeFailed(ctx, err)
	}
	undo := func() {}
	if f.Root.Given || f.Incoming.Given {
		var err error
		if undo, err = a.moveIncoming(ctx, in.Store, e, f); err != nil {
			return nil, err
		}
	}
	s, err := a.Catalog.Stores.Update(ctx, in.Store, func(s *catalog.Store) error {
		if f.Mode.Given && f.Mode.Value != string(s.Mode) {
			return invalid(errors.New("mode: the mode of a store can't be changed: remove the store, and add its folder again"))
		}
		if err := s.Editable(f.given()...); err != nil {
			return err
		}
		return e.apply(s)
	})
	if err != nil {
		undo()
		return nil, a.storeFailed(ctx, err)
	}
	if (f.CasePattern.Given || f.CaseSource.Given) && a.Tasks != nil {
		// Its images are named by a sync: at once, or if that fails by the next one.
		if _, err := syncAPI(a).submit(ctx, s, &syncAllInput{}); err != nil {
			a.Log.WarnContext(ctx, "a store with another case pattern cannot be synced now; its slides are named at the next sync", "store", s.ID, "error", err)
		}
	}
	return a.show(ctx, s)
}

// given returns the names of the fields in the request.
func (f *storeFields) given() []string {
	var names []string
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		if v.Field(i).FieldByName("Given").Bool() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// where refuses to move a store unless the caller is an admin of everything.
func (f *storeFields) where(ctx context.Context) error {
	if f.Root.Given || f.Incoming.Given || f.Password.Given || f.Host.Given || f.Queue.Given || f.Endpoint.Given || f.MoveTo.Given {
		return mayChange(ctx)
	}
	return nil
}

// moveIncoming moves the incoming folder of a managed store with its root, if it is in
// the root and the request gives no other.
func (a storeAPI) moveIncoming(ctx context.Context, store string, e *edit, f *storeFields) (undo func(), err error) {
	undo = func() {}
	s, err := a.Catalog.Stores.Get(ctx, store)
	if err != nil {
		return undo, a.failed(ctx, err)
	}
	inRoot := s.Incoming == filepath.Join(s.Root, "incoming")
	if err := e.apply(s); err != nil {
		return undo, invalid(err)
	}
	if inRoot && !f.Incoming.Given {
		s.Incoming = ""
	}
	if s.Mode != catalog.Managed {
		return undo, nil
	}
	if s.Kind = catalog.KindOf(s.Root); s.ManagedBucket() {
		if err := bucketstore.Move(ctx, a.Bucket, s, held(s) > 0); err != nil {
			return undo, a.storeFailed(ctx, err)
		}
		return undo, nil
	}
	if id, err := managed.Marked(s.Root); err != nil {
		return undo, a.storeFailed(ctx, err)
	} else if id != s.ID && held(s) > 0 {
		return undo, newError(http.StatusConflict, "The folder has no file .ptiffstore-store of this store: move all files of the store there first.")
	}
	if undo, err = a.makeIncoming(s); err != nil {
		return undo, err
	}
	if err := managed.Prepare(ctx, s); err != nil {
		undo()
		return func() {}, a.storeFailed(ctx, err)
	}
	incoming := s.Incoming
	e.set = append(e.set, func(s *catalog.Store) { s.Incoming = incoming })
	return undo, nil
}

// storeFailed is failed for errors of the catalog about a store. Their texts for a
// conflict name folders.
func (a storeAPI) storeFailed(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*FieldError](err); ok {
		return invalid(e)
	}
	switch {
	case errors.Is(err, catalog.ErrProvisioned):
		return newError(http.StatusConflict, sentence(errors.New(words(err, catalog.ErrProvisioned))))
	case errors.Is(err, catalog.ErrConflict):
		return newError(http.StatusConflict, "The folder is the same as, contains or is inside the folder of another store: a file may be in one store only.")
	case errors.Is(err, catalog.ErrInvalid):
		return invalid(errors.New(words(err, catalog.ErrInvalid)))
	case errors.Is(err, bucket.ErrUnavailable):
		return huma.ErrorWithHeaders(newError(http.StatusServiceUnavailable, "The server of the bucket does not answer. Try again."), http.Header{"Retry-After": {"10"}})
	case errors.Is(err, bucket.ErrDenied):
		return invalid(inField("root", fmt.Errorf("%w: a managed store needs permission to list the bucket, and to read, write and delete its objects", err)))
	case errors.Is(err, managed.ErrOtherStore), errors.Is(err, managed.ErrNotEmpty),
		errors.Is(err, bucketstore.ErrOtherStore), errors.Is(err, bucketstore.ErrNotEmpty), errors.Is(err, bucketstore.ErrNotMoved):
		return newError(http.StatusConflict, sentence(err))
	case errors.Is(err, managed.ErrBadFolders):
		return invalid(errors.New("incoming: it must not be the store's folder, contain it, or be inside its slides, staging, quarantine or trash"))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return invalid(errors.New("root: the server must be allowed to write into the folders of a managed store"))
	}
	return a.failed(ctx, err)
}

// checkCasePattern checks the pattern that finds cases.
func checkCasePattern(s string) (string, error) {
	if s == "" {
		return "", orNull("a regular expression", "none")
	}
	if _, err := catalog.NewCasePattern(s, ""); err != nil {
		return "", errors.New(words(err, catalog.ErrInvalid))
	}
	return s, nil
}

func checkCaseSource(s string) (catalog.CaseSource, error) {
	switch source := catalog.CaseSource(s); source {
	case catalog.CaseFromBarcode, catalog.CaseFromFileName, catalog.CaseFromFolder:
		return source, nil
	}
	return "", orNull("barcode, filename or folder", "all of them")
}

// checkMoveTo checks the address of a managed store in a bucket.
func checkMoveTo(s string) (string, error) {
	if catalog.KindOf(s) != catalog.S3 {
		return "", errors.New("the address of a managed store in a bucket, s3://BUCKET/PREFIX, or null")
	}
	return source.CheckRoot(s)
}

func asIs(v bool) (bool, error) { return v, nil }

func checkQuota(n int64) (int64, error) {
	if n <= 0 {
		return 0, errors.New("a number of bytes above 0, or null for unlimited")
	}
	return n, nil
}

func checkLabel(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", errors.New("give a name, or null for the name of the folder")
	case len([]rune(s)) > 200:
		return "", errors.New("at most 200 characters")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", errors.New("one line of text, without control characters")
	}
	return s, nil
}

func checkNotice(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" {
		return "", orNull("a copyright notice", "none")
	}
	return s, checkText(s)
}

func checkMode(s string) (catalog.Mode, error) {
	if m := catalog.Mode(s); m == catalog.InPlace || m == catalog.Managed {
		return m, nil
	}
	return "", errors.New("in-place or managed")
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)

func checkHost(s string) (string, error) {
	if !hostName.MatchString(s) {
		return "", errors.New("a host name, as the command hostname prints it")
	}
	return s, nil
}

func checkEndpoint(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(s) > 500 {
		return "", errors.New("a URL such as https://tiles.example.org, without user, query or fragment")
	}
	return strings.TrimRight(s, "/"), nil
}

func checkSchedule(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" {
		return "", orNull("an interval such as 15m or five fields of cron", "none")
	}
	return s, nil
}

func checkTimeZone(s string) (string, error) {
	if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
		return "", orNull("the name of a time zone such as Europe/Vienna or UTC", "the server's")
	}
	return s, nil
}

func checkQueue(s string) (string, error) {
	if task.CheckQueue(s) != nil {
		return "", errors.New("up to 64 lower-case letters and digits, with single hyphens or underscores between them")
	}
	return s, nil
}

func checkPatterns(list []string) ([]string, error) {
	if len(list) > 100 {
		return nil, errors.New("at most 100 patterns")
	}
	for _, p := range list {
		if strings.Trim(p, "/") == "" || len(p) > 500 {
			return nil, fmt.Errorf("pattern %q: from 1 to 500 characters, as *.tiff", p)
		}
	}
	if err := source.CheckPatterns(list); err != nil {
		return nil, err
	}
	return list, nil
}

// checkPeriod parses a duration above 0. It accepts days, in which people count trash and
// absence.
func checkPeriod(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36500 {
			n = 0
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, orNull("a duration above 0 such as 90s, 10m, 36h or 30d", "the default")
	}
	return d, nil
}

func checkShare(v float64) (float64, error) {
	if !(v > 0 && v <= 1) {
		return 0, orNull("a share above 0 and at most 1", "the default")
	}
	return v, nil
}

func checkRate(v int64) (int64, error) {
	if v <= 0 {
		return 0, orNull("bytes per second, above 0", "the default")
	}
	return v, nil
}

var hexColor = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func checkColor(s string) (string, error) {
	if s = strings.ToLower(s); !hexColor.MatchString(s) {
		return "", errors.New("a colour as #rrggbb, such as #ffffff")
	}
	return s, nil
}

func checkOrigin(s string) (string, error) {
	if s != "top-left" && s != "bottom-left" {
		return "", errors.New("top-left or bottom-left")
	}
	return s, nil
}
