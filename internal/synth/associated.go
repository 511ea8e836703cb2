package synth

import "image"

// The names of pictures in the XML.
const (
	macroImage = "MACROIMAGE"
	labelImage = "LABELIMAGE"
)

// A picture is a label or macro.
type picture struct {
	description string // of its directory
	kind        string
	img         *image.RGBA
}

// pictures renders macro and label, in the order of their directories.
func (w *philipsWriter) pictures() ([]picture, error) {
	var pictures []picture
	if w.p.Macro {
		const description = "Macro -offset=(0,0)-pixelsize=(0.0315,0.0315)-rois=((0,32000,36000,36000))"
		pictures = append(pictures, picture{description, macroImage, drawMacro(w.pyr.view.img, w.p.Seed)})
	}
	if w.p.Label {
		img, err := drawLabel(w.p.Seed, w.p.Barcode)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, picture{"Label", labelImage, onItsSide(img)})
	}
	return pictures, nil
}

// onItsSide returns an image rotated clockwise by 90°, as Philips scanners store labels.
func onItsSide(img *image.RGBA) *image.RGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	turned := image.NewRGBA(image.Rect(0, 0, h, w))
	for y := range h {
		for x := range w {
			turned.SetRGBA(h-1-y, x, img.RGBAAt(x, y))
		}
	}
	return turned
}

// coder is that of the pictures.
func (w *philipsWriter) coder() *coder { return newCoder(w.p.Quality, Sub420, false) }

// isNoise reports whether noise replaces a picture at a place.
func (w *philipsWriter) isNoise(pic *picture, xml bool) bool {
	return pic.kind == labelImage && w.p.CorruptLabel && xml == (w.p.AssociatedIn == InXML)
}

// associated writes the directory of a label or macro.
func (w *philipsWriter) associated(pic *picture) error {
	c, size, coder := w.c, pic.img.Bounds().Size(), w.coder()
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
		if w.isNoise(pic, false) {
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
		ascii(tagImageDescription, pic.description), ascii(tagSoftware, w.p.Software),
	}
	return c.directory(append(fields, w.jpegFields(coder, tables)...))
}

// garbage is noise that no decoder accepts.
func garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(hash(uint64(i)))
	}
	return b
}
