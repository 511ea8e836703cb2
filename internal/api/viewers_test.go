package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/synth"
)

// TestParseViewers has viewers that are refused.
func TestParseViewers(t *testing.T) {
	t.Parallel()
	const public = "https://slides.example.org"
	for text, want := range map[string]string{
		"Slim=https://slim.example.org/studies/{study}/series/{series}":       "",
		"OHIF=/ohif/microscopy?StudyInstanceUIDs={study}":                     "",
		"Other=https://x.example.org/?image={image}&from={dicomweb}":          "",
		"=https://x.example.org/{image}":                                      "name",
		"Slim":                                                                "not an address",
		"Slim=https://x.example.org/":                                         "names no slide",
		"Slim=https://x.example.org/{patient}":                                "{patient} is not known",
		"Slim=javascript:alert({image})":                                      "not an address",
		"Slim=//x.example.org/{image}":                                        "not an address",
		"Slim=https://{image}.example.org/":                                   "not an address",
		"Slim=https://user:secret@x.example.org/{image}":                      "password",
		"Slim=https://x.example.org/{image}\"onclick":                         "not an address",
		strings.Repeat("x", 41) + "=https://x.example.org/{image}":            "name",
		"Slim=" + "https://x.example.org/{image}" + strings.Repeat("x", 2000): "not an address",
	} {
		_, err := api.ParseViewers([]string{text}, public)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	if _, err := api.ParseViewers([]string{"A=/{image}", "A=/{study}"}, public); err == nil {
		t.Error("two viewers have one name")
	}
	if _, err := api.ParseViewers([]string{"A=/{image}?at={server}"}, ""); err == nil || !strings.Contains(err.Error(), "public_url") {
		t.Errorf("without the public URL: %v", err)
	}
}

// TestViewerLinks checks the links of a slide and of a series of DICOM files, which a slide without the size of a pixel lacks.
func TestViewerLinks(t *testing.T) {
	st := newSite(t)
	st.api.PublicURL = "https://slides.example.org/"
	var err error
	if st.api.Viewers, err = api.ParseViewers([]string{"Slim=https://slim.example.org/studies/{study}/series/{series}?at={dicomweb}&id={image}"}, st.api.PublicURL); err != nil {
		t.Fatal(err)
	}
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	want := "https://slim.example.org/studies/" + dicom.ImageUID(id, "study") + "/series/" + dicom.ImageUID(id, "series") + "?at=" + url.QueryEscape("https://slides.example.org/dicom-web") + "&id=" + id
	links, _ := st.object("GET", "/api/v1/images/"+id, "", 200)["viewers"].([]any)
	if len(links) != 1 || links[0].(map[string]any)["url"] != want || links[0].(map[string]any)["name"] != "Slim" {
		t.Errorf("%v, want %s", links, want)
	}
	im, err := st.api.Catalog.Images.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	im.ID, im.Path, im.Format, im.DICOM = catalog.NewID(), catalog.SeriesPath("", "1.2.4"), "dicom", &catalog.DICOM{Study: "1.2.3", Series: "1.2.4"}
	if err := st.api.Catalog.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
		t.Fatal(err)
	}
	links, _ = st.object("GET", "/api/v1/images/"+im.ID, "", 200)["viewers"].([]any)
	if want := "https://slim.example.org/studies/1.2.3/series/1.2.4?"; len(links) != 1 || !strings.HasPrefix(links[0].(map[string]any)["url"].(string), want) {
		t.Errorf("a series of DICOM files: %v, want %s", links, want)
	}
	plain := st.generic(synth.Generic{Width: 300, Height: 300})
	if links, _ := st.object("GET", "/api/v1/images/"+plain, "", 200)["viewers"].([]any); len(links) != 0 {
		t.Errorf("a slide without the size of a pixel: %v", links)
	}
}
