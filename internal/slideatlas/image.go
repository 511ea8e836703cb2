package slideatlas

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

// An Image is a document of the collection "images". Its tiles are in the collection that
// its id names.
type Image struct {
	ID         ID
	Filename   string
	Label      string
	Copyright  string
	UploadedAt time.Time // zero if unknown
	Grid       Grid      // not valid if Unsupported is set
	// Spacing is the size of a pixel of the largest level in nanometres; zero if unknown.
	SpacingX, SpacingY float64
	// CoordinateSystem says where coordinates of views, annotations and cutouts count y from:
	// "Photo" from the bottom of the image, "Pixel" from the top of the square. Tiles are not
	// affected.
	CoordinateSystem string
	Hidden           bool
	SHA512           string // digest of the file, of images in stores of TIFF files
	// Unsupported is the reason why the image has no readable tiles, "" if it may have.
	Unsupported string
	// Warnings are the fields that were ignored, each with the reason.
	Warnings []string
}

// DecodeImage decodes a document of the collection "images". The only error is that of a
// document without an id; other unexpected values are reported in the image.
func DecodeImage(doc bson.Raw) (*Image, error) {
	r, err := identified(doc)
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	im := &Image{
		ID: r.id("_id"), Filename: r.text("filename"), Label: r.text("label"), Copyright: r.text("copyright"),
		UploadedAt: r.date("uploaded_at"), CoordinateSystem: r.text("CoordinateSystem"), Hidden: r.truth("hide"), SHA512: r.text("sha512"),
	}
	im.SpacingX, im.SpacingY = r.spacing()
	im.Grid, im.Unsupported = r.grid()
	switch {
	case r.text("type") == "stack":
		im.Unsupported = "The image is a stack of pictures without levels."
	case r.has("girder"):
		im.Unsupported = "The pixels are in a Girder server."
	}
	im.Warnings = r.warnings
	return im, nil
}

// identified returns the record of a document, which must have an id.
func identified(doc bson.Raw) (*record, error) {
	r, err := open(doc)
	if err != nil {
		return nil, err
	}
	v, ok := r.get("_id")
	if !ok {
		return nil, errors.New("the document has no _id")
	}
	if _, ok := idOf(v); !ok {
		return nil, errors.New("the _id of the document is not an ObjectId")
	}
	return r, nil
}

// spacing returns the size of a pixel in nanometres. SlideAtlas writes 1 if it is unknown.
func (r *record) spacing() (x, y float64) {
	list := r.numbers("spacing", 3)
	if len(list) == 0 {
		return 0, 0
	}
	x, y = list[0], list[0]
	if len(list) > 1 {
		y = list[1]
	}
	if x <= 0 || y <= 0 || x > 1e9 || y > 1e9 {
		r.warn("spacing", "%v and %v are not sizes of pixels", x, y)
		return 0, 0
	}
	if x == 1 && y == 1 {
		return 0, 0
	}
	return x, y
}

// grid returns the grid of an image, or the reason why it has none.
func (r *record) grid() (g Grid, unsupported string) {
	g.TileSize = 256
	if r.has("TileSize") {
		n, ok := r.integer("TileSize", 1, MaxTileSize)
		if !ok {
			return g, "The tile size is not valid."
		}
		g.TileSize = n
	}
	width, height, known := r.dimensions()
	bounds, unsupported := r.bounds()
	if unsupported != "" {
		return g, unsupported
	}
	if !known && bounds.Empty() {
		return g, "The image has no dimensions."
	}
	var ok bool
	if g.Levels, ok = r.integer("levels", 1, MaxLevels); !ok {
		if r.has("levels") {
			return g, "The number of levels is not valid."
		}
		g.Levels = levels(g.TileSize, max(width, height, bounds.Max.X, bounds.Max.Y))
		r.warn("levels", "is absent: %d follow from the dimensions", g.Levels)
	}
	if int64(g.TileSize)<<(g.Levels-1) > maxSide {
		return g, fmt.Sprintf("%d levels of tiles of %d pixels are too many.", g.Levels, g.TileSize)
	}
	g.Bounds = r.place(bounds, width, height, known)
	if !g.Bounds.In(image.Rect(0, 0, g.Side(), g.Side())) {
		return g, fmt.Sprintf("The dimensions do not fit the levels: the image covers the pixels %v of a square with sides of %d pixels.", g.Bounds, g.Side())
	}
	return g, ""
}

// levels returns how many levels an image needs if its larger side has n pixels.
func levels(tileSize, n int) int {
	count := 1
	for int64(tileSize)<<(count-1) < int64(n) && count < MaxLevels {
		count++
	}
	return count
}

// dimensions returns the size of the largest level, and whether it is known.
func (r *record) dimensions() (width, height int, known bool) {
	for _, field := range []string{"dimensions", "dimension"} {
		list := r.numbers(field, 3)
		if len(list) < 2 || list[0] == 0 && list[1] == 0 {
			continue
		}
		w, h := list[0], list[1]
		if w != math.Trunc(w) || h != math.Trunc(h) || w < 1 || h < 1 || w > maxSide || h > maxSide {
			r.warn(field, "%v and %v are not a size in pixels", w, h)
			continue
		}
		return int(w), int(h), true
	}
	return 0, 0, false
}

// bounds returns the part of the square that the image covers according to its document;
// empty if the document does not say. Bounds that cannot be pixels of the square are not
// ignored: the image would be shown displaced.
func (r *record) bounds() (bounds image.Rectangle, unsupported string) {
	const invalid = "The bounds are not a part of the image's square."
	if !r.has("bounds") {
		return bounds, ""
	}
	list := r.numbers("bounds", 6)
	if len(list) < 4 {
		return bounds, invalid
	}
	zero := true
	for _, n := range list[:4] {
		if n != math.Trunc(n) || n < 0 || n > maxSide {
			return bounds, invalid
		}
		zero = zero && n == 0
	}
	if zero { // the default of SlideAtlas
		return bounds, ""
	}
	if list[1] <= list[0] || list[3] <= list[2] {
		return bounds, invalid
	}
	return image.Rect(int(list[0]), int(list[2]), int(list[1]), int(list[3])), ""
}

// place returns where the image lies in its square. Without bounds that is the top left.
func (r *record) place(bounds image.Rectangle, width, height int, known bool) image.Rectangle {
	if bounds.Empty() {
		return image.Rect(0, 0, width, height)
	}
	if !known || bounds.Size() == image.Pt(width, height) {
		return bounds
	}
	if bounds.Size() == image.Pt(width-1, height-1) { // the last pixel instead of the one behind it
		bounds.Max = bounds.Max.Add(image.Pt(1, 1))
		return bounds
	}
	r.warn("dimensions", "%d×%d differ from the bounds, %d×%d, which are used", width, height, bounds.Dx(), bounds.Dy())
	return bounds
}

// TileRange returns the name of the document of a tile, and where the bytes of the tile are:
// doc[from:to]. They may be empty or not be a JPEG: see [CheckJPEG].
func TileRange(doc bson.Raw) (name string, from, to int, err error) {
	found := false
	err = each(doc, func(field string, v bson.RawValue) error {
		switch field {
		case "name":
			var ok bool
			if name, ok = textOf(v); !ok {
				return errors.New("the name is not a text")
			}
		case "file":
			b, ok := binaryOf(v)
			if !ok {
				return errors.New("the file is not binary")
			}
			from = cap(doc) - cap(b) // both end with the same array
			to, found = from+len(b), true
		}
		return nil
	})
	if err == nil && !found {
		err = errors.New("the document has no file")
	}
	if err != nil {
		return "", 0, 0, fmt.Errorf("tile: %w", err)
	}
	return name, from, to, nil
}

// binaryOf returns the bytes of a binary value, a part of it.
func binaryOf(v bson.RawValue) ([]byte, bool) {
	if v.Type != bson.TypeBinary {
		return nil, false
	}
	subtype, b := v.Value[4], v.Value[5:]
	if subtype == bson.TypeBinaryBinaryOld && len(b) >= 4 { // the length is there twice
		b = b[4:]
	}
	return b, true
}

var (
	// ErrNoTile: the image has no document of the tile.
	ErrNoTile = errors.New("the image has no such tile")
	// ErrNotJPEG: the document of the tile is empty or not a complete JPEG.
	ErrNotJPEG = errors.New("the stored tile is not a complete JPEG")
)

// Slide returns the image as a slide whose tiles are read by the function read. Its error
// may be [ErrNoTile]: such a tile is background, or derived from larger ones if it is the
// one that shows the whole image, which SlideAtlas does not always store.
//
// The error is a [*tiff.UnsupportedError] with the reason if the image has no readable
// tiles.
func (im *Image) Slide(read func(dst []byte, t Tile) ([]byte, error)) (*slide.Slide, error) {
	if im.Unsupported != "" {
		return nil, &tiff.UnsupportedError{Msg: im.Unsupported}
	}
	g := im.Grid
	return slide.New(slide.Pyramid{
		Format: "slideatlas", TileSize: g.TileSize, Zooms: g.Levels, Bounds: g.Bounds,
		MPPX: im.SpacingX / 1000, MPPY: im.SpacingY / 1000, Warnings: im.Warnings,
		AppendTile: func(dst []byte, zoom, col, row int) ([]byte, error) {
			b, err := read(dst, Tile{zoom, col, row})
			if !errors.Is(err, ErrNoTile) {
				return b, err
			}
			if zoom == 0 && g.Levels > 1 {
				return dst, slide.ErrMissingTile
			}
			return dst, slide.ErrEmptyTile
		},
	})
}

// CheckJPEG returns [ErrNotJPEG] unless the bytes begin and end like a JPEG.
func CheckJPEG(b []byte) error {
	if len(b) < 4 || !bytes.HasPrefix(b, []byte{0xFF, 0xD8, 0xFF}) || !bytes.HasSuffix(b, []byte{0xFF, 0xD9}) {
		return ErrNotJPEG
	}
	return nil
}
