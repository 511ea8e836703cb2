package slide

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/slideatlas/ptiffstore/tiff"
)

// ErrProfile is wrapped by the errors of colour profiles in JPEGs that lack a part.
var ErrProfile = errors.New("the colour profile in the JPEG is damaged")

// ICC returns the bytes of the ICC colour profile of the levels, as they are in the file, or nil
// if it has none. They may be damaged. A profile is in tag 34675 of the directory of level 0, in
// DICOM_ICCPROFILE of the XML of Philips, or in the JPEGs of the tiles.
//
// The error is a [*tiff.FormatError] if the profile lies outside the file or isn't encoded as it
// is to be, wraps [ErrProfile], and is otherwise that of the reader.
func (s *Slide) ICC() ([]byte, error) {
	if s.profile != nil {
		return s.profile.read(s.file)
	}
	if s.isComposite() && s.layers[0].Profile != nil {
		return s.layers[0].Profile, nil
	}
	return s.TileICC()
}

// TileICC returns the colour profile in the JPEGs of the tiles of level 0 (see [JPEGProfile]), or
// nil if they have none. Browsers convert such tiles by themselves. It reads one tile that
// is not empty; a tile that cannot be read has no profile.
func (s *Slide) TileICC() ([]byte, error) {
	l := &s.Levels[0]
	if l.Layout.Codec != JPEG {
		return nil, nil
	}
	parts := 8 // of a side: the tiles to try are spread over the level
	if s.elsewhere() {
		parts = 2 // each is a question to a server
	}
	for i := range parts * parts {
		// From the middle on, where the tissue is.
		i = (i + parts*parts/2 + parts/2) % (parts * parts)
		col, row := l.Columns*(i%parts)/parts, l.Rows*(i/parts)/parts
		if b, err := s.AppendTile(nil, 0, col, row); err == nil {
			return JPEGProfile(b)
		}
	}
	return nil, nil
}

// AssociatedICC returns the colour profile of an associated image, or nil if it has none: that of
// its own directory or JPEG or, for the thumbnail of an Aperio slide, that of level 0 if the descriptions of both give it the
// same name. Errors are those of [Slide.ICC].
func (s *Slide) AssociatedICC(kind string) ([]byte, error) {
	for i := range s.associated {
		p := &s.associated[i]
		if p.kind != kind {
			continue
		}
		if p.stored != nil && p.stored.Profile != nil {
			return p.stored.Profile, nil
		}
		if p.dir != nil {
			if own := directoryICC(p.dir); own != nil {
				return own.read(s.file)
			}
			if s.Format == "aperio" && s.sameProfile(p.dir) {
				return s.ICC()
			}
		}
		a, err := s.readAssociated(p)
		if err != nil || a.JPEG() == nil {
			continue
		}
		return JPEGProfile(a.JPEG())
	}
	return nil, nil
}

// sameProfile reports whether the description of d names the colour profile of level 0.
func (s *Slide) sameProfile(d *tiff.Directory) bool {
	name := s.Properties["aperio.ICC Profile"]
	text, err := peek(s.file, d, tiff.TagImageDescription, maxXMLText)
	return err == nil && name != "" && strings.HasPrefix(text, "Aperio") && describedValues(text)["ICC Profile"] == name
}

// directoryICC returns the location of the colour profile of d, or nil if d has none.
func directoryICC(d *tiff.Directory) *embedded {
	e, ok := d.Entry(tiff.TagICCProfile)
	if !ok || e.Count == 0 || e.Count > maxSpan {
		return nil
	}
	return &embedded{tag: e.Tag, off: e.Offset, n: int64(e.Count)}
}

// profileMark begins each APP2 segment with a part of a colour profile. The number of the part, from 1 on,
// and how many there are follow (ICC.1:2022, annex B.4).
const profileMark = "ICC_PROFILE\x00"

// JPEGProfile returns the ICC colour profile in the APP2 segments of a JPEG, or nil if it
// has none. The error says which part of it is missing.
func JPEGProfile(jpeg []byte) ([]byte, error) {
	if len(jpeg) < 4 || jpeg[0] != 0xff || jpeg[1] != markSOI {
		return nil, nil
	}
	var parts [256][]byte
	count, found := 0, 0
	for i := 2; ; {
		mark, seg, next, err := segment(jpeg, i)
		if err != nil || mark == markSOS || mark == markEOI {
			break
		}
		i = next
		if mark != markAPP2 || !bytes.HasPrefix(seg, []byte(profileMark)) || len(seg) < len(profileMark)+2 {
			continue
		}
		number, of := int(seg[len(profileMark)]), int(seg[len(profileMark)+1])
		if number == 0 || number > of || count != 0 && of != count || parts[number] != nil {
			return nil, fmt.Errorf("%w: part %d of %d after %d of %d", ErrProfile, number, of, found, count)
		}
		count, found = of, found+1
		parts[number] = seg[len(profileMark)+2:]
	}
	if found < count {
		return nil, fmt.Errorf("%w: it has %d of %d parts", ErrProfile, found, count)
	}
	if found == 0 {
		return nil, nil
	}
	return bytes.Join(parts[:], nil), nil
}
