package dicomweb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// Metadata answers with the attributes of an instance, or of all instances of a series or a study.
func (s *Service) Metadata(w http.ResponseWriter, r *http.Request) error {
	contentType := jsonForm(acceptOf(r))
	if contentType == "" {
		return notAcceptable(typeJSON)
	}
	list, err := s.subjects(r)
	if err != nil {
		return err
	}
	out := []byte{'['}
	for _, sub := range list {
		if out, err = s.appendMetadata(w, r, out, sub); err != nil {
			return err
		}
	}
	return sendWhole(w, r, contentType, s.addressed(r, append(out, ']')))
}

// appendMetadata appends the attributes of a subject.
func (s *Service) appendMetadata(w http.ResponseWriter, r *http.Request, out []byte, sub *subject) ([]byte, error) {
	if sub.labels {
		if err := s.showsPatient(w, r, sub); err != nil {
			return nil, err
		}
	}
	list := sub.series.instances
	if sub.in != nil {
		list = []*instance{sub.in}
	}
	for _, in := range list {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, in.json...)
		if !in.HasPositions() {
			continue
		}
		start := len(out)
		err := sub.image.View(r.Context(), func(sl *slide.Slide, _ tile.Lease) (err error) {
			out, err = in.AppendPositions(append(out[:start-1], ','), sl)
			return err
		})
		if err != nil {
			return nil, problem(err)
		}
		out = append(out, '}')
		if len(out) > maxMetadata {
			return nil, errLargeMetadata
		}
	}
	return out, nil
}

// maxMetadata limits an answer with the positions of frames, about 300 bytes each.
const maxMetadata = 128 << 20

var errLargeMetadata = &httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: "The attributes of all instances together are too large: request those of each instance."}

// sendWhole sends a body that depends on the caller, with an ETag of its bytes.
func sendWhole(w http.ResponseWriter, r *http.Request, contentType string, body []byte) error {
	sum := sha256.Sum256(body)
	if unchanged(w, r, `"`+hex.EncodeToString(sum[:16])+`"`) {
		return nil
	}
	return httperr.Send(w, r, contentType, body)
}

// unchanged sets the headers of an answer that depends on the caller. If the client has what the tag
// stands for, it answers so and returns true.
func unchanged(w http.ResponseWriter, r *http.Request, tag string) bool {
	h := w.Header()
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept")
	if match := httperr.IfNoneMatch(r); match == "" || !etag.Matches(match, tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// BulkData answers with a value that attributes leave out, such as the colour profile.
func (s *Service) BulkData(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	value := sub.in.Attributes.Bulk(r.PathValue("path"))
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
