package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// The modes of which a site's file can say how they run.
var modes = []string{"serve", "tileserver", "worker"}

// A siteFlag is the path of the file in which the site is described.
//
// Flags of the command line count more than the environment, that more than the file,
// and the file more than what a flag is by default. Of a setting that several give the
// others are passed over: lists are not put together.
type siteFlag string

// BeforeResolve has the flags that were not given taken from the file.
func (siteFlag) BeforeResolve(ctx *kong.Context, trace *kong.Path, site *siteFile) error {
	path := string(ctx.FlagValue(trace.Flag).(siteFlag))
	node := ctx.Selected()
	if path == "" || node == nil || !slices.ContainsFunc(flagsOf(node), func(f *kong.Flag) bool { return keyOf(node, f) != "" }) {
		return nil // nothing of the file is asked for
	}
	if err := site.read(path, ctx.Model); err != nil {
		return err
	}
	if l := missingFiles(site.file, keysOf(ctx.Model), node.Name); len(l) > 0 {
		return &siteError{path, l}
	}
	ctx.AddResolver(site)
	return nil
}

// A siteFile is what there is to know of the site's file while a command runs.
type siteFile struct {
	args []string       // of the program
	hups chan os.Signal // nil: it is not read again

	mu       sync.Mutex
	file     *config.File // nil without one
	settings []setting    // in force
}

func (s *siteFile) read(path string, model *kong.Application) error {
	file, findings, err := config.Read(path, schema(keysOf(model)))
	if err == nil {
		err = findings.Err()
	}
	if err != nil {
		return &siteError{path, err}
	}
	s.file = file
	return nil
}

// A siteError is that a site's file can't be used.
type siteError struct {
	path string
	err  error
}

func (e *siteError) Error() string {
	if _, ok := errors.AsType[config.Findings](e.err); ok {
		return "the site's file can't be used:\n" + e.err.Error()
	}
	return e.err.Error()
}

func (e *siteError) Unwrap() error { return e.err }

// code is the exit code: a file that is not there is another matter than one that is
// wrong.
func (e *siteError) code() int {
	if _, ok := errors.AsType[config.Findings](e.err); ok {
		return exitFile
	}
	return exitFailure
}

// Validate has nothing to say: the file has been checked when it was read.
func (*siteFile) Validate(*kong.Application) error { return nil }

// Resolve is asked for each flag that is not on the command line. By itself the parser
// would put what it returns above the environment.
func (s *siteFile) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if inEnvironment(flag) != "" {
		return nil, nil
	}
	node := ctx.Selected()
	key := keyOf(node, flag)
	if key == "" {
		return nil, nil
	}
	v, ok := s.file.Value(modeOf(node), key)
	if !ok {
		return nil, nil
	}
	list, ok := v.V.([]string)
	if !ok {
		return v.V, nil
	}
	entries := make([]any, len(list)) // so that no entry is taken apart at its commas
	for i := range list {
		entries[i] = list[i]
	}
	return entries, nil
}

// inEnvironment is the variable that sets a flag, "" if none does.
func inEnvironment(flag *kong.Flag) string {
	for _, name := range flag.Tag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name
		}
	}
	return ""
}

// keyOf is the key of a command's flag in the file, "" for none: what its tag key says.
// A flag of a mode that has no such tag has its name for a key, with underscores, so
// that there is none that can't be set; the tag key:"-" is for those.
func keyOf(node *kong.Node, flag *kong.Flag) string {
	switch key := flag.Tag.Get("key"); {
	case key == "-" || flag.Name == "help":
		return ""
	case key != "":
		return key
	case node != nil && (slices.Contains(modes, node.Path()) || node.Path() == examiner) && slices.Contains(node.Flags, flag):
		return strings.ReplaceAll(flag.Name, "-", "_")
	}
	return ""
}

// examiner is the command that takes from the file what the server does, to examine it.
const examiner = "doctor"

// modeOf is the mode whose section of the file a command goes by.
func modeOf(node *kong.Node) string {
	if node.Path() == examiner {
		return modes[0]
	}
	return node.Name
}

// flagsOf are the flags that a command takes.
func flagsOf(node *kong.Node) []*kong.Flag { return slices.Concat(node.AllFlags(false)...) }

// A key is a setting that the file can hold.
type key struct {
	config.Key
	flag   *kong.Flag
	modes  []string
	exists bool // it names what has to be there
	live   bool // it can be changed while the program runs
}

// keysOf are the keys of all modes, in the order of their flags.
func keysOf(model *kong.Application) []key {
	var list []key
	for _, node := range model.Children {
		if !slices.Contains(modes, node.Name) {
			continue
		}
		for _, flag := range flagsOf(node) {
			name := keyOf(node, flag)
			if name == "" {
				continue
			}
			if i := slices.IndexFunc(list, func(k key) bool { return k.Name == name }); i >= 0 {
				list[i].modes = append(list[i].modes, node.Name)
				continue
			}
			list = append(list, newKey(name, node.Name, flag))
		}
	}
	return list
}

func newKey(name, mode string, flag *kong.Flag) key {
	k := key{flag: flag, modes: []string{mode}, live: flag.Tag.Has("live"), exists: strings.HasPrefix(flag.Tag.Type, "existing")}
	k.Name, k.Path = name, k.exists || flag.Tag.Type == "path"
	k.Kind = kindOf(flag)
	if flag.Tag.Enum != "" {
		k.OneOf = flag.EnumSlice()
	}
	return k
}

// kindOf is the kind of a flag's values. It panics if there is none: that is a mistake
// of the program, which every test finds.
func kindOf(flag *kong.Flag) config.Kind {
	t := flag.Target.Type()
	switch {
	case flag.Tag.Get("form") == "counts":
		return config.Counts
	case t == reflect.TypeFor[time.Duration]():
		return config.Period
	case t == reflect.TypeFor[[]string]():
		return config.List
	}
	switch t.Kind() {
	case reflect.String:
		return config.Text
	case reflect.Bool:
		return config.Switch
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint, reflect.Uint64, reflect.Uint32:
		return config.Number
	case reflect.Float64:
		return config.Share
	}
	panic(fmt.Sprintf("--%s is a %v: say in kindOf what its value in the site's file is, or that it has none by the tag key:\"-\"", flag.Name, t))
}

// schema is what a site's file may hold.
func schema(keys []key) config.Schema {
	s := config.Schema{Sections: modes, Store: storeKeys(), CheckStore: checkDeclared}
	for i := range keys {
		s.Keys = append(s.Keys, keys[i].Key)
	}
	return s
}

// missingFiles are findings of files that a mode needs and that are not there.
func missingFiles(f *config.File, keys []key, mode string) config.Findings {
	var list config.Findings
	for i := range keys {
		v, ok := f.Value(mode, keys[i].Name)
		if !ok || !keys[i].exists || !slices.Contains(keys[i].modes, mode) {
			continue
		}
		paths, ok := v.V.([]string)
		if !ok {
			paths = []string{v.V.(string)}
		}
		for _, p := range paths {
			if _, err := os.Stat(p); err != nil {
				list = append(list, config.Finding{
					File: f.Path, Line: v.Line, Key: v.Key, What: "names " + p + ", which can't be looked at: " + fsx.WithoutPath(err).Error(),
					Mend: "Put it there, or write where it is",
				})
			}
		}
	}
	return list
}
