package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/slide"
)

type inspectCmd struct {
	File  string `arg:"" help:"Slide file, or a folder or file of a DICOM series."`
	DICOM bool   `name:"dicom" help:"Say what of the slide DICOMweb and exports show, and why not the rest."`
	JSON  bool   `help:"Print JSON."`
}

func (*inspectCmd) Help() string {
	return "Reads the structure, all tables of tiles, and the first and last tile of each level. Exits with 2 if the file is broken or not a slide, and names the tag and its position in the file.\n\nExample:\n\n  ptiffstore inspect slide.tiff --json"
}

type inspectLevel struct {
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	TileWidth  int     `json:"tile_width"`
	TileHeight int     `json:"tile_height"`
	Columns    int     `json:"columns"`
	Rows       int     `json:"rows"`
	Downsample float64 `json:"downsample"`
	Codec      string  `json:"codec"`
}

type inspectReport struct {
	Format         string            `json:"format"`
	Vendor         *string           `json:"vendor"`
	Size           int64             `json:"size"`
	Width          int               `json:"width"`
	Height         int               `json:"height"`
	MaxZoom        int               `json:"max_zoom"`
	MPPX           *float64          `json:"mpp_x"`
	MPPY           *float64          `json:"mpp_y"`
	ObjectivePower *float64          `json:"objective_power"`
	Barcode        *string           `json:"barcode"`
	Associated     []string          `json:"associated"`
	Profile        *profile.Info     `json:"profile"`
	Levels         []inspectLevel    `json:"levels"`
	Properties     map[string]string `json:"properties"`
	Warnings       []string          `json:"warnings,omitempty"`
}

// Run prints the structure of the file.
func (c *inspectCmd) Run(std streams) error {
	s, f, err := openSlide(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.DICOM {
		return c.dicom(std, s)
	}
	r := report(s, f.size)
	p, err := profile.Read(s)
	if err != nil {
		return fileError(c.File, err)
	}
	if p != nil {
		r.Profile = &p.Info
	}
	if c.JSON {
		e := json.NewEncoder(std.out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print(std)
	}
	if err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return fileError(c.File, err)
	}
	return nil
}

func report(s *slide.Slide, size int64) *inspectReport {
	l := s.Levels[0]
	r := &inspectReport{
		Format: s.Format, Vendor: known(s.Vendor), Size: size, Width: l.Width, Height: l.Height,
		MaxZoom: len(s.Zooms) - 1, MPPX: known(s.MPPX), MPPY: known(s.MPPY),
		ObjectivePower: known(s.ObjectivePower), Barcode: known(s.Barcode),
		Associated: append([]string{}, s.Associated()...), Properties: s.Properties, Warnings: s.Warnings,
	}
	for _, l := range s.Levels {
		r.Levels = append(r.Levels, inspectLevel{l.Width, l.Height, l.TileWidth, l.TileHeight, l.Columns, l.Rows, l.Downsample, l.Layout.Codec.String()})
	}
	return r
}

// known returns nil for the zero value: JSON has null for an unknown value, never 0 or "".
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (r *inspectReport) print(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(name string, v any) { fmt.Fprintf(w, "%s\t%v\n", name, v) }
	line("format", r.Format)
	line("vendor", orUnknown(r.Vendor))
	line("size", fmt.Sprintf("%d bytes", r.Size))
	line("pixels", fmt.Sprintf("%d × %d", r.Width, r.Height))
	line("mpp x", orUnknown(r.MPPX))
	line("mpp y", orUnknown(r.MPPY))
	line("objective power", orUnknown(r.ObjectivePower))
	line("barcode", orUnknown(r.Barcode))
	line("associated", r.Associated)
	line("colour profile", describeProfile(r.Profile))
	line("zooms", fmt.Sprintf("0 to %d", r.MaxZoom))
	fmt.Fprintln(w, "\nlevel\tpixels\ttile\tgrid\tdownsample\tcodec")
	for i, l := range r.Levels {
		fmt.Fprintf(w, "%d\t%d × %d\t%d × %d\t%d × %d\t%g\t%s\n", i, l.Width, l.Height, l.TileWidth, l.TileHeight, l.Columns, l.Rows, l.Downsample, l.Codec)
	}
	fmt.Fprintln(w)
	for _, k := range slices.Sorted(maps.Keys(r.Properties)) {
		line(k, r.Properties[k])
	}
	for _, text := range r.Warnings {
		line("warning", text)
	}
	return w.Flush()
}

// describeProfile describes a colour profile in a line.
func describeProfile(p *profile.Info) string {
	if p == nil {
		return "none"
	}
	var b strings.Builder
	if p.Name != "" {
		fmt.Fprintf(&b, "%q, ", p.Name)
	}
	if p.Class != "" {
		fmt.Fprintf(&b, "class %s, %s, version %s, ", p.Class, p.Space, p.Version)
	}
	fmt.Fprintf(&b, "%d bytes", p.Size)
	switch {
	case !p.Usable:
		fmt.Fprintf(&b, "; it cannot be used: %s", p.Reason)
	case p.SRGB:
		b.WriteString("; it is sRGB: nothing to convert")
	}
	if p.InTiles {
		b.WriteString("; also in the tiles")
	}
	return b.String()
}

func orUnknown[T any](v *T) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprint(*v)
}

// An inspectDICOM says what of a slide can be seen as DICOM.
type inspectDICOM struct {
	Shown     bool     `json:"shown"`
	Reason    *string  `json:"reason"` // why not
	Instances []string `json:"instances"`
}

// dicom prints what of a slide can be seen as DICOM.
func (c *inspectCmd) dicom(std streams, s *slide.Slide) error {
	r := inspectDICOM{Instances: []string{}}
	d, err := dicom.NewSeries(s, dicom.Options{ID: "inspected", Patient: &dicom.Patient{Label: true, Macro: true}})
	switch {
	case errors.Is(err, dicom.ErrNoSpacing):
		r.Reason = known(err.Error())
	case err != nil:
		return fileError(c.File, err)
	default:
		r.Shown = true
		for _, in := range d.Instances {
			name := in.Kind
			if name == "" {
				name = fmt.Sprintf("level %d", in.Level)
			}
			r.Instances = append(r.Instances, fmt.Sprintf("%s: %d frames, %s, %s", name, in.Frames(), in.Attributes.Text(dicom.PhotometricInterpretation), in.TransferSyntax))
		}
	}
	if c.JSON {
		return printJSON(std, &r)
	}
	if !r.Shown {
		fmt.Fprintf(std.out, "not shown: %s\n", *r.Reason)
		return nil
	}
	for _, line := range r.Instances {
		fmt.Fprintln(std.out, line)
	}
	return nil
}
