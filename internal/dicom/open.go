package dicom

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// A Part is one file of a series.
type Part struct {
	Name string
	R    io.ReaderAt
	Size int64
}

// maxParts limits the files of a series. The levels of a slide are about ten, concatenations of
// each may be some dozens.
const maxParts = 4096

// Open returns the slide of a series of VL Whole Slide Microscopy images, one or several files
// for each level. The files may have any order; those of other classes are ignored, and so is
// an instance that is there twice. The parts must stay readable as long as the slide is used.
//
// Tables of offsets and positions of frames are read with the first tile of a level, or by
// [slide.Slide.Check].
//
// The error is one of those of [Read], or an [*UnsupportedError] for a series that is not a
// supported slide. An [ErrTruncated] is also returned while a part of a concatenation is missing.
func Open(parts []Part) (*slide.Slide, error) {
	if len(parts) > maxParts {
		return nil, &UnsupportedError{Msg: fmt.Sprintf("a series of %d files is not supported, only up to %d", len(parts), maxParts)}
	}
	all, err := readInstances(parts)
	if err != nil {
		return nil, err
	}
	src := &source{}
	c := slide.Composite{Format: "dicom", Properties: map[string]string{}, Source: src}
	levels, err := volume(all)
	if err != nil {
		return nil, err
	}
	for i, group := range levels {
		s, err := newStored(group)
		if unsupported, ok := errors.AsType[*UnsupportedError](err); ok && i > 0 {
			c.Warnings = append(c.Warnings, fmt.Sprintf("a level of %d×%d pixels is ignored: %v", group[0].width, group[0].height, unsupported))
			continue
		}
		if err != nil {
			return nil, err
		}
		if i > 0 {
			setDownsample(&s, &c.Levels[0], group[0], levels[0][0])
		}
		src.add(group, &s, len(c.Levels))
		c.Levels = append(c.Levels, s)
	}
	addAssociatedImages(&c, src, all)
	describe(&c, levels[0][0], all)
	return slide.NewComposite(c)
}

// IsSlide reports whether the file is an image of a slide.
func (f *File) IsSlide() bool { return f.Data.Text(SOPClassUID) == WholeSlide }

// An instance is a file of a series, as far as it is needed to put the series together.
type instance struct {
	part          Part
	file          *File
	uid           string
	kind          string // the third value of ImageType, such as VOLUME or LABEL
	width, height int    // of the total pixel matrix
	tileWidth     int    // pixels
	tileHeight    int
	frames        int
	concatenation string // UID, or ""
	number, total int    // in the concatenation
	before        int    // frames in the parts before this one; -1 if unknown
}

// readInstances reads the headers of the whole-slide images among the parts.
func readInstances(parts []Part) ([]*instance, error) {
	var all []*instance
	var series, other string
	frames, seen := 0, map[string]bool{}
	for _, p := range parts {
		f, err := Read(p.R, p.Size)
		if err != nil {
			return nil, err
		}
		if !f.IsSlide() {
			other = f.Data.Text(SOPClassUID)
			continue
		}
		uid := f.Data.Text(SOPInstanceUID)
		if seen[uid] {
			continue
		}
		seen[uid] = true
		in, err := newInstance(p, f)
		if err != nil {
			return nil, err
		}
		if frames += in.frames; frames > maxFrames {
			return nil, &UnsupportedError{Tag: NumberOfFrames, Msg: fmt.Sprintf("a series of more than %d frames is not supported", maxFrames)}
		}
		if s := f.Data.Text(SeriesInstanceUID); len(all) == 0 {
			series = s
		} else if s != series {
			return nil, &UnsupportedError{Tag: SeriesInstanceUID, Msg: "the files belong to several series"}
		}
		all = append(all, in)
	}
	if len(all) == 0 {
		return nil, &UnsupportedError{Tag: SOPClassUID, Msg: fmt.Sprintf("it is not a whole-slide image but an object of class %q", other)}
	}
	return all, nil
}

// newInstance reads the sizes of an instance.
func newInstance(p Part, f *File) (*instance, error) {
	d := f.Data
	in := &instance{part: p, file: f, uid: d.Text(SOPInstanceUID), kind: "VOLUME", concatenation: d.Text(ConcatenationUID)}
	if e := d.Get(ImageType); e != nil && len(e.Text) > 2 {
		in.kind = strings.ToUpper(e.Text[2])
	}
	for _, v := range []struct {
		tag  Tag
		to   *int
		none int64 // if the attribute is absent; 0 if it must be there
		most int64
	}{
		{Columns, &in.tileWidth, 0, math.MaxUint16},
		{Rows, &in.tileHeight, 0, math.MaxUint16},
		{NumberOfFrames, &in.frames, 1, math.MaxInt32},
		{TotalPixelMatrixColumns, &in.width, -1, math.MaxInt32},
		{TotalPixelMatrixRows, &in.height, -1, math.MaxInt32},
		{InConcatenationNumber, &in.number, 1, math.MaxUint16},
		{InConcatenationTotalNumber, &in.total, 1, math.MaxUint16},
	} {
		n, ok := d.Int(v.tag)
		if e := d.Get(v.tag); (e == nil || len(e.Text)+len(e.Numbers) == 0) && v.none != 0 {
			n, ok = v.none, true
		} else if n < 1 || n > v.most {
			ok = false
		}
		if !ok {
			return nil, &FormatError{Tag: v.tag, Msg: fmt.Sprintf("the value %d is not valid, expected 1 to %d", n, v.most)}
		}
		*v.to = int(n)
	}
	if in.width < 0 || in.height < 0 {
		in.width, in.height = in.tileWidth, in.tileHeight
	}
	in.before = -1
	if n, ok := d.Int(ConcatenationFrameOffsetNumber); ok && n >= 0 && n <= math.MaxInt32 {
		in.before = int(n)
	}
	if f.Pixels == 0 {
		return nil, &FormatError{Tag: PixelData, Msg: "the file has no pixel data"}
	}
	// Each frame takes a byte, or the head of an item.
	most := in.part.Size - f.Pixels
	if f.PixelLength < 0 {
		most /= itemHeader
	}
	if int64(in.frames) > most {
		return nil, &FormatError{Tag: NumberOfFrames, Msg: fmt.Sprintf("the file is damaged: it is too short for %d frames", in.frames)}
	}
	return in, nil
}

// volume returns the instances of each level, the largest level first. Those of a concatenation
// are in order.
func volume(all []*instance) ([][]*instance, error) {
	var levels [][]*instance
	byUID := map[string]int{}
	for _, in := range all {
		if in.kind != "VOLUME" {
			continue
		}
		if i, ok := byUID[in.concatenation]; ok && in.concatenation != "" {
			levels[i] = append(levels[i], in)
			continue
		}
		byUID[in.concatenation] = len(levels)
		levels = append(levels, []*instance{in})
	}
	if len(levels) == 0 {
		return nil, &UnsupportedError{Tag: ImageType, Msg: "the series has no image of the slide itself (of type VOLUME)"}
	}
	for _, group := range levels {
		if err := concatenate(group); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(levels, func(a, b []*instance) int { return b[0].width*b[0].height - a[0].width*a[0].height })
	for i := 1; i < len(levels); i++ {
		if a, b := levels[i-1][0], levels[i][0]; a.width == b.width && a.height == b.height {
			return nil, &UnsupportedError{Tag: TotalPixelMatrixColumns, Msg: fmt.Sprintf(
				"the series has two images of %d×%d pixels; several focal planes, optical paths or scans in a series are not supported", a.width, a.height)}
		}
	}
	return levels, nil
}

// concatenate sorts the instances of a concatenation, and checks that none is missing.
func concatenate(group []*instance) error {
	slices.SortFunc(group, func(a, b *instance) int { return cmp.Compare(a.number, b.number) })
	first, frames, total := group[0], 0, 1
	for _, in := range group {
		total = max(total, in.total, in.number)
	}
	for i, in := range group {
		if in.width != first.width || in.height != first.height || in.tileWidth != first.tileWidth || in.tileHeight != first.tileHeight ||
			in.file.TransferSyntax != first.file.TransferSyntax {
			return &FormatError{Tag: ConcatenationUID, Msg: "the parts of an image have different sizes"}
		}
		if i > 0 && in.number == group[i-1].number {
			return &FormatError{Tag: InConcatenationNumber, Msg: fmt.Sprintf("part %d of an image is there twice", in.number)}
		}
		if len(group) == total && (in.number != i+1 || in.before >= 0 && in.before != frames) {
			return &FormatError{Tag: ConcatenationFrameOffsetNumber, Msg: fmt.Sprintf("part %d of an image does not follow the one before", in.number)}
		}
		frames += in.frames
	}
	if len(group) < total {
		return fmt.Errorf("%w: %d of the %d parts of an image are missing", ErrTruncated, total-len(group), total)
	}
	return nil
}

// newStored describes the frames of a level or an associated image.
func newStored(group []*instance) (slide.Stored, error) {
	in := group[0]
	s := slide.Stored{Width: in.width, Height: in.height, TileWidth: in.tileWidth, TileHeight: in.tileHeight}
	var err error
	if s.Layout, err = layout(in); err != nil {
		return s, err
	}
	if err := onePlane(in.file.Data); err != nil {
		return s, err
	}
	m := &matrix{
		columns: ceilDiv(in.width, in.tileWidth), rows: ceilDiv(in.height, in.tileHeight),
		tileWidth: in.tileWidth, tileHeight: in.tileHeight,
	}
	total := 0
	for _, in := range group {
		f, err := newFrameFile(in, &s.Layout)
		if err != nil {
			return s, err
		}
		m.files, m.before = append(m.files, f), append(m.before, total)
		total += in.frames
	}
	if err := m.arrange(in, total); err != nil {
		return s, err
	}
	s.Profile = opticalPath(in.file.Data).bytes(ICCProfile)
	s.Tiles = m
	if in.file.TransferSyntax == JPEG2000Lossless || in.file.TransferSyntax == JPEG2000Lossy {
		err = m.colours(in, &s.Layout)
	}
	return s, err
}

// arrange decides whether the frames are in rows or have positions, and checks their number.
func (m *matrix) arrange(in *instance, frames int) error {
	grid := int64(m.columns) * int64(m.rows)
	kind := in.file.Data.Text(DimensionOrganizationType)
	m.sparse = kind != "TILED_FULL" && (in.file.PerFrame.Length > 0 || grid != int64(frames))
	switch {
	case kind != "" && kind != "TILED_FULL" && kind != "TILED_SPARSE":
		return &UnsupportedError{Tag: DimensionOrganizationType, Msg: fmt.Sprintf("images organized as %q are not supported", kind)}
	case m.sparse && in.file.PerFrame.Length == 0:
		return &FormatError{Tag: PerFrameFunctionalGroupsSequence, Msg: "the file is damaged: its frames have no positions"}
	case m.sparse && grid > 4096+1024*int64(frames), grid > 16*maxFrames:
		// A small file must not claim a grid that takes very long to process.
		return &FormatError{Tag: TotalPixelMatrixColumns, Msg: fmt.Sprintf("the file is damaged: it has %d frames for a grid of %d×%d", frames, m.columns, m.rows)}
	case m.sparse:
		return nil
	case int64(frames) > grid && int64(frames)%grid == 0:
		return severalPlanes()
	case int64(frames) != grid:
		return &FormatError{Tag: NumberOfFrames, Msg: fmt.Sprintf("the file is damaged: it has %d frames for a grid of %d×%d", frames, m.columns, m.rows)}
	}
	return nil
}

// onePlane rejects images of several focal planes or optical paths.
func onePlane(d Dataset) error {
	if n, ok := d.Int(TotalPixelMatrixFocalPlanes); ok && n > 1 {
		return severalPlanes()
	}
	if n, ok := d.Int(NumberOfOpticalPaths); ok && n > 1 || len(d.Items(OpticalPathSequence)) > 1 {
		return severalPaths()
	}
	return nil
}

// newFrameFile returns where the frames of an instance are.
func newFrameFile(in *instance, l *slide.Layout) (*frameFile, error) {
	f := &frameFile{file: *in.file, r: in.part.R, size: in.part.Size, frames: in.frames, planes: l.Planes()}
	f.file.Meta, f.file.Data = nil, nil
	if l.Codec != slide.None {
		if in.file.PixelLength >= 0 {
			return nil, &FormatError{Tag: PixelData, Msg: "the file is damaged: compressed pixels have no items"}
		}
		return f, nil
	}
	if in.file.PixelLength < 0 {
		return nil, &FormatError{Tag: PixelData, Msg: "the file is damaged: pixels that are not compressed have items"}
	}
	row, rows := l.RowBytes(in.tileWidth)
	f.raw = row * int64(ceilDiv(in.tileHeight, rows)) * int64(l.Planes())
	if f.raw > maxFrameBytes {
		return nil, &UnsupportedError{Tag: Columns, Msg: fmt.Sprintf("tiles of %d bytes are not supported, only up to %d", f.raw, maxFrameBytes)}
	}
	if f.raw*int64(in.frames) > in.file.PixelLength { // at most 2^26 × 2^31
		return nil, &FormatError{Tag: PixelData, Msg: fmt.Sprintf("the file is damaged: it has %d bytes of pixels for %d frames of %d bytes", in.file.PixelLength, in.frames, f.raw)}
	}
	return f, nil
}

// associatedKinds has the kinds of associated images by the third value of ImageType.
var associatedKinds = map[string]string{"LABEL": "label", "OVERVIEW": "macro", "LOCALIZER": "macro", "THUMBNAIL": "thumbnail"}

// addAssociatedImages adds label, macro and thumbnail. What cannot be read is a warning.
func addAssociatedImages(c *slide.Composite, src *source, all []*instance) {
	for _, in := range all {
		kind := associatedKinds[in.kind]
		if kind == "" {
			continue
		}
		s, err := newStored([]*instance{in})
		if err != nil {
			c.Warnings = append(c.Warnings, fmt.Sprintf("the %s is ignored: %v", kind, err))
			continue
		}
		s.Kind = kind
		src.add([]*instance{in}, &s, -1)
		c.Associated = append(c.Associated, s)
	}
}

// setDownsample sets the ratio of the sizes of level 0 and a level where it is not that of the
// matrices: Philips pads levels to whole tiles, and only the spacing of pixels is right
// then. As the size of level 0 without padding is unknown, it is kept.
func setDownsample(l, l0 *slide.Stored, in, in0 *instance) {
	x0, y0, ok := spacing(in0.file.Data)
	x, y, okToo := spacing(in.file.Data)
	if !ok || !okToo {
		return
	}
	d := (x/x0 + y/y0) / 2
	if whole := math.Round(d); math.Abs(d/whole-1) < 0.001 {
		d = whole
	}
	if !(d > 1 && d < math.MaxInt32) {
		return
	}
	w, h := int(math.Ceil(float64(l0.Width)/d)), int(math.Ceil(float64(l0.Height)/d))
	if near(w, l.Width) && near(h, l.Height) { // also if it was rounded down
		l.Downsample = d
	} else if padded(w, l.Width, l.TileWidth) && padded(h, l.Height, l.TileHeight) {
		l.Width, l.Height, l.Downsample = w, h, d
	}
}

func near(a, b int) bool { return a-b <= 1 && b-a <= 1 }

// padded reports whether n pixels may have been padded to whole tiles.
func padded(n, to, tile int) bool { return n >= 1 && n <= to && to-n < tile }

// spacing returns the distances of pixels in mm.
func spacing(d Dataset) (x, y float64, ok bool) {
	for _, shared := range d.Items(SharedFunctionalGroupsSequence) {
		for _, measures := range shared.Items(PixelMeasuresSequence) {
			if v := measures.Floats(PixelSpacing); len(v) == 2 && v[0] > 0 && v[1] > 0 { // of rows, then of columns
				return v[1], v[0], true
			}
		}
	}
	w, h := d.Floats(ImagedVolumeWidth), d.Floats(ImagedVolumeHeight)
	columns, rows := d.Floats(TotalPixelMatrixColumns), d.Floats(TotalPixelMatrixRows)
	if len(w) == 1 && len(h) == 1 && len(columns) == 1 && len(rows) == 1 && w[0] > 0 && h[0] > 0 && columns[0] > 0 && rows[0] > 0 {
		return w[0] / columns[0], h[0] / rows[0], true
	}
	return 0, 0, false
}

// opticalPath returns the first item of the sequence of optical paths.
func opticalPath(d Dataset) Dataset {
	if items := d.Items(OpticalPathSequence); len(items) > 0 {
		return items[0]
	}
	return nil
}

// bytes returns the value of an attribute of bytes, or nil.
func (d Dataset) bytes(t Tag) []byte {
	if e := d.Get(t); e != nil && len(e.Bytes) > 0 {
		return e.Bytes
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
