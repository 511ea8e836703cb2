// Package config reads the configuration file: YAML with the settings of the processes
// and the stores to provision.
//
// A setting is declared once, as a field of the structs of flags; [Key] takes its name and
// its Go type from there, so the file, the environment and the command line cannot differ.
// The package itself knows no flags and no stores. It walks the document's nodes instead
// of having the decoder check them with KnownFields, whose errors have neither a column
// nor the path of the key, and which ends at a repeated key: here every problem is a
// [Finding] with its place and what to do. The decoder converts the values.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// MaxSize is the maximum size of the file, in bytes. A thousand stores need a third of it.
const MaxSize = 1 << 20

// A Key is a setting that a file may have.
type Key struct {
	Name  string       // path from the top of the file: "auth.oidc.issuer"
	Type  reflect.Type // of the value; see [Key.Form]
	OneOf []string     // the texts allowed; nil for any
	Path  bool         // it names files; relative ones start at the folder of the file
	Own   bool         // of a store: not allowed in store_defaults

	// Check, if not nil, returns what is wrong with a value of the right type.
	Check func(v any) error
}

// A Schema is what a file may hold.
type Schema struct {
	Keys     []Key
	Sections []string // each holds keys for one mode only
	Store    []Key    // of each store and, unless they are Own, of store_defaults

	// CheckStore, if not nil, checks whether the fields of a store fit each other. The
	// error is a [*FieldError] if it concerns one of them.
	CheckStore func(fields map[string]any) error
}

// A FieldError reports a field of a store that is invalid.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// A Value is one that a file gives.
type Value struct {
	Key  string // with its section: "tileserver.listen"
	Line int
	V    any // of the key's type
}

// A Store is one that a file provisions.
type Store struct {
	Name   string
	Line   int
	Fields map[string]Value // by name, with those of store_defaults
}

// Values returns the values of the fields by name.
func (s *Store) Values() map[string]any {
	values := map[string]any{}
	for name, v := range s.Fields {
		values[name] = v.V
	}
	return values
}

// A File is the content of a file.
type File struct {
	Path   string
	Site   string  // name of the site; may be ""
	Stores []Store // in the order of the file
	// Provisions is whether the file has the key stores, even with none below it.
	Provisions bool

	sections map[string]map[string]Value // by section, "" for the top, and key
}

// Value returns the value of a key in a mode: that of the mode's section or else that of
// the top.
func (f *File) Value(mode, key string) (Value, bool) {
	if v, ok := f.sections[mode][key]; ok {
		return v, true
	}
	v, ok := f.sections[""][key]
	return v, ok
}

// Has reports whether the file has settings for one mode only.
func (f *File) Has(mode string) bool { return len(f.sections[mode]) > 0 }

// A Finding is a problem of a file.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0 if it concerns no line
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key"`
	Problem string `json:"problem"`
	Fix     string `json:"fix"` // what to do
	Warning bool   `json:"warning"`
}

// String returns the finding on one line, in the form of a compiler's messages.
func (f Finding) String() string {
	s := f.File
	if f.Line > 0 {
		s += ":" + strconv.Itoa(f.Line)
		if f.Column > 0 {
			s += ":" + strconv.Itoa(f.Column)
		}
	}
	s += ": "
	if f.Warning {
		s += "warning: "
	}
	if f.Key != "" {
		s += f.Key + ": "
	}
	s += sentence(f.Problem)
	if f.Fix != "" {
		s += " " + sentence(f.Fix)
	}
	return s
}

// sentence returns s with a full stop, unless it ends a sentence already.
func sentence(s string) string {
	if strings.HasSuffix(s, "?") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// Findings are all problems of a file, ordered by line.
type Findings []Finding

// Error returns one line for each finding.
func (l Findings) Error() string {
	lines := make([]string, len(l))
	for i := range l {
		lines[i] = l[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the findings as an error, or nil if all are warnings.
func (l Findings) Err() error {
	for _, f := range l {
		if !f.Warning {
			return l
		}
	}
	return nil
}

// Read reads a file. The error is not nil if the file cannot be read at all; problems of
// its content are findings.
func Read(path string, s Schema) (*File, Findings, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("configuration file: %w", err)
	}
	file, findings := Parse(path, b, s)
	return file, findings, nil
}

// Parse reads a file that is in memory. Its path is used in findings, and relative paths
// start at its folder.
func Parse(path string, b []byte, s Schema) (*File, Findings) {
	r := &reader{schema: s, file: &File{Path: path, sections: map[string]map[string]Value{}}}
	if len(b) > MaxSize {
		r.find(nil, "", fmt.Sprintf("the file is larger than %d bytes", MaxSize), "Check that this is the configuration file")
		return r.file, r.findings
	}
	root, at, err := document(b)
	if err != nil {
		r.find(&yaml.Node{Line: at}, "", "invalid YAML: "+err.Error(), "")
	}
	if root != nil {
		r.top(root)
	}
	sortFindings(r.findings)
	return r.file, r.findings
}

// document returns the root of the only document in b, nil if it is empty. With an error
// comes its line.
func document(b []byte) (root *yaml.Node, line int, err error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err = d.Decode(&doc); err == nil {
		root = doc.Content[0]
		if err = d.Decode(&more); err == nil {
			return nil, more.Line, errors.New("a second document begins with ---; write one document")
		}
	}
	if errors.Is(err, io.EOF) {
		return root, 0, nil
	}
	// The decoder has the line in the text of its errors only: "yaml: line 3: …".
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if _, e := fmt.Sscanf(text, "line %d: ", &line); e == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	return nil, line, errors.New(text)
}
