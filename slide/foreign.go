package slide

import (
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Tags and texts that identify slides which would open as generic pyramids and be
// displayed incorrectly.
const (
	tagNDPI    tiff.Tag = 65420 // Hamamatsu
	leicaSpace          = "http://www.leica-microsystems.com/scn/"
)

// foreign rejects slides that are tiled TIFF files but whose tiles cannot be displayed
// side by side as they are stored. It never reports true.
func foreign(f *tiff.File, _ *Slide) (bool, error) {
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
		{tiff.TagXMP, "<iScan", "Ventana BIF is not supported: the tiles of its largest level overlap"},
		{tiff.TagImageDescription, leicaSpace, "Leica SCN is not supported: it places several scans on one canvas"},
		{tiff.TagSoftware, "MedScan", "Trestle is not supported: its tiles overlap"},
	} {
		text, err := peek(f, first, k.tag, 4<<10)
		if err != nil {
			return false, err
		}
		if strings.Contains(text, k.holds) {
			return false, unsupported(first, k.tag, "%s", k.why+advice)
		}
	}
	return false, nil
}
