package convert

import (
	"fmt"
	"os"

	"github.com/slideatlas/ptiffstore/internal/bigtiff"
	"github.com/slideatlas/ptiffstore/tiff"
)

// A container is the file of a pyramid, whose size is limited.
type container struct {
	*bigtiff.Writer
	bound int64 // maximum size of the file in bytes; 0 for none
}

func newContainer(f *os.File) *container { return &container{Writer: bigtiff.NewWriter(f)} }

// write writes the bytes of a tile.
func (c *container) write(b []byte) error {
	if next := c.Offset() + int64(len(b)); c.bound > 0 && next > c.bound {
		return fmt.Errorf("%w: the pyramid would need more than %d bytes, too many for a file of this size", ErrUnsupported, c.bound)
	}
	_, err := c.WriteTile(b)
	return err
}

// fields returns the fields of level i.
func (p *pyramid) fields(i int, l *level, src *picture) []bigtiff.Field {
	const jpegCompression, yCbCr = 7, 6
	reduced := 0
	if i > 0 {
		reduced = 1
	}
	f := []bigtiff.Field{
		bigtiff.Long(tiff.TagNewSubfileType, reduced),
		bigtiff.Long(tiff.TagImageWidth, l.w),
		bigtiff.Long(tiff.TagImageLength, l.h),
		bigtiff.Shorts(tiff.TagBitsPerSample, 8, 8, 8),
		bigtiff.Shorts(tiff.TagCompression, jpegCompression),
		bigtiff.Shorts(tiff.TagPhotometric, yCbCr),
		bigtiff.Shorts(tiff.TagSamplesPerPixel, 3),
		bigtiff.Shorts(tiff.TagPlanarConfig, 1),
		bigtiff.Text(tiff.TagSoftware, "ptiffstore"),
		bigtiff.Long(tiff.TagTileWidth, tileSide),
		bigtiff.Long(tiff.TagTileLength, tileSide),
		bigtiff.Longs8(tiff.TagTileOffsets, l.offsets),
		bigtiff.Longs8(tiff.TagTileByteCounts, l.counts),
		{Tag: tiff.TagJPEGTables, Type: tiff.Undefined, Count: len(p.tables), Data: p.tables},
		bigtiff.Shorts(tiff.TagYCbCrSubSampling, 2, 2),
	}
	if i == 0 {
		f = append(f, bigtiff.Text(tiff.TagImageDescription, fmt.Sprintf("Pyramid of a %s of %dx%d pixels: JPEG, quality %d, 4:2:0",
			src.Kind, src.Width, src.Height, p.quality)))
	}
	if r := src.Resolution; r.unit > 0 {
		scaleX, scaleY := float64(l.w)/float64(src.Width), float64(l.h)/float64(src.Height)
		f = append(f, bigtiff.Rational(tiff.TagXResolution, r.x*scaleX), bigtiff.Rational(tiff.TagYResolution, r.y*scaleY),
			bigtiff.Shorts(tiff.TagResolutionUnit, r.unit))
	}
	return f
}
