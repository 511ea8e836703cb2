package jpeg

// MarkCOM is the marker of a comment.
const MarkCOM = 0xfe

// Anonymize overwrites what a header may say beyond the pixels: comments, EXIF, XMP, thumbnails
// and the segments of other applications. JFIF, ICC profiles and Adobe's colour transform stay,
// as they say what colours the pixels have. In place of the rest there are fill bytes, which may
// be in front of any marker (ITU-T T.81 B.1.1.2), so that the JPEG has the same length. A
// damaged header is overwritten up to the damage.
func Anonymize(data []byte) {
	const head = 4 // marker and length
	for i := 2; ; {
		seg, next, err := nextSegment(data, i)
		if err != nil || seg.Mark == MarkSOS {
			return
		}
		begin := next - len(seg.Data) - head
		switch {
		case seg.Mark == MarkAPP0 && isJFIF(seg.Data):
			anonymizeJFIF(data[begin:next])
		case seg.Mark == MarkCOM, isApplication(seg.Mark) && !describesColors(seg):
			fill(data[begin:next])
		}
		i = next
	}
}

func isApplication(mark byte) bool { return mark >= MarkAPP0 && mark <= 0xef }

// describesColors reports whether an application segment is needed to decode the colours.
func describesColors(s Segment) bool {
	switch s.Mark {
	case MarkAPP2:
		return len(s.Data) >= 12 && string(s.Data[:12]) == "ICC_PROFILE\x00"
	case MarkAPP14:
		return len(s.Data) >= 12 && string(s.Data[:5]) == "Adobe"
	}
	return false
}

// jfifLength is the length of a JFIF segment without thumbnail, without its marker.
const jfifLength = 16

func isJFIF(b []byte) bool { return len(b) >= jfifLength-2 && string(b[:5]) == "JFIF\x00" }

// anonymizeJFIF removes the thumbnail of a JFIF segment.
func anonymizeJFIF(b []byte) {
	b[2], b[3] = 0, jfifLength
	b[2+jfifLength-2], b[2+jfifLength-1] = 0, 0 // size of the thumbnail
	fill(b[2+jfifLength:])
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}
