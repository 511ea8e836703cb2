package dicomweb

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// Files answers with instances as Part 10 files: an instance, or all of a series or a study. They are
// written while they are sent.
func (s *Service) Files(w http.ResponseWriter, r *http.Request) error {
	list, err := s.subjects(r)
	if err != nil {
		return err
	}
	first := list[0]
	var syntaxes []string
	for _, sub := range list {
		for _, in := range sub.series.instances {
			if first.in == nil || in == first.in {
				syntaxes = append(syntaxes, in.TransferSyntax)
			}
		}
	}
	f, ok := objectForm(acceptOf(r), syntaxes, first.in == nil)
	if !ok {
		return notAcceptable(`multipart/related; type="application/dicom"; transfer-syntax=*, and for one instance application/dicom`)
	}
	var files []file
	tag := `"`
	for _, sub := range list {
		if sub.labels {
			if err := s.showsPatient(w, r, sub); err != nil {
				return err
			}
		}
		of, err := s.files(r, sub)
		if err != nil {
			return problem(err)
		}
		files = append(files, of...)
		tag += fmt.Sprintf("%s-dicom-%s-%v-", sub.image.File.Revision, r.PathValue("instance"), sub.labels)
	}
	sub := first
	length, head, end := int64(0), "", ""
	contentType := typeDICOM
	if f.related {
		contentType, head, end = relatedType(typeDICOM), partHead(typeDICOM), partEnd
		length = int64(len(files)*len(head) + 2*(len(files)-1) + len(end))
	}
	for _, file := range files {
		length += file.layout.Size
	}
	if unchanged(w, r, tag+strconv.FormatBool(f.related)+`"`) {
		return nil
	}
	h := w.Header()
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

// reader returns a function that reads pieces of an instance, as an export does. The file is checked
// after each.
func (s *Service) reader(r *http.Request, sub *subject) dicom.FrameReader {
	return func(dst []byte, n int) ([]byte, error) {
		start := len(dst)
		err := sub.image.View(r.Context(), func(sl *slide.Slide, lease tile.Lease) (err error) {
			if !sub.in.IsDecoded() {
				dst, err = sub.in.AppendPieceOf(r.Context(), sl, dst[:start], n)
				return err
			}
			b, err := s.decoded(r.Context(), sub.in, sl, lease, n)
			dst = append(dst[:start], b...)
			return err
		})
		return dst, err
	}
}

// decoded returns a frame that is decoded, on a worker and from the memory for decoding.
func (s *Service) decoded(ctx context.Context, in *instance, sl *slide.Slide, lease tile.Lease, n int) ([]byte, error) {
	return s.o.Renderer.Work(ctx, lease, func(ctx context.Context) ([]byte, error) { return in.AppendFrameOf(ctx, sl, nil, n) })
}
