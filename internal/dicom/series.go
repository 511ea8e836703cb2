package dicom

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

var (
	// ErrNoSpacing reports a slide whose size of a pixel is unknown, which every level must
	// state.
	ErrNoSpacing = errors.New("the size of a pixel is unknown")
	// ErrNotBaseline reports a level whose tiles are not baseline JPEGs, which no transfer
	// syntax carries as they are stored.
	ErrNotBaseline = errors.New("the tiles are not baseline JPEGs")
)

// Options say what is not in a slide's file, and who will see the attributes.
type Options struct {
	ID string // of the image; identifiers of study, series and frame of reference derive from it
	// Patient has what the caller may see of the patient; nil for nothing of it: the
	// container then has the image's ID, there is no label and no macro, and the number of
	// the scanner and the time of the scan are left out.
	Patient *Patient
	// MPPX and MPPY, in µm, replace those of the slide if they are not 0.
	MPPX, MPPY float64
	// Deidentify leaves out or replaces everything that the basic profile of PS3.15 table
	// E.1-1 names, and derives new identifiers from Key.
	Deidentify bool
	Key        string
	// Sparse leaves out the tiles that the scanner skipped, instead of a frame of one colour for
	// each.
	Sparse bool
}

// A Patient has the attributes of a slide that only those may see who may see its label.
type Patient struct {
	ID, Name, AccessionNumber string
	Container                 string // what identifies the glass, such as the barcode
	Label, Macro              bool   // include these images
}

// A Series is a slide as DICOM objects.
type Series struct {
	StudyUID, UID string
	Instances     []*Instance // the levels, largest first; then macro and label
	LeftOut       []error     // why smaller levels are left out; each error names its level

	slide    *slide.Slide
	icc      []byte // the colour profile; nil without a usable one
	o        Options
	print    string // of the file
	extended bool   // write the extended table of frames also where the basic one would do
}

// An Instance is a level or an associated image.
type Instance struct {
	UID            string
	TransferSyntax string
	Attributes     Dataset // without the pixels
	Level          int     // index of the level, or -1
	Kind           string  // macro or label, or "" for a level
	Columns, Rows  int     // of frames; frame number row*Columns + column, from 0

	series     *Series
	associated []byte   // the only frame of an associated image
	background []byte   // the frame in place of tiles that the scanner skipped; nil without such tiles
	sizes      []uint32 // upper bounds of the bytes of the tiles, row by row; 0 for skipped ones
	present    []int32  // with [Options].Sparse, the tiles that are frames; nil if all are
	// loose means that frames may be much shorter than [slide.Slide.TileBytes] says: the slide
	// is in no file, or its tiles repeat the tables that they share.
	loose bool
}

// NewSeries describes a slide. It reads the tile tables of all levels, and one tile of each.
// The error is [ErrNoSpacing], wraps [ErrNotBaseline] if level 0 cannot be shown, or is that of
// the slide. Smaller levels whose tiles are not baseline JPEGs are left out.
func NewSeries(s *slide.Slide, o Options) (*Series, error) {
	if o.MPPX == 0 || o.MPPY == 0 {
		o.MPPX, o.MPPY = s.MPPX, s.MPPY
	}
	if !(o.MPPX > 0 && o.MPPY > 0) || math.IsInf(o.MPPX, 0) || math.IsInf(o.MPPY, 0) {
		return nil, ErrNoSpacing
	}
	print, err := s.Fingerprint()
	if err != nil {
		return nil, err
	}
	d := &Series{slide: s, icc: profileOf(s), o: o, print: hex.EncodeToString(print[:])}
	d.StudyUID, d.UID = d.uid("study"), d.uid("series")
	for i := range s.Levels {
		switch err := d.addLevel(i); {
		case errors.Is(err, ErrNotBaseline) && i > 0:
			d.LeftOut = append(d.LeftOut, err)
		case err != nil:
			return nil, err
		}
	}
	if o.Patient != nil && !o.Deidentify {
		for _, kind := range []string{"macro", "label"} {
			if err := d.addAssociated(kind); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// uid derives an identifier of the slide, the same for every file of it.
func (d *Series) uid(role string) string {
	if d.o.Deidentify {
		return UID("ptiffstore", "deidentified", d.o.Key, d.o.ID, role)
	}
	return ImageUID(d.o.ID, role)
}

// pixelUID derives an identifier of pixels: another one if the file has other contents.
func (d *Series) pixelUID(role string) string { return d.uid(d.print + " " + role) }

// addLevel adds a level.
func (d *Series) addLevel(i int) error {
	l := &d.slide.Levels[i]
	in := &Instance{
		UID: d.pixelUID(fmt.Sprintf("level %d", i)), TransferSyntax: JPEGBaseline,
		Level: i, Columns: l.Columns, Rows: l.Rows, series: d,
	}
	sample, stored, empty, err := d.sample(in)
	if err != nil {
		return err
	}
	colors, err := colorsOf(sample, l.TileWidth, l.TileHeight)
	if err != nil {
		return fmt.Errorf("level %d: %w", i, err)
	}
	if empty {
		if in.background, err = background(sample, l.TileWidth, l.TileHeight); err != nil {
			return fmt.Errorf("level %d: %w", i, err)
		}
	}
	a := d.common(in, colors, d.icc)
	d.addGeometry(&a, l.Width, l.Height, l.TileWidth, l.TileHeight, l.Columns*l.Rows)
	d.addVolume(&a, l)
	pixels := float64(l.Width) * float64(l.Height) * float64(colors.components)
	a.Set(LossyImageCompressionRatio, max(1, math.Round(pixels/float64(max(stored, 1))*100)/100))
	if d.o.Sparse && empty {
		d.addSparse(in, &a)
	}
	in.Attributes = a
	d.Instances = append(d.Instances, in)
	return nil
}

// sample returns a stored tile of a level, the bytes of all its tiles, and whether some were
// skipped.
func (d *Series) sample(in *Instance) (tile []byte, stored int64, empty bool, err error) {
	level, first := in.Level, int64(0)
	l := &d.slide.Levels[level]
	if l.Layout.Codec != slide.JPEG {
		return nil, 0, false, fmt.Errorf("level %d: %w: they are compressed as %v", level, ErrNotBaseline, l.Layout.Codec)
	}
	at := image.Pt(-1, 0)
	in.sizes = make([]uint32, 0, l.Rows*l.Columns)
	for row := range l.Rows {
		for col := range l.Columns {
			n := d.slide.TileBytes(level, col, row)
			in.sizes = append(in.sizes, uint32(n)) // at most 64 MiB
			if stored += n; n == 0 {
				empty = true
			} else if at.X < 0 {
				at, first = image.Pt(col, row), n
			}
		}
	}
	if at.X < 0 {
		return nil, 0, false, fmt.Errorf("level %d: %w: no tile is stored", level, ErrNotBaseline)
	}
	tile, err = d.slide.AppendTile(nil, level, at.X, at.Y)
	in.loose = first > int64(len(tile))+1 // but for a byte behind the end
	if in.loose {
		stored = min(stored, int64(len(tile))*int64(l.Columns*l.Rows))
	}
	return tile, stored, empty, err
}

// A colorModel is how the frames of an instance store colours.
type colorModel struct {
	components  int
	photometric string
}

// colorsOf returns the colour model of a JPEG of w × h pixels, as its own markers state it:
// viewers decode by these, and the attribute must say the same (PS3.3 section C.7.6.3.1.2).
func colorsOf(data []byte, w, h int) (colorModel, error) {
	head, err := jpeg.ParseHeader(data)
	if err != nil {
		return colorModel{}, err
	}
	switch {
	case head.Frame != jpeg.MarkSOF0 || head.Bits != 8:
		return colorModel{}, fmt.Errorf("%w but JPEGs of the kind %02X with %d bits", ErrNotBaseline, head.Frame, head.Bits)
	case head.Width != w || head.Height != h:
		return colorModel{}, fmt.Errorf("%w of %d×%d pixels but of %d×%d", ErrNotBaseline, w, h, head.Width, head.Height)
	case len(head.Components) == 1:
		return colorModel{1, "MONOCHROME2"}, nil
	case len(head.Components) != 3:
		return colorModel{}, fmt.Errorf("%w but JPEGs of %d colours", ErrNotBaseline, len(head.Components))
	case head.RGB():
		return colorModel{3, "RGB"}, nil
	}
	return colorModel{3, "YBR_FULL_422"}, nil // whatever the sampling: PS3.3 section C.8.12.4.1.5
}

// Code sequences, PS3.16.
func code(value, scheme, meaning string) Dataset {
	var d Dataset
	d.Set(CodeValue, value)
	d.Set(CodingSchemeDesignator, scheme)
	d.Set(CodeMeaning, meaning)
	return d
}

// common returns the attributes of every instance.
func (d *Series) common(in *Instance, c colorModel, profile []byte) Dataset {
	var a Dataset
	a.Set(SpecificCharacterSet, "ISO_IR 192")
	a.Set(SOPClassUID, WholeSlide)
	a.Set(SOPInstanceUID, in.UID)
	a.Set(AcquisitionUID, d.pixelUID("acquisition"))
	a.Set(Modality, "SM")
	a.Set(VolumetricProperties, "VOLUME")
	a.Set(StudyInstanceUID, d.StudyUID)
	a.Set(SeriesInstanceUID, d.UID)
	a.Set(StudyID)
	a.Set(SeriesNumber, 1)
	a.Set(InstanceNumber, len(d.Instances)+1)
	a.Set(FrameOfReferenceUID, d.uid("frame of reference"))
	a.Set(PositionReferenceIndicator, "SLIDE_CORNER")
	d.addPatient(&a)
	d.addScanner(&a)
	d.addSpecimen(&a)
	a.Set(FocusMethod, "AUTO")
	a.Set(ExtendedDepthOfField, "NO")
	a.Set(LossyImageCompression, "01")
	a.Set(LossyImageCompressionMethod, "ISO_10918_1")
	addPixels(&a, c)
	a.Set(OpticalPathSequence, d.opticalPath(c, profile))
	a.Set(ContributingEquipmentSequence, equipment())
	return a
}

// equipment says which program made the objects from a file of another format.
func equipment() Dataset {
	var e Dataset
	e.Set(Manufacturer, "ptiffstore")
	e.Set(ManufacturerModelName, "ptiffstore")
	e.Set(PurposeOfReferenceCodeSequence, code("109103", "DCM", "Modifying Equipment"))
	return e
}

// addPatient adds the attributes of patient and study. Nothing is invented: what is unknown has
// no value.
func (d *Series) addPatient(a *Dataset) {
	p := d.o.Patient
	if p == nil || d.o.Deidentify {
		p = &Patient{}
	}
	a.Set(PatientName, p.Name)
	a.Set(PatientID, p.ID)
	a.Set(PatientBirthDate)
	a.Set(PatientSex)
	a.Set(AccessionNumber, p.AccessionNumber)
	a.Set(ReferringPhysicianName)
	if d.o.Deidentify {
		a.Set(PatientIdentityRemoved, "YES")
		a.Set(DeidentificationMethod, "Basic profile of PS3.15 table E.1-1; images of label and macro left out")
	}
}

// addScanner adds the scanner and the time of the scan.
func (d *Series) addScanner(a *Dataset) {
	at, known := Scanned(d.slide.Properties)
	if d.o.Deidentify || d.o.Patient == nil {
		at, known = time.Time{}, false
	}
	a.Set(StudyDate)
	a.Set(StudyTime)
	if known {
		a.Set(StudyDate, at.Format("20060102"))
		a.Set(StudyTime, at.Format("150405"))
	} else {
		at = time.Unix(0, 0).UTC() // the attribute must have a value: recognizably no date
	}
	a.Set(ContentDate, at.Format("20060102"))
	a.Set(ContentTime, at.Format("150405"))
	a.Set(AcquisitionDateTime, at.Format("20060102150405"))

	unknown := "Unknown" // these must have a value
	p := d.slide.Properties
	a.Set(Manufacturer, cmp.Or(clean("LO", d.slide.Vendor), unknown))
	a.Set(ManufacturerModelName, cmp.Or(unquoted(p["philips.DICOM_MANUFACTURERS_MODEL_NAME"]), clean("LO", p["tiff.Model"]), clean("LO", p["dicom.ManufacturerModelName"]), unknown))
	serial := unknown
	if d.o.Patient != nil && !d.o.Deidentify {
		serial = cmp.Or(unquoted(p["philips.DICOM_DEVICE_SERIAL_NUMBER"]), clean("LO", p["aperio.ScanScope ID"]), clean("LO", p["dicom.DeviceSerialNumber"]), unknown)
	}
	a.Set(DeviceSerialNumber, serial)
	var versions []any
	for _, v := range strings.Fields(strings.ReplaceAll(p["philips.DICOM_SOFTWARE_VERSIONS"], `"`, " ")) {
		versions = append(versions, v)
	}
	for v := range strings.SplitSeq(p["dicom.SoftwareVersions"], `\`) {
		if v != "" {
			versions = append(versions, v)
		}
	}
	if len(versions) == 0 {
		versions = []any{cmp.Or(clean("LO", p["tiff.Software"]), unknown)}
	}
	a.Set(SoftwareVersions, versions...)
}

// unquoted returns the first value of a list in quotes, as Philips writes them.
func unquoted(s string) string {
	if _, rest, ok := strings.Cut(s, `"`); ok {
		s, _, _ = strings.Cut(rest, `"`)
	}
	return clean("LO", s)
}

// Scanned returns the time of the scan, if the properties of the slide state it: Philips in a DICOM
// attribute, Aperio as "03/09/15" and "14:30:00", other TIFFs in tag 306, DICOM without regard to
// the time zone.
func Scanned(p map[string]string) (time.Time, bool) {
	for _, v := range []struct{ layout, text string }{
		{"20060102150405", strings.SplitN(unquoted(p["philips.DICOM_ACQUISITION_DATETIME"]), ".", 2)[0]},
		{"01/02/06 15:04:05", p["aperio.Date"] + " " + p["aperio.Time"]},
		{"2006:01:02 15:04:05", p["tiff.DateTime"]},
		{"20060102150405", p["dicom.AcquisitionDateTime"][:min(len(p["dicom.AcquisitionDateTime"]), 14)]},
	} {
		if t, err := time.Parse(v.layout, strings.TrimSpace(v.text)); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// addSpecimen adds the glass and what is on it.
func (d *Series) addSpecimen(a *Dataset) {
	container := d.o.ID
	if p := d.o.Patient; p != nil && p.Container != "" && !d.o.Deidentify {
		container = p.Container
	}
	if d.o.Deidentify {
		container = d.uid("container")
	}
	a.Set(ContainerIdentifier, container)
	a.Set(IssuerOfTheContainerIdentifierSequence)
	a.Set(ContainerTypeCodeSequence, code("433466003", "SCT", "Microscope slide"))
	a.Set(AcquisitionContextSequence)
	var s Dataset
	s.Set(SpecimenIdentifier, container)
	s.Set(SpecimenUID, d.uid("specimen"))
	s.Set(IssuerOfTheSpecimenIdentifierSequence)
	s.Set(SpecimenPreparationSequence)
	a.Set(SpecimenDescriptionSequence, s)
}

// addPixels adds how a pixel is stored.
func addPixels(a *Dataset, c colorModel) {
	a.Set(SamplesPerPixel, c.components)
	a.Set(PhotometricInterpretation, c.photometric)
	if c.components > 1 {
		a.Set(PlanarConfiguration, 0)
	}
	a.Set(BitsAllocated, 8)
	a.Set(BitsStored, 8)
	a.Set(HighBit, 7)
	a.Set(PixelRepresentation, 0)
}

// opticalPath returns the only way of the light. All instances have the same one.
func (d *Series) opticalPath(c colorModel, profile []byte) Dataset {
	var o Dataset
	o.Set(OpticalPathIdentifier, "1")
	o.Set(IlluminationTypeCodeSequence, code("111744", "DCM", "Brightfield illumination"))
	o.Set(IlluminationColorCodeSequence, code("414298005", "SCT", "Full Spectrum"))
	if c.components > 1 {
		if profile == nil {
			profile = sRGBProfile()
			o.Set(ColorSpace, "SRGB")
		}
		o.Set(ICCProfile, profile)
	}
	if p := d.slide.ObjectivePower; p > 0 {
		o.Set(ObjectiveLensPower, p)
	}
	return o
}

// profileOf returns the colour profile of a slide, or nil without a usable one.
func profileOf(s *slide.Slide) []byte {
	b, err := s.ICC()
	if err != nil || len(b) < 128 || string(b[16:20]) != "RGB " {
		return nil
	}
	return b
}

// Orientation of the picture on the glass: the columns of pixels and the rows of pixels as
// directions in the slide coordinate system, whose origin is a corner of the glass with the
// label at the far end (PS3.3 section C.8.12.2.1). Philips and Aperio have the label at the
// left of the picture.
func (d *Series) orientation() (direction [6]float64, x, y float64) {
	l := &d.slide.Levels[0]
	width, height := float64(l.Width)*d.o.MPPX/1000, float64(l.Height)*d.o.MPPY/1000 // mm
	if f := d.slide.Format; f == "philips" || f == "aperio" {
		const glassX, glassY = 25, 50 // mm, of a usual slide without the label
		return [6]float64{0, -1, 0, -1, 0, 0}, max(glassX, height), max(glassY, width)
	}
	return [6]float64{0, 1, 0, 1, 0, 0}, 0, 0
}

// addGeometry adds the sizes of a matrix of w × h pixels in frames, and where it is on the
// glass.
func (d *Series) addGeometry(a *Dataset, w, h, frameW, frameH, frames int) {
	a.Set(NumberOfFrames, frames)
	a.Set(Rows, frameH)
	a.Set(Columns, frameW)
	a.Set(TotalPixelMatrixColumns, w)
	a.Set(TotalPixelMatrixRows, h)
	a.Set(TotalPixelMatrixFocalPlanes, 1)
	a.Set(NumberOfOpticalPaths, 1)
	direction, x, y := d.orientation()
	var origin Dataset
	origin.Set(XOffsetInSlideCoordinateSystem, x)
	origin.Set(YOffsetInSlideCoordinateSystem, y)
	a.Set(TotalPixelMatrixOriginSequence, origin)
	var values []any
	for _, v := range direction {
		values = append(values, v)
	}
	a.Set(ImageOrientationSlide, values...)
	var dimension Dataset
	dimension.Set(DimensionOrganizationUID, d.uid("dimension"))
	a.Set(DimensionOrganizationSequence, dimension)
	a.Set(DimensionOrganizationType, "TILED_FULL")
}

// addVolume adds what only levels have.
func (d *Series) addVolume(a *Dataset, l *slide.Level) {
	kind := []any{"DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"}
	if l.Downsample == 1 {
		kind = []any{"ORIGINAL", "PRIMARY", "VOLUME", "NONE"}
	}
	a.Set(ImageType, kind...)
	a.Set(PyramidUID, d.pixelUID("pyramid"))
	a.Set(BurnedInAnnotation, "NO")
	a.Set(SpecimenLabelInImage, "NO")
	spacingX, spacingY := d.o.MPPX*l.Downsample/1000, d.o.MPPY*l.Downsample/1000 // mm
	a.Set(ImagedVolumeWidth, float64(l.Width)*spacingX)
	a.Set(ImagedVolumeHeight, float64(l.Height)*spacingY)
	a.Set(ImagedVolumeDepth, 1.0) // µm; must not be 0
	var measures Dataset
	measures.Set(PixelSpacing, spacingY, spacingX)
	measures.Set(SliceThickness, 0.001)
	setShared(a, kind, measures)
}

// setShared adds what all frames have in common. The size of a pixel of macro and label is
// unknown, so their measures are empty, but must be there.
func setShared(a *Dataset, kind []any, measures Dataset) {
	var frame, shared Dataset
	frame.Set(FrameType, kind...)
	shared.Set(WholeSlideMicroscopyImageFrameTypeSequence, frame)
	shared.Set(PixelMeasuresSequence, measures)
	a.Set(SharedFunctionalGroupsSequence, shared)
}

// addAssociated adds the macro, which may show the label, or the label, if the slide has it and
// the caller may see it. One that is not a baseline JPEG is left out.
func (d *Series) addAssociated(kind string) error {
	p := d.o.Patient
	if kind == "macro" && !p.Macro || kind == "label" && !p.Label || !slices.Contains(d.slide.Associated(), kind) {
		return nil
	}
	im, err := d.slide.ReadAssociated(kind)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	data := im.JPEG()
	if data == nil {
		return nil
	}
	colors, err := colorsOf(data, im.Width, im.Height)
	if err != nil {
		return nil //nolint:nilerr // as the documentation says
	}
	in := &Instance{
		UID: d.pixelUID(kind), TransferSyntax: JPEGBaseline,
		Level: -1, Kind: kind, Columns: 1, Rows: 1, series: d, associated: data,
	}
	a := d.common(in, colors, nil)
	d.addGeometry(&a, im.Width, im.Height, im.Width, im.Height, 1)
	third := "OVERVIEW"
	if kind == "label" {
		third = "LABEL"
		a.Set(LabelText)
		a.Set(BarcodeValue, p.Container)
	}
	values := []any{"ORIGINAL", "PRIMARY", third, "NONE"}
	a.Set(ImageType, values...)
	a.Set(BurnedInAnnotation, "YES")
	a.Set(SpecimenLabelInImage, "YES")
	a.Set(LossyImageCompressionRatio, max(1, math.Round(float64(im.Width*im.Height*colors.components)/float64(len(data))*100)/100))
	setShared(&a, values, Dataset{})
	in.Attributes = a
	d.Instances = append(d.Instances, in)
	return nil
}

// Detached returns the instance without its slide, to be kept when that is closed. It has no frames
// but that of an associated image.
func (in *Instance) Detached() *Instance {
	c := *in
	c.series, c.sizes = nil, nil
	return &c
}
