package dicom

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"slices"
	"testing"

	"github.com/slideatlas/ptiffstore/slide"
)

// canaries are texts that no de-identified file may contain: in attributes that the basic profile of
// PS3.15 table E.1-1 names, in private ones, in sequences, and in the JPEGs.
var canaries = []Element{
	{Tag: 0x00080012, VR: "DA", Text: []string{"20260309"}},           // InstanceCreationDate
	{Tag: 0x00080080, VR: "LO", Text: []string{"canary institution"}}, // InstitutionName
	{Tag: 0x00081030, VR: "LO", Text: []string{"canary study"}},
	{Tag: 0x0008103e, VR: "LO", Text: []string{"canary series"}},
	{Tag: 0x00081070, VR: "PN", Text: []string{"canary^operator"}},
	{Tag: 0x00090010, VR: "LO", Text: []string{"canary creator"}}, // private
	{Tag: 0x00091001, VR: "UN", Bytes: []byte("canary private")},
	{Tag: 0x00104000, VR: "LT", Text: []string{"canary comment on the patient"}},
	{Tag: 0x00204000, VR: "LT", Text: []string{"canary comment on the image"}},
	{Tag: 0x00400275, VR: "SQ", Items: []Dataset{{{Tag: 0x00400007, VR: "LO", Text: []string{"canary request"}}}}},
	{Tag: 0x00400600, VR: "LO", Text: []string{"canary specimen"}},
}

// seriesWithCanaries returns a series of DICOM files of a patient as a slide, and the texts that
// identify the patient in them.
func seriesWithCanaries(t *testing.T) (s *slide.Slide, secrets []string) {
	t.Helper()
	var encoded bytes.Buffer
	if err := stdjpeg.Encode(&encoded, image.NewYCbCr(image.Rect(0, 0, 128, 128), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	const comment = "canary in JPEG"
	stored := "\xff\xd8\xff\xfe\x00\x10" + comment + encoded.String()[2:]
	tiles, err := slide.New(slide.Pyramid{
		Format: "pyramid", TileSize: 128, Zooms: 2, Bounds: image.Rect(0, 0, 200, 200), MPPX: 0.5, MPPY: 0.5,
		AppendTile: func(dst []byte, _, _, _ int) ([]byte, error) { return append(dst, stored...), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	d := newSeries(t, tiles, everything())
	secrets = []string{"S26-4711", "Müller", "P 1", "A-9", "20260309", "canary", d.StudyUID, d.UID}
	for _, in := range d.Instances {
		in.Attributes = append(in.Attributes, canaries...)
		slices.SortFunc(in.Attributes, func(a, b Element) int { return cmp.Compare(a.Tag, b.Tag) })
		secrets = append(secrets, in.UID)
		for _, tag := range []Tag{AcquisitionUID, FrameOfReferenceUID, PyramidUID} {
			if uid := in.Attributes.Text(tag); uid != "" {
				secrets = append(secrets, uid)
			}
		}
		for _, specimen := range in.Attributes.Items(SpecimenDescriptionSequence) {
			secrets = append(secrets, specimen.Text(SpecimenUID))
		}
	}
	files := exported(t, d)
	for _, p := range files {
		b := contents(t, []Part{p})[p.Name]
		for _, text := range []string{"canary private", "canary request", comment, "Müller"} {
			if !bytes.Contains(b, []byte(text)) {
				t.Fatalf("the original file %s has no %q", p.Name, text)
			}
		}
	}
	s, err = Open(files)
	if err != nil {
		t.Fatal(err)
	}
	return s, secrets
}

// TestDeidentified exports a series of DICOM files without what identifies the patient.
func TestDeidentified(t *testing.T) {
	t.Parallel()
	s, secrets := seriesWithCanaries(t)
	for _, sparse := range []bool{false, true} {
		t.Run(fmt.Sprintf("sparse %v", sparse), func(t *testing.T) {
			d, dir := newSeries(t, s, Options{ID: "im1", Deidentify: true, Key: "x", Sparse: sparse, Patient: everything().Patient}), t.TempDir()
			if err := d.Export(t.Context(), dir, nil); err != nil {
				t.Fatal(err)
			}
			validate(t, dir, !sparse)
			files := parts(t, dir)
			if len(files) != 2 {
				t.Errorf("%d files, want one for each level", len(files))
			}
			for name, b := range contents(t, files) {
				for _, secret := range secrets {
					if bytes.Contains(b, []byte(secret)) {
						t.Errorf("%s contains %q", name, secret)
					}
				}
			}
			for _, p := range files {
				f, err := Read(p.R, p.Size)
				if err != nil {
					t.Fatal(err)
				}
				if f.Data.Text(PatientIdentityRemoved) != "YES" || f.Data.Text(DeidentificationMethod) == "" {
					t.Errorf("%s does not say that it is de-identified", p.Name)
				}
				if i := slices.IndexFunc(f.Data, func(e Element) bool { return e.Tag>>16&1 == 1 }); i >= 0 {
					t.Errorf("%s has the private attribute %v", p.Name, f.Data[i].Tag)
				}
			}
		})
	}
}
