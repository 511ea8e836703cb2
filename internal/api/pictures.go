package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// pictureAPI are the routes of rendered images and of associated images.
type pictureAPI struct{ *API }

// A picture renders a JPEG from an open slide, under the lease of its revision.
type picture func(ctx context.Context, f *tile.File, s *slide.Slide, lease tile.Lease) ([]byte, error)

func (a pictureAPI) associated(kind string) picture {
	return func(ctx context.Context, f *tile.File, s *slide.Slide, lease tile.Lease) ([]byte, error) {
		switch kind {
		case "label", "macro", "thumbnail":
			return a.Renderer.Associated(ctx, f.Revision, s, kind, lease)
		}
		return nil, slide.ErrNoAssociated
	}
}

func (a pictureAPI) preview(w http.ResponseWriter, r *http.Request, req *tile.Request) error {
	height, err := dimension(r, "height", 100)
	if err != nil {
		return err
	}
	return a.answer(w, r, req, pictureName("preview")+strconv.Itoa(height), noColors, func(ctx context.Context, f *tile.File, s *slide.Slide, lease tile.Lease) ([]byte, error) {
		return a.Renderer.Preview(ctx, f.Revision, s, height, lease)
	})
}

func (a pictureAPI) sizedThumbnail(w http.ResponseWriter, r *http.Request) error {
	width, err := dimension(r, "width", 0)
	if err != nil {
		return err
	}
	height, err := dimension(r, "height", 0)
	if err != nil {
		return err
	}
	if width == 0 && height == 0 {
		width = 256
	}
	if width == 0 {
		width = maxDimension
	}
	if height == 0 {
		height = maxDimension
	}
	return a.thumbnail(w, r, &tile.Request{Image: r.PathValue("image")}, width, height)
}

// thumbnail answers with the slide, rendered to fit into a size in pixels.
func (a pictureAPI) thumbnail(w http.ResponseWriter, r *http.Request, req *tile.Request, width, height int) error {
	name := fmt.Sprintf("thumbnail%dx%d", width, height)
	return a.answer(w, r, req, name, a.coloring, func(ctx context.Context, f *tile.File, s *slide.Slide, lease tile.Lease) ([]byte, error) {
		return a.Renderer.Thumbnail(ctx, f.Revision, s, width, height, f.Store.Background, lease)
	})
}

// maxDimension limits the size of pictures rendered on request, in pixels.
const maxDimension = 2048

// pictureName returns the name of a picture in its ETag. Labels had another orientation under the
// plain name.
func pictureName(kind string) string {
	if kind == "label" || kind == "preview" {
		return "upright-" + kind
	}
	return kind
}

// dimension reads a size in pixels from the query.
func dimension(r *http.Request, name string, def int) (int, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxDimension {
		return 0, &httperr.Error{Status: http.StatusBadRequest, Detail: fmt.Sprintf("%s is a number of pixels from 1 to %d.", name, maxDimension)}
	}
	return n, nil
}

// answer sends the result of draw for the image, with an ETag of the image's revision and
// name.
func (a pictureAPI) answer(w http.ResponseWriter, r *http.Request, req *tile.Request, name string, colorOf colors, draw picture) error {
	im, private, err := a.find(r.Context(), req)
	if err != nil {
		return explained(err)
	}
	f := &im.File
	v := r.URL.Query().Get("v")
	if v != "" && v != f.Revision {
		return explained(tile.ErrOldRevision)
	}
	color, err := colorOf(r, im)
	if err != nil {
		return err
	}
	answer := tile.Answer{ETag: `"` + f.Revision + "-" + name + color.name + `"`, Immutable: v != "", Public: f.Store.Public && !private}
	return answered(w, r, im, answer, "image/jpeg", func(s *slide.Slide, lease tile.Lease) ([]byte, error) {
		body, err := draw(r.Context(), f, s, lease)
		if err != nil {
			return nil, err
		}
		return a.apply(r.Context(), color, name, f, body, lease)
	})
}

// answered sends the result of draw, unless the client has the current version.
func answered(w http.ResponseWriter, r *http.Request, im *tile.Image, answer tile.Answer, contentType string, draw func(s *slide.Slide, lease tile.Lease) ([]byte, error)) error {
	var body []byte
	match := httperr.IfNoneMatch(r)
	err := im.View(r.Context(), func(s *slide.Slide, lease tile.Lease) (err error) {
		if match != "" && etag.Matches(match, answer.ETag) {
			return nil
		}
		body, err = draw(s, lease)
		return err
	})
	if err != nil {
		return explained(err)
	}
	h := w.Header()
	h.Set("Etag", answer.ETag)
	h.Set("Cache-Control", answer.CacheControl())
	if body == nil {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return httperr.Send(w, r, contentType, body)
}

// descriptor answers with the Deep Zoom descriptor, {image}.dzi.
func (a pictureAPI) descriptor(w http.ResponseWriter, r *http.Request) error {
	id, ok := strings.CutSuffix(r.PathValue("file"), ".dzi")
	if !ok {
		return explained(tile.ErrNoImage)
	}
	im, private, err := a.find(r.Context(), &tile.Request{Image: id})
	if err != nil {
		return explained(err)
	}
	p, err := redirector(a).shape(r, im)
	if err != nil {
		return err
	}
	chosen, overlap, ok := tile.ParseGrid(r.URL.RawQuery)
	if !ok {
		return &httperr.Error{Status: http.StatusBadRequest, Detail: fmt.Sprintf("tile_size is from %d to %d pixels, and overlap at most %d.", tile.MinTileSize, tile.MaxTileSize, tile.MaxOverlap)}
	}
	size := tile.DeepZoomTile(p.TileWidth, p.TileHeight, chosen)
	xml := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpg" Overlap="%d" TileSize="%d"><Size Width="%d" Height="%d"/></Image>
`, overlap, size, p.Width, p.Height)
	answer := tile.Answer{ETag: fmt.Sprintf(`"%s-dzi-%d-%d"`, im.File.Revision, size, overlap), Public: im.File.Store.Public && !private}
	w.Header().Set("Etag", answer.ETag)
	w.Header().Set("Cache-Control", answer.CacheControl())
	if etag.Matches(httperr.IfNoneMatch(r), answer.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return httperr.Send(w, r, "application/xml", []byte(xml))
}

// routes returns the routes of pictures other than tiles, and of the Deep Zoom
// descriptor.
func (a pictureAPI) routes() []route {
	descriptor := jpegOp(tilesTag, "get-deep-zoom", "Get the Deep Zoom descriptor", gridNote, imageParam, tileSizeParam, overlapParam)
	delete(descriptor.Responses, "307")
	descriptor.Responses["200"] = answers("A descriptor in XML.", "application/xml", &huma.Schema{Type: huma.TypeString})
	return []route{
		{
			path: "/api/v1/images/{image}/associated/{kind}", handle: func(w http.ResponseWriter, r *http.Request) error {
				kind := r.PathValue("kind")
				return a.answer(w, r, &tile.Request{Image: r.PathValue("image")}, pictureName(kind), a.associatedColors(kind), a.associated(kind))
			},
			op: jpegOp(picturesTag, "get-associated", "Get the label, macro or thumbnail", "A label is upright. If the file has none, one is rendered from its barcode.", imageParam, textParam("path", "kind", "label, macro or thumbnail.")),
		},
		{
			path: "/api/v1/images/{image}/preview", handle: func(w http.ResponseWriter, r *http.Request) error {
				return a.preview(w, r, &tile.Request{Image: r.PathValue("image")})
			},
			op: jpegOp(picturesTag, "get-preview", "Get a preview: the label beside the macro", "", imageParam, intParam("query", "height", "Pixels; 100 if absent.")),
		},
		{
			path: "/api/v1/images/{image}/thumbnail", handle: a.sizedThumbnail,
			op: jpegOp(picturesTag, "get-thumbnail", "Get a thumbnail, rendered from the slide's levels", "", imageParam, intParam("query", "width", "Maximum size in pixels."), intParam("query", "height", "Maximum size in pixels.")),
		},
		{path: "/dzi/{image}.dzi", pattern: "/dzi/{file}", handle: a.descriptor, op: descriptor},
	}
}
