package dicomweb

import (
	"context"
	"slices"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
)

// UIDs returns the identifiers of study and series of an image: those of its DICOM files, or the ones
// that are derived from its id.
func UIDs(im *catalog.Image) (study, series string) {
	if im.DICOM != nil {
		return im.DICOM.Study, im.DICOM.Series
	}
	return dicom.StudyUID(im.ID), dicom.SeriesUID(im.ID)
}

// IsShown reports whether an image is in DICOMweb. The catalog knows, so that searches find what
// can be retrieved: the size of a pixel must be known, and DICOM files must have identifiers.
func IsShown(im *catalog.Image) bool {
	if im.State != catalog.Available || im.DeletedAt != nil || im.MPPX == nil || im.MPPY == nil || !(*im.MPPX > 0) || !(*im.MPPY > 0) {
		return false
	}
	if im.DICOM == nil {
		return im.Format != "dicom"
	}
	return isUID(im.DICOM.Study) && isUID(im.DICOM.Series)
}

// A found is the images that an identifier leads to, see [Service.Images].
type found struct {
	uid    string
	images []string
	at     time.Time
}

func (f *found) key() string { return f.uid }

// foundAge is how long the images of an identifier are remembered: files may come and go.
const foundAge = 5 * time.Second

// Images returns the ids of the images of a study, or of a series in it, none if there is no such
// study or series. A request is about the first one that its caller may see. Several images have
// one series if the files of a series are in several folders: then the order is that of
// [Service.candidates].
func (s *Service) Images(ctx context.Context, study, series string) ([]string, error) {
	key := study + "/" + series
	known := s.images.find(key)
	if known != nil && time.Since(known.at) < foundAge {
		return known.images, nil
	}
	list, err := s.candidates(ctx, study, series)
	if err != nil {
		if known != nil {
			return known.images, nil
		}
		return nil, err
	}
	f := &found{uid: key, at: time.Now()}
	for i := range list {
		f.images = append(f.images, list[i].ID)
	}
	if len(f.images) > 0 {
		s.images.put(f)
	}
	return f.images, nil
}

// candidates returns the images of a study, or of a series in it; study is "" for that of any
// study. Those that are shown are first; among them the image that the identifiers were derived from,
// then the DICOM series, in the order in which they were added.
func (s *Service) candidates(ctx context.Context, study, series string) ([]catalog.Image, error) {
	uid, own := study, s.o.Catalog.Images.ByStudy
	if series != "" {
		uid, own = series, s.o.Catalog.Images.BySeries
	}
	derived, err := s.derived(ctx, uid)
	if err != nil {
		return nil, err
	}
	list, err := own(ctx, uid)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(append(derived, list...), func(im catalog.Image) bool {
		imStudy, imSeries := UIDs(&im)
		return study != "" && imStudy != study || series != "" && imSeries != series
	})
	shownFirst(list)
	return list, nil
}

// shownFirst puts the images that are shown before the others.
func shownFirst(list []catalog.Image) {
	rank := func(im *catalog.Image) int {
		if IsShown(im) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b catalog.Image) int { return rank(&a) - rank(&b) })
}

// derived returns the image that an identifier may have been derived from: hardly ever more than
// one.
func (s *Service) derived(ctx context.Context, uid string) ([]catalog.Image, error) {
	prefix, ok := dicom.ImagePrefix(uid)
	if !ok {
		return nil, nil
	}
	list, err := s.o.Catalog.Images.ByPrefix(ctx, prefix)
	return slices.DeleteFunc(list, func(im catalog.Image) bool { return im.DICOM != nil }), err
}

// A member is a series of a study: an image that the caller may see.
type member struct {
	im     *catalog.Image
	labels bool
}

// members returns the series of a study that the caller may see. Of several images of one series it
// is the first.
func (s *Service) members(ctx context.Context, study string) ([]member, error) {
	list, err := s.candidates(ctx, study, "")
	if err != nil {
		return nil, err
	}
	of, err := s.visible(ctx, list)
	return of[study], err
}

// visible returns the series that the caller may see, by study.
func (s *Service) visible(ctx context.Context, list []catalog.Image) (map[string][]member, error) {
	page, err := s.o.Seen(ctx, list)
	if err != nil {
		return nil, err
	}
	of := map[string][]member{}
	for i := range page.Images {
		im := &page.Images[i]
		study, series := UIDs(im)
		twice := slices.ContainsFunc(of[study], func(m member) bool {
			_, other := UIDs(m.im)
			return other == series
		})
		if IsShown(im) && !twice {
			of[study] = append(of[study], member{im, page.Labels[i]})
		}
	}
	return of, nil
}

// membersOf returns the series of the studies of images, of a page of a list that has those of the
// caller. The study of an image that is not a DICOM series has only this one, unless it was found
// by one of DICOM files that were made from it.
func (s *Service) membersOf(ctx context.Context, page *Page, known map[string]bool) (map[string][]member, error) {
	of := map[string][]member{}
	var uids []string
	for i := range page.Images {
		im := &page.Images[i]
		study, _ := UIDs(im)
		switch {
		case known[study] || !IsShown(im):
		case im.DICOM == nil:
			of[study] = []member{{im, page.Labels[i]}}
		case !slices.Contains(uids, study):
			uids = append(uids, study)
		}
	}
	if len(uids) == 0 {
		return of, nil
	}
	var list []catalog.Image
	for _, uid := range uids {
		derived, err := s.derived(ctx, uid)
		if err != nil {
			return nil, err
		}
		for i := range derived {
			if study, _ := UIDs(&derived[i]); study == uid {
				list = append(list, derived[i])
			}
		}
	}
	own, err := s.o.Catalog.Images.ByStudies(ctx, uids)
	if err != nil {
		return nil, err
	}
	list = append(list, own...)
	shownFirst(list)
	more, err := s.visible(ctx, list)
	for study, members := range more {
		of[study] = members
	}
	return of, err
}
