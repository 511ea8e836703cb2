package scan

import (
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// flatImages are the patterns of images that a managed store converts to pyramids.
var flatImages = []string{"*.png", "*.jpg", "*.jpeg"}

// filterOf is the filter of a store.
func filterOf(st *catalog.Store) source.Filter {
	if len(st.Include) == 0 && Converts(st) {
		return source.NewFilter(slices.Concat(source.DefaultInclude, flatImages), st.Exclude)
	}
	return source.NewFilter(st.Include, st.Exclude)
}

// Converts reports whether flat images that arrive in a store are converted to pyramids.
// Nothing is ever written into an in-place store.
func Converts(st *catalog.Store) bool { return st.ManagedFolder() && !st.NoConvert }

// Accepts reports whether a file of that name in a store's folder may be a slide.
func Accepts(st *catalog.Store, name string) bool { return filterOf(st).Allows(name) }
