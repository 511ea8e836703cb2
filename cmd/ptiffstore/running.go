package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A machine is where servers are looked for.
type machine struct {
	proc  string   // the process table; only Linux has one
	units []string // folders of systemd's units, by precedence
}

var thisMachine = machine{proc: "/proc", units: []string{"/etc/systemd/system", "/usr/lib/systemd/system"}}

// A started is how a server was started, or would be by its unit.
type started struct {
	what string            // "process 12" or the path of a unit
	args []string          // without the name of the program
	env  map[string]string // nil if this user may not read it
	dir  string            // to which paths are relative
}

// maxFile bounds what is read of a process and of a unit.
const maxFile = 1 << 20

// servers returns the servers that run on the machine, or else those of its units.
func (m machine) servers() []started {
	if list := m.processes(); len(list) > 0 {
		return list
	}
	for _, folder := range m.units {
		if list := unitsIn(folder); len(list) > 0 {
			return list
		}
	}
	return nil
}

// serves reports whether arguments start a server.
func serves(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "serve" || a == "demo" || a == "tileserver" }) &&
		!slices.Contains(args, "--help")
}

func (m machine) processes() []started {
	paths, _ := filepath.Glob(filepath.Join(m.proc, "[0-9]*", "cmdline")) // the pattern is valid
	var list []started
	for _, path := range paths {
		b, err := readSome(path)
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		pid := filepath.Base(filepath.Dir(path))
		if err != nil || pid == strconv.Itoa(os.Getpid()) || !strings.HasPrefix(filepath.Base(args[0]), "ptiffstore") || !serves(args[1:]) {
			continue
		}
		s := started{what: "process " + pid, args: args[1:]}
		if b, err := readSome(filepath.Join(filepath.Dir(path), "environ")); err == nil {
			s.env = map[string]string{}
			for kv := range strings.SplitSeq(string(b), "\x00") {
				name, value, _ := strings.Cut(kv, "=")
				s.env[name] = value
			}
		}
		if s.dir, err = os.Readlink(filepath.Join(filepath.Dir(path), "cwd")); err != nil {
			s.dir = "/"
		}
		list = append(list, s)
	}
	return list
}

// readSome reads a file of the process table, whose size is unknown.
func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// unitsIn returns the servers of the units in a folder whose names begin with ptiffstore.
func unitsIn(folder string) []started {
	paths, _ := filepath.Glob(filepath.Join(folder, "ptiffstore*.service")) // the pattern is valid
	var list []started
	for _, path := range paths {
		text, err := fsx.ReadFile(path, maxFile)
		if err != nil {
			continue
		}
		s := started{what: path, env: map[string]string{}, dir: "/"}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ExecStart":
				if words := unitWords(strings.TrimLeft(value, "-@:+!")); len(words) > 1 {
					s.args = words[1:]
				}
			case "Environment":
				for _, kv := range unitWords(value) {
					name, v, _ := strings.Cut(kv, "=")
					s.env[name] = v
				}
			case "EnvironmentFile":
				maps.Copy(s.env, environmentFile(strings.TrimPrefix(value, "-")))
			}
		}
		if serves(s.args) {
			list = append(list, s)
		}
	}
	return list
}

// unitWords splits a line of a unit, in which words may be quoted.
func unitWords(line string) []string {
	var words []string
	var word strings.Builder
	quote, in := rune(0), false
	for _, r := range strings.ReplaceAll(line, "%%", "%") {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, in = r, true
		case quote == 0 && r == ' ':
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

// environmentFile returns the variables of a file that systemd reads. It is empty if this
// user may not read it.
func environmentFile(path string) map[string]string {
	env := map[string]string{}
	text, _ := fsx.ReadFile(path, maxFile)
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		name, value, ok := strings.Cut(strings.TrimSpace(s.Text()), "=")
		if ok && !strings.HasPrefix(name, "#") && !strings.HasPrefix(name, ";") {
			env[name] = strings.Trim(value, `"'`)
		}
	}
	return env
}

// settings returns the flags with which the server was started, with its environment and its
// configuration file.
func (s started) settings() (flags serverFlags, host string, err error) {
	p, site := &program{}, &configFile{}
	parser := newParser(p, kong.Exit(func(int) {}), kong.Writers(io.Discard, io.Discard), kong.Bind(site),
		kong.NamedMapper("path", s.paths()), kong.NamedMapper("existingdir", s.paths()), kong.NamedMapper("existingfile", s.paths()))
	ctx, err := parser.Parse(s.line(parser.Model))
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
		switch base, home := s.env["XDG_DATA_HOME"], s.env["HOME"]; {
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

// line returns the arguments, with the variables of the environment as flags, and the path of
// the configuration file absolute.
func (s started) line(app *kong.Application) []string {
	args := slices.Clone(s.args)
	for i, a := range args {
		if file, ok := strings.CutPrefix(a, "--config="); ok {
			args[i] = "--config=" + s.absolute(file)
		} else if a == "--config" && i+1 < len(args) {
			args[i+1] = s.absolute(args[i+1])
		}
	}
	mode := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return slices.Contains(args, n.Name) && serves([]string{n.Name}) })
	if mode < 0 {
		return args
	}
	for _, f := range flagsOf(app.Children[mode]) {
		given := slices.ContainsFunc(args, func(a string) bool { return a == "--"+f.Name || strings.HasPrefix(a, "--"+f.Name+"=") })
		for _, name := range f.Tag.Envs {
			if value, ok := s.env[name]; ok && !given {
				if f.Name == "config" {
					value = s.absolute(value)
				}
				args = append(args, "--"+f.Name+"="+value)
			}
		}
	}
	return args
}

func (s started) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dir, path)
}

// paths maps paths relative to the server's folder. They need not exist any more.
func (s started) paths() kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		if target.Kind() != reflect.Slice {
			var path string
			err := ctx.Scan.PopValueInto("file", &path)
			target.SetString(s.absolute(path))
			return err
		}
		for more := true; more; more = ctx.Value.Flag == nil && ctx.Scan.Peek().IsValue() {
			var path string
			if err := ctx.Scan.PopValueInto("file", &path); err != nil {
				return err
			}
			target.Set(reflect.Append(target, reflect.ValueOf(s.absolute(path)).Convert(target.Type().Elem())))
		}
		return nil
	}
}

// adopt takes the settings of the machine's server, unless the command was given settings
// other than the data directory or the database, which choose one of several servers. It
// returns where the settings come from, and why those of a server could not be taken.
func (c *doctorCmd) adopt(m machine, given []setting) (origin string, doubt error) {
	for _, s := range given {
		if s.Origin != fromDefault && s.Key != "data" && s.Key != "database" {
			return "", nil
		}
	}
	var found []started
	var flags serverFlags
	var host string
	for _, s := range m.servers() {
		f, h, err := s.settings()
		switch {
		case err != nil && c.Data == "" && c.Database == "":
			doubt = fmt.Errorf("the settings of %s cannot be read: %w", s.what, err)
			continue
		case err != nil || c.Data != "" && !sameFolder(c.Data, f.Data) || c.Database != "" && c.Database != f.Database:
			continue
		case s.env == nil:
			doubt = fmt.Errorf("this user may not read the environment of %s, which may hold settings", s.what)
		}
		if len(found) > 0 && (!sameFolder(flags.Data, f.Data) || flags.Database != f.Database) {
			return "", fmt.Errorf("there are several servers with different data: %s and %s: give --data or --config of one", found[0].what, s.what)
		}
		if len(found) == 0 || slices.Contains(s.args, "serve") { // the server knows more than its tile server
			flags, host = f, h
		}
		found = append(found, s)
	}
	if len(found) == 0 {
		return "", doubt
	}
	c.serverFlags = flags
	if c.Host == "" {
		c.Host = host
	}
	return found[0].what, doubt
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
