package slide

import (
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// An omeImage is an Image element of OME-XML.
type omeImage struct {
	name       string
	mppX, mppY float64 // 0 if unknown
}

// readOME returns the images of the OME-XML in the first description, by the index of their
// first directory; nil if the description is something else.
func readOME(f *tiff.File) (map[int]omeImage, error) {
	e, ok := f.Directories()[0].Entry(tiff.TagImageDescription)
	if !ok {
		return nil, nil
	}
	x := newXMLScanner(f, e)
	var images map[int]omeImage
	var im omeImage
	for {
		t := x.next()
		switch {
		case t.kind == xmlEnd, t.kind == xmlOpen && images == nil && xmlName(t.tag) != "OME":
			return images, x.err
		case t.kind == xmlText && images == nil && (t.text == nil || strings.TrimSpace(strings.TrimPrefix(string(t.text), "\ufeff")) != ""):
			return nil, x.err // not XML
		case t.kind != xmlOpen:
			continue
		}
		switch xmlName(t.tag) {
		case "OME":
			images = map[int]omeImage{}
		case "Image":
			im = omeImage{name: xmlAttr(t.tag, "Name")}
		case "Pixels":
			im.mppX = omeSize(t.tag, "PhysicalSizeX")
			im.mppY = omeSize(t.tag, "PhysicalSizeY")
		case "TiffData":
			n, err := strconv.Atoi(xmlAttr(t.tag, "IFD"))
			if _, known := images[n]; (err == nil || xmlAttr(t.tag, "IFD") == "") && !known && len(images) < maxObjects {
				images[n] = im
			}
		}
	}
}

// omeSize returns the size of a pixel in µm, or 0 if it is unknown or in another unit. The
// unit is µm unless it is given.
func omeSize(tag []byte, name string) float64 {
	size, err := parseDecimal(xmlAttr(tag, name))
	if err != nil {
		return 0
	}
	switch xmlAttr(tag, name+"Unit") {
	case "", "µm", "μm": // micro sign, Greek letter
		return size
	case "nm":
		return size / 1000
	case "mm":
		return size * 1000
	}
	return 0
}

// omeName returns the kind of associated image that the name of an image says.
func omeName(name string) string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(name)), " ")
	switch word {
	case "label", "macro", "thumbnail":
		return word
	case "overview":
		return "macro"
	}
	return ""
}
