package scan

import (
	"context"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// A Survey is the number of folders and files in a store's folder. It holds no names.
type Survey struct {
	Folders int // each needs a watch
	Files   int // with names of slides
	Closed  int // folders and files that this user may not read
}

// Count scans the folder in which files of a store arrive, without opening files. If
// ctx ends, it returns the counts so far with the context's error.
func Count(ctx context.Context, st *catalog.Store) (Survey, error) {
	base := st.Root
	if st.ManagedFolder() {
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
