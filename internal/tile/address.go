package tile

import (
	"log/slog"
	"net/url"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// A Kind is the numbering scheme of an address.
type Kind uint8

const (
	ByZoom   Kind = iota // zoom level, column, row
	ByName               // quadtree name
	ByLevel              // stored level, 0 the largest, column, row
	DeepZoom             // Deep Zoom level, column, row
	Zoomify              // tier, column, row
	Halved               // how often the image is halved, column, row; cropped to the image
)

// An Address identifies a tile of an image.
type Address struct {
	Kind     Kind
	Z, X, Y  int
	Name     string       // with ByName
	Origin   slide.Origin // of Name; that of the store if ""
	Revision string       // requested revision; any if ""
	// TileSize is the side of tiles with DeepZoom, without Overlap, the pixels by which they
	// reach into their neighbours; 0 for the tiles of the slide.
	TileSize, Overlap int
	Color             Color // what to do with the colours
}

// The sizes that a client may choose for Deep Zoom tiles, in pixels.
const (
	MinTileSize = 64
	MaxTileSize = 2048
	MaxOverlap  = 64
)

// ParseGrid parses the parameters tile_size and overlap of Deep Zoom addresses. It reports
// false if they are not valid; they are 0 if they are absent.
func ParseGrid(query string) (tileSize, overlap int, ok bool) {
	if v := param(query, "tile_size"); v != "" {
		if tileSize, ok = number(v); !ok || tileSize < MinTileSize || tileSize > MaxTileSize {
			return 0, 0, false
		}
	}
	if v := param(query, "overlap"); v != "" {
		if overlap, ok = number(v); !ok || overlap > MaxOverlap {
			return 0, 0, false
		}
	}
	return tileSize, overlap, true
}

// A Color is what is done with the colours of a tile.
type Color uint8

const (
	AsStored     Color = iota
	Embed              // the colour profile of the image is added to the JPEG
	ToSRGB             // the pixels are converted to sRGB
	UnknownColor       // requests get [ErrColor]
)

// ParseColor returns the color of a parameter icc.
func ParseColor(s string) Color {
	switch s {
	case "", "none":
		return AsStored
	case "embed":
		return Embed
	case "srgb":
		return ToSRGB
	}
	return UnknownColor
}

// A Request is the parsed URL of a tile.
type Request struct {
	Image  string // id; with ByFile also an ObjectId of another application, or the name of the file
	Store  string // id or external id of the store that the image must be in or have been in; any if ""
	ByFile bool   // Image may be another key than the id
	Address
}

// Parse parses the path (unescaped) and query (as sent) of a URL into r. It reports false
// if that is not the URL of a tile; numbers must be plain decimal. It does not allocate
// unless a parameter is escaped.
//
//	/api/v1/images/{image}/tiles/{z}/{x}/{y}      .jpg optional
//	/api/v1/images/{image}/tiles/{name}.jpg
//	/dzi/{image}_files/{level}/{x}_{y}.jpg        .jpeg too, ?tile_size= and ?overlap=
//	/zoomify/{image}/TileGroup{group}/{tier}-{x}-{y}.jpg
//	/tile/{store}/{image}/{name}.jpg
//	/tile?db={store}&img={image}&name={name}.jpg
//	/apiv1/slides/{file}/{x}/{y}/{z}
func Parse(path, query string, r *Request) bool {
	*r = Request{}
	rest, ok := strings.CutPrefix(path, "/api/v1/images/")
	switch {
	case ok:
		ok = r.api(rest)
	case strings.HasPrefix(path, "/dzi/"):
		ok = r.deepZoom(path[len("/dzi/"):])
	case strings.HasPrefix(path, "/zoomify/"):
		ok = r.zoomify(path[len("/zoomify/"):])
	case strings.HasPrefix(path, "/tile/"):
		ok = r.slideAtlas(path[len("/tile/"):])
	case path == "/tile":
		ok = r.slideAtlasQuery(query)
	case strings.HasPrefix(path, "/apiv1/slides/"):
		ok = r.prototype(path[len("/apiv1/slides/"):])
	default:
		return false
	}
	if !ok || r.Image == "" {
		return false
	}
	if query != "" {
		r.Revision = param(query, "v")
		if r.Kind == DeepZoom {
			if r.TileSize, r.Overlap, ok = ParseGrid(query); !ok {
				return false
			}
		}
		r.Color = ParseColor(param(query, "icc"))
		switch o := slide.Origin(param(query, "origin")); o {
		case "", slide.TopLeft, slide.BottomLeft:
			r.Origin = o
		default:
			return false
		}
	}
	return true
}

// LogAttr returns the request for the log. It contains the image only if the client gave
// an id, as file names are patient data.
func (r *Request) LogAttr() slog.Attr {
	image := r.Image
	if r.ByFile {
		image = "by file name"
	}
	return slog.Group("tile", "image", image, "kind", r.Kind, "z", r.Z, "x", r.X, "y", r.Y, "name", r.Name)
}

func (r *Request) api(rest string) bool {
	id, rest, ok := strings.Cut(rest, "/tiles/")
	if !ok || strings.Contains(id, "/") {
		return false
	}
	r.Image = id
	if z, rest, ok := strings.Cut(rest, "/"); ok {
		x, y, ok := strings.Cut(rest, "/")
		return ok && r.numbers(z, x, trimJPEG(y))
	}
	return r.name(rest)
}

func (r *Request) deepZoom(rest string) bool {
	id, rest, ok := strings.Cut(rest, "_files/")
	if !ok || strings.Contains(id, "/") {
		return false
	}
	r.Image, r.Kind = id, DeepZoom
	z, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	x, y, ok := strings.Cut(trimJPEG(rest), "_")
	return ok && r.numbers(z, x, y)
}

// zoomify accepts any group: it follows from the rest, and some viewers compute it wrongly.
func (r *Request) zoomify(rest string) bool {
	id, rest, ok := strings.Cut(rest, "/TileGroup")
	if !ok || strings.Contains(id, "/") {
		return false
	}
	r.Image, r.Kind = id, Zoomify
	group, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	if _, ok = number(group); !ok {
		return false
	}
	z, rest, ok := strings.Cut(rest, "-")
	if !ok {
		return false
	}
	t := trimJPEG(rest)
	x, y, ok := strings.Cut(t, "-")
	return ok && len(t) < len(rest) && r.numbers(z, x, y)
}

func (r *Request) slideAtlas(rest string) bool {
	store, rest, ok := strings.Cut(rest, "/")
	if !ok || store == "" {
		return false
	}
	id, name, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	r.Store, r.Image, r.ByFile = store, id, true
	return r.name(name)
}

func (r *Request) slideAtlasQuery(query string) bool {
	r.Store, r.Image, r.ByFile = param(query, "db"), param(query, "img"), true
	return r.Store != "" && r.name(param(query, "name"))
}

func (r *Request) prototype(rest string) bool {
	file, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	x, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return false
	}
	y, z, ok := strings.Cut(rest, "/")
	r.Image, r.ByFile, r.Kind = file, true, ByLevel
	return ok && r.numbers(z, x, y)
}

// name parses a quadtree name. Whether the tile exists is checked with the slide.
func (r *Request) name(s string) bool {
	n := trimJPEG(s)
	if len(n) == len(s) || n == "" || n[0] != 't' || len(n) > 32 {
		return false
	}
	r.Kind, r.Name = ByName, n
	return true
}

func (r *Request) numbers(z, x, y string) (ok bool) {
	if r.Z, ok = number(z); !ok {
		return false
	}
	if r.X, ok = number(x); !ok {
		return false
	}
	r.Y, ok = number(y)
	return ok
}

// number parses at most nine decimal digits without sign or leading zero, so that every
// tile has a single address.
func number(s string) (int, bool) {
	if s == "" || len(s) > 9 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
}

func trimJPEG(s string) string {
	if t, ok := strings.CutSuffix(s, ".jpg"); ok {
		return t
	}
	return strings.TrimSuffix(s, ".jpeg")
}

// param returns a parameter of a query, "" if it is absent or malformed. Unlike net/url
// it allocates only for escaped values.
func param(query, key string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		k, v, _ := strings.Cut(pair, "=")
		if k != key {
			continue
		}
		if strings.ContainsAny(v, "%+") {
			v, _ = url.QueryUnescape(v)
		}
		return v
	}
	return ""
}
