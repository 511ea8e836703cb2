// Package slide describes whole-slide images and reads their tiles.
//
// A slide is a pyramid of levels, level 0 the largest, each cut into tiles;
// label, macro and thumbnail are its associated images. Formats are data: each
// fills a Slide with tables of extents, and one function reads the tiles of all.
package slide

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/tiff"
)

var (
	// ErrNoTile reports a level, column or row that the slide does not have.
	ErrNoTile = errors.New("slide: no such tile")
	// ErrEmptyTile reports a tile that the scanner skipped as bare glass.
	ErrEmptyTile = errors.New("slide: tile was not scanned")
	// ErrNoAssociated reports a kind of picture that the file does not hold.
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
	PackBits
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
}

// A Slide is an open whole-slide image. It is safe for concurrent use.
type Slide struct {
	Format         string            // "philips", "aperio", "generic"
	Vendor         string            // scanner maker where known: "PHILIPS", "Hamamatsu", …; else ""
	Levels         []Level           // largest first, never empty
	Zooms          []Zoom            // index is z; len(Zooms)-1 is the maximal zoom
	MPPX, MPPY     float64           // µm per pixel of level 0; 0 if unknown
	ObjectivePower float64           // 0 if unknown
	Barcode        string            // "" if none
	Properties     map[string]string // keys like "philips.DICOM_MANUFACTURERS_MODEL_NAME", "tiff.Software"; no image data

	r        io.ReaderAt
	size     int64 // of r, in bytes
	file     *tiff.File
	sources  []*source // of the tiles, a level each
	pictures []picture // in order of preference within a kind
	profile  *embedded // the colour profile; nil if there is none
	mem      atomic.Int64
}

// Open reads the structure of the slide in r, which is size bytes long. A broken
// file is a [*tiff.FormatError], one that is whole but not a slide read here a
// [*tiff.UnsupportedError]. It reads no tile tables: they are read when the
// first tile of their level is asked for.
func Open(r io.ReaderAt, size int64) (*Slide, error) {
	f, err := tiff.Open(r, size)
	if err != nil {
		return nil, err
	}
	if len(f.Directories()) == 0 {
		return nil, &tiff.FormatError{Msg: "the file holds no directory, and so no image"}
	}
	for _, format := range formats {
		s := &Slide{Format: format.name, Properties: map[string]string{}, r: r, size: size, file: f}
		ok, err := format.read(f, s)
		if err != nil {
			return nil, err
		}
		if ok {
			s.Zooms = ladder(s.Levels)
			s.mem.Store(s.footprint())
			return s, nil
		}
	}
	return nil, notPyramidal(f.Directories()[0])
}

// Bytes is about how much memory s holds now, for caches bounded in bytes.
func (s *Slide) Bytes() int64 { return s.mem.Load() }

// Associated lists the pictures the file holds: "label", "macro", "thumbnail".
// That one is listed says nothing of whether it is whole.
func (s *Slide) Associated() []string {
	var kinds []string
	for i := range s.pictures {
		if k := s.pictures[i].kind; !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// ICC returns the colour profile, nil if there is none.
func (s *Slide) ICC() ([]byte, error) {
	if s.profile == nil {
		return nil, nil
	}
	b, err := s.profile.read(s.file)
	if err != nil {
		return nil, err
	}
	// The header is 128 bytes, its signature at 36 (ICC.1 section 7.2).
	if len(b) < 128 || string(b[36:40]) != "acsp" {
		return nil, &tiff.FormatError{
			Offset: s.profile.off, Tag: s.profile.tag,
			Msg: "the colour profile is no ICC profile",
		}
	}
	return b, nil
}

// footprint estimates the memory of s before any tile table is read.
func (s *Slide) footprint() int64 {
	const (
		fixed     = 2 << 10 // the structs themselves
		directory = 1 << 10 // entries and their index
		level     = 512
	)
	n := int64(fixed + directory*len(s.file.Directories()) + level*len(s.Levels))
	for k, v := range s.Properties {
		n += int64(len(k)+len(v)) + 64
	}
	return n
}
