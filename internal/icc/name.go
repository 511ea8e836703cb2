package icc

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxName limits the name of a profile, in characters.
const maxName = 120

// name returns the description of the profile: textDescriptionType of version 2, or the first
// text of multiLocalizedUnicodeType (section 10.15), preferably the English one.
func (h *Header) name() string {
	b, _ := h.find("desc")
	if len(b) < 12 {
		return ""
	}
	switch string(b[:4]) {
	case "desc":
		n := min(int64(binary.BigEndian.Uint32(b[8:])), int64(len(b)-12), 4*maxName)
		text, _, _ := strings.Cut(string(b[12:12+n]), "\x00")
		return clean(text)
	case "mluc":
		return clean(localized(b))
	case "text":
		return clean(string(b[8:min(len(b), 8+4*maxName)]))
	}
	return ""
}

func localized(b []byte) (text string) {
	if len(b) < 16 {
		return ""
	}
	n := min(binary.BigEndian.Uint32(b[8:]), 64)
	for r := b[16:]; n > 0 && len(r) >= 12; n, r = n-1, r[12:] {
		size, off := int64(binary.BigEndian.Uint32(r[4:])), int64(binary.BigEndian.Uint32(r[8:]))
		if off > int64(len(b)) {
			continue
		}
		s := decodeUTF16(b[off : off+min(size, int64(len(b))-off, 4*maxName)])
		if string(r[:2]) == "en" {
			return s
		}
		if text == "" {
			text = s
		}
	}
	return text
}

func decodeUTF16(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		u = append(u, binary.BigEndian.Uint16(b))
	}
	return string(utf16.Decode(u))
}

// clean returns text that can be shown: printable, on one line, of limited length.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName])
	}
	return s
}
