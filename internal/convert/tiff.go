package convert

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// maxTileRow bounds a row of a source's tiles, in bytes of RGB: 60,000 columns of
	// tiles that are 1024 pixels high take 184 MB.
	maxTileRow = 256 << 20
	// maxPiece bounds the compressed size of a tile, or of a strip of WebP.
	maxPiece = 64 << 20
)

func openTIFF(ctx context.Context, r io.ReaderAt, size int64) (*picture, error) {
	src, err := slide.OpenPlain(r, size)
	if errors.Is(err, slide.ErrPyramid) {
		return nil, ErrPyramid
	}
	if err != nil {
		return nil, err
	}
	p := &picture{Kind: "TIFF", Width: src.Width, Height: src.Height, Tiled: src.PieceWidth < src.Width || src.Columns > 1}
	if err := checkSize(p.Kind, p.Width, p.Height); err != nil {
		return nil, err
	}
	if p.Resolution, err = statedResolution(src); err != nil {
		return nil, err
	}
	if src.Strips() {
		p.rows = &strips{ctx: ctx, src: src}
		return p, nil
	}
	p.Tiled = true
	if n := 3 * src.Columns * src.PieceWidth * src.PieceHeight; n > maxTileRow {
		return nil, fmt.Errorf("%w: a TIFF with rows of tiles of %d×%d pixels, which need %d bytes of memory, at most %d are supported; save it with smaller tiles",
			ErrUnsupported, p.Width, src.PieceHeight, n, maxTileRow)
	}
	p.rows = &tiles{ctx: ctx, src: src}
	return p, nil
}

// statedResolution returns the resolution in the tags, or else the one in the
// description, as in Aperio's slides.
func statedResolution(src *slide.Plain) (resolution, error) {
	d := src.Directory
	unit, err := d.Uint(tiff.TagResolutionUnit, unitInch)
	if err != nil {
		return resolution{}, err
	}
	x, err := d.Float(tiff.TagXResolution, 0)
	if err != nil {
		return resolution{}, err
	}
	y, err := d.Float(tiff.TagYResolution, x)
	if err != nil {
		return resolution{}, err
	}
	switch {
	case x > 0 && y > 0 && x < 1e9 && y < 1e9 && unit >= unitNone && unit <= unitCentimetre:
		return resolution{x, y, int(unit)}, nil
	case src.MPPX > 0 && src.MPPY > 0:
		return resolution{1e4 / src.MPPX, 1e4 / src.MPPY, unitCentimetre}, nil
	}
	return resolution{}, nil
}

// strips reads a picture strip by strip.
type strips struct {
	ctx  context.Context // its budget provides the memory
	src  *slide.Plain
	y    int  // row of the picture
	left int  // remaining rows of the current strip
	rows rows // its pixels
}

func (s *strips) Read(dst []byte) error {
	if s.left == 0 {
		if err := s.next(); err != nil {
			return s.where(err)
		}
	}
	if err := s.rows.Read(dst); err != nil {
		return s.where(err)
	}
	s.y++
	if s.left--; s.left > 0 {
		return nil
	}
	err := s.rows.Close()
	s.rows = nil
	if err != nil {
		return s.where(err)
	}
	return nil
}

// where adds the number of the strip to an error.
func (s *strips) where(err error) error {
	return pieceError(fmt.Sprintf("strip %d", s.y/s.src.PieceHeight), err)
}

func pieceError(piece string, err error) error {
	if errors.Is(err, slide.ErrEmptyTile) {
		return &FormatError{"TIFF", -1, fmt.Errorf("%s was never written", piece)}
	}
	if e, ok := errors.AsType[*FormatError](err); ok {
		err = e.Err
	} else if errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("%s: %w", piece, err)
	}
	if e, ok := errors.AsType[*tiff.FormatError](err); ok {
		return fmt.Errorf("%s: %w", piece, e)
	}
	return decoding("TIFF", -1, fmt.Errorf("%s: %w", piece, err))
}

// next opens the next strip.
func (s *strips) next() error {
	i := s.y / s.src.PieceHeight
	w, h := s.src.PieceSize(i)
	r, n, err := s.src.Piece(0, i)
	if err != nil {
		return err
	}
	s.left = h
	switch codec := s.src.Layout.Codec; {
	case codec == slide.JPEG:
		s.rows, err = s.jpeg(i, n, w, h)
	case codec == slide.WebP, codec == slide.JPEG2000, s.src.Layout.Planes() > 1:
		var img *image.RGBA
		if img, err = decodePiece(s.ctx, r, n, s.src.Layout, w, h); err == nil {
			s.rows = &whole{ctx: s.ctx, img: img}
		}
	default:
		s.rows, err = plainRows(s.ctx, r, n, s.src.Layout, w, h)
	}
	return err
}

// plainRows avoids a nil pointer in a non-nil interface.
func plainRows(ctx context.Context, r io.Reader, n int64, lay slide.Layout, w, h int) (rows, error) {
	rs, err := render.NewRows(ctx, r, n, lay, w, h)
	if err != nil {
		return nil, err
	}
	return rs, nil
}

// jpeg opens a strip that is a JPEG. The last may be as high as the others.
func (s *strips) jpeg(i int, n int64, w, h int) (rows, error) {
	rs, gotW, gotH, err := openJPEGRows(s.ctx, func() io.Reader {
		r, _, _ := s.src.Piece(0, i) // opening it succeeded before
		return r
	}, n)
	if err != nil {
		return nil, err
	}
	if gotW != w || gotH != h && gotH != s.src.PieceHeight {
		return nil, fmt.Errorf("a JPEG of %d×%d pixels instead of %d×%d", gotW, gotH, w, h)
	}
	return rs, nil
}

func (s *strips) Close() error {
	if s.rows != nil {
		return s.rows.Close()
	}
	return nil
}

// tiles reads a picture one row of tiles at a time.
type tiles struct {
	ctx context.Context // its budget provides the memory
	src *slide.Plain
	y   int    // row of the picture
	rgb []byte // a row of tiles
}

func (t *tiles) Read(dst []byte) error {
	stride := 3 * t.src.Columns * t.src.PieceWidth
	at := t.y % t.src.PieceHeight
	if at == 0 {
		if t.rgb == nil {
			n := stride * min(t.src.PieceHeight, t.src.Height)
			if err := render.Take(t.ctx, int64(n)); err != nil {
				return err
			}
			t.rgb = make([]byte, n)
		}
		for col := range t.src.Columns {
			if err := t.decode(col, t.y/t.src.PieceHeight, stride); err != nil {
				return pieceError(fmt.Sprintf("tile %d,%d", col, t.y/t.src.PieceHeight), err)
			}
		}
	}
	for row := t.rgb[at*stride:][:stride]; len(dst) >= 4; dst, row = dst[4:], row[3:] {
		dst[0], dst[1], dst[2], dst[3] = row[0], row[1], row[2], 255
	}
	t.y++
	return nil
}

// decode decodes one tile into its place.
func (t *tiles) decode(col, row, stride int) error {
	w, h := t.src.PieceSize(row)
	r, n, err := t.src.Piece(col, row)
	if errors.Is(err, slide.ErrEmptyTile) { // bare glass
		for y := range min(h, t.src.Height-row*h) {
			for i := range 3 * w {
				t.rgb[y*stride+3*col*w+i] = 255
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	img, err := decodePiece(t.ctx, r, n, t.src.Layout, w, h)
	if err != nil {
		return err
	}
	defer render.Discard(t.ctx, img)
	for y := range min(h, t.src.Height-row*h) {
		from := img.Pix[y*img.Stride:][:4*w]
		to := t.rgb[y*stride+3*col*w:]
		for ; len(from) >= 4; from, to = from[4:], to[3:] {
			to[0], to[1], to[2] = from[0], from[1], from[2]
		}
	}
	return nil
}

func (t *tiles) Close() error {
	render.Give(t.ctx, int64(len(t.rgb)))
	t.rgb = nil
	return nil
}

// decodePiece decodes a whole piece.
func decodePiece(ctx context.Context, r io.Reader, n int64, lay slide.Layout, w, h int) (*image.RGBA, error) {
	if n > maxPiece || w*h > maxWhole {
		return nil, fmt.Errorf("%w: %d×%d pixels in %d bytes: at most %d and %d are decoded at once", ErrUnsupported, w, h, n, maxWhole, maxPiece)
	}
	if err := render.Take(ctx, n); err != nil {
		return nil, err
	}
	defer render.Give(ctx, n)
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return render.Decode(ctx, b, lay, w, h)
}
