package slide

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Values of tag 259, TIFF 6.0 and its supplements unless another source is named.
const (
	compressionNone       = 1
	compressionLZW        = 5
	compressionOldJPEG    = 6
	compressionJPEG       = 7
	compressionAdobe      = 8 // deflate; TIFF Supplement 2
	compressionPackBits   = 32773
	compressionDeflate    = 32946
	compressionAperioYCC  = 33003 // JPEG 2000; Aperio
	compressionAperioRGB  = 33005 // JPEG 2000; Aperio
	compressionJPEG2000   = 34712
	compressionLERC       = 34887
	compressionLZMA       = 34925
	compressionZstdOld    = 34926
	compressionWebPOld    = 34927
	compressionPNG        = 34933
	compressionZstd       = 50000 // libtiff
	compressionWebP       = 50001 // libtiff
	compressionJPEGXL     = 50002
	compressionJPEG2000NI = 33004
)

// Values of tag 262.
const (
	minIsWhite = 0
	minIsBlack = 1
	rgb        = 2
	palette    = 3
	cmyk       = 5
	yCbCr      = 6
)

// Values of tag 339.
const sampleUint = 1

// Values of tag 338.
const unassociatedAlpha = 2

// codecs are the supported compressions.
var codecs = map[uint64]Codec{
	compressionNone:       None,
	compressionLZW:        LZW,
	compressionJPEG:       JPEG,
	compressionAdobe:      Deflate,
	compressionDeflate:    Deflate,
	compressionZstd:       Zstd,
	compressionZstdOld:    Zstd,
	compressionWebP:       WebP,
	compressionWebPOld:    WebP,
	compressionPackBits:   PackBits,
	compressionAperioYCC:  JPEG2000,
	compressionAperioRGB:  JPEG2000,
	compressionJPEG2000NI: JPEG2000,
	compressionJPEG2000:   JPEG2000,
}

// unread names the compressions that are known but not supported.
var unread = map[uint64]string{
	compressionOldJPEG: "old-style JPEG",
	compressionLERC:    "LERC",
	compressionLZMA:    "LZMA",
	compressionPNG:     "PNG",
	compressionJPEGXL:  "JPEG XL",
}

// readLayout describes how the pixels of d are stored. The error says why they cannot
// be read.
func readLayout(f *tiff.File, d *tiff.Directory) (Layout, error) {
	lay := Layout{BigEndian: f.ByteOrder() == binary.BigEndian}
	compression, err := d.Uint(tiff.TagCompression, compressionNone)
	if err != nil {
		return lay, err
	}
	codec, ok := codecs[compression]
	if !ok {
		name := unread[compression]
		if name == "" {
			name = "unknown"
		}
		return lay, unsupported(d, tiff.TagCompression,
			"compression %d (%s) is not supported; convert the slide to JPEG tiles", compression, name)
	}
	lay.Codec = codec
	for _, v := range []struct {
		tag tiff.Tag
		to  *int
		def uint64
	}{
		{tiff.TagPhotometric, &lay.Photometric, minIsBlack},
		{tiff.TagSamplesPerPixel, &lay.Samples, 1},
		{tiff.TagPlanarConfig, &lay.Planar, 1},
		{tiff.TagPredictor, &lay.Predictor, 1},
	} {
		n, err := d.Uint(v.tag, v.def)
		if err != nil {
			return lay, err
		}
		*v.to = int(min(n, 1<<16))
	}
	if err := readSamples(d, &lay); err != nil {
		return lay, err
	}
	if lay.Samples == 1 {
		lay.Planar = 1 // both mean the same
	}
	aperioColours(compression, &lay)
	if lay.Photometric == palette {
		if err := readColorMap(d, &lay); err != nil {
			return lay, err
		}
	}
	if err := readable(d, &lay); err != nil || lay.Codec == JPEG || lay.Codec == JPEG2000 {
		return lay, err
	}
	if lay.Photometric == yCbCr {
		if lay.Chroma, err = readChroma(d, &lay); err != nil {
			return lay, err
		}
	}
	fill, err := d.Uint(tiff.TagFillOrder, 1)
	if err != nil {
		return lay, err
	}
	if fill > 2 {
		return lay, broken(d, tiff.TagFillOrder, "fill order %d, expected 1 or 2", fill)
	}
	lay.Reversed = fill == 2
	return lay, nil
}

// aperioColours sets what three samples of JPEG 2000 mean where the compression says it, as in
// files of Aperio, whatever the photometric interpretation is.
func aperioColours(compression uint64, lay *Layout) {
	if lay.Samples != 3 {
		return
	}
	switch compression {
	case compressionAperioYCC:
		lay.Photometric = yCbCr
	case compressionAperioRGB:
		lay.Photometric = rgb
	}
}

// readChroma reads how YCbCr without JPEG is stored.
func readChroma(d *tiff.Directory, lay *Layout) (*Chroma, error) {
	if lay.Bits != 8 || lay.Samples != 3 || lay.Planar != 1 || lay.Predictor != 1 {
		return nil, unsupported(d, tiff.TagPhotometric, "YCbCr that is not compressed as JPEG is supported only with 8 bits, 3 interleaved samples and no predictor; %s", advice)
	}
	c := &Chroma{X: 2, Y: 2, Black: [3]float64{0, 128, 128}, White: [3]float64{255, 255, 255}}
	sampling, err := d.Uints(tiff.TagYCbCrSubSampling, 2)
	if err != nil {
		return nil, err
	}
	if len(sampling) == 2 {
		c.X, c.Y = int(min(sampling[0], 1<<16)), int(min(sampling[1], 1<<16))
	}
	for _, n := range []int{c.X, c.Y} {
		if n != 1 && n != 2 && n != 4 {
			return nil, broken(d, tiff.TagYCbCrSubSampling, "subsampling of %d×%d, expected 1, 2 or 4", c.X, c.Y)
		}
	}
	if err := c.readReference(d); err != nil {
		return nil, err
	}
	return c, checkCoefficients(d)
}

// readReference reads the codes of black and white. Implausible ones are ignored.
func (c *Chroma) readReference(d *tiff.Directory) error {
	r, err := d.Floats(tiff.TagReferenceBlackWhite, 6)
	if err != nil {
		return err
	}
	if len(r) != 6 {
		return nil
	}
	for i := range 3 {
		if black, white := r[2*i], r[2*i+1]; black >= 0 && white <= 255 && white-black >= 1 {
			c.Black[i], c.White[i] = black, white
		}
	}
	return nil
}

// checkCoefficients rejects weights of the colours other than those of JPEG.
func checkCoefficients(d *tiff.Directory) error {
	k, err := d.Floats(tiff.TagYCbCrCoefficients, 3)
	if err != nil {
		return err
	}
	for i := range min(len(k), 3) {
		if math.Abs(k[i]-[]float64{0.299, 0.587, 0.114}[i]) > 0.001 {
			return unsupported(d, tiff.TagYCbCrCoefficients, "YCbCr with the coefficients %v is not supported, only with those of JPEG; %s", k, advice)
		}
	}
	return nil
}

// advice is what to do about colours that are not supported.
const advice = "convert the slide to 8-bit RGB or YCbCr"

// readSamples reads the size and kind of the samples of a pixel.
func readSamples(d *tiff.Directory, lay *Layout) error {
	const maxSamples = 64
	if lay.Samples == 0 || lay.Samples > maxSamples {
		return broken(d, tiff.TagSamplesPerPixel, "%d samples per pixel, expected 1 to %d", lay.Samples, maxSamples)
	}
	bits, err := d.Uints(tiff.TagBitsPerSample, maxSamples)
	if err != nil {
		return err
	}
	lay.Bits = 1
	if len(bits) > 0 {
		lay.Bits = int(min(bits[0], 1<<16))
	}
	for _, b := range bits {
		if b != bits[0] {
			return unsupported(d, tiff.TagBitsPerSample, "samples of different sizes (%v bits) are not supported", bits)
		}
	}
	kinds, err := d.Uints(tiff.TagSampleFormat, maxSamples)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(kinds, func(k uint64) bool { return k != sampleUint && k != 4 }) { // 4 is undefined
		return unsupported(d, tiff.TagSampleFormat, "samples that are not unsigned integers (format %d) are not supported", kinds[0])
	}
	extra, err := d.Uints(tiff.TagExtraSamples, maxSamples)
	if err != nil {
		return err
	}
	for _, e := range extra {
		lay.ExtraSamples = append(lay.ExtraSamples, int(min(e, 1<<16)))
	}
	// A fourth sample beside RGB is alpha for every reader, also if its meaning is missing
	// or "unspecified".
	if lay.Photometric == rgb && lay.Samples == 4 && (len(extra) == 0 || extra[0] == 0) {
		lay.ExtraSamples = []int{unassociatedAlpha}
	}
	return nil
}

func readColorMap(d *tiff.Directory, lay *Layout) error {
	if lay.Bits != 8 {
		return unsupported(d, tiff.TagBitsPerSample, "a palette of %d bits is not supported, only of 8", lay.Bits)
	}
	colors, err := d.Uints(tiff.TagColorMap, 3<<8)
	if err != nil {
		return err
	}
	if len(colors) != 3<<8 {
		return broken(d, tiff.TagColorMap, "the palette has %d values instead of 768", len(colors))
	}
	// Some writers store 8-bit values where 16 bits are due; libtiff recognizes them likewise.
	scale := uint64(1)
	if slices.Max(colors) < 256 {
		scale = 257
	}
	for _, c := range colors {
		lay.ColorMap = append(lay.ColorMap, uint16(c*scale))
	}
	return nil
}

// readable rejects layouts that are valid but not supported.
func readable(d *tiff.Directory, lay *Layout) error {
	switch {
	case lay.Planar != 1 && lay.Planar != 2:
		return broken(d, tiff.TagPlanarConfig, "planar configuration %d, expected 1 or 2", lay.Planar)
	case lay.Planar == 2 && (lay.Codec == JPEG || lay.Codec == WebP || lay.Codec == JPEG2000):
		return unsupported(d, tiff.TagPlanarConfig,
			"planar configuration 2 (each colour in tiles of its own) is not supported with %v; write the slide with interleaved colours: tiffcp -p contig", lay.Codec)
	}
	need := samplesOf(lay.Photometric)
	if _, ok := d.Entry(tiff.TagPhotometric); !ok && lay.Samples >= 3 && need != 3 {
		return unsupported(d, tiff.TagPhotometric, "the meaning of the %d samples of a pixel is unknown, as PhotometricInterpretation is missing; add the tag, for example with tiffset -s 262 2 for RGB", lay.Samples)
	}
	switch {
	case need == 0:
		return unsupported(d, tiff.TagPhotometric, "photometric interpretation %d is not supported", lay.Photometric)
	case lay.Samples < need:
		return broken(d, tiff.TagSamplesPerPixel, "%d samples per pixel, but photometric interpretation %d has %d",
			lay.Samples, lay.Photometric, need)
	case lay.Codec == JPEG, lay.Codec == JPEG2000:
		return readableJPEG(d, lay, need)
	case lay.Codec == WebP && lay.Bits != 8, lay.Bits != 8 && lay.Bits != 16 && !lay.fine():
		return unsupported(d, tiff.TagBitsPerSample, "%d bits per sample are not supported, only 8 and 16, and for grey 1, 2 and 4", lay.Bits)
	case lay.Predictor != 1 && lay.Bits < 8:
		return unsupported(d, tiff.TagPredictor, "predictor %d is not supported with %d bits per sample", lay.Predictor, lay.Bits)
	case lay.Predictor != 1 && lay.Predictor != 2:
		return unsupported(d, tiff.TagPredictor, "predictor %d is not supported, only none (1) and horizontal (2)", lay.Predictor)
	}
	return nil
}

// fine reports whether the layout has several pixels in a byte, of grey.
func (l *Layout) fine() bool {
	return (l.Bits == 1 || l.Bits == 2 || l.Bits == 4) && l.Samples == 1 && (l.Photometric == minIsWhite || l.Photometric == minIsBlack)
}

// samplesOf returns the number of samples of a pixel, without extra ones; 0 if unknown.
func samplesOf(photometric int) int {
	switch photometric {
	case minIsWhite, minIsBlack, palette:
		return 1
	case rgb, yCbCr:
		return 3
	case cmyk:
		return 4
	}
	return 0
}

// readableJPEG rejects layouts of JPEG that browsers do not display correctly, and the same
// ones of JPEG 2000.
func readableJPEG(d *tiff.Directory, lay *Layout, need int) error {
	switch {
	case lay.Bits != 8:
		return unsupported(d, tiff.TagBitsPerSample, "%v with %d bits per sample is not supported; %s", lay.Codec, lay.Bits, advice)
	case lay.Photometric == cmyk:
		return unsupported(d, tiff.TagPhotometric, "CMYK %v is not supported; %s", lay.Codec, advice)
	case lay.Photometric == minIsWhite || lay.Photometric == palette:
		return unsupported(d, tiff.TagPhotometric, "%v with photometric interpretation %d is not supported; %s", lay.Codec, lay.Photometric, advice)
	case lay.Samples != need:
		return unsupported(d, tiff.TagSamplesPerPixel, "%v with %d samples per pixel is not supported; %s", lay.Codec, lay.Samples, advice)
	}
	return nil
}

// String returns the name of the codec, such as "JPEG".
func (c Codec) String() string {
	names := [...]string{"JPEG", "none", "LZW", "deflate", "WebP", "zstd", "JPEG 2000", "PackBits"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Codec(%d)", uint8(c))
}
