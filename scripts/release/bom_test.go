package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestLibrariesInBillOfMaterials checks that the libraries in C are listed with the versions of
// their packages, for the test's own program.
func TestLibrariesInBillOfMaterials(t *testing.T) {
	r := sample(t)
	libraries, err := cLibraries(runtime.GOARCH)
	if err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.billOfMaterials(test, libraries)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct{ Components []component }
	if err := json.Unmarshal(b, &bom); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"libjpeg-turbo", "OpenJPEG", "GNU C Library"} {
		found := false
		for _, c := range bom.Components {
			if c.Name == name {
				found = c.Version != "" && !strings.ContainsAny(c.Version, ":-") && strings.HasPrefix(c.PURL, "pkg:deb/debian/")
			}
		}
		if !found {
			t.Errorf("%s is not listed with its version: %v", name, libraries)
		}
	}
}

func TestCompilers(t *testing.T) {
	for _, target := range targets {
		if got, want := compilers[target] != "", strings.HasPrefix(target, "linux/"); got != want {
			t.Errorf("%s has a C compiler: %v, want %v", target, got, want)
		}
	}
	if native, err := linksC("darwin/arm64"); native || err != nil {
		t.Errorf("darwin/arm64 is native: %v, %v", native, err)
	}
}
