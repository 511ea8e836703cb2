package slide

import (
	"errors"
	"io"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Tags and texts that identify slides which would open as generic pyramids and be
// displayed incorrectly.
const (
	tagNDPI    tiff.Tag = 65420 // Hamamatsu
	leicaSpace          = "http://www.leica-microsystems.com/scn/"
)

// nameOther replaces the error err for a file that is not a TIFF by one that names what the
// file is, if it is of a known kind.
func nameOther(r io.ReaderAt, size int64, err error) error {
	if bad, ok := errors.AsType[*tiff.FormatError](err); !ok || bad.Offset != 0 || bad.Tag != 0 {
		return err
	}
	const least = 8 // bytes of a file whose kind is certain
	head := make([]byte, min(size, 4<<10))
	n, readErr := r.ReadAt(head, 0)
	if readErr != nil && !errors.Is(readErr, io.EOF) {
		return err
	}
	if name := otherKind(head[:n]); name != "" && n >= least {
		return &tiff.UnsupportedError{Msg: name}
	}
	return err
}

// otherKind describes a file by its first bytes; "" if its kind is unknown.
func otherKind(head []byte) string {
	const (
		export = ", which is not read here; export the slide as pyramidal TIFF with its vendor's software"
		flat   = ", not a pyramid; convert it with ptiffstore convert"
	)
	for _, k := range []struct {
		at    int
		magic string
		what  string
	}{
		{128, "DICM", "a DICOM file, which is read as part of a series: open the folder of the series"},
		{0, "ZISRAWFILE", "a Zeiss CZI file" + export},
		{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE2 file, such as Zeiss ZVI" + export},
		{0, "KFB", "a KFBio KFB file" + export},
		{0, "ETS\x00", "a part of an Olympus VSI slide" + export},
		{0, "SIS\x00", "a part of an Olympus VSI slide" + export},
		{0, "\xff\xd8\xff", "a JPEG image" + flat + " (a .mrxs file is part of a MIRAX slide, which is not read here)"},
		{0, "\x89PNG\r\n", "a PNG image" + flat},
		{0, "\x00\x00\x00\x0cjP  ", "a JPEG 2000 image" + export},
		{0, "%PDF-", "a PDF document, not a slide"},
		{0, "PK\x03\x04", "a ZIP archive; unpack it first"},
		{0, "\x1f\x8b", "a gzip archive; unpack it first"},
	} {
		if len(head) >= k.at+len(k.magic) && string(head[k.at:k.at+len(k.magic)]) == k.magic {
			return "it is " + k.what
		}
	}
	text := strings.TrimSpace(strings.TrimPrefix(string(head), "\ufeff"))
	low := strings.ToLower(text[:min(len(text), 512)])
	switch {
	case strings.HasPrefix(low, "<") && strings.Contains(text, "DPUfsImport"):
		return "it is a Philips iSyntax file" + export
	case strings.HasPrefix(low, "<!doctype html"), strings.HasPrefix(low, "<html"):
		return "it is an HTML page, not a slide: a download has probably stored an error or login page instead of the file; download it again"
	case strings.HasPrefix(low, "[general]") && strings.Contains(text, "SLIDE_"):
		return "it is a part of a MIRAX slide" + export
	case strings.HasPrefix(low, "<?xml"):
		return "it is an XML file, not a slide"
	}
	return ""
}

// foreign rejects slides that are tiled TIFF files but whose tiles cannot be displayed
// side by side as they are stored. It never reports true.
func foreign(f *tiff.File, s *Slide) (bool, error) {
	const advice = "; convert the slide to a pyramidal TIFF first"
	first := f.Directories()[0]
	if _, ok := first.Entry(tagNDPI); ok {
		return false, unsupported(first, tagNDPI, "Hamamatsu NDPI is not supported: each level is one JPEG image without tiles"+advice)
	}
	for _, k := range []struct {
		tag   tiff.Tag
		holds string
		why   string
	}{
		{tiff.TagImageDescription, leicaSpace, "Leica SCN is not supported: it places several scans on one canvas"},
		{tiff.TagSoftware, "MedScan", "Trestle is not supported: its tiles overlap"},
	} {
		text, err := s.optionalText(first, k.tag, 4<<10)
		if err != nil {
			return false, err
		}
		if strings.Contains(text, k.holds) {
			return false, unsupported(first, k.tag, "%s", k.why+advice)
		}
	}
	return false, nil
}
