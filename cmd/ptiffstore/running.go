package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/instance"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// serverFlagsOf returns the flags with which the server was started, with its environment and its
// configuration file.
func serverFlagsOf(s *instance.Instance) (flags serverFlags, host string, err error) {
	p, site := &program{}, &configFile{}
	parser := newParser(p, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard), kong.Bind(site),
		kong.NamedMapper("path", pathsFrom(s.Absolute)), kong.NamedMapper("existingdir", pathsFrom(s.Absolute)), kong.NamedMapper("existingfile", pathsFrom(s.Absolute)),
		kong.NamedMapper("storeroot", urlsOrPathsFrom(s.Absolute)), kong.NamedMapper("slides", urlsOrPathsFrom(s.Absolute)))
	ctx, err := parser.Parse(argumentsOf(s, parser.Model))
	if err != nil {
		return flags, "", err
	}
	switch ctx.Selected().Name {
	case "tileserver":
		flags = p.Tileserver.serverFlags
	case "demo":
		flags, host = p.Demo.serverFlags, p.Demo.Host
	default:
		flags, host = p.Serve.serverFlags, p.Serve.Host
	}
	if flags.Data == "" { // that of its user, not of this one
		switch base, home := s.Env["XDG_DATA_HOME"], s.Env["HOME"]; {
		case base != "":
			flags.Data = filepath.Join(base, "ptiffstore")
		case home != "":
			flags.Data = filepath.Join(home, ".local", "share", "ptiffstore")
		default:
			return flags, "", errors.New("its data directory is unknown")
		}
	}
	return flags, host, nil
}

// argumentsOf returns the arguments of a server, with the variables of its environment as
// flags, and the path of the configuration file absolute.
func argumentsOf(s *instance.Instance, app *kong.Application) []string {
	args := slices.Clone(s.Args)
	for i, a := range args {
		if file, ok := strings.CutPrefix(a, "--config="); ok {
			args[i] = "--config=" + s.Absolute(file)
		} else if a == "--config" && i+1 < len(args) {
			args[i+1] = s.Absolute(args[i+1])
		}
	}
	mode := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return slices.Contains(args, n.Name) && instance.Serves([]string{n.Name}) })
	if mode < 0 {
		return args
	}
	for _, f := range flagsOf(app.Children[mode]) {
		given := slices.ContainsFunc(args, func(a string) bool { return a == "--"+f.Name || strings.HasPrefix(a, "--"+f.Name+"=") })
		for _, name := range f.Tag.Envs {
			if value, ok := s.Env[name]; ok && !given {
				if f.Name == "config" {
					value = s.Absolute(value)
				}
				args = append(args, "--"+f.Name+"="+value)
			}
		}
	}
	return args
}

// pathsFrom decodes paths, which need not exist any more, and makes them absolute.
func pathsFrom(absolute func(string) string) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		if target.Kind() != reflect.Slice {
			var path string
			err := ctx.Scan.PopValueInto("file", &path)
			target.SetString(absolute(path))
			return err
		}
		for more := true; more; more = ctx.Value.Flag == nil && ctx.Scan.Peek().IsValue() {
			var path string
			if err := ctx.Scan.PopValueInto("file", &path); err != nil {
				return err
			}
			target.Set(reflect.Append(target, reflect.ValueOf(absolute(path)).Convert(target.Type().Elem())))
		}
		return nil
	}
}

// urlsOrPathsFrom is pathsFrom, except that URLs stay as they are.
func urlsOrPathsFrom(absolute func(string) string) kong.MapperFunc {
	return pathsFrom(func(s string) string {
		if source.IsURL(s) {
			return s
		}
		return absolute(s)
	})
}

// storeRoot returns a folder or URL below which stores are allowed, as an absolute path if it
// is a folder.
func storeRoot(s string) (string, error) {
	if source.IsURL(s) {
		return s, source.CheckPermitted(s)
	}
	return existingFolder(s)
}

// slideFolder returns the absolute path of a folder of slides, or the URL of a part of a bucket.
func slideFolder(s string) (string, error) {
	switch {
	case !source.IsURL(s):
		return existingFolder(s)
	case catalog.KindOf(s) != catalog.S3:
		scheme, _, _ := strings.Cut(s, "://")
		return "", fmt.Errorf("%s:// is not a folder or bucket: add such a store with ptiffstore store add", scheme)
	}
	return source.CheckRoot(s)
}

// existingFolder returns the absolute path of a folder.
func existingFolder(s string) (string, error) {
	st, err := os.Stat(s)
	if err == nil && !st.IsDir() {
		err = fmt.Errorf("%q exists but is not a directory", s)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(s)
}

// storeRoots decodes a flag with folders and URLs below which stores are allowed.
func storeRoots(ctx *kong.DecodeContext, target reflect.Value) error {
	return decodeEach(storeRoot, ctx, target)
}

// slideFolders decodes arguments that are folders of slides or parts of buckets.
func slideFolders(ctx *kong.DecodeContext, target reflect.Value) error {
	return decodeEach(slideFolder, ctx, target)
}

// decodeEach decodes texts by a function that may refuse them.
func decodeEach(decode func(string) (string, error), ctx *kong.DecodeContext, target reflect.Value) error {
	var failed error
	err := pathsFrom(func(s string) string {
		v, err := decode(s)
		failed = errors.Join(failed, err)
		return v
	})(ctx, target)
	return errors.Join(err, failed)
}

// adopt takes the settings of the machine's server, unless the command was given settings
// other than the data directory or the database, which choose one of several servers. It
// returns where the settings come from, and why those of a server could not be taken.
func (c *doctorCmd) adopt(m instance.Machine, given []setting) (origin string, doubt error) {
	for _, s := range given {
		if s.Origin != fromDefault && s.Key != "data" && s.Key != "database" {
			return "", nil
		}
	}
	var found []*instance.Instance
	var flags serverFlags
	var host string
	for _, s := range m.Servers() {
		f, h, err := serverFlagsOf(s)
		switch {
		case err != nil && c.Data == "" && c.Database == "":
			doubt = fmt.Errorf("the settings of %s cannot be read: %w", s.Name, err)
			continue
		case err != nil || c.Data != "" && !sameFolder(c.Data, f.Data) || c.Database != "" && c.Database != f.Database:
			continue
		case s.Env == nil:
			doubt = fmt.Errorf("this user may not read the environment of %s, which may hold settings", s.Name)
		}
		if len(found) > 0 && (!sameFolder(flags.Data, f.Data) || flags.Database != f.Database) {
			return "", fmt.Errorf("there are several servers with different data: %s and %s: give --data or --config of one", found[0].Name, s.Name)
		}
		if len(found) == 0 || slices.Contains(s.Args, "serve") { // the server knows more than its tile server
			flags, host = f, h
		}
		found = append(found, s)
	}
	if len(found) == 0 {
		return "", doubt
	}
	c.serverFlags = flags
	adoptCredentials(found[0].Env)
	if c.Host == "" {
		c.Host = host
	}
	return found[0].Name, doubt
}

// sameFolder reports whether two paths name the same folder, which need not exist.
func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	return os.SameFile(x, y)
}
