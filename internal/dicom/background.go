package dicom

import (
	"fmt"
	"image"
	"image/color"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

// background returns the frame in place of tiles that the scanner skipped: white, a JPEG of the
// same size, sampling and tables as the sample.
func background(sample []byte, w, h int) ([]byte, error) {
	marks, err := jpeg.Index(sample, h, nil, jpeg.NewFrames())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotBaseline, err)
	}
	g := jpeg.Grid{
		Columns: 2, Rows: 1, TileWidth: w, TileHeight: h,
		Tiles:      []jpeg.Tile{{Data: sample, Marks: marks}, {}},
		Background: color.RGBA{255, 255, 255, 255},
	}
	data, _, err := g.Stitch(nil, image.Rect(w, 0, 2*w, h))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotBaseline, err)
	}
	return data, nil
}
