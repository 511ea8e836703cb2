package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/slideatlas/ptiffstore/test/helmtest"
)

var updateHelm = flag.Bool("update-helm", false, "write the manifests of the Helm chart to its testdata")

// A manifest has the fields of an object of Kubernetes that these tests read.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Name string
					Args []string
					Env  []struct{ Name, Value string }
				}
			}
		}
	}
}

// charts is the folder of the Helm chart.
var charts = filepath.Join("..", "..", "docs", "examples", "helm")

// TestHelmChart lints the chart and renders it for three sites: the manifests are those of its
// testdata. It needs Helm, whose build takes minutes: make lint runs it.
func TestHelmChart(t *testing.T) {
	if os.Getenv("PTIFFSTORE_HELM") == "" && !*updateHelm {
		t.Skip("make lint runs it")
	}
	chart := filepath.Join(charts, "ptiffstore")
	helmtest.Run(t, "lint", "--strict", chart)
	for _, site := range []string{"default", "bucket", "aws"} {
		args := []string{"template", "slides", chart, "--namespace", "pathology", "--kube-version", "1.30.0"}
		if values := filepath.Join(charts, "testdata", site+".yaml"); site != "default" {
			args = append(args, "--values", values)
		}
		got := helmtest.Run(t, args...)
		golden := filepath.Join(charts, "testdata", site+".golden.yaml")
		if *updateHelm {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, site, string(want), got)
	}
}

// TestHelmManifests checks the manifests of three sites: their command lines are ones of the
// program, their variables say something to it, and their configuration file is valid.
func TestHelmManifests(t *testing.T) {
	t.Parallel()
	for _, site := range []string{"default", "bucket", "aws"} {
		text, err := os.ReadFile(filepath.Join(charts, "testdata", site+".golden.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		kinds := checkManifests(t, string(text))
		if !slices.Contains(kinds, "Deployment") || site == "bucket" != slices.Contains(kinds, "Ingress") || site == "aws" != slices.Contains(kinds, "HorizontalPodAutoscaler") {
			t.Errorf("%s has %q", site, kinds)
		}
	}
}

// checkManifests checks what objects say to the program, and returns their kinds.
func checkManifests(t *testing.T, text string) (kinds []string) {
	t.Helper()
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		var m manifest
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return kinds
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, m.Kind)
		if file, ok := m.Data["ptiffstore.yaml"]; ok {
			path := filepath.Join(t.TempDir(), "ptiffstore.yaml")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := command(t, "config", "check", "--config", path); r.code != exitOK {
				t.Errorf("the configuration file: %v", r)
			}
		}
		for _, c := range m.Spec.Template.Spec.Containers {
			if _, err := newParser(&program{}).Parse(c.Args); err != nil {
				t.Errorf("%s: %q: %v", m.Metadata.Name, c.Args, err)
			}
			for _, e := range c.Env {
				if !knownVariable(e.Name) {
					t.Errorf("%s has the variable %s, which says nothing to the program", m.Metadata.Name, e.Name)
				}
			}
		}
	}
}
