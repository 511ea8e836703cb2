// Package managed holds what ptiffstore does in the folders of a managed store: it imports
// the files that arrive, moves others to quarantine and deleted ones to the trash, and
// resumes these operations after a crash. It defines the layout of the folders, the
// marker that identifies their store, and the sidecars with the data of a slide that its
// file does not contain.
//
// File names are patient data and appear in no log and no error.
package managed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// The folders of a managed store, as prefixes of the paths of its images. All but the
// first are below its root.
//
// The files of a DICOM series arrive in a folder that others may write to. From staging on,
// they are in a folder of their own, whose name ends in ".dicom" instead of ".tiff", each as
// SOPInstanceUID.dcm: the folder is renamed as the file of another slide is.
const (
	Incoming   = "incoming/"   // files arrive here; may be outside of the root
	Staging    = "staging/"    // ID.tiff or ID.part: being imported
	Slides     = "slides/"     // ab/DIGEST.tiff, and a sidecar DIGEST.json; see [SlidePath] and [SeriesPath]
	Quarantine = "quarantine/" // ID-NAME: unsupported or broken
	Trash      = "trash/"      // TIME-ID.tiff: deleted slides and duplicates
	// Originals has ab/DIGEST, a flat image that was converted to a slide, and a sidecar
	// DIGEST.json.
	Originals = "originals/"
)

// MarkerName is the name of the file with the store's id, in the root and in the
// incoming folder.
const MarkerName = ".ptiffstore-store"

var (
	// ErrOtherStore: the folder belongs to another store.
	ErrOtherStore = errors.New("the folder belongs to another store, according to its file " + MarkerName)
	// ErrNotEmpty: the folder of a new managed store must be empty.
	ErrNotEmpty = errors.New("the folder is not empty and does not belong to a store: choose an empty one, then move the slides into its incoming folder")
	// ErrNoMarker: the root of a managed store has no marker. It is a [source.ErrNoRoot].
	ErrNoMarker = fmt.Errorf("%w: it has no file %s: check that its disk is mounted", source.ErrNoRoot, MarkerName)
	// ErrBadFolders: the incoming folder is the root, or contains it, or is one of the
	// folders in it that the store uses otherwise.
	ErrBadFolders = errors.New("the incoming folder must not be the store's folder, contain it, or be inside its " +
		"slides, staging, quarantine, trash or originals")
)

// IncomingOf is the folder in which files arrive.
func IncomingOf(st *catalog.Store) string {
	return cmp.Or(st.Incoming, filepath.Join(st.Root, "incoming"))
}

// Split returns the folder that an image's path is in, and the path below it.
func Split(st *catalog.Store, path string) (base, rel string) {
	if rest, ok := strings.CutPrefix(path, Incoming); ok && st.Mode == catalog.Managed {
		return IncomingOf(st), rest
	}
	return st.Root, path
}

// EntryOf is the entry of an image's file.
func EntryOf(st *catalog.Store, path string) (source.Entry, error) {
	base, rel := Split(st, path)
	return source.EntryAt(base, rel, false)
}

// NewEntryOf is EntryOf for a file that will be created.
func NewEntryOf(st *catalog.Store, path string) (source.Entry, error) {
	base, rel := Split(st, path)
	return source.EntryAt(base, rel, true)
}

// Stat returns the identity of an image's file, or of its files.
func Stat(st *catalog.Store, path string) (fsx.Identity, error) {
	if catalog.IsSeries(path) {
		return identifySeries(st, path)
	}
	s, err := EntryOf(st, path)
	if err != nil {
		return fsx.Identity{}, err
	}
	defer s.Close()
	return s.Stat()
}

// Identify is Stat for a path whose directories may be symbolic links, as scans read it.
func Identify(st *catalog.Store, path string) (fsx.Identity, error) {
	if catalog.IsSeries(path) {
		return identifySeries(st, path)
	}
	return fsx.StatIn(unix.AT_FDCWD, st.File(path))
}

// identifySeries returns the identity of the files of a series.
func identifySeries(st *catalog.Store, path string) (fsx.Identity, error) {
	d, err := source.OpenStore(st, path)
	if err != nil {
		return fsx.Identity{}, err
	}
	defer d.Close()
	return d.Identify(path)
}

// SlidePath is the path of the slide with a digest.
func SlidePath(digest string) string { return Slides + digest[:2] + "/" + digest + ".tiff" }

const (
	tiffSuffix   = ".tiff"
	seriesSuffix = ".dicom" // of folders
)

// SeriesPath is the path of the slide that is a DICOM series. Its folder is named by the
// SHA-256 of the SeriesInstanceUID and not by a digest of its files, so that it stays when
// further instances arrive, and so that a store has one slide of a series.
func SeriesPath(uid string) string {
	sum := sha256.Sum256([]byte(uid))
	name := hex.EncodeToString(sum[:])
	return catalog.SeriesPath(Slides+name[:2]+"/"+name+seriesSuffix, uid)
}

// Stored reports whether a path is that of an imported slide.
func Stored(path string) bool {
	if _, uid, ok := catalog.SplitSeries(path); ok {
		return path == SeriesPath(uid)
	}
	return DigestIn(path) != ""
}

// container is the path of what is renamed when an image is: its file, or the folder of a
// series.
func container(path string) string {
	if dir, _, ok := catalog.SplitSeries(path); ok {
		return dir
	}
	return path
}

// contained returns the path of the image whose file or folder is at a path below the root.
// That of a folder without a series is "".
func contained(st *catalog.Store, at string) string {
	if !strings.HasSuffix(at, seriesSuffix) {
		return at
	}
	if fi, err := os.Lstat(st.File(at)); err != nil || !fi.IsDir() {
		return at // a file with such a name
	}
	d, err := source.OpenStore(st, at)
	if err != nil {
		return ""
	}
	defer d.Close()
	items, err := d.InFolder(at)
	if err != nil {
		return ""
	}
	for _, i := range items {
		if catalog.IsSeries(i.Path) {
			return i.Path
		}
	}
	return ""
}

// renamedTo is the path of an image whose file or folder gets a name, without a suffix.
func renamedTo(im *catalog.Image, name string) string {
	if _, uid, ok := catalog.SplitSeries(im.Path); ok {
		return catalog.SeriesPath(name+seriesSuffix, uid)
	}
	return name + tiffSuffix
}

// staged is the path of an image in staging.
func staged(im *catalog.Image) string { return renamedTo(im, Staging+im.ID) }

// DigestIn returns the digest in a path below slides/, "" without one.
func DigestIn(path string) string {
	rest, ok := strings.CutPrefix(path, Slides)
	if !ok || len(rest) != 3+64+len(".tiff") {
		return ""
	}
	d := rest[3:67]
	if strings.Trim(d, "0123456789abcdef") != "" || SlidePath(d) != path {
		return ""
	}
	return d
}

// Prepare creates the folders of a managed store and marks them. In a folder that is
// already marked it creates those that are missing.
//
// The error is [ErrOtherStore], [ErrNotEmpty], [ErrBadFolders], or one of the file
// system.
func Prepare(ctx context.Context, st *catalog.Store) error {
	if st.Mode != catalog.Managed {
		return nil
	}
	in := IncomingOf(st)
	if err := checkFolders(st.Root, in); err != nil {
		return err
	}
	if err := os.MkdirAll(st.Root, 0o755); err != nil {
		return fmt.Errorf("cannot create the store's folder: %w", fsx.WithoutPath(err))
	}
	switch id, err := Marked(st.Root); {
	case err != nil:
		return err
	case id != "" && id != st.ID:
		return ErrOtherStore
	case id == "":
		if err := empty(st.Root, in); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The marker comes first: if this is interrupted, a folder with others and no marker
	// would be refused.
	if err := mark(st.Root, st.ID); err != nil {
		return fmt.Errorf("cannot write the marker of the store's folder: %w", fsx.WithoutPath(err))
	}
	for _, dir := range []string{Staging, Slides, Quarantine, Trash} {
		if err := os.MkdirAll(filepath.Join(st.Root, dir), 0o755); err != nil {
			return fmt.Errorf("cannot create the folder %s: %w", dir, fsx.WithoutPath(err))
		}
	}
	return prepareIncoming(in, st.ID)
}

// prepareIncoming creates and marks the incoming folder.
func prepareIncoming(dir, store string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("cannot create the incoming folder: %w", fsx.WithoutPath(err))
	}
	switch id, err := Marked(dir); {
	case err != nil:
		return err
	case id != "" && id != store:
		return fmt.Errorf("%w (the incoming folder)", ErrOtherStore)
	}
	if err := mark(dir, store); err != nil {
		return fmt.Errorf("cannot write the marker of the incoming folder: %w", fsx.WithoutPath(err))
	}
	return nil
}

// checkFolders checks that root and incoming folder don't overlap.
func checkFolders(root, in string) error {
	root, in = filepath.Clean(root), filepath.Clean(in)
	if within(root, in) {
		return ErrBadFolders
	}
	for _, dir := range []string{Staging, Slides, Quarantine, Trash, Originals} {
		if within(in, filepath.Join(root, dir)) {
			return ErrBadFolders
		}
	}
	return nil
}

// within reports whether p is dir or lies in it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// empty refuses a folder that holds anything but the path to the incoming folder.
func empty(root, in string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("the store's folder cannot be read: %w", fsx.WithoutPath(err))
	}
	for _, e := range entries {
		if e.Name() != "lost+found" && !within(filepath.Clean(in), filepath.Join(root, e.Name())) {
			return ErrNotEmpty
		}
	}
	return nil
}

// maxMarker bounds the marker in bytes; it holds an id.
const maxMarker = 4 << 10

// Marked returns the id of the managed store that the folder belongs to, "" if there is
// none. A store that was removed from the catalog is added again under this id.
func Marked(root string) (string, error) {
	b, err := fsx.ReadFile(filepath.Join(root, MarkerName), maxMarker)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the file %s cannot be read: %w", MarkerName, fsx.WithoutPath(err))
	}
	id := strings.TrimSpace(string(b))
	if id == "" {
		return "", fmt.Errorf("the file %s is empty: write the store's id into it", MarkerName)
	}
	return id, nil
}

// mark writes the marker, unless it exists. It is created atomically.
func mark(dir, store string) error {
	if id, err := Marked(dir); err != nil || id != "" {
		return err
	}
	s, err := source.EntryAt(dir, MarkerName, false)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = fsx.WriteFileIn(s.Dir, s.Name, []byte(store+"\n"), 0o644)
	return DiskFull(err)
}

// CheckMarker checks that the root is that of the store.
func CheckMarker(st *catalog.Store) error {
	switch id, err := Marked(st.Root); {
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrNoRoot, err)
	case id == "":
		return ErrNoMarker
	case id != st.ID:
		return fmt.Errorf("%w: %w", source.ErrOtherRoot, ErrOtherStore)
	}
	return nil
}
