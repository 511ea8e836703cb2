package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/render"
	"github.com/slideatlas/ptiffstore/internal/scan"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/synth"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// openSet opens a DICOM series as the server does.
func (st *site) openSet(ctx context.Context, f *tile.File) (tile.Opened, error) {
	store, err := st.api.Catalog.Stores.Get(ctx, f.Store.ID)
	if err != nil {
		return tile.Opened{}, err
	}
	dir, err := source.OpenStore(store, f.Path)
	if err != nil {
		return tile.Opened{}, err
	}
	s, err := dir.Slide(ctx, f.Path)
	if err == nil {
		err = s.Err
	}
	if err != nil {
		dir.Close()
		return tile.Opened{}, err
	}
	return tile.Opened{Slide: s.Slide, Identity: s.Identity, Current: s.Current, Written: s.Written, Files: s.Files, Close: func() {
		s.Close()
		dir.Close()
	}}, nil
}

// Identifiers of the test's series.
const ownStudy, ownSeries = "1.2.826.0.1.77", "1.2.826.0.1.77."

// exportedFiles has the files of series by their number, as they are written once.
var exportedFiles = map[int][][]byte{}

// dicomSeries writes series of one study into folders of a store, each with levels, label and macro, and
// attributes of the patient. It returns the files by their SOPInstanceUID.
func (st *site) dicomSeries(folder string, numbers ...int) map[string][]byte {
	st.t.Helper()
	all := map[string][]byte{}
	for _, n := range numbers {
		if exportedFiles[n] == nil {
			exportedFiles[n] = st.export(n)
		}
		st.mkdir(fmt.Sprint(folder, "/", n))
		for i, b := range exportedFiles[n] {
			if err := os.WriteFile(st.path(fmt.Sprintf("%s/%d/%d.dcm", folder, n, i)), b, 0o644); err != nil {
				st.t.Fatal(err)
			}
			f, err := dicom.Read(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				st.t.Fatal(err)
			}
			all[f.Data.Text(dicom.SOPInstanceUID)] = b
		}
	}
	return all
}

func (st *site) export(n int) (files [][]byte) {
	st.t.Helper()
	st.mkdir("made")
	path := fmt.Sprintf("made/%d.tiff", n)
	st.write(synth.Philips{
		Seed: uint64(n), Width: 300, Height: 200, TileSize: 128, Label: true, Macro: true, Barcode: canary + "-code",
		Serial: canary + "-serial", Acquired: time.Date(2026, 3, 9, 14, 30, 5, 0, time.UTC),
	}, path)
	b, err := os.ReadFile(st.path(path))
	if err != nil {
		st.t.Fatal(err)
	}
	s, err := slide.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		st.t.Fatal(err)
	}
	patient := &dicom.Patient{ID: canary + "-id", Name: canary + "^Anna", AccessionNumber: "A1", Container: s.Barcode, Label: true, Macro: true}
	d, err := dicom.NewSeries(s, dicom.Options{ID: fmt.Sprint(n), Patient: patient})
	if err != nil {
		st.t.Fatal(err)
	}
	for i, in := range d.Instances {
		in.UID = fmt.Sprintf("%s%d.%d", ownSeries, n, i+5)
		a := &in.Attributes
		a.Set(dicom.SOPInstanceUID, in.UID)
		a.Set(dicom.StudyInstanceUID, ownStudy)
		a.Set(dicom.SeriesInstanceUID, ownSeries+strconv.Itoa(n))
		a.Set(dicom.SeriesNumber, n)
		a.Set(dicom.SeriesDescription, canary+" biopsy")
		a.Set(dicom.InstanceNumber, 10*(i+1))
		a.Set(dicom.PatientBirthDate, "19700203")
	}
	dir := st.t.TempDir()
	if err := d.Export(st.t.Context(), dir, nil); err != nil {
		st.t.Fatal(err)
	}
	for _, in := range d.Instances {
		b, err := os.ReadFile(dir + "/" + in.UID + ".dcm")
		if err != nil {
			st.t.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

// sync adds the files of a store to the catalog.
func (st *site) sync(store string) {
	st.t.Helper()
	s := &scan.Syncer{Catalog: st.api.Catalog, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	if _, err := s.Sync(st.t.Context(), store, scan.Options{}); err != nil {
		st.t.Fatal(err)
	}
	st.load()
}

// TestDICOMOwn serves DICOM series of one study: under their own identifiers, with the stored attributes, frames
// and files.
func TestDICOMOwn(t *testing.T) {
	st := newSite(t)
	files := st.dicomSeries("slides", 1, 2)
	st.sync(st.store)
	at := "/dicom-web/studies/" + ownStudy
	studies := objects(t, st.get("/dicom-web/studies?PatientID="+canary+"-id"))
	if len(studies) != 1 {
		t.Fatalf("%d studies", len(studies))
	}
	for tag, want := range map[dicom.Tag]string{
		dicom.StudyInstanceUID: ownStudy, dicom.NumberOfStudyRelatedSeries: "2", dicom.NumberOfStudyRelatedInstances: strconv.Itoa(len(files)), dicom.PatientID: canary + "-id",
		dicom.PatientName: "map[Alphabetic:" + canary + "^Anna]", dicom.PatientBirthDate: "19700203", dicom.StudyDate: "20260309", dicom.RetrieveURL: st.url + at,
	} {
		if got := studies[0].value(tag); got != want {
			t.Errorf("%s is %q, want %q", dicom.Keyword(tag), got, want)
		}
	}
	for path, want := range map[string]int{
		"studies?PatientName=*anna": 1, "studies?PatientBirthDate=19700203": 1, "studies?AccessionNumber=A1": 1, "studies?PatientID=x": 0, "studies?StudyInstanceUID=" + ownStudy: 1,
		"series": 2, "series?SeriesNumber=2": 1, "series?SeriesInstanceUID=" + ownSeries + "2": 1, "studies/" + ownStudy + "/series": 2, "studies?SeriesInstanceUID=" + ownSeries + "2": 1,
		"instances?InstanceNumber=10": 2, "studies/" + ownStudy + "/instances": len(files), "studies/" + ownStudy + "/series/" + ownSeries + "1/instances": len(files) / 2,
		"instances?SOPInstanceUID=" + ownSeries + "2.5": 1, "studies?SOPInstanceUID=" + ownSeries + "1.5," + ownSeries + "2.5": 1,
	} {
		if got := objects(t, st.get("/dicom-web/"+path)); len(got) != want {
			t.Errorf("%s: %d results, want %d", path, len(got), want)
		}
	}
	series := objects(t, st.get(at+"/series"))
	if diff := cmp.Diff([]string{canary + " biopsy", canary + " biopsy"}, values(series, dicom.SeriesDescription)); diff != "" {
		t.Error(diff)
	}
	list := objects(t, st.get(at+"/metadata"))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(files)), slices.Sorted(slices.Values(values(list, dicom.SOPInstanceUID)))); diff != "" {
		t.Fatalf("instances (-files +metadata): %s", diff)
	}
	for _, o := range list {
		st.sameInstance(o, files[o.value(dicom.SOPInstanceUID)])
	}
	all, _ := parts(t, st.get(at))
	got := map[string]bool{}
	for _, b := range all {
		got[string(b)] = true
	}
	for uid, b := range files {
		if !got[string(b)] {
			t.Errorf("the answer for the study has not the file of %s", uid)
		}
	}
	one := objects(t, st.get(at+"/series/"+ownSeries+"2/metadata"))
	if len(one) != len(files)/2 {
		t.Errorf("%d instances of a series", len(one))
	}
	for _, path := range []string{"/dicom-web/studies/1.2/metadata", at + "/series/1.2/metadata", at + "/series/" + ownSeries + "1/instances/1.2/metadata"} {
		if a := st.get(path); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := st.get(at + "/thumbnail"); a.status != 200 {
		t.Errorf("thumbnail: %d %s", a.status, a.body)
	}
}

// sameInstance compares what is sent of an instance with its file.
func (st *site) sameInstance(o object, b []byte) {
	t := st.t
	t.Helper()
	f, err := dicom.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Data {
		if e := &f.Data[i]; e.VR != "SQ" && e.VR != "PN" && len(e.Text) > 0 && o.value(e.Tag) != e.Text[0] && strings.Trim(e.Text[0], "0123456789.") != "" {
			t.Errorf("%v is %q, want %q", e.Tag, o.value(e.Tag), e.Text[0])
		}
	}
	at := "/dicom-web/studies/" + ownStudy + "/series/" + o.value(dicom.SeriesInstanceUID) + "/instances/" + o.value(dicom.SOPInstanceUID)
	if a := st.ask("GET", at, "", "Accept", "application/dicom"); !bytes.Equal(a.body, b) {
		t.Errorf("%s: %d, %d bytes, the file has %d", at, a.status, len(a.body), len(b))
	}
	n := 0
	err = f.Fragments(bytes.NewReader(b), int64(len(b)), func(e dicom.Extent) bool {
		if n > 0 {
			bodies, _ := parts(t, st.get(fmt.Sprint(at, "/frames/", n)))
			if !bytes.Equal(bodies[0], b[e.Offset:][:e.Length]) {
				t.Errorf("%s: frame %d: %d bytes, want %d", at, n, len(bodies[0]), e.Length)
			}
		}
		n++
		return true
	})
	if err != nil || strconv.Itoa(n-1) != o.value(dicom.NumberOfFrames) {
		t.Errorf("%d frames, %v", n-1, err)
	}
	icc := o["00480105"].Value[0].(map[string]any)["00282000"].(map[string]any)["BulkDataURI"].(string)
	if bodies, _ := parts(t, st.get(strings.TrimPrefix(icc, st.url))); len(bodies[0]) < 128 {
		t.Errorf("%s: profile of %d bytes", at, len(bodies[0]))
	}
	if a := st.get(at + "/rendered?viewport=40,40"); a.status != 200 {
		t.Errorf("%s/rendered: %d %s", at, a.status, a.body)
	}
}

// TestDICOMOwnAccess: callers without the right to labels see the same series without what is of the patient, and
// a series that is in two stores in the one that they may see.
func TestDICOMOwnAccess(t *testing.T) {
	g := newGuardedSite(t)
	files := g.dicomSeries("slides", 1)
	g.dicomSeries("other", 1, 2)
	g.sync(g.store)
	g.sync(g.other)
	at := "/dicom-web/studies/" + ownStudy
	first := at + "/series/" + ownSeries + "1/instances/" + ownSeries + "1.5"
	for _, c := range []struct {
		role, path string
		want       int
	}{
		{"reader", "/dicom-web/studies?PatientID=" + canary + "-id", 1},
		{"viewer", "/dicom-web/studies?PatientID=" + canary + "-id", 0},
		{"viewer", "/dicom-web/studies?PatientName=*", 2},
		{"viewer", "/dicom-web/studies?PatientBirthDate=19700203", 0},
		{"viewer", "/dicom-web/studies?AccessionNumber=A1", 0},
		{"viewer", "/dicom-web/studies?StudyDate=20260309", 0},
		{"viewer", "/dicom-web/studies?StudyInstanceUID=" + ownStudy, 1},
		{"reader", at + "/series", 1},
		{"outsider", at + "/series", 2},
		{"admin", at + "/series", 2},
		{"reader", at + "/instances", len(files)},
		{"viewer", at + "/instances", len(files) - 2},
		{"viewer", at + "/metadata", len(files) - 2},
		{"reader", at + "/metadata", len(files)},
		{"outsider", at + "/metadata", 2 * (len(files) - 2)},
	} {
		if got := objects(t, g.as(c.role, "GET", c.path, "")); len(got) != c.want {
			t.Errorf("%s: %s: %d results, want %d", c.role, c.path, len(got), c.want)
		}
	}
	full, err := dicom.Open(partsOf(files))
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"viewer", "outsider"} {
		for _, path := range []string{"/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances?includefield=all", at + "/metadata", first + "/metadata", first, at} {
			a := g.as(role, "GET", path, "")
			if a.status != 200 {
				t.Errorf("%s: %s: %d %s", role, path, a.status, a.body)
			}
			for _, secret := range []string{canary + "-id", canary + "^", canary + "-code", canary + "-serial", canary + " biopsy", "19700203", "20260309"} {
				if bytes.Contains(a.body, []byte(secret)) {
					t.Errorf("%s: %s contains %s", role, path, secret)
				}
			}
		}
		bodies, _ := parts(t, g.as(role, "GET", at+"/series/"+ownSeries+"1", ""))
		less := map[string][]byte{}
		for i, b := range bodies {
			less[strconv.Itoa(i)] = b
		}
		s, err := dicom.Open(partsOf(less))
		if err != nil {
			t.Fatal(err)
		}
		want, err := render.LevelPixels(t.Context(), full, 0, 1, 1, render.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := render.LevelPixels(t.Context(), s, 0, 1, 1, render.Options{})
		if err != nil || !bytes.Equal(want.Pix, got.Pix) || len(s.Associated()) != 0 {
			t.Errorf("%s: other pixels, or %v, %v", role, s.Associated(), err)
		}
		for i := range 2 {
			for _, end := range []string{"", "/metadata", "/frames/1", "/rendered"} {
				path := fmt.Sprintf("%s/series/%s1/instances/%s1.%d%s", at, ownSeries, ownSeries, 5+len(files)-2+i, end)
				if a := g.as(role, "GET", path, ""); a.status != 404 {
					t.Errorf("%s: %s: %d", role, path, a.status)
				}
				if a := g.as("reader", "GET", path, ""); a.status != 200 {
					t.Errorf("reader: %s: %d %s", path, a.status, a.body)
				}
			}
		}
	}
	for i, role := range roles {
		if got := g.as(role, "GET", first+"/frames/1", "").status; got != ownTiles[i] && role != "outsider" || role == "outsider" && got != 200 {
			t.Errorf("%s: frame: %d", role, got)
		}
	}
	list, _, err := g.people.Audit.List(t.Context(), account.EventFilter{User: g.ids["viewer"], Limit: 50}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Act, "label.") {
			t.Errorf("the viewer saw patient data: %v", e)
		}
	}
}

// partsOf returns files as those of a series.
func partsOf(files map[string][]byte) (list []dicom.Part) {
	for name, b := range files {
		list = append(list, dicom.Part{Name: name, R: bytes.NewReader(b), Size: int64(len(b))})
	}
	return list
}

// TestDICOMPixels serves slides of tiles that have no transfer syntax: they are listed before and after they were
// requested, and their frames are pixels.
func TestDICOMPixels(t *testing.T) {
	st := newSite(t)
	st.write(synth.Generic{Width: 300, Height: 200, TileW: 128, Codec: synth.Deflate, PixelsPerCM: 40000}, "slides/a.tiff")
	st.sync(st.store)
	page, err := st.api.Catalog.Images.List(t.Context(), catalog.Query{})
	if err != nil || len(page.Items) != 1 {
		t.Fatal(page, err)
	}
	id := page.Items[0].ID
	at := "/dicom-web/studies/" + dicom.StudyUID(id) + "/series/" + dicom.SeriesUID(id)
	list := objects(t, st.get(at+"/metadata"))
	for range 2 {
		if got := objects(t, st.get("/dicom-web/studies")); len(got) != 1 || got[0].value(dicom.NumberOfStudyRelatedInstances) != strconv.Itoa(len(list)) {
			t.Errorf("%d studies", len(got))
		}
	}
	frame := at + "/instances/" + list[0].value(dicom.SOPInstanceUID) + "/frames/2"
	a := st.ask("GET", frame, "", "Accept", `multipart/related; type="application/octet-stream"; transfer-syntax=*`)
	bodies, types := parts(t, a)
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
	img, err := render.LevelPixels(t.Context(), s, 0, 1, 0, render.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := 0; i < len(img.Pix); i += 4 {
		want = append(want, img.Pix[i:i+3]...)
	}
	if !bytes.Equal(bodies[0], want) || types[0] != "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1" {
		t.Errorf("a frame of %d bytes as %s, want %d", len(bodies[0]), types[0], len(want))
	}
	if b := st.ask("GET", frame, "", "If-None-Match", a.header.Get("Etag")); b.status != http.StatusNotModified {
		t.Errorf("again: %d", b.status)
	}
	if b := st.ask("GET", frame, "", "Accept", `multipart/related; type="image/jpeg"`); b.status != http.StatusNotAcceptable {
		t.Errorf("as JPEG: %d", b.status)
	}
	for _, path := range []string{frame + "/rendered", at + "/instances/" + list[0].value(dicom.SOPInstanceUID) + "/rendered", at + "/thumbnail"} {
		if b := st.get(path); b.status != 200 || b.header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("%s: %d %s", path, b.status, b.body)
		}
	}
	file := st.ask("GET", at+"/instances/"+list[0].value(dicom.SOPInstanceUID), "", "Accept", "application/dicom")
	again, err := dicom.Open(partsOf(map[string][]byte{"a": file.body}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.AppendTile(nil, 0, 1, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has other pixels: %v", err)
	}
}

// TestDICOMMore counts the results that are not sent.
func TestDICOMMore(t *testing.T) {
	st := newSite(t)
	st.slides(map[string]synth.Philips{"a.tiff": {Seed: 1}, "b.tiff": {Seed: 2}, "c.tiff": {Seed: 3}})
	n := len(objects(t, st.get("/dicom-web/instances")))
	for path, want := range map[string]int{
		"studies?limit=1": 2, "studies?limit=0": 3, "studies?limit=1&offset=1": 1, "studies?limit=3": 0, "series?limit=2&Modality=SM": 1,
		"instances?limit=1": n - 1, "instances?limit=1&offset=2": n - 3, "instances?InstanceNumber=1&limit=1": 2,
	} {
		got, text := st.get("/dicom-web/"+path).header.Get("Warning"), ""
		if want > 0 {
			text = fmt.Sprintf(`299 %s "There are %d additional results that can be requested"`, st.url, want)
		}
		if got != text {
			t.Errorf("%s: %q, want %q", path, got, text)
		}
	}
}

// TestDICOMElsewhere follows the redirects of frames and attributes to the server that has the file.
func TestDICOMElsewhere(t *testing.T) {
	g := newGuardedSite(t)
	edge := g.tileServer(g.keys)
	at := "/dicom-web/studies/" + dicom.StudyUID(g.slide) + "/series/" + dicom.SeriesUID(g.slide)
	list := objects(t, g.as("viewer", "GET", at+"/metadata", ""))
	frame := at + "/instances/" + list[0].value(dicom.SOPInstanceUID) + "/frames/1"
	want := map[string]answer{}
	for _, path := range []string{frame, at + "/metadata", at + "/instances", frame + ",2", frame + "/rendered"} {
		want[path] = g.as("viewer", "GET", path, "")
	}
	g.bindElsewhere(edge)
	for path, here := range want {
		a := g.as("viewer", "GET", path, "")
		to := a.header.Get("Location")
		if a.status != http.StatusTemporaryRedirect || !strings.HasPrefix(to, edge+path+"?pass=") {
			t.Errorf("%s: %d %s", path, a.status, to)
			continue
		}
		there := followed(t, to)
		if there.status != 200 {
			t.Errorf("%s: %d %s at the other server", path, there.status, there.body)
			continue
		}
		if kind := there.header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/") {
			a, _ := parts(t, here)
			b, types := parts(t, there)
			if diff := cmp.Diff(a, b); diff != "" || !strings.HasSuffix(types[0], "1.2.840.10008.1.2.4.50") {
				t.Errorf("%s: other frames as %v", path, types)
			}
		} else if kind != here.header.Get("Content-Type") || strings.HasSuffix(path, "/instances") && len(objects(t, there)) != len(objects(t, here)) {
			t.Errorf("%s: %s, %d bytes", path, kind, len(there.body))
		}
		if without := followed(t, edge+path); without.status == 200 {
			t.Errorf("%s: %d at the other server without an access token", path, without.status)
		}
		if a := g.as("outsider", "GET", path, ""); a.status == http.StatusTemporaryRedirect {
			t.Errorf("%s: an outsider is redirected", path)
		}
	}
}

// followed requests an address of another server.
func followed(t *testing.T, url string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}
