package dicom

import "math"

// shownTags are attributes of files that everybody may see who may see the slide: what the pixels are,
// and how they are arranged. Of group 0028, about pixels, and 0048, about slides, all are
// shown whose VR is one of shownVRs. All others may be patient data, as may private ones.
var shownTags = func() map[Tag]bool {
	m := map[Tag]bool{}
	for _, t := range []Tag{
		SpecificCharacterSet, ImageType, SOPClassUID, SOPInstanceUID, PyramidUID, Modality, Manufacturer, ManufacturerModelName,
		CodeValue, CodingSchemeDesignator, 0x00080103, CodeMeaning, FrameType, 0x00089205, VolumetricProperties, 0x00089207,
		SliceThickness, SoftwareVersions,
		StudyInstanceUID, SeriesInstanceUID, SeriesNumber, InstanceNumber, FrameOfReferenceUID, PositionReferenceIndicator,
		frameContentSequence, dimensionIndexValues, ConcatenationUID, InConcatenationNumber, InConcatenationTotalNumber,
		DimensionOrganizationUID, dimensionIndexPointer, functionalGroupPointer, DimensionOrganizationSequence, dimensionIndexSequence,
		ConcatenationFrameOffsetNumber, DimensionOrganizationType, 0x00200242, 0x00209056, 0x00209057,
		IlluminationTypeCodeSequence, 0x00220001, 0x00220002, 0x00220003, 0x00220017, 0x00220018, 0x00220019, 0x0022001A, 0x00220055,
		ContainerTypeCodeSequence, SpecimenUID, SpecimenDescriptionSequence, WholeSlideMicroscopyImageFrameTypeSequence,
		XOffsetInSlideCoordinateSystem, YOffsetInSlideCoordinateSystem, zOffset,
		0x20500020, SharedFunctionalGroupsSequence,
	} {
		m[t] = true
	}
	return m
}()

// shownVRs are those of attributes without free text, names, dates and bytes.
var shownVRs = map[VR]bool{
	"AT": true, "CS": true, "DS": true, "FD": true, "FL": true, "IS": true, "OB": true, "OW": true, "SH": true, "LO": true, "SL": true, "SQ": true,
	"SS": true, "UI": true, "UL": true, "US": true,
}

// isShown reports whether everybody may see an element.
func (e *Element) isShown() bool {
	if !shownVRs[e.VR] {
		return false
	}
	switch e.Tag >> 16 {
	case 0x0028:
		return e.VR != "LO" && e.VR != "SH"
	case 0x0048:
		return true
	}
	return shownTags[e.Tag]
}

// openAttributes returns the attributes that everybody may see, also those in sequences.
func openAttributes(d Dataset) Dataset {
	out := Dataset{}
	for i := range d {
		e := d[i]
		if !e.isShown() || !e.fits() {
			continue
		}
		if e.VR == "SQ" {
			e.Items = nil
			for _, item := range d[i].Items {
				e.Items = append(e.Items, openAttributes(item))
			}
		}
		out = append(out, e)
	}
	return out
}

// fits reports whether an element can be written. Values may be longer than their VR allows if the
// file did not state it.
func (e *Element) fits() bool {
	if !shortLength[e.VR] {
		return true
	}
	n := 8 * len(e.Numbers)
	for _, s := range e.Text {
		n += len(s) + 1
	}
	return n <= math.MaxUint16
}

// writable returns the attributes that can be written.
func writable(d Dataset) Dataset {
	out := Dataset{}
	for i := range d {
		e := d[i]
		if !e.fits() {
			continue
		}
		if e.VR == "SQ" {
			e.Items = nil
			for _, item := range d[i].Items {
				e.Items = append(e.Items, writable(item))
			}
		}
		out = append(out, e)
	}
	return out
}

// withoutPatient returns the attributes of a file for callers who may not see its label: those that
// must be there have no value or say that it is unknown, and the glass has the id of the image
// as its identifier.
func withoutPatient(d Dataset, id string) Dataset {
	out := openAttributes(d)
	for _, t := range []Tag{
		StudyDate, StudyTime, AccessionNumber, ReferringPhysicianName, PatientName, PatientID, PatientBirthDate, PatientSex, StudyID,
		IssuerOfTheContainerIdentifierSequence, AcquisitionContextSequence,
	} {
		out.Set(t)
	}
	out.Set(ContentDate, noDateTime[:8])
	out.Set(ContentTime, noDateTime[8:])
	out.Set(AcquisitionDateTime, noDateTime)
	out.Set(DeviceSerialNumber, "Unknown")
	out.Set(ContainerIdentifier, id)
	e := out.Get(SpecimenDescriptionSequence)
	if e == nil {
		return out
	}
	for i := range e.Items {
		e.Items[i].Set(SpecimenIdentifier, id)
		e.Items[i].Set(IssuerOfTheSpecimenIdentifierSequence)
		e.Items[i].Set(SpecimenPreparationSequence)
	}
	return out
}
