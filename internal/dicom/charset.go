package dicom

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// A charset decodes the text of a data set. The zero value is that of data sets that do not
// name theirs: ASCII.
type charset struct {
	utf8 bool
	of   encoding.Encoding // nil for ASCII and UTF-8
}

// charsets has the defined terms of SpecificCharacterSet for sets of single bytes, and those
// of several bytes without escape sequences (PS3.3 section C.12.1.1.2).
var charsets = map[string]encoding.Encoding{
	"100": charmap.ISO8859_1, "101": charmap.ISO8859_2, "109": charmap.ISO8859_3, "110": charmap.ISO8859_4,
	"144": charmap.ISO8859_5, "127": charmap.ISO8859_6, "126": charmap.ISO8859_7, "138": charmap.ISO8859_8,
	"148": charmap.ISO8859_9, "203": charmap.ISO8859_15, "166": charmap.Windows874, "13": japanese.ShiftJIS,
	"GB18030": simplifiedchinese.GB18030, "GBK": simplifiedchinese.GBK,
}

// newCharset returns the first of the sets that a data set names. Others are entered by escape
// sequences, which are not decoded.
func newCharset(terms []string) charset {
	if len(terms) == 0 {
		return charset{}
	}
	name := strings.TrimPrefix(strings.TrimPrefix(terms[0], "ISO_IR "), "ISO 2022 IR ")
	return charset{utf8: name == "192", of: charsets[name]}
}

// decode returns text as UTF-8. What is not of the set is replaced by U+FFFD.
func (c charset) decode(vr VR, b []byte) string {
	switch vr {
	case "LO", "LT", "PN", "SH", "ST", "UC", "UT":
	default:
		c = charset{}
	}
	if c.of != nil {
		if out, err := c.of.NewDecoder().Bytes(b); err == nil {
			return string(out)
		}
	}
	if c.utf8 && utf8.Valid(b) || isASCII(b) {
		return string(b)
	}
	if c.utf8 {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	var s strings.Builder
	for _, v := range b {
		if v >= utf8.RuneSelf {
			s.WriteRune(utf8.RuneError)
		} else {
			s.WriteByte(v)
		}
	}
	return s.String()
}

func isASCII(b []byte) bool {
	for _, v := range b {
		if v >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
