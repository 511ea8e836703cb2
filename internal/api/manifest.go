package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/iiif"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// manifestAPI are the routes of manifests of the IIIF Presentation API 3.0. A manifest names slides
// and cases only for callers who may see their labels.
type manifestAPI struct{ iiifAPI }

const manifestPath, caseManifestPath = "/iiif/{version}/{image}/manifest.json", "/iiif/{version}/cases/{accession}/manifest.json"

// isManifest reports whether a path is that of a manifest.
func isManifest(path string) bool {
	return strings.HasPrefix(path, "/iiif/") && strings.HasSuffix(path, "/manifest.json")
}

var (
	errPresentation = &httperr.Error{Status: http.StatusNotFound, Detail: "This server supports version 3 of the IIIF Presentation API."}
	errNoCase       = &httperr.Error{Status: http.StatusNotFound, Detail: "No case with this accession number in the stores whose labels you may see."}
	errManyCases    = &httperr.Error{Status: http.StatusConflict, Detail: "Several stores have a case with this accession number: add store= and the id of one."}
)

// slide answers with the manifest of a slide.
func (a manifestAPI) slide(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("version") != "3" {
		return errPresentation
	}
	found, _, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	im, err := a.Catalog.Images.Get(r.Context(), found.File.ID)
	if err != nil {
		return a.plain(r.Context(), err)
	}
	s, err := a.Catalog.Stores.Get(r.Context(), im.StoreID)
	if err != nil {
		return a.plain(r.Context(), err)
	}
	labels, err := imageAPI{a.API}.showsLabel(r.Context(), s, im)
	if err != nil {
		return err
	}
	base := a.baseURL(r)
	c := canvasOf(base, im, labels)
	return a.answer(w, r, iiif.NewManifest(base+"/iiif/3/"+im.ID+"/manifest.json", c.Label, nil, []iiif.Canvas{c}))
}

// ofCase answers with the manifest of a case: a canvas for each available slide.
func (a manifestAPI) ofCase(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("version") != "3" {
		return errPresentation
	}
	accession := r.PathValue("accession")
	_, stores, names, err := caseAPI{a.API}.labelled(r.Context(), r.URL.Query().Get("store"))
	if err != nil {
		return err
	}
	found, err := a.Catalog.Cases.Get(r.Context(), accession, stores)
	switch {
	case err != nil:
		return a.plain(r.Context(), err)
	case len(found) == 0:
		return errNoCase
	case len(found) > 1:
		return errManyCases
	}
	images, err := a.Catalog.Cases.Slides(r.Context(), found[0].StoreID, accession)
	if err != nil {
		return a.plain(r.Context(), err)
	}
	base := a.baseURL(r)
	var slides []iiif.Canvas
	var shown []string
	for i := range images {
		if images[i].State == catalog.Available {
			slides, shown = append(slides, canvasOf(base, &images[i], true)), append(shown, images[i].ID)
		}
	}
	if err := a.recordListed(r.Context(), "", shown); err != nil {
		return err
	}
	id := base + "/iiif/3/cases/" + url.PathEscape(accession) + "/manifest.json?store=" + found[0].StoreID
	return a.answer(w, r, iiif.NewManifest(id, accession, []iiif.Entry{{Name: "Store", Value: names[found[0].StoreID]}}, slides))
}

// canvasOf describes a slide for a manifest.
func canvasOf(base string, im *catalog.Image, labels bool) iiif.Canvas {
	c := iiif.Canvas{
		ID: im.ID, Image: base + "/iiif/3/" + im.ID, Thumbnail: base + "/api/v1/images/" + im.ID + "/thumbnail?width=400", Label: "Slide " + im.ID,
		Width: im.Width, Height: im.Height, Metadata: []iiif.Entry{{Name: "Stain", Value: im.Names.Stain}, {Name: "Scanner", Value: im.Vendor}},
	}
	if im.MPPX != nil {
		c.MPP = *im.MPPX
	}
	if im.ObjectivePower != nil {
		c.Metadata = append(c.Metadata, iiif.Entry{Name: "Magnification", Value: strconv.FormatFloat(*im.ObjectivePower, 'g', 4, 64) + "×"})
	}
	if !labels {
		return c
	}
	switch {
	case im.Label != nil:
		c.Label = *im.Label
	case im.FileName != "":
		c.Label = im.FileName
	}
	c.Metadata = append([]iiif.Entry{{Name: "Accession number", Value: im.Names.Accession}, {Name: "Block", Value: im.Names.BlockOfPart()}}, c.Metadata...)
	return c
}

func (a manifestAPI) answer(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", private)
	return httperr.Send(w, r, `application/ld+json;profile="http://iiif.io/api/presentation/3/context.json"`, b)
}

// routes returns the routes of manifests.
func (a manifestAPI) routes() []route {
	op := func(id, summary, description string, params ...*huma.Param) huma.Operation {
		return huma.Operation{
			OperationID: id, Summary: summary, Description: description, Tags: []string{iiifTag}, Parameters: append([]*huma.Param{textParam("path", "version", "3.")}, params...),
			Responses: map[string]*huma.Response{
				"200": answers("The manifest.", "application/ld+json", &huma.Schema{Type: huma.TypeObject}),
				"404": problemAnswer("No such image or case."),
			},
		}
	}
	ofCase := op("get-iiif-case", "Get the IIIF manifest of a case", "A canvas for each available slide. Only for callers who may see the labels of its store.", textParam("path", "accession", "Accession number."), textParam("query", "store", "Id of the store, if several have this accession number."))
	ofCase.Responses["409"] = problemAnswer("Several stores have a case with this accession number.")
	return []route{
		{path: manifestPath, handle: a.slide, op: op("get-iiif-manifest", "Get the IIIF manifest of an image", "IIIF Presentation API 3.0: a canvas with the image, its name if the caller may see it, and the size of a pixel.", imageParam)},
		{path: caseManifestPath, handle: a.ofCase, op: ofCase},
	}
}
