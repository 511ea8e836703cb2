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
