package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Counts are names with numbers, written "default=4" as on the command line; in the file
// they are a mapping.
type Counts []string

// A form is how the values of a type are written.
type form struct {
	name, must string
	tags       []string // of YAML
	fix        string
}

var (
	textForm     = form{"text", "text", []string{"!!str", "!!int", "!!float", "!!timestamp", "!!binary"}, "Put it in quotes if it is meant"}
	numberForm   = form{"number", "a whole number, 0 or more", []string{"!!int"}, "Write digits without quotes: 8"}
	fractionForm = form{"fraction", "a number", []string{"!!float", "!!int"}, "Write it without quotes: 0.5"}
	switchForm   = form{"true or false", "true or false", []string{"!!bool"}, "Write true or false, without quotes"}
	durationForm = form{"duration", "a duration", []string{"!!str", "!!int"}, "Write a number with its unit: 90s, 15m, 36h or 30d"}
	listForm     = form{"list", "a list", nil, "Write each entry on a line of its own, after a hyphen"}
	countsForm   = form{"name: number", "a mapping of names to numbers", nil, "Write each name with its number on a line of its own: default: 4"}
)

// form returns the form of the key's type. It panics on an unsupported type, which is a bug
// that every test finds.
func (k *Key) form() *form {
	switch k.Type {
	case reflect.TypeFor[time.Duration]():
		return &durationForm
	case reflect.TypeFor[Counts]():
		return &countsForm
	case reflect.TypeFor[[]string]():
		return &listForm
	}
	switch k.Type.Kind() {
	case reflect.String:
		return &textForm
	case reflect.Bool:
		return &switchForm
	case reflect.Int, reflect.Int64:
		return &numberForm
	case reflect.Float64:
		return &fractionForm
	}
	panic(fmt.Sprintf("configuration key %s: no form for %v", k.Name, k.Type))
}

// Form describes the values of the key: "number".
func (k *Key) Form() string { return k.form().name }

// decode reads the value of a key. If it cannot be used, problem is not empty.
func (k *Key) decode(n *yaml.Node) (v any, problem, fix string) {
	f := k.form()
	switch {
	case n.Tag == "!!null":
		return nil, "has no value", "Write one after the colon, or remove the line"
	case f == &listForm:
		return decodeList(n)
	case f == &countsForm:
		return decodeCounts(n)
	case n.Kind != yaml.ScalarNode:
		return nil, "must be a single value, not " + described(n), ""
	}
	v, err := f.scalar(n, k.Type)
	if err != nil || !slices.Contains(f.tags, n.Tag) {
		return nil, fmt.Sprintf("must be %s, not %s", f.must, quoted(n)), f.fix
	}
	if k.OneOf != nil && !slices.Contains(k.OneOf, n.Value) {
		fix := "Write " + or(k.OneOf)
		if near := nearest(n.Value, k.OneOf); near != "" {
			fix = fmt.Sprintf("Did you mean %s? Allowed are %s", near, or(k.OneOf))
		}
		return nil, "cannot be " + quoted(n), fix
	}
	return v, "", ""
}

// scalar converts a single value to a type of this form.
func (f *form) scalar(n *yaml.Node, t reflect.Type) (any, error) {
	v := reflect.New(t).Elem()
	switch f {
	case &textForm:
		v.SetString(n.Value)
		return v.Interface(), nil
	case &durationForm:
		return ParseDuration(n.Value)
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		return nil, err
	}
	if v.CanInt() && v.Int() < 0 || v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)) {
		return nil, strconv.ErrRange
	}
	return v.Interface(), nil
}

func decodeList(n *yaml.Node) (v any, problem, fix string) {
	if n.Kind != yaml.SequenceNode {
		return nil, "must be a list, not " + described(n), listForm.fix
	}
	all := []string{}
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" || e.Anchor != "" {
			return nil, fmt.Sprintf("has an entry on line %d that is not text", e.Line), "Write one text after each hyphen"
		}
		all = append(all, e.Value)
	}
	return all, "", ""
}

func decodeCounts(n *yaml.Node) (v any, problem, fix string) {
	if n.Kind != yaml.MappingNode {
		return nil, "must be " + countsForm.must + ", not " + described(n), countsForm.fix
	}
	all, seen := Counts{}, map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, number := n.Content[i], n.Content[i+1]
		if seen[name.Value] {
			return nil, fmt.Sprintf("repeats %q on line %d", name.Value, name.Line), "Remove one of the two"
		}
		seen[name.Value] = true
		count, err := strconv.Atoi(number.Value)
		if name.Kind != yaml.ScalarNode || number.Kind != yaml.ScalarNode || number.Tag != "!!int" || err != nil || count < 1 || count > 1000 {
			return nil, fmt.Sprintf("has no number from 1 to 1000 for %s on line %d", name.Value, name.Line), countsForm.fix
		}
		all = append(all, name.Value+"="+strconv.Itoa(count))
	}
	return all, "", ""
}

// ParseDuration reads a duration that is not negative, also in days: 30d.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a number of days", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is negative", s)
	}
	return d, err
}

// quoted returns a value as it is in the file, shortened if it is long.
func quoted(n *yaml.Node) string {
	v := []rune(n.Value)
	more := ""
	if len(v) > 40 {
		v, more = v[:40], "…"
	}
	if plain := string(v); n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && strconv.Quote(plain) == `"`+plain+`"` {
		return plain + more
	}
	return strconv.Quote(string(v)) + more
}

func described(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return "a single value"
}
