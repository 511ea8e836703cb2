package slide

import (
	"encoding/base64"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/slideatlas/ptiffstore/tiff"
)

// philips reads the TIFF files that Philips IntelliSite exports. They are identified by
// their XML or, if that was removed, by their Software tag: programs that de-identify
// files rewrite one or the other.
//
// The sources are OpenSlide's reader, the tests of tifffile, opentile and large_image, and
// the issues of these projects; see docs/formats/philips.md.
func philips(f *tiff.File, s *Slide) (bool, error) {
	first := f.Directories()[0]
	p, err := readImport(f, first)
	if err != nil {
		return false, err
	}
	software, err := s.optionalText(first, tiff.TagSoftware, 64)
	if err != nil {
		return false, err
	}
	if p == nil {
		if !strings.HasPrefix(software, "Philips") || !isTiled(first) {
			return false, nil
		}
		p = &dpImport{}
	}
	scans := p.byKind("WSI")
	if len(scans) > 1 {
		return false, unsupported(first, tiff.TagImageDescription,
			"the file contains %d scans instead of one; export each scan to a file of its own", len(scans))
	}
	if len(scans) == 0 {
		scans = []*dpImage{{}}
	}
	if err := s.philipsLevels(f, scans[0]); err != nil {
		return false, err
	}
	s.philipsProperties(p, scans[0], software)
	if s.MPPX == 0 {
		if err := s.directoryMPP(first); err != nil {
			return false, err
		}
	}
	if err := s.philipsPower(f, scans[0]); err != nil {
		return false, err
	}
	if err := s.addAssociated(f, kindByFirstWord); err != nil {
		return false, err
	}
	s.philipsAssociated(p, scans[0])
	s.profile = directoryICC(first)
	for _, o := range []*dpObject{&p.dpObject, &scans[0].dpObject} {
		if o.icc.n > 0 {
			s.profile = &o.icc
		}
	}
	return true, nil
}

// philipsLevels fills the levels with all tiled directories. The sizes in their tags are
// rounded up to whole tiles, and sometimes wrong by a row of tiles; see correct.
func (s *Slide) philipsLevels(f *tiff.File, scan *dpImage) error {
	var tiled []*tiff.Directory
	for _, d := range f.Directories() {
		mask, err := isMask(d)
		if err != nil {
			return err
		}
		kind, err := kindByFirstWord(f, d)
		if err := s.tolerate(err); err != nil {
			return err
		}
		if isTiled(d) && !mask && kind == "" {
			tiled = append(tiled, d)
		}
	}
	if len(tiled) == 0 {
		return notPyramidal(f.Directories()[0])
	}
	if err := s.addLevels(f, tiled); err != nil {
		return err
	}
	described, err := s.describedDownsamples()
	if err != nil {
		return err
	}
	for _, d := range [][]float64{scan.downsamples(), described, s.paddedDownsamples()} {
		if s.correct(d) {
			return nil
		}
	}
	return nil // as the tags say
}

// correct sets the sizes of all levels to that of level 0 divided by d, if these are powers
// of two that match the tags: as many tiles on one axis, up to one.
//
// Level 0 keeps the size of its tags: its size without padding is not recorded.
func (s *Slide) correct(d []float64) bool {
	if len(d) != len(s.Levels) || d[0] != 1 {
		return false
	}
	for i := range s.Levels[1:] {
		l := &s.Levels[i+1]
		w, h := s.dividedBy(d[i+1])
		dx := ceilDiv(w, l.TileWidth) - ceilDiv(l.Width, l.TileWidth)
		dy := ceilDiv(h, l.TileHeight) - ceilDiv(l.Height, l.TileHeight)
		if d[i+1] <= d[i] || dx*dx > 1 && dy*dy > 1 {
			return false
		}
	}
	for i := range s.Levels {
		l := &s.Levels[i]
		l.Width, l.Height = s.dividedBy(d[i])
		l.Columns, l.Rows = ceilDiv(l.Width, l.TileWidth), ceilDiv(l.Height, l.TileHeight)
		l.Downsample = d[i]
	}
	return true
}

func (s *Slide) dividedBy(d float64) (w, h int) {
	return max(int(float64(s.Levels[0].Width)/d), 1), max(int(float64(s.Levels[0].Height)/d), 1)
}

// downsamples returns the ratio of the size of level 0 to each level, from the spacing of
// its pixels, like OpenSlide. It returns nil if the XML does not contain it.
func (im *dpImage) downsamples() []float64 {
	levels := slices.Clone(im.levels) // in the order of the file, to be sorted
	number := func(o *dpObject) int {
		n, err := strconv.Atoi(o.values["PIIM_PIXEL_DATA_REPRESENTATION_NUMBER"])
		if err != nil {
			return 0
		}
		return n
	}
	slices.SortStableFunc(levels, func(a, b *dpObject) int { return number(a) - number(b) })
	var d []float64
	var y0, x0 float64
	for i := range levels {
		y, x, ok := levels[i].spacing()
		if !ok {
			return nil
		}
		if i == 0 {
			y0, x0 = y, x
		}
		d = append(d, math.Round((x/x0+y/y0)/2))
	}
	return d
}

// levelText matches the description of the smaller levels, such as "level=3 mag=5.5
// quality=80".
var levelText = regexp.MustCompile(`^\s*level=(\d+)(?:\s+mag=([0-9.]+))?`)

// describedDownsamples returns the ratio of the size of level 0 to each level from its
// description, where level N is 2^N times smaller.
func (s *Slide) describedDownsamples() ([]float64, error) {
	d := []float64{1}
	for _, src := range s.sources[1:] {
		n, _, err := levelOf(s.file, src.dir)
		if err != nil || n == 0 {
			return nil, err
		}
		d = append(d, math.Exp2(float64(n)))
	}
	return d, nil
}

// levelOf returns the level and magnification in a description; 0 if it has none.
func levelOf(f *tiff.File, d *tiff.Directory) (level int, mag float64, err error) {
	text, err := peek(f, d, tiff.TagImageDescription, 64)
	if err != nil {
		return 0, 0, err
	}
	m := levelText.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, nil
	}
	level, err = strconv.Atoi(m[1])
	if err != nil || level > 30 {
		return 0, 0, nil
	}
	mag, err = strconv.ParseFloat(m[2], 64)
	if err != nil {
		mag = 0
	}
	return level, mag, nil
}

// paddedDownsamples guesses the ratios from the tags alone: the power of two nearest to the
// ratio of the sizes, and at least twice that of the previous level.
func (s *Slide) paddedDownsamples() []float64 {
	d := []float64{1}
	for i := range s.Levels[1:] {
		l0, l := &s.Levels[0], &s.Levels[i+1]
		// Padding makes a level look larger, so the larger ratio is more precise.
		ratio := max(float64(l0.Width)/float64(l.Width), float64(l0.Height)/float64(l.Height))
		d = append(d, max(nearestPower(ratio), 2*d[i]))
	}
	return d
}

// philipsProperties fills in the properties from the XML.
func (s *Slide) philipsProperties(p *dpImport, scan *dpImage, software string) {
	for _, o := range []*dpObject{&p.dpObject, &scan.dpObject} {
		for name, v := range o.values {
			if v != "" {
				s.Properties["philips."+name] = v
			}
		}
	}
	if software != "" {
		s.Properties["tiff.Software"] = software
	}
	s.Vendor = p.values["DICOM_MANUFACTURER"]
	s.Barcode = barcode(p.values["PIM_DP_UFS_BARCODE"])
	if y, x, ok := scan.spacing(); ok {
		s.setMPP(x*1000, y*1000)
	}
}

// objectiveText matches the first level in a derivation description, such as
// "tiff-useBigTIFF=1-useRgb=0-levels=40,10002,10000,10001-processing=0".
var objectiveText = regexp.MustCompile(`\blevels=(\d+)`)

// philipsPower sets the magnification of the objective: the first level in the derivation
// description, unless it is above 200 (10003 is "not given"), otherwise the magnification
// of a level times its downsample.
func (s *Slide) philipsPower(f *tiff.File, scan *dpImage) error {
	if m := objectiveText.FindStringSubmatch(scan.values["DICOM_DERIVATION_DESCRIPTION"]); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 && n <= 200 {
			s.ObjectivePower = float64(n)
			return nil
		}
	}
	for _, d := range f.Directories()[1:] {
		n, mag, err := levelOf(f, d)
		if err != nil {
			return err
		}
		if power := mag * math.Exp2(float64(n)); n > 0 && power > 0 && power <= 200 {
			s.ObjectivePower = power
			return nil
		}
	}
	return nil
}

// philipsAssociated adds the associated images in the XML after those in directories.
func (s *Slide) philipsAssociated(p *dpImport, scan *dpImage) {
	for _, kind := range [][2]string{{"LABELIMAGE", "label"}, {"MACROIMAGE", "macro"}} {
		for _, im := range p.byKind(kind[0]) {
			if im.data.n > 0 {
				s.associated = append(s.associated, associatedImage{kind: kind[1], text: &im.data})
			}
		}
	}
	if scan.data.n > 0 {
		s.associated = append(s.associated, associatedImage{kind: "thumbnail", text: &scan.data})
	}
}

// barcode decodes the barcode that the scanner read from the label: base64 of its text, or
// the text itself.
func barcode(v string) string {
	v = strings.TrimSpace(v)
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(v)
	}
	text := strings.Trim(toUTF8(b), " \t\r\n\x00")
	if err != nil || text == "" || strings.ContainsFunc(text, unprintable) {
		return v
	}
	return text
}

// unprintable reports whether r cannot be part of the text of a barcode. The separators
// of GS1 codes (ASCII 28 to 31) can.
func unprintable(r rune) bool { return !unicode.IsPrint(r) && (r < 28 || r > 31) }
