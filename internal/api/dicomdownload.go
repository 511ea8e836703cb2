package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// downloadAPI is the route of a slide as a DICOM series, in a ZIP file.
type downloadAPI struct{ *API }

const downloadPath = "/api/v1/images/{image}/dicom"

// exportImage is the audit log's act for a slide that leaves the server as a file.
const exportImage = "image.export"

// isDownload reports whether a path is that of [downloadPath].
func isDownload(path string) bool {
	return strings.HasPrefix(path, "/api/v1/images/") && strings.HasSuffix(path, "/dicom")
}

var errDownloadBoth = &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "A de-identified series has no label: use labels or deidentify."}

// parseDownload returns what a request for a DICOM series is for.
func parseDownload(r *http.Request) (c dicom.Choice, err error) {
	q := r.URL.Query()
	for name, to := range map[string]*bool{"labels": &c.Labels, "deidentify": &c.Deidentify} {
		if v := q.Get(name); v != "" {
			if *to, err = strconv.ParseBool(v); err != nil {
				return c, &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: name + " is true or false."}
			}
		}
	}
	if c.Labels && c.Deidentify {
		return c, errDownloadBoth
	}
	return c, nil
}

// series answers with the series of an image. Its size is known before its tiles are read. Each
// frame is read under the revision with which the answer began; if that fails, the connection is
// closed before the end.
func (a downloadAPI) series(w http.ResponseWriter, r *http.Request) error {
	im, _, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	choice, err := parseDownload(r)
	if err != nil {
		return err
	}
	if v := r.URL.Query().Get("v"); v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	o, err := a.options(r.Context(), im.File.ID, choice)
	if err != nil {
		return err
	}
	archive, uid, err := a.archive(r.Context(), im, o)
	if err != nil {
		return err
	}
	if r.Method != http.MethodHead {
		if err := a.recordExport(r.Context(), &im.File, choice); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Length", strconv.FormatInt(archive.Size, 10))
	h.Set("Content-Disposition", `attachment; filename="`+uid+`.zip"`)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return nil
	}
	if http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	var failed error
	read := a.frames(r.Context(), im)
	err = archive.WriteTo(w, func(in *dicom.Instance, dst []byte, n int) ([]byte, error) {
		dst, failed = read(in, dst, n)
		return dst, failed
	})
	if failed != nil && r.Context().Err() == nil {
		httperr.LogError(r, explained(failed))
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that the client does not take a part for all
	}
	return nil
}

// options returns the options of a download of an image.
func (a downloadAPI) options(ctx context.Context, image string, c dicom.Choice) (dicom.Options, error) {
	im, err := a.Catalog.Images.Get(ctx, image)
	if err != nil {
		return dicom.Options{}, a.plain(ctx, err)
	}
	o, err := c.Options(image, im.Barcode, func() ([]byte, error) { return a.Catalog.SiteKey(ctx, dicom.SiteKey) })
	if err != nil {
		return o, a.plain(ctx, err)
	}
	return o, nil
}

// archive describes the series of an image, and returns the UID of its series.
func (a downloadAPI) archive(ctx context.Context, im *tile.Image, o dicom.Options) (archive *dicom.Archive, uid string, err error) {
	err = im.View(ctx, func(s *slide.Slide, _ tile.Lease) error {
		d, err := dicom.NewSeries(s, o)
		if err != nil {
			return err
		}
		uid = d.UID
		archive, err = d.NewArchive(ctx)
		return err
	})
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		err = &httperr.Error{Status: http.StatusUnprocessableEntity, Detail: "The file of this slide does not state the size of a pixel, which DICOM needs: use the command dicom export with --mpp."}
	case err != nil:
		err = explained(err)
	}
	return archive, uid, err
}

// frames returns a function that reads frames of an image as long as it does not change. A busy
// server is no reason to end a download.
func (a downloadAPI) frames(ctx context.Context, im *tile.Image) func(*dicom.Instance, []byte, int) ([]byte, error) {
	return func(in *dicom.Instance, dst []byte, n int) ([]byte, error) {
		for end := time.Now().Add(busyTime); ; {
			var frame []byte
			err := im.View(ctx, func(s *slide.Slide, lease tile.Lease) (err error) {
				if !in.IsDecoded() {
					frame, err = in.AppendPieceOf(ctx, s, dst, n)
					return err
				}
				b, err := a.Renderer.Work(ctx, lease, func(ctx context.Context) ([]byte, error) { return in.AppendPieceOf(ctx, s, nil, n) })
				frame = append(dst, b...)
				return err
			})
			if !errors.Is(err, tile.ErrBusy) || time.Now().After(end) {
				return frame, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(busyPause):
			}
		}
	}
}

// recordExport records a download in the audit log. If that fails, there is no download.
func (a downloadAPI) recordExport(ctx context.Context, f *tile.File, c dicom.Choice) error {
	if a.Access == nil {
		return nil
	}
	e := account.Event{Act: exportImage, Object: f.ID, Allowed: true, Detail: "DICOM"}
	switch {
	case c.Labels:
		e.Detail = "DICOM with label and macro"
	case c.Deidentify:
		e.Detail = "DICOM, de-identified"
	}
	if by := callerOf(ctx); by.ID == "" && !by.cred.None() { // an access token or link names its user
		an, err := a.Access.Gate.Allow(ctx, by.cred, authz.Request{Store: f.Store.ID, Image: f.ID, ExternalID: f.ExternalID, Scope: seeTiles})
		if err != nil {
			return authz.Problem(err)
		}
		e.User, e.Detail = an.User.ID, e.Detail+", "+byLink
	}
	return a.record(ctx, e)
}

// routes returns the route of downloads.
func (a downloadAPI) routes() []route {
	flag := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeBoolean}}
	}
	op := huma.Operation{
		OperationID: "get-dicom", Summary: "Download a slide as a DICOM series", Tags: []string{picturesTag},
		Description: "A ZIP file with a VL Whole Slide Microscopy image for each level: the same tiles, or their pixels where DICOM has no transfer syntax for them, which are sent while they are read. An image that is a DICOM series keeps its identifiers, and with labels its files. The identifiers are those of /dicom-web. If the slide changes meanwhile, the connection is closed before the end. Each download is recorded in the audit log as image.export.",
		Parameters: []*huma.Param{
			imageParam, flag("labels", "Include label and macro, and the barcode: needs the right to see labels."),
			flag("deidentify", "No label, macro, barcode, dates and serial number, no comments in tiles, and other identifiers, which are the same in each download."), revisionParam,
		},
		Responses: map[string]*huma.Response{
			"200": answers("A ZIP file, with Content-Length. Files are not compressed.", "application/zip", &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"307": {Description: "Another server has the file: see Location."},
		},
	}
	for status, text := range map[string]string{
		"403": notAllowed,
		"404": "No such image, or not the current revision.",
		"422": "The slide cannot be a DICOM series as it is stored; or labels and deidentify are both true, or have another value than true or false: see detail.",
		"502": "The file is damaged, or has an unsupported encoding.",
		"503": "The file has just changed or is unreachable, or the server is busy. Retry after the time in Retry-After.",
	} {
		op.Responses[status] = problemAnswer(text)
	}
	return []route{{path: downloadPath, handle: a.series, op: op}}
}

// checkExport checks that the caller may export an image, with its label if that is asked for, and
// records it in the audit log.
func (a taskAPI) checkExport(ctx context.Context, args task.Args) error {
	if args.Store == "" || args.Image == "" {
		return invalid(errors.New("args.image: name the store and the image to export"))
	}
	if args.Labels && args.Deidentify {
		return invalid(fmt.Errorf("args.labels: %w", dicom.ErrChoice))
	}
	detail := "DICOM, by a task"
	switch {
	case args.Deidentify:
		detail = "DICOM, de-identified, by a task"
	case args.Labels:
		s, err := a.Catalog.Stores.Get(ctx, args.Store)
		if err != nil {
			return a.failed(ctx, err)
		}
		if err := a.require(ctx, labelScope(s.HideLabels), args.Store); err != nil {
			return err
		}
		detail = "DICOM with label and macro, by a task"
	}
	if err := a.record(ctx, account.Event{Act: exportImage, Object: args.Image, Allowed: true, Detail: detail}); err != nil {
		return a.failed(ctx, err)
	}
	return nil
}
