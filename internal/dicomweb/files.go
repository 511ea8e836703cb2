package dicomweb

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// Files answers with instances as Part 10 files: an instance, or all of a series or a study. They are
// written while they are sent.
func (s *Service) Files(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	f, ok := objectForm(acceptOf(r), []string{dicom.JPEGBaseline}, sub.in == nil)
	if !ok {
		return notAcceptable(`multipart/related; type="application/dicom"; transfer-syntax=*, and for one instance application/dicom`)
	}
	if sub.labels {
		if err := s.showsPatient(w, r, sub); err != nil {
			return err
		}
	}
	files, err := s.files(r, sub)
	if err != nil {
		return problem(err)
	}
	length, head, end := int64(0), "", ""
	contentType := typeDICOM
	if f.related {
		contentType, head, end = relatedType(typeDICOM), partHead(typeDICOM), partEnd
		length = int64(len(files)*len(head) + 2*(len(files)-1) + len(end))
	}
	for _, file := range files {
		length += file.layout.Size
	}
	h := w.Header()
	tag := fmt.Sprintf(`"%s-dicom-%s-%v-%v"`, sub.image.File.Revision, r.PathValue("instance"), sub.labels, f.related)
	h.Set("Etag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept")
	if match := httperr.IfNoneMatch(r); match != "" && etag.Matches(match, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	if !f.related {
		h.Set("Content-Disposition", `attachment; filename="`+sub.in.UID+`.dcm"`)
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if http.NewResponseController(w).Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	for i, file := range files {
		if i > 0 && f.related {
			write(w, "\r\n")
		}
		write(w, head)
		if err := file.layout.WriteTo(w, s.reader(r, file.subject), r.Context().Err); err != nil {
			httperr.LogError(r, problem(err))
			panic(http.ErrAbortHandler) // so that the client does not take a part for all
		}
	}
	write(w, end)
	return nil
}

// write writes a part of an answer, or ends the connection.
func write(w http.ResponseWriter, s string) {
	if s == "" {
		return
	}
	if _, err := w.Write([]byte(s)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// A file is an instance with the layout of its file.
type file struct {
	subject *subject
	layout  *dicom.Layout
}

// files returns the files of a request.
func (s *Service) files(r *http.Request, sub *subject) (list []file, err error) {
	var d *dicom.Series
	err = sub.image.View(r.Context(), func(sl *slide.Slide, _ tile.Lease) (err error) {
		d, err = dicom.NewSeries(sl, options(sl, &sub.image.File, sub.labels))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, in := range d.Instances {
		if sub.in != nil && in.UID != sub.in.UID {
			continue
		}
		one := &subject{image: sub.image, labels: sub.labels, in: &instance{Instance: in}}
		layout, err := in.NewLayout(r.Context(), s.reader(r, one))
		if err != nil {
			return nil, err
		}
		list = append(list, file{one, layout})
	}
	if len(list) == 0 {
		return nil, errNoInstance // the file has changed
	}
	return list, nil
}

// reader returns a function that reads frames of an instance, as an export does. The file is checked
// after each.
func (s *Service) reader(r *http.Request, sub *subject) dicom.FrameReader {
	return func(dst []byte, n int) ([]byte, error) {
		start := len(dst)
		err := sub.image.View(r.Context(), func(sl *slide.Slide, _ tile.Lease) (err error) {
			dst, err = sub.in.AppendFrameOf(sl, dst[:start], n)
			return err
		})
		return dst, err
	}
}
