package managed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/inspect"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// A Sidecar is a file beside a slide with the data that the slide does not contain, so
// that a store can be restored with its ids if its catalog is lost. It is written to
// disk before the slide is renamed.
type Sidecar struct {
	ID         string    `json:"id"`
	FileName   string    `json:"file_name"`
	Aliases    []string  `json:"aliases,omitempty"`
	Label      *string   `json:"label,omitempty"`
	ExternalID *string   `json:"external_id,omitempty"`
	Barcode    *string   `json:"barcode,omitempty"` // read from the label
	CreatedAt  time.Time `json:"created_at"`
	// FormerStores are those that the image was in before it was packed.
	FormerStores []string `json:"former_stores,omitempty"`

	// Instances are the files of a stored series, and Digest is that of all of them.
	Instances []Instance `json:"instances,omitempty"`

	// Of files in staging, quarantine and trash:
	From        []byte `json:"from,omitempty"`   // the former path; it may be any bytes, so JSON has it in base64
	Digest      string `json:"digest,omitempty"` // if known
	Reason      string `json:"reason,omitempty"` // why it is in quarantine
	DuplicateOf string `json:"duplicate_of,omitempty"`
}

// An Instance is a file of a stored DICOM series.
type Instance struct {
	UID    string `json:"uid"` // SOPInstanceUID
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"` // nanoseconds since 1970
}

// maxSidecar bounds a sidecar in bytes.
const maxSidecar = 1 << 20

// SidecarOf is the sidecar of an image.
func SidecarOf(im *catalog.Image) *Sidecar {
	c := &Sidecar{
		ID: im.ID, FileName: im.FileName, Aliases: im.Aliases, Label: im.Label, ExternalID: im.ExternalID,
		CreatedAt: im.CreatedAt.UTC(), FormerStores: im.FormerStores,
	}
	if im.BarcodeSource == inspect.FromLabel {
		c.Barcode = im.Barcode
	}
	return c
}

// MovedFrom is the sidecar of an image whose file is about to be moved.
func MovedFrom(im *catalog.Image) *Sidecar {
	c := SidecarOf(im)
	c.From = []byte(im.Path)
	if im.Digest != nil {
		c.Digest = *im.Digest
	}
	return c
}

// Image returns the image that the sidecar describes.
func (c *Sidecar) Image(store string) *catalog.Image {
	im := &catalog.Image{ID: c.ID, StoreID: store, CreatedAt: c.CreatedAt}
	im.FileName, im.Aliases, im.Label, im.ExternalID = c.FileName, c.Aliases, c.Label, c.ExternalID
	im.FormerStores = c.FormerStores
	if c.Barcode != nil {
		im.Barcode, im.BarcodeSource = c.Barcode, inspect.FromLabel
	}
	return im
}

// Same reports whether two sidecars are equal.
func (c *Sidecar) Same(o *Sidecar) bool {
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && slices.Equal(a, b)
}

// SidecarPath is the path of the sidecar of the file at path.
func SidecarPath(path string) string {
	if rest, ok := strings.CutPrefix(path, Quarantine); ok {
		id, _, _ := strings.Cut(rest, "-")
		return Quarantine + id + ".json"
	}
	path = container(path)
	for _, end := range []string{".part", tiffSuffix, seriesSuffix} {
		path = strings.TrimSuffix(path, end)
	}
	return path + ".json"
}

// WriteSidecar writes the sidecar of the file at path to disk.
func WriteSidecar(st *catalog.Store, path string, c *Sidecar) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	to, err := NewEntryOf(st, SidecarPath(path))
	if err != nil {
		return err
	}
	defer to.Close()
	via, err := EntryOf(st, Staging+"sidecar")
	if err != nil {
		return err
	}
	defer via.Close()
	_, err = fsx.WriteFileVia(via.Dir, to.Dir, to.Name, append(data, '\n'), 0o644)
	return DiskFull(err)
}

// UpdateSidecar writes the sidecar of a stored slide if it differs from the image, or does not
// name all files of a series.
func UpdateSidecar(ctx context.Context, st *catalog.Store, im *catalog.Image) error {
	if !Stored(im.Path) || im.DeletedAt != nil {
		return nil
	}
	now := SidecarOf(im)
	old, err := ReadSidecar(st, im.Path)
	if err == nil && catalog.IsSeries(im.Path) && len(old.Instances) > 0 {
		now.Instances, now.Digest = old.Instances, old.Digest
	}
	if catalog.IsSeries(im.Path) {
		if err := completeInventory(ctx, st, im, now); err != nil {
			return err
		}
	}
	if err == nil && old.Same(now) {
		return nil
	}
	return imageError(im.ID, "writing a sidecar", DiskFull(WriteSidecar(st, im.Path, now)))
}

// ReadSidecar reads the sidecar of the file at path. The error is
// [fs.ErrNotExist] if it has none.
func ReadSidecar(st *catalog.Store, path string) (*Sidecar, error) {
	s, err := EntryOf(st, SidecarPath(path))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	f, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSidecar))
	if err != nil {
		return nil, err
	}
	var c Sidecar
	if err := strictjson.UnmarshalKnown(data, &c); err != nil {
		return nil, fmt.Errorf("a sidecar file is damaged: %w", err)
	}
	if c.ID == "" || len(c.ID) > 64 || strings.ContainsAny(c.ID, "/-\x00") {
		return nil, errors.New("a sidecar file is damaged: it has no id")
	}
	return &c, nil
}

// RemoveSidecar removes the sidecar of the removed file at path.
func RemoveSidecar(st *catalog.Store, path string) error {
	s, err := EntryOf(st, SidecarPath(path))
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Remove()
}
