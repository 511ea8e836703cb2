package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Keys of every file besides those of its schema.
const (
	siteKey     = "site"
	storesKey   = "stores"
	defaultsKey = "store_defaults"
)

// A reader walks the nodes of a file.
type reader struct {
	schema   Schema
	file     *File
	findings Findings
}

// maxFindings is the maximum number of findings of a file.
const maxFindings = 100

// find adds the finding of a problem at a node.
func (r *reader) find(n *yaml.Node, key, problem, fix string) {
	if len(r.findings) >= maxFindings {
		return
	}
	f := Finding{File: r.file.Path, Key: key, Problem: problem, Fix: fix}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	r.findings = append(r.findings, f)
}

func sortFindings(l Findings) {
	slices.SortStableFunc(l, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// A pair is a key of a mapping and its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs returns the pairs of a mapping, each name once, and reports all others.
func (r *reader) pairs(n *yaml.Node, at string) []pair {
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" {
			r.find(n, at, "must be a mapping, not "+described(n), "Write each setting on a line of its own, indented: name: value")
		}
		return nil
	}
	var list []pair
	first := map[string]int{} // line of each name
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := join(at, k.Value)
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			r.find(k, at, "has a name that is not a word", "Write: name: value")
		case first[k.Value] > 0:
			r.find(k, name, fmt.Sprintf("repeats line %d", first[k.Value]), "Remove one of the two")
		case v.Kind == yaml.AliasNode || v.Anchor != "":
			r.find(v, name, "anchors (& and *) are not supported", "Write the value itself")
		default:
			first[k.Value] = k.Line
			list = append(list, pair{k.Value, k, v})
		}
	}
	return list
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// top reads the file from its root.
func (r *reader) top(root *yaml.Node) {
	var rest []pair
	var stores *yaml.Node
	var shared map[string]Value
	for _, p := range r.pairs(root, "") {
		switch {
		case p.name == siteKey:
			r.site(p.value)
		case p.name == storesKey:
			stores = p.value
		case p.name == defaultsKey:
			own := func(k Key) bool { return k.Own }
			shared = r.values(r.pairs(p.value, p.name), p.name, "", slices.DeleteFunc(slices.Clone(r.schema.Store), own))
		case slices.Contains(r.schema.Sections, p.name):
			r.file.sections[p.name] = r.values(r.pairs(p.value, p.name), p.name, "", r.schema.Keys)
		default:
			rest = append(rest, p)
		}
	}
	r.file.sections[""] = r.values(rest, "", "", r.schema.Keys)
	if stores != nil {
		r.file.Provisions = true
		r.stores(stores, shared)
	}
}

var siteName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (r *reader) site(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !siteName.MatchString(n.Value) || len(n.Value) > 64 {
		r.find(n, siteKey, "invalid name of a site", "Write lower-case letters and digits with single hyphens: north")
		return
	}
	r.file.Site = n.Value
}

// values reads settings of a section, whose names begin with prefix.
func (r *reader) values(list []pair, section, prefix string, keys []Key) map[string]Value {
	values := map[string]Value{}
	for _, p := range list {
		name := join(prefix, p.name)
		at := join(section, name)
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
		group := slices.ContainsFunc(keys, func(k Key) bool { return strings.HasPrefix(k.Name, name+".") })
		switch {
		case i >= 0:
			if v, ok := r.value(p.value, at, &keys[i]); ok {
				values[name] = v
			}
		case !group:
			r.unknown(p, at, section, prefix, keys)
		default:
			for name, v := range r.values(r.pairs(p.value, at), section, name, keys) {
				values[name] = v
			}
		}
	}
	return values
}

// unknown finds a key that is not in the schema.
func (r *reader) unknown(p pair, at, section, prefix string, keys []Key) {
	if len(r.findings) >= maxFindings {
		return // comparing with all keys takes time
	}
	if section == defaultsKey && slices.ContainsFunc(r.schema.Store, func(k Key) bool { return k.Name == p.name }) {
		r.find(p.key, at, "cannot be the same for all stores", "Write it below each store")
		return
	}
	var names []string
	for i := range keys {
		names = append(names, keys[i].Name)
	}
	if section == "" && prefix == "" {
		names = slices.Concat(names, []string{siteKey, storesKey, defaultsKey}, r.schema.Sections)
	}
	r.find(p.key, at, "unknown key", suggestion(join(prefix, p.name), prefix, names))
}

// value reads the value of a key.
func (r *reader) value(n *yaml.Node, at string, k *Key) (Value, bool) {
	v, problem, fix := k.decode(n)
	if problem == "" && k.Path {
		v = absolute(v, filepath.Dir(r.file.Path))
	}
	if problem == "" && k.Check != nil {
		if err := k.Check(v); err != nil {
			problem = "invalid value: " + err.Error()
		}
	}
	if problem != "" {
		r.find(n, at, problem, fix)
		return Value{}, false
	}
	return Value{Key: at, Line: n.Line, V: v}, true
}

// absolute returns paths that start at dir unless they are absolute.
func absolute(v any, dir string) any {
	switch v := v.(type) {
	case string:
		if v == "" || filepath.IsAbs(v) || strings.Contains(v, "://") {
			return v
		}
		return filepath.Join(dir, v)
	case []string:
		list := make([]string, len(v))
		for i := range v {
			list[i], _ = absolute(v[i], dir).(string)
		}
		return list
	}
	return v
}

var storeName = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)*$`)

// stores reads the stores. Those that do not have a setting get it from shared.
func (r *reader) stores(n *yaml.Node, shared map[string]Value) {
	if n.Kind == yaml.SequenceNode {
		r.find(n, storesKey, "must be a mapping, not a list", "Give each store a name instead of a hyphen: scanner1: {root: /slides/scanner1}")
		return
	}
	for _, p := range r.pairs(n, storesKey) {
		at := join(storesKey, p.name)
		if !storeName.MatchString(p.name) || len(p.name) > 64 {
			r.find(p.key, at, "invalid name of a store", "Write lower-case letters and digits, with single hyphens or underscores between them; the name for people is its label")
			continue
		}
		before := len(r.findings)
		s := Store{Name: p.name, Line: p.key.Line, Fields: r.values(r.pairs(p.value, at), at, "", r.schema.Store)}
		for field, v := range shared {
			if _, ok := s.Fields[field]; !ok {
				s.Fields[field] = v
			}
		}
		if len(r.findings) == before {
			r.checkStore(p.key, at, &s)
		}
		r.file.Stores = append(r.file.Stores, s)
	}
}

// checkStore finds fields of a store that do not fit each other.
func (r *reader) checkStore(n *yaml.Node, at string, s *Store) {
	if r.schema.CheckStore == nil {
		return
	}
	err := r.schema.CheckStore(s.Values())
	if err == nil {
		return
	}
	line := *n
	if e, ok := errors.AsType[*FieldError](err); ok {
		at, err = join(at, e.Field), e.Err
		if v, ok := s.Fields[e.Field]; ok {
			line.Line, line.Column = v.Line, 0
		}
	}
	r.find(&line, at, err.Error(), "")
}
