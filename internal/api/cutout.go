package api

import (
	"encoding/json"
	"errors"
	"fmt"
	pixels "image"
	"net/http"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// maxCutout limits the width and height of a rendered cutout, in pixels. Those without loss
// have the limit of regions.
const maxCutout = 4096

// cutoutTypes are the media types of cutouts by the suffix of the name.
var cutoutTypes = map[string]string{
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "tiff": "image/tiff", "svs": "image/tiff",
}

// cutout answers with a region of level 0, in the coordinates that SlideAtlas's viewer shows.
func (a slideatlasAPI) cutout(w http.ResponseWriter, r *http.Request) error {
	im, private, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	name := r.PathValue("name")
	kind := strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	contentType, ok := cutoutTypes[kind]
	if !ok {
		return &httperr.Error{Status: http.StatusNotFound, Detail: "The name of a cutout ends with .png, .jpg, .tif or .svs."}
	}
	lossless, most := contentType == "image/tiff", maxCutout
	if lossless {
		most = region.MaxSide
	}
	bounds, err := cutoutBounds(r.URL.Query().Get("bounds"), most)
	if err != nil {
		return err
	}
	v := r.URL.Query().Get("v")
	if v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	var part pixels.Rectangle
	if viewed := im.View(r.Context(), func(s *slide.Slide, _ tile.Lease) error { part, err = cutoutPart(s, bounds); return nil }); viewed != nil {
		return explained(viewed)
	}
	if err != nil {
		return err
	}
	f := &im.File
	answer := tile.Answer{
		ETag:      fmt.Sprintf(`"%s-cutout-%d-%d-%d-%d-%s"`, f.Revision, bounds[0], bounds[1], bounds[2], bounds[3], contentType[len("image/"):]),
		Immutable: v != "", Public: f.Store.Public && !private,
	}
	if lossless {
		d := &drawing{renderer: a.Renderer, image: im, format: region.TIFF}
		err = regionAPI(a).cutout(w, r, d, part, "cutout."+kind, answer)
		if errors.Is(err, errNotLossless) {
			return errCutoutStored
		}
		return err
	}
	err = answered(w, r, im, answer, contentType, func(s *slide.Slide, lease tile.Lease) ([]byte, error) {
		w.Header().Set("Content-Disposition", `attachment; filename="cutout.`+kind+`"`)
		return a.Renderer.Region(r.Context(), tile.RenderRequest{Slide: s, Image: f.ID, Revision: f.Revision, Background: f.Store.Background, Lease: lease},
			rendercache.Region{View: render.ViewOf(part, part.Dx(), part.Dy()), PNG: kind == "png"})
	})
	if errors.Is(err, rendercache.ErrTooMuch) {
		return cutoutSize(maxCutout)
	}
	return err
}

var (
	errCutoutBounds = &httperr.Error{Status: http.StatusBadRequest, Detail: "bounds is a list of four numbers of pixels of the largest level: [x0,x1,y0,y1], x0 below x1 and y0 below y1."}
	errCutoutPlace  = &httperr.Error{Status: http.StatusBadRequest, Detail: "The bounds are outside of the image."}
	errCutoutStored = &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The image is not stored in a way that allows a cutout without loss: use .png, which has the same pixels."}
)

func cutoutSize(most int) error {
	return &httperr.Error{Status: http.StatusBadRequest, Detail: fmt.Sprintf("A cutout of this kind has at most %d pixels in each direction.", most)}
}

// cutoutBounds parses the parameter bounds: [x0,x1,y0,y1], which are at most that far apart.
// Fractions are dropped, as in SlideAtlas.
func cutoutBounds(text string, apart int) (b [4]int, err error) {
	const most = 1 << 30 // larger than any slide
	var list []float64
	if len(text) > 200 || json.Unmarshal([]byte(text), &list) != nil || len(list) != len(b) {
		return b, errCutoutBounds
	}
	for i, n := range list {
		if n < -most || n > most {
			return b, errCutoutBounds
		}
		b[i] = int(n)
	}
	switch {
	case b[0] >= b[1] || b[2] >= b[3]:
		return b, errCutoutBounds
	case b[1]-b[0] > apart || b[3]-b[2] > apart:
		return b, cutoutSize(apart)
	}
	return b, nil
}

// cutoutPart returns the part of the image with those bounds, in pixels of level 0 from the
// corner of the image. y counts from the bottom of images that are or were in SlideAtlas's
// databases with the coordinate system Photo.
func cutoutPart(s *slide.Slide, b [4]int) (pixels.Rectangle, error) {
	y0, y1 := b[2], b[3]
	if s.Properties["slideatlas.CoordinateSystem"] == "Photo" {
		y0, y1 = s.Bounds.Max.Y-y1, s.Bounds.Max.Y-y0
	}
	part := pixels.Rect(b[0], y0, b[1], y1).Intersect(s.Bounds)
	if part.Empty() {
		return part, errCutoutPlace
	}
	return part.Sub(s.Bounds.Min), nil
}

// tileAt answers with the tile that holds a pixel of the largest level.
func (a slideatlasAPI) tileAt(w http.ResponseWriter, r *http.Request) error {
	im, private, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	q := r.URL.Query()
	at := tile.Address{Revision: q.Get("v")}
	if q.Get("z") == "" {
		q.Set("z", "-1")
	}
	for name, to := range map[string]*int{"x": &at.X, "y": &at.Y, "z": &at.Z} {
		n, err := strconv.ParseInt(q.Get(name), 10, 32)
		if err != nil || n < 0 && (name != "z" || n != -1) {
			return &httperr.Error{Status: http.StatusBadRequest, Detail: "x and y are a pixel of the largest level, from 0 on; z is a zoom level: 0 for the one tile with the whole image, absent or -1 for the largest."}
		}
		*to = int(n)
	}
	err = im.View(r.Context(), func(s *slide.Slide, _ tile.Lease) error {
		if at.Z < 0 {
			at.Z = s.MaxZoom()
		}
		if at.Z > s.MaxZoom() {
			return slide.ErrNoTile
		}
		l, halved := &s.Levels[0], s.MaxZoom()-at.Z
		at.X, at.Y = at.X>>halved/l.TileWidth, at.Y>>halved/l.TileHeight
		return nil
	})
	if err != nil {
		return explained(err)
	}
	return iiifAPI(a).tile(w, r, im, &at, private)
}

// thumb answers with the label beside the macro or, if the caller may not see them, with the
// tissue.
func (a slideatlasAPI) thumb(w http.ResponseWriter, r *http.Request) error {
	if f := callerOf(r.Context()).found; f != nil && f.withoutLabel {
		height, err := dimension(r, "height", 100)
		if err != nil {
			return err
		}
		return pictureAPI(a).thumbnail(w, r, pictureRequest(r), maxDimension, height)
	}
	return pictureAPI(a).preview(w, r, pictureRequest(r))
}

// viewerRoute is the address of the prototype's viewer.
const viewerRoute = "/ptiff-viewer"

// viewer redirects from the address of the prototype's viewer to that of this one.
func (a slideatlasAPI) viewer(w http.ResponseWriter, r *http.Request) error {
	im, _, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/slides/"+im.File.ID, http.StatusSeeOther)
	return nil
}
