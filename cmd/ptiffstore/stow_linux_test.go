package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/test/dicomtest"
	"github.com/slideatlas/ptiffstore/test/slidetest"
)

// instancesBody is the body of a request with DICOM instances, and its Content-Type.
func instancesBody(t *testing.T, files ...[]byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range files {
		p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/dicom"}})
		if err != nil {
			t.Fatal(err)
		}
		p.Write(f)
	}
	w.Close()
	return b.Bytes(), `multipart/related; type="application/dicom"; boundary=` + w.Boundary()
}

// send sends a body with STOW-RS, and returns the status; 0 if the connection broke.
func (p *process) send(body io.Reader, contentType string) int {
	resp, err := p.client.Post(p.url+"/dicom-web/studies", contentType, body)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// dicomValues returns the values of a tag in the objects of an answer of QIDO-RS.
func (p *process) dicomValues(path, tag string) (list []string) {
	p.t.Helper()
	var objects []map[string]struct{ Value []any }
	if a := p.get(path); json.Unmarshal([]byte(a.body), &objects) != nil || a.status != 200 {
		return nil
	}
	for _, o := range objects {
		if v := o[tag].Value; len(v) == 1 {
			list = append(list, fmt.Sprint(v[0]))
		}
	}
	return list
}

// TestStow sends a series with STOW-RS to a server that is killed while it receives, after it has
// acknowledged, and while it imports. The series becomes one slide, and is served by all routes;
// nothing is left beside it.
func TestStow(t *testing.T) {
	t.Parallel()
	root, data := filepath.Join(slidesIn(t, nil), "archive"), t.TempDir()
	store := strings.TrimSpace(command(t, "store", "add", root, "--managed", "--data", data).out)
	files := dicomtest.Series(t, "1.1", slidetest.Pyramid{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	begin := func() *process { return launchAt(t, addr, "serve", "--data", data, "--stow-store", store) }

	// Killed in the middle of the second instance.
	p := begin()
	body, contentType := instancesBody(t, files...)
	r, w := io.Pipe()
	status := make(chan int)
	go func() { status <- p.send(r, contentType) }()
	w.Write(body[:len(files[0])+len(files[1])/2])
	first := filepath.Join(root, "incoming/1.1")
	p.until("the first instance", func() bool { list, _ := os.ReadDir(first); return len(list) == 1 })
	p.end(syscall.SIGKILL)
	w.CloseWithError(io.ErrUnexpectedEOF)
	if got := <-status; got != 0 {
		t.Errorf("the interrupted request: status %d", got)
	}

	// Killed after the acknowledgement.
	p = begin()
	if got := p.send(bytes.NewReader(body), contentType); got != 200 {
		t.Fatalf("status %d: %s", got, p.log)
	}
	p.end(syscall.SIGKILL)

	// Killed when the import may have begun.
	p = begin()
	image := p.available("1.1")
	p.end(syscall.SIGKILL)
	p = begin()
	folder := filepath.Dir(filepath.Join(root, managed.SeriesPath("1.1")))
	p.until("the import", func() bool { list, _ := os.ReadDir(folder); return len(list) == len(files) })
	if now := p.available("1.1"); now.ID != image.ID {
		t.Errorf("image %s, was %s", now.ID, image.ID)
	}
	if n := len(p.images()); n != 1 {
		t.Errorf("%d images", n)
	}
	for _, dir := range []string{"incoming", "staging", "quarantine", "trash"} {
		filepath.WalkDir(filepath.Join(root, dir), func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !strings.Contains(path, "/.ptiffstore-stow/") {
				t.Errorf("left: %s", strings.TrimPrefix(path, root))
			}
			return nil
		})
	}

	p.checkSeries(image.ID)
	if got := p.send(bytes.NewReader(body), contentType); got != 200 {
		t.Errorf("the series again: status %d", got)
	}
	changed := bytes.Clone(files[0])
	changed[len(changed)-30] ^= 1
	other, contentType := instancesBody(t, changed)
	if got := p.send(bytes.NewReader(other), contentType); got != 409 {
		t.Errorf("another data set: status %d", got)
	}
	if list, _ := os.ReadDir(first); len(list) > 0 {
		t.Errorf("%d files in the incoming folder", len(list))
	}
}

// checkSeries requests a tile of the only slide from the API and from DICOMweb.
func (p *process) checkSeries(image string) {
	p.t.Helper()
	tile := p.get("/api/v1/images/" + image + "/tiles/2/1/0")
	if tile.status != 200 {
		p.t.Fatalf("tile: %d %s", tile.status, tile.body)
	}
	study, series := p.dicomValues("/dicom-web/studies", "0020000D"), p.dicomValues("/dicom-web/series", "0020000E")
	if len(study) != 1 || len(series) != 1 {
		p.t.Fatalf("studies %q, series %q", study, series)
	}
	at := "/dicom-web/studies/" + study[0] + "/series/" + series[0] + "/instances"
	instances := p.dicomValues(at, "00080018")
	if len(instances) != 3 {
		p.t.Fatalf("instances %q", instances)
	}
	found := 0
	for _, i := range instances {
		req, err := http.NewRequestWithContext(p.t.Context(), "GET", p.url+at+"/"+i+"/frames/2", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		resp, err := p.client.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		_, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if part, err := multipart.NewReader(resp.Body, params["boundary"]).NextPart(); err == nil {
			if b, _ := io.ReadAll(part); string(b) == tile.body {
				found++
			}
		}
		resp.Body.Close()
	}
	if found == 0 { // small levels may have equal tiles
		p.t.Error("the tile is a frame of no instance")
	}
}
