package dicomweb

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Attributes of the answer (PS3.18 section 10.5.3), with their keywords.
const (
	referencedSOPClassUID    dicom.Tag = 0x00081150
	referencedSOPInstanceUID dicom.Tag = 0x00081155
	failureReason            dicom.Tag = 0x00081197
	failedSOPSequence        dicom.Tag = 0x00081198
	referencedSOPSequence    dicom.Tag = 0x00081199
	otherFailuresSequence    dicom.Tag = 0x0008119A
)

var answerKeywords = map[dicom.Tag]string{
	referencedSOPClassUID: "ReferencedSOPClassUID", referencedSOPInstanceUID: "ReferencedSOPInstanceUID", dicom.RetrieveURL: "RetrieveURL",
	failureReason: "FailureReason", failedSOPSequence: "FailedSOPSequence", referencedSOPSequence: "ReferencedSOPSequence",
	otherFailuresSequence: "OtherFailuresSequence",
}

const typeXML = "application/dicom+xml"

// storeForm selects the media type of the answer, before anything is stored.
func storeForm(accept string) (string, error) {
	if strings.TrimSpace(accept) == "" {
		return typeJSON, nil
	}
	for item := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(item, ";")
		if q := strings.ReplaceAll(params, " ", ""); q == "q=0" || q == "q=0.0" {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case typeJSON, "application/json", "application/*", "*/*":
			return typeJSON, nil
		case typeXML:
			return typeXML, nil
		}
	}
	return "", &httperr.Error{Status: http.StatusNotAcceptable, Detail: "The answer can be sent as application/dicom+json or application/dicom+xml."}
}

// answer records the results, and sends them.
func (v *Receiver) answer(w http.ResponseWriter, r *http.Request, st *catalog.Store, form string, results []result) error {
	d, n, status := summary(results, v.studiesURL(r))
	if v.o.Audit != nil {
		if err := v.o.Audit(r, st, n, len(results)-n); err != nil {
			return err
		}
	}
	body, err := d.MarshalJSON()
	if form == typeXML {
		body, err = marshalXML(d)
	}
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", form)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client is gone
	return nil
}

// studiesURL returns the address below which studies are retrieved.
func (v *Receiver) studiesURL(r *http.Request) string {
	if v.o.BaseURL == nil {
		return Prefix + "/studies/"
	}
	return strings.TrimSuffix(v.o.BaseURL(r), "/") + Prefix + "/studies/"
}

// summary returns the answer, how many instances were stored, and the status.
func summary(results []result, base string) (d dicom.Dataset, n, status int) {
	var good, failed, others []any
	study, full := "", false
	for _, res := range results {
		var item dicom.Dataset
		if res.instance != "" {
			item.Set(referencedSOPClassUID, res.class)
			item.Set(referencedSOPInstanceUID, res.instance)
		}
		if res.reason == stored {
			item.Set(dicom.RetrieveURL, base+res.study+"/series/"+res.series+"/instances/"+res.instance)
			good = append(good, item)
			if len(good) > 1 && study != res.study {
				study = ""
			} else {
				study = res.study
			}
			continue
		}
		full = full || res.reason == outOfResources
		item.Set(failureReason, int(res.reason))
		if res.instance != "" {
			failed = append(failed, item)
		} else {
			others = append(others, item)
		}
	}
	switch {
	case len(good) == len(results):
		status = http.StatusOK
	case len(good) > 0:
		status = http.StatusAccepted
	case full:
		status = http.StatusInsufficientStorage
	default:
		status = http.StatusConflict
	}
	if study != "" {
		d.Set(dicom.RetrieveURL, base+study)
	} else {
		d.Set(dicom.RetrieveURL)
	}
	for _, s := range []struct {
		tag   dicom.Tag
		items []any
	}{{failedSOPSequence, failed}, {referencedSOPSequence, good}, {otherFailuresSequence, others}} {
		if len(s.items) > 0 {
			d.Set(s.tag, s.items...)
		}
	}
	return d, len(good), status
}

// marshalXML encodes an answer in the native DICOM model (PS3.19 section A.1).
func marshalXML(d dicom.Dataset) ([]byte, error) {
	out := []byte(xml.Header + `<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">`)
	return append(appendXML(out, d), "</NativeDicomModel>"...), nil
}

func appendXML(out []byte, d dicom.Dataset) []byte {
	for _, e := range d {
		out = fmt.Appendf(out, `<DicomAttribute tag="%v" vr="%s" keyword="%s">`, e.Tag, e.VR, answerKeywords[e.Tag])
		for i, item := range e.Items {
			out = fmt.Appendf(out, `<Item number="%d">`, i+1)
			out = append(appendXML(out, item), "</Item>"...)
		}
		for i, v := range e.Numbers {
			out = fmt.Appendf(out, `<Value number="%d">%g</Value>`, i+1, v)
		}
		for i, s := range e.Text {
			var text strings.Builder
			xml.EscapeText(&text, []byte(s)) //nolint:errcheck // a Builder does not fail
			out = fmt.Appendf(out, `<Value number="%d">%s</Value>`, i+1, text.String())
		}
		out = append(out, "</DicomAttribute>"...)
	}
	return out
}
