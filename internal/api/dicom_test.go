package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/nethttp"
	"github.com/slideatlas/ptiffstore/slide"
)

// An object is a DICOM object in the JSON model.
type object map[string]struct {
	VR          string `json:"vr"`
	Value       []any
	BulkDataURI string
}

// value returns the first value of an attribute as text.
func (o object) value(t dicom.Tag) string {
	e, ok := o[t.String()]
	switch {
	case !ok:
		return "absent"
	case len(e.Value) == 0:
		return ""
	}
	return fmt.Sprint(e.Value[0])
}

// objects returns the objects of an answer.
func objects(t *testing.T, a answer) []object {
	t.Helper()
	var list []object
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return list
}

// parts returns the parts of a multipart answer.
func parts(t *testing.T, a answer) (bodies [][]byte, types []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "multipart/related" {
		t.Fatalf("%d %q: %v", a.status, a.header.Get("Content-Type"), err)
	}
	m := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for {
		p, err := m.NextPart()
		if err == io.EOF {
			return bodies, types
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		bodies, types = append(bodies, b), append(types, p.Header.Get("Content-Type"))
	}
}

// values returns the first values of an attribute of objects.
func values(list []object, t dicom.Tag) (out []string) {
	for _, o := range list {
		out = append(out, o.value(t))
	}
	return out
}

func TestDICOMweb(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true, Barcode: "S26-1"}})["a.tiff"]
	study, series := dicom.StudyUID(id), dicom.SeriesUID(id)
	found := objects(t, st.get("/dicom-web/studies?ModalitiesInStudy=SM"))
	if diff := cmp.Diff([]string{study}, values(found, dicom.StudyInstanceUID)); diff != "" {
		t.Fatal(diff)
	}
	found = objects(t, st.get("/dicom-web/series?Modality=SM&StudyInstanceUID="+study))
	if diff := cmp.Diff([]string{series}, values(found, dicom.SeriesInstanceUID)); diff != "" {
		t.Fatal(diff)
	}
	at := "/dicom-web/studies/" + study + "/series/" + series
	list := objects(t, st.get(at+"/metadata"))
	instances := objects(t, st.get("/dicom-web/studies/"+study+"/instances"))
	if diff := cmp.Diff(values(list, dicom.SOPInstanceUID), values(instances, dicom.SOPInstanceUID)); diff != "" {
		t.Errorf("instances of metadata and search: %s", diff)
	}
	for n, o := range list {
		if n > 1 {
			break
		}
		stored := st.get(fmt.Sprintf("/apiv1/slides/%s/1/0/%d", id, n)).body
		path := at + "/instances/" + o.value(dicom.SOPInstanceUID) + "/frames/"
		for _, accept := range []string{`multipart/related; type="application/octet-stream"; transfer-syntax=*`, "", "*/*", `multipart/related; type=image/jpeg; transfer-syntax="1.2.840.10008.1.2.4.50"`} {
			a := st.ask("GET", path+"2", "", "Accept", accept)
			bodies, types := parts(t, a)
			if len(bodies) != 1 || !bytes.Equal(bodies[0], stored) || types[0] != "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50" {
				t.Errorf("%s: %d parts %v", accept, len(bodies), types)
			}
			if b := st.ask("GET", path+"2", "", "Accept", accept, "If-None-Match", a.header.Get("Etag")); b.status != http.StatusNotModified || len(b.body) > 0 {
				t.Errorf("%s: %d again", accept, b.status)
			}
		}
		if a := st.ask("GET", path+"2", "", "Accept", "image/jpeg"); !bytes.Equal(a.body, stored) || a.header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("single: %d %v", a.status, a.header)
		}
		bodies, _ := parts(t, st.get(path+"1,2,1"))
		if len(bodies) != 3 || !bytes.Equal(bodies[1], stored) || !bytes.Equal(bodies[0], bodies[2]) {
			t.Errorf("list: %d parts", len(bodies))
		}
		for list, want := range map[string]int{"0": 400, "x": 400, "1,": 400, "9999": 404, "1,9999": 404} {
			if a := st.get(path + list); a.status != want {
				t.Errorf("frames %s: %d, want %d", list, a.status, want)
			}
		}
		for _, accept := range []string{"text/html", "image/jp2", `multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.90`} {
			if a := st.ask("GET", path+"1", "", "Accept", accept); a.status != http.StatusNotAcceptable {
				t.Errorf("%s: %d", accept, a.status)
			}
		}
	}
	if a := st.get(at + "/metadata"); len(a.body) > 8<<10*len(list) { // the same for any number of frames
		t.Errorf("the attributes of %d instances have %d bytes", len(list), len(a.body))
	}
	icc := list[0]["00480105"].Value[0].(map[string]any)["00282000"].(map[string]any)["BulkDataURI"].(string)
	if !strings.HasPrefix(icc, st.url+at) {
		t.Errorf("address of the profile %q", icc)
	}
	bodies, _ := parts(t, st.get(strings.TrimPrefix(icc, st.url)))
	if len(bodies) != 1 || len(bodies[0]) < 128 || string(bodies[0][12:16]) != "scnr" {
		t.Errorf("profile: %d parts", len(bodies))
	}
}

// TestDICOMFiles compares the files of an answer with those of an export.
func TestDICOMFiles(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true, Barcode: "S26-1", Sparse: true}})["a.tiff"]
	f, err := os.Open(st.path("slides/a.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := slide.Open(f, fi.Size())
	if err != nil {
		t.Fatal(err)
	}
	d, err := dicom.NewSeries(s, dicom.Options{ID: id, Patient: &dicom.Patient{Container: s.Barcode, Label: true, Macro: true}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := d.Export(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	at := "/dicom-web/studies/" + d.StudyUID + "/series/" + d.UID
	all, types := parts(t, st.get(at))
	if len(all) != len(d.Instances) {
		t.Fatalf("%d files, want %d", len(all), len(d.Instances))
	}
	for i, in := range d.Instances {
		want, err := os.ReadFile(filepath.Join(dir, in.UID+".dcm"))
		if err != nil {
			t.Fatal(err)
		}
		one := st.ask("GET", at+"/instances/"+in.UID, "", "Accept", "application/dicom")
		if !bytes.Equal(all[i], want) || types[i] != "application/dicom" || !bytes.Equal(one.body, want) || one.header.Get("Content-Length") != strconv.Itoa(len(want)) {
			t.Errorf("%s %d: %d and %d bytes, want %d; %d %v", in.Kind, in.Level, len(all[i]), len(one.body), len(want), one.status, one.header)
		}
	}
}

// TestDICOMPictures requests pictures of a level, a frame and the label.
func TestDICOMPictures(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {Label: true, Macro: true, Barcode: "S26-1"}})["a.tiff"]
	at := "/dicom-web/studies/" + dicom.StudyUID(id) + "/series/" + dicom.SeriesUID(id)
	list := objects(t, st.get(at+"/metadata"))
	level, label := at+"/instances/"+list[0].value(dicom.SOPInstanceUID), at+"/instances/"+list[len(list)-1].value(dicom.SOPInstanceUID)
	labelW, labelH := list[len(list)-1].value(dicom.Columns), list[len(list)-1].value(dicom.Rows)
	for _, c := range []struct{ path, accept, kind, size string }{
		{label + "/rendered?viewport=100%2C100", "image/png", "png", ""},
		{label + "/rendered?viewport=" + labelW + "%2C" + labelH, "image/png", "png", labelW + "x" + labelH},
		{label + "/rendered", "image/jpeg", "jpeg", labelW + "x" + labelH},
		{label + "/frames/1/rendered", "", "jpeg", labelW + "x" + labelH},
		{level + "/frames/1/rendered", "image/*", "jpeg", "128x128"},
		{level + "/frames/1/rendered?viewport=64,64", "image/png;q=1, image/jpeg;q=0.5", "png", "64x64"},
		{level + "/frames/1/rendered?viewport=32,32,64,64,16,16&quality=50", "image/jpeg", "jpeg", "32x32"},
		{level + "/rendered?viewport=300,300", "image/jpeg", "jpeg", "300x240"},
		{level + "/rendered?viewport=300,300&iccprofile=srgb", "image/png", "png", "300x240"},
		{level + "/rendered", "", "jpeg", "1024x819"},
		{at + "/thumbnail", "", "jpeg", "256x205"},
		{level + "/thumbnail?viewport=60,60", "image/png", "png", "60x48"},
	} {
		a := st.ask("GET", c.path, "", "Accept", c.accept)
		img, kind, err := image.DecodeConfig(bytes.NewReader(a.body))
		size := fmt.Sprintf("%dx%d", img.Width, img.Height)
		if err != nil || kind != c.kind || c.size != "" && size != c.size || a.header.Get("Content-Type") != "image/"+c.kind {
			t.Errorf("%s %s: %d, %s %s %v, want %s %s; %.200s", c.path, c.accept, a.status, kind, size, err, c.kind, c.size, a.body)
			continue
		}
		if b := st.ask("GET", c.path, "", "Accept", c.accept, "If-None-Match", a.header.Get("Etag")); b.status != http.StatusNotModified {
			t.Errorf("%s again: %d", c.path, b.status)
		}
	}
	for path, want := range map[string]int{
		"/rendered?viewport=1": 400, "/rendered?viewport=0,5": 400, "/rendered?viewport=a,b": 400, "/rendered?viewport=9999,1": 400, "/rendered?quality=0": 400, "/rendered?quality=101": 400,
		"/rendered?iccprofile=adobergb": 400, "/rendered?window=1,2,linear": 400, "/rendered?viewport=10,10,9999,9999,1,1": 400, "/frames/999/rendered": 404, "/frames/0/rendered": 400,
	} {
		if a := st.get(level + path); a.status != want {
			t.Errorf("%s: %d, want %d; %s", path, a.status, want, a.body)
		}
	}
	if a := st.get(label + "/thumbnail"); a.status != 404 {
		t.Errorf("thumbnail of the label: %d", a.status)
	}
	if a := st.ask("GET", label+"/rendered", "", "Accept", "image/gif"); a.status != 406 {
		t.Errorf("gif: %d", a.status)
	}
}

// TestDICOMAccess: who may not see labels sees no label and no macro image, no time and no barcode, finds nothing by
// them, and no caller sees slides of others.
func TestDICOMAccess(t *testing.T) {
	g := newGuardedSite(t)
	at := "/dicom-web/studies/" + dicom.StudyUID(g.slide) + "/series/" + dicom.SeriesUID(g.slide)
	get := func(role, path string) answer { return g.as(role, "GET", path, "") }
	full := objects(t, get("reader", at+"/metadata"))
	less := objects(t, get("viewer", at+"/metadata"))
	if len(full) != len(less)+2 {
		t.Errorf("the reader sees %d instances, the viewer %d", len(full), len(less))
	}
	if b := string(get("viewer", at+"/metadata").body); strings.Contains(b, canary) || strings.Contains(b, "LABEL") || strings.Contains(b, "OVERVIEW") {
		t.Errorf("the viewer sees %s", b)
	}
	if b := string(get("reader", at+"/metadata").body); !strings.Contains(b, canary+"-1") {
		t.Error("the reader does not see the barcode")
	}
	for i := range less {
		if full[i].value(dicom.SOPInstanceUID) != less[i].value(dicom.SOPInstanceUID) {
			t.Errorf("instance %d has two identifiers", i)
		}
	}
	label := at + "/instances/" + full[len(full)-1].value(dicom.SOPInstanceUID)
	for _, path := range []string{"/metadata", "/frames/1", "/frames/1/rendered", "/rendered", "", "/bulkdata/00480105/1/00282000"} {
		seen := 200
		if a := get("viewer", label+path); a.status != 404 {
			t.Errorf("viewer: %s of the label: %d", path, a.status)
		}
		if a := get("reader", label+path); a.status != seen {
			t.Errorf("reader: %s of the label: %d %s", path, a.status, a.body)
		}
	}
	for _, role := range roles[1:] {
		want := []string{dicom.StudyUID(g.slide)}
		switch role {
		case "outsider":
			want = []string{dicom.StudyUID(g.away)}
		case "admin":
			want = append(want, dicom.StudyUID(g.away))
		}
		got := values(objects(t, get(role, "/dicom-web/studies")), dicom.StudyInstanceUID)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", role, diff)
		}
		found := objects(t, get(role, "/dicom-web/instances?StudyInstanceUID="+dicom.StudyUID(g.away)))
		if want := role == "outsider" || role == "admin"; want != (len(found) > 0) {
			t.Errorf("%s finds %d instances of the other store", role, len(found))
		}
	}
	// The path of a frame in memory is as strict as the other one.
	frame := at + "/instances/" + full[0].value(dicom.SOPInstanceUID) + "/frames/1"
	for i, role := range roles {
		want := ownTiles[i]
		if a := get(role, frame); a.status != want {
			t.Errorf("%s: frame: %d, want %d", role, a.status, want)
		}
	}
	var events []string
	list, _, err := g.people.Audit.List(t.Context(), account.EventFilter{User: g.ids["reader"], Object: g.slide, Limit: 50}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		events = append(events, e.Act)
	}
	if !slices.Contains(events, "label.show") {
		t.Errorf("the audit log has %v", events)
	}
}

// TestDICOMSearch searches slides by keys.
func TestDICOMSearch(t *testing.T) {
	st := newSite(t)
	ids := st.slides(map[string]synth.Philips{"a.tiff": {Seed: 1}, "b.tiff": {Seed: 2}, "c.tiff": {Seed: 3}})
	uid := func(name string) string { return dicom.StudyUID(ids[name]) }
	a := objects(t, st.get("/dicom-web/studies/"+uid("a.tiff")+"/instances"))
	for _, c := range []struct {
		path string
		want int
	}{
		{"studies", 3},
		{"studies?limit=2", 2},
		{"studies?limit=2&offset=2", 1},
		{"studies?limit=0", 0},
		{"studies?ModalitiesInStudy=SM", 3},
		{"studies?00080061=SM&fuzzymatching=true", 3},
		{"studies?ModalitiesInStudy=CT", 0},
		{"studies?ModalitiesInStudy=SM\\SR", 3},
		{"studies?PatientID=1", 0},
		{"studies?PatientName=*x*", 0},
		{"studies?PatientName=*", 3},
		{"studies?PatientName=", 3},
		{"studies?AccessionNumber=A?", 0},
		{"studies?StudyDate=19000101-", 0},
		{"studies?StudyDate=-19000101", 0},
		{"studies?StudyInstanceUID=" + uid("a.tiff"), 1},
		{"studies?StudyInstanceUID=" + uid("a.tiff") + "," + uid("b.tiff"), 2},
		{"studies?StudyInstanceUID=" + uid("a.tiff") + "%5C" + uid("b.tiff"), 2},
		{"studies?StudyInstanceUID=1.2.3", 0},
		{"studies?SeriesInstanceUID=" + dicom.SeriesUID(ids["b.tiff"]), 1},
		{"studies?SOPInstanceUID=" + a[0].value(dicom.SOPInstanceUID), 1},
		{"series?Modality=SM&StudyInstanceUID=" + uid("a.tiff"), 1},
		{"series", 3},
		{"series?Modality=SR", 0},
		{"instances", 3 * len(a)},
		{"instances?InstanceNumber=1", 3},
		{"instances?SOPInstanceUID=" + a[1].value(dicom.SOPInstanceUID), 1},
		{"instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.77.1.6&limit=1", 1},
		{"studies/" + uid("a.tiff") + "/series?Modality=ANN", 0},
		{"studies/" + uid("a.tiff") + "/instances?Modality=PR", 0},
		{"studies/" + uid("a.tiff") + "/series?includefield=0008103E,00080021", 1},
		{"studies/" + uid("a.tiff") + "/series/" + dicom.SeriesUID(ids["a.tiff"]) + "/instances", len(a)},
	} {
		if got := objects(t, st.get("/dicom-web/"+c.path)); len(got) != c.want {
			t.Errorf("%s: %d results, want %d", c.path, len(got), c.want)
		}
	}
	for _, path := range []string{
		"studies?limit=-1", "studies?limit=x", "studies?offset=-1", "studies?fuzzymatching=maybe", "studies?StudyDate=2024", "studies?StudyDate=20241301", "studies?StudyTime=25",
		"studies?StudyInstanceUID=1.2.*", "studies?StudyInstanceUID=1..2", "studies?PatientID=1&PatientID=2", "studies?PatientID=1&00100020=2", "series?SeriesNumber=one", "studies?PatientID=%ff",
	} {
		if a := st.get("/dicom-web/" + path); a.status != 400 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	for path, want := range map[string]string{
		"studies?fuzzymatching=true": "fuzzymatching", "studies?NumberOfFrames=3": "NumberOfFrames", "studies?limit=1": "additional results", "studies": "",
	} {
		if got := st.get("/dicom-web/" + path).header.Get("Warning"); want == "" && got != "" || !strings.Contains(got, want) || want != "" && !strings.HasPrefix(got, "299 "+st.url+" ") {
			t.Errorf("%s: warning %q", path, got)
		}
	}
	all := objects(t, st.get("/dicom-web/instances?includefield=all&limit=1"))
	if all[0].value(dicom.TotalPixelMatrixColumns) != "640" {
		t.Errorf("all attributes: %v", all)
	}
	if a := st.ask("GET", "/dicom-web/studies", "", "Accept", "multipart/related; type=\"application/dicom+xml\""); a.status != 406 {
		t.Errorf("XML: %d", a.status)
	}
}

// TestDICOMCORS asks as a browser does before the frames of a page of another origin.
func TestDICOMCORS(t *testing.T) {
	var cors httperr.LiveCORS
	cors.Store(&httperr.CORS{Origins: []string{"https://viewer.example.org"}})
	h := cors.Handler(http.NotFoundHandler())
	r := httptest.NewRequest("OPTIONS", "/dicom-web/studies/1/series/2/instances/3/frames/4", nil)
	r.Header.Set("Origin", "https://viewer.example.org")
	r.Header.Set("Access-Control-Request-Method", "GET")
	r.Header.Set("Access-Control-Request-Headers", "accept,authorization")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if allowed := w.Header().Get("Access-Control-Allow-Headers"); w.Code != 204 || !strings.Contains(allowed, "Accept") || !strings.Contains(allowed, "Authorization") || w.Header().Get("Access-Control-Max-Age") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if exposed := w.Header().Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "Warning") {
		t.Errorf("exposed: %s", exposed)
	}
}

// BenchmarkFrame compares a frame with its tile, without the network.
func BenchmarkFrame(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.tiff")
	if _, err := (synth.Philips{Width: 4096, Height: 4096}).Write(path); err != nil {
		b.Fatal(err)
	}
	fi, err := fsx.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	tiles := tile.New(tile.Options{Blank: render.Blank, Envelope: dicomweb.Envelope()})
	defer tiles.Close()
	id := catalog.NewID()
	tiles.Put(tile.File{ID: id, Store: &tile.Store{ID: "s"}, Path: path, Revision: "r1", Identity: fi})
	s := dicomweb.New(dicomweb.Options{
		Tiles:   tiles,
		Find:    func(*http.Request) (*tile.Image, error) { return tiles.Image(id) },
		Labels:  func(context.Context, *tile.File) (bool, error) { return false, nil },
		BaseURL: func(*http.Request) string { return "http://localhost" },
	})
	r := httptest.NewRequest("GET", "/dicom-web/studies/1/metadata", nil)
	w := httptest.NewRecorder()
	if err := s.Metadata(w, r); err != nil {
		b.Fatal(err)
	}
	var list []object
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		b.Fatal(err)
	}
	h := &nethttp.Handler{Tiles: tiles, Next: &dicomweb.Frames{Service: s, Next: http.NotFoundHandler()}}
	frame := "/dicom-web/studies/" + dicom.StudyUID(id) + "/series/" + dicom.SeriesUID(id) + "/instances/" + list[0].value(dicom.SOPInstanceUID) + "/frames/10"
	for name, path := range map[string]string{"tile": "/apiv1/slides/" + id + "/1/1/0", "frame": frame} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Accept", `multipart/related; type="application/octet-stream"; transfer-syntax=*`)
			b.ReportAllocs()
			for b.Loop() {
				w := &discard{header: http.Header{}}
				if h.ServeHTTP(w, r); w.n < 1000 {
					b.Fatalf("%d bytes", w.n)
				}
			}
		})
	}
}

// A discard counts the bytes of an answer.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(int) {}

func (d *discard) Write(b []byte) (int, error) {
	d.n += len(b)
	return len(b), nil
}
