package slide

import "github.com/slideatlas/ptiffstore/tiff"

// A format reads one kind of file. Its read function fills in s and reports true, or
// reports false if f is of another kind. An error means that the file is of this kind
// and cannot be read.
type format struct {
	name string
	read func(f *tiff.File, s *Slide) (bool, error)
}

// formats are tried in this order.
var formats = []format{
	{"philips", philips},
	{"aperio", aperio},
	{"ventana", ventana},
	{"", foreign}, // recognized and rejected: generic would display them incorrectly
	{"generic", generic},
}
