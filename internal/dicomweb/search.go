package dicomweb

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
)

const (
	// listPage is the number of images that are read from the catalog at once.
	listPage = 1000
	// maxListed limits the images of which a search reads the records.
	maxListed = 50_000
	// maxOpened limits the slides that a search for instances opens.
	maxOpened = 200
)

// constants are attributes that are the same for all slides: a search for another value finds nothing.
var constants = map[dicom.Tag]string{
	dicom.ModalitiesInStudy: "SM", dicom.Modality: "SM", dicom.SeriesNumber: "1", dicom.SOPClassUID: dicom.WholeSlide,
}

// SearchStudies, SearchSeries and SearchInstances answer searches, in all studies, or in the one of the
// path.
func (s *Service) SearchStudies(w http.ResponseWriter, r *http.Request) error {
	return s.search(w, r, studies)
}

// SearchSeries answers a search for series.
func (s *Service) SearchSeries(w http.ResponseWriter, r *http.Request) error {
	return s.search(w, r, seriesLevel)
}

// SearchInstances answers a search for instances.
func (s *Service) SearchInstances(w http.ResponseWriter, r *http.Request) error {
	return s.search(w, r, instances)
}

func (s *Service) search(w http.ResponseWriter, r *http.Request, l level) error {
	contentType := jsonForm(acceptOf(r))
	if contentType == "" {
		return notAcceptable(typeJSON)
	}
	q, err := parseQuery(r.URL.RawQuery, l)
	if err != nil {
		return badRequest(err.Error())
	}
	f := &finding{s: s, q: q, r: r, base: s.o.BaseURL(r), nested: r.PathValue("study") != ""}
	if err := f.run(r.Context()); err != nil {
		return err
	}
	if len(f.shown) > 0 {
		if err := s.o.ListLabels(r.Context(), f.shown); err != nil {
			return err
		}
	}
	for _, text := range q.warnings {
		w.Header().Add("Warning", `299 `+f.base+` "`+text+`"`)
	}
	return sendWhole(w, r, contentType, f.body())
}

// A finding is a search in progress.
type finding struct {
	s      *Service
	q      *query
	r      *http.Request
	base   string
	nested bool // below the study of the path
	out    []byte
	// matched counts the results, skipped and surplus ones too; sent those of the answer.
	matched, sent  int
	listed, opened int
	shown          []catalog.Image // whose patient data are in the answer
}

func (f *finding) body() []byte {
	if f.sent == 0 {
		return []byte("[]")
	}
	return append(f.out, ']')
}

// run finds the results.
func (f *finding) run(ctx context.Context) error {
	for t, value := range constants {
		if c := f.q.named(t); c != nil && !c.matchesValue(value) {
			return nil
		}
	}
	if f.nested {
		im, err := f.s.o.Find(f.r)
		if err != nil {
			return problem(err)
		}
		list, err := f.s.o.Catalog.Images.ByIDs(ctx, []string{im.File.ID})
		if err != nil {
			return err
		}
		_, err = f.some(ctx, list)
		return err
	}
	if c := f.identified(); c != nil {
		return f.byUID(ctx, c)
	}
	if f.neverMatches() {
		return nil
	}
	return f.all(ctx)
}

// identified returns the condition with identifiers that leads to the fewest images, or nil.
func (f *finding) identified() *condition {
	for _, t := range []dicom.Tag{dicom.SOPInstanceUID, dicom.SeriesInstanceUID, dicom.StudyInstanceUID} {
		if c := f.q.named(t); c != nil {
			return c
		}
	}
	return nil
}

// unknown are attributes that no slide has a value of, so that no value matches.
var unknown = []dicom.Tag{
	dicom.AccessionNumber, dicom.ReferringPhysicianName, dicom.PatientName, dicom.PatientID, dicom.PatientBirthDate, dicom.PatientSex, dicom.StudyID,
}

func (f *finding) neverMatches() bool {
	return slices.ContainsFunc(unknown, func(t dicom.Tag) bool { return f.q.named(t) != nil })
}

// byUID finds the results among the images of identifiers.
func (f *finding) byUID(ctx context.Context, c *condition) error {
	for _, uid := range c.values {
		list, err := f.s.candidates(ctx, uid)
		if err != nil {
			return err
		}
		page, err := f.s.o.Seen(ctx, list)
		if err != nil {
			return err
		}
		if more, err := f.page(ctx, page); err != nil || !more {
			return err
		}
	}
	return nil
}

// some finds the results among images of which the caller may see some.
func (f *finding) some(ctx context.Context, list []catalog.Image) (more bool, err error) {
	page, err := f.s.o.Seen(ctx, list)
	if err != nil {
		return false, err
	}
	return f.page(ctx, page)
}

// all finds the results among all images of the caller, page by page.
func (f *finding) all(ctx context.Context) error {
	cursor := ""
	for {
		page, err := f.s.o.List(ctx, cursor, listPage)
		if err != nil {
			return err
		}
		more, err := f.page(ctx, page)
		if err != nil || !more || page.Next == "" {
			return err
		}
		if f.listed += max(len(page.Images), 1); f.listed >= maxListed {
			f.q.warn("The search ended after %d slides: narrow it, for example by StudyInstanceUID", f.listed)
			return nil
		}
		cursor = page.Next
	}
}

// page adds the results of a page. It reports whether the search continues.
func (f *finding) page(ctx context.Context, page *Page) (more bool, err error) {
	for i := range page.Images {
		more, err := f.image(ctx, &page.Images[i], page.Labels[i])
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// image adds the results of an image.
func (f *finding) image(ctx context.Context, im *catalog.Image, labels bool) (more bool, err error) {
	if !isShown(im) || f.s.isRefused(im.ID, im.Revision) {
		return true, nil
	}
	row := &row{im: im, labels: labels, base: f.base}
	study := row.study()
	series := row.series()
	if !f.q.match(studies, study) || !f.q.match(seriesLevel, series) {
		return true, nil
	}
	if f.q.level < instances && !f.q.below(f.q.level) {
		rows := study
		if f.q.level == seriesLevel {
			rows = series
			if !f.nested {
				rows = merged(study, series)
			} else {
				rows.Set(dicom.StudyInstanceUID, dicom.StudyUID(im.ID))
			}
		}
		return f.add(rows, im, labels)
	}
	return f.instances(ctx, row, study, series)
}

// instances adds the instances of an image, or its study or series if one of its instances matches.
func (f *finding) instances(ctx context.Context, row *row, study, series dicom.Dataset) (more bool, err error) {
	if f.opened++; f.opened > maxOpened {
		f.q.warn("The search ended after %d slides: narrow it, for example by StudyInstanceUID", maxOpened)
		return false, nil
	}
	im, err := f.s.o.Tiles.Image(row.im.ID)
	if err != nil || im.File.Store.Elsewhere != "" {
		return true, nil //nolint:nilerr // not here: other servers describe it
	}
	d, err := f.s.seriesOf(ctx, im, row.labels)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		f.q.warn("A slide could not be read and is missing: %s", im.File.ID)
		return true, nil
	}
	for _, in := range d.instances {
		own := row.instance(d, in)
		if !f.q.match(instances, own) {
			continue
		}
		switch {
		case f.q.level == studies:
			return f.add(study, row.im, row.labels)
		case f.q.level == seriesLevel:
			return f.add(merged(study, series), row.im, row.labels)
		case !f.nested:
			own = merged(study, series, own)
		case f.r.PathValue("series") == "":
			own = merged(series, own)
		}
		own.Set(dicom.StudyInstanceUID, d.study)
		own.Set(dicom.SeriesInstanceUID, d.uid)
		if more, err := f.add(f.q.included(own, in.Attributes), row.im, row.labels); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// add adds a result. It reports whether there may be another one.
func (f *finding) add(d dicom.Dataset, im *catalog.Image, labels bool) (more bool, err error) {
	f.matched++
	if f.matched <= f.q.offset {
		return true, nil
	}
	if f.sent == f.q.limit {
		if f.q.capped {
			f.q.warn("There are additional results that can be requested: this server sends %d at once", maxResults)
		} else {
			f.q.warn("There are additional results that can be requested")
		}
		return false, nil
	}
	text, err := d.MarshalJSON()
	if err != nil {
		return false, fmt.Errorf("attributes of image %s: %w", im.ID, err)
	}
	if f.sent == 0 {
		f.out = append(f.out, '[')
	} else {
		f.out = append(f.out, ',')
	}
	f.out = append(f.out, text...)
	f.sent++
	if labels && (len(f.shown) == 0 || f.shown[len(f.shown)-1].ID != im.ID) {
		f.shown = append(f.shown, *im)
	}
	return true, nil
}

// match reports whether attributes satisfy the conditions of a level.
func (q *query) match(l level, d dicom.Dataset) bool {
	for i := range q.conditions {
		if c := &q.conditions[i]; c.level == l && !c.matches(d.Get(c.tag)) {
			return false
		}
	}
	return true
}

// below reports whether there are conditions about objects below a level that not all have in common.
func (q *query) below(l level) bool {
	return slices.ContainsFunc(q.conditions, func(c condition) bool { return c.level > l && c.level == instances && constants[c.tag] == "" })
}

// included returns a result with the attributes that the client asks for.
func (q *query) included(d, all dicom.Dataset) dicom.Dataset {
	if !q.all && len(q.include) == 0 {
		return d
	}
	for i := range all {
		e := &all[i]
		if e.VR == "SQ" || d.Get(e.Tag) != nil || !q.all && !q.include[e.Tag] {
			continue
		}
		d = insert(d, *e)
	}
	return d
}

// insert adds an element in its place.
func insert(d dicom.Dataset, e dicom.Element) dicom.Dataset {
	at, _ := slices.BinarySearchFunc(d, e.Tag, func(e dicom.Element, t dicom.Tag) int { return int(int64(e.Tag) - int64(t)) })
	return slices.Insert(slices.Clip(d), at, e)
}

// merged returns the attributes of several sets; a later one prevails.
func merged(sets ...dicom.Dataset) (out dicom.Dataset) {
	for _, d := range sets {
		for i := range d {
			if e := out.Get(d[i].Tag); e != nil {
				*e = d[i]
			} else {
				out = insert(out, d[i])
			}
		}
	}
	return out
}

// isShown reports whether an image is in DICOMweb, as far as the catalog knows.
func isShown(im *catalog.Image) bool {
	return im.State == catalog.Available && im.DeletedAt == nil && im.MPPX != nil && im.MPPY != nil && *im.MPPX > 0 && *im.MPPY > 0
}

// A row is an image in the result of a search, as the caller may see it.
type row struct {
	im     *catalog.Image
	labels bool
	base   string
}

// study returns the attributes of the study.
func (w *row) study() (d dicom.Dataset) {
	d.Set(dicom.StudyDate)
	d.Set(dicom.StudyTime)
	if at, ok := dicom.Scanned(w.im.Properties); ok && w.labels {
		d.Set(dicom.StudyDate, at.Format("20060102"))
		d.Set(dicom.StudyTime, at.Format("150405"))
	}
	d.Set(dicom.AccessionNumber)
	d.Set(dicom.ModalitiesInStudy, "SM")
	d.Set(dicom.ReferringPhysicianName)
	d.Set(dicom.RetrieveURL, w.base+Prefix+"/studies/"+dicom.StudyUID(w.im.ID))
	d.Set(dicom.PatientName)
	d.Set(dicom.PatientID)
	d.Set(dicom.PatientBirthDate)
	d.Set(dicom.PatientSex)
	d.Set(dicom.StudyInstanceUID, dicom.StudyUID(w.im.ID))
	d.Set(dicom.StudyID)
	d.Set(dicom.NumberOfStudyRelatedSeries, 1)
	d.Set(dicom.NumberOfStudyRelatedInstances, w.count())
	return d
}

// count returns the number of instances that the caller sees, as far as the catalog knows.
func (w *row) count() int {
	n := len(w.im.Levels)
	if w.labels {
		for _, kind := range []string{"label", "macro"} {
			if slices.Contains(w.im.Associated, kind) {
				n++
			}
		}
	}
	return n
}

// series returns the attributes of the series.
func (w *row) series() (d dicom.Dataset) {
	d.Set(dicom.Modality, "SM")
	d.Set(dicom.SeriesDescription)
	d.Set(dicom.RetrieveURL, w.base+Prefix+"/studies/"+dicom.StudyUID(w.im.ID)+"/series/"+dicom.SeriesUID(w.im.ID))
	d.Set(dicom.SeriesInstanceUID, dicom.SeriesUID(w.im.ID))
	d.Set(dicom.SeriesNumber, 1)
	d.Set(dicom.NumberOfSeriesRelatedInstances, w.count())
	return d
}

// instance returns the attributes of an instance.
func (w *row) instance(s *series, in *instance) (d dicom.Dataset) {
	for _, t := range []dicom.Tag{dicom.SOPClassUID, dicom.SOPInstanceUID, dicom.InstanceNumber, dicom.NumberOfFrames, dicom.Rows, dicom.Columns, dicom.BitsAllocated} {
		if e := in.Attributes.Get(t); e != nil {
			d = insert(d, *e)
		}
	}
	d.Set(dicom.RetrieveURL, w.base+Prefix+s.path(in))
	return d
}
