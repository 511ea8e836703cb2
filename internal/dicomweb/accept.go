package dicomweb

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Media types.
const (
	typeJSON      = "application/dicom+json"
	typePlainJSON = "application/json"
	typeDICOM     = "application/dicom"
	typeBytes     = "application/octet-stream"
	typeJPEG      = "image/jpeg"
	typeJP2       = "image/jp2"
	typePNG       = "image/png"
	typeRelated   = "multipart/related"
)

// maxRanges limits the media ranges of a header that count.
const maxRanges = 32

// A mediaRange is an acceptable media type. Of multipart/related, Type is that of the parts, and
// Multipart is set.
type mediaRange struct {
	Type      string // such as "image/jpeg", "image/*" or "*/*"
	Multipart bool
	Syntax    string // transfer syntax; "" if the client does not name one, or any
	Q         float64
}

// parseAccept returns the media ranges of an Accept header, best first: by their weight, then in
// their order. Values of parameters may be quoted or not. Ranges with weight 0 and those that
// cannot be parsed are left out. A header that is absent accepts everything, as for most programs
// that send none.
func parseAccept(header string) []mediaRange {
	if strings.TrimSpace(header) == "" {
		return []mediaRange{{Type: "*/*", Q: 1}}
	}
	var list []mediaRange
	for header != "" && len(list) < maxRanges {
		var item string
		item, header = cutUnquoted(header, ',')
		if m, ok := parseRange(item); ok && m.Q > 0 {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b mediaRange) int {
		switch {
		case a.Q > b.Q:
			return -1
		case a.Q < b.Q:
			return 1
		}
		return 0
	})
	return list
}

// parseRange parses one media range.
func parseRange(item string) (m mediaRange, ok bool) {
	name, rest := cutUnquoted(item, ';')
	m = mediaRange{Type: strings.ToLower(strings.TrimSpace(name)), Q: 1}
	major, minor, ok := strings.Cut(m.Type, "/")
	if !ok || major == "" || minor == "" {
		return m, false
	}
	m.Multipart = major == "multipart"
	if m.Multipart {
		if minor != "related" && minor != "*" {
			return m, false
		}
		m.Type = "*/*"
	}
	for rest != "" {
		var param string
		param, rest = cutUnquoted(rest, ';')
		key, value, _ := strings.Cut(param, "=")
		value = unquote(strings.TrimSpace(value))
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "q":
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return m, false
			}
			m.Q = q
		case "type":
			if m.Multipart {
				// Some servers and clients write the parameters of the parts within the quotes.
				inner, params := cutUnquoted(value, ';')
				m.Type = strings.ToLower(strings.TrimSpace(inner))
				if params != "" {
					rest = strings.TrimSuffix(params+";"+rest, ";")
				}
			}
		case "transfer-syntax":
			if value != "*" {
				m.Syntax = value
			}
		}
	}
	return m, true
}

// cutUnquoted cuts s at the first sep outside of quotes.
func cutUnquoted(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote returns the value of a quoted string, or s if it is not one.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// covers reports whether the range has a media type.
func (m *mediaRange) covers(mediaType string) bool {
	if m.Type == mediaType || m.Type == "*/*" {
		return true
	}
	major, ok := strings.CutSuffix(m.Type, "*")
	return ok && strings.HasPrefix(mediaType, major)
}

// acceptOf returns the media ranges of a request. The query parameter accept takes the place of the
// header (PS3.18 section 8.3.3.1).
func acceptOf(r *http.Request) string {
	if r.URL.RawQuery != "" && strings.Contains(r.URL.RawQuery, "accept=") {
		if v := r.URL.Query().Get("accept"); v != "" {
			return v
		}
	}
	if h := r.Header["Accept"]; len(h) == 1 {
		return h[0]
	}
	return strings.Join(r.Header.Values("Accept"), ",")
}

// A form is how bytes are sent.
type form struct {
	related bool   // multipart/related
	part    string // media type of the bytes
}

// frameForm returns how to send frames that are stored in a transfer syntax, and of how many there are; ok
// is false if none of the forms is acceptable.
func frameForm(accept, syntax, stored string, several bool) (f form, ok bool) {
	for _, m := range parseAccept(accept) {
		if m.Syntax != "" && m.Syntax != syntax {
			continue
		}
		switch {
		case m.Multipart && (m.covers(stored) || m.Type == typeBytes), m.Type == "*/*":
			return form{related: true, part: stored}, true
		case several:
		case m.covers(stored):
			return form{part: stored}, true
		case m.Type == typeBytes:
			return form{part: typeBytes}, true
		}
	}
	return form{}, false
}

// bulkForm returns how to send bytes without a media type of their own.
func bulkForm(accept string) (f form, ok bool) {
	for _, m := range parseAccept(accept) {
		switch {
		case m.Multipart && m.covers(typeBytes), m.Type == "*/*":
			return form{related: true, part: typeBytes}, true
		case m.covers(typeBytes):
			return form{part: typeBytes}, true
		}
	}
	return form{}, false
}

// objectForm returns how to send instances as files.
func objectForm(accept string, syntaxes []string, several bool) (f form, ok bool) {
	for _, m := range parseAccept(accept) {
		if m.Syntax != "" && slices.ContainsFunc(syntaxes, func(s string) bool { return s != m.Syntax }) {
			continue
		}
		switch {
		case m.Multipart && m.covers(typeDICOM), m.Type == "*/*":
			return form{related: true, part: typeDICOM}, true
		case !several && m.covers(typeDICOM):
			return form{part: typeDICOM}, true
		}
	}
	return form{}, false
}

// jsonForm returns the media type of attributes as JSON, or "" if none is acceptable.
func jsonForm(accept string) string {
	for _, m := range parseAccept(accept) {
		switch {
		case m.Multipart:
		case m.covers(typeJSON):
			return typeJSON
		case m.covers(typePlainJSON):
			return typePlainJSON
		}
	}
	return ""
}

// pictureForm returns the media type of a rendered picture, or "" if none is acceptable.
func pictureForm(accept string) string {
	for _, m := range parseAccept(accept) {
		if m.Multipart {
			continue
		}
		for _, t := range []string{typeJPEG, typePNG} {
			if m.covers(t) {
				return t
			}
		}
	}
	return ""
}
