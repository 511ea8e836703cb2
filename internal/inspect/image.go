package inspect

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/slide"
)

// The sources of a barcode. An image with FromLabel and no barcode has a label on which
// no code was found.
const (
	FromFile  = "file"
	FromLabel = "label"
)

// sameContents reports whether im was recorded from a file of this size and mtime.
func sameContents(im *catalog.Image, id fsx.Identity) bool {
	return im.ID != "" && im.Identity.Size == id.Size && im.Identity.MTime == id.MTime
}

// Alike reports whether the inspected file may be the slide that im was recorded from,
// under another name. File systems without inode numbers may give one slide's number to
// another.
func Alike(im *catalog.Image, f *Inspection) bool {
	if !sameContents(im, f.Identity) || f.Slide == nil || im.Format == "" {
		return sameContents(im, f.Identity)
	}
	var d catalog.Description
	describe(&d, f.Slide)
	sameCode := im.BarcodeSource != FromFile || d.Barcode != nil && *d.Barcode == *im.Barcode
	return sameCode && d.Format == im.Format && slices.Equal(d.Levels, im.Levels)
}

// Update updates im from the file at path. What people entered is kept. If the contents
// are unchanged, so is what verification found: an inspection cannot detect changed
// bytes, so a damaged image stays damaged.
func Update(im *catalog.Image, path string, f *Inspection, v Verdict) {
	same := sameContents(im, f.Identity)
	old := im.Description
	im.Description = catalog.Description{
		Aliases: old.Aliases, Label: old.Label, ExternalID: old.ExternalID, FormerStores: old.FormerStores,
		FirstSeen: v.Since.UTC(), LastChange: v.Since.UTC(),
	}
	switch {
	case f.Slide != nil:
		describe(&im.Description, f.Slide)
		im.Profile, im.DICOM = f.Profile, f.DICOM
		if same && im.Barcode == nil && old.BarcodeSource == FromLabel {
			im.Barcode, im.BarcodeSource = old.Barcode, old.BarcodeSource
		}
	case same:
		im.Description = old
	}
	if same {
		im.Digest, im.FirstSeen, im.LastChange = old.Digest, old.FirstSeen, old.LastChange
		im.DamagedAt, im.Damage = old.DamagedAt, old.Damage
	}
	if im.DamagedAt != nil {
		v.State, v.Reason = catalog.Broken, im.Damage
	}
	im.MissingSince, im.HiddenAt = nil, nil
	im.Path, im.FileName = path, FileName(path)
	if f.FileName != "" {
		im.FileName = strings.ToValidUTF8(f.FileName, "\uFFFD")
	}
	if f.Names != nil {
		name(im, &old, f.Names)
	}
	im.State, im.Reason = v.State, v.Reason
	if im.Revision == "" || !im.Identity.Same(f.Identity) { // an imported file keeps its first
		im.Revision = f.Identity.Revision()
	}
	im.Identity = f.Identity
	if f.Kind == Unreadable {
		im.Identity = unread(im.Identity)
	}
}

// labelProperty is the property with the label in the document of an image.
const labelProperty = "slideatlas.label"

// name sets the file name, label and external id of an image from its document. What a
// person entered is kept: a label that differs from that of the document when it was last
// read, and any other external id. Names that are not changed are nil.
func name(im *catalog.Image, old *catalog.Description, n *source.Names) {
	im.FileName = strings.ToValidUTF8(n.File, "\uFFFD")
	was, known := old.Properties[labelProperty]
	if was == deref(old.Label) && (known || old.Label == nil) {
		im.Label = &n.Label
		if n.Label == "" {
			im.Label = nil
		}
	}
	if old.ExternalID == nil {
		im.ExternalID = &n.ExternalID
	}
	if n.Label != "" {
		im.Properties = maps.Clone(im.Properties)
		if im.Properties == nil {
			im.Properties = map[string]string{}
		}
		im.Properties[labelProperty] = n.Label
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// describe copies the slide's metadata.
func describe(d *catalog.Description, s *slide.Slide) {
	l := &s.Levels[0]
	d.Format, d.Vendor = s.Format, s.Vendor
	d.Width, d.Height = s.Bounds.Dx(), s.Bounds.Dy()
	if b := s.Bounds; d.Width != l.Width || d.Height != l.Height {
		d.Bounds = &catalog.Bounds{X: b.Min.X, Y: b.Min.Y, Width: d.Width, Height: d.Height}
	}
	d.TileWidth, d.TileHeight = l.TileWidth, l.TileHeight
	d.MaxZoom = len(s.Zooms) - 1
	for i := range s.Levels {
		l := &s.Levels[i]
		d.Levels = append(d.Levels, catalog.Level{
			Width: l.Width, Height: l.Height, TileWidth: l.TileWidth, TileHeight: l.TileHeight,
			Columns: l.Columns, Rows: l.Rows, Downsample: l.Downsample,
		})
	}
	d.MPPX, d.MPPY, d.ObjectivePower = known(s.MPPX), known(s.MPPY), known(s.ObjectivePower)
	if d.Barcode = known(s.Barcode); d.Barcode != nil {
		d.BarcodeSource = FromFile
	}
	d.Associated = s.Associated()
	d.Properties = s.Properties
}

// known is nil for the zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// FileName is the last part of a path; bytes that are not valid UTF-8 are replaced.
func FileName(p string) string { return strings.ToValidUTF8(path.Base(p), "\uFFFD") }

// unread is the identity to record for a file that could not be read. Its change time
// is zero, so that it differs from the file's and every scan tries again.
func unread(id fsx.Identity) fsx.Identity {
	id.CTime = 0
	return id
}
