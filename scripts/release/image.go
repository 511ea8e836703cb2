package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// unprivileged is the id of the user and the group of the image, which owns its data.
const unprivileged = 65532

// image returns an image as docker load and podman load read it: the program and the
// certificates of the public authorities, and nothing else.
func (r *release) image(processor string, program []byte) ([]byte, error) {
	base, err := r.baseLayer()
	if err != nil {
		return nil, err
	}
	var layers []v1.Layer
	// The program comes last: the layers below it are the same for many releases.
	for _, files := range [][]layerFile{base, {{name: "ptiffstore", mode: 0o755, content: program}}} {
		layer, err := r.layer(files)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	if img, err = mutate.ConfigFile(img, r.imageConfig(img, processor)); err != nil {
		return nil, err
	}
	tag, err := name.NewTag("ptiffstore:" + imageTag(r.version))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// imageTag returns a version as the tag of an image, in which + is not allowed.
func imageTag(version string) string {
	return strings.ReplaceAll(strings.TrimPrefix(version, "v"), "+", "-")
}

// imageConfig returns the configuration of an image with the layers of img.
func (r *release) imageConfig(img v1.Image, processor string) *v1.ConfigFile {
	c, _ := img.ConfigFile() // of an image in memory
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created, c.Author = "linux", processor, v1.Time{Time: r.at}, home
	for i := range c.History {
		c.History[i].Created = c.Created
	}
	c.Config = v1.Config{
		User:         "65532:65532",
		Env:          []string{"PATH=/", "HOME=/data", "PTIFFSTORE_DATA=/data", "PTIFFSTORE_LISTEN=0.0.0.0:8080"},
		Entrypoint:   []string{"/ptiffstore"},
		Cmd:          []string{"serve", "--auth", "local", "--drain", "5s"},
		Volumes:      map[string]struct{}{"/data": {}},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		StopSignal:   "SIGTERM",
		WorkingDir:   "/data",
		// Workers do not listen on a port: the check must be disabled for them.
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", "/ptiffstore", "ready"}, Interval: 10 * time.Second, Timeout: 5 * time.Second, StartPeriod: 30 * time.Second,
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":         "ptiffstore",
			"org.opencontainers.image.description":   strings.SplitN(description, "\n", 2)[0],
			"org.opencontainers.image.version":       r.version,
			"org.opencontainers.image.created":       r.at.Format(time.RFC3339),
			"org.opencontainers.image.source":        home,
			"org.opencontainers.image.documentation": home + "/blob/main/docs/deployment.md",
			"org.opencontainers.image.licenses":      "Apache-2.0",
		},
	}
	if r.revision != "" {
		c.Config.Labels["org.opencontainers.image.revision"] = r.revision
	}
	return c
}

// A layerFile is a file or folder of a layer.
type layerFile struct {
	name    string // a folder's ends with a slash
	mode    int64
	owner   int
	content []byte
}

// baseLayer returns what the program needs beside itself. Time zones are in the program.
func (r *release) baseLayer() ([]layerFile, error) {
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return nil, err
	}
	notices, err := os.ReadFile("internal/licenses/licenses.txt")
	if err != nil {
		return nil, err
	}
	return []layerFile{
		{name: "tmp/", mode: 0o1777},
		{name: "data/", mode: 0o700, owner: unprivileged},
		{name: "etc/", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/none\nptiffstore:x:65532:65532:ptiffstore:/data:/none\n")},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nptiffstore:x:65532:\n")},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()},
		{name: "LICENSE", mode: 0o644, content: license},
		{name: "NOTICES.txt", mode: 0o644, content: notices},
	}, nil
}

// authorities returns the certificates of the public authorities that Mozilla trusts, as of
// the version of their module. Those whose new certificates are not trusted are left out: a
// file of certificates cannot say so.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return b.Bytes()
}

// layer returns a layer with these files.
func (r *release) layer(list []layerFile) (v1.Layer, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, f := range list {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)), ModTime: r.at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}
