// Package source is where the slides of a store lie: it lists and identifies them, opens
// them for random reads, and watches for changes. There is one kind of source, a
// [Directory].
//
// An item of a source is a set of objects with one identity, which is read as a file or as
// tiles; today it is one file. File names are patient data: they appear in no error of
// this package but the system's own, which [fsx.WithoutPath] removes.
package source

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

var (
	// ErrNoRoot: the store's folder is not there or cannot be read.
	ErrNoRoot = errors.New("the store's folder is out of reach, nothing was marked missing")
	// ErrOtherRoot: a folder is there, and not the one that was.
	ErrOtherRoot = errors.New("another folder is where the store's was, and hardly any of its slides in it: is a disk not mounted? Nothing was changed")
)

// A Source holds items. Each kind of source passes the same tests.
type Source interface {
	// List reports all items. The error is the context's, or that of opening the
	// source; what cannot be read below it is in the listing.
	List(context.Context, ListOptions) (*Listing, error)
	// Identify returns the identity of the item at path. The error satisfies
	// [fsx.IsGone] if there is none.
	Identify(path string) (fsx.Identity, error)
	// Open opens the item at path for random reads.
	Open(path string) (Object, error)
	Close() error
}

// An Object is an open item.
type Object interface {
	io.ReaderAt
	io.Closer
	// Identity is that of the item when it was opened.
	Identity() fsx.Identity
	// Current is the identity now. What was read is of the item that was opened if the
	// two are equal after the read.
	Current() (fsx.Identity, error)
}

// An Item is what a listing reports.
type Item struct {
	Path     string // with slashes; any bytes but 0
	Identity fsx.Identity
	Closed   bool // renamed in, or closed by its writer, as it is
}

// ListOptions select what is listed, and say what is done with it.
type ListOptions struct {
	Below string // list only what is below this path; "" for all
	Item  func(Item)
	// Enter, if not nil, is called with each directory before it is read, and its
	// device.
	Enter func(dir string, dev uint64)
	// Refused, if not nil, is called with the inode of what has the name of a slide and
	// is not a file, and what it is. A directory that it is called with is not entered.
	Refused func(ino uint64, what string)
}

// A Listing is what is known of a source beside its items.
type Listing struct {
	Links      int          // symbolic links with the name of a slide, not followed
	Unreadable []Unreadable // what could not be read

	devices map[uint64]string // with the first directory on each
}

// HasDevice reports whether a directory on the device was listed.
func (l *Listing) HasDevice(dev uint64) bool {
	_, ok := l.devices[dev]
	return ok
}

// Hides reports whether the item at path is, or is below, what could not be read.
func (l *Listing) Hides(path string) bool {
	for _, u := range l.Unreadable {
		if u.covers(path) {
			return true
		}
	}
	return false
}

// An Unreadable is a directory or file that could not be read. Nothing is known of what
// is below it.
type Unreadable struct {
	Path  string // "" or the prefix for the whole source
	Inode uint64
	Err   error
}

func (u Unreadable) covers(p string) bool {
	return u.Path == "" || p == u.Path || strings.HasPrefix(p, u.Path) && (p[len(u.Path)] == '/' || u.Path[len(u.Path)-1] == '/')
}

// A FileSystem is what a directory lies on.
type FileSystem struct {
	Kind  string // "ext4", "NFS"
	Local bool   // the kernel reports every change, and the times are its own: it need not be polled
	ID    string // often the same after a restart, where the device is not; may be ""
}
