// Package config reads the file in which a site is described, and says of each thing
// that is wrong with it where it stands and what to write instead. Which keys there
// are it is told: it knows neither the flags that they stand for nor what a store is.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// MaxSize bounds the file, in bytes. A thousand stores need a third of it.
const MaxSize = 1 << 20

// A Kind is what may stand behind a key.
type Kind string

const (
	Text   Kind = "text"
	Number Kind = "number"        // whole, not below 0
	Share  Kind = "fraction"      // with a decimal point
	Switch Kind = "true or false" // true or false
	Period Kind = "duration"      // 90s, 36h, 30d
	List   Kind = "list"          // of texts
	Counts Kind = "name: number"  // a mapping of names to numbers from 1 to 1000
)

// A Key is one that a file may have.
type Key struct {
	Name  string   // from the top of the file on, with dots: "auth.oidc.issuer"
	Kind  Kind     //
	OneOf []string // what a Text may be; nil for anything
	Path  bool     // it names files or folders: relative ones count from the folder of the file
	Own   bool     // of a store: it can't be the same for all

	// Check, if not nil, says what is wrong with a value of the right kind.
	Check func(v any) error
}

// A Schema is what a file may hold.
type Schema struct {
	Keys     []Key
	Sections []string // each holds keys that count for one mode only
	Store    []Key    // of each store; and of store_defaults, but for those that are its Own

	// CheckStore, if not nil, says which field of a store does not go with the others,
	// and why.
	CheckStore func(fields map[string]any) (field string, err error)
}

// A Value is one that a file gives.
type Value struct {
	Key  string // where it stands: "tileserver.listen"
	Line int
	V    any // string, int64, float64, bool, []string; of Counts []string: "default=4"
}

// A Store is one that a file declares.
type Store struct {
	Name   string
	Line   int
	Fields map[string]Value // by their names; those of store_defaults too
}

// A File is what was understood of one.
type File struct {
	Path   string
	Site   string  // name of the site; may be ""
	Stores []Store // in the order of the file
	// Declares is whether there are stores in the file, be it none: without the key the
	// file says nothing of stores.
	Declares bool

	values map[string]Value
}

// Value returns what the file says for a key in a mode: what stands in the mode's
// section before what stands outside.
func (f *File) Value(mode, key string) (Value, bool) {
	if v, ok := f.values[mode+"."+key]; ok {
		return v, true
	}
	v, ok := f.values[key]
	return v, ok
}

// A Finding is something that is wrong with a file.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: it is nowhere in particular
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key"`
	What    string `json:"what"` // is wrong
	Mend    string `json:"mend"` // what to do
	Warning bool   `json:"warning"`
}

// String is the finding on a line, beginning as compilers do.
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
		s += f.Key + " "
	}
	s += sentence(f.What)
	if f.Mend != "" {
		s += " " + sentence(f.Mend)
	}
	return s
}

// sentence ends s as one.
func sentence(s string) string {
	if strings.HasSuffix(s, "?") || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// Findings are all that is wrong with a file, in the order of its lines.
type Findings []Finding

// Error is a line for each.
func (l Findings) Error() string {
	lines := make([]string, len(l))
	for i := range l {
		lines[i] = l[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err is the findings if one of them is more than a warning, else nil.
func (l Findings) Err() error {
	for _, f := range l {
		if !f.Warning {
			return l
		}
	}
	return nil
}

// Read reads a file. What is wrong with it are the findings; the error is that it could
// not be read at all.
func Read(path string, s Schema) (*File, Findings, error) {
	b, err := bounded(path)
	if err != nil {
		return nil, nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	f, findings := Parse(path, b, s)
	return f, findings, nil
}

func bounded(path string) ([]byte, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return b, nil
}

// Parse is Read for a file that is in memory. Its path is for findings, and what
// relative paths count from.
func Parse(path string, b []byte, s Schema) (*File, Findings) {
	r := &reader{schema: s, file: &File{Path: path, values: map[string]Value{}}}
	if len(b) > MaxSize {
		r.find(nil, "", fmt.Sprintf("the file is larger than %d bytes", MaxSize), "A site's file is a few thousand bytes: is it this one that you mean?")
		return r.file, r.findings
	}
	root, err := document(b)
	if err != nil {
		line, what := place(err)
		r.find(&yaml.Node{Line: line}, "", what, "")
		return r.file, r.findings
	}
	if root != nil {
		r.top(root)
	}
	sortFindings(r.findings)
	return r.file, r.findings
}

// document is the one document in b, nil if there is nothing in it.
func document(b []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins with ---: a site has one", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc.Content[0], nil
}

var lineOf = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// place takes the line out of an error of YAML.
func place(err error) (line int, what string) {
	what = err.Error()
	if m := lineOf.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		what = what[len(m[0]):]
	}
	return line, "this is not YAML: " + strings.TrimPrefix(what, "yaml: ")
}
