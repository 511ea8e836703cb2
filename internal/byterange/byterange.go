// Package byterange parses the Range header of HTTP (RFC 9110, section 14), and writes answers with
// several ranges.
package byterange

import (
	"errors"
	"strconv"
	"strings"
)

// A Range is a part of a file: Length bytes from Start on. Length is at least 1.
type Range struct{ Start, Length int64 }

// MaxRanges limits the ranges of a request.
const MaxRanges = 64

// maxHeader limits the header in bytes: MaxRanges ranges of two numbers.
const maxHeader = 4 << 10

// ErrUnsatisfiable reports that no range lies in the file, or that there are too many, or that they
// overlap: the status is 416.
var ErrUnsatisfiable = errors.New("the ranges cannot be sent")

// Parse returns the ranges of a header for a file of a size in bytes, in the order of the header and
// limited to the file. Ranges outside of the file are left out. It returns nil for a header that
// does not count, because its unit is not bytes or a range is malformed: then the whole file is
// sent.
//
// The error is [ErrUnsatisfiable] if no range remains, if there are more than [MaxRanges], or if some
// overlap, which no program needs.
func Parse(header string, size int64) ([]Range, error) {
	set, ok := strings.CutPrefix(header, "bytes=")
	if !ok || len(header) > maxHeader && strings.Count(header, ",") < MaxRanges {
		return nil, nil
	}
	if strings.Count(set, ",") >= MaxRanges {
		return nil, ErrUnsatisfiable
	}
	var list []Range
	given := false
	for one := range strings.SplitSeq(set, ",") {
		if one = strings.Trim(one, " \t"); one == "" {
			continue
		}
		given = true
		r, ok := parseOne(one, size)
		if !ok {
			return nil, nil
		}
		if r.Length > 0 {
			list = append(list, r)
		}
	}
	switch {
	case !given:
		return nil, nil
	case len(list) == 0 || overlap(list):
		return nil, ErrUnsatisfiable
	}
	return list, nil
}

// parseOne parses "FIRST-LAST", "FIRST-" or "-LENGTH". Length is 0 if the range lies outside of the
// file.
func parseOne(s string, size int64) (r Range, ok bool) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return r, false
	}
	if first == "" {
		n, ok := number(last)
		n = min(n, size)
		return Range{size - n, n}, ok
	}
	if r.Start, ok = number(first); !ok {
		return r, false
	}
	end := size - 1
	if last != "" {
		n, ok := number(last)
		if !ok || n < r.Start {
			return r, false
		}
		end = min(end, n)
	}
	r.Length = max(0, end-r.Start+1)
	return r, true
}

// number parses digits. A number that is too large is as good as the largest one.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// overlap reports whether a byte is in two ranges.
func overlap(list []Range) bool {
	for i, a := range list {
		for _, b := range list[:i] {
			if a.Start < b.Start+b.Length && b.Start < a.Start+a.Length {
				return true
			}
		}
	}
	return false
}

// ContentRange returns the header of a range in a file of a size.
func (r Range) ContentRange(size int64) string {
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.Start+r.Length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// Parts are several ranges as one body of type multipart/byteranges.
type Parts struct {
	Heads    []string // before the bytes of each range
	Tail     string   // after the last one
	Boundary string
	Length   int64 // of the body
}

// NewParts returns the body of several ranges of a file. The boundary must not be in the file, so it
// is random.
func NewParts(list []Range, size int64, contentType, boundary string) Parts {
	p := Parts{Boundary: boundary, Tail: "\r\n--" + boundary + "--\r\n"}
	for i, r := range list {
		head := "--" + boundary + "\r\nContent-Type: " + contentType + "\r\nContent-Range: " + r.ContentRange(size) + "\r\n\r\n"
		if i > 0 {
			head = "\r\n" + head
		}
		p.Heads = append(p.Heads, head)
		p.Length += int64(len(head)) + r.Length
	}
	p.Length += int64(len(p.Tail))
	return p
}
