package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// caseAPI are the operations on cases. A case is patient data: callers see those of the stores
// whose labels they may see, and without such a store an empty list.
type caseAPI struct{ *API }

const casesRoute = "/api/v1/cases"

// caseItem is a case in a list.
type caseItem struct {
	Accession  string    `json:"accession" example:"S26-00077" doc:"Accession number."`
	Store      string    `json:"store" doc:"Id of the store. Cases of two stores are different ones, even with the same accession number."`
	StoreLabel string    `json:"store_label" doc:"Label of the store."`
	Images     int       `json:"images" doc:"Number of its images that are neither deleted nor hidden."`
	Blocks     []string  `json:"blocks" doc:"Its blocks in natural order, each behind its part."`
	Stains     []string  `json:"stains" doc:"Its stains."`
	Newest     time.Time `json:"newest" doc:"When its newest image was added to the catalog."`
	Thumbnail  *string   `json:"thumbnail_id" doc:"Id of an available image that represents the case."`
}

// caseDetail is a case with its slides.
type caseDetail struct {
	caseItem
	Slides []image `json:"slides" doc:"Its images by part, block and stain, each in natural order; at most 1,000."`
}

type casesInput struct {
	Q         string `query:"q" maxLength:"200" doc:"Parts of the accession number, in any order and ignoring case."`
	Store     string `query:"store" doc:"Only cases of this store."`
	Accession string `query:"accession" maxLength:"2000" doc:"Only cases with exactly this accession number."`
	Barcode   string `query:"barcode" maxLength:"500" doc:"Only cases with an image that has exactly this text of the barcode."`
	External  string `query:"external_id" maxLength:"200" doc:"Only cases with an image that has exactly this id in another application."`
	Sort      string `query:"sort" enum:"newest,accession" default:"newest" doc:"newest is the case with the newest image first; accession sorts numbers as numbers."`
	Cursor    string `query:"cursor" doc:"next_cursor of the previous page."`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
}

type caseInput struct {
	Accession string `path:"accession" maxLength:"2000" doc:"Accession number."`
	Store     string `query:"store" doc:"Only the case of this store."`
}

type caseOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Accession string       `json:"accession" doc:"Accession number."`
		Items     []caseDetail `json:"items" doc:"The case of each store that has it."`
	}
}

func (a caseAPI) register(h huma.API) {
	tags := []string{"cases"}
	register(h, huma.Operation{
		OperationID: "list-cases", Method: http.MethodGet, Path: casesRoute, Tags: tags,
		Summary:     "List cases, a page at a time",
		Description: "Only cases of stores whose labels the caller may see. A case is found by the pattern of its store: see case_pattern of stores.",
	}, problems{400: "The cursor is not one of this list."}, a.list)
	register(h, huma.Operation{
		OperationID: "get-case", Method: http.MethodGet, Path: casesRoute + "/{accession}", Tags: tags,
		Summary:     "Describe a case, with its slides",
		Description: "If several stores have a case with this accession number, there is an item for each.",
	}, problems{404: "No such case in a store whose labels the caller may see."}, a.get)
	register(h, huma.Operation{
		OperationID: "try-case-pattern", Method: http.MethodPost, Path: storeRoute + "/case-pattern", Tags: []string{"stores"},
		Summary:     "Try a case pattern",
		Description: "Returns what the pattern finds in the ten newest images of the store. Nothing is changed.",
	}, problems{404: "No such store."}, a.try)
}

// labelled returns the stores of which the caller may see all labels, and their labels by id; only
// the given one if it is not "".
func (a caseAPI) labelled(ctx context.Context, only string) (v *visibility, ids []string, names map[string]string, err error) {
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, nil, nil, a.failed(ctx, err)
	}
	if v, err = a.visibilityOf(ctx, stores); err != nil {
		return nil, nil, nil, a.failed(ctx, err)
	}
	names = map[string]string{}
	for i := range stores {
		s := &stores[i]
		if v.labels[s.ID] == whole && v.tiles[s.ID] == whole && (only == "" || only == s.ID) {
			ids, names[s.ID] = append(ids, s.ID), s.Label
		}
	}
	return v, ids, names, nil
}

func (a caseAPI) list(ctx context.Context, in *casesInput) (*list[caseItem], error) {
	_, stores, names, err := a.labelled(ctx, in.Store)
	if err != nil {
		return nil, err
	}
	page, err := a.Catalog.Cases.List(ctx, catalog.CaseQuery{
		Stores: stores, Q: in.Q, Accession: in.Accession, Barcode: in.Barcode, ExternalID: in.External, Sort: catalog.CaseSort(in.Sort), Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	var items []caseItem
	var shown []string
	for i := range page.Items {
		items = append(items, newCase(&page.Items[i], names))
		shown = append(shown, page.Items[i].IDs...)
	}
	if !isID(in.Store) {
		in.Store = ""
	}
	return listOf(items, page.NextCursor), a.recordListed(ctx, in.Store, shown)
}

func newCase(c *catalog.Case, stores map[string]string) caseItem {
	v := caseItem{
		Accession: c.Accession, Store: c.StoreID, StoreLabel: stores[c.StoreID], Images: c.Images, Blocks: c.Blocks, Stains: c.Stains, Newest: c.Newest, Thumbnail: known(c.Picture),
	}
	for _, list := range []*[]string{&v.Blocks, &v.Stains} {
		if *list == nil {
			*list = []string{}
		}
	}
	return v
}

func (a caseAPI) get(ctx context.Context, in *caseInput) (*caseOutput, error) {
	v, stores, names, err := a.labelled(ctx, in.Store)
	if err != nil {
		return nil, err
	}
	found, err := a.Catalog.Cases.Get(ctx, in.Accession, stores)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if len(found) == 0 {
		return nil, newError(http.StatusNotFound, "No case with this accession number in the stores whose labels you may see.")
	}
	out := &caseOutput{CacheControl: private}
	out.Body.Accession = in.Accession
	var shown []string
	for i := range found {
		detail := caseDetail{caseItem: newCase(&found[i], names), Slides: []image{}}
		images, err := a.Catalog.Cases.Slides(ctx, found[i].StoreID, found[i].Accession)
		if err != nil {
			return nil, a.failed(ctx, err)
		}
		for j := range images {
			detail.Slides = append(detail.Slides, imageAPI(a).show(ctx, &images[j], v.stores, true))
			shown = append(shown, images[j].ID)
		}
		out.Body.Items = append(out.Body.Items, detail)
	}
	return out, a.recordListed(ctx, "", shown)
}

type tryPatternInput struct {
	Store string `path:"store" doc:"Id of the store."`
	Body  struct {
		Pattern string `json:"case_pattern" maxLength:"500" example:"(?P<accession>S\\d\\d-\\d+)[ _](?P<block>[A-Z]\\d+)[ _](?P<stain>\\w+)" doc:"The pattern: see case_pattern of stores."`
		Source  string `json:"case_source,omitempty" enum:"barcode,filename,folder" doc:"Text in which it finds names; all of them, in this order, if absent."`
	}
}

// triedImage is what a pattern finds in an image.
type triedImage struct {
	ID        string  `json:"id" doc:"Id of the image."`
	Barcode   *string `json:"barcode" doc:"Text of the barcode."`
	FileName  *string `json:"file_name" doc:"Name of the file."`
	Folder    *string `json:"folder" doc:"Folder of the file."`
	Source    *string `json:"source" enum:"barcode,filename,folder" doc:"Text in which the pattern matches; null if it matches nowhere."`
	Accession *string `json:"accession" doc:"Accession number."`
	Part      *string `json:"part" doc:"Part (specimen)."`
	Block     *string `json:"block" doc:"Block."`
	Stain     *string `json:"stain" doc:"Stain."`
}

// triedImages is how many images a pattern is tried on.
const triedImages = 10

func (a caseAPI) try(ctx context.Context, in *tryPatternInput) (*list[triedImage], error) {
	s, err := a.Catalog.Stores.Get(ctx, in.Store)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if err := a.require(ctx, labelScope(s.HideLabels), s.ID); err != nil {
		return nil, err
	}
	pattern, err := catalog.NewCasePattern(in.Body.Pattern, catalog.CaseSource(in.Body.Source))
	if err != nil {
		return nil, invalid(inField("case_pattern", errors.New(words(err, catalog.ErrInvalid))))
	}
	page, err := a.Catalog.Images.List(ctx, catalog.Query{Store: s.ID, Limit: triedImages})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	var items []triedImage
	var shown []string
	for i := range page.Items {
		im := &page.Items[i]
		names, source := pattern.Find(im)
		items = append(items, triedImage{
			ID: im.ID, Barcode: im.Barcode, FileName: known(im.FileName), Folder: known(im.Folder()), Source: known(string(source)),
			Accession: known(names.Accession), Part: known(names.Part), Block: known(names.Block), Stain: known(names.Stain),
		})
		shown = append(shown, im.ID)
	}
	return listOf(items, ""), a.recordListed(ctx, s.ID, shown)
}
