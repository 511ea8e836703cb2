// Package slide describes whole-slide images and reads their tiles.
//
// A slide is a pyramid of levels, level 0 the largest, each cut into tiles;
// label, macro and thumbnail are its associated images. Formats are data: each
// fills a Slide with tables of extents, and one function reads the tiles of all.
package slide

import (
	"errors"
	"io"
)

var (
	ErrNoTile       = errors.New("slide: no such tile")
	ErrEmptyTile    = errors.New("slide: tile was not scanned")
	ErrNoAssociated = errors.New("slide: no such associated image")
)

// A Codec names how the pixels of a level or picture are compressed.
type Codec uint8

const (
	JPEG Codec = iota
	None
	LZW
	Deflate
	WebP
	Zstd
	JPEG2000 // described, never decoded
)

// A Layout says how to turn the decompressed bytes of a tile or strip into pixels.
type Layout struct {
	Codec        Codec
	Photometric  int  // tag 262
	Samples      int  // per pixel
	Bits         int  // per sample
	Planar       int  // 1 chunky, 2 separate
	Predictor    int  // 1 none, 2 horizontal, 3 floating point
	BigEndian    bool // order of 16-bit samples
	ExtraSamples []int
	ColorMap     []uint16 // 3×2^bits, for photometric 3
}

// A Level is one resolution as stored. Level 0 is the largest.
type Level struct {
	Width, Height         int     // pixels, corrected: what of the level is picture
	TileWidth, TileHeight int     // pixels
	Columns, Rows         int     // of the served grid: the corrected size divided by the tile size, rounded up
	Downsample            float64 // of level 0: 1, 2, 4 …
	Layout                Layout
	// unexported: stride (columns of the raw tag), raw rows, head (bytes put in place of a tile's SOI), array location, loaded lazily through an atomic pointer
}

// A Zoom is one step of the ladder of powers of two that viewers ask for: zoom
// MaxZoom is level 0, zoom 0 the one tile that shows the whole slide.
type Zoom struct {
	Width, Height int
	Columns, Rows int // tiles of level 0's tile size
	Level         int // the stored level that is this zoom tile for tile, or -1: made from the next larger zoom
}

// A Slide is an open whole-slide image. It is safe for concurrent use.
type Slide struct {
	Format         string // "philips", "generic"
	Vendor         string // scanner maker where known: "PHILIPS", "Hamamatsu", …; else ""
	Levels         []Level
	Zooms          []Zoom            // index is z; len(Zooms)-1 is the maximal zoom
	MPPX, MPPY     float64           // µm per pixel of level 0; 0 if unknown
	ObjectivePower float64           // 0 if unknown
	Barcode        string            // "" if none
	Properties     map[string]string // keys like "philips.DICOM_MANUFACTURERS_MODEL_NAME", "tiff.Software", "icc"… ; no image data
	// unexported: reader, size, associated images
}

// Open reads the structure of the slide in r, which is size bytes long. A broken
// file is a [*tiff.FormatError], one that is whole but not a slide read here a [*tiff.UnsupportedError].
// It reads no tile tables: they are read when the first tile of their level is asked for.
func Open(r io.ReaderAt, size int64) (*Slide, error) { panic("skeleton") }

// AppendTile appends one tile to dst as it is stored, and returns the longer slice: for JPEG a complete stream that every browser shows
// with the right colours, nothing decoded; for other codecs the raw compressed bytes. One positioned read, no allocation beyond the growth of dst, no lock.
// Errors: [ErrNoTile], [ErrEmptyTile], or one that wraps [*tiff.FormatError].
func (s *Slide) AppendTile(dst []byte, level, col, row int) ([]byte, error) { panic("skeleton") }

// Bytes is about how much memory s holds now, for caches bounded in bytes.
func (s *Slide) Bytes() int64 { panic("skeleton") }

// Check reads every tile table and the first and physically last tile of each level, and each associated image, and
// reports the first thing that lies outside of the file, is missing its end, or is zeros.
func (s *Slide) Check() error { panic("skeleton") }

// Associated lists the pictures the file holds: "label", "macro", "thumbnail".
func (s *Slide) Associated() []string { panic("skeleton") }

// ReadAssociated returns the stored picture of that kind, or [ErrNoAssociated].
func (s *Slide) ReadAssociated(kind string) (*Picture, error) { panic("skeleton") }

// ICC returns the colour profile, nil if there is none.
func (s *Slide) ICC() ([]byte, error) { panic("skeleton") }

// A Picture is an associated image as stored: strips from top to bottom. A single JPEG strip is a complete file that can be sent as it is.
type Picture struct {
	Width, Height int // pixels; 0 if only the JPEG itself knows
	RowsPerStrip  int
	Layout        Layout
	Strips        [][]byte
}
