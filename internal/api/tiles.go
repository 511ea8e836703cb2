package api

import (
	"github.com/danielgtaylor/huma/v2"
)

// gridNote describes Deep Zoom tiles of another size than the slide's.
const gridNote = "With tile_size and overlap the tiles are of another grid than the slide's; their addresses need the same parameters. They are the stored samples, without decoding, where they begin with a block of the slide's JPEGs (8 or 16 pixels), and are rendered elsewhere."

// tileRoutes returns the routes of tiles and of health checks, which other packages
// serve.
func tileRoutes() []route {
	z, x, y := intParam("path", "z", "Zoom level: 0 is a single tile with the whole slide, max_zoom is level 0."), intParam("path", "x", "Column, from 0 at the left."), intParam("path", "y", "Row, from 0 at the top.")
	name := textParam("path", "name", "Quadtree name, such as tqr.")
	health := func(id, summary, bad string) huma.Operation {
		op := huma.Operation{OperationID: id, Summary: summary, Tags: []string{serverTag}, Responses: map[string]*huma.Response{"200": answers("OK.", "text/plain", &huma.Schema{Type: huma.TypeString})}}
		if bad != "" {
			op.Responses["503"] = answers(bad, "text/plain", &huma.Schema{Type: huma.TypeString})
		}
		return op
	}
	return []route{
		{path: "/api/v1/images/{image}/tiles/{z}/{x}/{y}", op: jpegOp(
			tilesTag, "get-tile", "Get a tile",
			"Returns the bytes stored in the file where possible. A suffix .jpg is allowed. Tiles at the right and bottom edge have full size; pixels outside the image have no meaning. X-Tile: empty marks a tile that was not scanned.",
			imageParam, z, x, y,
		)},
		{path: "/api/v1/images/{image}/tiles/{name}.jpg", op: jpegOp(
			tilesTag, "get-tile-by-name", "Get a tile by its quadtree name",
			"t is zoom 0; each further letter picks a quadrant: q, r above and t, s below, the rows counted from the top, or with origin bottom-left from the bottom.",
			imageParam, name, originParam,
		)},
		{path: "/dzi/{image}_files/{level}/{x}_{y}.jpg", op: jpegOp(
			tilesTag, "get-deep-zoom-tile", "Get a Deep Zoom tile", "Tiles at the right and bottom edge are cropped to the image. "+gridNote,
			imageParam, intParam("path", "level", "Deep Zoom level: 0 is one pixel."), x, y, tileSizeParam, overlapParam,
		)},
		{path: "/zoomify/{image}/TileGroup{group}/{tier}-{x}-{y}.jpg", op: jpegOp(
			iiifTag, "get-zoomify-tile", "Get a Zoomify tile", "Tiles at the right and bottom edge are cropped to the image.",
			imageParam, intParam("path", "group", "Any number; it is ignored."), intParam("path", "tier", "Tier: 0 is one tile."), x, y,
		)},
		{path: "/tile/{store}/{image}/{name}.jpg", op: jpegOp(olderTag, "get-atlas-tile", "Get a tile by its quadtree name", "", storeParam, keyParam, name, originParam)},
		{path: "/tile", op: jpegOp(olderTag, "get-atlas-tile-by-query", "Get a tile by its quadtree name", "", dbParam, imgParam, textParam("query", "name", "Quadtree name and .jpg."), originParam)},
		{path: "/apiv1/slides/{file}/{x}/{y}/{level}", op: jpegOp(olderTag, "get-prototype-tile", "Get a tile of a stored level", "", fileParam, x, y, intParam("path", "level", "Stored level, 0 the largest."))},
		{path: "/healthz", op: health("get-health", "Check whether the process runs", "")},
		{path: "/readyz", op: health("get-readiness", "Check whether the process can serve requests", "The catalog is still being loaded.")},
	}
}
