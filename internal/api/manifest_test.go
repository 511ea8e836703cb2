package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// A served manifest, as viewers read it.
type servedManifest struct {
	Context string `json:"@context"`
	ID      string
	Type    string
	Label   map[string][]string
	Items   []struct {
		ID            string
		Label         map[string][]string
		Width, Height int
		Service       []struct {
			PhysicalScale float64
			PhysicalUnits string
		}
		Items []struct {
			Items []struct {
				Motivation, Target string
				Body               struct {
					ID      string
					Service []struct{ ID, Type, Profile string }
				}
			}
		}
	}
}

// The manifest of a slide leads to its image service, with the size of a pixel, which info.json has, too.
func TestManifest(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"Müller.tiff": {}})["Müller.tiff"]
	path := "/iiif/3/" + id + "/manifest.json"
	a := st.get(path)
	var m servedManifest
	if err := json.Unmarshal(a.body, &m); err != nil || a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Type"), "presentation/3") {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	if m.Type != "Manifest" || m.ID != st.url+path || m.Label["none"][0] != "Müller.tiff" || len(m.Items) != 1 {
		t.Fatalf("%+v", m)
	}
	c := m.Items[0]
	if c.Width != 640 || c.Height != 512 || len(c.Service) != 1 || c.Service[0].PhysicalScale != 0.00025 || c.Service[0].PhysicalUnits != "mm" {
		t.Errorf("canvas: %+v", c)
	}
	on := c.Items[0].Items[0]
	if on.Motivation != "painting" || on.Target != c.ID || on.Body.Service[0].ID != st.url+"/iiif/3/"+id || on.Body.Service[0].Type != "ImageService3" {
		t.Errorf("annotation: %+v", on)
	}
	for _, address := range []string{on.Body.ID, on.Body.Service[0].ID + "/info.json"} {
		if a := st.get(strings.TrimPrefix(address, st.url)); a.status != http.StatusOK {
			t.Errorf("%s: %d", address, a.status)
		}
	}
	if a := st.get("/iiif/3/" + id + "/info.json"); !strings.Contains(string(a.body), `"physicalScale":0.00025,"physicalUnits":"mm"`) {
		t.Errorf("info.json has no physical scale: %s", a.body)
	}
	if a := st.get("/iiif/2/" + id + "/manifest.json"); a.status != http.StatusNotFound {
		t.Errorf("version 2: %d, want 404", a.status)
	}
}

// The manifest of a case has a canvas for each available slide, in their order.
func TestCaseManifest(t *testing.T) {
	st := newStoresSite(t)
	namedCases(t, st)
	name := "S26/77 Müller"
	st.record("broken", func(im *catalog.Image) { im.Barcode, im.State, im.Revision = ptr(name+"_A9_HE"), catalog.Broken, "r" })
	a := st.get("/iiif/3/cases/" + url.PathEscape(name) + "/manifest.json")
	var m servedManifest
	if err := json.Unmarshal(a.body, &m); err != nil || a.status != http.StatusOK || m.Label["none"][0] != name || len(m.Items) != 3 {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	if a := st.get(strings.TrimPrefix(m.ID, st.url)); a.status != http.StatusOK {
		t.Errorf("its id %s: %d", m.ID, a.status)
	}
	if a := st.get("/iiif/3/cases/none/manifest.json"); a.status != http.StatusNotFound {
		t.Errorf("an unknown case: %d, want 404", a.status)
	}
}

// Callers without the right to labels get a manifest without names.
func TestManifestWithoutLabels(t *testing.T) {
	g := newGuardedSite(t)
	for role, sees := range map[string]bool{"viewer": false, "reader": true} {
		a := g.as(role, "GET", "/iiif/3/"+g.slide+"/manifest.json", "")
		if got := strings.Contains(string(a.body), canary); a.status != http.StatusOK || got != sees {
			t.Errorf("%s: %d, shows names: %v, want %v", role, a.status, got, sees)
		}
	}
}
