package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// convert reads the value of a key. If it is not of the key's kind, what says so, and
// mend what to write.
func convert(n *yaml.Node, k *Key) (v any, what, mend string) {
	if n.Tag == "!!null" {
		return nil, "has no value", "Write one behind the colon, or take the line out"
	}
	switch k.Kind {
	case List:
		return list(n)
	case Counts:
		return counts(n)
	}
	if n.Kind != yaml.ScalarNode {
		return nil, "is " + described(n) + " where one value is wanted", "Write: " + last(k.Name) + ": " + example(k)
	}
	switch k.Kind {
	case Number:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || n.Tag != "!!int" || i < 0 {
			return nil, fmt.Sprintf("is %s where a whole number is wanted, 0 or more", quoted(n)), "Write digits without quotes: " + example(k)
		}
		return i, "", ""
	case Share:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Tag != "!!float" && n.Tag != "!!int" {
			return nil, fmt.Sprintf("is %s where a number is wanted", quoted(n)), "Write it without quotes: " + example(k)
		}
		return f, "", ""
	case Switch:
		if n.Tag != "!!bool" {
			return nil, fmt.Sprintf("is %s where true or false is wanted", quoted(n)), "Write true or false, without quotes"
		}
		return strings.EqualFold(n.Value, "true"), "", ""
	case Period:
		d, err := ParsePeriod(n.Value)
		if err != nil {
			return nil, fmt.Sprintf("is %s where a duration is wanted", quoted(n)), "Write a number with its unit: 90s, 15m, 36h or 30d"
		}
		return d.String(), "", ""
	}
	return text(n, k)
}

func text(n *yaml.Node, k *Key) (v any, what, mend string) {
	if n.Tag == "!!bool" {
		return nil, fmt.Sprintf("is %s where text is wanted", quoted(n)), "Put it in quotes if it is meant"
	}
	if k.OneOf != nil && !slices.Contains(k.OneOf, n.Value) {
		mend := "Write " + or(k.OneOf)
		if near := nearest(n.Value, k.OneOf); near != "" {
			mend = fmt.Sprintf("Did you mean %s? It may be %s", near, or(k.OneOf))
		}
		return nil, "can't be " + quoted(n), mend
	}
	return n.Value, "", ""
}

// list reads texts.
func list(n *yaml.Node) (v any, what, mend string) {
	if n.Kind != yaml.SequenceNode {
		return nil, "is " + described(n) + " where a list is wanted", "Write each entry on a line of its own, behind a hyphen"
	}
	all := []string{}
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" || e.Anchor != "" {
			return nil, fmt.Sprintf("has an entry on line %d that is no text", e.Line), "Write a single text behind each hyphen"
		}
		all = append(all, e.Value)
	}
	return all, "", ""
}

// counts reads names and numbers.
func counts(n *yaml.Node) (v any, what, mend string) {
	const how = "Write each name with its number on a line of its own, as default: 4"
	if n.Kind != yaml.MappingNode {
		return nil, "is " + described(n) + " where names with numbers are wanted", how
	}
	all := []string{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, number := n.Content[i], n.Content[i+1]
		if seen[name.Value] {
			return nil, fmt.Sprintf("has %q a second time on line %d", name.Value, name.Line), "Take one of the two out"
		}
		seen[name.Value] = true
		count, err := strconv.Atoi(number.Value)
		if name.Kind != yaml.ScalarNode || number.Kind != yaml.ScalarNode || number.Tag != "!!int" || err != nil || count < 1 || count > 1000 {
			return nil, fmt.Sprintf("has on line %d no number from 1 to 1000 behind the name %s", name.Line, name.Value), how
		}
		all = append(all, name.Value+"="+strconv.Itoa(count))
	}
	return all, "", ""
}

// ParsePeriod reads a duration that is not below 0, in days too: 30d.
func ParsePeriod(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("config: %q is no number of days", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("config: %q is below 0", s)
	}
	return d, err
}

// quoted is a value as it stands in the file, but not more of it than the eye takes in.
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

func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// example is a value that a key may have.
func example(k *Key) string {
	switch {
	case len(k.OneOf) > 0:
		return k.OneOf[0]
	case k.Kind == Number:
		return "8"
	case k.Kind == Share:
		return "0.5"
	case k.Kind == Switch:
		return "true"
	case k.Kind == Period:
		return "15m"
	}
	return "text"
}

// or lists words.
func or(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
