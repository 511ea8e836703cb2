package ingest

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A FileSystem is what a folder lies on.
type FileSystem struct {
	Kind  string // "ext4", "NFS"
	Local bool   // the kernel tells of every change in it: it need not be polled
	ID    string // often the same after a restart, where the device is not; may be ""
}

// FileSystemOf returns what a folder lies on.
func FileSystemOf(path string) (FileSystem, error) {
	m, err := mountOf(path)
	return FileSystem{m.kind, m.local, m.id}, err
}

// A Survey is how many folders and files a store's folder holds. It names none.
type Survey struct {
	Folders int // each needs a watch
	Files   int // with names of slides
	Closed  int // of the folders and files, those that this user may not read
}

// Count goes through the folder in which files of a store come and go, and opens no
// file. What has been counted until ctx is done is returned with its error.
func Count(ctx context.Context, st *catalog.Store) (Survey, error) {
	base := st.Root
	if st.Mode == catalog.Managed {
		base = incomingOf(st)
	}
	var s Survey
	w := &walker{root: base, filter: newFilter(st.Include, st.Exclude)}
	w.enter = func(string, uint64) { s.Folders++ }
	w.file = func(f found) {
		s.Files++
		if unix.Faccessat(unix.AT_FDCWD, base+"/"+f.path, unix.R_OK, unix.AT_EACCESS) == unix.EACCES {
			s.Closed++
		}
	}
	err := w.walk(ctx, "")
	s.Closed += len(w.blind)
	return s, err
}
