package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/slideatlas/ptiffstore/internal/dicom"
)

type dicomCmd struct {
	Export dicomExportCmd `cmd:"" help:"Write a slide file as a DICOM series, without encoding its tiles again."`
}

type dicomExportCmd struct {
	File       string  `arg:"" help:"Slide file."`
	Dir        string  `arg:"" name:"folder" help:"Folder that gets a file for each level. It is created; files that an earlier export completed are kept."`
	ID         string  `name:"id" placeholder:"IMAGE" help:"Id of the image in the catalog. The identifiers of the objects derive from it; without it, from the contents of the file."`
	Labels     bool    `help:"Include label and macro image, and the barcode."`
	PatientID  string  `name:"patient-id" placeholder:"TEXT" help:"Patient id. Archives file series under it."`
	Patient    string  `name:"patient-name" placeholder:"TEXT" help:"Name of the patient, as family^given."`
	Accession  string  `name:"accession" placeholder:"TEXT" help:"Accession number of the case."`
	MPP        float64 `name:"mpp" placeholder:"MICROMETRES" help:"Size of a pixel of the largest level in µm, if the file does not state it."`
	Deidentify bool    `help:"Leave out label and macro image, patient, times and the scanner's number, and use identifiers that no other export has."`
	JSON       bool    `help:"Print JSON."`
}

func (*dicomExportCmd) Help() string {
	return "Writes a VL Whole Slide Microscopy image for each level: the same JPEG tiles, as frames. Each frame is read again and compared. Levels whose tiles are not baseline JPEGs are left out. An interrupted export can be repeated.\n\nExample:\n\n  ptiffstore dicom export slide.tiff series/"
}

// An exported describes a DICOM series that was written.
type exported struct {
	Study     string             `json:"study"`
	Series    string             `json:"series"`
	Instances []exportedInstance `json:"instances"`
}

type exportedInstance struct {
	UID    string `json:"uid"`
	Kind   string `json:"kind"` // level, macro or label
	Level  *int   `json:"level"`
	Frames int    `json:"frames"`
}

// Run exports the slide.
func (c *dicomExportCmd) Run(ctx context.Context, std streams) error {
	s, f, err := openSlide(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	o, err := c.options()
	if err != nil {
		return err
	}
	if o.Patient != nil && o.Patient.Label {
		o.Patient.Container = s.Barcode
	}
	if o.ID == "" {
		sum, err := s.Fingerprint()
		if err != nil {
			return fileError(c.File, err)
		}
		o.ID = fmt.Sprintf("%x", sum[:16])
	}
	d, err := dicom.NewSeries(s, o)
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		return fmt.Errorf("%s: %w, and DICOM needs it; state it with --mpp", c.File, err)
	case errors.Is(err, dicom.ErrNotBaseline):
		return &exitError{exitFile, fmt.Errorf("%s cannot be exported as it is stored: %w", c.File, err)}
	case err != nil:
		return fileError(c.File, err)
	}
	b := newBar(std.err, "exporting")
	err = d.Export(ctx, c.Dir, func(done, total int) { b.set(float64(done) / float64(total)) })
	b.end(err)
	if err != nil {
		return err
	}
	return c.print(std, d)
}

// options returns what the flags say about the objects.
func (c *dicomExportCmd) options() (dicom.Options, error) {
	o := dicom.Options{ID: c.ID, MPPX: c.MPP, MPPY: c.MPP, Deidentify: c.Deidentify}
	switch {
	case c.MPP < 0:
		return o, errors.New("--mpp must be above 0")
	case c.Deidentify && (c.Labels || c.PatientID != "" || c.Patient != "" || c.Accession != ""):
		return o, errors.New("--deidentify leaves out what --labels, --patient-id, --patient-name and --accession add; use one or the other")
	case c.Deidentify:
		o.Key = rand.Text()
	default:
		o.Patient = &dicom.Patient{ID: c.PatientID, Name: c.Patient, AccessionNumber: c.Accession, Label: c.Labels, Macro: c.Labels}
	}
	return o, nil
}

func (c *dicomExportCmd) print(std streams, d *dicom.Series) error {
	r := exported{Study: d.StudyUID, Series: d.UID}
	for _, in := range d.Instances {
		e := exportedInstance{UID: in.UID, Kind: in.Kind, Frames: in.Frames()}
		if in.Kind == "" {
			e.Kind, e.Level = "level", &in.Level
		}
		r.Instances = append(r.Instances, e)
	}
	if c.JSON {
		return printJSON(std, &r)
	}
	for _, e := range r.Instances {
		name := e.Kind
		if e.Level != nil {
			name = fmt.Sprintf("level %d", *e.Level)
		}
		fmt.Fprintf(std.out, "%s  %s, %d frames\n", e.UID, name, e.Frames)
	}
	return nil
}
