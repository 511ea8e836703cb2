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

// Links are names with addresses, written "Slim=https://…" as on the command line; in the file
// they are a list of mappings with name and url.
type Links []string

// A form is how the values of a type are written.
type form struct {
	kind            yaml.Kind
	name, must, fix string
	scalar          func(*yaml.Node) (v any, ok bool) // of single values
}

var forms = map[reflect.Type]*form{
	reflect.TypeFor[string]():        {yaml.ScalarNode, "text", "text", "Put it in quotes if it is meant", text},
	reflect.TypeFor[bool]():          {yaml.ScalarNode, "true or false", "true or false", "Write true or false, without quotes", truth},
	reflect.TypeFor[int]():           {yaml.ScalarNode, "number", "a whole number, 0 or more", "Write digits without quotes: 8", number[int]},
	reflect.TypeFor[int64]():         {yaml.ScalarNode, "number", "a whole number, 0 or more", "Write digits without quotes: 8", number[int64]},
	reflect.TypeFor[float64]():       {yaml.ScalarNode, "fraction", "a number", "Write it without quotes: 0.5", fraction},
	reflect.TypeFor[time.Duration](): {yaml.ScalarNode, "duration", "a duration", "Write a number with its unit: 90s, 15m, 36h or 30d", duration},
	reflect.TypeFor[[]string]():      {yaml.SequenceNode, "list", "a list", "Write each entry on a line of its own, after a hyphen", nil},
	reflect.TypeFor[Links]():         {yaml.SequenceNode, "list of name and url", "a list", linksFix, nil},
	reflect.TypeFor[Counts]():        {yaml.MappingNode, "name: number", "a mapping of names to numbers", countsFix, nil},
}

const linksFix = "Write each one after a hyphen: {name: Slim, url: \"https://…\"}"

const countsFix = "Write each name with its number on a line of its own: default: 4"

// form returns the form of the key's type. It panics on an unsupported type, which is a bug
// that every test finds.
func (k *Key) form() *form {
	if f := forms[k.Type]; f != nil {
		return f
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
	case n.Kind != f.kind && f.kind == yaml.ScalarNode:
		return nil, "must be a single value, not " + described(n), ""
	case n.Kind != f.kind:
		return nil, "must be " + f.must + ", not " + described(n), f.fix
	case k.Type == reflect.TypeFor[Links]():
		return decodeLinks(n)
	case n.Kind == yaml.SequenceNode:
		return decodeList(n)
	case n.Kind == yaml.MappingNode:
		return decodeCounts(n)
	}
	v, ok := f.scalar(n)
	if !ok {
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

// The tags are checked because the decoder also converts: 1.5 to 1, and yes to true.

func text(n *yaml.Node) (any, bool) {
	return n.Value, slices.Contains([]string{"!!str", "!!int", "!!float", "!!timestamp", "!!binary"}, n.Tag)
}

func truth(n *yaml.Node) (any, bool) {
	var v bool
	err := n.Decode(&v)
	return v, err == nil && n.Tag == "!!bool"
}

func number[T int | int64](n *yaml.Node) (any, bool) {
	var v T
	err := n.Decode(&v)
	return v, err == nil && n.Tag == "!!int" && v >= 0
}

func fraction(n *yaml.Node) (any, bool) {
	var v float64
	err := n.Decode(&v)
	return v, err == nil && (n.Tag == "!!float" || n.Tag == "!!int") && !math.IsNaN(v) && !math.IsInf(v, 0)
}

func duration(n *yaml.Node) (any, bool) {
	v, err := ParseDuration(n.Value)
	return v, err == nil && (n.Tag == "!!str" || n.Tag == "!!int")
}

func decodeList(n *yaml.Node) (v any, problem, fix string) {
	all := []string{}
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" || e.Anchor != "" {
			return nil, fmt.Sprintf("has an entry on line %d that is not text", e.Line), "Write one text after each hyphen"
		}
		all = append(all, e.Value)
	}
	return all, "", ""
}

func decodeLinks(n *yaml.Node) (v any, problem, fix string) {
	all := Links{}
	for _, e := range n.Content {
		fields := map[string]string{}
		for i := 0; e.Kind == yaml.MappingNode && i+1 < len(e.Content); i += 2 {
			name, value := e.Content[i].Value, e.Content[i+1]
			_, again := fields[name]
			if again || value.Kind != yaml.ScalarNode || name != "name" && name != "url" {
				return nil, fmt.Sprintf("cannot have %q on line %d", name, e.Content[i].Line), linksFix
			}
			fields[name] = value.Value
		}
		if fields["name"] == "" || fields["url"] == "" || strings.Contains(fields["name"], "=") {
			return nil, fmt.Sprintf("has an entry on line %d without a name and a url", e.Line), linksFix
		}
		all = append(all, fields["name"]+"="+fields["url"])
	}
	return all, "", ""
}

func decodeCounts(n *yaml.Node) (v any, problem, fix string) {
	all, seen := Counts{}, map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, number := n.Content[i], n.Content[i+1]
		if seen[name.Value] {
			return nil, fmt.Sprintf("repeats %q on line %d", name.Value, name.Line), "Remove one of the two"
		}
		seen[name.Value] = true
		count, err := strconv.Atoi(number.Value)
		if name.Kind != yaml.ScalarNode || number.Kind != yaml.ScalarNode || number.Tag != "!!int" || err != nil || count < 1 || count > 1000 {
			return nil, fmt.Sprintf("has no number from 1 to 1000 for %s on line %d", name.Value, name.Line), countsFix
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
	q := strconv.Quote(string(v))
	if plain := string(v); n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && q == `"`+plain+`"` {
		return plain + more
	}
	return q + more
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
