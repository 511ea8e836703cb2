package bigtiff

import "github.com/slideatlas/ptiffstore/tiff"

// A Level is a directory of JPEG tiles.
type Level struct {
	Reduced               bool    // it is not the largest level
	Width, Height         int     // pixels
	TileWidth, TileHeight int     // pixels
	Photometric           int     // tag 262
	Components            int     // 1 or 3
	ChromaX, ChromaY      int     // pixels of a sample of chroma; of YCbCr only
	MPPX, MPPY            float64 // µm of a pixel of this level; 0 if unknown
}

// Fields returns the fields of the directory, without the tables of its tiles.
func (l *Level) Fields() []Field {
	const jpegCompression, yCbCr, centimetre = 7, 6, 3
	reduced := 0
	if l.Reduced {
		reduced = 1
	}
	f := []Field{
		Long(tiff.TagNewSubfileType, reduced),
		Long(tiff.TagImageWidth, l.Width),
		Long(tiff.TagImageLength, l.Height),
		Shorts(tiff.TagBitsPerSample, []int{8, 8, 8}[:l.Components]...),
		Shorts(tiff.TagCompression, jpegCompression),
		Shorts(tiff.TagPhotometric, l.Photometric),
		Shorts(tiff.TagSamplesPerPixel, l.Components),
		Shorts(tiff.TagPlanarConfig, 1),
		Text(tiff.TagSoftware, "ptiffstore"),
		Long(tiff.TagTileWidth, l.TileWidth),
		Long(tiff.TagTileLength, l.TileHeight),
	}
	if l.Photometric == yCbCr {
		f = append(f, Shorts(tiff.TagYCbCrSubSampling, l.ChromaX, l.ChromaY))
	}
	if l.MPPX > 0 && l.MPPY > 0 {
		f = append(f, Rational(tiff.TagXResolution, 1e4/l.MPPX), Rational(tiff.TagYResolution, 1e4/l.MPPY),
			Shorts(tiff.TagResolutionUnit, centimetre))
	}
	return f
}
