package dicom

import (
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// Frames returns the number of frames.
func (in *Instance) Frames() int {
	if in.present != nil {
		return len(in.present)
	}
	return in.Columns * in.Rows
}

// bound returns an upper bound of the bytes of a frame.
func (in *Instance) bound(n int) int64 {
	if in.Kind != "" {
		return int64(len(in.associated))
	}
	col, row := in.place(n)
	if b := in.sizes[row*in.Columns+col]; b > 0 {
		return int64(b)
	}
	return int64(len(in.background))
}

// AppendFrame appends frame n, from 0, to dst: the JPEG as it is stored, or that of a tile which
// the scanner skipped. The error is that of [slide.Slide.AppendTile]; it wraps
// [ErrNotBaseline] if this tile is another kind of JPEG than the attributes say.
func (in *Instance) AppendFrame(dst []byte, n int) ([]byte, error) {
	return in.AppendFrameOf(in.series.slide, dst, n)
}

// AppendFrameOf is [Instance.AppendFrame] with the slide that is open now: the same one as that
// of the series, which may have been closed.
func (in *Instance) AppendFrameOf(s *slide.Slide, dst []byte, n int) ([]byte, error) {
	if n < 0 || n >= in.Frames() {
		return dst, slide.ErrNoTile
	}
	if in.Kind != "" {
		return append(dst, in.associated...), nil
	}
	start := len(dst)
	col, row := in.place(n)
	dst, err := s.AppendTile(dst, in.Level, col, row)
	switch {
	case errors.Is(err, slide.ErrEmptyTile), errors.Is(err, slide.ErrMissingTile):
		return append(dst, in.background...), nil
	case err != nil:
		return dst, err
	}
	l := &s.Levels[in.Level]
	c, err := colorsOf(dst[start:], l.TileWidth, l.TileHeight)
	if err == nil && c.photometric != in.Attributes.Text(PhotometricInterpretation) {
		err = fmt.Errorf("%w of %s like the others, but of %s", ErrNotBaseline, in.Attributes.Text(PhotometricInterpretation), c.photometric)
	}
	if err != nil {
		return dst[:start], fmt.Errorf("level %d tile %d,%d: %w", in.Level, col, row, err)
	}
	if in.series.o.Deidentify {
		jpeg.Anonymize(dst[start:])
	}
	return dst, nil
}

// Background returns the frame in place of tiles that the scanner skipped, or nil if it skipped
// none.
func (in *Instance) Background() []byte { return in.background }

// Associated returns the only frame of macro or label, or nil for a level.
func (in *Instance) Associated() []byte { return in.associated }
