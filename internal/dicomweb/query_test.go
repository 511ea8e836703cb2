package dicomweb

import (
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/dicom"
)

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		query string
		tag   dicom.Tag
		have  string
		want  bool
	}{
		{"StudyDate=20240131", dicom.StudyDate, "20240131", true},
		{"StudyDate=20240131", dicom.StudyDate, "20240130", false},
		{"StudyDate=20240101-20240131", dicom.StudyDate, "20240115", true},
		{"StudyDate=20240101-", dicom.StudyDate, "20250115", true},
		{"StudyDate=20240101-", dicom.StudyDate, "20231231", false},
		{"StudyDate=-20240101", dicom.StudyDate, "20231231", true},
		{"00080020=-20240101", dicom.StudyDate, "", false},
		{"StudyTime=12", dicom.StudyTime, "125959", true},
		{"StudyTime=12", dicom.StudyTime, "130000", false},
		{"StudyTime=1200-1300", dicom.StudyTime, "130030.5", true},
		{"PatientName=*M%C3%BCller*", dicom.PatientName, "müller^anna", true},
		{"PatientName=M?ller", dicom.PatientName, "Müller", true},
		{"PatientID=a*", dicom.PatientID, "A1", false},
		{"PatientID=*1*2", dicom.PatientID, "x1y12", true},
		{"PatientID=*1*2", dicom.PatientID, "x1y", false},
		{"PatientID=a%5Cb", dicom.PatientID, "a", false},
		{"ModalitiesInStudy=CT,SM", dicom.ModalitiesInStudy, "SM", true},
		{"Modality=s?", dicom.Modality, "SM", false},
		{"SeriesNumber=01", dicom.SeriesNumber, "1", true},
		{"studyinstanceuid=1", 0, "", true}, // ignored: keywords are spelled as in the standard
	} {
		q, err := parseQuery(c.query, instances)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if c.tag == 0 {
			if len(q.conditions) != 0 || len(q.warnings) != 1 {
				t.Errorf("%s: %d conditions, warnings %q", c.query, len(q.conditions), q.warnings)
			}
			continue
		}
		e := &dicom.Element{Tag: c.tag}
		if c.have != "" {
			e.Text = []string{c.have}
		}
		if cond := q.named(c.tag); cond == nil || cond.matches(e) != c.want {
			t.Errorf("%s with %q: not %v", c.query, c.have, c.want)
		}
	}
}

func TestBadQueries(t *testing.T) {
	for _, raw := range []string{
		"limit=1&limit=2", "limit=1.5", "offset=99999999999", "a=%zz", "StudyInstanceUID=a", "StudyInstanceUID=" + strings.Repeat("1,", 600) + "1",
		"StudyDate=", "StudyDate=-", "StudyDate=20240101-20240102-", "StudyTime=2461", "InstanceNumber=1-3", "PatientID=1&PatientID=2",
	} {
		if q, err := parseQuery(raw, instances); (err == nil) != (raw == "StudyDate=") {
			t.Errorf("%.50s: %v, %v", raw, q, err)
		}
	}
}
