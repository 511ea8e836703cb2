package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// imageAPI are the operations on images.
type imageAPI struct{ *API }

// image is an image as the API shows it. Unknown values are null, never 0 or "".
type image struct {
	ID             string            `json:"id" doc:"Opaque."`
	Store          string            `json:"store" doc:"Id of the store it is in."`
	Revision       string            `json:"revision" doc:"Changes whenever the file does."`
	State          string            `json:"state" enum:"available,arriving,unsupported,broken,missing,quarantined" doc:"State of the image; only available images have tiles."`
	Reason         *string           `json:"reason" doc:"Why the image is not available."`
	Format         *string           `json:"format" example:"philips" doc:"Format of the file."`
	Vendor         *string           `json:"vendor" doc:"Manufacturer of the scanner."`
	Width          *int              `json:"width" doc:"Pixels of level 0, or of its part with the image: see bounds."`
	Height         *int              `json:"height" doc:"Pixels of level 0, or of its part with the image: see bounds."`
	Bounds         *catalog.Bounds   `json:"bounds" doc:"The part of level 0 with the image, in pixels from its top left; null for all of it. Tiles by zoom level and by name are those of the complete levels; in Deep Zoom, IIIF and Zoomify the image begins at the corner of the part."`
	TileWidth      *int              `json:"tile_width" doc:"Pixels of the tiles of level 0."`
	TileHeight     *int              `json:"tile_height" doc:"Pixels of the tiles of level 0."`
	MaxZoom        *int              `json:"max_zoom" doc:"Zoom level that shows level 0."`
	Levels         []catalog.Level   `json:"levels" doc:"Levels in the file, largest first."`
	MPPX           *float64          `json:"mpp_x" doc:"Micrometres per pixel of level 0, horizontally."`
	MPPY           *float64          `json:"mpp_y" doc:"Micrometres per pixel of level 0, vertically."`
	ObjectivePower *float64          `json:"objective_power" example:"40" doc:"Magnification of the objective."`
	Barcode        *string           `json:"barcode" doc:"Text of the barcode."`
	Label          *string           `json:"label" doc:"Label, set by users."`
	FileName       *string           `json:"file_name" doc:"Name of the file, without its folder."`
	Folder         *string           `json:"folder" doc:"Folder of the file in an in-place store, relative to the root of the store; null in the root, in other stores, and without the right to see file names."`
	Aliases        []string          `json:"aliases" doc:"Other names of the same file."`
	ExternalID     *string           `json:"external_id" doc:"Id of the image in another application."`
	Accession      *string           `json:"accession" example:"S26-00077" doc:"Accession number of its case."`
	Part           *string           `json:"part" example:"A" doc:"Part (specimen) in its case."`
	Block          *string           `json:"block" example:"1" doc:"Block in its case."`
	Stain          *string           `json:"stain" example:"HE" doc:"Stain. Unlike the names before it, callers without the right to labels see it."`
	Corrected      []string          `json:"corrected" doc:"Which of accession, part, block and stain users have set; the others are those that the pattern of the store finds."`
	Size           int64             `json:"size" doc:"Size of the file in bytes."`
	Digest         *string           `json:"digest" doc:"SHA-256 of the file; null until it has been calculated."`
	TileURL        *string           `json:"tile_url" doc:"Template with {z}, {x} and {y}."`
	Associated     []string          `json:"associated" doc:"Available associated images: label, macro, thumbnail."`
	Profile        *profile.Info     `json:"profile" doc:"Colour profile of the pixels; null without one. Pixels are sent as they were scanned unless icc asks for something else."`
	Viewers        []viewerLink      `json:"viewers" doc:"Links to the image in DICOM viewers that the site has configured; null in lists."`
	Properties     map[string]string `json:"properties" doc:"Further properties from the file: optics, scanner, compression."`
	CreatedAt      time.Time         `json:"created_at" doc:"When the image was added to the catalog."`
	UpdatedAt      time.Time         `json:"updated_at" doc:"When its record was last changed."`
	MissingSince   *time.Time        `json:"missing_since" doc:"Since when the file has been missing."`
	DeletedAt      *time.Time        `json:"deleted_at" doc:"When a user deleted the image; only in the list of deleted images."`

	fields fields // in JSON; nil for all
}

type imageOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         image
}

type imagesInput struct {
	Store     string   `query:"store" doc:"Only images of this store."`
	Q         string   `query:"q" maxLength:"200" doc:"Part of the file name, folder, label, barcode or external id: anywhere from 3 characters on, else at the beginning."`
	External  string   `query:"external_id" maxLength:"200" doc:"Only images with exactly this id in another application."`
	Barcode   string   `query:"barcode" maxLength:"500" doc:"Only images with exactly this text of the barcode."`
	Accession string   `query:"accession" maxLength:"2000" doc:"Only images whose case has exactly this accession number."`
	State     string   `query:"state" enum:"available,arriving,unsupported,broken,missing,quarantined" doc:"Only images in this state."`
	Deleted   bool     `query:"deleted" doc:"List the images that can be restored instead: deleted ones, and ones hidden because they have been missing for long. state has no effect then. For admins only."`
	Sort      string   `query:"sort" enum:"created,name,size,state" default:"created" doc:"created is newest first."`
	Cursor    string   `query:"cursor" doc:"next_cursor of the previous page."`
	Limit     int      `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Maximum number of items."`
	Fields    []string `query:"fields" maxItems:"40" doc:"Only these fields of each image, separated by commas, such as id,state,label; all if absent. The others are then absent from the response, although the schema requires them."`
}

type imagesOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []image `json:"items" doc:"Items of the page."`
		NextCursor *string `json:"next_cursor" doc:"null at the end of the list."`
	}
}

type imagePath struct {
	Image string `path:"image" doc:"Id of the image."`
}

const imageRoute = "/api/v1/images/{image}"

const (
	noSuchImage = "No such image."
	onlyReads   = "The database or the file is unreachable; or this server only reads."
)

func (a imageAPI) register(h huma.API) {
	register(h, huma.Operation{
		OperationID: "list-images", Method: http.MethodGet, Path: "/api/v1/images", Tags: []string{"images"},
		Summary:     "List images, a page at a time",
		Description: "Follow next_cursor for the next page. An image that exists during the whole listing is on exactly one page, even if others are added or removed meanwhile.",
	}, problems{400: "The cursor is not one of this list.", 403: "Only an admin may see what was deleted.", 404: "No such store."}, a.list)
	register(h, huma.Operation{
		OperationID: "get-image", Method: http.MethodGet, Path: imageRoute, Tags: []string{"images"},
		Summary: "Describe an image",
	}, problems{404: noSuchImage}, a.get)
	register(h, huma.Operation{
		OperationID: "edit-image", Method: http.MethodPatch, Path: imageRoute, Tags: []string{"images"},
		Summary:     "Set the external id, the label or the names of the case of an image",
		Description: "A JSON merge patch (RFC 7396): absent fields stay unchanged, null removes a value.",
	}, problems{403: "The caller may not change images of this store.", 404: noSuchImage}, a.edit)
	register(h, huma.Operation{
		OperationID: "delete-image", Method: http.MethodDelete, Path: imageRoute, Tags: []string{"images"},
		Summary:     "Delete an image",
		Description: "The image is hidden until it is restored; a sync does not bring it back. A file of a managed store moves to the store's trash; a file of an in-place store stays in its place.",
	}, problems{404: noSuchImage, 409: "The file is in use by a task.", 503: onlyReads}, a.delete)
	register(h, huma.Operation{
		OperationID: "restore-image", Method: http.MethodPost, Path: imageRoute + "/restore", Tags: []string{"images"},
		Summary: "Restore an image that was deleted, or hidden because it was missing",
	}, problems{404: noSuchImage, 409: "The slide has been added again, or its file is in use by a task.", 410: "Its file is no longer in the trash.", 503: onlyReads}, a.restore)
	register(h, huma.Operation{
		OperationID: "retry-image", Method: http.MethodPost, Path: imageRoute + "/retry", Tags: []string{"images"},
		Summary:     "Inspect an image's file again",
		Description: "In a managed store, a file in quarantine moves back to the incoming folder.",
	}, problems{404: noSuchImage, 409: "Another file has its name, or a task uses the file.", 503: onlyReads}, a.retry)
	register(h, huma.Operation{
		OperationID: "sign-image", Method: http.MethodPost, Path: imageRoute + "/sign", Tags: []string{"images"},
		Summary:     "Create a signed link to an image, which works without a login",
		Description: "Append query to the image's URLs. They then give access to tiles and rendered images, and with scope label also to patient data. The link stops working when its creator loses the permission.",
	}, problems{401: notLogged, 403: notAllowed, 404: noPeople + " Or there is no such image."}, a.sign)
}

func (a imageAPI) list(ctx context.Context, in *imagesInput) (*imagesOutput, error) {
	fields, err := newFields(in.Fields)
	if err != nil {
		return nil, invalid(err)
	}
	if in.Deleted {
		if err := mayChange(ctx); err != nil {
			return nil, err
		}
	}
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	vis, err := a.visibilityOf(ctx, stores)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	page, err := vis.images(ctx, catalog.Query{
		Hidden: in.Deleted, Store: in.Store, Q: in.Q, ExternalID: in.External, Barcode: in.Barcode, Accession: in.Accession, State: catalog.State(in.State), Sort: catalog.Sort(in.Sort), Cursor: in.Cursor, Limit: in.Limit, Labels: true,
	})
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	labelled, err := vis.labelled(ctx, page.Items)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	if fields.labels() || in.Q != "" || in.External != "" || in.Barcode != "" || in.Accession != "" || in.Sort == string(catalog.SortName) { // which images match, and their order, tell names
		if err := vis.recordLabels(ctx, in.Store, page.Items, labelled); err != nil {
			return nil, a.failed(ctx, err)
		}
	}
	out := &imagesOutput{CacheControl: private}
	out.Body.Items = make([]image, 0, len(page.Items))
	for i := range page.Items {
		v := a.show(ctx, &page.Items[i], stores, labelled[i])
		v.fields = fields
		out.Body.Items = append(out.Body.Items, v)
	}
	out.Body.NextCursor = known(page.NextCursor)
	return out, nil
}

func (a imageAPI) get(ctx context.Context, in *imagePath) (*imageOutput, error) {
	im, err := a.Catalog.Images.Get(ctx, in.Image)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	s, err := a.Catalog.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	stores := []catalog.Store{*s}
	labels, err := a.showsLabel(ctx, s, im)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &imageOutput{CacheControl: private, Body: a.show(ctx, im, stores, labels)}
	out.Body.Viewers = a.viewerLinks(im)
	if im.Profile == nil && im.State == catalog.Available {
		out.Body.Profile = a.currentProfile(ctx, im.ID)
	}
	return out, nil
}

// currentProfile returns the colour profile of an image that was inspected before profiles were
// recorded, or nil if it has none or its file cannot be read at once.
func (a imageAPI) currentProfile(ctx context.Context, id string) *profile.Info {
	im, err := a.Tiles.Image(id)
	if err != nil || im.File.Store.Elsewhere != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p, err := im.Profile(ctx)
	if err != nil || p == nil {
		return nil
	}
	return &p.Info
}

// change calls f, which changes an image.
func (a imageAPI) change(ctx context.Context, id string, f func(context.Context, string) error) error {
	if f == nil {
		return newError(http.StatusServiceUnavailable, "This server is read-only: use the server that manages the stores.")
	}
	err := f(ctx, id)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, scan.ErrNoRoot):
		return newError(http.StatusServiceUnavailable, "The store's folder is unreachable. Check that its disk is mounted.")
	case errors.Is(err, scan.ErrManyMissing), errors.Is(err, scan.ErrOtherRoot):
		return huma.ErrorWithHeaders(newError(http.StatusServiceUnavailable, sentence(err)), http.Header{"Retry-After": {"30"}})
	case errors.Is(err, scan.ErrBusy), errors.Is(err, managed.ErrReplaced), errors.Is(err, managed.ErrInTheWay):
		return newError(http.StatusConflict, sentence(err))
	case errors.Is(err, fs.ErrNotExist):
		return newError(http.StatusGone, "The file no longer exists: the trash has been emptied.")
	}
	return a.failed(ctx, err)
}

func (a imageAPI) delete(ctx context.Context, in *imagePath) (*struct{}, error) {
	return nil, a.change(ctx, in.Image, a.Remove)
}

func (a imageAPI) restore(ctx context.Context, in *imagePath) (*imageOutput, error) {
	if err := a.change(ctx, in.Image, a.Restore); err != nil {
		return nil, err
	}
	return a.get(ctx, in)
}

func (a imageAPI) retry(ctx context.Context, in *imagePath) (*imageOutput, error) {
	if err := a.change(ctx, in.Image, a.Retry); err != nil {
		return nil, err
	}
	return a.get(ctx, in)
}

// show returns an image as the caller may see it: with or without patient data.
func (a imageAPI) show(ctx context.Context, im *catalog.Image, stores []catalog.Store, labels bool) image {
	endpoint, mode := "", catalog.Mode("")
	for i := range stores {
		if stores[i].ID == im.StoreID {
			endpoint, mode = strings.TrimSuffix(stores[i].Endpoint, "/"), stores[i].Mode
		}
	}
	v := newImage(im, mode, endpoint)
	if !labels {
		v.withoutLabels()
	}
	if endpoint != "" && v.TileURL != nil {
		if pass := redirector(a).accessToken(ctx, im.StoreID, im.ID, seeTiles); pass != "" {
			*v.TileURL += "&pass=" + pass
		}
	}
	return v
}

// withoutLabels removes everything that is or may be patient data.
func (v *image) withoutLabels() {
	v.Barcode, v.Label, v.FileName, v.Folder, v.ExternalID, v.Reason = nil, nil, nil, nil, nil, nil
	v.Accession, v.Part, v.Block = nil, nil, nil
	v.Aliases, v.Corrected = []string{}, []string{}
	v.Associated = slices.DeleteFunc(v.Associated, func(kind string) bool { return kind != "thumbnail" })
	kept := map[string]string{}
	for key, value := range v.Properties {
		if technical[key] {
			kept[key] = value
		}
	}
	v.Properties = kept
}

// newImage returns an image with all fields. Mode is that of its store.
func newImage(im *catalog.Image, mode catalog.Mode, endpoint string) image {
	v := image{
		ID: im.ID, Store: im.StoreID, Revision: im.Revision, State: string(im.State), Reason: known(im.Reason),
		Format: known(im.Format), Vendor: known(im.Vendor), Width: known(im.Width), Height: known(im.Height), Bounds: im.Bounds,
		TileWidth: known(im.TileWidth), TileHeight: known(im.TileHeight),
		Levels: im.Levels, MPPX: im.MPPX, MPPY: im.MPPY, ObjectivePower: im.ObjectivePower,
		Barcode: im.Barcode, Label: im.Label, FileName: known(im.FileName), Aliases: im.Aliases, ExternalID: im.ExternalID,
		Accession: known(im.Names.Accession), Part: known(im.Names.Part), Block: known(im.Names.Block), Stain: known(im.Names.Stain), Corrected: corrected(im),
		Size: im.Identity.Size, Digest: im.Digest, Associated: associated(im), Properties: im.Properties,
		CreatedAt: im.CreatedAt.UTC(), UpdatedAt: im.UpdatedAt.UTC(), MissingSince: im.MissingSince, DeletedAt: im.DeletedAt,
	}
	if p := im.Profile; p != nil && !p.None {
		v.Profile = &profile.Info{
			Name: p.Name, Class: p.Class, Space: p.Space, Version: p.Version, Size: p.Size, SRGB: p.SRGB, Usable: p.Usable, Reason: p.Reason, InTiles: p.InTiles,
		}
	}
	if mode == catalog.InPlace {
		v.Folder = known(im.Folder())
	}
	if v.Levels == nil {
		v.Levels = []catalog.Level{}
	}
	if v.Aliases == nil {
		v.Aliases = []string{}
	}
	if v.Properties == nil {
		v.Properties = map[string]string{}
	}
	if im.State == catalog.Available && im.DeletedAt == nil {
		v.MaxZoom = &im.MaxZoom
		v.TileURL = known(endpoint + "/api/v1/images/" + im.ID + "/tiles/{z}/{x}/{y}.jpg?v=" + im.Revision)
	}
	return v
}

// corrected lists the names of the case of an image that users have set.
func corrected(im *catalog.Image) []string {
	names := []string{}
	for _, f := range caseFields {
		if *f.to(im) != nil {
			names = append(names, f.name)
		}
	}
	return names
}

// associated lists the available pictures: those in the file, and a label rendered from
// the barcode.
func associated(im *catalog.Image) []string {
	list := append([]string{}, im.Associated...)
	if im.Barcode != nil && !slices.Contains(list, "label") {
		list = append(list, "label")
		slices.Sort(list)
	}
	return list
}

// showsLabel reports whether the caller may see an image's label and names, and if so
// records it in the audit log.
func (a imageAPI) showsLabel(ctx context.Context, s *catalog.Store, im *catalog.Image) (bool, error) {
	if a.Access == nil {
		return true, nil
	}
	c := callerOf(ctx)
	an, err := a.Access.Gate.Allow(ctx, c.cred, requestFor(im, labelScope(s.HideLabels)))
	if err != nil {
		return false, authz.Problem(err)
	}
	if !an.Allow {
		return false, nil
	}
	if c.ID == "" {
		return true, a.record(ctx, account.Event{User: an.User.ID, Act: showLabel, Object: im.ID, Allowed: true, Detail: byLink})
	}
	return true, a.recordOpened(ctx, im.ID)
}

// technical are the properties that reveal nothing about a patient, a person or a time.
// The others are only shown with labels.
var technical = map[string]bool{
	"aperio.AppMag": true, "aperio.MPP": true, "aperio.OriginalWidth": true, "aperio.OriginalHeight": true,
	"aperio.StripeWidth": true, "aperio.Gamma": true, "aperio.LineCameraSkew": true, "aperio.ICC Profile": true,
	"philips.DICOM_MANUFACTURER": true, "philips.DICOM_MANUFACTURERS_MODEL_NAME": true,
	"philips.DICOM_BITS_ALLOCATED": true, "philips.DICOM_BITS_STORED": true, "philips.DICOM_HIGH_BIT": true,
	"philips.DICOM_SAMPLES_PER_PIXEL": true, "philips.DICOM_PHOTOMETRIC_INTERPRETATION": true, "philips.DICOM_PLANAR_CONFIGURATION": true,
	"philips.DICOM_PIXEL_REPRESENTATION": true, "philips.DICOM_PIXEL_SPACING": true,
	"philips.DICOM_LOSSY_IMAGE_COMPRESSION": true, "philips.DICOM_LOSSY_IMAGE_COMPRESSION_METHOD": true,
	"philips.DICOM_LOSSY_IMAGE_COMPRESSION_RATIO": true, "philips.DICOM_SOFTWARE_VERSIONS": true,
	"dicom.Manufacturer": true, "dicom.ManufacturerModelName": true, "dicom.SoftwareVersions": true,
	"dicom.TransferSyntaxUID": true, "dicom.PhotometricInterpretation": true, "dicom.LossyImageCompression": true,
	"dicom.LossyImageCompressionRatio": true, "dicom.LossyImageCompressionMethod": true,
	"dicom.FocusMethod": true, "dicom.ExtendedDepthOfField": true,
	"slideatlas.CoordinateSystem": true,
	"tiff.Make":                   true, "tiff.Model": true,
}
