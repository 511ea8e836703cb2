package api

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/icc"
	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// colorAPI are the routes of colour profiles.
type colorAPI struct{ *API }

// colorParam is the parameter of all routes that send pixels.
var colorParam = textParam("query", "icc", "Colours: none (default) sends the pixels as they were scanned; embed adds the colour profile of the image; srgb converts the pixels to sRGB with it. An image without a profile, or with sRGB, is sent as without the parameter.")

// A coloring is what a request asks to be done with the colours of an image.
type coloring struct {
	name    string // for the ETag: "" for the pixels as scanned
	profile *profile.Profile
	embed   bool
}

// coloring reads the parameter icc. The error is 400 for an unknown value, and 422 with the reason
// if the profile of the image cannot be used.
func (a *API) coloring(r *http.Request, im *tile.Image) (coloring, error) {
	return coloringBy(r, im.Profile)
}

func coloringBy(r *http.Request, read func(context.Context) (*profile.Profile, error)) (coloring, error) {
	color := tile.ParseColor(r.URL.Query().Get("icc"))
	switch color {
	case tile.AsStored:
		return coloring{}, nil
	case tile.UnknownColor:
		return coloring{}, explained(tile.ErrColor)
	}
	p, err := read(r.Context())
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		return coloring{}, explained(err)
	}
	if !p.Converts() {
		return coloring{}, nil
	}
	if color == tile.Embed {
		return coloring{name: "-embed", profile: p, embed: true}, nil
	}
	return coloring{name: "-srgb", profile: p}, nil
}

// A colors reads the parameter icc of a request for a picture of an image.
type colors func(r *http.Request, im *tile.Image) (coloring, error)

// associatedColors returns colors for an associated image, which has its own profile or none.
func (a *API) associatedColors(kind string) colors {
	return func(r *http.Request, im *tile.Image) (coloring, error) {
		return coloringBy(r, func(ctx context.Context) (*profile.Profile, error) { return im.AssociatedProfile(ctx, kind) })
	}
}

// noColors are those of pictures that have no profile.
func noColors(r *http.Request, _ *tile.Image) (coloring, error) {
	return coloringBy(r, func(context.Context) (*profile.Profile, error) { return nil, nil })
}

// table returns the table to convert the pixels with, or nil if they are to stay.
func (c coloring) table() *icc.Table {
	if c.profile == nil || c.embed {
		return nil
	}
	return c.profile.Table()
}

// bytes returns the profile to embed, or nil.
func (c coloring) bytes() []byte {
	if !c.embed {
		return nil
	}
	return c.profile.Bytes
}

// embedded returns a JPEG or PNG with the profile if it is to be embedded, and otherwise
// unchanged.
func (c coloring) embedded(picture []byte) []byte {
	if !c.embed {
		return picture
	}
	return embedProfile(picture, c.profile.Bytes)
}

// embedProfile returns a JPEG or PNG with a colour profile.
func embedProfile(picture, profile []byte) []byte {
	if bytes.HasPrefix(picture, []byte(pngStart)) {
		return embedPNG(picture, profile)
	}
	return jpeg.Embed(picture, profile)
}

// apply converts the colours of a complete JPEG, or embeds the profile, as c requests. Name
// identifies the picture without that.
func (a *API) apply(ctx context.Context, c coloring, name string, f *tile.File, body []byte, lease tile.Lease) ([]byte, error) {
	if t := c.table(); t != nil {
		return a.Renderer.Convert(ctx, f.Revision+"-"+name+c.name, body, t, lease)
	}
	return c.embedded(body), nil
}

const pngStart = "\x89PNG\r\n\x1a\n"

// embedPNG returns a PNG with a colour profile in a chunk iCCP behind its header (PNG, third edition, 11.3.2.3).
func embedPNG(png, profile []byte) []byte {
	const header = len(pngStart) + 4 + 4 + 13 + 4 // IHDR
	if len(png) < header {
		return png
	}
	var packed bytes.Buffer
	packed.WriteString("iCCPicc\x00\x00") // name of the profile, and the method: zlib
	z := zlib.NewWriter(&packed)
	z.Write(profile) // to memory
	z.Close()
	chunk := binary.BigEndian.AppendUint32(nil, uint32(packed.Len()-4)) //nolint:gosec // at most profile.MaxBytes and a little more
	chunk = append(chunk, packed.Bytes()...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(packed.Bytes()))
	out := make([]byte, 0, len(png)+len(chunk))
	return append(append(append(out, png[:header]...), chunk...), png[header:]...)
}

var errNoProfile = &httperr.Error{Status: http.StatusNotFound, Detail: "The image has no colour profile: its colours are those of sRGB, as far as is known."}

// bytes answers with the profile as it is in the file.
func (a colorAPI) bytes(w http.ResponseWriter, r *http.Request) error {
	p, err := a.profile(r)
	switch {
	case err != nil:
		return err
	case p == nil:
		return errNoProfile
	case p.Size == 0: // there are no bytes to send
		return explained(p.Err())
	}
	w.Header().Set("Content-Disposition", `attachment; filename="profile.icc"`)
	return a.answer(w, r, "icc", "application/vnd.iccprofile", (*slide.Slide).ICC)
}

// lut answers with the table to sRGB in 8 bits.
func (a colorAPI) lut(w http.ResponseWriter, r *http.Request) error {
	p, err := a.profile(r)
	switch {
	case err != nil:
		return err
	case p == nil:
		return errNoProfile
	case p.Err() != nil:
		return explained(p.Err())
	case p.SRGB:
		return a.nothing(w, r)
	}
	name, zipped := "lut1", acceptsGzip(r)
	if zipped {
		name += "-gzip"
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Add("Vary", "Accept-Encoding")
	return a.answer(w, r, name, "application/octet-stream", func(*slide.Slide) ([]byte, error) {
		if zipped {
			return compressed(p.Table().Bytes()), nil
		}
		return p.Table().Bytes(), nil
	})
}

// nothing answers that there is nothing to convert. Caches may keep that as long as a table.
func (a colorAPI) nothing(w http.ResponseWriter, r *http.Request) error {
	im, private, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	answer := tile.Answer{Immutable: r.URL.Query().Get("v") != "", Public: im.File.Store.Public && !private}
	w.Header().Set("Cache-Control", answer.CacheControl())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// acceptsGzip reports whether the client accepts answers compressed with gzip.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, q, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == "gzip" && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}

func compressed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // to memory
	z.Close()
	return out.Bytes()
}

// profile returns the colour profile of the requested image, or nil if it has none.
func (a colorAPI) profile(r *http.Request) (*profile.Profile, error) {
	im, _, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return nil, explained(err)
	}
	if v := r.URL.Query().Get("v"); v != "" && v != im.File.Revision {
		return nil, explained(tile.ErrOldRevision)
	}
	p, err := im.Profile(r.Context())
	if err != nil {
		return nil, explained(err)
	}
	return p, nil
}

// answer sends what read returns, with an ETag of the image's revision and name.
func (a colorAPI) answer(w http.ResponseWriter, r *http.Request, name, contentType string, read func(*slide.Slide) ([]byte, error)) error {
	im, private, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	f := &im.File
	v := r.URL.Query().Get("v")
	answer := tile.Answer{ETag: `"` + f.Revision + "-" + name + `"`, Immutable: v != "", Public: f.Store.Public && !private}
	return answered(w, r, im, answer, contentType, func(s *slide.Slide, _ tile.Lease) ([]byte, error) {
		return read(s)
	})
}

// routes returns the routes of colour profiles.
func (a colorAPI) routes() []route {
	op := func(id, summary, description, contentType string) huma.Operation {
		op := jpegOp(tilesTag, id, summary, description, imageParam)
		op.Responses["200"] = answers("The bytes, with ETag and Cache-Control.", contentType, &huma.Schema{Type: huma.TypeString, Format: "binary"})
		op.Responses["404"] = problemAnswer("No such image, not the current revision, or the image has no colour profile.")
		op.Responses["422"] = problemAnswer("The colour profile cannot be used: see detail.")
		return op
	}
	profileOp := op("get-icc", "Get the colour profile", "The ICC profile as it is in the file, even if it is damaged or not for RGB.", "application/vnd.iccprofile")
	lutOp := op("get-icc-lut", "Get a table that converts to sRGB",
		"33 × 33 × 33 points of 3 bytes (R, G, B), of which red runs fastest, then green, then blue: 107,811 bytes, as texImage3D of WebGL 2 takes them. Sample it linearly at (colour × 32 + 0.5) / 33.", "application/octet-stream")
	lutOp.Responses["204"] = &huma.Response{Description: "The colours are sRGB: there is nothing to convert."}
	return []route{
		{path: "/api/v1/images/{image}/icc", handle: a.bytes, op: profileOp},
		{path: "/api/v1/images/{image}/icc/lut", handle: a.lut, op: lutOp},
	}
}
