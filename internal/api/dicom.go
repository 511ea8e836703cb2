package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicomweb"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// dicomAPI are the routes of DICOMweb. Package dicomweb answers them; this type decides about access.
type dicomAPI struct{ *API }

const dicomTag = "DICOMweb"

// service returns a new service.
func (a dicomAPI) service() *dicomweb.Service {
	return dicomweb.New(dicomweb.Options{
		Catalog: a.Catalog, Tiles: a.Tiles, Renderer: a.Renderer,
		Find: a.image, Labels: a.labels, ShowLabel: a.showLabel, List: a.list, Seen: a.seen, ListLabels: a.listLabels,
		BaseURL: iiifAPI(a).baseURL, Embed: embedProfile,
	})
}

// DICOMweb returns the service behind the routes of DICOMweb, once they are registered.
func (a *API) DICOMweb() *dicomweb.Service { return a.dicom }

// resolve sets the image of a request to the one that has its study and series, or to an unknown
// one. Of several it is the first that the caller may see.
func (a dicomAPI) resolve(r *http.Request, c *caller) error {
	study, series := r.PathValue("study"), r.PathValue("series")
	ids, err := a.dicom.Images(r.Context(), study, series)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		ids = []string{study + "/" + series}
	}
	i := 0
	if len(ids) > 1 {
		i = max(0, slices.IndexFunc(ids, func(id string) bool { return a.maySee(r.Context(), c, id) }))
	}
	r.SetPathValue("image", ids[i])
	return nil
}

// maySee reports whether there is an image that the caller may see.
func (a dicomAPI) maySee(ctx context.Context, c *caller, id string) bool {
	im, _, err := a.Tiles.Find(&tile.Request{Image: id})
	if err != nil || a.Access == nil {
		return err == nil
	}
	t := targetOf(&im.File)
	t.Named = id
	return a.Access.Gate.Tile(ctx, c.cred, &t) == nil
}

// isPatientRoute reports whether an answer of DICOMweb may have patient data. Frames of levels have none;
// those of label and macro are kept from other pages by package dicomweb.
func isPatientRoute(path string) bool {
	return strings.HasPrefix(path, dicomweb.Prefix+"/") && !strings.Contains(path, "/frames/") && !strings.HasSuffix(path, "/thumbnail")
}

// isDICOMStream reports whether the answer of a route of DICOMweb may be too large for memory.
func isDICOMStream(path string) bool {
	rest, ok := strings.CutPrefix(path, dicomweb.Prefix+"/studies/")
	if !ok {
		return false
	}
	parts := strings.Split(rest, "/")
	switch len(parts) {
	case 1:
		return parts[0] != ""
	case 3, 5:
		return parts[len(parts)-2] == "series" || parts[len(parts)-2] == "instances"
	case 7:
		return parts[5] == "frames"
	}
	return false
}

// image returns the image of a request, which the caller may see.
func (a dicomAPI) image(r *http.Request) (*tile.Image, error) {
	im, _, err := a.find(r.Context(), pictureRequest(r))
	return im, err
}

// labels reports whether the caller may see the label and the names of an image.
func (a dicomAPI) labels(ctx context.Context, f *tile.File) (bool, error) {
	if a.Access == nil {
		return true, nil
	}
	an, err := a.Access.Gate.Allow(ctx, callerOf(ctx).cred, authz.Request{Store: f.Store.ID, Image: f.ID, ExternalID: f.ExternalID, Scope: labelScope(f.Store.HideLabels)})
	if err != nil {
		return false, authz.Problem(err)
	}
	return an.Allow, nil
}

// showLabel records that the caller sees patient data of an image.
func (a dicomAPI) showLabel(ctx context.Context, f *tile.File) error {
	if a.Access == nil {
		return nil
	}
	return guard(a).recordLabel(ctx, callerOf(ctx), f)
}

// visibility returns what the caller may see.
func (a dicomAPI) visibility(ctx context.Context) (*visibility, error) {
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	return a.visibilityOf(ctx, stores)
}

// list returns a page of the available images that the caller may see, newest first.
func (a dicomAPI) list(ctx context.Context, cursor string, limit int) (*dicomweb.Page, error) {
	v, err := a.visibility(ctx)
	if err != nil {
		return nil, a.plain(ctx, err)
	}
	page, err := v.images(ctx, catalog.Query{State: catalog.Available, Cursor: cursor, Limit: limit})
	if err != nil {
		return nil, a.plain(ctx, err)
	}
	labels, err := v.labelled(ctx, page.Items)
	if err != nil {
		return nil, a.plain(ctx, err)
	}
	return &dicomweb.Page{Images: page.Items, Labels: labels, Next: page.NextCursor}, nil
}

// seen returns those of the images that the caller may see.
func (a dicomAPI) seen(ctx context.Context, images []catalog.Image) (*dicomweb.Page, error) {
	if len(images) == 0 {
		return &dicomweb.Page{}, nil
	}
	v, err := a.visibility(ctx)
	if err != nil {
		return nil, a.plain(ctx, err)
	}
	page := &dicomweb.Page{}
	if page.Images, err = v.visible(ctx, images); err != nil {
		return nil, a.plain(ctx, err)
	}
	if page.Labels, err = v.labelled(ctx, page.Images); err != nil {
		return nil, a.plain(ctx, err)
	}
	return page, nil
}

// listLabels records that a list shows patient data of images.
func (a dicomAPI) listLabels(ctx context.Context, images []catalog.Image) error {
	ids := make([]string, len(images))
	for i := range images {
		ids[i] = images[i].ID
	}
	return a.recordListed(ctx, "", ids)
}

const (
	dicomStudy    = dicomweb.Prefix + "/studies/{study}"
	dicomSeries   = dicomStudy + "/series/{series}"
	dicomInstance = dicomSeries + "/instances/{instance}"
)

// searchRoutes returns the searches among all studies.
func (a dicomAPI) searchRoutes() []route {
	s := a.dicom
	return []route{
		{path: dicomweb.Prefix + "/studies", handle: s.SearchStudies, op: dicomSearch("search-studies", "Search studies (QIDO-RS)")},
		{path: dicomweb.Prefix + "/series", handle: s.SearchSeries, op: dicomSearch("search-series", "Search series of all studies (QIDO-RS)")},
		{path: dicomweb.Prefix + "/instances", handle: s.SearchInstances, op: dicomSearch("search-instances", "Search instances of all studies (QIDO-RS)")},
	}
}

// studyRoutes returns the routes below a study. Servers of tiles have them too.
func (a dicomAPI) studyRoutes() []route {
	s := a.dicom
	study := textParam("path", "study", "StudyInstanceUID.")
	series := textParam("path", "series", "SeriesInstanceUID.")
	instance := textParam("path", "instance", "SOPInstanceUID.")
	get := func(id, summary, description, contentType string, params ...*huma.Param) huma.Operation {
		return dicomOp("dicom-"+id, summary, description, contentType, params...)
	}
	rendering := func(id, summary string, params ...*huma.Param) huma.Operation {
		return get(id, summary, "As image/jpeg or image/png, as Accept says.", "image/jpeg", append(
			params,
			textParam("query", "viewport", "width,height in pixels, and perhaps x,y,width,height of the part to show."),
			intParam("query", "quality", "Of a JPEG, 1 to 100."),
			textParam("query", "iccprofile", "no (default) or yes: embed the colour profile; srgb: convert the colours."),
		)...)
	}
	const files = "Written while they are sent. Frames are the bytes that the slide file stores, or its pixels where they have no transfer syntax. An instance that is a file is that file, if the caller may see labels."
	const frames = "Bytes as the slide file stores them: JPEG or JPEG 2000; otherwise its pixels. Accept selects parts of multipart/related (the default) or, for one frame, its media type alone."
	return []route{
		{path: dicomStudy + "/series", handle: s.SearchSeries, op: dicomSearch("search-series-of-study", "Search series of a study (QIDO-RS)", study)},
		{path: dicomStudy + "/instances", handle: s.SearchInstances, op: dicomSearch("search-instances-of-study", "Search instances of a study (QIDO-RS)", study)},
		{path: dicomSeries + "/instances", handle: s.SearchInstances, op: dicomSearch("search-instances-of-series", "Search instances of a series (QIDO-RS)", study, series)},
		{path: dicomStudy + "/metadata", handle: s.Metadata, op: get("study-metadata", "Get the attributes of a study (WADO-RS)", "", dicomJSON, study)},
		{path: dicomSeries + "/metadata", handle: s.Metadata, op: get("series-metadata", "Get the attributes of a series (WADO-RS)", "", dicomJSON, study, series)},
		{path: dicomInstance + "/metadata", handle: s.Metadata, op: get("instance-metadata", "Get the attributes of an instance (WADO-RS)", "", dicomJSON, study, series, instance)},
		{path: dicomInstance + "/frames/{frames}", handle: s.Frames, op: get("frames", "Get frames (WADO-RS)", frames, "multipart/related", study, series, instance, textParam("path", "frames", "Numbers from 1 on, with commas between them."))},
		{path: dicomInstance + "/frames/{frame}/rendered", handle: s.RenderedFrame, op: rendering("frame-rendered", "Get a frame as a picture (WADO-RS)", study, series, instance, textParam("path", "frame", "Number of the frame, from 1 on."))},
		{path: dicomInstance + "/rendered", handle: s.Rendered, op: rendering("instance-rendered", "Get an instance as a picture (WADO-RS)", study, series, instance)},
		{path: dicomInstance + "/thumbnail", handle: s.Thumbnail, op: rendering("instance-thumbnail", "Get a small picture of the tissue (WADO-RS)", study, series, instance)},
		{path: dicomSeries + "/thumbnail", handle: s.Thumbnail, op: rendering("series-thumbnail", "Get a small picture of the tissue (WADO-RS)", study, series)},
		{path: dicomStudy + "/thumbnail", handle: s.Thumbnail, op: rendering("study-thumbnail", "Get a small picture of the tissue (WADO-RS)", study)},
		{path: dicomInstance, handle: s.Files, op: get("instance", "Get an instance as a DICOM file (WADO-RS)", files, "application/dicom", study, series, instance)},
		{path: dicomSeries, handle: s.Files, op: get("series", "Get the instances of a series as DICOM files (WADO-RS)", files, "multipart/related", study, series)},
		{path: dicomStudy, handle: s.Files, op: get("study", "Get the instances of a study as DICOM files (WADO-RS)", files, "multipart/related", study)},
		{
			path: dicomInstance + "/bulkdata/{path}", pattern: dicomInstance + "/bulkdata/{path...}", handle: s.BulkData,
			op: get("bulkdata", "Get bulk data such as the colour profile (WADO-RS)", "The address is in the attributes.", "application/octet-stream", study, series, instance, textParam("path", "path", "Tags and numbers of items.")),
		},
	}
}

const dicomJSON = "application/dicom+json"

// dicomSearch describes a search.
func dicomSearch(id, summary string, params ...*huma.Param) huma.Operation {
	params = append(params,
		textParam("query", "includefield", "More attributes: keywords or tags, or all."),
		intParam("query", "limit", "Maximum number of results, up to 5000."),
		intParam("query", "offset", "Results to skip."),
	)
	return dicomOp("dicom-"+id, summary, "Keys are other parameters, such as PatientID, StudyDate or StudyInstanceUID, by keyword or tag; unknown ones are ignored with a Warning.", dicomJSON, params...)
}

// dicomOp describes an operation of DICOMweb.
func dicomOp(id, summary, description, contentType string, params ...*huma.Param) huma.Operation {
	op := huma.Operation{
		OperationID: id, Summary: summary, Description: description, Tags: []string{dicomTag}, Parameters: params,
		Responses: map[string]*huma.Response{
			"200": answers("The answer, with an ETag.", contentType, &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"304": {Description: "Not modified: If-None-Match has the current ETag."},
			"307": {Description: "Another server has the file: see Location."},
		},
	}
	for status, text := range map[string]string{
		"400": "A parameter or the address is not valid: see detail.",
		"401": notLogged,
		"404": "There is no such study, series, instance or frame, or the slide cannot be shown in DICOM.",
		"406": "No acceptable media type or transfer syntax can be sent.",
		"502": "The file is damaged at this place.",
		"503": "The file has just changed or is unreachable, or the server is busy. Retry after the time in Retry-After.",
	} {
		op.Responses[status] = answers(text, httperr.ProblemType, &huma.Schema{Ref: "#/components/schemas/Problem"})
	}
	return op
}
