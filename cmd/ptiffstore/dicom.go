package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/slide"
)

type dicomCmd struct {
	Export dicomExportCmd `cmd:"" help:"Write a slide file as a DICOM series, without encoding its tiles again."`
}

type dicomExportCmd struct {
	sourceFlags
	What       string  `arg:"" name:"file-or-image" help:"Slide file, or id of an image in the catalog."`
	Dir        string  `arg:"" name:"folder" help:"Folder that gets a file for each level. It is created; files that an earlier export completed are kept."`
	ID         string  `name:"id" placeholder:"IMAGE" help:"With a file: id of the image in the catalog. The identifiers of the objects derive from it; without it, from the contents of the file."`
	Labels     bool    `help:"Include label and macro image, and the barcode."`
	PatientID  string  `name:"patient-id" placeholder:"TEXT" help:"Patient id. Archives file series under it."`
	Patient    string  `name:"patient-name" placeholder:"TEXT" help:"Name of the patient, as family^given."`
	Accession  string  `name:"accession" placeholder:"TEXT" help:"Accession number of the case."`
	MPP        float64 `name:"mpp" placeholder:"MICROMETRES" help:"Size of a pixel of the largest level in µm, if the file does not state it."`
	Deidentify bool    `help:"Leave out label and macro image, patient, times and the scanner's number, and comments in the tiles, and use other identifiers: for an image of the catalog always the same ones, for a file others in each export."`
	Sparse     bool    `help:"Leave out the tiles that the scanner skipped, instead of a frame of one colour for each. Some viewers cannot show such files."`
	JSON       bool    `help:"Print JSON."`
}

func (*dicomExportCmd) Help() string {
	return "Writes a VL Whole Slide Microscopy image for each level: the same JPEG or JPEG 2000 tiles, as frames; other tiles are decoded. Each frame is read again and compared. An interrupted export can be repeated. A DICOM series keeps its identifiers, and with --labels its files. An image of the catalog has the same identifiers as in /dicom-web of its server.\n\nExamples:\n\n  ptiffstore dicom export slide.tiff series/\n  ptiffstore dicom export qsnnj3jsmaxmvynku2dkpf2smi series/ --labels"
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
	if err := c.check(); err != nil {
		return err
	}
	if !c.isFile() {
		return c.exportImage(ctx, std)
	}
	s, f, err := openSlide(c.What)
	if err != nil {
		return err
	}
	defer f.Close()
	id := c.ID
	if id == "" {
		sum, err := s.Fingerprint()
		if err != nil {
			return fileError(c.What, err)
		}
		id = fmt.Sprintf("%x", sum[:16])
	}
	o, err := c.options(id, &s.Barcode, func() ([]byte, error) { return []byte(rand.Text()), nil })
	if err != nil {
		return err
	}
	return c.export(ctx, std, s, o)
}

// isFile reports whether the slide is named by a file and not by the id of an image.
func (c *dicomExportCmd) isFile() bool {
	_, err := os.Lstat(c.What)
	return err == nil || strings.ContainsAny(c.What, "./")
}

// exportImage exports an image of the catalog.
func (c *dicomExportCmd) exportImage(ctx context.Context, std streams) error {
	if c.ID != "" {
		return &exitError{exitUsage, errors.New("--id is for files: an image of the catalog has its own id")}
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	im, err := cat.Images.Get(ctx, c.What)
	if err != nil {
		return noImage(c.What, err)
	}
	s, err := c.openImage(ctx, cat, im)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // only read
	o, err := c.options(im.ID, cmp.Or(im.Barcode, &s.Barcode), func() ([]byte, error) { return cat.SiteKey(ctx, dicom.SiteKey) })
	if err != nil {
		return err
	}
	return c.withPeople(ctx, "image.export", func(*account.Accounts) (string, error) {
		return im.ID, c.export(ctx, std, s.Slide, o)
	})
}

// An openImage is an open image of the catalog.
type openImage struct {
	*slide.Slide
	io.Closer
}

// openImage opens an image where its store has it: a file, the files of a DICOM series, or a part of
// a database.
func (p *sourceFlags) openImage(ctx context.Context, cat *catalog.Catalog, im *catalog.Image) (*openImage, error) {
	if im.State != catalog.Available {
		return nil, fmt.Errorf("the image %s is %s: %s", im.ID, im.State, im.Reason)
	}
	st, err := cat.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return nil, err
	}
	src, end, err := p.sourceOf(st, im.Path)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", im.ID, err)
	}
	s, err := src.Slide(ctx, im.Path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("image %s: %w", im.ID, err), end.Close())
	}
	open := closers{s, end}
	if s.Err != nil {
		return nil, errors.Join(seriesError("image "+im.ID, s.Err), open.Close())
	}
	return &openImage{s.Slide, open}, nil
}

// sourceOf opens the source of a store that has the image at a path.
func (p *sourceFlags) sourceOf(st *catalog.Store, path string) (source.Source, io.Closer, error) {
	if st.Kind == catalog.Directory {
		dir, err := source.OpenStore(st, path)
		return dir, dir, err
	}
	pool := p.syncer(nil, nil).Sources
	src, err := pool.Open(st)
	return src, pool, err
}

// closers close several things.
type closers []io.Closer

func (list closers) Close() error {
	var errs []error
	for _, c := range list {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// export exports an open slide.
func (c *dicomExportCmd) export(ctx context.Context, std streams, s *slide.Slide, o dicom.Options) error {
	d, err := dicom.NewSeries(s, o)
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		return fmt.Errorf("%s: %w, and DICOM needs it; state it with --mpp", c.What, err)
	case err != nil:
		return fileError(c.What, err)
	}
	b := newBar(std.err, "exporting")
	err = d.Export(ctx, c.Dir, func(done, total int) { b.set(float64(done) / float64(total)) })
	b.end(err)
	if err != nil {
		return err
	}
	return c.print(std, d)
}

// check checks that the flags agree with each other.
func (c *dicomExportCmd) check() error {
	switch {
	case c.MPP < 0:
		return errors.New("--mpp must be above 0")
	case c.Deidentify && (c.Labels || c.PatientID != "" || c.Patient != "" || c.Accession != ""):
		return errors.New("--deidentify leaves out what --labels, --patient-id, --patient-name and --accession add; use one or the other")
	}
	return nil
}

// options returns the options of the export of a slide with that id and barcode.
func (c *dicomExportCmd) options(id string, barcode *string, key func() ([]byte, error)) (dicom.Options, error) {
	o, err := dicom.Choice{Labels: c.Labels, Deidentify: c.Deidentify, Sparse: c.Sparse}.Options(id, barcode, key)
	o.MPPX, o.MPPY = c.MPP, c.MPP
	if err != nil || c.Deidentify {
		return o, err
	}
	if o.Patient == nil {
		o.Patient = &dicom.Patient{}
	}
	o.Patient.ID, o.Patient.Name, o.Patient.AccessionNumber = c.PatientID, c.Patient, c.Accession
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
