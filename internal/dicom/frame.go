package dicom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
)

// Frames returns the number of frames.
func (in *Instance) Frames() int {
	switch {
	case in.stored != nil:
		return in.stored.frames
	case in.present != nil:
		return len(in.present)
	}
	return in.Columns * in.Rows
}

// IsTile reports whether the frames are the tiles of the slide, byte by byte, or the background.
func (in *Instance) IsTile() bool {
	return in.stored == nil && in.Kind == "" && in.pixels.how == asStored && in.TransferSyntax == JPEGBaseline
}

// IsFile reports whether the instance is a file of the slide.
func (in *Instance) IsFile() bool { return in.stored != nil }

// IsDecoded reports whether frames have to be decoded before they are sent.
func (in *Instance) IsDecoded() bool { return in.stored == nil && in.pixels.how != asStored }

// bound returns an upper bound of the bytes of a frame.
func (in *Instance) bound(n int) int64 {
	switch {
	case in.pixels.how == decoded:
		return in.pixels.frameBytes()
	case in.Kind != "":
		return int64(len(in.associated))
	}
	col, row := in.place(n)
	if b := in.sizes[row*in.Columns+col]; b > 0 {
		return int64(b)
	}
	return int64(len(in.background))
}

// AppendFrame appends frame n, from 0, to dst: the bytes as they are stored, or those of a tile
// which the scanner skipped, or the pixels if there is no transfer syntax for what is stored.
// Decoding takes its memory from the budget of ctx. The error is that of [slide.Slide.AppendTile]
// or of decoding; it wraps [ErrUnlike] if this tile is stored in another way than the
// attributes say.
func (in *Instance) AppendFrame(ctx context.Context, dst []byte, n int) ([]byte, error) {
	return in.AppendFrameOf(ctx, in.series.slide, dst, n)
}

// AppendFrameOf is [Instance.AppendFrame] with the slide that is open now: the same one as that
// of the series, which may have been closed.
func (in *Instance) AppendFrameOf(ctx context.Context, s *slide.Slide, dst []byte, n int) ([]byte, error) {
	switch {
	case n < 0 || n >= in.Frames():
		return dst, slide.ErrNoTile
	case in.stored != nil:
		f, err := in.find(s)
		if err != nil {
			return dst, err
		}
		return f.appendStored(dst, n)
	case in.pixels.how != asStored:
		return in.appendDecoded(ctx, s, dst, n)
	case in.Kind != "":
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
	p, err := storedAs(&s.Levels[in.Level], dst[start:])
	if err == nil && (p.how != asStored || p.syntax != in.TransferSyntax || p.photometric != in.pixels.photometric) {
		err = fmt.Errorf("%w: %s in %s instead of %s in %s", ErrUnlike, p.photometric, p.syntax, in.pixels.photometric, in.TransferSyntax)
	}
	if err != nil {
		return dst[:start], fmt.Errorf("level %d tile %d,%d: %w", in.Level, col, row, err)
	}
	if in.TransferSyntax != JPEGBaseline { // without the boxes of a file
		stream := codestream(dst[start:])
		dst = dst[:start+copy(dst[start:], stream)]
	}
	if in.series != nil && in.series.o.Deidentify {
		if in.TransferSyntax == JPEGBaseline {
			jpeg.Anonymize(dst[start:])
		} else {
			blankComments(dst[start:])
		}
	}
	return dst, nil
}

// qualityOf is the quality of frames that are encoded as JPEG.
const qualityOf = 90

// appendDecoded appends the pixels of a frame, or a JPEG of them.
func (in *Instance) appendDecoded(ctx context.Context, s *slide.Slide, dst []byte, n int) ([]byte, error) {
	img, err := in.DecodeFrame(ctx, s, n)
	if err != nil {
		return dst, err
	}
	defer render.Discard(ctx, img)
	if img.Rect.Dx() != in.pixels.width || img.Rect.Dy() != in.pixels.height {
		return dst, fmt.Errorf("%w: %v pixels", ErrUnlike, img.Rect)
	}
	if in.pixels.how == encoded {
		b, err := render.EncodeJPEG(img, qualityOf)
		return append(dst, b...), err
	}
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
		for x := 0; x < len(row); x += 4 {
			dst = append(dst, row[x:x+in.pixels.components]...)
		}
	}
	return dst, nil
}

// DecodeFrame returns the pixels of frame n, from 0. Its memory is taken from the budget of ctx; the
// caller must [render.Discard] it.
func (in *Instance) DecodeFrame(ctx context.Context, s *slide.Slide, n int) (*image.RGBA, error) {
	if n < 0 || n >= in.Frames() {
		return nil, slide.ErrNoTile
	}
	if in.Kind != "" {
		if in.associated != nil {
			return render.DecodeJPEG(ctx, bytes.Clone(in.associated))
		}
		p, err := render.ReadAssociated(ctx, s, in.Kind)
		if err != nil {
			return nil, err
		}
		return render.DecodeAssociated(ctx, p)
	}
	col, row, placed := 0, 0, true
	if in.stored == nil {
		col, row = in.place(n)
	} else {
		f, err := in.find(s)
		if err != nil {
			return nil, err
		}
		if col, row, placed, err = f.place(n); err != nil {
			return nil, err
		}
	}
	err := slide.ErrEmptyTile
	var img *image.RGBA
	if placed {
		img, err = render.LevelPixels(ctx, s, in.Level, col, row, render.Options{})
	}
	if !errors.Is(err, slide.ErrEmptyTile) {
		return img, err
	}
	l := &s.Levels[in.Level]
	if err := render.Take(ctx, 8*int64(l.TileWidth)*int64(l.TileHeight)); err != nil {
		return nil, err
	}
	img = image.NewRGBA(image.Rect(0, 0, l.TileWidth, l.TileHeight))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return img, nil
}

// Pieces returns the number of pieces that a [FrameReader] of the instance's file reads.
func (in *Instance) Pieces() int {
	if in.stored != nil {
		return in.stored.pieces()
	}
	return in.Frames()
}

// AppendPieceOf appends piece n, from 0, of what a [Layout] has behind its head: a frame, or a part of
// the file that the instance is.
func (in *Instance) AppendPieceOf(ctx context.Context, s *slide.Slide, dst []byte, n int) ([]byte, error) {
	if in.stored == nil {
		return in.AppendFrameOf(ctx, s, dst, n)
	}
	f, err := in.find(s)
	if err != nil {
		return dst, err
	}
	return f.appendPiece(dst, in.stored.copied, n)
}

// AppendPiece is [Instance.AppendPieceOf] with the slide of the series.
func (in *Instance) AppendPiece(ctx context.Context, dst []byte, n int) ([]byte, error) {
	return in.AppendPieceOf(ctx, in.series.slide, dst, n)
}

// Background returns the frame in place of tiles that the scanner skipped, or nil if it skipped
// none.
func (in *Instance) Background() []byte { return in.background }

// Associated returns the only frame of macro or label, or nil if it is not kept.
func (in *Instance) Associated() []byte { return in.associated }
