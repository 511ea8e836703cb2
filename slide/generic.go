package slide

import (
	"bytes"
	"math"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// Bits of tag 254.
const (
	reducedResolution = 1
	transparencyMask  = 4
)

// Values of tag 296.
const (
	unitInch       = 2
	unitCentimetre = 3
)

// generic reads any tiled pyramid: those of libvips, GDAL, QuPath, the Philips Pathology
// SDK, and of other programs that conform to TIFF 6.0.
func generic(f *tiff.File, s *Slide) (bool, error) {
	images, err := readOME(f)
	if err := s.tolerate(err); err != nil {
		return false, err
	}
	name := func(f *tiff.File, d *tiff.Directory) (string, error) {
		if kind := omeName(images[d.Index].name); kind != "" {
			return kind, nil
		}
		return kindByFirstWord(f, d)
	}
	if ok, err := s.readPyramid(f, name); !ok || err != nil {
		return false, err
	}
	first := s.sources[0].dir
	if err := s.directoryMPP(first); err != nil {
		return false, err
	}
	if im := images[first.Index]; s.MPPX == 0 {
		s.setMPP(im.mppX, im.mppY)
	}
	s.setDescribed(describedValues(s.Properties["tiff.ImageDescription"]))
	s.setPacked(s.Properties["tiff.ImageDescription"])
	s.profile = directoryICC(first)
	return true, s.addAssociated(f, name)
}

// A namer returns the kind of an associated image that says what it is, with its
// description or type, and "" for other images, such as levels.
type namer func(*tiff.File, *tiff.Directory) (string, error)

// readPyramid fills in the levels and properties of a file whose directories are the levels
// of one image, besides those that are something else. It reports false if there is no such directory.
func (s *Slide) readPyramid(f *tiff.File, name namer) (bool, error) {
	var tiled []*tiff.Directory
	for _, d := range f.Directories() {
		kind, err := name(f, d)
		if err := s.tolerate(err); err != nil {
			return false, err
		}
		mask, err := isMask(d)
		if err != nil {
			return false, err
		}
		if kind == "" && !mask && isTiled(d) {
			tiled = append(tiled, d)
		}
	}
	first, err := largestLevel(tiled)
	if err != nil || first == nil {
		return false, err
	}
	dirs, err := smaller(tiled, first)
	if err != nil {
		return false, err
	}
	subs, err := first.SubDirectories()
	if err != nil {
		return false, err
	}
	if subs, err = smaller(subs, first); err != nil {
		return false, err
	}
	if err := s.addLevels(f, append(append([]*tiff.Directory{first}, dirs...), subs...)); err != nil {
		return false, err
	}
	s.dropRepeated()
	s.padded()
	return true, s.directoryProperties(first)
}

// largestLevel returns the directory of level 0: the largest one that is not marked as a
// reduced version of another, the first of equal ones; nil without directories.
func largestLevel(dirs []*tiff.Directory) (*tiff.Directory, error) {
	var best *tiff.Directory
	var most uint64
	var bestReduced bool
	for _, d := range dirs {
		kind, err := subfileType(d)
		if err != nil {
			return nil, err
		}
		w, h, err := sizeOf(d)
		if err != nil {
			return nil, err
		}
		reduced := kind&reducedResolution != 0
		if best == nil || bestReduced && !reduced || bestReduced == reduced && w*h > most {
			best, most, bestReduced = d, w*h, reduced
		}
	}
	return best, nil
}

// smaller returns the tiled directories of dirs that are smaller versions of first: those
// with the same aspect ratio. Some writers mark them as such, others do not, and some mark
// labels in the same way. Masks, other pages and other images are skipped.
func smaller(dirs []*tiff.Directory, first *tiff.Directory) ([]*tiff.Directory, error) {
	w0, h0, err := sizeOf(first)
	if err != nil {
		return nil, err
	}
	var kept []*tiff.Directory
	for _, d := range dirs {
		if d == first || !isTiled(d) {
			continue
		}
		kind, err := subfileType(d)
		if err != nil {
			return nil, err
		}
		w, h, err := sizeOf(d)
		if err != nil {
			return nil, err
		}
		if kind&transparencyMask != 0 || w == 0 || h == 0 || w > w0 || h > h0 || w == w0 && h == h0 {
			continue
		}
		if sameShape(w0, h0, w, h) || kind&reducedResolution != 0 && similarShape(d, w0, h0, w, h) {
			kept = append(kept, d)
		}
	}
	return kept, nil
}

// similarShape reports whether w×h may be w0×h0 divided by the same number, with rounding
// at each level in between, or rounded up to whole tiles of d.
func similarShape(d *tiff.Directory, w0, h0, w, h uint64) bool {
	const tolerance = 0.05
	ratio := float64(w0) * float64(h) / (float64(h0) * float64(w))
	if math.Abs(ratio-1) <= tolerance || math.Abs(1/ratio-1) <= tolerance {
		return true
	}
	tw, errW := d.Uint(tiff.TagTileWidth, 0)
	th, errH := d.Uint(tiff.TagTileLength, 0)
	return errW == nil && errH == nil && tw > 0 && th > 0 && (w%tw == 0 && h%th == 0 || w < 2*tw && h < 2*th && w < 64 && h < 64)
}

// sameShape reports whether w×h is w0×h0 divided by the same number, up to a pixel of
// rounding.
func sameShape(w0, h0, w, h uint64) bool {
	d := float64(w0) / float64(w)
	e := float64(h0) / float64(h)
	return math.Abs(float64(h0)/d-float64(h)) <= 1 || math.Abs(float64(w0)/e-float64(w)) <= 1
}

// dropRepeated removes levels that are as large as the one before: the same image
// listed both as a page and as a SubIFD.
func (s *Slide) dropRepeated() {
	n := 1
	for i := 1; i < len(s.Levels); i++ {
		if s.Levels[i].Width == s.Levels[n-1].Width && s.Levels[i].Height == s.Levels[n-1].Height {
			continue
		}
		s.Levels[n], s.sources[n] = s.Levels[i], s.sources[i]
		n++
	}
	s.Levels, s.sources = s.Levels[:n], s.sources[:n]
}

// padded recognises a pyramid whose sizes are all rounded up to whole tiles, as written by
// the Philips Pathology SDK: every level is half of the previous one, although the ratios
// of its sizes differ. The sizes remain as in the tags.
func (s *Slide) padded() {
	l0 := &s.Levels[0]
	for i := range s.Levels {
		l, d := &s.Levels[i], 1<<min(i, 31)
		if l.Width != ceilDiv(ceilDiv(l0.Width, d), l.TileWidth)*l.TileWidth ||
			l.Height != ceilDiv(ceilDiv(l0.Height, d), l.TileHeight)*l.TileHeight {
			return
		}
	}
	for i := range s.Levels {
		s.Levels[i].Downsample = math.Exp2(float64(i))
	}
}

// directoryMPP sets the resolution from XResolution, YResolution and their unit.
func (s *Slide) directoryMPP(d *tiff.Directory) error {
	unit, err := s.optional(d, tiff.TagResolutionUnit, unitInch)
	if err != nil {
		return err
	}
	µm := map[uint64]float64{unitInch: 25400, unitCentimetre: 10000}[unit]
	x, err := s.optionalFloat(d, tiff.TagXResolution, 0)
	if err != nil {
		return err
	}
	y, err := s.optionalFloat(d, tiff.TagYResolution, x)
	if err != nil {
		return err
	}
	if µm > 0 && x > 0 && y > 0 {
		s.setMPP(µm/x, µm/y)
	}
	return nil
}

// setMPP sets the resolution unless it is implausible for a microscope: programs that
// do not know it write 72 dots per inch, which is 353 µm.
func (s *Slide) setMPP(x, y float64) {
	const finest, coarsest = 0.005, 40
	if x >= finest && x <= coarsest && y >= finest && y <= coarsest {
		s.MPPX, s.MPPY = x, y
	}
}

// directoryProperties copies the short texts of d.
func (s *Slide) directoryProperties(d *tiff.Directory) error {
	for _, t := range []struct {
		tag  tiff.Tag
		name string
	}{
		{tiff.TagImageDescription, "tiff.ImageDescription"},
		{tiff.TagMake, "tiff.Make"},
		{tiff.TagModel, "tiff.Model"},
		{tiff.TagSoftware, "tiff.Software"},
		{tiff.TagDateTime, "tiff.DateTime"},
	} {
		text, err := s.optionalText(d, t.tag, maxValue)
		if err != nil {
			return err
		}
		if text = strings.TrimSpace(text); text != "" {
			s.Properties[t.name] = text
		}
	}
	s.Vendor = s.Properties["tiff.Make"]
	return nil
}

// notPyramidal returns the error for a file whose first directory d has no tiles.
func notPyramidal(d *tiff.Directory) error {
	const words = "not a pyramidal TIFF: its pixels are stored in strips, not in tiles; convert it with ptiffstore convert"
	return &notPyramid{&tiff.UnsupportedError{Offset: offsetOf(d, tiff.TagStripOffsets), Tag: tiff.TagStripOffsets, Msg: words}}
}

// isMask reports whether d is a transparency mask of another directory, as in Cloud
// Optimized GeoTIFF.
func isMask(d *tiff.Directory) (bool, error) {
	kind, err := subfileType(d)
	return kind&transparencyMask != 0, err
}

// sizeOf returns the size of d in pixels; a size that is too large is returned as 0.
func sizeOf(d *tiff.Directory) (w, h uint64, err error) {
	if w, err = d.Uint(tiff.TagImageWidth, 0); err != nil {
		return 0, 0, err
	}
	if h, err = d.Uint(tiff.TagImageLength, 0); err != nil {
		return 0, 0, err
	}
	if w > maxSide || h > maxSide {
		return 0, 0, nil
	}
	return w, h, nil
}

// peek returns at most the first limit bytes of a text, up to its first NUL; "" if
// the field is absent.
func peek(f *tiff.File, d *tiff.Directory, tag tiff.Tag, limit int) (string, error) {
	e, ok := d.Entry(tag)
	if !ok {
		return "", nil
	}
	b := make([]byte, min(e.Count, uint64(limit)))
	if err := f.ReadAt(b, e.Offset, tag); err != nil {
		return "", err
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	return toUTF8(b), nil
}
