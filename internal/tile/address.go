package tile

import (
	"log/slog"
	"net/url"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// A Kind says how an address counts.
type Kind uint8

const (
	ByZoom   Kind = iota // zoom of the ladder, column, row
	ByName               // quadtree name
	ByLevel              // stored level, 0 the largest, column, row
	DeepZoom             // Deep Zoom level, column, row
	Zoomify              // tier, column, row
	Halved               // how often the picture is halved, column, row; cut to the picture
)

// An Address says which tile of an image is wanted.
type Address struct {
	Kind     Kind
	Z, X, Y  int
	Name     string       // with ByName
	Origin   slide.Origin // of Name; the store's if ""
	Revision string       // the one asked for; any if ""
}

// A Request is a tile's URL, taken apart.
type Request struct {
	Image  string // id, or the file's name with ByFile
	Store  string // that the image must be in, if not ""
	ByFile bool   // Image may be the name of the file
	Address
}

// Parse takes apart the path (unescaped) and query (as sent) of the URL of a
// tile. It reports false for a path that is none: one with a number that is not
// plain decimal is the path of no tile.
//
//	/api/v1/images/{image}/tiles/{z}/{x}/{y}      .jpg optional
//	/api/v1/images/{image}/tiles/{name}.jpg
//	/dzi/{image}_files/{level}/{x}_{y}.jpg        .jpeg too
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
		switch o := slide.Origin(param(query, "origin")); o {
		case "", slide.TopLeft, slide.BottomLeft:
			r.Origin = o
		default:
			return false
		}
	}
	return true
}

// LogAttr describes the request for the log: the image only if it is named by an
// id, as a file's name is patient data.
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

// zoomify takes any group: it follows from the rest, and not all viewers count right.
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

// name takes a quadtree name; whether it is one is known with the slide.
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

// number reads plain decimal: no sign, no leading zero, so that a tile has one
// address only, and at most nine digits.
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

// param returns a parameter of a query, "" if it is absent or malformed. Unlike
// net/url it allocates only for what is escaped.
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

// Matches reports whether an If-None-Match header names etag. The comparison is
// the weak one, as RFC 9110 section 13.1.2 wants.
func Matches(header, etag string) bool {
	for header != "" {
		var one string
		one, header, _ = strings.Cut(header, ",")
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == etag || one == "*" {
			return true
		}
	}
	return false
}
