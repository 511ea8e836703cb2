package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/slide"
	"github.com/slideatlas/ptiffstore/test/oidctest"
)

func TestMain(m *testing.M) {
	oidctest.Main()
	for _, kv := range os.Environ() { // flags are also read from the environment
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PTIFFSTORE_") && name != "PTIFFSTORE_TESTDATA" {
			os.Unsetenv(name)
		}
	}
	passwordCost = account.PasswordCost{Memory: 64, Passes: 1, Threads: 1} // see TestPasswordsOfProgram
	moreAtOnce()
	selectPart()
	code := m.Run()
	if slides.dir != "" {
		os.RemoveAll(slides.dir)
	}
	os.Exit(code)
}

// moreAtOnce makes more tests run at once than there are processors, unless -parallel is
// set: most tests wait for servers.
func moreAtOnce() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

// A slideFile is a slide that tests share and do not change.
type slideFile struct {
	name string
	make func(path string) (synth.Info, error)
	once sync.Once
	path string
	info synth.Info
	err  error
}

var slides struct {
	once sync.Once
	dir  string
	err  error
}

var (
	// philips has four levels, label, macro and barcode. Tiles of bare glass are left out.
	philips = &slideFile{name: "philips.tiff", make: synth.Philips{
		Seed: 3, Width: 2300, Height: 1700, Sparse: true, Barcode: "S-12", Label: true, Macro: true,
	}.Write}
	// plain has two levels, four times apart, and no associated images.
	plain = &slideFile{name: "plain.tiff", make: synth.Generic{Seed: 5, Width: 900, Height: 700, Ratio: 4}.Write}
	// profiled has a colour profile.
	profiled = &slideFile{name: "profile.tiff", make: synth.Generic{Seed: 7, Width: 900, Height: 700, ICC: synth.ScannerProfile()}.Write}
	// deflated has tiles that browsers do not support.
	deflated = &slideFile{name: "deflated.tiff", make: synth.Generic{Seed: 6, Width: 500, Height: 300, Codec: synth.Deflate}.Write}
)

// file creates the slide on first use, and returns its path.
func (f *slideFile) file(t *testing.T) string {
	t.Helper()
	slides.once.Do(func() { slides.dir, slides.err = os.MkdirTemp("", "ptiffstore-test-*") })
	if slides.err != nil {
		t.Fatal(slides.err)
	}
	f.once.Do(func() {
		f.path = filepath.Join(slides.dir, f.name)
		f.info, f.err = f.make(f.path)
	})
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.path
}

// open opens the slide beside the program.
func (f *slideFile) open(t *testing.T) *slide.Slide {
	t.Helper()
	file, err := os.Open(f.file(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	s, err := slide.Open(file, f.info.Size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bytes returns the content of the file.
func (f *slideFile) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(f.file(t))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var damages struct {
	once  sync.Once
	paths map[string]string
	err   error
}

// damaged returns the file of each class of [synth.Damages], by name.
func damaged(t *testing.T) map[string]string {
	t.Helper()
	plain.file(t) // creates the folder
	damages.once.Do(func() {
		damages.paths = map[string]string{}
		for _, d := range synth.Damages {
			if damages.paths[d.Name], damages.err = d.Make(slides.dir); damages.err != nil {
				return
			}
		}
	})
	if damages.err != nil {
		t.Fatal(damages.err)
	}
	return damages.paths
}

// A result is the result of a command.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d, out %.300q, err %.1000q", r.code, r.out, r.err)
}

// command runs the program in this process until it ends.
func command(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*soon) // a command that should fail may serve instead
	defer cancel()
	var out, errs bytes.Buffer
	code := run(ctx, args, streams{out: &out, err: &errs})
	return result{code, out.String(), errs.String()}
}

// TestHelp fails when the help of a command lacks an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	whole := command(t, "--help")
	if whole.code != exitOK || !strings.Contains(whole.out, "Exit codes: 0 ") {
		t.Errorf("--help: %v", whole)
	}
	if bare := command(t); bare != whole {
		t.Errorf("without arguments: %v, want the help", bare)
	}
	leaves := kong.Must(&program{}).Model.Leaves(true)
	if len(leaves) < 8 {
		t.Errorf("%d commands, want 8 at least", len(leaves))
	}
	for _, leaf := range leaves {
		name := leaf.Name
		for n := leaf.Parent; n.Parent != nil; n = n.Parent {
			name = n.Name + " " + name
		}
		r := command(t, append(strings.Fields(name), "--help")...)
		_, examples, ok := strings.Cut(strings.ReplaceAll(r.out, "\nExamples:\n", "\nExample:\n"), "\nExample:\n")
		if r.code != exitOK || r.err != "" || !ok || !strings.Contains(examples, "\n    ptiffstore "+name) {
			t.Errorf("%s --help: %v, want an example", name, r)
		}
	}
}

// TestUsage passes invalid command lines.
func TestUsage(t *testing.T) {
	t.Parallel()
	file := plain.file(t)
	for _, tt := range []struct {
		name string
		args []string
		want string // in the text on standard error
	}{
		{"no such command", []string{"paint"}, "unexpected argument paint"},
		{"no such flag", []string{"inspect", file, "--loud"}, "unknown flag --loud"},
		{"no file", []string{"inspect"}, `expected "<file>"`},
		{"zoom is no number", []string{"tile", file, "x", "0", "0"}, `"x"`},
		{"no row", []string{"tile", file, "0", "0"}, `expected "<y>"`},
		{"no such picture", []string{"associated", file, "barcode"}, `must be one of "label","macro","thumbnail"`},
		{"no height", []string{"preview", file, "--height", "0"}, "1 to 2048"},
		{"vast height", []string{"preview", file, "--height", "2049"}, "1 to 2048"},
		{"no such folder", []string{"serve", filepath.Join(t.TempDir(), "none")}, "no such file or directory"},
		{"file for a folder", []string{"serve", file}, "not a directory"},
		{"log level", []string{"serve", "--log-level", "loud"}, "--log-level must be one of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := command(t, tt.args...)
			if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, tt.want) || !strings.HasSuffix(r.err, "Try ptiffstore --help.\n") {
				t.Errorf("%v, want exit code %d and %q", r, exitUsage, tt.want)
			}
		})
	}
}

// TestContradictions passes command lines that cannot be right with any catalog, although
// each of their flags is valid. They fail before anything is read or created.
func TestContradictions(t *testing.T) {
	t.Parallel()
	data := "--data=" + filepath.Join(t.TempDir(), "data")
	for _, tt := range []struct {
		want string // in the text on standard error
		args []string
	}{
		{"use --user or --group", []string{"grant", "add", "--role=viewer", "--everything", data}},
		{"use --store, --image or --everything", []string{"grant", "add", "--role=viewer", "--user=anna", data}},
		{"nothing to change", []string{"store", "set", "Scanner 1", data}},
		{"nothing to change", []string{"image", "set", "x", data}},
		{"nothing to change", []string{"user", "set", "anna", data}},
		{"nothing to change", []string{"group", "set", "students", data}},
		{"use --managed too", []string{"store", "add", t.TempDir(), "--incoming", t.TempDir(), data}},
		{"--quota: invalid size", []string{"store", "add", t.TempDir(), "--managed", "--quota=much", data}},
		{"--no-password cannot be combined", []string{"user", "add", "anna", "--no-password", "--admin", data}},
		{"--expires \"soon\" is not a time", []string{"token", "add", "--user=anna", "--expires=soon", data}},
		{"use its id", []string{"token", "remove", account.TokenPrefix + "x", data}},
		{"--parallel must be at least 1", []string{"upload", "x.tiff", "--parallel=0"}},
		{"--to: ", []string{"upload", "x.tiff", "--to=http://[::1"}},
		{"--listen 8080: ", []string{"ready", "--listen=8080"}},
		{"--trace-share 2: ", []string{"serve", "--trace-share=2", data}},
		{"--time-zone Mars: ", []string{"serve", "--time-zone=Mars", data}},
		{"--oidc-label has no effect", []string{"serve", "--oidc-label=x", data}},
		{"--trusted-proxy ", []string{"serve", "--trusted-proxy=x", "--auth=local", data}},
		{"no configuration file given", []string{"config", "check"}},
		{"invalid name of a site", []string{"deploy", "systemd", "--site=../x", "-o", t.TempDir()}},
	} {
		r := command(t, tt.args...)
		if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, tt.want) {
			t.Errorf("%q: %v, want exit code %d and %q", tt.args, r, exitUsage, tt.want)
		}
	}
}

// TestCommandsSorted fails when the list of commands of a group, or the subcommands of a
// command, are not in alphabetical order.
func TestCommandsSorted(t *testing.T) {
	t.Parallel()
	groups := map[string][]string{}
	err := kong.Visit(kong.Must(&program{}).Model, func(n kong.Visitable, next kong.Next) error {
		if node, ok := n.(*kong.Node); ok && node.Parent != nil {
			group := node.Parent.FullPath()
			if node.Group != nil {
				group += "/" + node.Group.Key
			}
			groups[group] = append(groups[group], node.Name)
		}
		return next(nil)
	})
	if err != nil || len(groups) < 10 {
		t.Fatalf("%v, groups %v", err, groups)
	}
	for group, names := range groups {
		if !slices.IsSorted(names) {
			t.Errorf("the commands of %s are not sorted: %v", group, names)
		}
	}
}

// TestFlagsFromEnvironment sets a setting of a process as a unit file would. Flags that only
// one command has are not read from the environment.
func TestFlagsFromEnvironment(t *testing.T) {
	t.Setenv("PTIFFSTORE_DATA", newCatalog(t))
	t.Setenv("PTIFFSTORE_JSON", "true")
	t.Setenv("PTIFFSTORE_LABEL", "from the environment")
	id := done(t, "store", "add", t.TempDir())
	if out := done(t, "store", "list"); !strings.Contains(out, id) || strings.HasPrefix(out, "{") || strings.Contains(out, "environment") {
		t.Errorf("store list prints %s, want a table with store %s", out, id)
	}
}

// TestInterrupted asks for a tile that has to be rendered, with a canceled context.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"tile", plain.file(t), "1", "0", "0"}, streams{out: &out, err: &errs})
	if code != exitFailure || out.Len() > 0 || !strings.Contains(errs.String(), "canceled") {
		t.Errorf("exit code %d, %d bytes, %q: want %d and no tile", code, out.Len(), errs.String(), exitFailure)
	}
}

// copyOf returns a function that copies a slide from a file.
func copyOf(from string) func(string) (synth.Info, error) {
	return func(path string) (synth.Info, error) {
		b, err := os.ReadFile(from)
		if err != nil {
			return synth.Info{}, err
		}
		return synth.Info{Path: path, Size: int64(len(b))}, os.WriteFile(path, b, 0o644)
	}
}
