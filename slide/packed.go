package slide

import (
	"errors"
	"fmt"
	"image"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A PackedDescription is the ImageDescription of a TIFF that was written from a [Pyramid]: its
// levels are squares, of which the image covers a part. The text has pairs of keys and values
// as in descriptions of Aperio. Keys that begin with openslide are named like the properties
// of OpenSlide with the same meaning. Properties of the slide that begin with slideatlas are
// kept.
type PackedDescription struct {
	Bounds     image.Rectangle // in pixels of the largest level
	MPPX, MPPY float64         // µm per pixel of the largest level; 0 if unknown
	Image      string          // id; only letters, digits, hyphens and underscores
	Properties map[string]string
	// Background are the offsets of tiles that are background: [Slide.AppendTile] returns
	// [ErrEmptyTile] for them, other programs show them.
	Background []uint64
}

const (
	packedPrefix = "ptiffstore packed slide"
	maxPacked    = 4 << 10 // bytes of the text
	maxBlanks    = 64

	kept        = "slideatlas." // begins the keys of properties that are kept
	maxProperty = 500           // bytes of the value of a property
)

// printable replaces characters that separate values.
func printable(r rune) rune {
	if r < ' ' || r == '|' || r == 0x7f {
		return ' '
	}
	return r
}

// String returns the text.
func (d PackedDescription) String() string {
	fields := []string{packedPrefix}
	add := func(key string, value any) { fields = append(fields, fmt.Sprintf("%s = %v", key, value)) }
	add("openslide.bounds-x", d.Bounds.Min.X)
	add("openslide.bounds-y", d.Bounds.Min.Y)
	add("openslide.bounds-width", d.Bounds.Dx())
	add("openslide.bounds-height", d.Bounds.Dy())
	if d.MPPX > 0 && d.MPPY > 0 {
		add("openslide.mpp-x", strconv.FormatFloat(d.MPPX, 'f', -1, 64))
		add("openslide.mpp-y", strconv.FormatFloat(d.MPPY, 'f', -1, 64))
	}
	offsets := make([]string, len(d.Background))
	for i, n := range d.Background {
		offsets[i] = strconv.FormatUint(n, 10)
	}
	add("ptiffstore.background", strings.Join(offsets, ","))
	if d.Image != "" {
		add("ptiffstore.image", d.Image)
	}
	for _, key := range slices.Sorted(maps.Keys(d.Properties)) {
		value := strings.Map(printable, d.Properties[key])
		if strings.HasPrefix(key, kept) && len(value) <= maxProperty && strings.Map(printable, key) == key && !strings.Contains(key, "=") {
			add(key, value)
		}
	}
	return strings.Join(fields, "|")
}

// parsePacked returns the description that a text is, and whether it is one.
func parsePacked(text string) (d PackedDescription, ok bool, err error) {
	if !strings.HasPrefix(text, packedPrefix+"|") || len(text) > maxPacked {
		return d, false, nil
	}
	values := describedValues(text)
	var n [4]int
	for i, key := range []string{"x", "y", "width", "height"} {
		if n[i], err = strconv.Atoi(values["openslide.bounds-"+key]); err != nil || n[i] < 0 || n[i] > maxSide {
			return d, true, fmt.Errorf("the value of openslide.bounds-%s is not valid", key)
		}
	}
	d.Bounds = image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3])
	if values["openslide.mpp-x"] != "" {
		x, errX := strconv.ParseFloat(values["openslide.mpp-x"], 64)
		y, errY := strconv.ParseFloat(values["openslide.mpp-y"], 64)
		if errX != nil || errY != nil {
			return d, true, errors.New("the value of openslide.mpp is not valid")
		}
		d.MPPX, d.MPPY = x, y
	}
	for text := range strings.SplitSeq(values["ptiffstore.background"], ",") {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || len(d.Background) == maxBlanks {
			return d, true, errors.New("the value of ptiffstore.background is not valid")
		}
		d.Background = append(d.Background, n)
	}
	d.Image = values["ptiffstore.image"]
	for key, value := range values {
		if !strings.HasPrefix(key, kept) {
			delete(values, key)
		} else if len(value) > maxProperty {
			values[key] = strings.ToValidUTF8(value[:maxProperty], "")
		}
	}
	d.Properties = values
	return d, true, nil
}

// setPacked sets the bounds and the background of a file that was written from a [Pyramid]. A
// damaged description is a warning: all of the square is then shown.
func (s *Slide) setPacked(text string) {
	d, ok, err := parsePacked(text)
	if !ok {
		return
	}
	if err == nil {
		err = s.checkSquares(d.Bounds)
	}
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the place of the image in its square is unknown: %v", err))
		return
	}
	s.Bounds, s.background = d.Bounds, d.Background
	maps.Copy(s.Properties, d.Properties)
	s.setMPP(d.MPPX, d.MPPY)
}

// checkSquares checks that the levels are those of a [Pyramid] with the bounds. The smallest
// one may be absent.
func (s *Slide) checkSquares(bounds image.Rectangle) error {
	l0 := &s.Levels[0]
	if bounds.Empty() || !bounds.In(image.Rect(0, 0, l0.Width, l0.Height)) {
		return fmt.Errorf("the bounds %v are not a part of %d×%d pixels", bounds, l0.Width, l0.Height)
	}
	for i := range s.Levels {
		l := &s.Levels[i]
		if l.Width != l.Height || l.TileWidth != l.TileHeight || l.TileWidth != l0.TileWidth || l.Columns*l.TileWidth != l.Width ||
			l.Columns == 0 || l.Columns<<i != l0.Columns {
			return fmt.Errorf("level %d is not a square of %d×%d tiles", i, l0.Columns>>i, l0.Columns>>i)
		}
	}
	return nil
}

// shown returns [ErrNoTile] for a tile of a packed file that shows nothing of the image.
func (s *Slide) shown(level, col, row int) error {
	if s.background != nil && s.Visible(level, col, row).Empty() {
		return ErrNoTile
	}
	return nil
}

// isBackground reports whether the tile at an offset of the file is background.
func (s *Slide) isBackground(off uint64) bool { return slices.Contains(s.background, off) }
