// Package mongodump reads folders that the program mongodump wrote: for each collection of
// a database a file COLLECTION.bson, or COLLECTION.bson.gz with --gzip. It needs no server.
// The files of metadata beside them are not used. The folder is only read.
//
// A file holds BSON documents one after the other. To find a tile without reading all that
// stands before it, an index of the collection is kept in a folder of its own: see [Tiles].
package mongodump

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

var (
	// ErrNoFolder: the folder does not exist or cannot be read.
	ErrNoFolder = errors.New("the dump's folder is unreachable")
	// ErrNoCollection: the dump has no file of the collection.
	ErrNoCollection = errors.New("the dump does not contain the collection")
)

// A Folder is the dump of one database. Its methods may be called concurrently.
type Folder struct {
	root    *os.Root
	indexes string     // folder of indexes
	build   sync.Mutex // one index at a time, because that reads a whole file
}

// Open opens the dump of a database. Indexes of its tiles are kept in the folder indexes,
// which is created when the first one is written. The error may be [ErrNoFolder].
func Open(path, indexes string) (*Folder, error) {
	root, err := fsx.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoFolder, fsx.WithoutPath(err))
	}
	return &Folder{root: root, indexes: indexes}, nil
}

// Close closes the folder, but not its [Tiles].
func (f *Folder) Close() error { return f.root.Close() }

// suffixes are those of files of a collection. The first one that exists counts.
var suffixes = []string{".bson", ".bson.gz"}

// Collections returns the names of the collections, sorted.
func (f *Folder) Collections() ([]string, error) {
	names, _, err := f.list()
	return names, err
}

// list returns the collections of the folder, and the folders in it.
func (f *Folder) list() (collections, folders []string, err error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoFolder, fsx.WithoutPath(err))
	}
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
			continue
		}
		for _, s := range suffixes {
			if name, ok := strings.CutSuffix(e.Name(), s); ok && name != "" {
				collections = append(collections, name)
			}
		}
	}
	slices.Sort(collections)
	return slices.Compact(collections), folders, nil
}

// Check returns nil if the folder has the collection. Otherwise the error wraps
// [ErrNoCollection] and names the folders below it that have it, because mongodump writes a
// folder for each database.
func (f *Folder) Check(collection string) error {
	collections, folders, err := f.list()
	if err != nil || slices.Contains(collections, collection) {
		return err
	}
	var others []string
	for _, dir := range folders {
		for _, s := range suffixes {
			if _, err := f.root.Stat(path.Join(dir, collection+s)); err == nil {
				others = append(others, dir)
				break
			}
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("%w %q; use one of the folders in it: %s", ErrNoCollection, collection, strings.Join(others, ", "))
	}
	return fmt.Errorf("%w %q", ErrNoCollection, collection)
}

// open opens the file of a collection. The caller closes it.
func (f *Folder) open(collection string) (file *os.File, zipped bool, err error) {
	if collection == "" || strings.ContainsAny(collection, "/\x00") {
		return nil, false, fmt.Errorf("%w %q", ErrNoCollection, collection)
	}
	for _, s := range suffixes {
		file, err := fsx.OpenIn(f.root, collection+s)
		if err == nil {
			return file, s != suffixes[0], nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("collection %q: %w", collection, fsx.WithoutPath(err))
		}
	}
	if _, err := os.Stat(f.root.Name()); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrNoFolder, fsx.WithoutPath(err))
	}
	return nil, false, fmt.Errorf("%w %q", ErrNoCollection, collection)
}

// Identify returns the identity of the file of a collection. The error may be [ErrNoFolder]
// or [ErrNoCollection].
func (f *Folder) Identify(collection string) (fsx.Identity, error) {
	file, _, err := f.open(collection)
	if err != nil {
		return fsx.Identity{}, err
	}
	defer file.Close()
	id, err := fsx.IdentifyFile(file)
	return id, fsx.WithoutPath(err)
}

// Documents calls each with the documents of a collection in their order. A document is
// valid during the call only. The error may be [ErrNoFolder], [ErrNoCollection], a
// [*DamageError] behind the last intact document, that of each, or that of ctx.
func (f *Folder) Documents(ctx context.Context, collection string, each func(doc bson.Raw) error) error {
	file, zipped, err := f.open(collection)
	if err != nil {
		return err
	}
	defer file.Close()
	return read(ctx, file, zipped, func(doc bson.Raw, _ int64) error { return each(doc) })
}

// read calls each with the documents of a file and their offsets.
func read(ctx context.Context, file *os.File, zipped bool, each func(doc bson.Raw, offset int64) error) error {
	id, err := fsx.IdentifyFile(file)
	if err != nil {
		return fsx.WithoutPath(err)
	}
	var in io.Reader = io.NewSectionReader(file, 0, id.Size)
	size := id.Size
	if zipped {
		size = -1
		if in, err = gzip.NewReader(in); err != nil {
			if id.Size > 0 && (isGzip(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
				return &DamageError{0, "it is not a gzip file"}
			}
			if id.Size == 0 {
				return &DamageError{0, "it is empty"}
			}
			return fsx.WithoutPath(err)
		}
	}
	d := newDocuments(in, size)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		doc, offset, err := d.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fsx.WithoutPath(err)
		}
		if err := each(doc, offset); err != nil {
			return err
		}
	}
}

// isGzip reports whether an error is that of compressed data.
func isGzip(err error) bool {
	if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return true
	}
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}
