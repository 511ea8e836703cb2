package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// regionAPI is the route of regions.
type regionAPI struct{ *API }

// regionPath is the path of the route. The package region checks its parameters.
const regionPath = "/api/v1/images/{image}/region"

// Streamed reports whether answers of a route may be too large for memory, and are sent in
// parts.
func Streamed(pattern string) bool {
	_, path, _ := strings.Cut(pattern, " ")
	return StreamedPath(path)
}

// StreamedPath is Streamed for the path of a request.
func StreamedPath(path string) bool {
	return strings.HasPrefix(path, "/api/v1/images/") && strings.HasSuffix(path, "/region") || isDownload(path) || isOriginal(path) ||
		strings.HasPrefix(path, "/iiif/") && strings.Count(path, "/") == 6 || strings.HasPrefix(path, "/cutout/") || isDICOMStream(path)
}

// region answers with a region of an image.
func (a regionAPI) region(w http.ResponseWriter, r *http.Request) error {
	im, private, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	req, err := region.Parse(r.URL.RawQuery, common...)
	if err != nil {
		return regionRefused(err)
	}
	v := r.URL.Query().Get("v")
	if v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	var plan *region.Plan
	viewed := im.View(r.Context(), func(s *slide.Slide, _ tile.Lease) error {
		plan, err = req.Plan(regionImage(s))
		return nil
	})
	if viewed != nil {
		return explained(viewed)
	}
	if err != nil {
		return regionRefused(err)
	}
	var color coloring
	if req.Format != region.TIFF { // which keeps the profile as it is
		if color, err = a.coloring(r, im); err != nil {
			return err
		}
	}
	f := &im.File
	back := f.Store.Background
	answer := tile.Answer{
		ETag:      fmt.Sprintf(`"%s-region-%v-%s-%d-%s-%02x%02x%02x"`, f.Revision, plan, req.Format, req.Quality, req.Color, back.R, back.G, back.B),
		Immutable: v != "", Public: f.Store.Public && !private,
	}
	d := &drawing{renderer: a.Renderer, image: im, bands: region.NewBands(plan, false, 0), format: req.Format, quality: req.Quality, colours: color}
	d.header = func(h http.Header) { describeRegion(h, plan) }
	if req.Format == region.TIFF {
		return a.cutout(w, r, d, plan.Inside.Outer(), "region.tiff", answer)
	}
	return d.send(w, r, answer)
}

// regionRefused returns the answer to a request that is not valid.
func regionRefused(err error) error {
	if _, ok := errors.AsType[*httperr.Error](err); ok {
		return err
	}
	status := http.StatusBadRequest
	if errors.Is(err, region.ErrTooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	detail := sentence(err)
	name := strings.IndexFunc(detail, func(c rune) bool { return c < 'A' || c > 'z' || c > 'Z' && c < 'a' })
	if text := err.Error(); name > 0 && slices.Contains(region.Keys, text[:name]) {
		detail = text[:1] + detail[1:] // names of parameters have no capitals
	}
	return &httperr.Error{Status: status, Detail: detail}
}

// regionImage describes a slide for package region.
func regionImage(s *slide.Slide) *region.Image {
	im := &region.Image{
		Width: s.Bounds.Dx(), Height: s.Bounds.Dy(), X: s.Bounds.Min.X, Y: s.Bounds.Min.Y,
		MPPX: s.MPPX, MPPY: s.MPPY, ObjectivePower: s.ObjectivePower,
	}
	l0 := &s.Levels[0]
	for i := range s.Levels {
		l := &s.Levels[i]
		x, y := l.Downsample, l.Downsample
		if math.Exp2(math.Round(math.Log2(l.Downsample))) != l.Downsample { // otherwise the last pixel may have been lost when it was halved
			x, y = float64(l0.Width)/float64(l.Width), float64(l0.Height)/float64(l.Height)
		}
		im.Levels = append(im.Levels, region.Level{Width: l.Width, Height: l.Height, X: x, Y: y})
	}
	return im
}

// describeRegion sets the headers that say what the picture shows.
func describeRegion(h http.Header, p *region.Plan) {
	h.Set("X-Region-Width", strconv.Itoa(p.Width))
	h.Set("X-Region-Height", strconv.Itoa(p.Height))
	h.Set("X-Region-Box", p.Box.String())
	if p.Clipped {
		h.Set("X-Region-Clipped", p.Inside.String())
	}
}

// routes returns the route of regions.
func (a regionAPI) routes() []route {
	number := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeNumber}}
	}
	choice := func(name, doc string, values ...any) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, Enum: values}}
	}
	op := jpegOp(
		picturesTag, "get-region", "Get a region, at any scale",
		"The region is scaled by width and height, mpp or magnification, or has the pixels of a stored level. A large one is sent while it is rendered; if that fails, the connection is closed before the end.",
		imageParam,
		number("x", "Left edge, in pixels of level 0 or in unit; 0 if absent. May be negative or a fraction."),
		number("y", "Top edge, in pixels of level 0 or in unit; 0 if absent. May be negative or a fraction."),
		number("w", "Width in pixels of level 0 or in unit; up to the right edge if absent."),
		number("h", "Height in pixels of level 0 or in unit; up to the bottom edge if absent."),
		choice("unit", "What x, y, w and h count: px if absent, or um for micrometres.", "px", "um"),
		intParam("query", "width", "Width of the result in pixels. Without height, the proportions stay."),
		intParam("query", "height", "Height of the result in pixels. Without width, the proportions stay."),
		intParam("query", "level", "Stored level, 0 the largest: the result has width and height pixels of it, from the one that covers x, y on."),
		number("mpp", "Micrometres for each pixel of the result, with w and h, or width and height."),
		number("magnification", "Magnification of the result, such as 20, with w and h, or width and height."),
		choice("format", "jpeg if absent. raw is 8-bit RGB, rows without padding. tiff is a lossless cut-out, grown to whole blocks, with its pyramid: see X-Region-Box.", "jpeg", "png", "tiff", "raw"),
		intParam("query", "quality", "Of a JPEG, 1 to 100."),
		choice("fill", "What becomes of a region that reaches out of the image: filled with the background colour if absent, or cut.", "background", "clip"),
	)
	binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	ok := &huma.Response{Description: "The region, with ETag and Cache-Control.", Content: map[string]*huma.MediaType{}, Headers: map[string]*huma.Header{}}
	for _, contentType := range contentTypes {
		ok.Content[contentType] = binary
	}
	for name, doc := range map[string]string{
		"X-Region-Width": "Width of the result in pixels.", "X-Region-Height": "Height of the result in pixels.",
		"X-Region-Box":     "What the result shows: x,y,w,h in pixels of level 0.",
		"X-Region-Clipped": "If the region reaches out of the image: the part inside, x,y,w,h in pixels of level 0.",
	} {
		ok.Headers[name] = &huma.Header{Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	op.Responses["200"] = ok
	op.Responses["400"] = problemAnswer("A parameter is unknown, invalid or contradicts another one, or the region is outside of the image: see detail.")
	op.Responses["413"] = problemAnswer(fmt.Sprintf("The result has more than %s pixels a side, or needs more memory than the server has.", strings.Replace(strconv.Itoa(region.MaxSide), "16", "16,", 1)))
	op.Responses["422"] = problemAnswer("The colour profile of the slide cannot be used, or the slide is not stored in a way that allows a lossless cut-out.")
	return []route{{path: regionPath, handle: a.region, op: op}}
}
