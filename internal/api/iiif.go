package api

import (
	"encoding/json"
	"errors"
	"fmt"
	pixels "image"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/iiif"
	"github.com/slideatlas/ptiffstore/internal/region"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/rendercache"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// iiifAPI are the routes of IIIF, and the description for Zoomify.
type iiifAPI struct{ *API }

const iiifTag = "IIIF and Zoomify"

// routes returns the routes of IIIF and Zoomify.
func (a iiifAPI) routes() []route {
	version := textParam("path", "version", "2 or 3.")
	info := jpegOp(iiifTag, "get-iiif-info", "Get the IIIF description of an image", "", version, imageParam)
	info.Responses["200"] = answers("The description.", "application/ld+json", &huma.Schema{Type: huma.TypeObject})
	base := jpegOp(iiifTag, "get-iiif", "Redirect to the description", "", version, imageParam)
	delete(base.Responses, "200")
	base.Responses["303"] = &huma.Response{Description: "The description."}
	part := jpegOp(iiifTag, "get-iiif-image", "Get a region of an image", "A region that is a tile is returned as stored in the file where possible. Other regions are rendered, up to 16,384 pixels a side and never enlarged.",
		version, imageParam, textParam("path", "region", "full, square, x,y,w,h or pct:x,y,w,h."), textParam("path", "size", "max, w,h or w, or ,h or !w,h or pct:n; in version 2 full, too."),
		textParam("path", "rotation", "0, 90, 180 or 270, and ! before it to mirror."), textParam("path", "file", "default, color, gray or bitonal, and .jpg or .png."))
	part.Responses["400"] = problemAnswer("The URL does not describe a valid region: see detail.")
	zoomify := jpegOp(iiifTag, "get-zoomify", "Get the Zoomify description of an image", "404 for slides whose tiles are not square.", imageParam)
	zoomify.Responses["200"] = answers("The description.", "application/xml", &huma.Schema{Type: huma.TypeString})
	for _, op := range []huma.Operation{info, base, zoomify} {
		delete(op.Responses, "307")
	}
	return []route{
		{path: "/iiif/{version}/{image}", handle: a.redirectToInfo, op: base},
		{path: "/iiif/{version}/{image}/info.json", handle: a.info, op: info},
		{path: "/iiif/{version}/{image}/{region}/{size}/{rotation}/{file}", handle: a.image, op: part},
		{path: "/zoomify/{image}/ImageProperties.xml", handle: a.zoomifyProperties, op: zoomify},
	}
}

// RejectEmptyParts answers 400 to an IIIF URL with an empty region, size or rotation, which
// a [http.ServeMux] would redirect to the URL without it.
func RejectEmptyParts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/iiif/") && strings.Contains(r.URL.Path, "//") {
			httperr.WriteProblem(w, r, http.StatusBadRequest, "A part of the address is empty: it must be region/size/rotation/quality.format.", 0)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// iiifVersion returns the version in the path, or 0 if it is unknown.
func iiifVersion(r *http.Request) int {
	switch r.PathValue("version") {
	case "2":
		return iiif.V2
	case "3":
		return iiif.V3
	}
	return 0
}

var errIIIFVersion = &httperr.Error{Status: http.StatusNotFound, Detail: "This server supports versions 2 and 3 of the IIIF Image API."}

// redirectToInfo redirects from an image's URL to its description.
func (a iiifAPI) redirectToInfo(w http.ResponseWriter, r *http.Request) error {
	if iiifVersion(r) == 0 {
		return errIIIFVersion
	}
	im, _, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	to := "/iiif/" + r.PathValue("version") + "/" + im.File.ID + "/info.json"
	if r.URL.RawQuery != "" { // it may have the credential
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// iiifPicture returns a slide's dimensions for IIIF.
func iiifPicture(s *slide.Slide) iiif.Image {
	l, b := &s.Levels[0], s.Bounds
	return iiif.Image{Width: b.Dx(), Height: b.Dy(), TileWidth: l.TileWidth, TileHeight: l.TileHeight, Zooms: len(s.Zooms), X: b.Min.X, Y: b.Min.Y, MPP: s.MPPX}
}

// info answers with an image's description.
func (a iiifAPI) info(w http.ResponseWriter, r *http.Request) error {
	version := iiifVersion(r)
	if version == 0 {
		return errIIIFVersion
	}
	return a.description(w, r, func(im *tile.Image, p iiif.Image) (string, []byte, error) {
		id := a.baseURL(r) + "/iiif/" + strconv.Itoa(version) + "/" + im.File.ID
		b, err := json.Marshal(iiif.Info(version, id, p))
		h := w.Header()
		h.Set("Link", "<"+iiif.ProfileURL(version)+`>;rel="profile"`)
		h.Add("Vary", "Accept")
		if acceptsLinkedData(version, strings.Join(r.Header.Values("Accept"), ",")) {
			return `application/ld+json;profile="` + iiif.Context(version) + `"`, b, err
		}
		return "application/json", b, err
	})
}

// acceptsLinkedData reports whether a description is sent as JSON-LD. That is the default of
// version 3, unless the client asks for plain JSON or is a browser that shows it (IIIF Image
// API 3.0 section 5.1, 2.1 section 5).
func acceptsLinkedData(version int, accept string) bool {
	if strings.Contains(accept, "application/ld+json") {
		return true
	}
	return version == iiif.V3 && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// baseURL returns this server's URL as the client sees it, without a slash at the end.
func (a iiifAPI) baseURL(r *http.Request) string {
	if a.PublicURL != "" {
		return strings.TrimSuffix(a.PublicURL, "/")
	}
	if callerOf(r.Context()).secure {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// description answers with the result of f for an image. It depends on the requested URL,
// so it has no ETag.
func (a iiifAPI) description(w http.ResponseWriter, r *http.Request, f func(*tile.Image, iiif.Image) (contentType string, body []byte, err error)) error {
	im, private, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	if v := r.URL.Query().Get("v"); v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	p, err := redirector(a).shape(r, im)
	if err != nil {
		return err
	}
	contentType, body, err := f(im, p)
	if err != nil {
		return err
	}
	answer := tile.Answer{Public: im.File.Store.Public && !private}
	w.Header().Set("Cache-Control", answer.CacheControl())
	return httperr.Send(w, r, contentType, body)
}

// zoomifyProperties answers with Zoomify's description.
func (a iiifAPI) zoomifyProperties(w http.ResponseWriter, r *http.Request) error {
	return a.description(w, r, func(_ *tile.Image, p iiif.Image) (string, []byte, error) {
		if p.TileWidth != p.TileHeight {
			return "", nil, &httperr.Error{Status: http.StatusNotFound, Detail: "Zoomify supports only square tiles, and the tiles of this image are not square: use its tile_url."}
		}
		n, width, height := 0, p.Width, p.Height
		for range tile.ZoomifyTiers(p.Width, p.Height, p.TileWidth) {
			n += ((width + p.TileWidth - 1) / p.TileWidth) * ((height + p.TileWidth - 1) / p.TileWidth)
			width, height = (width+1)/2, (height+1)/2
		}
		return "application/xml", fmt.Appendf(nil, `<IMAGE_PROPERTIES WIDTH="%d" HEIGHT="%d" NUMTILES="%d" NUMIMAGES="1" VERSION="1.8" TILESIZE="%d"/>`+"\n", p.Width, p.Height, n, p.TileWidth), nil
	})
}

// image answers with a region of an image.
func (a iiifAPI) image(w http.ResponseWriter, r *http.Request) error {
	ctx, version := r.Context(), iiifVersion(r)
	if version == 0 {
		return errIIIFVersion
	}
	im, private, err := a.find(ctx, &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	v := r.URL.Query().Get("v")
	if v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	var plan *iiif.Plan
	var p iiif.Image
	err = im.View(ctx, func(s *slide.Slide, _ tile.Lease) error {
		p = iiifPicture(s)
		return nil
	})
	if err != nil {
		return explained(err)
	}
	plan, err = iiif.Parse(version, r.PathValue("region"), r.PathValue("size"), r.PathValue("rotation"), r.PathValue("file"), p)
	if err != nil {
		return &httperr.Error{Status: http.StatusBadRequest, Detail: sentence(err)}
	}
	w.Header().Set("Link", `<`+iiif.ProfileURL(version)+`>;rel="profile", `+
		`<`+a.baseURL(r)+"/iiif/"+strconv.Itoa(version)+"/"+im.File.ID+"/"+plan.Canonical(version, p)+`>;rel="canonical"`)
	if k, x, y, ok := plan.Tile(p); ok && plan.Plain() {
		return a.tile(w, r, im, &tile.Address{Kind: tile.Halved, Z: k, X: x, Y: y, Revision: v, Color: tile.ParseColor(r.URL.Query().Get("icc"))}, private)
	}
	return a.rendered(w, r, im, plan, private)
}

// tile answers with a tile.
func (a iiifAPI) tile(w http.ResponseWriter, r *http.Request, im *tile.Image, at *tile.Address, private bool) error {
	t, err := im.Tile(r.Context(), at, httperr.IfNoneMatch(r))
	if err != nil {
		return explained(err)
	}
	defer t.Release()
	t.Public = t.Public && !private
	h := w.Header()
	h.Set("Etag", t.ETag)
	h.Set("Cache-Control", t.CacheControl())
	if t.Empty {
		h.Set("X-Tile", "empty")
	}
	if t.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return httperr.Send(w, r, "image/jpeg", t.Body)
}

// rendered answers with a region that must be rendered.
func (a iiifAPI) rendered(w http.ResponseWriter, r *http.Request, im *tile.Image, plan *iiif.Plan, private bool) error {
	f := &im.File
	color, err := a.coloring(r, im)
	if err != nil {
		return err
	}
	answer := tile.Answer{ETag: `"` + f.Revision + "-iiif-" + plan.String() + color.name + `"`, Immutable: r.URL.Query().Get("v") != "", Public: f.Store.Public && !private}
	if bands := iiifBands(plan); bands.Count() > 1 {
		d := &drawing{
			renderer: a.Renderer, image: im, bands: bands, format: region.JPEG, colours: color,
			mirror: plan.Mirror, turn: plan.Turn, gray: plan.Quality == "gray", bitonal: plan.Quality == "bitonal",
		}
		if plan.Format == "png" {
			d.format = region.PNG
		}
		return d.send(w, r, answer)
	}
	part := rendercache.Region{
		View:   render.ViewOf(pixels.Rect(plan.X, plan.Y, plan.X+plan.W, plan.Y+plan.H), plan.Width, plan.Height),
		Mirror: plan.Mirror, Turn: plan.Turn, Gray: plan.Quality == "gray", Bitonal: plan.Quality == "bitonal", PNG: plan.Format == "png",
		Table: color.table(),
	}
	contentType := "image/jpeg"
	if part.PNG {
		contentType = "image/png"
	}
	err = answered(w, r, im, answer, contentType, func(s *slide.Slide, lease tile.Lease) ([]byte, error) {
		b, err := a.Renderer.Region(r.Context(), tile.RenderRequest{
			Slide: s, Image: f.ID, Revision: f.Revision, Background: f.Store.Background, Lease: lease,
		}, part)
		return color.embedded(b), err
	})
	if errors.Is(err, rendercache.ErrTooMuch) {
		return &httperr.Error{Status: http.StatusBadRequest, Detail: "The region is too narrow for the requested size: request a size with the proportions of the region."}
	}
	return err
}

// iiifBands divides a plan into the bands in which a large region is rendered and sent.
func iiifBands(v *iiif.Plan) *region.Bands {
	box := region.Box{X: float64(v.X), Y: float64(v.Y), W: float64(v.W), H: float64(v.H)}
	return region.NewBands(&region.Plan{Box: box, Inside: box, Width: v.Width, Height: v.Height, Level: -1}, v.Mirror, v.Turn)
}
