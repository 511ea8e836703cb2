package slide

import (
	"bytes"
	"math"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	maxXMLDepth   = 32  // the deepest in use is 9
	maxObjects    = 64  // scanned images of a slide, representations of an image
	maxAttributes = 256 // of an object; about 20 are in use
	maxValue      = 4 << 10
)

// A dpImport is the XML of a Philips slide: the ImageDescription of the first
// directory, whose root is a DataObject of type DPUfsImport.
type dpImport struct {
	dpObject
	images []*dpImage
}

// A dpImage is a DataObject of type DPScannedImage: the scan, the label or the
// macro image, depending on its PIM_DP_IMAGE_TYPE.
type dpImage struct {
	dpObject
	levels []*dpObject // of type PixelDataRepresentation, one for each level
}

// A dpObject holds the Attributes of a DataObject that are plain text.
type dpObject struct {
	values map[string]string
	data   embedded // PIM_DP_IMAGE_DATA
	icc    embedded // DICOM_ICCPROFILE
}

// set stores the value of an Attribute. The first value of each name is used.
func (o *dpObject) set(a *dpFrame) {
	value := strings.Trim(a.value, " \t\r\n\x00")
	switch a.attribute {
	case "":
	case "PIM_DP_IMAGE_DATA":
		if o.data.n == 0 && (value != "" || a.long) {
			o.data = a.where
		}
	case "DICOM_ICCPROFILE":
		if o.icc.n == 0 && (value != "" || a.long) {
			o.icc = a.where
		}
	default:
		if o.values == nil {
			o.values = map[string]string{}
		}
		if _, ok := o.values[a.attribute]; !ok && !a.long && len(o.values) < maxAttributes {
			o.values[a.attribute] = value
		}
	}
}

// A dpFrame is an element that is open while the XML is read.
type dpFrame struct {
	object    *dpObject // to which Attributes in it belong; nil if its type is not read
	attribute string    // Name, in an Attribute
	leaf      bool      // an Attribute that has contained only text so far:
	value     string
	where     embedded
	long      bool // value is incomplete
}

// add appends text, which may come in pieces.
func (a *dpFrame) add(t *xmlToken, tag tiff.Tag) {
	if a.where.n == 0 {
		a.where = embedded{tag: tag, off: t.off, base64: true}
	}
	a.where.n = t.off + t.n - a.where.off
	if t.text == nil || len(a.value)+len(t.text) > maxValue {
		a.long = true
		return
	}
	a.value += xmlString(t.text)
}

// readImport reads the XML of a Philips slide. It returns nil if the description of d
// is something else, and the part before the error if the XML is cut off or malformed.
func readImport(f *tiff.File, d *tiff.Directory) (*dpImport, error) {
	e, ok := d.Entry(tiff.TagImageDescription)
	if !ok {
		return nil, nil
	}
	x := newXMLScanner(f, e)
	p := &dpImport{}
	if !x.root() {
		return nil, x.err
	}
	stack := make([]dpFrame, 1, maxXMLDepth)
	stack[0] = dpFrame{object: &p.dpObject}
	deep := 0 // open elements that are not on the stack
	for len(stack) > 0 {
		t := x.next()
		top := &stack[len(stack)-1]
		switch {
		case t.kind == xmlEnd:
			return p, x.err
		case t.kind == xmlOpen && len(stack) == cap(stack):
			deep++
		case t.kind == xmlOpen:
			stack = append(stack, p.open(top, t.tag))
		case t.kind == xmlClose && deep > 0:
			deep--
		case t.kind == xmlClose:
			if top.leaf && top.object != nil {
				top.object.set(top)
			}
			stack = stack[:len(stack)-1]
		case top.leaf && deep == 0:
			top.add(&t, x.tag)
		}
	}
	return p, x.err
}

// root reads up to the first element, and reports whether it is the root of a Philips
// slide.
func (x *xmlScanner) root() bool {
	for {
		switch t := x.next(); t.kind {
		case xmlOpen:
			return xmlName(t.tag) == "DataObject" && xmlAttr(t.tag, "ObjectType") == "DPUfsImport"
		case xmlText:
			// A byte order mark or white space; anything else is not XML.
			if t.text == nil || len(bytes.Trim(t.text, "\xef\xbb\xbf \t\r\n\x00")) > 0 {
				return false
			}
		default:
			return false
		}
	}
}

// open returns the frame of an element in top.
func (p *dpImport) open(top *dpFrame, tag []byte) dpFrame {
	top.leaf = false
	switch xmlName(tag) {
	case "Attribute":
		return dpFrame{object: top.object, attribute: xmlAttr(tag, "Name"), leaf: true}
	case "DataObject":
		return dpFrame{object: p.object(xmlAttr(tag, "ObjectType"))}
	}
	return dpFrame{object: top.object}
}

// object adds a DataObject of that type; it returns nil if the type is not read.
func (p *dpImport) object(kind string) *dpObject {
	switch kind {
	case "DPScannedImage":
		if len(p.images) < maxObjects {
			im := new(dpImage)
			p.images = append(p.images, im)
			return &im.dpObject
		}
	case "PixelDataRepresentation":
		if n := len(p.images); n > 0 && len(p.images[n-1].levels) < maxObjects {
			level := new(dpObject)
			p.images[n-1].levels = append(p.images[n-1].levels, level)
			return level
		}
	}
	return nil
}

// byKind returns the images of a PIM_DP_IMAGE_TYPE.
func (p *dpImport) byKind(kind string) []*dpImage {
	var images []*dpImage
	for _, im := range p.images {
		if im.values["PIM_DP_IMAGE_TYPE"] == kind {
			images = append(images, im)
		}
	}
	return images
}

// spacing returns the distance of pixels in mm: of rows, then of columns. Values may be
// quoted and are separated by white space.
func (o *dpObject) spacing() (y, x float64, ok bool) {
	v := strings.Fields(strings.ReplaceAll(o.values["DICOM_PIXEL_SPACING"], `"`, " "))
	if len(v) != 2 {
		return 0, 0, false
	}
	y, errY := parseDecimal(v[0])
	x, errX := parseDecimal(v[1])
	ok = errY == nil && errX == nil && y > 0 && x > 0 && !math.IsInf(y, 0) && !math.IsInf(x, 0)
	return y, x, ok
}
