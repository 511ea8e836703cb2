// Package program builds programs of other projects for tests, each from a module of its own, so
// that this module does not depend on what they need. A program is built once and stays in the
// folder for temporary files: linking it takes longer than most tests.
package program

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// ErrBuild reports a program that cannot be built, for example without a network.
var ErrBuild = errors.New("cannot build a program for tests")

// Build returns the path of a program. Module is the folder of its module in this one, such as
// "test/s3test/versitygw", and pkg the import path of its package main, "." for that of the folder.
func Build(module, pkg string) (string, error) {
	source, err := sourceDir(module)
	if err != nil {
		return "", err
	}
	sum, err := digest(source)
	if err != nil {
		return "", err
	}
	name := path.Base(module)
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("ptiffstore-%s-%d-%s-%x", name, os.Getuid(), runtime.Version(), sum[:8]))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := private(dir); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	fsx.Lock(lock) // the tests of several packages run at once
	program := filepath.Join(dir, name)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program+".new", pkg)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s: %w\n%s", ErrBuild, name, err, out)
	}
	return program, os.Rename(program+".new", program)
}

// digest is a digest of what the program is built from.
func digest(source string) ([]byte, error) {
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil && !(errors.Is(err, fs.ErrNotExist) && name == "main.go") {
			return nil, err
		}
		sum.Write(b)
	}
	return sum.Sum(nil), nil
}

// sourceDir returns the folder of the module of a program. Tests are built with -trimpath and
// run in the folder of their package.
func sourceDir(module string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		source := filepath.Join(dir, filepath.FromSlash(module))
		if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
			return source, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("there is no module %s above the current folder", module)
		}
		dir = filepath.Dir(dir)
	}
}

// private returns an error unless the folder belongs to this user: another one could have
// put a program there.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); !ok || !fi.IsDir() || int(s.Uid) != os.Getuid() || fi.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to another user", dir)
	}
	return nil
}
