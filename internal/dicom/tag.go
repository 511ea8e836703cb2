package dicom

import (
	"fmt"
	"strconv"
	"sync"
)

// A Tag names an attribute: its group in the upper, its element in the lower 16 bits.
type Tag uint32

// String returns the tag as the JSON model writes it, such as "00080018".
func (t Tag) String() string { return fmt.Sprintf("%08X", uint32(t)) }

// keywords has the tags of the attributes of slides by their keyword, such as "PatientID".
var keywords = map[string]Tag{
	"SpecificCharacterSet": SpecificCharacterSet, "ImageType": ImageType, "SOPClassUID": SOPClassUID, "AcquisitionUID": AcquisitionUID,
	"SOPInstanceUID": SOPInstanceUID, "PyramidUID": PyramidUID, "StudyDate": StudyDate, "ContentDate": ContentDate,
	"AcquisitionDateTime": AcquisitionDateTime, "StudyTime": StudyTime, "ContentTime": ContentTime, "AccessionNumber": AccessionNumber,
	"Modality": Modality, "ModalitiesInStudy": ModalitiesInStudy, "Manufacturer": Manufacturer, "ReferringPhysicianName": ReferringPhysicianName,
	"CodeValue": CodeValue, "CodingSchemeDesignator": CodingSchemeDesignator, "CodeMeaning": CodeMeaning, "StudyDescription": StudyDescription, "SeriesDescription": SeriesDescription,
	"ManufacturerModelName": ManufacturerModelName, "RetrieveURL": RetrieveURL, "FrameType": FrameType, "VolumetricProperties": VolumetricProperties,
	"PatientName": PatientName, "PatientID": PatientID, "PatientBirthDate": PatientBirthDate, "PatientSex": PatientSex,
	"PatientIdentityRemoved": PatientIdentityRemoved, "DeidentificationMethod": DeidentificationMethod, "SliceThickness": SliceThickness,
	"DeviceSerialNumber": DeviceSerialNumber, "SoftwareVersions": SoftwareVersions, "ContributingEquipmentSequence": ContributingEquipmentSequence,
	"StudyInstanceUID": StudyInstanceUID, "SeriesInstanceUID": SeriesInstanceUID, "StudyID": StudyID, "SeriesNumber": SeriesNumber,
	"InstanceNumber": InstanceNumber, "FrameOfReferenceUID": FrameOfReferenceUID, "PositionReferenceIndicator": PositionReferenceIndicator,
	"NumberOfStudyRelatedSeries": NumberOfStudyRelatedSeries, "NumberOfStudyRelatedInstances": NumberOfStudyRelatedInstances,
	"NumberOfSeriesRelatedInstances": NumberOfSeriesRelatedInstances, "DimensionOrganizationUID": DimensionOrganizationUID,
	"DimensionOrganizationSequence": DimensionOrganizationSequence, "DimensionOrganizationType": DimensionOrganizationType,
	"IlluminationTypeCodeSequence": IlluminationTypeCodeSequence, "SamplesPerPixel": SamplesPerPixel, "PhotometricInterpretation": PhotometricInterpretation,
	"PlanarConfiguration": PlanarConfiguration, "NumberOfFrames": NumberOfFrames, "Rows": Rows, "Columns": Columns,
	"PixelSpacing": PixelSpacing, "BitsAllocated": BitsAllocated, "BitsStored": BitsStored, "HighBit": HighBit, "PixelRepresentation": PixelRepresentation,
	"BurnedInAnnotation": BurnedInAnnotation, "ICCProfile": ICCProfile, "ColorSpace": ColorSpace, "LossyImageCompression": LossyImageCompression,
	"LossyImageCompressionRatio": LossyImageCompressionRatio, "LossyImageCompressionMethod": LossyImageCompressionMethod,
	"PixelMeasuresSequence": PixelMeasuresSequence, "PurposeOfReferenceCodeSequence": PurposeOfReferenceCodeSequence,
	"ContainerIdentifier": ContainerIdentifier, "IssuerOfTheContainerIdentifierSequence": IssuerOfTheContainerIdentifierSequence,
	"ContainerTypeCodeSequence": ContainerTypeCodeSequence, "SpecimenIdentifier": SpecimenIdentifier, "SpecimenUID": SpecimenUID,
	"AcquisitionContextSequence": AcquisitionContextSequence, "SpecimenDescriptionSequence": SpecimenDescriptionSequence,
	"IssuerOfTheSpecimenIdentifierSequence": IssuerOfTheSpecimenIdentifierSequence, "SpecimenPreparationSequence": SpecimenPreparationSequence,
	"WholeSlideMicroscopyImageFrameTypeSequence": WholeSlideMicroscopyImageFrameTypeSequence, "XOffsetInSlideCoordinateSystem": XOffsetInSlideCoordinateSystem,
	"YOffsetInSlideCoordinateSystem": YOffsetInSlideCoordinateSystem, "ImagedVolumeWidth": ImagedVolumeWidth, "ImagedVolumeHeight": ImagedVolumeHeight,
	"ImagedVolumeDepth": ImagedVolumeDepth, "TotalPixelMatrixColumns": TotalPixelMatrixColumns, "TotalPixelMatrixRows": TotalPixelMatrixRows,
	"TotalPixelMatrixOriginSequence": TotalPixelMatrixOriginSequence, "SpecimenLabelInImage": SpecimenLabelInImage,
	"FocusMethod": FocusMethod, "ExtendedDepthOfField": ExtendedDepthOfField, "ImageOrientationSlide": ImageOrientationSlide,
	"OpticalPathSequence": OpticalPathSequence, "OpticalPathIdentifier": OpticalPathIdentifier, "IlluminationColorCodeSequence": IlluminationColorCodeSequence,
	"ObjectiveLensPower": ObjectiveLensPower, "NumberOfOpticalPaths": NumberOfOpticalPaths, "TotalPixelMatrixFocalPlanes": TotalPixelMatrixFocalPlanes,
	"LabelText": LabelText, "BarcodeValue": BarcodeValue, "SharedFunctionalGroupsSequence": SharedFunctionalGroupsSequence,
	"ExtendedOffsetTable": ExtendedOffsetTable, "ExtendedOffsetTableLengths": ExtendedOffsetTableLengths, "PixelData": PixelData,
}

// Keyword returns the keyword of an attribute of slides, or "".
func Keyword(t Tag) string { return names()[t] }

// names has the keywords by their tag.
var names = sync.OnceValue(func() map[Tag]string {
	m := map[Tag]string{}
	for name, t := range keywords {
		m[t] = name
	}
	return m
})

// ParseTag returns the tag of an attribute that a client names, by eight hexadecimal digits or by
// its keyword. It reports false for one that no slide has.
func ParseTag(name string) (Tag, bool) {
	if t, ok := keywords[name]; ok {
		return t, true
	}
	n, err := strconv.ParseUint(name, 16, 32)
	if err != nil || len(name) != 8 {
		return 0, false
	}
	_, ok := representations[Tag(n)]
	return Tag(n), ok
}

// A VR is a value representation, PS3.5 section 6.2.
type VR string

// The attributes that slides have (PS3.6), in ascending order.
const (
	FileMetaInformationGroupLength             Tag = 0x00020000
	FileMetaInformationVersion                 Tag = 0x00020001
	MediaStorageSOPClassUID                    Tag = 0x00020002
	MediaStorageSOPInstanceUID                 Tag = 0x00020003
	TransferSyntaxUID                          Tag = 0x00020010
	ImplementationClassUID                     Tag = 0x00020012
	ImplementationVersionName                  Tag = 0x00020013
	SpecificCharacterSet                       Tag = 0x00080005
	ImageType                                  Tag = 0x00080008
	SOPClassUID                                Tag = 0x00080016
	AcquisitionUID                             Tag = 0x00080017
	SOPInstanceUID                             Tag = 0x00080018
	PyramidUID                                 Tag = 0x00080019
	StudyDate                                  Tag = 0x00080020
	ContentDate                                Tag = 0x00080023
	AcquisitionDateTime                        Tag = 0x0008002A
	StudyTime                                  Tag = 0x00080030
	ContentTime                                Tag = 0x00080033
	AccessionNumber                            Tag = 0x00080050
	Modality                                   Tag = 0x00080060
	ModalitiesInStudy                          Tag = 0x00080061
	Manufacturer                               Tag = 0x00080070
	ReferringPhysicianName                     Tag = 0x00080090
	CodeValue                                  Tag = 0x00080100
	CodingSchemeDesignator                     Tag = 0x00080102
	CodeMeaning                                Tag = 0x00080104
	StudyDescription                           Tag = 0x00081030
	SeriesDescription                          Tag = 0x0008103E
	ManufacturerModelName                      Tag = 0x00081090
	RetrieveURL                                Tag = 0x00081190
	FrameType                                  Tag = 0x00089007
	VolumetricProperties                       Tag = 0x00089206
	PatientName                                Tag = 0x00100010
	PatientID                                  Tag = 0x00100020
	PatientBirthDate                           Tag = 0x00100030
	PatientSex                                 Tag = 0x00100040
	PatientIdentityRemoved                     Tag = 0x00120062
	DeidentificationMethod                     Tag = 0x00120063
	SliceThickness                             Tag = 0x00180050
	DeviceSerialNumber                         Tag = 0x00181000
	SoftwareVersions                           Tag = 0x00181020
	ContributingEquipmentSequence              Tag = 0x0018A001
	StudyInstanceUID                           Tag = 0x0020000D
	SeriesInstanceUID                          Tag = 0x0020000E
	StudyID                                    Tag = 0x00200010
	SeriesNumber                               Tag = 0x00200011
	InstanceNumber                             Tag = 0x00200013
	FrameOfReferenceUID                        Tag = 0x00200052
	PositionReferenceIndicator                 Tag = 0x00201040
	NumberOfStudyRelatedSeries                 Tag = 0x00201206
	NumberOfStudyRelatedInstances              Tag = 0x00201208
	NumberOfSeriesRelatedInstances             Tag = 0x00201209
	ConcatenationUID                           Tag = 0x00209161
	InConcatenationNumber                      Tag = 0x00209162
	InConcatenationTotalNumber                 Tag = 0x00209163
	DimensionOrganizationUID                   Tag = 0x00209164
	DimensionOrganizationSequence              Tag = 0x00209221
	ConcatenationFrameOffsetNumber             Tag = 0x00209228
	DimensionOrganizationType                  Tag = 0x00209311
	IlluminationTypeCodeSequence               Tag = 0x00220016
	SamplesPerPixel                            Tag = 0x00280002
	PhotometricInterpretation                  Tag = 0x00280004
	PlanarConfiguration                        Tag = 0x00280006
	NumberOfFrames                             Tag = 0x00280008
	Rows                                       Tag = 0x00280010
	Columns                                    Tag = 0x00280011
	PixelSpacing                               Tag = 0x00280030
	BitsAllocated                              Tag = 0x00280100
	BitsStored                                 Tag = 0x00280101
	HighBit                                    Tag = 0x00280102
	PixelRepresentation                        Tag = 0x00280103
	BurnedInAnnotation                         Tag = 0x00280301
	ICCProfile                                 Tag = 0x00282000
	ColorSpace                                 Tag = 0x00282002
	LossyImageCompression                      Tag = 0x00282110
	LossyImageCompressionRatio                 Tag = 0x00282112
	LossyImageCompressionMethod                Tag = 0x00282114
	PixelMeasuresSequence                      Tag = 0x00289110
	ContainerIdentifier                        Tag = 0x00400512
	IssuerOfTheContainerIdentifierSequence     Tag = 0x00400513
	ContainerTypeCodeSequence                  Tag = 0x00400518
	SpecimenIdentifier                         Tag = 0x00400551
	SpecimenUID                                Tag = 0x00400554
	AcquisitionContextSequence                 Tag = 0x00400555
	SpecimenDescriptionSequence                Tag = 0x00400560
	IssuerOfTheSpecimenIdentifierSequence      Tag = 0x00400562
	SpecimenPreparationSequence                Tag = 0x00400610
	WholeSlideMicroscopyImageFrameTypeSequence Tag = 0x00400710
	XOffsetInSlideCoordinateSystem             Tag = 0x0040072A
	YOffsetInSlideCoordinateSystem             Tag = 0x0040073A
	PurposeOfReferenceCodeSequence             Tag = 0x0040A170
	ImagedVolumeWidth                          Tag = 0x00480001
	ImagedVolumeHeight                         Tag = 0x00480002
	ImagedVolumeDepth                          Tag = 0x00480003
	TotalPixelMatrixColumns                    Tag = 0x00480006
	TotalPixelMatrixRows                       Tag = 0x00480007
	TotalPixelMatrixOriginSequence             Tag = 0x00480008
	SpecimenLabelInImage                       Tag = 0x00480010
	FocusMethod                                Tag = 0x00480011
	ExtendedDepthOfField                       Tag = 0x00480012
	ImageOrientationSlide                      Tag = 0x00480102
	OpticalPathSequence                        Tag = 0x00480105
	OpticalPathIdentifier                      Tag = 0x00480106
	IlluminationColorCodeSequence              Tag = 0x00480108
	ObjectiveLensPower                         Tag = 0x00480112
	NumberOfOpticalPaths                       Tag = 0x00480302
	TotalPixelMatrixFocalPlanes                Tag = 0x00480303
	LabelText                                  Tag = 0x22000002
	BarcodeValue                               Tag = 0x22000005
	SharedFunctionalGroupsSequence             Tag = 0x52009229
	PerFrameFunctionalGroupsSequence           Tag = 0x52009230
	ExtendedOffsetTable                        Tag = 0x7FE00001
	ExtendedOffsetTableLengths                 Tag = 0x7FE00002
	PixelData                                  Tag = 0x7FE00010
)

// representations has the VR of each attribute.
var representations = map[Tag]VR{
	FileMetaInformationGroupLength: "UL", FileMetaInformationVersion: "OB",
	MediaStorageSOPClassUID: "UI", MediaStorageSOPInstanceUID: "UI", TransferSyntaxUID: "UI",
	ImplementationClassUID: "UI", ImplementationVersionName: "SH",
	SpecificCharacterSet: "CS", ImageType: "CS", SOPClassUID: "UI", AcquisitionUID: "UI", SOPInstanceUID: "UI",
	PyramidUID: "UI", StudyDate: "DA", ContentDate: "DA", AcquisitionDateTime: "DT", StudyTime: "TM", ContentTime: "TM",
	AccessionNumber: "SH", Modality: "CS", Manufacturer: "LO", ReferringPhysicianName: "PN",
	CodeValue: "SH", CodingSchemeDesignator: "SH", CodeMeaning: "LO",
	SeriesDescription: "LO", ManufacturerModelName: "LO", FrameType: "CS", VolumetricProperties: "CS",
	PatientName: "PN", PatientID: "LO", PatientBirthDate: "DA", PatientSex: "CS",
	PatientIdentityRemoved: "CS", DeidentificationMethod: "LO",
	SliceThickness: "DS", DeviceSerialNumber: "LO", SoftwareVersions: "LO", ContributingEquipmentSequence: "SQ",
	StudyInstanceUID: "UI", SeriesInstanceUID: "UI", StudyID: "SH", SeriesNumber: "IS", InstanceNumber: "IS",
	FrameOfReferenceUID: "UI", PositionReferenceIndicator: "LO", DimensionOrganizationUID: "UI",
	ConcatenationUID: "UI", InConcatenationNumber: "US", InConcatenationTotalNumber: "US", ConcatenationFrameOffsetNumber: "UL",
	DimensionOrganizationSequence: "SQ", DimensionOrganizationType: "CS", IlluminationTypeCodeSequence: "SQ",
	SamplesPerPixel: "US", PhotometricInterpretation: "CS", PlanarConfiguration: "US", NumberOfFrames: "IS",
	Rows: "US", Columns: "US", PixelSpacing: "DS", BitsAllocated: "US", BitsStored: "US", HighBit: "US",
	PixelRepresentation: "US", BurnedInAnnotation: "CS", ICCProfile: "OB", ColorSpace: "CS",
	LossyImageCompression: "CS", LossyImageCompressionRatio: "DS", LossyImageCompressionMethod: "CS",
	PixelMeasuresSequence: "SQ", PurposeOfReferenceCodeSequence: "SQ",
	ContainerIdentifier: "LO", IssuerOfTheContainerIdentifierSequence: "SQ", ContainerTypeCodeSequence: "SQ",
	SpecimenIdentifier: "LO", SpecimenUID: "UI", AcquisitionContextSequence: "SQ", SpecimenDescriptionSequence: "SQ",
	IssuerOfTheSpecimenIdentifierSequence: "SQ", SpecimenPreparationSequence: "SQ",
	WholeSlideMicroscopyImageFrameTypeSequence: "SQ", XOffsetInSlideCoordinateSystem: "DS", YOffsetInSlideCoordinateSystem: "DS",
	ImagedVolumeWidth: "FL", ImagedVolumeHeight: "FL", ImagedVolumeDepth: "FL",
	TotalPixelMatrixColumns: "UL", TotalPixelMatrixRows: "UL", TotalPixelMatrixOriginSequence: "SQ",
	SpecimenLabelInImage: "CS", FocusMethod: "CS", ExtendedDepthOfField: "CS", ImageOrientationSlide: "DS",
	OpticalPathSequence: "SQ", OpticalPathIdentifier: "SH", IlluminationColorCodeSequence: "SQ", ObjectiveLensPower: "DS",
	NumberOfOpticalPaths: "UL", TotalPixelMatrixFocalPlanes: "UL", LabelText: "UT", BarcodeValue: "LT",
	SharedFunctionalGroupsSequence: "SQ", PerFrameFunctionalGroupsSequence: "SQ",
	ModalitiesInStudy: "CS", RetrieveURL: "UR", NumberOfStudyRelatedSeries: "IS", NumberOfStudyRelatedInstances: "IS", NumberOfSeriesRelatedInstances: "IS",
	frameContentSequence: "SQ", dimensionIndexValues: "UL", dimensionIndexPointer: "AT", functionalGroupPointer: "AT", dimensionIndexSequence: "SQ",
	StudyDescription: "LO", zOffset: "DS", planePositionSlideSequence: "SQ", columnPosition: "SL", rowPosition: "SL", opticalPathIdentificationSequence: "SQ",
	ExtendedOffsetTable: "OV", ExtendedOffsetTableLengths: "OV", PixelData: "OB",
}
