// Package instance finds the servers of a machine, and the arguments and the environment with
// which they were started: the running ones in the process table, or else those of systemd's
// units.
package instance

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A Machine is a host on which servers may run.
type Machine struct {
	Proc  string   // the process table; only Linux has one
	Units []string // folders of systemd's units, by precedence
}

// Local is the machine of this process.
var Local = Machine{Proc: "/proc", Units: []string{"/etc/systemd/system", "/usr/lib/systemd/system"}}

// An Instance is a server, and how it was started or would be by its unit.
type Instance struct {
	Name string            // "process 12", or the path of a unit
	Args []string          // without the name of the program
	Env  map[string]string // nil if this user may not read it
	Dir  string            // to which paths are relative
}

// Absolute returns a path of the instance's settings as an absolute path; "" stays "".
func (i *Instance) Absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(i.Dir, path)
}

// maxFile bounds what is read of a process and of a unit.
const maxFile = 1 << 20

// Servers returns the servers that run on the machine, except this process, or else those of
// its units.
func (m Machine) Servers() []*Instance {
	if list := m.processes(); len(list) > 0 {
		return list
	}
	for _, folder := range m.Units {
		if list := unitsIn(folder); len(list) > 0 {
			return list
		}
	}
	return nil
}

// Serves reports whether arguments start a server.
func Serves(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "serve" || a == "demo" || a == "tileserver" }) &&
		!slices.Contains(args, "--help")
}

func (m Machine) processes() []*Instance {
	paths, _ := filepath.Glob(filepath.Join(m.Proc, "[0-9]*", "cmdline")) // the pattern is valid
	var list []*Instance
	for _, path := range paths {
		b, err := readSome(path)
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		pid := filepath.Base(filepath.Dir(path))
		if err != nil || pid == strconv.Itoa(os.Getpid()) || !strings.HasPrefix(filepath.Base(args[0]), "ptiffstore") || !Serves(args[1:]) {
			continue
		}
		s := &Instance{Name: "process " + pid, Args: args[1:]}
		if b, err := readSome(filepath.Join(filepath.Dir(path), "environ")); err == nil {
			s.Env = map[string]string{}
			for kv := range strings.SplitSeq(string(b), "\x00") {
				name, value, _ := strings.Cut(kv, "=")
				s.Env[name] = value
			}
		}
		if s.Dir, err = os.Readlink(filepath.Join(filepath.Dir(path), "cwd")); err != nil {
			s.Dir = "/"
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
func unitsIn(folder string) []*Instance {
	paths, _ := filepath.Glob(filepath.Join(folder, "ptiffstore*.service")) // the pattern is valid
	var list []*Instance
	for _, path := range paths {
		text, err := fsx.ReadFile(path, maxFile)
		if err != nil {
			continue
		}
		s := &Instance{Name: path, Env: map[string]string{}, Dir: "/"}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ExecStart":
				if words := unitWords(strings.TrimLeft(value, "-@:+!")); len(words) > 1 {
					s.Args = words[1:]
				}
			case "Environment":
				for _, kv := range unitWords(value) {
					name, v, _ := strings.Cut(kv, "=")
					s.Env[name] = v
				}
			case "EnvironmentFile":
				maps.Copy(s.Env, environmentFile(strings.TrimPrefix(value, "-")))
			}
		}
		if Serves(s.Args) {
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
