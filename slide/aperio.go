package slide

import (
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
	if ok, err := s.readPyramid(f, aperioName); !ok || err != nil {
		return false, err
	}
	s.Vendor = "Aperio"
	s.gaps = true
	values := describedValues(text)
	for key, val := range values {
		s.Properties["aperio."+key] = val
	}
	s.setDescribed(values)
	if s.MPPX == 0 {
		if err := s.directoryMPP(first); err != nil {
			return false, err
		}
	}
	s.profile = directoryICC(first)
	return true, s.addAssociated(f, aperioKind)
}

// maxXMLText limits the description of an Aperio slide.
const maxXMLText = 16 << 10

// aperioName returns the kind of an associated image that says what it is: with the first
// word of the second line of its description or, if it is a macro, with the type of its
// directory. It returns "" for others, such as levels.
func aperioName(f *tiff.File, d *tiff.Directory) (string, error) {
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
	subfile, err := subfileType(d)
	if subfile == aperioMacro {
		return "macro", err
	}
	return "", err
}

// Values of tag 254 in the directories of associated images.
const (
	aperioLabel = 1
	aperioMacro = 9
)

// aperioKind returns the kind of an associated image, which is not a level: its name or,
// with newer scanners, the type of its directory. The first image in strips without either
// is the thumbnail.
func aperioKind(f *tiff.File, d *tiff.Directory) (string, error) {
	kind, err := aperioName(f, d)
	if kind != "" || err != nil {
		return kind, err
	}
	subfile, err := subfileType(d)
	switch {
	case err != nil:
		return "", err
	case subfile == aperioLabel:
		return "label", nil
	case d.Index == 1 && !isTiled(d):
		return "thumbnail", nil
	}
	return "", nil
}
