package dicom

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/slide"
)

// maxProperty limits the value of a property in bytes.
const maxProperty = 1 << 10

// noDateTime is what this and other programs write where an unknown time must have a value.
const noDateTime = "19700101000000"

// properties are the attributes that become properties of the slide. Only some of them may be
// seen by everybody who may see the slide; the API knows which.
var properties = []struct {
	tag  Tag
	name string // keyword of PS3.6
}{
	{StudyInstanceUID, "StudyInstanceUID"},
	{SeriesInstanceUID, "SeriesInstanceUID"},
	{StudyDate, "StudyDate"},
	{StudyTime, "StudyTime"},
	{AcquisitionDateTime, "AcquisitionDateTime"},
	{AccessionNumber, "AccessionNumber"},
	{Manufacturer, "Manufacturer"},
	{ManufacturerModelName, "ManufacturerModelName"},
	{DeviceSerialNumber, "DeviceSerialNumber"},
	{SoftwareVersions, "SoftwareVersions"},
	{StudyID, "StudyID"},
	{StudyDescription, "StudyDescription"},
	{ReferringPhysicianName, "ReferringPhysicianName"},
	{SeriesNumber, "SeriesNumber"},
	{SeriesDescription, "SeriesDescription"},
	{PatientName, "PatientName"},
	{PatientID, "PatientID"},
	{PatientBirthDate, "PatientBirthDate"},
	{PatientSex, "PatientSex"},
	{ContainerIdentifier, "ContainerIdentifier"},
	{PhotometricInterpretation, "PhotometricInterpretation"},
	{LossyImageCompression, "LossyImageCompression"},
	{LossyImageCompressionRatio, "LossyImageCompressionRatio"},
	{LossyImageCompressionMethod, "LossyImageCompressionMethod"},
	{FocusMethod, "FocusMethod"},
	{ExtendedDepthOfField, "ExtendedDepthOfField"},
	{ImageOrientationSlide, "ImageOrientationSlide"},
}

// describe fills in what the attributes of the largest level and of the label say about the
// slide.
func describe(c *slide.Composite, in *instance, all []*instance) {
	d := in.file.Data
	for _, p := range properties {
		setProperty(c, p.name, d.Get(p.tag))
	}
	setProperty(c, "TransferSyntaxUID", &Element{Text: []string{in.file.TransferSyntax}})
	for _, s := range d.Items(SpecimenDescriptionSequence) {
		setProperty(c, "SpecimenIdentifier", s.Get(SpecimenIdentifier))
		break
	}
	c.Vendor = d.Text(Manufacturer)
	if x, y, ok := spacing(d); ok {
		c.MPPX, c.MPPY = x*1000, y*1000
	}
	if v := opticalPath(d).Floats(ObjectiveLensPower); len(v) > 0 {
		c.ObjectivePower = v[0]
	}
	var uids []string
	for _, in := range all {
		if in.kind == "LABEL" {
			setProperty(c, "LabelText", in.file.Data.Get(LabelText))
			setProperty(c, "BarcodeValue", in.file.Data.Get(BarcodeValue))
		}
		c.Size += in.part.Size
		uids = append(uids, fmt.Sprintf("%s %d\n", in.uid, in.part.Size))
	}
	c.Barcode = barcode(c, d)
	slices.Sort(uids)
	c.Contents = []byte(strings.Join(uids, ""))
}

// barcode returns the text of the barcode on the label. Scanners also write it as the identifier
// of the container; this program writes the id of an image there if it is not to reveal one.
func barcode(c *slide.Composite, d Dataset) string {
	if code := c.Properties["dicom.BarcodeValue"]; code != "" {
		return code
	}
	for _, e := range d.Items(ContributingEquipmentSequence) {
		if e.Text(Manufacturer) == "ptiffstore" {
			return ""
		}
	}
	return c.Properties["dicom.ContainerIdentifier"]
}

// setProperty sets a property unless the attribute has no value.
func setProperty(c *slide.Composite, name string, e *Element) {
	if e == nil {
		return
	}
	text := strings.TrimSpace(strings.Join(e.Text, `\`))
	if len(text) > maxProperty {
		text = strings.ToValidUTF8(text[:maxProperty], "")
	}
	if text != "" && text != noDateTime {
		c.Properties["dicom."+name] = text
	}
}
