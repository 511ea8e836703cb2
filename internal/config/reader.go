package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Keys that every file may have beside those of its schema.
const (
	siteKey     = "site"
	storesKey   = "stores"
	defaultsKey = "store_defaults"
)

// A reader goes through a file.
type reader struct {
	schema   Schema
	file     *File
	findings Findings
}

// maxFindings bounds what is said of one file.
const maxFindings = 100

// find notes what is wrong at a node.
func (r *reader) find(n *yaml.Node, key, what, mend string) {
	if len(r.findings) >= maxFindings {
		return
	}
	f := Finding{File: r.file.Path, Key: key, What: what, Mend: mend}
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

// An entry is a key of a mapping with what stands behind it.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries are those of a mapping, each name once. What is none is found to be wrong.
func (r *reader) entries(n *yaml.Node, key string) []entry {
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" {
			r.find(n, key, "is "+described(n)+" where names and values are wanted", "Write each on a line of its own, further to the right: name: value")
		}
		return nil
	}
	var list []entry
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		name := join(key, k.Value)
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			r.find(k, key, "has a name that is not a word", "Write: name: value")
		case first[k.Value] > 0:
			r.find(k, name, fmt.Sprintf("stands here a second time, after line %d", first[k.Value]), "Take one of the two out")
		case v.Kind == yaml.AliasNode || v.Anchor != "":
			r.find(v, name, "uses an anchor (& or *)", "Write the value itself")
		default:
			first[k.Value] = k.Line
			list = append(list, entry{k.Value, k, v})
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

// top reads the file from its top.
func (r *reader) top(root *yaml.Node) {
	var rest []entry
	var stores, defaults *yaml.Node
	for _, e := range r.entries(root, "") {
		switch {
		case e.name == siteKey:
			r.site(e.value)
		case e.name == storesKey:
			stores = e.value
		case e.name == defaultsKey:
			defaults = e.value
		case slices.Contains(r.schema.Sections, e.name):
			r.keys(r.entries(e.value, e.name), e.name, "")
		default:
			rest = append(rest, e)
		}
	}
	r.keys(rest, "", "")
	shared := map[string]Value{}
	if defaults != nil {
		shared = r.fields(r.entries(defaults, defaultsKey), defaultsKey, func(k Key) bool { return !k.Own })
	}
	if stores != nil {
		r.file.Declares = true
		r.stores(stores, shared)
	}
}

var siteName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (r *reader) site(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !siteName.MatchString(n.Value) || len(n.Value) > 64 {
		r.find(n, siteKey, "is no name of a site", "Write lower-case letters and digits with single hyphens: north")
		return
	}
	r.file.Site = n.Value
}

// keys reads keys of the schema that stand in a section, "" for none, below a prefix.
func (r *reader) keys(list []entry, section, prefix string) {
	for _, e := range list {
		name := join(prefix, e.name)
		at := join(section, name)
		if i := slices.IndexFunc(r.schema.Keys, func(k Key) bool { return k.Name == name }); i >= 0 {
			if v, ok := r.value(e.value, at, &r.schema.Keys[i]); ok {
				r.file.values[at] = v
			}
			continue
		}
		if slices.ContainsFunc(r.schema.Keys, func(k Key) bool { return strings.HasPrefix(k.Name, name+".") }) {
			if e.value.Tag == "!!null" {
				continue // the keys below are commented out
			}
			r.keys(r.entries(e.value, at), section, name)
			continue
		}
		if len(r.findings) >= maxFindings {
			return
		}
		names := []string{}
		for i := range r.schema.Keys {
			names = append(names, r.schema.Keys[i].Name)
		}
		if section == "" && prefix == "" {
			names = append(names, siteKey, storesKey, defaultsKey)
			names = append(names, r.schema.Sections...)
		}
		r.find(e.key, at, "is a key that there is not", mend(name, prefix, names))
	}
}

// value reads what stands behind a key.
func (r *reader) value(n *yaml.Node, at string, k *Key) (Value, bool) {
	v, what, mend := convert(n, k)
	if what != "" {
		r.find(n, at, what, mend)
		return Value{}, false
	}
	if k.Path {
		v = r.paths(v)
	}
	if k.Check != nil {
		if err := k.Check(v); err != nil {
			r.find(n, at, "can't be this: "+err.Error(), "")
			return Value{}, false
		}
	}
	return Value{Key: at, Line: n.Line, V: v}, true
}

// paths are whole paths: relative ones count from the folder of the file.
func (r *reader) paths(v any) any {
	whole := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(filepath.Dir(r.file.Path), p)
	}
	switch v := v.(type) {
	case string:
		return whole(v)
	case []string:
		list := make([]string, len(v))
		for i := range v {
			list[i] = whole(v[i])
		}
		return list
	}
	return v
}

var storeName = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)*$`)

// stores reads the stores that the file declares.
func (r *reader) stores(n *yaml.Node, shared map[string]Value) {
	if n.Kind == yaml.SequenceNode {
		r.find(n, storesKey, "is a list", "Give each store a name instead of a hyphen, by which it is known from now on: scanner1: {root: /slides/scanner1}")
		return
	}
	for _, e := range r.entries(n, storesKey) {
		at := join(storesKey, e.name)
		if !storeName.MatchString(e.name) || len(e.name) > 64 {
			r.find(e.key, at, "is no name of a store", "Write lower-case letters and digits, with single hyphens or underscores between them; label is for people")
			continue
		}
		before := len(r.findings)
		s := Store{Name: e.name, Line: e.key.Line, Fields: r.fields(r.entries(e.value, at), at, func(Key) bool { return true })}
		for field, v := range shared {
			if _, ok := s.Fields[field]; !ok {
				s.Fields[field] = v
			}
		}
		if len(r.findings) == before {
			r.checkStore(e.key, at, &s)
		}
		r.file.Stores = append(r.file.Stores, s)
	}
}

// checkStore asks whether the fields of a store, each right by itself, go together.
func (r *reader) checkStore(n *yaml.Node, at string, s *Store) {
	if r.schema.CheckStore == nil {
		return
	}
	fields := map[string]any{}
	for name, v := range s.Fields {
		fields[name] = v.V
	}
	field, err := r.schema.CheckStore(fields)
	if err == nil {
		return
	}
	line := *n
	if v, ok := s.Fields[field]; ok {
		line.Line, line.Column = v.Line, 0
	}
	r.find(&line, join(at, field), "does not fit: "+err.Error(), "")
}

// fields reads those of a store, or of all.
func (r *reader) fields(list []entry, at string, allowed func(Key) bool) map[string]Value {
	fields := map[string]Value{}
	var names []string
	for _, k := range r.schema.Store {
		if allowed(k) {
			names = append(names, k.Name)
		}
	}
	for _, e := range list {
		name := join(at, e.name)
		i := slices.IndexFunc(r.schema.Store, func(k Key) bool { return k.Name == e.name })
		switch {
		case i < 0:
			r.find(e.key, name, "is a key that there is not", mend(e.name, "", names))
		case !allowed(r.schema.Store[i]):
			r.find(e.key, name, "can't be the same for all stores", "Write it below each store")
		default:
			if v, ok := r.value(e.value, name, &r.schema.Store[i]); ok {
				fields[e.name] = v
			}
		}
	}
	return fields
}
