package upload

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds file names in bytes. File systems allow 255; the rest is for numbers
// that make names unique.
const maxName = 240

// cleanName returns a file's name as it may be used in a folder, "" if nothing is left:
// without directories, without control and format characters, and without leading
// characters that would hide the file.
func cleanName(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimFunc(s, unicode.IsSpace)
	s = strings.TrimLeftFunc(s, func(r rune) bool { return r == '.' || r == '~' || unicode.IsSpace(r) })
	return shorten(s, maxName)
}

// shorten cuts a name to n bytes before its extension.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	ext := path.Ext(s)
	if len(ext) > 16 {
		ext = ""
	}
	s = s[:n-len(ext)]
	for s != "" {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1] // part of a character
	}
	return strings.TrimRightFunc(s, unicode.IsSpace) + ext
}

// numbered is the nth name to try for a file: "a.tiff", "a (2).tiff", …
func numbered(name string, n int) string {
	if n < 2 {
		return name
	}
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + " (" + strconv.Itoa(n) + ")" + ext
}
