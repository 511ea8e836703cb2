package dicom

import (
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/slide"
)

// Frames returns the number of frames.
func (in *Instance) Frames() int { return in.Columns * in.Rows }

// bytes returns an upper bound of the bytes of all frames.
func (in *Instance) bytes() int64 {
	if in.Kind != "" {
		return int64(len(in.associated))
	}
	total := int64(0)
	for n := range in.Frames() {
		total += max(in.series.slide.TileBytes(in.Level, n%in.Columns, n/in.Columns), int64(len(in.background)))
	}
	return total
}

// AppendFrame appends frame n, from 0, to dst: the JPEG as it is stored, or that of a tile which
// the scanner skipped. The error is that of [slide.Slide.AppendTile]; it wraps
// [ErrNotBaseline] if this tile is another kind of JPEG than the attributes say.
func (in *Instance) AppendFrame(dst []byte, n int) ([]byte, error) {
	if n < 0 || n >= in.Frames() {
		return dst, slide.ErrNoTile
	}
	if in.Kind != "" {
		return append(dst, in.associated...), nil
	}
	col, row, start := n%in.Columns, n/in.Columns, len(dst)
	dst, err := in.series.slide.AppendTile(dst, in.Level, col, row)
	switch {
	case errors.Is(err, slide.ErrEmptyTile), errors.Is(err, slide.ErrMissingTile):
		return append(dst, in.background...), nil
	case err != nil:
		return dst, err
	}
	l := &in.series.slide.Levels[in.Level]
	c, err := colorsOf(dst[start:], l.TileWidth, l.TileHeight)
	if err == nil && c.photometric != in.Attributes.Text(PhotometricInterpretation) {
		err = fmt.Errorf("%w of %s like the others, but of %s", ErrNotBaseline, in.Attributes.Text(PhotometricInterpretation), c.photometric)
	}
	if err != nil {
		return dst[:start], fmt.Errorf("level %d tile %d,%d: %w", in.Level, col, row, err)
	}
	return dst, nil
}
