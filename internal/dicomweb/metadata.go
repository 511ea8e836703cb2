package dicomweb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Metadata answers with the attributes of an instance, or of all instances of a series or a study.
func (s *Service) Metadata(w http.ResponseWriter, r *http.Request) error {
	contentType := jsonForm(acceptOf(r))
	if contentType == "" {
		return notAcceptable(typeJSON)
	}
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	if sub.labels {
		if err := s.showsPatient(w, r, sub); err != nil {
			return err
		}
	}
	list := sub.series.instances
	if sub.in != nil {
		list = []*instance{sub.in}
	}
	out := []byte{'['}
	for i, in := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, in.json...)
	}
	return sendWhole(w, r, contentType, s.addressed(r, append(out, ']')))
}

// sendWhole sends a body that depends on the caller, with an ETag of its bytes.
func sendWhole(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept")
	if match := httperr.IfNoneMatch(r); match != "" && etag.Matches(match, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return httperr.Send(w, r, contentType, body)
}

// BulkData answers with a value that attributes leave out: the colour profile.
func (s *Service) BulkData(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	var value []byte
	if "/bulkdata/"+r.PathValue("path") == iccPath {
		if path := sub.in.Attributes.Get(dicom.OpticalPathSequence); path != nil && len(path.Items) > 0 {
			if icc := path.Items[0].Get(dicom.ICCProfile); icc != nil {
				value = icc.Bytes
			}
		}
	}
	if value == nil {
		return &httperr.Error{Status: http.StatusNotFound, Detail: "The instance has no such bulk data."}
	}
	f, ok := bulkForm(acceptOf(r))
	if !ok {
		return notAcceptable(`multipart/related; type="application/octet-stream", or application/octet-stream`)
	}
	contentType := typeBytes
	if f.related {
		contentType = relatedType(typeBytes)
		value = slices.Concat([]byte(partHead(typeBytes)), bytes.Clone(value), []byte(partEnd))
	}
	return sendWhole(w, r, contentType, value)
}
