package slide

import (
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Tags and texts by which slides are known that would open as generic pyramids
// and be shown wrongly.
const (
	tagNDPI    tiff.Tag = 65420 // Hamamatsu
	leicaSpace          = "http://www.leica-microsystems.com/scn/"
)

// foreign refuses slides whose tiles cannot be passed on as they are, though
// they are TIFFs of tiles. It never reports true.
func foreign(f *tiff.File, _ *Slide) (bool, error) {
	const advice = "; convert the slide to a pyramidal TIFF first"
	first := f.Directories()[0]
	if _, ok := first.Entry(tagNDPI); ok {
		return false, unsupported(first, tagNDPI, "Hamamatsu NDPI: each level is one JPEG, not cut into tiles"+advice)
	}
	for _, k := range []struct {
		tag   tiff.Tag
		holds string
		why   string
	}{
		{tiff.TagXMP, "<iScan", "Ventana BIF: the tiles of its largest level overlap"},
		{tiff.TagImageDescription, leicaSpace, "Leica SCN: several scans are laid out on one canvas"},
		{tiff.TagSoftware, "MedScan", "Trestle: its tiles overlap"},
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
