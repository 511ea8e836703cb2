package dicom

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
	"github.com/slideatlas/ptiffstore/slide"
)

// ErrNoSpacing reports a slide whose size of a pixel is unknown, which every level must state.
var ErrNoSpacing = errors.New("the size of a pixel is unknown")

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
	// NoFiles means that the series is only described, and no files are written.
	NoFiles bool
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

	slide    *slide.Slide
	icc      []byte // the colour profile; nil without a usable one
	o        Options
	print    string // of the file
	lossy    *lossy // of the largest level; nil if nothing was lost
	extended bool   // write the extended table of frames also where the basic one would do
}

// A lossy says how much was lost by compression.
type lossy struct {
	method string
	ratio  float64
}

// An Instance is a level or an associated image.
type Instance struct {
	UID            string
	TransferSyntax string  // of the frames
	Attributes     Dataset // without the pixels
	Level          int     // index of the level, or -1
	Kind           string  // macro, label or thumbnail, or "" for a level
	Private        bool    // only those may see it who may see the label
	// Columns and Rows are the grid of frames; frame number row*Columns + column, from 0. They are 0
	// for an instance that is a file.
	Columns, Rows int

	series     *Series
	stored     *storedInstance // nil unless it is a file of the slide
	pixels     pixels          // of other instances
	associated []byte          // the only frame of an associated image
	background []byte          // the frame in place of tiles that the scanner skipped; nil without such tiles
	sizes      []uint32        // upper bounds of the bytes of the tiles, row by row; 0 for skipped ones
	present    []int32         // with [Options].Sparse, the tiles that are frames; nil if all are
	// loose means that frames may be much shorter than [slide.Slide.TileBytes] says: the slide
	// is in no file, or its tiles repeat the tables that they share. Or they are encoded.
	loose bool
}

// NewSeries describes a slide. It reads the tile tables of all levels, and a few tiles of each.
//
// A slide that was opened from a DICOM series has the instances of its files, with their own
// identifiers and attributes; those of the patient only if the label is included. De-identified, it is
// described as any other slide.
//
// The error is [ErrNoSpacing] or that of the slide.
func NewSeries(s *slide.Slide, o Options) (*Series, error) {
	if o.MPPX == 0 || o.MPPY == 0 {
		o.MPPX, o.MPPY = s.MPPX, s.MPPY
	}
	if !(o.MPPX > 0 && o.MPPY > 0) || math.IsInf(o.MPPX, 0) || math.IsInf(o.MPPY, 0) {
		return nil, ErrNoSpacing
	}
	d := &Series{slide: s, o: o}
	if src, ok := s.Source().(*source); ok && !o.Deidentify {
		return d, d.addSource(src)
	}
	print, err := s.Fingerprint()
	if err != nil {
		return nil, err
	}
	d.icc, d.print = profileOf(s), hex.EncodeToString(print[:])
	d.StudyUID, d.UID = d.uid("study"), d.uid("series")
	for i := range s.Levels {
		if err := d.addLevel(i); err != nil {
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
		UID: d.pixelUID(fmt.Sprintf("level %d", i)), Level: i, Columns: l.Columns, Rows: l.Rows, series: d,
	}
	t, err := d.readTable(in)
	if err != nil {
		return err
	}
	if err := d.choose(in, &t); err != nil {
		return fmt.Errorf("level %d: %w", i, err)
	}
	in.TransferSyntax = in.pixels.syntax
	a := d.common(in, d.icc)
	d.addGeometry(&a, l.Width, l.Height, l.TileWidth, l.TileHeight, l.Columns*l.Rows)
	d.addVolume(&a, l)
	total := float64(t.stored)
	if in.pixels.how == encoded && t.sample != nil {
		b, err := in.AppendFrame(context.Background(), nil, t.at.Y*l.Columns+t.at.X)
		if err != nil {
			return err
		}
		total = float64(len(b)) * float64(l.Columns) * float64(l.Rows)
	}
	d.addLoss(&a, &in.pixels, float64(l.Width)*float64(l.Height)*float64(in.pixels.components)/max(total, 1))
	if d.o.Sparse && t.empty && in.pixels.how == asStored {
		d.addSparse(in, &a)
	}
	in.Attributes = a
	d.Instances = append(d.Instances, in)
	return nil
}

// addLoss adds whether the pixels have been compressed with losses: those of an instance itself, or
// those of the largest level, from which the others were made.
func (d *Series) addLoss(a *Dataset, p *pixels, ratio float64) {
	loss := d.lossy
	if p.method != "" {
		loss = &lossy{p.method, max(1, math.Round(ratio*100)/100)}
	}
	if len(d.Instances) == 0 {
		d.lossy = loss
	}
	if loss == nil {
		a.Set(LossyImageCompression, "00")
		return
	}
	a.Set(LossyImageCompression, "01")
	a.Set(LossyImageCompressionMethod, loss.method)
	a.Set(LossyImageCompressionRatio, loss.ratio)
}

// A tileTable is what the table of the tiles of a level says.
type tileTable struct {
	sample []byte      // the first stored tile; nil if none is
	at     image.Point // its place
	edges  []image.Point
	stored int64 // bytes of all tiles
	empty  bool  // some tiles are not stored
}

// readTable reads the table of tiles of a level, and one tile.
func (d *Series) readTable(in *Instance) (t tileTable, err error) {
	level, first := in.Level, int64(0)
	l := &d.slide.Levels[level]
	var right, bottom, none image.Point
	in.sizes = make([]uint32, 0, l.Rows*l.Columns)
	for row := range l.Rows {
		for col := range l.Columns {
			n := d.slide.TileBytes(level, col, row)
			in.sizes = append(in.sizes, uint32(n)) // at most 64 MiB
			t.stored += n
			switch {
			case n == 0:
				t.empty = true
				continue
			case first == 0:
				t.at, first = image.Pt(col, row), n
			}
			if col == l.Columns-1 {
				right = image.Pt(col, row)
			}
			if row == l.Rows-1 {
				bottom = image.Pt(col, row)
			}
		}
	}
	if first == 0 {
		return t, nil
	}
	for _, p := range []image.Point{right, bottom} {
		if p != none && p != t.at {
			t.edges = append(t.edges, p)
		}
	}
	t.sample, err = d.slide.AppendTile(nil, level, t.at.X, t.at.Y)
	in.loose = first > int64(len(t.sample))+1 // but for a byte behind the end
	if in.loose {
		t.stored = min(t.stored, int64(len(t.sample))*int64(l.Columns*l.Rows))
	}
	return t, err
}

// choose decides how the tiles of a level become frames.
func (d *Series) choose(in *Instance, t *tileTable) (err error) {
	l := &d.slide.Levels[in.Level]
	if in.pixels, err = storedAs(l, t.sample); err != nil {
		return err
	}
	p := &in.pixels
	if p.how == asStored && p.syntax == JPEGBaseline && t.empty {
		in.background, err = background(t.sample, l.TileWidth, l.TileHeight)
		return err
	}
	if p.how == asStored && p.syntax != JPEGBaseline {
		// Tiles of the edges may be smaller, and there is no encoder for one that was skipped.
		whole := !t.empty
		for _, at := range t.edges {
			tile, err := d.slide.AppendTile(nil, in.Level, at.X, at.Y)
			if err != nil {
				return err
			}
			edge, err := storedAs(l, tile)
			if err != nil {
				return err
			}
			whole = whole && edge.how == asStored && edge.syntax == p.syntax
		}
		if !whole {
			p.how = decoded
		}
	}
	if p.how != asStored {
		p.decode(l.Columns * l.Rows)
		in.loose = p.how == encoded
	}
	return nil
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
func (d *Series) common(in *Instance, profile []byte) Dataset {
	c := in.pixels.colorModel
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

// Attributes of images in shades of grey.
const (
	rescaleIntercept     Tag = 0x00281052
	rescaleSlope         Tag = 0x00281053
	presentationLUTShape Tag = 0x20500020
)

// addPixels adds how a pixel is stored.
func addPixels(a *Dataset, c colorModel) {
	a.Set(SamplesPerPixel, c.components)
	a.Set(PhotometricInterpretation, c.photometric)
	if c.components > 1 {
		a.Set(PlanarConfiguration, 0)
	} else {
		a.Set(rescaleIntercept, 0)
		a.Set(rescaleSlope, 1)
		a.Set(presentationLUTShape, "IDENTITY")
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
	const glassX, glassY = 25, 50                                                    // mm, of a usual slide without the label
	if v, ok := orientationOf(d.slide.Properties["dicom.ImageOrientationSlide"]); ok {
		x, y = -min(0, v[0]*width)-min(0, v[3]*height), -min(0, v[1]*width)-min(0, v[4]*height)
		if x > 0 {
			x = max(glassX, x)
		}
		if y > 0 {
			y = max(glassY, y)
		}
		return v, x, y
	}
	if f := d.slide.Format; f == "philips" || f == "aperio" {
		return [6]float64{0, -1, 0, -1, 0, 0}, max(glassX, height), max(glassY, width)
	}
	return [6]float64{0, 1, 0, 1, 0, 0}, 0, 0
}

// orientationOf parses the orientation that a DICOM file states. It reports false unless it has two
// unit vectors at right angles.
func orientationOf(text string) (v [6]float64, ok bool) {
	parts := strings.Split(text, `\`)
	if len(parts) != len(v) {
		return v, false
	}
	for i, s := range parts {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || !(math.Abs(f) <= 1) {
			return v, false
		}
		v[i] = f
	}
	dot := func(a, b []float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
	const tolerance = 1e-3
	row, column := v[:3], v[3:]
	return v, math.Abs(dot(row, row)-1) < tolerance && math.Abs(dot(column, column)-1) < tolerance && math.Abs(dot(row, column)) < tolerance
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

// maxSide limits the width and height of a frame.
const maxSide = math.MaxUint16

// addAssociated adds the macro, which may show the label, or the label, if the slide has it and
// the caller may see it. One that is not a baseline JPEG is decoded.
func (d *Series) addAssociated(kind string) error {
	p := d.o.Patient
	if kind == "macro" && !p.Macro || kind == "label" && !p.Label || !slices.Contains(d.slide.Associated(), kind) {
		return nil
	}
	im, err := d.slide.ReadAssociated(kind)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	in := &Instance{
		UID: d.pixelUID(kind), Level: -1, Kind: kind, Private: true, Columns: 1, Rows: 1, series: d,
		pixels: pixels{how: asStored, syntax: JPEGBaseline, width: im.Width, height: im.Height, method: lossyJPEG},
	}
	size := 0
	for _, strip := range im.Strips {
		size += len(strip)
	}
	in.associated = im.JPEG()
	if head, err := jpeg.ParseHeader(in.associated); err == nil { // its own size counts
		in.pixels.width, in.pixels.height = head.Width, head.Height
	}
	if in.pixels.colorModel, err = colorsOf(in.associated, in.pixels.width, in.pixels.height); err != nil {
		in.associated, in.pixels.colorModel = nil, colorModel{3, "RGB"}
		if im.Layout.Codec != slide.JPEG {
			in.pixels.method = map[slide.Codec]string{slide.JPEG2000: lossyJPEG2000, slide.WebP: lossyWebP}[im.Layout.Codec]
		}
		in.pixels.decode(1)
	}
	w, h := in.pixels.width, in.pixels.height
	if w > maxSide || h > maxSide {
		return nil
	}
	in.TransferSyntax = in.pixels.syntax
	a := d.common(in, nil)
	d.addGeometry(&a, w, h, w, h, 1)
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
	if in.pixels.method == "" {
		a.Set(LossyImageCompression, "00")
	} else {
		d.addLoss(&a, &in.pixels, float64(w*h*in.pixels.components)/float64(max(size, 1)))
	}
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
	if in.stored != nil {
		st := *in.stored
		st.head, st.perFrame = nil, nil
		c.stored = &st
	}
	return &c
}
