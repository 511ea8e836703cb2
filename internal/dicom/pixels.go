package dicom

import (
	"errors"
	"fmt"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// Further transfer syntaxes, PS3.6 table A-1.
const (
	JPEGExtended     = "1.2.840.10008.1.2.4.51"
	JPEG2000Lossless = "1.2.840.10008.1.2.4.90"
	JPEG2000Lossy    = "1.2.840.10008.1.2.4.91"
)

// unread names transfer syntaxes that are known but not supported.
var unread = map[string]string{
	"1.2.840.10008.1.2.1.98":  "encapsulated uncompressed pixels",
	"1.2.840.10008.1.2.4.57":  "lossless JPEG",
	"1.2.840.10008.1.2.4.70":  "lossless JPEG",
	"1.2.840.10008.1.2.4.80":  "JPEG-LS",
	"1.2.840.10008.1.2.4.81":  "JPEG-LS",
	"1.2.840.10008.1.2.4.92":  "JPEG 2000 part 2",
	"1.2.840.10008.1.2.4.93":  "JPEG 2000 part 2",
	"1.2.840.10008.1.2.4.94":  "JPIP",
	"1.2.840.10008.1.2.4.110": "JPEG XL",
	"1.2.840.10008.1.2.4.111": "JPEG XL",
	"1.2.840.10008.1.2.4.112": "JPEG XL",
	"1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000",
	"1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000",
	"1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
	"1.2.840.10008.1.2.5":     "RLE",
}

// Values of [slide.Layout.Photometric], which are those of TIFF.
const (
	minIsBlack = 1
	trueColor  = 2
	yCbCr      = 6
)

// layout describes how the frames of an instance are compressed and arranged. The error names
// what is not supported.
func layout(in *instance) (slide.Layout, error) {
	d := in.file.Data
	l := slide.Layout{Bits: 8, Planar: 1, Predictor: 1}
	switch syntax := in.file.TransferSyntax; syntax {
	case ExplicitLittleEndian, ImplicitLittleEndian:
		l.Codec = slide.None
	case JPEGBaseline, JPEGExtended:
		l.Codec = slide.JPEG
	case JPEG2000Lossless, JPEG2000Lossy:
		l.Codec = slide.JPEG2000
	default:
		name := unread[syntax]
		if name == "" {
			name = "unknown"
		}
		return l, &UnsupportedError{Tag: TransferSyntaxUID, Msg: fmt.Sprintf("the transfer syntax %s (%s) is not supported, only JPEG, JPEG 2000 and uncompressed pixels", syntax, name)}
	}
	if allocated, _ := d.Int(BitsAllocated); allocated != 8 {
		return l, &UnsupportedError{Tag: BitsAllocated, Msg: fmt.Sprintf("samples of %d bits are not supported, only of 8", allocated)}
	}
	if stored, ok := d.Int(BitsStored); ok && stored != 8 {
		return l, &UnsupportedError{Tag: BitsStored, Msg: fmt.Sprintf("samples of %d bits are not supported, only of 8", stored)}
	}
	if signed, ok := d.Int(PixelRepresentation); ok && signed != 0 {
		return l, &UnsupportedError{Tag: PixelRepresentation, Msg: "signed samples are not supported"}
	}
	samples, _ := d.Int(SamplesPerPixel)
	return colours(l, int(min(max(samples, 0), 99)), d)
}

// colours completes the layout of pixels with the given number of samples.
func colours(l slide.Layout, samples int, d Dataset) (slide.Layout, error) {
	name := strings.ToUpper(d.Text(PhotometricInterpretation))
	l.Samples = samples
	need := 3
	switch {
	case name == "MONOCHROME2":
		l.Photometric, need = minIsBlack, 1
	case name == "RGB":
		l.Photometric = trueColor
	case l.Codec == slide.JPEG2000 && (name == "YBR_ICT" || name == "YBR_RCT"):
		l.Photometric = trueColor // decoders undo the transform
	case name == "YBR_FULL", name == "YBR_FULL_422":
		l.Photometric = yCbCr
	default:
		return l, &UnsupportedError{Tag: PhotometricInterpretation, Msg: fmt.Sprintf("the photometric interpretation %q is not supported with this compression", name)}
	}
	if samples != need {
		return l, &FormatError{Tag: SamplesPerPixel, Msg: fmt.Sprintf("the file is damaged: it has %d samples for a pixel of %s", samples, name)}
	}
	if l.Codec != slide.None || samples == 1 {
		return l, nil
	}
	planar, _ := d.Int(PlanarConfiguration)
	switch {
	case planar == 1 && l.Photometric == trueColor:
		l.Planar = 2
	case planar != 0:
		return l, &UnsupportedError{Tag: PlanarConfiguration, Msg: fmt.Sprintf("planar configuration %d is not supported for uncompressed pixels of %s", planar, name)}
	case l.Photometric == yCbCr: // PS3.3 section C.7.6.3.1.2: of all 256 values, as in JPEG
		l.Chroma = &slide.Chroma{X: 1, Y: 1, Black: [3]float64{0, 128, 128}, White: [3]float64{255, 255, 255}}
		if name == "YBR_FULL_422" {
			l.Chroma.X = 2
		}
	}
	return l, nil
}

// colours corrects what the samples of JPEG 2000 mean. Files say YBR_FULL also if the
// codestream uses its own colour transform, which decoders undo.
func (m *matrix) colours(in *instance, l *slide.Layout) error {
	if l.Photometric != yCbCr {
		return nil
	}
	f := m.files[0]
	for i := range min(in.frames, 16) {
		b, _, err := f.appendFrame(nil, i)
		if errors.Is(err, slide.ErrEmptyTile) {
			continue
		}
		if err != nil {
			return err
		}
		if head, err := parseCodestream(codestream(b)); err == nil && head.transform {
			l.Photometric = trueColor
		}
		return nil
	}
	return nil
}
