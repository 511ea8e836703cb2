package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestPythonVersion(t *testing.T) {
	for in, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2": "1.2", "v1.2.3-4-g0abc": "1.2.3+4.g0abc", "v1.2.3-rc.1": "1.2.3rc1", "v1.2.3-rc1-2-g0abc": "1.2.3rc1+2.g0abc",
		"v1.2.3-4-g0abc-dirty": "1.2.3+4.g0abc.dirty", "0abcdef": "0+0abcdef", "devel": "0+devel", "0.9.0-dev": "0.9.0.dev0", "v0.9.0-dev+0abcdef": "0.9.0.dev0+0abcdef",
	} {
		if got := pythonVersion(in); got != want {
			t.Errorf("pythonVersion(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestWheel builds the wheel twice, unpacks it with Python, compares its record with its
// files, and imports its packages.
func TestWheel(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	name, content, err := wheel("../../clients/python", "../../LICENSE", "v1.2.3-4-g0abc", at)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ptiffstore-1.2.3+4.g0abc-py3-none-any.whl"; name != want {
		t.Errorf("name %q, want %q", name, want)
	}
	_, again, err := wheel("../../clients/python", "../../LICENSE", "v1.2.3-4-g0abc", at)
	if err != nil || !bytes.Equal(content, again) {
		t.Errorf("the second wheel differs (%v)", err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed (Debian: python3)")
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `
import base64, csv, hashlib, io, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert not z.testzip()
info = "ptiffstore-1.2.3+4.g0abc.dist-info/"
rows = list(csv.reader(io.StringIO(z.read(info + "RECORD").decode())))
assert [r[0] for r in rows] == z.namelist(), rows
for name, digest, size in rows:
    if name != info + "RECORD":
        b = z.read(name)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b"=").decode(), name
        assert int(size) == len(b), name
sys.path.insert(0, sys.argv[1])
from importlib import metadata
d, = metadata.distributions(path=[sys.argv[1]])
assert (d.metadata["Name"], d.version, d.metadata["Requires-Python"]) == ("ptiffstore", "1.2.3+4.g0abc", ">=3.8"), d.metadata
import ptiffstore, slideatlas.tasks.autosync
assert slideatlas.tasks.sync_store is slideatlas.tasks.autosync.sync_store
assert sys.argv[1] in slideatlas.tasks.__file__
`
	if out, err := exec.Command(python, "-B", "-I", "-c", script, file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSourceArchive builds the source archive twice, and compares its packages with those of the wheel.
func TestSourceArchive(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	name, content, err := sourceArchive("../../clients/python", "../../LICENSE", "v1.2.3", at)
	if err != nil || name != "ptiffstore-1.2.3.tar.gz" {
		t.Fatalf("name %q, %v", name, err)
	}
	if _, again, err := sourceArchive("../../clients/python", "../../LICENSE", "v1.2.3", at); err != nil || !bytes.Equal(content, again) {
		t.Errorf("the second archive differs (%v)", err)
	}
	_, wheel, err := wheel("../../clients/python", "../../LICENSE", "v1.2.3", at)
	if err != nil {
		t.Fatal(err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed (Debian: python3)")
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"a.tar.gz": content, "a.whl": wheel} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const script = `
import sys, tarfile, zipfile
t, z = tarfile.open(sys.argv[1] + "/a.tar.gz"), zipfile.ZipFile(sys.argv[1] + "/a.whl")
read = lambda name: t.extractfile("ptiffstore-1.2.3/" + name).read()
assert b'version = "1.2.3"' in read("pyproject.toml")
assert b"\nName: ptiffstore\nVersion: 1.2.3\n" in read("PKG-INFO")
modules = [name for name in z.namelist() if name.endswith(".py")]
assert len(modules) > 5
for name in modules:
    assert read(name) == z.read(name), name
`
	if out, err := exec.Command(python, "-B", "-I", "-c", script, dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
