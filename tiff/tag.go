package tiff

// A Tag numbers a field of a directory.
type Tag uint16

// Tags of TIFF 6.0 unless another source is named.
const (
	TagNewSubfileType   Tag = 254
	TagSubfileType      Tag = 255
	TagImageWidth       Tag = 256
	TagImageLength      Tag = 257
	TagBitsPerSample    Tag = 258
	TagCompression      Tag = 259
	TagPhotometric      Tag = 262
	TagFillOrder        Tag = 266
	TagImageDescription Tag = 270
	TagMake             Tag = 271
	TagModel            Tag = 272
	TagStripOffsets     Tag = 273
	TagOrientation      Tag = 274
	TagSamplesPerPixel  Tag = 277
	TagRowsPerStrip     Tag = 278
	TagStripByteCounts  Tag = 279
	TagXResolution      Tag = 282
	TagYResolution      Tag = 283
	TagPlanarConfig     Tag = 284
	TagResolutionUnit   Tag = 296
	TagSoftware         Tag = 305
	TagDateTime         Tag = 306
	TagPredictor        Tag = 317
	TagColorMap         Tag = 320
	TagTileWidth        Tag = 322
	TagTileLength       Tag = 323
	TagTileOffsets      Tag = 324
	TagTileByteCounts   Tag = 325
	TagSubIFDs          Tag = 330 // TIFF Technical Note 1
	TagExtraSamples     Tag = 338
	TagSampleFormat     Tag = 339
	TagJPEGTables       Tag = 347 // TIFF Technical Note 2
	TagYCbCrSubSampling Tag = 530
	TagXMP              Tag = 700
	TagImageDepth       Tag = 32997
	TagTileDepth        Tag = 32998
	TagICCProfile       Tag = 34675
)
