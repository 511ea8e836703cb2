package dicom

// Attributes of instances whose frames are not all tiles.
const (
	dimensionIndexPointer  Tag = 0x00209165
	functionalGroupPointer Tag = 0x00209167
	dimensionIndexSequence Tag = 0x00209222
)

// addSparse adds what says that the frames of an instance are only those of the tiles that are
// stored: their positions are in the per-frame functional groups, which are not among the
// attributes, as there may be 100,000 of them.
func (d *Series) addSparse(in *Instance, a *Dataset) {
	for n, size := range in.sizes {
		if size > 0 {
			in.present = append(in.present, int32(n))
		}
	}
	a.Set(NumberOfFrames, len(in.present))
	a.Set(DimensionOrganizationType, "TILED_SPARSE")
	indices := make([]any, 0, 2)
	for _, position := range []string{rowPosition.String(), columnPosition.String()} {
		var index Dataset
		index.Set(dimensionIndexPointer, position)
		index.Set(functionalGroupPointer, planePositionSlideSequence.String())
		index.Set(DimensionOrganizationUID, d.uid("dimension"))
		indices = append(indices, index)
	}
	a.Set(dimensionIndexSequence, indices...)
	var path Dataset
	path.Set(OpticalPathIdentifier, "1")
	shared := &a.Get(SharedFunctionalGroupsSequence).Items[0]
	shared.Set(opticalPathIdentificationSequence, path)
}

// place returns the column and the row of a frame.
func (in *Instance) place(n int) (col, row int) {
	if in.present != nil {
		n = int(in.present[n])
	}
	return n % in.Columns, n / in.Columns
}

// appendPerFrame appends the per-frame functional groups of an instance whose frames are not
// all tiles: where the first pixel of each is, counted from 1 in the matrix, and in mm on the
// glass (PS3.3 section C.8.12.6.1).
func (in *Instance) appendPerFrame(out []byte) []byte {
	if in.present == nil {
		return out
	}
	var items []byte
	for n := range in.present {
		frame := AppendDataset(nil, in.perFrame(n))
		items = append(appendItem(items, int64(len(frame))), frame...)
	}
	return append(appendLong(out, PerFrameFunctionalGroupsSequence, "SQ", len(items)), items...)
}

// perFrame returns the functional groups of a frame.
func (in *Instance) perFrame(n int) Dataset {
	d := in.series
	l := &d.slide.Levels[in.Level]
	col, row := in.place(n)
	x, y := col*l.TileWidth, row*l.TileHeight // pixels of the level
	direction, originX, originY := d.orientation()
	alongX, alongY := float64(x)*d.o.MPPX*l.Downsample/1000, float64(y)*d.o.MPPY*l.Downsample/1000 // mm

	var content, position, frame Dataset
	content.Set(dimensionIndexValues, row+1, col+1)
	position.Set(XOffsetInSlideCoordinateSystem, originX+direction[0]*alongX+direction[3]*alongY)
	position.Set(YOffsetInSlideCoordinateSystem, originY+direction[1]*alongX+direction[4]*alongY)
	position.Set(zOffset, 0.0)
	position.Set(columnPosition, x+1)
	position.Set(rowPosition, y+1)
	frame.Set(frameContentSequence, content)
	frame.Set(planePositionSlideSequence, position)
	return frame
}
