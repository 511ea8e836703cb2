package dicomweb

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/maypok86/otter/v2"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/slide"
)

// A series is a slide as DICOM objects, for those who may or may not see its label. It holds nothing
// open.
type series struct {
	file       *tile.File
	study, uid string
	instances  []*instance
	patient    bool // it has what only callers with the right to labels may see
}

// An instance is a level or an associated image.
type instance struct {
	*dicom.Instance
	number int    // in the order of the series, from 0
	json   []byte // attributes, with marks in place of the address of the server
}

// find returns an instance, or nil.
func (s *series) find(uid string) *instance {
	for _, in := range s.instances {
		if in.UID == uid {
			return in
		}
	}
	return nil
}

// path returns the path of an instance below that of the service.
func (s *series) path(in *instance) string {
	p := "/studies/" + s.study + "/series/" + s.uid
	if in != nil {
		p += "/instances/" + in.UID
	}
	return p
}

// addressMark stands in attributes where the address of the server comes, and queryMark behind an
// address where the credentials of the request's address come. No other text has them.
var (
	addressMark = []byte("address-" + rand.Text())
	queryMark   = []byte("query-" + rand.Text())
)

// seriesKey identifies a series in the cache.
type seriesKey struct {
	image, revision string
	labels          bool
}

// seriesBytes limits the memory of cached series.
const seriesBytes = 64 << 20

type seriesCache struct {
	c *otter.Cache[seriesKey, *series]
}

func newSeriesCache() *seriesCache {
	return &seriesCache{c: otter.Must(&otter.Options[seriesKey, *series]{
		MaximumWeight: seriesBytes,
		Weigher:       func(_ seriesKey, s *series) uint32 { return s.cost() },
	})}
}

// cost returns about how many bytes a series takes: the attributes as objects take several times those
// of their text.
func (s *series) cost() uint32 {
	n := 4 << 10
	for _, in := range s.instances {
		n += 5*len(in.json) + len(in.Background()) + len(in.Associated())
	}
	if len(s.instances) > 0 {
		if path := s.instances[0].Attributes.Get(dicom.OpticalPathSequence); path != nil && len(path.Items) > 0 {
			if icc := path.Items[0].Get(dicom.ICCProfile); icc != nil {
				n += len(icc.Bytes)
			}
		}
	}
	return uint32(min(n, seriesBytes)) //nolint:gosec // within the limit
}

// A refusal notes that a slide cannot be shown.
type refusal struct {
	image, revision string
	err             error
}

func (r *refusal) key() string { return r.image }

// isRefused reports whether a slide was found to be one that cannot be shown.
func (s *Service) isRefused(image, revision string) bool {
	r := s.refused.find(image)
	return r != nil && r.revision == revision
}

// seriesOf returns the series of an image as a caller sees it. If labels is false, it has nothing of
// the patient. The error is for the client.
func (s *Service) seriesOf(ctx context.Context, im *tile.Image, labels bool) (*series, error) {
	k := seriesKey{im.File.ID, im.File.Revision, labels}
	if found, ok := s.series.c.GetIfPresent(k); ok {
		return found, nil
	}
	if r := s.refused.find(im.File.ID); r != nil && r.revision == im.File.Revision {
		return nil, r.err
	}
	var d *series
	err := im.View(ctx, func(sl *slide.Slide, _ tile.Lease) (err error) {
		d, err = describe(sl, &im.File, labels)
		return err
	})
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		err = errNoSpacing
	case errors.Is(err, dicom.ErrNotBaseline):
		err = &httperr.Error{Status: http.StatusNotFound, Detail: "This slide is not in DICOMweb: the tiles of its largest level are not baseline JPEGs.", Err: err}
	case err != nil:
		return nil, problem(err)
	}
	if err != nil {
		s.refused.put(&refusal{im.File.ID, im.File.Revision, err})
		return nil, err
	}
	s.series.c.Set(k, d)
	s.noteFrames(d)
	return d, nil
}

// describe returns the series of a slide.
func describe(sl *slide.Slide, f *tile.File, labels bool) (*series, error) {
	d, err := dicom.NewSeries(sl, options(sl, f, labels))
	if err != nil {
		return nil, err
	}
	out := &series{file: f, study: d.StudyUID, uid: d.UID, patient: labels}
	for i, in := range d.Instances {
		e := &instance{Instance: in.Detached(), number: i}
		base := string(addressMark) + Prefix + out.path(e)
		e.json, err = in.Attributes.JSON(func(path []dicom.Tag, t dicom.Tag) string {
			if t == dicom.ICCProfile && len(path) == 1 && path[0] == dicom.OpticalPathSequence {
				return base + iccPath + string(queryMark)
			}
			return ""
		})
		if err != nil {
			return nil, fmt.Errorf("attributes of %s: %w", in.UID, err)
		}
		out.instances = append(out.instances, e)
	}
	return out, nil
}

// options returns what is not in the file of a slide.
func options(sl *slide.Slide, f *tile.File, labels bool) dicom.Options {
	o := dicom.Options{ID: f.ID}
	if labels {
		o.Patient = &dicom.Patient{Container: sl.Barcode, Label: true, Macro: true}
	}
	return o
}

// iccPath is the path of the colour profile below that of the instance: sequence, item, attribute.
const iccPath = "/bulkdata/00480105/1/00282000"

// A frameRef says which tiles the frames of a level are.
type frameRef struct {
	uid, study, series string
	image, revision    string
	level              int
	columns, frames    int
	background         []byte
}

func (f *frameRef) key() string { return f.uid }

// noteFrames makes the levels of a series known to [Frames].
func (s *Service) noteFrames(d *series) {
	for _, in := range d.instances {
		if in.Kind == "" {
			s.frames.put(&frameRef{
				uid: in.UID, study: d.study, series: d.uid, image: d.file.ID, revision: d.file.Revision,
				level: in.Level, columns: in.Columns, frames: in.Frames(), background: in.Background(),
			})
		}
	}
}

// A subject is what a request is about.
type subject struct {
	image  *tile.Image
	labels bool // whether the caller may see the label
	series *series
	in     *instance // nil if the request is about the series or the study
}

// subject returns what a request is about: the image of the study, and the instance if the path has
// one.
func (s *Service) subject(r *http.Request) (*subject, error) {
	im, err := s.o.Find(r)
	if err != nil {
		return nil, problem(err)
	}
	sub := &subject{image: im}
	if sub.labels, err = s.o.Labels(r.Context(), &im.File); err != nil {
		return nil, err
	}
	if sub.series, err = s.seriesOf(r.Context(), im, sub.labels); err != nil {
		return nil, err
	}
	if uid := r.PathValue("instance"); uid != "" {
		if sub.in = sub.series.find(uid); sub.in == nil {
			return nil, errNoInstance
		}
	}
	return sub, nil
}

// addressed completes the addresses in attributes.
func (s *Service) addressed(r *http.Request, attributes []byte) []byte {
	attributes = bytes.ReplaceAll(attributes, addressMark, []byte(s.o.BaseURL(r)))
	return bytes.ReplaceAll(attributes, queryMark, []byte(credentials(r)))
}

// credentials returns the credentials in the address of a request, as a query: addresses that follow
// from its answer need them as well.
func credentials(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	query, kept := r.URL.Query(), url.Values{}
	for _, name := range []string{"pass", "sig", "exp", "scope", "kid"} {
		if v := query.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "?" + kept.Encode()
}
