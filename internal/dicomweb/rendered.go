package dicomweb

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/planes"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

const (
	// maxViewport limits the width and height of a rendered picture, in pixels.
	maxViewport = 4096
	// levelViewport is the viewport of a level, if the client states none.
	levelViewport = 1024
	// thumbnailViewport is that of a thumbnail.
	thumbnailViewport = 256
)

// A rendering is what a client asks of a picture (PS3.18 section 8.3.5).
type rendering struct {
	contentType   string
	width, height int       // of the viewport; 0 if the client states none
	part          []float64 // x, y, width and height in pixels of the picture; nil for all of it
	quality       int       // of a JPEG; 0 for the server's
	color         tile.Color
}

// parseRendering parses the parameters of a picture. The error is a queryError.
func parseRendering(raw string) (rendering, error) {
	var g rendering
	values, err := url.ParseQuery(raw)
	if err != nil {
		return g, queryError("The query string is malformed: escape special characters.")
	}
	for _, name := range []string{"viewport", "quality", "iccprofile", "annotation", "window"} {
		if len(values[name]) > 1 {
			return g, queryError(name + " is given several times.")
		}
	}
	if v := values.Get("viewport"); v != "" {
		if err := g.viewport(v); err != nil {
			return g, err
		}
	}
	if v := values.Get("quality"); v != "" {
		if g.quality, err = strconv.Atoi(v); err != nil || g.quality < 1 || g.quality > 100 {
			return g, queryError("quality is a number from 1 to 100.")
		}
	}
	switch v := strings.ToLower(values.Get("iccprofile")); v {
	case "", "no":
	case "yes":
		g.color = tile.Embed
	case "srgb":
		g.color = tile.ToSRGB
	default:
		return g, queryError("iccprofile is no, yes or srgb: this server converts colours to no other space.")
	}
	for v := range strings.SplitSeq(values.Get("annotation"), ",") {
		if v != "" && v != "patient" && v != "technique" {
			return g, queryError("annotation is patient or technique; this server adds neither.")
		}
	}
	if v := values.Get("window"); v != "" {
		return g, queryError("window is for pictures in shades of grey.")
	}
	return g, nil
}

// viewport parses width,height and perhaps the part to show.
func (g *rendering) viewport(value string) error {
	const wrong = queryError("viewport is width,height in pixels up to 4096, and perhaps x,y,width,height of the part to show.")
	parts := strings.Split(value, ",")
	if len(parts) != 2 && len(parts) != 6 {
		return wrong
	}
	numbers := make([]float64, len(parts))
	for i, s := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || !(v >= 0 && v <= 1<<31) || i != 2 && i != 3 && v == 0 {
			return wrong
		}
		numbers[i] = v
	}
	g.width, g.height = int(numbers[0]), int(numbers[1])
	if g.width < 1 || g.height < 1 || g.width > maxViewport || g.height > maxViewport {
		return wrong
	}
	if len(numbers) == 6 {
		g.part = numbers[2:]
	}
	return nil
}

// name tells renderings apart.
func (g *rendering) name() string {
	return fmt.Sprintf("%d-%d-%v-%d-%d-%s", g.width, g.height, g.part, g.quality, g.color, strings.TrimPrefix(g.contentType, "image/"))
}

// isStored reports whether a stored JPEG is the answer.
func (g *rendering) isStored() bool {
	return g.contentType == typeJPEG && g.width == 0 && g.quality == 0 && g.color == tile.AsStored
}

// fit returns the part of a picture of w × h pixels to show, and the size of the result: as large as
// fits into the viewport with the same proportions.
func (g *rendering) fit(w, h int) (part [4]float64, width, height int, err error) {
	part = [4]float64{0, 0, float64(w), float64(h)}
	if g.part != nil {
		part = [4]float64(g.part)
		if part[0] >= float64(w) || part[1] >= float64(h) {
			return part, 0, 0, queryError("The part to show lies outside of the picture.")
		}
		part[2], part[3] = min(part[2], float64(w)-part[0]), min(part[3], float64(h)-part[1])
	}
	viewW, viewH := g.width, g.height
	if viewW == 0 {
		viewW, viewH = w, h
	}
	scale := min(float64(viewW)/part[2], float64(viewH)/part[3])
	width, height = max(1, int(math.Round(part[2]*scale))), max(1, int(math.Round(part[3]*scale)))
	return part, min(width, viewW), min(height, viewH), nil
}

// rendering returns what a request asks of a picture.
func (s *Service) rendering(r *http.Request) (rendering, error) {
	g, err := parseRendering(r.URL.RawQuery)
	if err != nil {
		return g, badRequest(err.Error())
	}
	if g.contentType = pictureForm(acceptOf(r)); g.contentType == "" {
		return g, notAcceptable("image/jpeg, image/png")
	}
	return g, nil
}

// Rendered answers with an instance as a picture: a level as a whole, fitted into the viewport.
func (s *Service) Rendered(w http.ResponseWriter, r *http.Request) error {
	sub, g, err := s.picture(w, r)
	if err != nil {
		return err
	}
	if sub.in.Level < 0 {
		return s.framePicture(w, r, sub, g, 0)
	}
	if g.width == 0 {
		g.width, g.height = levelViewport, levelViewport
	}
	return s.answer(w, r, sub, g, "", func(sl *slide.Slide, lease tile.Lease) ([]byte, error) {
		return s.level(r.Context(), sub, g, sl, lease)
	})
}

// RenderedFrame answers with a frame as a picture.
func (s *Service) RenderedFrame(w http.ResponseWriter, r *http.Request) error {
	sub, g, err := s.picture(w, r)
	if err != nil {
		return err
	}
	n, ok := frameNumber(r.PathValue("frame"))
	switch {
	case !ok:
		return badRequest("A frame is a number from 1 on; pictures show one frame.")
	case n > sub.in.Frames():
		return errNoFrame
	}
	return s.framePicture(w, r, sub, g, n-1)
}

// picture returns what a request for a picture is about.
func (s *Service) picture(w http.ResponseWriter, r *http.Request) (*subject, *rendering, error) {
	sub, err := s.subject(r)
	if err != nil {
		return nil, nil, err
	}
	g, err := s.rendering(r)
	if err != nil {
		return nil, nil, err
	}
	if sub.in.Private {
		err = s.showsPatient(w, r, sub)
	}
	return sub, &g, err
}

// answer sends a picture, unless the client has it. Draw is called with the open slide.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, sub *subject, g *rendering, name string, draw func(*slide.Slide, tile.Lease) ([]byte, error)) error {
	uid := ""
	if sub.in != nil {
		uid = sub.in.UID
	}
	back := sub.image.File.Store.Background
	tag := fmt.Sprintf(`"%s-dicom-%s%s-%s-%02x%02x%02x"`, sub.image.File.Revision, uid, name, g.name(), back.R, back.G, back.B)
	match, unchanged := httperr.IfNoneMatch(r), false
	var body []byte
	err := sub.image.View(r.Context(), func(sl *slide.Slide, lease tile.Lease) (err error) {
		if unchanged = match != "" && etag.Matches(match, tag); unchanged {
			return nil
		}
		body, err = draw(sl, lease)
		return err
	})
	if e, ok := errors.AsType[queryError](err); ok {
		return badRequest(e.Error())
	}
	if err != nil {
		return problem(err)
	}
	h := w.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, max-age=60")
	h.Add("Vary", "Accept")
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", g.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		w.Write(body) // the client is gone if this fails
	}
	return nil
}

// profileOf returns the colour profile of an instance that a rendering needs, or nil.
func (s *Service) profileOf(ctx context.Context, sub *subject, g *rendering) (p *profile.Profile, err error) {
	switch {
	case g.color == tile.AsStored:
		return nil, nil
	case sub.in != nil && sub.in.Level < 0:
		p, err = sub.image.AssociatedProfile(ctx, sub.in.Kind)
	default:
		p, err = sub.image.Profile(ctx)
	}
	if err == nil {
		err = p.Err()
	}
	if err != nil || !p.Converts() {
		return nil, err
	}
	return p, nil
}

// framePicture answers with a frame, from 0, as a picture.
func (s *Service) framePicture(w http.ResponseWriter, r *http.Request, sub *subject, g *rendering, n int) error {
	p, err := s.profileOf(r.Context(), sub, g)
	if err != nil {
		return problem(err)
	}
	return s.answer(w, r, sub, g, "-"+strconv.Itoa(n), func(sl *slide.Slide, lease tile.Lease) ([]byte, error) {
		if g.isStored() && sub.in.TransferSyntax == dicom.JPEGBaseline && !sub.in.IsDecoded() {
			return sub.in.AppendFrameOf(r.Context(), sl, nil, n)
		}
		b, err := s.o.Renderer.Work(r.Context(), lease, func(ctx context.Context) ([]byte, error) {
			img, err := sub.in.DecodeFrame(ctx, sl, n)
			if err != nil {
				return nil, err
			}
			return s.redraw(ctx, img, g, p)
		})
		return s.embedded(b, g, p), err
	})
}

// embedded returns a picture with the profile, if the rendering asks for it.
func (s *Service) embedded(b []byte, g *rendering, p *profile.Profile) []byte {
	if b == nil || p == nil || g.color != tile.Embed {
		return b
	}
	return s.o.Embed(b, p.Bytes)
}

// redraw cuts and scales a picture, and encodes it.
func (s *Service) redraw(ctx context.Context, img *image.RGBA, g *rendering, p *profile.Profile) ([]byte, error) {
	part, width, height, err := g.fit(img.Rect.Dx(), img.Rect.Dy())
	if err != nil {
		return nil, err
	}
	r := image.Rect(int(part[0]), int(part[1]), int(math.Ceil(part[0]+part[2])), int(math.Ceil(part[1]+part[3]))).Intersect(img.Rect)
	if r != img.Rect {
		if err := render.Take(ctx, 4*int64(r.Dx())*int64(r.Dy())); err != nil {
			return nil, err
		}
		cut := image.NewRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
		draw.Draw(cut, cut.Rect, img, r.Min, draw.Src)
		img = cut
	}
	if width != img.Rect.Dx() || height != img.Rect.Dy() {
		if img, err = render.Scale(ctx, img, width, height); err != nil {
			return nil, err
		}
	}
	return s.encode(ctx, img, g, p)
}

// encode converts the colours of a picture if the rendering asks for it, and encodes it.
func (s *Service) encode(ctx context.Context, img *image.RGBA, g *rendering, p *profile.Profile) ([]byte, error) {
	if p != nil && g.color == tile.ToSRGB {
		if t := p.Table(); t != nil {
			t.Convert(img.Pix, img.Pix)
		}
	}
	if err := render.Take(ctx, 4*int64(img.Rect.Dx())*int64(img.Rect.Dy())); err != nil {
		return nil, err
	}
	if g.contentType == typePNG {
		return render.EncodePNG(img)
	}
	quality := g.quality
	if quality == 0 {
		quality = s.o.Renderer.Quality()
	}
	return render.EncodeJPEG(img, quality)
}

// level draws a level, from the smallest one that is large enough for the viewport.
func (s *Service) level(ctx context.Context, sub *subject, g *rendering, sl *slide.Slide, lease tile.Lease) ([]byte, error) {
	p, err := s.profileOf(ctx, sub, g)
	if err != nil {
		return nil, err
	}
	l := &sl.Levels[sub.in.Level]
	part, width, height, err := g.fit(l.Width, l.Height)
	if err != nil {
		return nil, err
	}
	f := &sub.image.File
	m := tile.RenderRequest{Slide: sl, Image: f.ID, Revision: f.Revision, Background: f.Store.Background, Lease: lease}
	v := render.View{
		X: part[0]*l.Downsample - float64(sl.Bounds.Min.X), Y: part[1]*l.Downsample - float64(sl.Bounds.Min.Y),
		W: part[2] * l.Downsample, H: part[3] * l.Downsample, Width: width, Height: height, Level: -1, FullChroma: g.contentType == typePNG,
	}
	b, err := s.o.Renderer.Draw(ctx, m, v, func(ctx context.Context, pic *planes.Picture) ([]byte, error) {
		if err := render.Take(ctx, 4*int64(pic.Width)*int64(pic.Height)); err != nil {
			return nil, err
		}
		img := pic.RGBA()
		defer planes.RecycleRGBA(img)
		return s.encode(ctx, img, g, p)
	})
	return s.embedded(b, g, p), err
}

// Thumbnail answers with a small picture of the tissue: never label or macro, which may show the
// patient.
func (s *Service) Thumbnail(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	if sub.in != nil && sub.in.Private {
		return &httperr.Error{Status: http.StatusNotFound, Detail: "There are no thumbnails of label and macro image."}
	}
	g, err := s.rendering(r)
	if err != nil {
		return err
	}
	if g.width == 0 {
		g.width, g.height = thumbnailViewport, thumbnailViewport
	}
	top := *sub
	i := slices.IndexFunc(sub.series.instances, func(in *instance) bool { return in.Level >= 0 })
	top.in = sub.series.instances[i]
	return s.answer(w, r, &top, &g, "-thumbnail", func(sl *slide.Slide, lease tile.Lease) ([]byte, error) {
		return s.level(r.Context(), &top, &g, sl, lease)
	})
}
