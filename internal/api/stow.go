package api

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Received records in the audit log how many DICOM instances the caller has sent to a store.
func (a *API) Received(r *http.Request, s *catalog.Store, stored, refused int) error {
	if a.Access == nil {
		return nil
	}
	return a.Audit(r, "dicom.store", s.ID, fmt.Sprintf("%d instances stored, %d refused", stored, refused))
}

// BaseURL returns the URL of this server as the client of a request sees it.
func (a *API) BaseURL(r *http.Request) string { return iiifAPI{a}.baseURL(r) }

// stowRoutes describes the routes by which package dicomweb receives instances.
func stowRoutes() []route {
	op := func(id, summary string, params ...*huma.Param) huma.Operation {
		op := huma.Operation{
			Method: http.MethodPost, OperationID: id, Summary: summary, Tags: []string{dicomTag}, Parameters: params, Responses: map[string]*huma.Response{},
			Description: `The body is multipart/related; type="application/dicom", or one instance as application/dicom. The instances come into the managed store of the setting stow_store.`,
		}
		for status, text := range map[string]string{
			"200": "All instances are on the server's disk, or were there already.", "202": "Some instances were stored: see FailedSOPSequence for the others.",
			"409": "No instance was stored: see FailedSOPSequence and FailureReason.", "507": "The disk is full, or the store's quota is reached.",
		} {
			op.Responses[status] = answers(text, "application/dicom+json", &huma.Schema{Type: huma.TypeObject})
		}
		for status, text := range map[string]string{
			"400": "The body cannot be read.", "401": notLogged, "403": "The caller may not write into the store, or the server does not receive instances.",
			"406": "Accept names no type of answer.", "408": "The client sent almost nothing for a long time.", "415": "The body is of another media type.",
			"503": "The server, the database or the store's folder is busy or unreachable.",
		} {
			op.Responses[status] = problemAnswer(text)
		}
		return op
	}
	return []route{
		{path: "/dicom-web/studies", op: op("store-instances", "Send DICOM instances (STOW-RS)")},
		{path: "/dicom-web/studies/{study}", op: op("store-instances-of-study", "Send DICOM instances of one study (STOW-RS)", textParam("path", "study", "StudyInstanceUID of the instances."))},
	}
}
