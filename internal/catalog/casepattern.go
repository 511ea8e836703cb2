package catalog

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// CaseNames name the case of an image, and the image in its case. Unknown names are "". All but
// the stain are patient data.
type CaseNames struct {
	Accession string `json:",omitempty"` // accession number, the name of the case
	Part      string `json:",omitempty"` // the specimen: "A"
	Block     string `json:",omitempty"` // "A1", or only "1"
	Stain     string `json:",omitempty"` // "HE"
}

// CaseCorrections are names that users have set, which the pattern of a store does not change.
type CaseCorrections struct {
	Accession *string `json:",omitempty"`
	Part      *string `json:",omitempty"`
	Block     *string `json:",omitempty"`
	Stain     *string `json:",omitempty"`
}

// corrected returns the names with the corrections.
func (n CaseNames) corrected(c CaseCorrections) CaseNames {
	for _, f := range []struct {
		to   *string
		from *string
	}{{&n.Accession, c.Accession}, {&n.Part, c.Part}, {&n.Block, c.Block}, {&n.Stain, c.Stain}} {
		if f.from != nil {
			*f.to = composed(*f.from)
		}
	}
	return n
}

// A CaseSource is the text in which a [CasePattern] finds names.
type CaseSource string

const (
	CaseFromBarcode  CaseSource = "barcode"
	CaseFromFileName CaseSource = "filename" // with its extension
	CaseFromFolder   CaseSource = "folder"   // relative to the root of the store
)

// caseSources are tried in this order.
var caseSources = []CaseSource{CaseFromBarcode, CaseFromFileName, CaseFromFolder}

// A CasePattern finds the names of cases in the texts of images.
type CasePattern struct {
	re      *regexp.Regexp
	sources []CaseSource
}

const (
	maxCasePattern = 500  // bytes
	maxCaseSteps   = 4000 // instructions of the compiled pattern
	maxCaseText    = 2000 // bytes of a text in which a pattern finds names
	maxCaseName    = 200  // characters
)

// NewCasePattern returns the pattern of a regular expression with the syntax of RE2. Its groups are
// named accession, which it must have, part, block and stain. It is tried on one source, or if
// that is "" on all of them: barcode, file name, folder.
//
// The error is [ErrInvalid].
func NewCasePattern(pattern string, source CaseSource) (*CasePattern, error) {
	p := &CasePattern{sources: caseSources}
	if source != "" {
		if !slices.Contains(caseSources, source) {
			return nil, fmt.Errorf("%w: unknown source %q of a case pattern: use barcode, filename or folder", ErrInvalid, clean(string(source)))
		}
		p.sources = []CaseSource{source}
	}
	if len(pattern) > maxCasePattern {
		return nil, fmt.Errorf("%w: the case pattern is longer than %d bytes", ErrInvalid, maxCasePattern)
	}
	var err error
	if p.re, err = regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("%w: the case pattern is not a regular expression with the syntax of RE2: %w", ErrInvalid, err)
	}
	if steps(pattern) > maxCaseSteps {
		return nil, fmt.Errorf("%w: the case pattern repeats too much, which takes too long for each slide: use + or * instead of numbers in braces", ErrInvalid)
	}
	names := slices.DeleteFunc(slices.Clone(p.re.SubexpNames()), func(name string) bool { return name == "" })
	for i, name := range names {
		if !slices.Contains([]string{"accession", "part", "block", "stain"}, name) {
			return nil, fmt.Errorf("%w: the case pattern has a group %q: groups are accession, part, block and stain", ErrInvalid, clean(name))
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%w: the case pattern has two groups %q", ErrInvalid, name)
		}
	}
	if !slices.Contains(names, "accession") {
		return nil, fmt.Errorf("%w: the case pattern needs a group for the accession number, such as (?P<accession>S\\d\\d-\\d+)", ErrInvalid)
	}
	return p, nil
}

// steps returns the number of instructions of a valid pattern: the time of a match is at most
// proportional to it and to the length of the text.
func steps(pattern string) int {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return math.MaxInt
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return math.MaxInt
	}
	return len(prog.Inst)
}

// Find returns the names that the pattern finds in the first source in which it matches, and that
// source; "" if it matches in none.
func (p *CasePattern) Find(im *Image) (CaseNames, CaseSource) {
	for _, source := range p.sources {
		text := ""
		switch source {
		case CaseFromBarcode:
			if im.Barcode != nil {
				text = *im.Barcode
			}
		case CaseFromFileName:
			text = im.FileName
		case CaseFromFolder:
			text = im.Folder()
		}
		if names, ok := p.find(text); ok {
			return names, source
		}
	}
	return CaseNames{}, ""
}

// find returns the names in a text, if it has an accession number.
func (p *CasePattern) find(text string) (CaseNames, bool) {
	var n CaseNames
	if text == "" || len(text) > maxCaseText {
		return n, false
	}
	m := p.re.FindStringSubmatch(composed(text))
	if m == nil {
		return n, false
	}
	for i, name := range p.re.SubexpNames() {
		value, ok := caseName(m[i])
		switch name {
		case "accession":
			if !ok {
				return CaseNames{}, false
			}
			n.Accession = value
		case "part":
			n.Part = value
		case "block":
			n.Block = value
		case "stain":
			n.Stain = value
		}
	}
	return n, true
}

// composed returns text in the form of names of cases: "ü" is a single character, so that names are
// found however another system writes it.
func composed(s string) string { return norm.NFC.String(clean(s)) }

// caseName returns a name without spaces at its ends; ok is false, and the name "", if it is empty,
// too long or has invisible characters.
func caseName(s string) (name string, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || utf8.RuneCountInString(s) > maxCaseName || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", false
	}
	return s, true
}

// naturalKey returns text as it is sorted where numbers count: S26-9 before S26-10.
func naturalKey(s string) string {
	var b strings.Builder
	s = key(s)
	for len(s) > 0 {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		if digits == 0 {
			i := strings.IndexAny(s, "0123456789")
			if i < 0 {
				i = len(s)
			}
			b.WriteString(s[:i])
			s = s[i:]
			continue
		}
		// The number of digits sorts before them.
		number := strings.TrimLeft(s[:digits], "0")
		fmt.Fprintf(&b, "0%03d%s", min(len(number), 999), number)
		s = s[digits:]
	}
	return b.String()
}
