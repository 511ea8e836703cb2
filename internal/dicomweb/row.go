package dicomweb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/dicom"
)

// A row is a study in the result of a search, as the caller may see it.
type row struct {
	members []member
	base    string // URL of the server
}

// patientTags are the attributes of a study that only callers with the right to labels see.
var patientTags = []dicom.Tag{
	dicom.StudyDate, dicom.StudyTime, dicom.AccessionNumber, dicom.ReferringPhysicianName, dicom.PatientName, dicom.PatientID,
	dicom.PatientBirthDate, dicom.PatientSex, dicom.StudyID,
}

// study returns the attributes of the study. Those of the patient are of the first series that has
// them and of which the caller sees the label.
func (w *row) study() (d dicom.Dataset) {
	uid, _ := UIDs(w.members[0].im)
	for _, t := range patientTags {
		d.Set(t, w.patient(t)...)
	}
	if v := w.patient(dicom.StudyDescription); len(v) > 0 {
		d.Set(dicom.StudyDescription, v...)
	}
	d.Set(dicom.ModalitiesInStudy, "SM")
	d.Set(dicom.RetrieveURL, w.base+Prefix+"/studies/"+uid)
	d.Set(dicom.StudyInstanceUID, uid)
	d.Set(dicom.NumberOfStudyRelatedSeries, len(w.members))
	n := 0
	for _, m := range w.members {
		n += m.count()
	}
	d.Set(dicom.NumberOfStudyRelatedInstances, n)
	return d
}

// patient returns the values of an attribute of the study.
func (w *row) patient(t dicom.Tag) []any {
	for _, m := range w.members {
		if v := m.values(t); len(v) > 0 {
			return v
		}
	}
	return nil
}

// values returns the values of an attribute that only callers with the right to labels see.
func (m member) values(t dicom.Tag) (out []any) {
	if !m.labels {
		return nil
	}
	if m.im.DICOM == nil {
		at, ok := dicom.Scanned(m.im.Properties)
		switch {
		case ok && t == dicom.StudyDate:
			return []any{at.Format("20060102")}
		case ok && t == dicom.StudyTime:
			return []any{at.Format("150405")}
		}
		return nil
	}
	for v := range strings.SplitSeq(m.im.Properties["dicom."+dicom.Keyword(t)], `\`) {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// count returns the number of instances that the caller sees, as far as the catalog knows.
func (m member) count() int {
	if d := m.im.DICOM; d != nil {
		if m.labels {
			return d.Open + d.Private
		}
		return d.Open
	}
	n := len(m.im.Levels)
	if m.labels {
		for _, kind := range []string{"label", "macro"} {
			if slices.Contains(m.im.Associated, kind) {
				n++
			}
		}
	}
	return n
}

// series returns the attributes of a series.
func (w *row) series(m member) (d dicom.Dataset) {
	study, series := UIDs(m.im)
	d.Set(dicom.Modality, "SM")
	d.Set(dicom.SeriesDescription, m.values(dicom.SeriesDescription)...)
	d.Set(dicom.RetrieveURL, w.base+Prefix+"/studies/"+study+"/series/"+series)
	d.Set(dicom.SeriesInstanceUID, series)
	d.Set(dicom.SeriesNumber, m.number()...)
	d.Set(dicom.NumberOfSeriesRelatedInstances, m.count())
	return d
}

// number returns the number of a series; nothing if its files have none.
func (m member) number() []any {
	if m.im.DICOM == nil {
		return []any{1}
	}
	n, err := strconv.Atoi(strings.TrimSpace(m.im.Properties["dicom.SeriesNumber"]))
	if err != nil {
		return nil
	}
	return []any{n}
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
