package slide

import (
	"bytes"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/tiff"
)

const (
	// xmlWindow is the number of bytes of a description in memory, and so the maximum
	// length of a text or tag.
	xmlWindow = 32 << 10
	// maxXMLTokens limits the time for a malicious description. One of two images and ten
	// levels has about 400 tokens.
	maxXMLTokens = 100_000
)

// An xmlKind is the kind of a token.
type xmlKind uint8

const (
	xmlEnd   xmlKind = iota // of the description, or of its valid part
	xmlOpen                 // <name …> or <name …/>
	xmlClose                // </name>, and after <name …/>
	xmlText
)

// An xmlToken is a tag, or the text between two tags.
type xmlToken struct {
	kind   xmlKind
	tag    []byte // of xmlOpen, between < and >; valid until the next token
	text   []byte // of xmlText; nil if it is longer than the window
	off, n int64  // of xmlText: its location in the file
}

// An xmlScanner reads XML through a small window: of a description of a megabyte only a few
// kilobytes matter. The rest is an image in base64, which is skipped without being decoded
// or stored.
//
// It accepts any encoding that contains ASCII, any prolog or none, bytes after the root
// element, and end tags that do not match.
type xmlScanner struct {
	f        *tiff.File
	tag      tiff.Tag
	off, end int64 // part of the file that has not been read into buf
	buf      []byte
	i        int // next byte in buf
	closing  bool
	tokens   int
	err      error
}

func newXMLScanner(f *tiff.File, e tiff.Entry) *xmlScanner {
	n := min(int64(min(e.Count, 1<<40)), f.Size()-e.Offset)
	return &xmlScanner{
		f: f, tag: e.Tag, off: e.Offset, end: e.Offset + max(n, 0),
		buf: make([]byte, 0, min(max(n, 0), xmlWindow)),
	}
}

// fill drops the bytes before keep and reads more into the window. It reports whether there
// was space and more to read.
func (x *xmlScanner) fill(keep int) bool {
	n := copy(x.buf[:cap(x.buf)], x.buf[keep:])
	x.i -= keep
	x.buf = x.buf[:n]
	more := int(min(int64(cap(x.buf)-n), x.end-x.off))
	if more <= 0 || x.err != nil {
		return false
	}
	x.buf = x.buf[:n+more]
	x.err = x.f.ReadAt(x.buf[n:], x.off, x.tag)
	if x.err != nil {
		x.buf = x.buf[:n]
		return false
	}
	x.off += int64(more)
	return true
}

// at returns the location of byte i of the window in the file.
func (x *xmlScanner) at(i int) int64 { return x.off - int64(len(x.buf)) + int64(i) }

// next returns the next token.
func (x *xmlScanner) next() xmlToken {
	for x.tokens++; x.tokens < maxXMLTokens; x.tokens++ {
		if x.closing {
			x.closing = false
			return xmlToken{kind: xmlClose}
		}
		if x.i == len(x.buf) && !x.fill(x.i) {
			break
		}
		if x.buf[x.i] != '<' {
			return x.text()
		}
		for len(x.buf)-x.i < len("<![CDATA[") && x.fill(x.i) {
		}
		switch rest := x.buf[x.i:]; {
		case bytes.HasPrefix(rest, []byte("<!--")):
			x.skip("-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			return x.cdata()
		case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
			x.skipDoctype()
		case bytes.HasPrefix(rest, []byte("<?")), bytes.HasPrefix(rest, []byte("<!")):
			x.skip(">")
		default:
			return x.element()
		}
	}
	return xmlToken{}
}

// text returns the text before the next tag.
func (x *xmlScanner) text() xmlToken {
	start := x.at(x.i)
	n, whole := x.find("<")
	t := xmlToken{kind: xmlText, off: start, n: x.at(x.i) + int64(n) - start}
	if whole {
		t.text = x.buf[x.i : x.i+n]
	}
	x.i += n
	return t
}

// cdata returns the text of a CDATA section. Its location in the file includes the
// brackets, as a value may consist of several sections.
func (x *xmlScanner) cdata() xmlToken {
	start := x.at(x.i)
	n, whole := x.find("]]>")
	t := xmlToken{kind: xmlText, off: start}
	if whole {
		t.text = bytes.TrimPrefix(x.buf[x.i:x.i+n], []byte("<![CDATA["))
	}
	x.i = min(x.i+n+len("]]>"), len(x.buf))
	t.n = x.at(x.i) - start
	return t
}

// element returns a tag.
func (x *xmlScanner) element() xmlToken {
	n, whole := x.find(">")
	if !whole || x.i+n == len(x.buf) {
		return xmlToken{} // not closed
	}
	tag := x.buf[x.i+1 : x.i+n]
	x.i += n + 1
	if len(tag) > 0 && tag[0] == '/' {
		return xmlToken{kind: xmlClose}
	}
	if t, ok := bytes.CutSuffix(tag, []byte("/")); ok {
		tag, x.closing = t, true
	}
	return xmlToken{kind: xmlOpen, tag: tag}
}

// skip skips everything up to and including end.
func (x *xmlScanner) skip(end string) {
	n, _ := x.find(end)
	x.i = min(x.i+n+len(end), len(x.buf))
}

// skipDoctype skips a document type declaration with its internal subset, which may contain
// further declarations, comments and quoted texts. Entities that it defines are not
// expanded.
func (x *xmlScanner) skipDoctype() {
	depth := 0 // of brackets
	quote := byte(0)
	for {
		if x.i == len(x.buf) && !x.fill(x.i) {
			return
		}
		for len(x.buf)-x.i < len("<!--") && x.fill(x.i) {
		}
		if quote == 0 && bytes.HasPrefix(x.buf[x.i:], []byte("<!--")) {
			x.skip("-->")
			continue
		}
		c := x.buf[x.i]
		x.i++
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '>' && depth <= 0:
			return
		}
	}
}

// find returns the distance of end from i, or of the end of the description without one. If
// the text between is longer than the window, the window moves over it: then i is its new
// first byte, n counts from there, and whole is false.
func (x *xmlScanner) find(end string) (n int, whole bool) {
	whole = true
	for from := x.i; ; {
		if n = bytes.Index(x.buf[from:], []byte(end)); n >= 0 {
			return from + n - x.i, whole
		}
		seen := len(x.buf) - x.i
		if x.fill(x.i) {
			from = max(seen-len(end)+1, 0)
			continue
		}
		if x.off == x.end || x.err != nil {
			return len(x.buf) - x.i, whole
		}
		x.i = len(x.buf) - len(end) + 1 // the window is full
		from, whole = 0, false
		if !x.fill(x.i) {
			return len(x.buf) - x.i, false
		}
	}
}

// xmlAttr returns an attribute of a tag, or "" if the tag does not have it.
func xmlAttr(tag []byte, name string) string {
	for rest := tag; ; {
		i := bytes.Index(rest, []byte(name))
		if i < 0 {
			return ""
		}
		before := i == 0 || bytes.IndexByte([]byte(" \t\r\n\"'"), rest[i-1]) >= 0
		rest = rest[i+len(name):]
		value := bytes.TrimLeft(rest, " \t\r\n")
		if !before || len(value) < 2 || value[0] != '=' {
			continue
		}
		value = bytes.TrimLeft(value[1:], " \t\r\n")
		if len(value) < 2 || value[0] != '"' && value[0] != '\'' {
			continue
		}
		if j := bytes.IndexByte(value[1:], value[0]); j >= 0 {
			return xmlString(value[1 : 1+j])
		}
	}
}

// xmlName returns the name of a tag.
func xmlName(tag []byte) string {
	if i := bytes.IndexAny(tag, " \t\r\n"); i >= 0 {
		tag = tag[:i]
	}
	return string(tag)
}

// xmlString returns text in UTF-8 with its entities replaced.
func xmlString(text []byte) string {
	s := toUTF8(text)
	if strings.Contains(s, "&") {
		s = html.UnescapeString(s)
	}
	return s
}

// toUTF8 returns text in UTF-8. Text that is not UTF-8 is decoded as ISO 8859-1.
func toUTF8(text []byte) string {
	s := string(text)
	if !utf8.ValidString(s) {
		r := make([]rune, len(s))
		for i := range len(s) {
			r[i] = rune(s[i])
		}
		s = string(r)
	}
	return s
}
