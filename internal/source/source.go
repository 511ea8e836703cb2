// Package source accesses the slides of a store: it lists and identifies them, opens
// them, and watches for changes. There are four kinds of sources: a [Directory] of files,
// a MongoDB database of SlideAtlas, a folder that mongodump wrote of one, and a bucket of an
// S3-compatible server. A [Pool] opens the latter three.
//
// An item of a source is a set of objects with one identity: a file, the document of an
// image with its tiles, an object of a bucket, or the DICOM files in one folder that are of one series. File names and keys of objects are patient data: the errors of this package contain
// them only if they come from the system, and [fsx.WithoutPath] removes them.
package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/slide"
)

var (
	// ErrNoRoot: the store's folder does not exist or cannot be read.
	ErrNoRoot = errors.New("the store's folder is unreachable; nothing was marked missing")
	// ErrOtherRoot: the folder is not the one that was scanned before.
	ErrOtherRoot = errors.New("another folder is at the store's path, with hardly any of its slides; check that its disk is mounted. Nothing was changed")
	// ErrUnavailable: the server or the disk of a source does not answer, or refuses to. The
	// same call may succeed later.
	ErrUnavailable = errors.New("the store is unreachable")
	// ErrIndexing: the index of an image is being written, which reads its whole dump. The
	// same call succeeds later.
	ErrIndexing = errors.New("the dump of the image is being indexed")
	// ErrChanged: the item is not the one that was opened.
	ErrChanged = errors.New("the image has changed")
	// ErrNotJPEG: a stored tile is empty or not a complete JPEG.
	ErrNotJPEG = slideatlas.ErrNotJPEG
)

// unreachable is an [ErrNoRoot] and [ErrUnavailable] of a source that is not a folder.
type unreachable struct {
	what string // "database", "dump" or "bucket"
	err  error
}

func (e *unreachable) Error() string {
	return "the store's " + e.what + " is unreachable; nothing was marked missing: " + e.err.Error()
}

// Is never reports [fs.ErrNotExist], whatever the cause: the absence of a folder or a password
// file says nothing about items.
func (e *unreachable) Is(target error) bool {
	return target == ErrNoRoot || target == ErrUnavailable || target != fs.ErrNotExist && !fsx.IsGone(target) && errors.Is(e.err, target)
}

// A Source holds items. All kinds of source pass the same tests. It is safe for concurrent
// use.
type Source interface {
	// Root returns the identity of the source itself. The error is [ErrNoRoot] if it is
	// unreachable, or a database or dump without images: then nothing is known about the
	// items.
	Root() (fsx.Identity, error)
	// List returns all items. The error is the context's, or that of opening the source;
	// the listing holds what could not be read.
	List(context.Context, ListOptions) (*Listing, error)
	// Identify returns the identity of the item at path. The error satisfies [fsx.IsGone]
	// if there is no such item.
	Identify(path string) (fsx.Identity, error)
	// Slide opens the item at path as a slide. The error satisfies [fsx.IsGone] if there is
	// no such item, and may be [ErrUnavailable], [ErrIndexing] or that of ctx.
	Slide(ctx context.Context, path string) (*Slide, error)
	Close() error
}

// Files is a [Source] whose items are files, or series of them: see [catalog.IsSeries].
type Files interface {
	Source
	// Open opens the item at path for random reads, if it is a file.
	Open(path string) (Object, error)
}

// A Remote is a [Source] whose items are objects that are read by requests to a server.
type Remote interface {
	Source
	// Reopen opens the object at path as it was when it had that token, without a request. The function
	// makes the slide; its error is returned. If the object is another one now, reads fail with
	// [ErrChanged].
	Reopen(path string, token []byte, open func(r io.ReaderAt, size int64) (*slide.Slide, error)) (*Slide, error)
}

// A Slide is an open item.
type Slide struct {
	// Slide reads the tiles. Its errors may be [ErrUnavailable] and [ErrChanged]. It is nil
	// if Err is set.
	*slide.Slide
	// Err is why the item is not a slide that can be shown: a [*tiff.UnsupportedError] or a
	// [*tiff.FormatError].
	Err      error
	Identity fsx.Identity // of the item when it was opened
	// Names are nil for files. Those of a series of DICOM files have only a name for File.
	Names *Names
	// DICOM has the attributes of a series; nil for other items.
	DICOM *catalog.DICOM
	Files int // that are open; 0 if the item is not in files
	// ReadRange fills p with the bytes at off of an object, with one request; nil unless the source is
	// [Remote]. Token is what Reopen takes.
	ReadRange func(ctx context.Context, p []byte, off int64) error
	Token     []byte

	close   func() error
	current func() error
	written func() bool
}

// Current reports whether the item is still the one that was opened: the error is [ErrChanged]
// if it is not. Only the slides of files have to be asked: others report it when a tile is read,
// and those of a series only if a file was written to that the tile is in.
func (s *Slide) Current() error {
	if s.current == nil {
		return nil
	}
	return s.current()
}

// Written reports whether a read from a series has found that its file was written to.
func (s *Slide) Written() bool { return s.written != nil && s.written() }

// Close closes the slide.
func (s *Slide) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// Names are what the document of an image says about it.
type Names struct {
	File       string // name of the file that the image was made from
	Label      string // "" for none
	ExternalID string
}

// An Object is an open item.
type Object interface {
	io.ReaderAt
	io.Closer
	// Identity is the identity of the item when it was opened.
	Identity() fsx.Identity
	// Current is the present identity. The bytes read are those of the opened item if
	// Current equals Identity after the read.
	Current() (fsx.Identity, error)
}

// An Item is an item in a listing.
type Item struct {
	Path     string // separated by slashes; any bytes but 0
	Identity fsx.Identity
	Closed   bool // renamed in, or closed by its writer, in its present state
}

// ListOptions are the hooks of a listing.
type ListOptions struct {
	Below string // list only what is below this path; "" for all
	Item  func(Item)
	// Enter, if not nil, is called with each directory and its device, before the
	// directory is read.
	Enter func(dir string, dev uint64)
	// Refused, if not nil, is called with the inode and kind of each entry that has the
	// name of a slide and is not a file. Directories among them are not entered.
	Refused func(ino uint64, what string)
}

// A Listing is the result of listing a source, without its items.
type Listing struct {
	Links      int          // symbolic links with the name of a slide; they are not followed
	Unreadable []Unreadable // what could not be read
	Entries    int          // objects that were listed, whether or not they are items; 0 of other kinds than buckets

	devices map[uint64]string // the first directory on each
}

// maxUnreadable bounds the objects of a bucket that are listed as unreadable.
const maxUnreadable = 1000

// unreadable adds u, unless there are many.
func (l *Listing) unreadable(u Unreadable) {
	if len(l.Unreadable) < maxUnreadable {
		l.Unreadable = append(l.Unreadable, u)
	}
}

// HasDevice reports whether a directory on the device was listed.
func (l *Listing) HasDevice(dev uint64) bool {
	_, ok := l.devices[dev]
	return ok
}

// Hides reports whether the item at path could not be read, or is below such a
// directory.
func (l *Listing) Hides(path string) bool {
	for _, u := range l.Unreadable {
		if u.covers(path) {
			return true
		}
	}
	return false
}

// An Unreadable is a directory, file or document that could not be read. Items below it are
// not listed.
type Unreadable struct {
	Path  string // "" or the prefix for the whole source
	Inode uint64 // 0 if it is neither a directory nor a file
	Err   error
}

func (u Unreadable) covers(p string) bool {
	return u.Path == "" || p == u.Path || strings.HasPrefix(p, u.Path) && (p[len(u.Path)] == '/' || u.Path[len(u.Path)-1] == '/')
}

// A FileSystem is the file system of a directory.
type FileSystem struct {
	Kind  string // "ext4", "NFS"
	Local bool   // the kernel reports every change and sets the times: the directory need not be polled
	ID    string // often the same after a restart, where the device is not; may be ""
}
