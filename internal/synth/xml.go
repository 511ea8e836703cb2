package synth

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"
)

// An XMLStyle is how a program writes the description. The zero value is how
// Philips does.
type XMLStyle struct {
	Encoding    string // in the prolog; "" is UTF-8. Python's ElementTree writes utf8
	NoProlog    bool
	BOM         bool
	NULs        int  // behind the end
	CRLF        bool // ends of lines
	Wrapped     bool // base64 in lines of 76
	EmptyLeaf   bool // an Attribute without a name, as de-identification leaves it
	Unquoted    bool // spacings without quotes
	SpareObject bool // a second WSI object
	NoSpacings  bool // the levels' spacings are missing
}

// An xmlWriter writes the DataObject tree of a description.
type xmlWriter struct {
	strings.Builder
	style XMLStyle
}

var xmlEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// attributes of the tree: name → group, element, type.
var attributes = map[string][3]string{
	"DICOM_ACQUISITION_DATETIME":                 {"0x0008", "0x002A", "IString"},
	"DICOM_MANUFACTURER":                         {"0x0008", "0x0070", "IString"},
	"DICOM_MANUFACTURERS_MODEL_NAME":             {"0x0008", "0x1090", "IString"},
	"DICOM_DEVICE_SERIAL_NUMBER":                 {"0x0018", "0x1000", "IString"},
	"DICOM_SOFTWARE_VERSIONS":                    {"0x0018", "0x1020", "IStringArray"},
	"DICOM_DERIVATION_DESCRIPTION":               {"0x0008", "0x2111", "IString"},
	"DICOM_ICCPROFILE":                           {"0x0028", "0x2000", "IString"},
	"DICOM_PIXEL_SPACING":                        {"0x0028", "0x0030", "IDoubleArray"},
	"DICOM_PHOTOMETRIC_INTERPRETATION":           {"0x0028", "0x0004", "IString"},
	"DICOM_SAMPLES_PER_PIXEL":                    {"0x0028", "0x0002", "IUInt16"},
	"DICOM_LOSSY_IMAGE_COMPRESSION_METHOD":       {"0x0028", "0x2114", "IStringArray"},
	"PIM_DP_UFS_INTERFACE_VERSION":               {"0x301D", "0x1001", "IString"},
	"PIM_DP_UFS_BARCODE":                         {"0x301D", "0x1002", "IString"},
	"PIM_DP_SCANNED_IMAGES":                      {"0x301D", "0x1003", "IDataObjectArray"},
	"PIM_DP_IMAGE_TYPE":                          {"0x301D", "0x1004", "IString"},
	"PIM_DP_IMAGE_DATA":                          {"0x301D", "0x1005", "IString"},
	"PIM_DP_IMAGE_ROWS":                          {"0x301D", "0x1006", "IUInt32"},
	"PIM_DP_IMAGE_COLUMNS":                       {"0x301D", "0x1007", "IUInt32"},
	"PIIM_DP_SCANNER_OPERATOR_ID":                {"0x101D", "0x1009", "IString"},
	"PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE":    {"0x1001", "0x8B01", "IDataObjectArray"},
	"PIIM_PIXEL_DATA_REPRESENTATION_NUMBER":      {"0x1001", "0x8B02", "IUInt16"},
	"PIIM_PIXEL_DATA_REPRESENTATION_ROWS":        {"0x2001", "0x115D", "IUInt32"},
	"PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS":     {"0x2001", "0x115E", "IUInt32"},
	"PIIM_DP_PIXEL_DATA_REPRESENTATION_POSITION": {"0x101D", "0x100B", "IDoubleArray"},
	"DICOM_LOSSY_IMAGE_COMPRESSION_RATIO":        {"0x0028", "0x2112", "IDoubleArray"},
	"PIIM_DP_SCANNER_RACK_NUMBER":                {"0x101D", "0x1007", "IUInt16"},
	"PIIM_DP_SCANNER_SLOT_NUMBER":                {"0x101D", "0x1008", "IUInt16"},
}

func (x *xmlWriter) open(name string) {
	a := attributes[name]
	fmt.Fprintf(x, `<Attribute Name="%s" Group="%s" Element="%s" PMSVR="%s">`, name, a[0], a[1], a[2])
}

func (x *xmlWriter) leaf(name, text string) {
	x.open(name)
	x.WriteString(xmlEscape.Replace(text))
	x.WriteString("</Attribute>\n")
}

// list writes an attribute that holds objects.
func (x *xmlWriter) list(name string, body func()) {
	x.open(name)
	x.WriteString("<Array>\n")
	body()
	x.WriteString("</Array></Attribute>\n")
}

func (x *xmlWriter) object(kind string, body func()) {
	fmt.Fprintf(x, "<DataObject ObjectType=\"%s\">\n", kind)
	body()
	x.WriteString("</DataObject>\n")
}

// base64 writes bytes as text, in lines if that is the style.
func (x *xmlWriter) base64(name string, b []byte) {
	text := base64.StdEncoding.EncodeToString(b)
	if !x.style.Wrapped {
		x.leaf(name, text)
		return
	}
	var lines strings.Builder
	for len(text) > 76 {
		lines.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	x.leaf(name, lines.String()+text)
}

// spacing writes the size of a pixel in millimetres, rows first as DICOM has it.
func (x *xmlWriter) spacing(mppX, mppY float64) {
	f := `"%.9g" "%.9g"`
	if x.style.Unquoted {
		f = `%.9g %.9g`
	}
	x.leaf("DICOM_PIXEL_SPACING", fmt.Sprintf(f, mppY/1000, mppX/1000))
}

// xml is the description of IFD 0.
func (w *philipsWriter) xml(pictures []picture) []byte {
	x := &xmlWriter{style: w.p.XML}
	if x.style.BOM {
		x.WriteString("\ufeff")
	}
	if !x.style.NoProlog {
		encoding := "UTF-8"
		if x.style.Encoding != "" {
			encoding = x.style.Encoding
		}
		fmt.Fprintf(x, "<?xml version=\"1.0\" encoding=\"%s\" ?>\n", encoding)
	}
	x.object("DPUfsImport", func() { w.xmlRoot(x, pictures) })
	text := strings.TrimSuffix(x.String(), "\n")
	if x.style.CRLF {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return append([]byte(text), make([]byte, 1+x.style.NULs)...)
}

func (w *philipsWriter) xmlRoot(x *xmlWriter, pictures []picture) {
	p := &w.p
	if !p.Acquired.IsZero() {
		x.leaf("DICOM_ACQUISITION_DATETIME", p.Acquired.Format("20060102150405.000000"))
	}
	x.leaf("DICOM_MANUFACTURER", p.Maker)
	x.leaf("DICOM_MANUFACTURERS_MODEL_NAME", p.Model)
	x.leaf("DICOM_DEVICE_SERIAL_NUMBER", p.Serial)
	x.leaf("DICOM_SOFTWARE_VERSIONS", `"1.6.6186" "20150402_R48" "4.0.3"`)
	x.leaf("PIIM_DP_SCANNER_OPERATOR_ID", "operator")
	if x.style.EmptyLeaf {
		x.WriteString("<Attribute/>\n")
	}
	x.list("PIM_DP_SCANNED_IMAGES", func() {
		x.object("DPScannedImage", func() { w.xmlWSI(x) })
		if x.style.SpareObject {
			x.object("DPScannedImage", func() { w.xmlWSI(x) })
		}
		for _, pic := range pictures {
			w.xmlPicture(x, pic)
		}
	})
	if !p.NoBarcode {
		text := p.Barcode
		if !p.BarcodePlain {
			text = base64.StdEncoding.EncodeToString([]byte(text))
		}
		x.leaf("PIM_DP_UFS_BARCODE", text)
	}
	x.leaf("PIM_DP_UFS_INTERFACE_VERSION", "3.0")
	if n := p.DescriptionPad - x.Len() - 400; n > 0 {
		// A large macro is what makes real descriptions long.
		x.object("DPScannedImage", func() {
			x.leaf("PIM_DP_IMAGE_TYPE", "OTHERIMAGE")
			x.leaf("PIM_DP_IMAGE_DATA", strings.Repeat("QUJD", n/4))
		})
	}
}

func (w *philipsWriter) xmlWSI(x *xmlWriter) {
	p := &w.p
	x.leaf("PIM_DP_IMAGE_TYPE", "WSI")
	objective := "10003"
	if p.Objective > 0 {
		objective = fmt.Sprintf("%g", p.Objective)
	}
	big, rgb := 0, 0
	if p.Big {
		big = 1
	}
	if p.RGB {
		rgb = 1
	}
	x.leaf("DICOM_DERIVATION_DESCRIPTION", fmt.Sprintf(`tiff-useBigTIFF=%d-useRgb=%d-levels=%s,10002,10000,10001-processing=0-q%d-sourceFilename="synthetic.isyntax";PHILIPS UFS V1.6.6495 | Quality=2 | DWT=1 | Compressor=16`, big, rgb, objective, p.Quality))
	if len(p.ICC) > 0 {
		x.base64("DICOM_ICCPROFILE", p.ICC)
	}
	x.spacing(p.MPPX, p.MPPY)
	x.list("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", func() {
		for i := range w.outs {
			x.object("PixelDataRepresentation", func() { w.xmlLevel(x, i) })
		}
	})
	width, height := w.tagSize(0)
	x.leaf("PIM_DP_IMAGE_COLUMNS", fmt.Sprint(width))
	x.leaf("PIM_DP_IMAGE_ROWS", fmt.Sprint(height))
	x.leaf("DICOM_SAMPLES_PER_PIXEL", "3")
	x.leaf("DICOM_PHOTOMETRIC_INTERPRETATION", "RGB") // whatever it is
}

func (w *philipsWriter) xmlLevel(x *xmlWriter, level int) {
	if !x.style.NoSpacings {
		// Nominal: 10 µm divided by the magnification.
		mpp := 10 / math.Max(math.Round(10/w.p.MPPX), 1) * float64(int(1)<<level)
		x.spacing(mpp, mpp)
	}
	width, height := w.tagSize(level)
	x.leaf("PIIM_DP_PIXEL_DATA_REPRESENTATION_POSITION", `"0" "0" "0"`)
	x.leaf("PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS", fmt.Sprint(width))
	x.leaf("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", fmt.Sprint(level))
	x.leaf("PIIM_PIXEL_DATA_REPRESENTATION_ROWS", fmt.Sprint(height))
}

// xmlPicture writes label or macro, its pixels too if the XML is where they are
// kept. It has a spacing of its own, which is not the slide's.
func (w *philipsWriter) xmlPicture(x *xmlWriter, pic picture) {
	x.object("DPScannedImage", func() {
		x.leaf("PIM_DP_IMAGE_TYPE", pic.kind)
		x.leaf("DICOM_PIXEL_SPACING", `"0.0315" "0.0315"`)
		if w.p.AssociatedIn != InDirectories {
			b := pic.jpeg
			if w.p.CorruptLabel && w.p.AssociatedIn == InXML && pic.kind == "LABELIMAGE" {
				b = noiseBytes(len(b))
			}
			x.base64("PIM_DP_IMAGE_DATA", b)
		}
	})
}

// noiseBytes is what a damaged picture holds: nothing a decoder knows.
func noiseBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(mix(uint64(i)))
	}
	return b
}
