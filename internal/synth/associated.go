package synth

// associated writes the directory of a label or macro.
func (w *philipsWriter) associated(pic picture) error {
	c, size := w.c, pic.img.Bounds().Size()
	coder := newCoder(w.p.Quality, Sub420, false)
	tables := InTiles
	if w.p.StripTables {
		tables = Shared
	}
	_, mcu := coder.mcu()
	rows := ceilDiv(ceilDiv(size.Y, w.p.Strips), mcu) * mcu
	if w.p.Strips == 1 {
		rows = size.Y
	}
	var offsets, counts []int64
	for y := 0; y < size.Y; y += rows {
		strip := coder.image(pic.img, y, min(y+rows, size.Y), tables)
		if pic.kind == "LABELIMAGE" && w.p.CorruptLabel {
			strip = garbage(len(strip))
		}
		offsets, counts = append(offsets, c.pos), append(counts, int64(len(strip)))
		c.Write(strip)
	}
	fields := []field{
		c.long(tagNewSubfileType, 1),
		c.long(tagImageWidth, size.X), c.long(tagImageLength, size.Y),
		c.short(tagBitsPerSample, 8, 8, 8), c.short(tagCompression, 7),
		c.short(tagSamplesPerPixel, 3), c.short(tagPlanarConfig, 1),
		c.long(tagRowsPerStrip, rows),
		c.offset(tagStripOffsets, offsets), c.offset(tagStripByteCounts, counts),
		ascii(tagImageDescription, pic.name), ascii(tagSoftware, w.p.Software),
	}
	return c.directory(append(fields, w.jpegFields(coder, tables)...))
}

// garbage is noise that no decoder takes for its own.
func garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(hash(uint64(i)))
	}
	return b
}
