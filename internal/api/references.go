package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// referenceAPI is the route of references: an image as a Zarr group whose chunks are the tiles of this
// server, for fsspec (its reference file system, version 1) and the programs above it: Zarr, Dask,
// tifffile.
type referenceAPI struct{ iiifAPI }

const referencesPath = "/api/v1/images/{image}/references.json"

// maxReferences limits the tiles of an answer, and so its size to some 20 MB.
const maxReferences = 300_000

// zarray is the description of an array of Zarr, version 2.
type zarray struct {
	Format     int               `json:"zarr_format"`
	Shape      [3]int            `json:"shape"`  // rows, columns, colours
	Chunks     [3]int            `json:"chunks"` // of a tile
	Type       string            `json:"dtype"`
	Compressor map[string]string `json:"compressor"`
	Fill       int               `json:"fill_value"`
	Order      string            `json:"order"`
	Filters    any               `json:"filters"`
}

// references answers with the references of an image.
func (a referenceAPI) references(w http.ResponseWriter, r *http.Request) error {
	found, _, err := a.find(r.Context(), &tile.Request{Image: r.PathValue("image")})
	if err != nil {
		return explained(err)
	}
	im, err := a.Catalog.Images.Get(r.Context(), found.File.ID)
	if err != nil {
		return a.plain(r.Context(), err)
	}
	levels, err := wantedLevels(r, im)
	if err != nil {
		return err
	}
	b, err := newReferences(a.baseURL(r), im, levels)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", private)
	return httperr.Send(w, r, "application/json", b)
}

// wantedLevels returns the stored levels of the answer: all, or the one that the request names.
func wantedLevels(r *http.Request, im *catalog.Image) (levels []int, err error) {
	tiles := 0
	given := r.URL.Query().Get("level")
	only, err := strconv.Atoi(given)
	if given != "" && (err != nil || only < 0 || only >= len(im.Levels)) {
		return nil, &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf("level is a number from 0 to %d.", len(im.Levels)-1)}
	}
	for i, l := range im.Levels {
		if given == "" || i == only {
			levels, tiles = append(levels, i), tiles+l.Columns*l.Rows
		}
	}
	if tiles > maxReferences {
		return nil, &httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The levels have %d tiles, and an answer has at most %d: ask for one level by level=.", tiles, maxReferences)}
	}
	return levels, nil
}

// newReferences returns the references of levels of an image.
func newReferences(base string, im *catalog.Image, levels []int) ([]byte, error) {
	var b strings.Builder
	text := func(v any) error { // JSON within JSON
		inner, err := json.Marshal(v)
		if err != nil {
			return err
		}
		outer, err := json.Marshal(string(inner))
		b.Write(outer)
		return err
	}
	template, err := json.Marshal(base + "/apiv1/slides/" + im.ID)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, `{"version":1,"templates":{"u":%s},"refs":{".zgroup":"{\"zarr_format\":2}",".zattrs":`, template)
	if err := text(attributesOf(im, levels)); err != nil {
		return nil, err
	}
	for _, i := range levels {
		l := im.Levels[i]
		fmt.Fprintf(&b, `,"%d/.zarray":`, i)
		err := text(zarray{
			Format: 2, Shape: [3]int{l.Height, l.Width, 3}, Chunks: [3]int{l.TileHeight, l.TileWidth, 3}, Type: "|u1",
			Compressor: map[string]string{"id": "imagecodecs_jpeg"}, Fill: 255, Order: "C",
		})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `,"%d/.zattrs":"{\"_ARRAY_DIMENSIONS\":[\"Y\",\"X\",\"S\"]}"`, i)
		for y := range l.Rows {
			for x := range l.Columns {
				fmt.Fprintf(&b, `,"%d/%d.%d.0":["{{u}}/%d/%d/%d?v=%s"]`, i, y, x, x, y, i, im.Revision)
			}
		}
	}
	b.WriteString("}}")
	return []byte(b.String()), nil
}

// attributesOf returns the attributes of the group: the levels as multiscales of OME-Zarr 0.4, with the
// size of a pixel in micrometres where it is known.
func attributesOf(im *catalog.Image, levels []int) any {
	type transformation struct {
		Type  string     `json:"type"`
		Scale [3]float64 `json:"scale"`
	}
	type dataset struct {
		Path            string           `json:"path"`
		Transformations []transformation `json:"coordinateTransformations"`
	}
	type axis struct {
		Name string `json:"name"`
		Type string `json:"type"`
		Unit string `json:"unit,omitempty"`
	}
	type multiscale struct {
		Version  string    `json:"version"`
		Axes     []axis    `json:"axes"`
		Datasets []dataset `json:"datasets"`
	}
	mppX, mppY, unit := 1.0, 1.0, ""
	if im.MPPX != nil && im.MPPY != nil {
		mppX, mppY, unit = *im.MPPX, *im.MPPY, "micrometer"
	}
	m := multiscale{Version: "0.4", Axes: []axis{{"y", "space", unit}, {"x", "space", unit}, {"c", "channel", ""}}}
	for _, i := range levels {
		d := im.Levels[i].Downsample
		m.Datasets = append(m.Datasets, dataset{strconv.Itoa(i), []transformation{{"scale", [3]float64{mppY * d, mppX * d, 1}}}})
	}
	return map[string]any{"multiscales": []multiscale{m}}
}

// routes returns the route of references.
func (a referenceAPI) routes() []route {
	op := huma.Operation{
		OperationID: "get-references", Summary: "Get the tiles of an image as references of a Zarr group", Tags: []string{tilesTag},
		Description: "A reference file of fsspec (version 1) for a Zarr group with an array for each stored level, whose chunks are the stored tiles, by their addresses at this server. The codec is imagecodecs_jpeg. Arrays have the size of the complete levels: see bounds of the image.",
		Parameters:  []*huma.Param{imageParam, intParam("query", "level", "Only this stored level, 0 being the largest; all if absent.")},
		Responses:   map[string]*huma.Response{"200": answers("The references.", "application/json", &huma.Schema{Type: huma.TypeObject})},
	}
	for status, text := range map[string]string{"404": noSuchImage, "413": "The image has too many tiles: ask for one level.", "422": "The image has no such level."} {
		op.Responses[status] = problemAnswer(text)
	}
	return []route{{path: referencesPath, handle: a.references, op: op}}
}
