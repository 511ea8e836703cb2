package slide

import (
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// ventana reads the TIFF files that Ventana scanners export. Their first directory has the
// properties of the scan in its XMP:
//
//	<iScan Magnification="20" ScanRes="0.465" …/>
//
// In the scanner's own BIF files the tiles of the largest level overlap, as its XMP tells
// with EncodeInfo. Those are rejected.
func ventana(f *tiff.File, s *Slide) (bool, error) {
	const limit = 64 << 10 // of the XMP
	first := f.Directories()[0]
	text, err := s.optionalText(first, tiff.TagXMP, limit)
	if err != nil {
		return false, err
	}
	_, tag, ok := strings.Cut(text, "<iScan")
	if !ok {
		return false, nil
	}
	if ok, err := s.readPyramid(f, ventanaName); !ok || err != nil {
		return false, err
	}
	level0 := s.sources[0].dir
	encoded, err := s.optionalText(level0, tiff.TagXMP, limit)
	if err != nil {
		return false, err
	}
	if strings.Contains(encoded, "<EncodeInfo") {
		return false, unsupported(level0, tiff.TagXMP, "Ventana BIF is not supported: the tiles of its largest level overlap; export the slide as TIFF first")
	}
	tag, _, _ = strings.Cut(tag, ">")
	if mpp, err := parseDecimal(xmlAttr([]byte(tag), "ScanRes")); err == nil {
		s.setMPP(mpp, mpp)
	}
	if power, err := parseDecimal(xmlAttr([]byte(tag), "Magnification")); err == nil {
		s.setPower(power)
	}
	s.Vendor = "Ventana"
	s.profile = directoryICC(level0)
	return true, s.addAssociated(f, ventanaName)
}

// ventanaName returns the kind of an associated image. The image named after the label
// shows the whole glass.
func ventanaName(f *tiff.File, d *tiff.Directory) (string, error) {
	text, err := peek(f, d, tiff.TagImageDescription, 64)
	switch {
	case err != nil:
		return "", err
	case strings.HasPrefix(text, "Label Image"), strings.HasPrefix(text, "Label_Image"):
		return "macro", nil
	case strings.HasPrefix(text, "Thumbnail"):
		return "thumbnail", nil
	}
	return "", nil
}
