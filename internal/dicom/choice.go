package dicom

import "errors"

// ErrChoice reports a [Choice] of both labels and a de-identified series.
var ErrChoice = errors.New("a de-identified series has no label: choose labels or deidentify")

// A Choice is what a user wants of the export of an image. That the user may have it was checked
// before.
type Choice struct {
	Labels     bool // label and macro image, and the barcode
	Deidentify bool // see [Options]
	Sparse     bool // see [Options]
}

// Options returns the options of the export of the image with that id. Barcode is that of the
// slide; nil for none. Key returns the key of the site ([SiteKey]); it is called for de-identified
// series. The error is [ErrChoice] or that of key.
func (c Choice) Options(id string, barcode *string, key func() ([]byte, error)) (Options, error) {
	o := Options{ID: id, Deidentify: c.Deidentify, Sparse: c.Sparse}
	switch {
	case c.Labels && c.Deidentify:
		return o, ErrChoice
	case c.Labels:
		o.Patient = &Patient{Label: true, Macro: true}
		if barcode != nil {
			o.Patient.Container = *barcode
		}
	case c.Deidentify:
		k, err := key()
		o.Key = string(k)
		return o, err
	}
	return o, nil
}
