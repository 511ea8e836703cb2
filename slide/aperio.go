package slide

import (
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// aperio reads SVS files: generic pyramids, except that the smaller levels are not marked
// as such, and with the properties of the slide in the description:
//
//	Aperio Image Library v10.0.51
//	46920x33014 [0,100 46000x32914] (256x256) JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990
func aperio(f *tiff.File, s *Slide) (bool, error) {
	first := f.Directories()[0]
	text, err := peek(f, first, tiff.TagImageDescription, maxXMLText)
	if err != nil || !strings.HasPrefix(text, "Aperio") || !isTiled(first) {
		return false, err
	}
	if ok, err := generic(f, s); !ok || err != nil {
		return false, err
	}
	s.Vendor = "Aperio"
	_, fields, _ := strings.Cut(text, "|")
	for field := range strings.SplitSeq(fields, "|") {
		key, val, ok := strings.Cut(field, "=")
		if key, val = strings.TrimSpace(key), strings.TrimSpace(val); ok && key != "" && val != "" {
			s.Properties["aperio."+key] = val
		}
	}
	if mpp, err := strconv.ParseFloat(s.Properties["aperio.MPP"], 64); err == nil {
		s.setMPP(mpp, mpp)
	}
	if power, err := strconv.ParseFloat(s.Properties["aperio.AppMag"], 64); err == nil && power > 0 && power <= 200 {
		s.ObjectivePower = power
	}
	s.associated = nil
	return true, s.addAssociated(f, aperioKind)
}

// maxXMLText limits the description of an Aperio slide.
const maxXMLText = 16 << 10

// aperioKind returns the kind of an associated image: the first word of the second line of
// the description or, with newer scanners, the type of the directory. The first image in
// strips without either is the thumbnail.
func aperioKind(f *tiff.File, d *tiff.Directory) (string, error) {
	text, err := peek(f, d, tiff.TagImageDescription, 256)
	if err != nil {
		return "", err
	}
	_, line, _ := strings.Cut(text, "\n")
	for _, kind := range []string{"label", "macro"} {
		if strings.HasPrefix(strings.TrimSpace(line), kind) {
			return kind, nil
		}
	}
	subfile, err := d.Uint(tiff.TagNewSubfileType, 0)
	if err != nil {
		return "", err
	}
	switch {
	case subfile == 1:
		return "label", nil
	case subfile == 9:
		return "macro", nil
	case d.Index == 1:
		return "thumbnail", nil
	}
	return "", nil
}
