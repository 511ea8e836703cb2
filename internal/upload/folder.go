package upload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

var (
	errNoUpload = errors.New("no such upload")
	errAway     = errors.New("the store's incoming folder is unreachable")
	errFull     = errors.New("the disk is full")
)

// A state is the state of an upload.
type state string

const (
	uploading state = "uploading" // incomplete
	received  state = "received"  // the file has been moved to the store
	refused   state = "refused"   // the file did not have the promised digest and has been removed
)

// A record is the saved state of an upload. [managed.Uploaded] reads As, MTime, Length and
// Offset.
type record struct {
	ID       string
	Store    string
	Owner    string // the user who began it
	Metadata string // the header, as it was sent
	Name     string // of the file, cleaned
	Length   int64  // in bytes
	Offset   int64  // bytes on disk
	Hash     []byte // state of the SHA-256 of those
	Want     string // SHA-256 that its sender promised; "" if none
	Digest   string // SHA-256 of the complete file
	Series   string // SeriesInstanceUID, if it is DICOM

	State  state
	Kind   inspect.Kind // result of the inspection
	Reason string       // of Kind, for a person
	As     string       // name in the incoming folder, recorded before the rename
	MTime  int64        // of the complete file, in ns
	Image  string       // id, once the catalog has it

	// Of an upload into a bucket:
	Object   string        `json:",omitempty"` // id of the image that the object will have
	Parts    string        `json:",omitempty"` // the server's name of the upload in parts
	PartSize int64         `json:",omitempty"` // of all parts but the last
	Sent     []bucket.Part `json:",omitempty"` // parts that are complete
	Tail     string        `json:",omitempty"` // key of the object with the bytes after them; "" for none
	CRC      []byte        `json:",omitempty"` // state of the checksum of the bytes

	CreatedAt time.Time
	UsedAt    time.Time // last change

	version int64 // of the record in the catalog
}

func (r *record) complete() bool { return r.Offset == r.Length }

// A folder is where a store keeps its uploads. Paths in it cannot lead elsewhere,
// although users who may write into the incoming folder may put links there.
type folder struct {
	retention
	store    *catalog.Store
	in       *os.Root // the incoming folder
	dir      *os.Root // the hidden folder in it
	ix       *index
	received *managed.Received // may be nil
}

// folders are the destinations of all stores, and an index of the uploads in each.
type folders struct {
	retention
	scanAge   time.Duration // maximum age of an index
	catalog   *catalog.Catalog
	received  *managed.Received   // may be nil
	buckets   *Buckets            // nil for none
	memory    *semaphore.Weighted // of the parts that are being received
	orphanAge time.Duration

	mu      sync.Mutex
	indexes map[string]*index // by store and folder
}

// incoming is the path of a store's incoming folder.
func incoming(st *catalog.Store) string {
	if st.Incoming != "" {
		return st.Incoming
	}
	return filepath.Join(st.Root, "incoming")
}

// open opens the destination of a managed store's uploads for the request of ctx, and creates it
// if mk. The error is [fs.ErrNotExist] if it does not exist, and errAway if the folder or the
// bucket is not that of the store: a disk may not be mounted.
func (s *folders) open(ctx context.Context, st *catalog.Store, mk bool) (destination, error) {
	if st.ManagedBucket() {
		return s.openBucket(ctx, st, mk)
	}
	return s.openFolder(st, mk)
}

func (s *folders) openFolder(st *catalog.Store, mk bool) (destination, error) {
	path := incoming(st)
	if id, err := managed.Marked(path); err != nil || id != st.ID {
		return nil, errAway
	}
	in, err := fsx.OpenRoot(path)
	if err != nil {
		return nil, errAway
	}
	dir, err := fsx.OpenRootIn(in, managed.Uploads)
	if errors.Is(err, fs.ErrNotExist) && mk {
		if err = in.Mkdir(managed.Uploads, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			dir, err = fsx.OpenRootIn(in, managed.Uploads)
		}
	}
	if err != nil {
		in.Close()
		return nil, full(err)
	}
	return &folder{s.retention, st, in, dir, s.indexOf(st), s.received}, nil
}

func (f *folder) storeOf() *catalog.Store { return f.store }

func (f *folder) indexOf() *index { return f.ix }

func (f *folder) close() {
	f.dir.Close()
	f.in.Close()
}

func part(id string) string    { return id + ".part" }
func sidecar(id string) string { return id + ".json" }

// isID reports whether s may be the id of an upload.
func isID(s string) bool {
	return len(s) == 26 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// maxRecord bounds the record of an upload, which holds the client's metadata.
const maxRecord = 1 << 20

// load reads the record of an upload. The error may be errNoUpload.
func (f *folder) load(id string) (*record, error) {
	b, err := fsx.ReadFileIn(f.dir, sidecar(id), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoUpload
	}
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := strictjson.UnmarshalKnown(b, r); err != nil || r.ID != id || r.Store != f.store.ID {
		return nil, fmt.Errorf("the sidecar file of upload %s is damaged: remove it and the upload", id)
	}
	return r, nil
}

// save writes the record of an upload atomically and durably.
func (f *folder) save(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	d, err := f.dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	st, err := fsx.WriteFileIn(d, sidecar(r.ID), b, 0o600)
	if err != nil {
		return full(err)
	}
	f.ix.put(entryOf(r, stampOf(st)))
	return nil
}

func stampOf(st fs.FileInfo) stamp {
	s := stamp{mtime: st.ModTime().UnixNano(), size: st.Size()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// create creates the files of an upload.
func (f *folder) create(rec *record) error {
	file, err := f.dir.OpenFile(part(rec.ID), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return full(err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := f.save(rec); err != nil {
		return errors.Join(err, f.remove(rec.ID))
	}
	return nil
}

// remove removes an upload, the record first: bytes without a record are swept later.
func (f *folder) remove(id string) error {
	var errs []error
	for _, name := range []string{sidecar(id), part(id)} {
		if err := f.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		f.ix.drop(id)
	}
	return errors.Join(append(errs, fsx.SyncRoot(f.dir))...)
}

// ids lists the uploads.
func (f *folder) ids() ([]string, error) {
	names, err := f.names()
	var list []string
	for _, n := range names {
		if id, ok := strings.CutSuffix(n, ".json"); ok && isID(id) {
			list = append(list, id)
		}
	}
	return list, err
}

func (f *folder) names() ([]string, error) {
	d, err := f.dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// free is how many bytes may be written to the file system.
func (f *folder) free() (int64, error) {
	d, err := f.dir.Open(".")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return fsx.FreeOn(d)
}

// give renames the bytes of an upload to an unused name in the incoming folder, and
// returns their identity there. The error may be [fs.ErrExist].
func (f *folder) give(id, name string) (now fsx.Identity, err error) {
	from, err := f.dir.Open(".")
	if err != nil {
		return now, err
	}
	defer from.Close()
	to, err := f.in.Open(".")
	if err != nil {
		return now, err
	}
	defer to.Close()
	if err := fsx.RenameNew(from, part(id), to, name); err != nil {
		return now, err
	}
	if now, err = fsx.StatIn(int(to.Fd()), name); fsx.IsGone(err) {
		err = nil // a scan has moved it already
	}
	return now, errors.Join(err, fsx.SyncDir(from), fsx.SyncDir(to))
}

// full turns the errors of a full disk into errFull.
func full(err error) error {
	if fsx.IsFull(err) {
		return errFull
	}
	return err
}
