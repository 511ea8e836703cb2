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
	for i, in := range s.instances {
		n += 5*len(in.json) + len(in.Background()) + len(in.Associated())
		if i == 0 || in.IsFile() { // others share their bytes
			n += bytesOf(in.Attributes)
		}
	}
	return uint32(min(n, seriesBytes)) //nolint:gosec // within the limit
}

// bytesOf returns the size of the values of bytes.
func bytesOf(d dicom.Dataset) (n int) {
	for i := range d {
		n += len(d[i].Bytes)
		for _, item := range d[i].Items {
			n += bytesOf(item)
		}
	}
	return n
}

// seriesOf returns the series of an image as a caller sees it. If labels is false, it has nothing of
// the patient. The error is for the client.
func (s *Service) seriesOf(ctx context.Context, im *tile.Image, labels bool) (*series, error) {
	k := seriesKey{im.File.ID, im.File.Revision, labels}
	if found, ok := s.series.c.GetIfPresent(k); ok {
		return found, nil
	}
	var d *series
	err := im.View(ctx, func(sl *slide.Slide, _ tile.Lease) (err error) {
		d, err = describe(sl, &im.File, labels)
		return err
	})
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		return nil, errNoSpacing
	case err != nil:
		return nil, problem(err)
	}
	s.series.c.Set(k, d)
	s.noteFrames(d)
	return d, nil
}

// describe returns the series of a slide.
func describe(sl *slide.Slide, f *tile.File, labels bool) (*series, error) {
	o := options(sl, f, labels)
	o.NoFiles = true
	d, err := dicom.NewSeries(sl, o)
	if err != nil {
		return nil, err
	}
	out := &series{file: f, study: d.StudyUID, uid: d.UID, patient: labels}
	for i, in := range d.Instances {
		e := &instance{Instance: in.Detached(), number: i}
		base := string(addressMark) + Prefix + out.path(e)
		e.json, err = in.Attributes.JSON(func(path string, v *dicom.Element) string {
			if len(v.Bytes) > maxInline {
				return base + "/bulkdata/" + path + string(queryMark)
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

// maxInline is the length of bytes up to which they are among the attributes.
const maxInline = 64

// A frameRef says which tiles the frames of a level are.
type frameRef struct {
	uid, study, series string
	image, revision    string
	level              int
	columns, frames    int
	background         []byte
}

func (f *frameRef) key() string { return f.uid }

// noteFrames makes the levels of a series known to [Frames] whose frames are tiles.
func (s *Service) noteFrames(d *series) {
	for _, in := range d.instances {
		if in.IsTile() {
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
	if err := s.complete(r, sub); err != nil {
		return nil, err
	}
	if uid := r.PathValue("instance"); uid != "" {
		if sub.in = sub.series.find(uid); sub.in == nil {
			return nil, errNoInstance
		}
	}
	return sub, nil
}

// complete sets what the caller may see of an image.
func (s *Service) complete(r *http.Request, sub *subject) (err error) {
	if sub.labels, err = s.o.Labels(r.Context(), &sub.image.File); err != nil {
		return err
	}
	sub.series, err = s.seriesOf(r.Context(), sub.image, sub.labels)
	return err
}

// subjects returns what a request is about: one image, or those of a study. A series that is on
// another server is left out, unless it is the first one.
func (s *Service) subjects(r *http.Request) ([]*subject, error) {
	first, err := s.subject(r)
	if err != nil {
		return nil, err
	}
	if r.PathValue("series") != "" || !first.series.instances[0].IsFile() {
		return []*subject{first}, nil
	}
	members, err := s.members(r.Context(), r.PathValue("study"))
	if err != nil {
		return nil, err
	}
	list := []*subject{first}
	for _, m := range members {
		_, uid := UIDs(m.im)
		if m.im.ID == first.image.File.ID || uid == first.series.uid {
			continue
		}
		im, err := s.o.Tiles.Image(m.im.ID)
		if err != nil || im.File.Store.Elsewhere != "" {
			continue
		}
		sub := &subject{image: im}
		if err := s.complete(r, sub); err != nil {
			return nil, err
		}
		list = append(list, sub)
	}
	return list, nil
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
