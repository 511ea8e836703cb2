package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImage reads the archive of an image as docker load does: its layers, and what a
// container is started with.
func TestImage(t *testing.T) {
	r := sample(t)
	archive, err := r.image("arm64", []byte(program))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.image("arm64", []byte(program)); err != nil || !bytes.Equal(again, archive) {
		t.Errorf("the second image differs (%v)", err)
	}
	tag, err := name.NewTag("ptiffstore:0.9.0-dev-0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c.OS != "linux" || c.Architecture != "arm64" || !c.Created.Equal(r.at) {
		t.Errorf("system %s/%s of %v", c.OS, c.Architecture, c.Created)
	}
	if c.Config.User != "65532:65532" || c.Config.StopSignal != "SIGTERM" || c.Config.Healthcheck == nil ||
		c.Config.Labels["org.opencontainers.image.version"] != r.version || c.Config.Labels["org.opencontainers.image.revision"] != r.revision {
		t.Errorf("configuration %+v", c.Config)
	}
	if diff := cmp.Diff(map[string]struct{}{"/data": {}}, c.Config.Volumes); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	files := readLayers(t, img)
	want := map[string]string{
		"LICENSE": "-rw-r--r-- 0:0", "NOTICES.txt": "-rw-r--r-- 0:0", "tmp/": "dtrwxrwxrwx 0:0", "data/": "drwx------ 65532:65532", "ptiffstore": "-rwxr-xr-x 0:0",
		"etc/": "drwxr-xr-x 0:0", "etc/passwd": "-rw-r--r-- 0:0", "etc/group": "-rw-r--r-- 0:0",
		"etc/ssl/": "drwxr-xr-x 0:0", "etc/ssl/certs/": "drwxr-xr-x 0:0", "etc/ssl/certs/ca-certificates.crt": "-rw-r--r-- 0:0",
	}
	got := map[string]string{}
	for name, f := range files {
		got[name] = f.mode
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if string(files["ptiffstore"].content) != program {
		t.Error("the program differs")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(files["etc/ssl/certs/ca-certificates.crt"].content) || bytes.Count(files["etc/ssl/certs/ca-certificates.crt"].content, []byte("BEGIN CERTIFICATE")) < 80 {
		t.Error("the certificates of the public authorities are not complete")
	}
}

type imageFile struct {
	mode    string // with owner and group
	content []byte
}

func readLayers(t *testing.T, img v1.Image) map[string]imageFile {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]imageFile{}
	for _, layer := range layers {
		rc, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		for tr := tar.NewReader(rc); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = imageFile{fmt.Sprintf("%v %d:%d", h.FileInfo().Mode(), h.Uid, h.Gid), content}
		}
	}
	return files
}
