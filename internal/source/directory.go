package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A Directory is a source whose items are the files in a directory and in those below
// it. The DICOM files of a series that are in one folder are one item. It is only read.
type Directory struct {
	path   string
	prefix string
	filter Filter
	root   *os.Root
	system FileSystem
}

// OpenDirectory opens the directory at path, following symbolic links. The paths of its
// items begin with prefix; the filter selects the items.
func OpenDirectory(path, prefix string, filter Filter) (*Directory, error) {
	root, err := fsx.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &Directory{path: path, prefix: prefix, filter: filter, root: root}
	if d.system, err = FileSystemOf(path); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// OpenStore opens the folder of a store that has the image at a path: for paths that begin
// with "incoming/" the incoming folder of a managed store, and otherwise the store's own. Paths
// of its items are those of images.
func OpenStore(st *catalog.Store, path string) (*Directory, error) {
	base, prefix, filter := st.Root, "", NewFilter(st.Include, st.Exclude)
	switch {
	case st.Mode == catalog.Managed && strings.HasPrefix(path, "incoming/"):
		base, prefix = st.File("incoming/"), "incoming/"
	case st.Mode == catalog.Managed:
		filter = Stored
	}
	return OpenDirectory(base, prefix, filter)
}

// Stored selects the files of a managed store outside of its incoming folder, whatever the
// patterns of the store: it has named them.
var Stored = NewFilter([]string{"*.tiff", "*.dcm"}, nil)

// In returns the directory of an open root, which the caller closes.
func In(root *os.Root) *Directory { return &Directory{path: root.Name(), root: root} }

// Close closes the directory.
func (d *Directory) Close() error { return d.root.Close() }

// FileSystem returns the directory's file system.
func (d *Directory) FileSystem() FileSystem { return d.system }

// Location is the path of the directory.
func (d *Directory) Location() string { return d.path }

// Selects reports whether the directory's filter selects the item at path. That of a series
// selects its files when they are listed.
func (d *Directory) Selects(path string) bool {
	if dir, _, ok := catalog.SplitSeries(d.rel(path)); ok {
		return d.filter.Directories(dir)
	}
	return d.filter.Allows(d.rel(path))
}

// rel returns a path relative to the directory.
func (d *Directory) rel(path string) string { return strings.TrimPrefix(path, d.prefix) }

// Root returns the identity of the directory.
func (d *Directory) Root() (fsx.Identity, error) {
	id, err := fsx.Stat(d.path)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrNoRoot, fsx.WithoutPath(err))
	}
	return id, nil
}

// Identify returns the identity of the item at path.
func (d *Directory) Identify(path string) (fsx.Identity, error) {
	if catalog.IsSeries(path) {
		return d.identifySeries(path)
	}
	return fsx.StatIn(unix.AT_FDCWD, filepath.Join(d.path, d.rel(path)))
}

// Readable reports whether this process may read the item at path.
func (d *Directory) Readable(path string) bool {
	if catalog.IsSeries(path) {
		return d.readableSeries(path)
	}
	return unix.Faccessat(unix.AT_FDCWD, filepath.Join(d.path, d.rel(path)), unix.R_OK, unix.AT_EACCESS) != unix.EACCES
}

// Open opens the item at path, unless it is a series. No path or symbolic link leads out of
// the directory.
func (d *Directory) Open(path string) (Object, error) {
	if catalog.IsSeries(path) {
		if _, err := d.identifySeries(path); err != nil {
			return nil, err
		}
		return nil, errSeries
	}
	f, err := fsx.OpenIn(d.root, d.rel(path))
	if err != nil {
		return nil, err
	}
	id, err := fsx.IdentifyFile(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &file{f, id}, nil
}

// OpenFile opens a file of the directory, which may be one of a series. No path or symbolic
// link leads out of the directory.
func (d *Directory) OpenFile(path string) (*os.File, error) { return fsx.OpenIn(d.root, d.rel(path)) }

// Slide opens the item at path as a slide.
func (d *Directory) Slide(_ context.Context, path string) (*Slide, error) {
	if catalog.IsSeries(path) {
		return d.openSeries(path)
	}
	f, err := d.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Slide{Identity: f.Identity(), Files: 1, close: f.Close}
	s.Slide, err = slide.Open(f, s.Identity.Size)
	if isSlideError(err) {
		s.Slide, s.Err = nil, err
		return s, nil
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// isSlideError reports whether an error says that an item is not a slide that can be shown.
func isSlideError(err error) bool {
	var wrong *tiff.FormatError
	var unsupported *tiff.UnsupportedError
	return errors.As(err, &wrong) || errors.As(err, &unsupported)
}

// List lists the items of the directory.
func (d *Directory) List(ctx context.Context, o ListOptions) (*Listing, error) {
	w := &walker{ListOptions: o, root: d.path, prefix: d.prefix, filter: d.filter}
	err := w.walk(ctx, d.rel(o.Below))
	return &w.Listing, err
}

// A file is an open item of a directory.
type file struct {
	*os.File
	id fsx.Identity
}

func (f *file) Identity() fsx.Identity { return f.id }

func (f *file) Current() (fsx.Identity, error) { return fsx.IdentifyFile(f.File) }
