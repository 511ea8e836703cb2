package scan

import (
	"context"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A Survey is how many folders and files a store's folder holds. It names none.
type Survey struct {
	Folders int // each needs a watch
	Files   int // with names of slides
	Closed  int // of the folders and files, those that this user may not read
}

// Count scans the folder in which files of a store come and go, and opens no
// file. What has been counted until ctx is done is returned with its error.
func Count(ctx context.Context, st *catalog.Store) (Survey, error) {
	base := st.Root
	if st.Mode == catalog.Managed {
		base = managed.IncomingOf(st)
	}
	var s Survey
	dir, err := source.OpenDirectory(base, "", source.NewFilter(st.Include, st.Exclude))
	if err != nil {
		return s, err
	}
	defer dir.Close()
	l, err := dir.List(ctx, source.ListOptions{Enter: func(string, uint64) { s.Folders++ }, Item: func(f source.Item) {
		s.Files++
		if !dir.Readable(f.Path) {
			s.Closed++
		}
	}})
	s.Closed += len(l.Unreadable)
	return s, err
}
