// Package source accesses the slides of a store: it lists and identifies them, opens
// them for random reads, and watches for changes. There is one kind of source, a
// [Directory].
//
// An item of a source is a set of objects with one identity; today it is one file. File
// names are patient data: the errors of this package contain them only if they come
// from the system, and [fsx.WithoutPath] removes them.
package source

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

var (
	// ErrNoRoot: the store's folder does not exist or cannot be read.
	ErrNoRoot = errors.New("the store's folder is unreachable; nothing was marked missing")
	// ErrOtherRoot: the folder is not the one that was scanned before.
	ErrOtherRoot = errors.New("another folder is at the store's path, with hardly any of its slides; check that its disk is mounted. Nothing was changed")
)

// A Source holds items. All kinds of source pass the same tests.
type Source interface {
	// List returns all items. The error is the context's, or that of opening the source;
	// the listing holds what could not be read.
	List(context.Context, ListOptions) (*Listing, error)
	// Identify returns the identity of the item at path. The error satisfies [fsx.IsGone]
	// if there is no such item.
	Identify(path string) (fsx.Identity, error)
	// Open opens the item at path for random reads.
	Open(path string) (Object, error)
	Close() error
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

	devices map[uint64]string // the first directory on each
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

// An Unreadable is a directory or file that could not be read. Items below it are not
// listed.
type Unreadable struct {
	Path  string // "" or the prefix for the whole source
	Inode uint64
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
