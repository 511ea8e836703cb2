package tiff

import "fmt"

// A Tag numbers a field of a directory.
type Tag uint16

// Tags of TIFF 6.0 unless another source is named.
const (
	TagNewSubfileType      Tag = 254
	TagSubfileType         Tag = 255
	TagImageWidth          Tag = 256
	TagImageLength         Tag = 257
	TagBitsPerSample       Tag = 258
	TagCompression         Tag = 259
	TagPhotometric         Tag = 262
	TagFillOrder           Tag = 266
	TagImageDescription    Tag = 270
	TagMake                Tag = 271
	TagModel               Tag = 272
	TagStripOffsets        Tag = 273
	TagOrientation         Tag = 274
	TagSamplesPerPixel     Tag = 277
	TagRowsPerStrip        Tag = 278
	TagStripByteCounts     Tag = 279
	TagXResolution         Tag = 282
	TagYResolution         Tag = 283
	TagPlanarConfig        Tag = 284
	TagResolutionUnit      Tag = 296
	TagSoftware            Tag = 305
	TagDateTime            Tag = 306
	TagPredictor           Tag = 317
	TagColorMap            Tag = 320
	TagTileWidth           Tag = 322
	TagTileLength          Tag = 323
	TagTileOffsets         Tag = 324
	TagTileByteCounts      Tag = 325
	TagSubIFDs             Tag = 330 // TIFF Technical Note 1
	TagExtraSamples        Tag = 338
	TagSampleFormat        Tag = 339
	TagJPEGTables          Tag = 347 // TIFF Technical Note 2
	TagYCbCrCoefficients   Tag = 529
	TagYCbCrSubSampling    Tag = 530
	TagReferenceBlackWhite Tag = 532
	TagXMP                 Tag = 700
	TagImageDepth          Tag = 32997
	TagTileDepth           Tag = 32998
	TagICCProfile          Tag = 34675
)

var tagNames = map[Tag]string{
	TagNewSubfileType:      "NewSubfileType",
	TagSubfileType:         "SubfileType",
	TagImageWidth:          "ImageWidth",
	TagImageLength:         "ImageLength",
	TagBitsPerSample:       "BitsPerSample",
	TagCompression:         "Compression",
	TagPhotometric:         "PhotometricInterpretation",
	TagFillOrder:           "FillOrder",
	TagImageDescription:    "ImageDescription",
	TagMake:                "Make",
	TagModel:               "Model",
	TagStripOffsets:        "StripOffsets",
	TagOrientation:         "Orientation",
	TagSamplesPerPixel:     "SamplesPerPixel",
	TagRowsPerStrip:        "RowsPerStrip",
	TagStripByteCounts:     "StripByteCounts",
	TagXResolution:         "XResolution",
	TagYResolution:         "YResolution",
	TagPlanarConfig:        "PlanarConfiguration",
	TagResolutionUnit:      "ResolutionUnit",
	TagSoftware:            "Software",
	TagDateTime:            "DateTime",
	TagPredictor:           "Predictor",
	TagColorMap:            "ColorMap",
	TagTileWidth:           "TileWidth",
	TagTileLength:          "TileLength",
	TagTileOffsets:         "TileOffsets",
	TagTileByteCounts:      "TileByteCounts",
	TagSubIFDs:             "SubIFDs",
	TagExtraSamples:        "ExtraSamples",
	TagSampleFormat:        "SampleFormat",
	TagJPEGTables:          "JPEGTables",
	TagYCbCrCoefficients:   "YCbCrCoefficients",
	TagYCbCrSubSampling:    "YCbCrSubSampling",
	TagReferenceBlackWhite: "ReferenceBlackWhite",
	TagXMP:                 "XMP",
	TagImageDepth:          "ImageDepth",
	TagTileDepth:           "TileDepth",
	TagICCProfile:          "ICCProfile",

	// Not read by this module, but named in error messages and listings.
	269:   "DocumentName",
	285:   "PageName",
	297:   "PageNumber",
	315:   "Artist",
	316:   "HostComputer",
	318:   "WhitePoint",
	319:   "PrimaryChromaticities",
	531:   "YCbCrPositioning",
	33432: "Copyright",
	33723: "IPTC",
	34377: "Photoshop",
	34665: "ExifIFD",
	42112: "GDALMetadata",
	42113: "GDALNoData",
}

// String returns the number of the tag, and its name if it is known: "324 TileOffsets".
func (t Tag) String() string {
	if name, ok := tagNames[t]; ok {
		return fmt.Sprintf("%d %s", uint16(t), name)
	}
	return fmt.Sprint(uint16(t))
}
