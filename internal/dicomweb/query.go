package dicomweb

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/dicom"
)

// A level is what a search returns.
type level int

const (
	studies level = iota
	seriesLevel
	instances
)

const (
	// maxResults limits the results of a search. Viewers ask for all studies without a limit.
	maxResults = 5000
	// maxKeyValues limits the identifiers of a key.
	maxKeyValues = 500
)

// A key is an attribute that searches match (PS3.18 section 10.6).
type key struct {
	name  string
	tag   dicom.Tag
	kind  string // "ui", "text", "name", "date", "time" or "number"
	level level  // of the objects that have it
}

var keys = []key{
	{"StudyDate", dicom.StudyDate, "date", studies},
	{"StudyTime", dicom.StudyTime, "time", studies},
	{"AccessionNumber", dicom.AccessionNumber, "text", studies},
	{"ModalitiesInStudy", dicom.ModalitiesInStudy, "text", studies},
	{"ReferringPhysicianName", dicom.ReferringPhysicianName, "name", studies},
	{"PatientName", dicom.PatientName, "name", studies},
	{"PatientID", dicom.PatientID, "text", studies},
	{"PatientBirthDate", dicom.PatientBirthDate, "date", studies},
	{"PatientSex", dicom.PatientSex, "text", studies},
	{"StudyInstanceUID", dicom.StudyInstanceUID, "ui", studies},
	{"StudyID", dicom.StudyID, "text", studies},
	{"Modality", dicom.Modality, "text", seriesLevel},
	{"SeriesInstanceUID", dicom.SeriesInstanceUID, "ui", seriesLevel},
	{"SeriesNumber", dicom.SeriesNumber, "number", seriesLevel},
	{"SOPClassUID", dicom.SOPClassUID, "ui", instances},
	{"SOPInstanceUID", dicom.SOPInstanceUID, "ui", instances},
	{"InstanceNumber", dicom.InstanceNumber, "number", instances},
}

// A condition is a key with the values to match.
type condition struct {
	key
	values []string // any of which matches; two for a range
}

// A query is a search.
type query struct {
	level         level
	conditions    []condition
	include       map[dicom.Tag]bool
	all           bool // include all attributes
	limit, offset int
	capped        bool // the limit is the server's
	warnings      []string
}

// A queryError says what is wrong with a query.
type queryError string

func (e queryError) Error() string { return string(e) }

// parameters are those of credentials and of the transport, which are no keys.
var parameters = []string{"accept", "charset", "pass", "sig", "exp", "scope", "kid", "v"}

// parseQuery parses the query of a search, as sent. Keys that are not matched are ignored with a
// warning. The error is a queryError.
func parseQuery(raw string, l level) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, queryError("The query string is malformed: escape special characters.")
	}
	q := &query{level: l, limit: maxResults, capped: true, include: map[dicom.Tag]bool{}}
	seen := map[string]bool{}
	var ignored []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list := values[name]
		switch name {
		case "includefield":
			q.includeFields(list)
			continue
		case "fuzzymatching", "limit", "offset":
			if len(list) > 1 {
				return nil, queryError(name + " is given several times.")
			}
			if err := q.option(name, list[0]); err != nil {
				return nil, err
			}
			continue
		}
		if slices.Contains(parameters, name) {
			continue
		}
		k := findKey(name)
		if k == nil {
			ignored = append(ignored, printable(name))
			continue
		}
		if len(list) > 1 || seen[k.name] {
			return nil, queryError(k.name + " is given several times: list several identifiers in one parameter, with commas between them.")
		}
		seen[k.name] = true
		if err := q.add(k, list[0]); err != nil {
			return nil, err
		}
	}
	if len(ignored) > 0 {
		q.warn("These parameters are not supported and were ignored: %s", strings.Join(ignored[:min(len(ignored), 8)], ", "))
	}
	return q, nil
}

// printable returns the name of a parameter for a header.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 64)]
}

func (q *query) warn(format string, args ...any) {
	q.warnings = append(q.warnings, fmt.Sprintf(format, args...))
}

// findKey returns the key of a name: a keyword, or eight hexadecimal digits.
func findKey(name string) *key {
	for i := range keys {
		if k := &keys[i]; name == k.name || strings.EqualFold(name, k.tag.String()) {
			return k
		}
	}
	return nil
}

// option sets an option.
func (q *query) option(name, value string) error {
	if name == "fuzzymatching" {
		switch value {
		case "true":
			q.warn("The fuzzymatching parameter is not supported. Only literal matching has been performed.")
		case "false", "":
		default:
			return queryError("fuzzymatching is true or false.")
		}
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return queryError(name + " is a number from 0 on.")
	}
	if name == "offset" {
		q.offset = int(n)
		return nil
	}
	if n <= maxResults {
		q.limit, q.capped = int(n), false
	}
	return nil
}

// includeFields notes the attributes that results have beside those that they always have.
func (q *query) includeFields(list []string) {
	for _, value := range list {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.TrimSpace(name); name == "all" {
				q.all = true
				continue
			}
			if t, ok := dicom.ParseTag(name); ok {
				q.include[t] = true
			}
		}
	}
}

// add adds a condition.
func (q *query) add(k *key, value string) error {
	c := condition{key: *k}
	value = strings.Trim(value, " ")
	if value == "" {
		return nil // any value
	}
	if !utf8.ValidString(value) || len(value) > 64*maxKeyValues {
		return queryError(k.name + " is not valid text.")
	}
	switch k.kind {
	case "ui":
		if value == "*" {
			return nil
		}
		c.values = split(value)
		if len(c.values) > maxKeyValues {
			return queryError(fmt.Sprintf("%s has more than %d identifiers.", k.name, maxKeyValues))
		}
		for _, v := range c.values {
			if !isUID(v) {
				return queryError(k.name + " is not an identifier: it has digits and dots only, and no wildcards.")
			}
		}
	case "date", "time":
		from, to, ok := parseSpan(value, k.kind)
		if !ok {
			return queryError(k.name + " is not a date or time, or a range of them such as 20240101-20240131.")
		}
		c.values = []string{from, to}
	case "number":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return queryError(k.name + " is not a number.")
		}
		c.values = []string{strconv.FormatInt(n, 10)}
	case "name":
		c.values = []string{strings.ToLower(value)}
	default:
		if strings.Trim(value, "*") == "" {
			return nil
		}
		c.values = []string{value}
		if k.tag == dicom.ModalitiesInStudy || k.tag == dicom.Modality {
			c.values = split(value)
		}
	}
	if k.kind == "name" && strings.Trim(value, "*") == "" {
		return nil
	}
	q.conditions = append(q.conditions, c)
	return nil
}

// split returns the parts of a list. The standard separates them by commas, some clients by
// backslashes.
func split(value string) []string {
	var list []string
	for _, v := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '\\' }) {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// isUID reports whether s is an identifier, and so safe as the name of a file.
func isUID(s string) bool { return dicom.IsLooseUID(s) }

// parseSpan parses a date, a time or a range of them, into the first and the last value; "" for
// an open end.
func parseSpan(value, kind string) (from, to string, ok bool) {
	from, to, isRange := strings.Cut(value, "-")
	if !isRange {
		to = from
	}
	if from == "" && to == "" {
		return "", "", false
	}
	valid := isDate
	if kind == "time" {
		valid = isTime
	}
	for _, s := range []string{from, to} {
		if s != "" && !valid(s) {
			return "", "", false
		}
	}
	if kind == "time" && to != "" { // 12 means until 12:59:59.999999
		to = completed(to)
	}
	return from, to, true
}

// completed returns the last time of a time that may lack its end.
func completed(s string) string {
	const last = "235959.999999"
	return s + last[min(len(s), len(last)):]
}

func isDate(s string) bool {
	if len(s) != 8 || !digits(s) {
		return false
	}
	month, day := s[4:6], s[6:8]
	return month >= "01" && month <= "12" && day >= "01" && day <= "31"
}

func isTime(s string) bool {
	whole, fraction, dotted := strings.Cut(s, ".")
	switch {
	case len(whole)%2 != 0 || len(whole) < 2 || len(whole) > 6 || !digits(whole):
		return false
	case dotted && (len(whole) != 6 || fraction == "" || len(fraction) > 6 || !digits(fraction)):
		return false
	}
	for i, last := range []string{"23", "59", "60"} {
		if at := 2 * i; at < len(whole) && whole[at:at+2] > last {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// matches reports whether one of the values of an attribute satisfies the condition.
func (c *condition) matches(e *dicom.Element) bool {
	if e == nil {
		return false
	}
	for _, have := range e.Text {
		if c.matchesValue(have) {
			return true
		}
	}
	return false
}

func (c *condition) matchesValue(have string) bool {
	switch c.kind {
	case "date", "time":
		from, to := c.values[0], c.values[1]
		return have != "" && (from == "" || have >= from) && (to == "" || have <= to)
	case "ui", "number":
		return slices.Contains(c.values, have)
	case "name": // as a whole, or one of its groups: letters, ideographs and phonetic
		have = strings.ToLower(have)
		return wildcard(c.values[0], have) || slices.ContainsFunc(strings.Split(have, "="), func(group string) bool { return wildcard(c.values[0], group) })
	}
	return slices.ContainsFunc(c.values, func(v string) bool { return wildcard(v, have) })
}

// wildcard reports whether text matches a pattern with * for any characters and ? for one.
func wildcard(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && (p[i] == '?' || p[i] == t[j]) && p[i] != '*':
			i, j = i+1, j+1
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// named returns the condition about an attribute, or nil.
func (q *query) named(t dicom.Tag) *condition {
	for i := range q.conditions {
		if q.conditions[i].tag == t {
			return &q.conditions[i]
		}
	}
	return nil
}
