// Package dicomweb speaks DICOMweb (PS3.18): it searches the slides that a caller may see, and sends
// their attributes, frames and files. What a slide is in DICOM is in package dicom; this package
// knows HTTP.
//
// The study and the series of an image follow from its id, or are those of its DICOM files, so
// searches need only the catalog. The instances depend on what the files hold: their attributes are
// made once for each revision, and kept. A frame is mostly a tile: once its instance is known, it
// takes the way of a tile, without SQL, lock or decoding.
package dicomweb

import (
	"context"
	"errors"
	"net/http"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/answer"
)

// Prefix is the path of all routes.
const Prefix = "/dicom-web"

// Options are what a [Service] needs from the API, which decides about access.
type Options struct {
	Catalog  *catalog.Catalog
	Tiles    *tile.Server
	Renderer *rendercache.Renderer
	// Find returns the image of a request for a study, which the caller may see.
	Find func(*http.Request) (*tile.Image, error)
	// Labels reports whether the caller may see the label and the names of an image.
	Labels func(context.Context, *tile.File) (bool, error)
	// ShowLabel records in the audit log that the caller sees patient data of an image. If it
	// fails, they are not shown.
	ShowLabel func(context.Context, *tile.File) error
	// List returns a page of the available images that the caller may see, newest first, in
	// one order for all requests.
	List func(ctx context.Context, cursor string, limit int) (*Page, error)
	// Seen returns those of the images that the caller may see.
	Seen func(context.Context, []catalog.Image) (*Page, error)
	// ListLabels records in the audit log that a list shows patient data of images.
	ListLabels func(context.Context, []catalog.Image) error
	// Embed returns a JPEG or PNG with a colour profile in it.
	Embed func(picture, profile []byte) []byte
	// BaseURL returns the URL of this server as the client sees it.
	BaseURL func(*http.Request) string
}

// A Page is a part of a list of images.
type Page struct {
	Images []catalog.Image
	Labels []bool // for each image, whether the caller may see its label and names
	Next   string // cursor; "" at the end
}

// A Service answers the requests of DICOMweb.
type Service struct {
	o       Options
	images  table[found]    // by the identifiers of their studies and series
	frames  table[frameRef] // by the identifiers of instances
	series  *seriesCache
	accepts table[frameAccept] // by header
}

// New returns a service.
func New(o Options) *Service {
	s := &Service{o: o, series: newSeriesCache()}
	s.images.init(1 << 14)
	s.frames.init(1 << 14)
	s.accepts.init(1 << 8)
	return s
}

// problem returns the answer to an error of reading a slide.
func problem(err error) error {
	if _, ok := errors.AsType[*httperr.Error](err); ok {
		return err
	}
	p := answer.Explain(err)
	return &httperr.Error{Status: p.Status, Detail: p.Detail, RetryAfter: p.RetryAfter, Err: err}
}

var (
	errNoInstance = &httperr.Error{Status: http.StatusNotFound, Detail: "There is no such study, series or instance."}
	errNoFrame    = &httperr.Error{Status: http.StatusNotFound, Detail: "The instance has fewer frames."}
	errNoSpacing  = &httperr.Error{Status: http.StatusNotFound, Detail: "The size of a pixel of this slide is unknown, and DICOM needs it: the slide is not in DICOMweb."}
)

func notAcceptable(offered string) error {
	return &httperr.Error{Status: http.StatusNotAcceptable, Detail: "None of the media types of the request can be sent. Possible here: " + offered + "."}
}

func badRequest(detail string) error {
	return &httperr.Error{Status: http.StatusBadRequest, Detail: detail}
}
