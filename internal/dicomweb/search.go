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
	// maxCounted limits the images of which the records are read only to count further results.
	maxCounted = 10_000
)

// constants are attributes that are the same for all slides: a search for another value finds nothing.
var constants = map[dicom.Tag]string{
	dicom.ModalitiesInStudy: "SM", dicom.Modality: "SM", dicom.SOPClassUID: dicom.WholeSlide,
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
	f := &finding{s: s, q: q, r: r, base: s.o.BaseURL(r), nested: r.PathValue("study") != "", seen: map[string]bool{}}
	if err := f.run(r.Context()); err != nil {
		return err
	}
	f.warnOfMore()
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
	files  bool // only DICOM files can have the results
	seen   map[string]bool
	out    []byte
	// matched counts the results, skipped and surplus ones too; sent those of the answer, and beyond
	// those behind them.
	matched, sent, beyond int
	listed, opened        int
	full                  int             // value of listed when the answer was full
	early                 bool            // the search ended before all was read
	last                  string          // study of the last result
	shown                 []catalog.Image // whose patient data are in the answer
}

// warnOfMore reports results that are not in the answer (PS3.18 section 8.3.4.4).
func (f *finding) warnOfMore() {
	if f.beyond == 0 {
		return
	}
	least, limit := "", ""
	if f.early {
		least = "at least "
	}
	if f.q.capped {
		limit = fmt.Sprintf(": this server sends %d at once", maxResults)
	}
	f.q.warn("There are %s%d additional results that can be requested%s", least, f.beyond, limit)
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
		if _, err := f.s.o.Find(f.r); err != nil {
			return problem(err)
		}
		members, err := f.s.members(ctx, f.r.PathValue("study"))
		if err != nil {
			return err
		}
		_, err = f.study(ctx, members)
		return err
	}
	if c := f.identified(); c != nil {
		more, err := f.byUID(ctx, c)
		if err != nil || !more || c.tag != dicom.SOPInstanceUID || f.matched+f.beyond >= len(c.values) {
			return err
		}
		f.files = true // of which the catalog does not know the instances
	}
	return f.all(ctx)
}

// identified returns the condition with identifiers that leads to the fewest images, or nil.
func (f *finding) identified() *condition {
	for _, t := range []dicom.Tag{dicom.SeriesInstanceUID, dicom.StudyInstanceUID, dicom.SOPInstanceUID} {
		if c := f.q.named(t); c != nil {
			return c
		}
	}
	return nil
}

// byUID finds the results among the studies of identifiers. It reports whether the search continues.
func (f *finding) byUID(ctx context.Context, c *condition) (more bool, err error) {
	for _, uid := range c.values {
		studies := []string{uid}
		if c.tag != dicom.StudyInstanceUID {
			if studies, err = f.studiesOf(ctx, c.tag, uid); err != nil {
				return false, err
			}
		}
		for _, study := range studies {
			if f.seen[study] {
				continue
			}
			f.seen[study] = true
			members, err := f.s.members(ctx, study)
			if err != nil {
				return false, err
			}
			if more, err := f.study(ctx, members); err != nil || !more {
				return false, err
			}
		}
	}
	return true, nil
}

// studiesOf returns the studies that a series or an instance may be in.
func (f *finding) studiesOf(ctx context.Context, t dicom.Tag, uid string) (studies []string, err error) {
	var list []catalog.Image
	if t == dicom.SeriesInstanceUID {
		list, err = f.s.candidates(ctx, "", uid)
	} else {
		list, err = f.s.derived(ctx, uid)
	}
	for i := range list {
		study, _ := UIDs(&list[i])
		if !slices.Contains(studies, study) {
			studies = append(studies, study)
		}
	}
	return studies, err
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
		if f.listed += max(len(page.Images), 1); f.listed >= maxListed && f.beyond == 0 {
			f.early = true
			f.q.warn("The search ended after %d slides: narrow it, for example by StudyInstanceUID", f.listed)
			return nil
		}
		if f.beyond == 0 {
			f.full = f.listed
		} else if f.listed-f.full >= maxCounted || f.listed >= maxListed {
			f.early = true
			return nil
		}
		cursor = page.Next
	}
}

// page adds the results of a page. It reports whether the search continues.
func (f *finding) page(ctx context.Context, page *Page) (more bool, err error) {
	if f.files {
		kept := &Page{}
		for i := range page.Images {
			if page.Images[i].DICOM != nil {
				kept.Images, kept.Labels = append(kept.Images, page.Images[i]), append(kept.Labels, page.Labels[i])
			}
		}
		page = kept
	}
	of, err := f.s.membersOf(ctx, page, f.seen)
	if err != nil {
		return false, err
	}
	for i := range page.Images {
		study, _ := UIDs(&page.Images[i])
		if f.seen[study] || !IsShown(&page.Images[i]) {
			continue
		}
		f.seen[study] = true
		if more, err := f.study(ctx, of[study]); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// study adds the results of a study. It reports whether the search continues.
func (f *finding) study(ctx context.Context, members []member) (more bool, err error) {
	if len(members) == 0 {
		return true, nil
	}
	w := &row{members: members, base: f.base}
	study := w.study()
	if !f.q.match(studies, study) {
		return true, nil
	}
	path := f.r.PathValue("series")
	for _, m := range members {
		series := w.series(m)
		if !f.q.match(seriesLevel, series) || path != "" && series.Text(dicom.SeriesInstanceUID) != path {
			continue
		}
		if f.q.level < instances && !f.q.below(f.q.level) {
			more, err = f.add(f.merge(study, series), f.about(members, m)...)
		} else {
			more, err = f.instances(ctx, w, m, study, series)
		}
		if err != nil || !more {
			return false, err
		}
		if f.q.level == studies && f.found(study) {
			return true, nil // once, whichever of its series match
		}
	}
	return true, nil
}

// found notes and reports whether the study at hand is a result already.
func (f *finding) found(study dicom.Dataset) bool {
	return f.last == study.Text(dicom.StudyInstanceUID)
}

// about returns the images of which a result has patient data.
func (f *finding) about(members []member, m member) (list []member) {
	if f.q.level == studies || !f.nested {
		return members
	}
	return []member{m}
}

// merge returns the attributes of a result at the level of studies or series.
func (f *finding) merge(study, series dicom.Dataset) dicom.Dataset {
	switch {
	case f.q.level == studies:
		return study
	case !f.nested:
		return merged(study, series)
	}
	series.Set(dicom.StudyInstanceUID, study.Text(dicom.StudyInstanceUID))
	return series
}

// instances adds the instances of a series, or the series or its study if one of its instances
// matches.
func (f *finding) instances(ctx context.Context, w *row, m member, study, series dicom.Dataset) (more bool, err error) {
	if f.sent == f.q.limit && f.q.level == instances && !f.q.below(f.q.level-1) && f.matched >= f.q.offset {
		f.beyond += m.count() // without opening slides only to count
		return true, nil
	}
	if f.opened++; f.opened > maxOpened {
		f.early = true
		f.q.warn("The search ended after %d slides: narrow it, for example by StudyInstanceUID", maxOpened)
		return false, nil
	}
	im, err := f.s.o.Tiles.Image(m.im.ID)
	if err != nil || im.File.Store.Elsewhere != "" {
		return true, nil //nolint:nilerr // not here: other servers describe it
	}
	d, err := f.s.seriesOf(ctx, im, m.labels)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		f.q.warn("A slide could not be read and is missing: %s", im.File.ID)
		return true, nil
	}
	for _, in := range d.instances {
		own := w.instance(d, in)
		if !f.q.match(instances, own) {
			continue
		}
		switch {
		case f.q.level < instances:
			return f.add(f.merge(study, series), f.about(w.members, m)...)
		case !f.nested:
			own = merged(study, series, own)
		case f.r.PathValue("series") == "":
			own = merged(series, own)
		}
		own.Set(dicom.StudyInstanceUID, d.study)
		own.Set(dicom.SeriesInstanceUID, d.uid)
		if more, err := f.add(f.q.included(own, in.Attributes), f.about(w.members, m)...); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// add adds a result, which has patient data of some images. It reports whether there may be another
// one.
func (f *finding) add(d dicom.Dataset, about ...member) (more bool, err error) {
	f.matched++
	f.last = d.Text(dicom.StudyInstanceUID)
	if f.matched <= f.q.offset {
		return true, nil
	}
	if f.sent == f.q.limit {
		f.beyond++
		return true, nil
	}
	text, err := d.MarshalJSON()
	if err != nil {
		return false, fmt.Errorf("attributes of image %s: %w", about[0].im.ID, err)
	}
	if f.sent == 0 {
		f.out = append(f.out, '[')
	} else {
		f.out = append(f.out, ',')
	}
	f.out = append(f.out, text...)
	f.sent++
	for _, m := range about {
		if m.labels && !slices.ContainsFunc(f.shown[max(0, len(f.shown)-len(about)):], func(im catalog.Image) bool { return im.ID == m.im.ID }) {
			f.shown = append(f.shown, *m.im)
		}
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
