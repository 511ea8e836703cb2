package synth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"strings"
	"time"
)

// An XMLStyle is how the description is written. The zero value is as Philips
// does it.
type XMLStyle struct {
	Encoding       string // in a prolog of Python's ElementTree, which writes utf8; "" is Philips's own prolog
	NoProlog       bool
	BOM            bool // UTF-8's byte order mark before all else
	CRLF           bool
	NULs           int  // how many more follow the one that ends the text
	WrapBase64     bool // lines of 76 characters
	EmptyAttribute bool // an Attribute without name and text, as de-identification leaves it
	LowerHex       bool // 0x115e for 0x115E
	Unquoted       bool // spacings without quotes
	NoSpacings     bool // the levels' spacings are missing
	SpareObject    bool // a second WSI object
}

// An xmlWriter writes the objects and attributes of Philips's XML.
type xmlWriter struct {
	strings.Builder
	style XMLStyle
	depth int
}

// xmlNames gives group, element and type of each attribute.
var xmlNames = map[string][3]string{
	"DICOM_ACQUISITION_DATETIME":                 {"0x0008", "0x002A", "IString"},
	"DICOM_MANUFACTURER":                         {"0x0008", "0x0070", "IString"},
	"DICOM_MANUFACTURERS_MODEL_NAME":             {"0x0008", "0x1090", "IString"},
	"DICOM_DERIVATION_DESCRIPTION":               {"0x0008", "0x2111", "IString"},
	"DICOM_DEVICE_SERIAL_NUMBER":                 {"0x0018", "0x1000", "IString"},
	"DICOM_SOFTWARE_VERSIONS":                    {"0x0018", "0x1020", "IStringArray"},
	"DICOM_DATE_OF_LAST_CALIBRATION":             {"0x0018", "0x1200", "IStringArray"},
	"DICOM_TIME_OF_LAST_CALIBRATION":             {"0x0018", "0x1201", "IStringArray"},
	"DICOM_SAMPLES_PER_PIXEL":                    {"0x0028", "0x0002", "IUInt16"},
	"DICOM_PHOTOMETRIC_INTERPRETATION":           {"0x0028", "0x0004", "IString"},
	"DICOM_PLANAR_CONFIGURATION":                 {"0x0028", "0x0006", "IUInt16"},
	"DICOM_PIXEL_SPACING":                        {"0x0028", "0x0030", "IDoubleArray"},
	"DICOM_BITS_ALLOCATED":                       {"0x0028", "0x0100", "IUInt16"},
	"DICOM_BITS_STORED":                          {"0x0028", "0x0101", "IUInt16"},
	"DICOM_HIGH_BIT":                             {"0x0028", "0x0102", "IUInt16"},
	"DICOM_PIXEL_REPRESENTATION":                 {"0x0028", "0x0103", "IUInt16"},
	"DICOM_ICCPROFILE":                           {"0x0028", "0x2000", "IString"},
	"DICOM_LOSSY_IMAGE_COMPRESSION":              {"0x0028", "0x2110", "IString"},
	"DICOM_LOSSY_IMAGE_COMPRESSION_RATIO":        {"0x0028", "0x2112", "IDoubleArray"},
	"DICOM_LOSSY_IMAGE_COMPRESSION_METHOD":       {"0x0028", "0x2114", "IStringArray"},
	"PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE":    {"0x1001", "0x8B01", "IDataObjectArray"},
	"PIIM_PIXEL_DATA_REPRESENTATION_NUMBER":      {"0x1001", "0x8B02", "IUInt16"},
	"PIIM_DP_SCANNER_RACK_NUMBER":                {"0x101D", "0x1007", "IUInt16"},
	"PIIM_DP_SCANNER_SLOT_NUMBER":                {"0x101D", "0x1008", "IUInt16"},
	"PIIM_DP_SCANNER_OPERATOR_ID":                {"0x101D", "0x1009", "IString"},
	"PIIM_DP_SCANNER_CALIBRATION_STATUS":         {"0x101D", "0x100A", "IString"},
	"PIIM_DP_PIXEL_DATA_REPRESENTATION_POSITION": {"0x101D", "0x100B", "IDoubleArray"},
	"PIIM_PIXEL_DATA_REPRESENTATION_ROWS":        {"0x2001", "0x115D", "IUInt32"},
	"PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS":     {"0x2001", "0x115E", "IUInt32"},
	"PIM_DP_SOURCE_FILE":                         {"0x301D", "0x1000", "IString"},
	"PIM_DP_UFS_INTERFACE_VERSION":               {"0x301D", "0x1001", "IString"},
	"PIM_DP_UFS_BARCODE":                         {"0x301D", "0x1002", "IString"},
	"PIM_DP_SCANNED_IMAGES":                      {"0x301D", "0x1003", "IDataObjectArray"},
	"PIM_DP_IMAGE_TYPE":                          {"0x301D", "0x1004", "IString"},
	"PIM_DP_IMAGE_DATA":                          {"0x301D", "0x1005", "IString"},
	"PIM_DP_IMAGE_ROWS":                          {"0x301D", "0x1006", "IUInt32"},
	"PIM_DP_IMAGE_COLUMNS":                       {"0x301D", "0x1007", "IUInt32"},
	"PIM_DP_SCANNER_RACK_PRIORITY":               {"0x301D", "0x1010", "IUInt16"},
	"UFS_IMAGE_PIXEL_TRANSFORMATION_METHOD":      {"0x301D", "0x2013", "IString"},
}

// line begins a line.
func (x *xmlWriter) line(format string, args ...any) {
	if x.style.CRLF {
		x.WriteByte('\r')
	}
	x.WriteString("\n" + strings.Repeat("\t", x.depth))
	fmt.Fprintf(x, format, args...)
}

// open starts an attribute; its contents follow.
func (x *xmlWriter) open(name string) {
	n := xmlNames[name]
	if x.style.LowerHex {
		n[0], n[1] = strings.ToLower(n[0]), strings.ToLower(n[1])
	}
	x.line(`<Attribute Name="%s" Group="%s" Element="%s" PMSVR="%s">`, name, n[0], n[1], n[2])
}

// attribute writes an attribute with a text.
func (x *xmlWriter) attribute(name string, value any) {
	x.open(name)
	x.WriteString(html.EscapeString(fmt.Sprint(value)))
	x.WriteString("</Attribute>")
}

// binary writes an attribute of base64.
func (x *xmlWriter) binary(name string, data []byte) {
	x.open(name)
	text := base64.StdEncoding.EncodeToString(data)
	for x.style.WrapBase64 && len(text) > 76 {
		x.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	x.WriteString(text + "</Attribute>")
}

// array writes an attribute of objects.
func (x *xmlWriter) array(name string, contents func()) {
	x.open(name)
	x.depth++
	x.line("<Array>")
	x.depth++
	contents()
	x.depth--
	x.line("</Array>")
	x.depth--
	x.line("</Attribute>")
}

func (x *xmlWriter) object(kind string, contents func()) {
	x.line(`<DataObject ObjectType="%s">`, kind)
	x.depth++
	contents()
	x.depth--
	x.line("</DataObject>")
}

// xml is the description of IFD 0.
func (w *philipsWriter) xml(pictures []picture) []byte {
	b := w.document(pictures, 0)
	if missing := w.p.DescriptionPad - len(b); missing > 0 {
		b = w.document(pictures, missing)
	}
	return b
}

// document writes the description, lengthened by more bytes.
func (w *philipsWriter) document(pictures []picture, more int) []byte {
	p := &w.p
	x := &xmlWriter{style: p.XML}
	if p.XML.BOM {
		x.WriteString("\uFEFF")
	}
	switch {
	case p.XML.NoProlog:
	case p.XML.Encoding != "":
		fmt.Fprintf(x, `<?xml version='1.0' encoding='%s'?>`, p.XML.Encoding)
	default:
		x.WriteString(`<?xml version="1.0" encoding="UTF-8" ?>`)
	}
	x.object("DPUfsImport", func() { w.importObject(x, pictures, more) })
	text := x.String()
	if p.XML.NoProlog && !p.XML.BOM {
		text = strings.TrimLeft(text, "\r\n")
	}
	return append([]byte(text), make([]byte, 1+p.XML.NULs)...)
}

func (w *philipsWriter) importObject(x *xmlWriter, pictures []picture, more int) {
	p := &w.p
	if !p.Acquired.IsZero() {
		x.attribute("DICOM_ACQUISITION_DATETIME", p.Acquired.Format("20060102150405.000000"))
	}
	x.attribute("DICOM_MANUFACTURER", p.Maker)
	x.attribute("DICOM_MANUFACTURERS_MODEL_NAME", p.Model)
	x.attribute("DICOM_DEVICE_SERIAL_NUMBER", p.Serial)
	x.attribute("DICOM_SOFTWARE_VERSIONS", `"1.6.6186" "20150402_R48" "4.0.3"`)
	if p.XML.EmptyAttribute {
		x.line("<Attribute/>")
	}
	if !p.Acquired.IsZero() {
		day := p.Acquired.Truncate(24 * time.Hour)
		x.attribute("DICOM_DATE_OF_LAST_CALIBRATION", day.Format(`"20060102"`))
		x.attribute("DICOM_TIME_OF_LAST_CALIBRATION", `"062411"`)
	}
	x.array("PIM_DP_SCANNED_IMAGES", func() {
		x.object("DPScannedImage", func() { w.scan(x) })
		if p.XML.SpareObject {
			x.object("DPScannedImage", func() { w.scan(x) })
		}
		for i := range pictures {
			pic := &pictures[i]
			grow := 0
			if pic.kind == macroImage {
				grow = more
			}
			if p.AssociatedIn != InDirectories || grow > 0 {
				w.embedded(x, pic, grow)
			}
		}
	})
	if !p.Macro && more > 0 {
		x.line("<!-- %s -->", strings.Repeat(".", more))
	}
	x.attribute("PIIM_DP_SCANNER_RACK_NUMBER", 5)
	x.attribute("PIIM_DP_SCANNER_SLOT_NUMBER", 3)
	x.attribute("PIIM_DP_SCANNER_CALIBRATION_STATUS", "OK")
	x.attribute("PIM_DP_UFS_INTERFACE_VERSION", "3.0")
	switch {
	case p.NoBarcode:
	case p.BarcodePlain:
		x.attribute("PIM_DP_UFS_BARCODE", p.Barcode)
	default:
		x.binary("PIM_DP_UFS_BARCODE", []byte(p.Barcode))
	}
}

// scan describes the picture in the levels.
func (w *philipsWriter) scan(x *xmlWriter) {
	p := &w.p
	width, height := w.tagSize(0)
	x.attribute("PIM_DP_IMAGE_TYPE", "WSI")
	x.attribute("DICOM_DERIVATION_DESCRIPTION", w.derivation())
	x.attribute("DICOM_SAMPLES_PER_PIXEL", 3)
	x.attribute("DICOM_PHOTOMETRIC_INTERPRETATION", "RGB") // even if the tags say YCbCr
	x.attribute("DICOM_PLANAR_CONFIGURATION", 0)
	x.spacing(p.MPPY, p.MPPX)
	x.attribute("DICOM_BITS_ALLOCATED", 8)
	x.attribute("DICOM_BITS_STORED", 8)
	x.attribute("DICOM_HIGH_BIT", 7)
	x.attribute("DICOM_PIXEL_REPRESENTATION", 0)
	x.attribute("DICOM_LOSSY_IMAGE_COMPRESSION", "01")
	x.attribute("DICOM_LOSSY_IMAGE_COMPRESSION_RATIO", `"2" "3"`)
	x.attribute("DICOM_LOSSY_IMAGE_COMPRESSION_METHOD", `"PHILIPS_DP_1_0" "PHILIPS_TIFF_1_0"`)
	if len(p.ICC) > 0 {
		x.binary("DICOM_ICCPROFILE", p.ICC)
	}
	x.array("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", func() {
		for i := range p.Levels {
			x.object("PixelDataRepresentation", func() { w.representation(x, i) })
		}
	})
	x.attribute("PIM_DP_IMAGE_COLUMNS", width)
	x.attribute("PIM_DP_IMAGE_ROWS", height)
	x.attribute("PIM_DP_SOURCE_FILE", "%FILENAME%")
	x.attribute("UFS_IMAGE_PIXEL_TRANSFORMATION_METHOD", 0)
}

// representation describes a level. Its spacing is nominal: that of a round
// magnification, not that of the scan.
func (w *philipsWriter) representation(x *xmlWriter, level int) {
	width, height := w.tagSize(level)
	nominal := 10 / float64(int(10/w.p.MPPX+0.5)) * float64(int(1)<<level)
	if !x.style.NoSpacings {
		x.spacing(nominal, nominal)
	}
	x.attribute("PIIM_DP_PIXEL_DATA_REPRESENTATION_POSITION", `"0" "0" "0"`)
	x.attribute("PIIM_PIXEL_DATA_REPRESENTATION_COLUMNS", width)
	x.attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", level)
	x.attribute("PIIM_PIXEL_DATA_REPRESENTATION_ROWS", height)
}

// spacing writes the distances of rows and of columns, given in µm, in mm.
func (x *xmlWriter) spacing(row, column float64) {
	form := `"%.6g" "%.6g"`
	if x.style.Unquoted {
		form = `%.6g %.6g`
	}
	x.attribute("DICOM_PIXEL_SPACING", fmt.Sprintf(form, row/1000, column/1000))
}

// derivation describes how the file was created. The first number of its levels is the
// objective, or 10003 without one.
func (w *philipsWriter) derivation() string {
	objective := "10003"
	if w.p.Objective > 0 {
		objective = fmt.Sprint(w.p.Objective)
	}
	bit := map[bool]int{true: 1}
	return fmt.Sprintf(`tiff-useBigTIFF=%d-useRgb=%d-levels=%s,10002,10000,10001-processing=0-q%d-sourceFilename="synthetic-%d.isyntax";PHILIPS UFS V1.6.6186 | Quality=2 | DWT=1 | Compressor=16`,
		bit[w.p.Big], bit[w.p.RGB], objective, w.p.Quality, w.p.Seed)
}

// embedded writes a picture as an attribute, with a JPEG lengthened so that the
// description grows by more bytes.
func (w *philipsWriter) embedded(x *xmlWriter, pic *picture, more int) {
	data := w.coder().image(pic.img, 0, pic.img.Rect.Dy(), InTiles)
	if w.isNoise(pic, true) {
		data = garbage(len(data))
	}
	x.object("DPScannedImage", func() {
		x.attribute("PIM_DP_IMAGE_TYPE", pic.kind)
		x.binary("PIM_DP_IMAGE_DATA", lengthened(data, ceilDiv(more, 4)*3))
	})
}

// lengthened returns a JPEG with n bytes of comments.
func lengthened(jpeg []byte, n int) []byte {
	const longest = 65533
	out := bytes.Clone(jpeg[:2]) // SOI
	for ; n > 0; n -= longest {
		out = appendMarker(out, 0xfe, bytes.Repeat([]byte{'.'}, min(n, longest)))
	}
	return append(out, jpeg[2:]...)
}
