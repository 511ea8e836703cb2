package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/synth"
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
	icc := list[0]["00480105"].Value[0].(map[string]any)["00282000"].(map[string]any)["BulkDataURI"].(string)
	if !strings.HasPrefix(icc, st.url+at) {
		t.Errorf("address of the profile %q", icc)
	}
	bodies, _ := parts(t, st.get(strings.TrimPrefix(icc, st.url)))
	if len(bodies) != 1 || len(bodies[0]) < 128 || string(bodies[0][12:16]) != "scnr" {
		t.Errorf("profile: %d parts", len(bodies))
	}
}
