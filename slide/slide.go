// Package slide describes whole-slide images and reads their tiles.
//
// A slide is a pyramid of levels, level 0 being the largest, each divided into tiles.
// Label, macro and thumbnail are its associated images. The reader of each file
// format fills in the same [Slide] type, and [Slide.AppendTile] reads the tiles of all
// formats.
package slide

import (
	"errors"
	"image"
	"io"
	"slices"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/tiff"
)

var (
	// ErrNoTile reports a level, column or row outside the slide.
	ErrNoTile = errors.New("slide: no such tile")
	// ErrEmptyTile reports a tile that the scanner skipped because it shows only glass.
	ErrEmptyTile = errors.New("slide: tile is empty: the scanner skipped it")
	// ErrMissingTile reports a tile of a smaller level that the scanner failed to write,
	// although the image is not empty there. It is to be derived from a larger level.
	ErrMissingTile = errors.New("slide: tile is missing from its level")
	// ErrNoAssociated reports a kind of associated image that the file does not contain.
	ErrNoAssociated = errors.New("slide: no such associated image")
)

// A Codec is the compression of the pixels of a level or associated image.
type Codec uint8

const (
	JPEG Codec = iota
	None
	LZW
	Deflate
	WebP
	Zstd
	JPEG2000 // a codestream or a JP2 file; see [Layout.Photometric]
	PackBits
)

// A Layout describes how the bytes of a tile or strip are compressed and arranged.
type Layout struct {
	Codec        Codec
	Photometric  int  // tag 262; with JPEG 2000 of Aperio, 2 or 6 as its compression says
	Samples      int  // per pixel
	Bits         int  // per sample
	Planar       int  // 1 chunky; 2 separate, see [Layout.Planes]
	Predictor    int  // 1 none, 2 horizontal, 3 floating point
	BigEndian    bool // order of 16-bit samples
	ExtraSamples []int
	ColorMap     []uint16 // 3×2^bits, for photometric 3
	Chroma       *Chroma  // for photometric 6 without JPEG and JPEG 2000
	// Reversed reports that the file stores the bits of each byte in reverse order. The
	// bytes that this package returns are in the usual order.
	Reversed bool
}

// A Chroma describes YCbCr that is not compressed as JPEG. Pixels are stored in units of X × Y:
// the brightness of each pixel, row by row, then the Cb and the Cr of all of them. Units at
// the right and bottom edges are complete.
type Chroma struct {
	X, Y int // 1, 2 or 4
	// Black and White are the codes of no and of full brightness or colour, for Y, Cb and
	// Cr. No colour is grey.
	Black, White [3]float64
}

// Planes returns the number of planes in which the colours are stored apart, or 1. The bytes
// of a tile or strip in planes are those of each plane, in order, each with their number in
// front, in 4 bytes, the highest first.
func (l *Layout) Planes() int {
	if l.Planar == 2 {
		return max(l.Samples, 1)
	}
	return 1
}

// RowBytes returns the decompressed size of a row of w pixels, or of units with chroma, of one plane, and
// the number of rows of pixels in it.
func (l *Layout) RowBytes(w int) (n int64, rows int) {
	if c := l.Chroma; c != nil {
		return int64(ceilDiv(w, c.X)) * int64(c.X*c.Y+2), c.Y
	}
	return (int64(w)*int64(l.Samples/l.Planes())*int64(l.Bits) + 7) / 8, 1
}

// pieceBytes returns the decompressed size of a tile or strip, of one plane.
func (l *Layout) pieceBytes(w, h int) int64 {
	n, rows := l.RowBytes(w)
	return n * int64(ceilDiv(h, rows))
}

// A Level is one resolution as stored. Level 0 is the largest.
type Level struct {
	Width, Height         int     // pixels, without padding to whole tiles where that is known
	TileWidth, TileHeight int     // pixels
	Columns, Rows         int     // of tiles: Width and Height divided by the tile size, rounded up
	Downsample            float64 // ratio of the size of level 0 to this one: 1, 2, 4, …
	Layout                Layout
}

// A Slide is an open whole-slide image. It is safe for concurrent use.
type Slide struct {
	Format         string            // "philips", "aperio", "generic"
	Vendor         string            // manufacturer of the scanner, such as "PHILIPS"; "" if unknown
	Levels         []Level           // largest first, never empty
	Zooms          []Zoom            // zoom levels by number: 0 is one tile, the last one is level 0
	MPPX, MPPY     float64           // µm per pixel of level 0; 0 if unknown
	ObjectivePower float64           // magnification of the objective, such as 40; 0 if unknown
	Barcode        string            // decoded text of the barcode on the label; "" if unknown
	Properties     map[string]string // keys like "philips.DICOM_MANUFACTURERS_MODEL_NAME", "tiff.Software"; no image data
	Warnings       []string          // damaged fields that no pixel depends on, which were ignored
	Bounds         image.Rectangle   // the part of level 0 with the image: all of it, except in a [Pyramid] and in a file written from one

	r          io.ReaderAt
	size       int64 // of r, in bytes
	file       *tiff.File
	sources    []*source         // of the tiles, one for each level
	associated []associatedImage // associated images, in order of preference within a kind
	profile    *embedded         // the colour profile; nil without one
	gaps       bool              // empty tiles of smaller levels are missing, not glass
	background []uint64          // offsets of tiles that are background, see [PackedDescription]; nil in other files
	mem        atomic.Int64
	layers     []layer // of a [Composite], one for each level; nil in other slides
	contents   []byte  // of a [Composite]
	source     any     // of a [Composite]
	// fetch returns the stored bytes of tiles; nil if they are read from r. See [Slide.ReadExtents].
	fetch func(level, col, row int, e Extent) ([]byte, error)
	// tiles returns the tiles of a [Pyramid]; nil if they are in a file.
	tiles func(dst []byte, zoom, col, row int) ([]byte, error)
	// checked returns tiles of a [Pyramid] or [Composite] that were checked already, by level; see
	// [Slide.WithTiles].
	checked func(dst []byte, level, col, row int) ([]byte, error)
}

// Open reads the structure of the slide in r, which is size bytes long. It reads no tile
// tables: the table of a level is read with its first tile.
//
// The error is a [*tiff.FormatError] for a damaged or incomplete file, a
// [*tiff.UnsupportedError] for a file that is not a supported slide, and otherwise
// wraps the error of r.
func Open(r io.ReaderAt, size int64) (*Slide, error) {
	f, err := tiff.Open(r, size)
	if err != nil {
		return nil, nameOther(r, size, err)
	}
	if len(f.Directories()) == 0 {
		return nil, &tiff.FormatError{Msg: "the file contains no image: it has no TIFF directory"}
	}
	for _, format := range formats {
		s := &Slide{Format: format.name, Properties: map[string]string{}, r: r, size: size, file: f}
		ok, err := format.read(f, s)
		if err != nil {
			return nil, err
		}
		if ok {
			s.Zooms = ladder(s.Levels)
			if s.Bounds.Empty() {
				s.Bounds = image.Rect(0, 0, s.Levels[0].Width, s.Levels[0].Height)
			}
			s.mem.Store(s.footprint())
			return s, nil
		}
	}
	return nil, notPyramidal(f.Directories()[0])
}

// Bytes returns the approximate memory that s holds at present, in bytes, for caches
// with a size limit.
func (s *Slide) Bytes() int64 {
	n := s.mem.Load()
	for i := range s.layers {
		n += s.layers[i].Tiles.Memory()
	}
	return n
}

// Associated returns the kinds of associated images in the file, sorted: "label",
// "macro", "thumbnail". It does not check whether they can be read.
func (s *Slide) Associated() []string {
	var kinds []string
	for i := range s.associated {
		if k := s.associated[i].kind; !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// footprint estimates the memory of s before any tile table is read.
func (s *Slide) footprint() int64 {
	const (
		fixed     = 2 << 10 // the structs themselves
		directory = 1 << 10 // fields and their index
		level     = 512
	)
	n := int64(fixed + level*len(s.Levels))
	if s.file != nil {
		n += int64(directory * len(s.file.Directories()))
	}
	for i := range s.layers {
		n += int64(len(s.layers[i].Profile))
	}
	for _, w := range s.Warnings {
		n += int64(len(w)) + 64
	}
	for k, v := range s.Properties {
		n += int64(len(k)+len(v)) + 64
	}
	return n
}
