package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// The modes, which have a section each in the configuration file.
var modes = []string{"serve", "tileserver", "worker"}

// BeforeResolve gives the flags of the command their values of the configuration file, which
// the command line then overrides.
//
// The command line takes precedence over the environment, the environment over the file,
// and the file over the defaults. Lists are replaced, not merged.
func (*program) BeforeResolve(ctx *kong.Context, site *configFile) error {
	node := ctx.Selected()
	if node == nil || !slices.ContainsFunc(flagsOf(node), func(f *kong.Flag) bool { return keyOf(f) != "" }) {
		return nil // nothing of the file is needed
	}
	i := slices.IndexFunc(ctx.Model.Flags, func(f *kong.Flag) bool { return f.Name == "config" })
	if path, _ := ctx.FlagValue(ctx.Model.Flags[i]).(string); path != "" && site.file == nil {
		if err := site.read(path, ctx.Model); err != nil {
			return err
		}
		if err := invalidFile(missingFiles(site.file, keysOf(ctx.Model), node.Name)); err != nil {
			return err
		}
	}
	for _, flag := range flagsOf(node) {
		if v, ok := site.value(node, flag); ok && inEnvironment(flag) == "" {
			flag.Target.Set(reflect.ValueOf(v.V))
		}
	}
	return nil
}

// A configFile is the configuration file of a command.
type configFile struct {
	args     []string       // of the program
	file     *config.File   // the last valid version; nil without one
	hups     chan os.Signal // SIGHUP; nil without a file
	settings []setting      // in force
}

func (s *configFile) read(path string, model *kong.Application) error {
	file, findings, err := config.Read(path, schema(keysOf(model)))
	if err != nil {
		return &exitError{exitFailure, err}
	}
	s.file = file
	return invalidFile(findings)
}

// invalidFile returns the error for a file with these findings, nil if all are warnings.
func invalidFile(findings config.Findings) error {
	if err := findings.Err(); err != nil {
		return &exitError{exitFile, fmt.Errorf("invalid configuration file:\n%w", err)}
	}
	return nil
}

// value returns the value that the file has for a flag of a command.
func (s *configFile) value(node *kong.Node, flag *kong.Flag) (v config.Value, ok bool) {
	key := keyOf(flag)
	if s.file == nil || key == "" {
		return v, false
	}
	mode := node.Name
	if node.Name == "doctor" { // it examines a server
		mode = modes[0]
	}
	return s.file.Value(mode, key)
}

// inEnvironment returns the variable that sets a flag, "" if none does.
func inEnvironment(flag *kong.Flag) string {
	for _, name := range flag.Tag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name
		}
	}
	return ""
}

// keyOf returns the key of a flag in the file, "" if it has none: its tag key.
func keyOf(flag *kong.Flag) string { return strings.TrimPrefix(flag.Tag.Get("key"), "-") }

// flagsOf returns the flags of a command.
func flagsOf(node *kong.Node) []*kong.Flag { return slices.Concat(node.AllFlags(false)...) }

// A key is a setting that the file can hold.
type key struct {
	config.Key
	flag  *kong.Flag
	modes []string
}

// exists reports whether the setting names a file that must exist.
func (k *key) exists() bool {
	return strings.HasPrefix(k.flag.Tag.Type, "existing") || k.flag.Tag.Type == "storeroot"
}

// keysOf returns the keys of all modes, in the order of their flags.
func keysOf(model *kong.Application) []key {
	var list []key
	for _, node := range model.Children {
		if !slices.Contains(modes, node.Name) {
			continue
		}
		for _, flag := range flagsOf(node) {
			name := keyOf(flag)
			if name == "" {
				continue
			}
			if i := slices.IndexFunc(list, func(k key) bool { return k.Name == name }); i >= 0 {
				list[i].modes = append(list[i].modes, node.Name)
				continue
			}
			k := key{config.Key{Name: name, Type: flag.Target.Type()}, flag, []string{node.Name}}
			k.Path = k.exists() || flag.Tag.Type == "path"
			if flag.Tag.Enum != "" {
				k.OneOf = flag.EnumSlice()
			}
			list = append(list, k)
		}
	}
	return list
}

// schema returns what the configuration file may hold.
func schema(keys []key) config.Schema {
	s := config.Schema{Sections: modes, Store: storeKeys(), CheckStore: checkProvisioned}
	for i := range keys {
		s.Keys = append(s.Keys, keys[i].Key)
	}
	return s
}

// missingFiles returns findings of files that a mode needs and that cannot be used.
func missingFiles(f *config.File, keys []key, mode string) config.Findings {
	var list config.Findings
	for i := range keys {
		v, ok := f.Value(mode, keys[i].Name)
		if !ok || !keys[i].exists() || !slices.Contains(keys[i].modes, mode) {
			continue
		}
		paths, ok := v.V.([]string)
		if !ok {
			paths = []string{v.V.(string)}
		}
		for _, p := range paths {
			if source.IsURL(p) {
				continue
			}
			if _, err := os.Stat(p); err != nil {
				list = append(list, config.Finding{
					File: f.Path, Line: v.Line, Key: v.Key, Problem: "cannot use " + p + ": " + fsx.WithoutPath(err).Error(), Fix: "Create it, or correct the path",
				})
			}
		}
	}
	return list
}
