package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// A sidecar is a file beside a slide that says of it what its bytes don't, so that
// a store whose catalog is lost is taken back with its ids. It is on disk before
// the slide is given its name.
type sidecar struct {
	ID         string    `json:"id"`
	FileName   string    `json:"file_name"`
	Aliases    []string  `json:"aliases,omitempty"`
	Label      *string   `json:"label,omitempty"`
	ExternalID *string   `json:"external_id,omitempty"`
	Barcode    *string   `json:"barcode,omitempty"` // read off the label
	CreatedAt  time.Time `json:"created_at"`

	// Of files in staging, quarantine and trash:
	From        []byte `json:"from,omitempty"`   // the path it had; any bytes, so in base64
	Digest      string `json:"digest,omitempty"` // if it was known
	Reason      string `json:"reason,omitempty"` // why it is in quarantine
	DuplicateOf string `json:"duplicate_of,omitempty"`
}

// maxSidecar bounds a sidecar: an image has a few names, not thousands.
const maxSidecar = 1 << 20

func sidecarOf(im *catalog.Image) *sidecar {
	c := &sidecar{
		ID: im.ID, FileName: im.FileName, Aliases: im.Aliases, Label: im.Label, ExternalID: im.ExternalID,
		CreatedAt: im.CreatedAt.UTC(),
	}
	if im.BarcodeSource == fromLabel {
		c.Barcode = im.Barcode
	}
	return c
}

// movedFrom is the sidecar of an image whose file is about to be moved.
func movedFrom(im *catalog.Image) *sidecar {
	c := sidecarOf(im)
	c.From = []byte(im.Path)
	if im.Digest != nil {
		c.Digest = *im.Digest
	}
	return c
}

// image returns the image that the sidecar is of, as far as it says.
func (c *sidecar) image(store string) *catalog.Image {
	im := &catalog.Image{ID: c.ID, StoreID: store, CreatedAt: c.CreatedAt}
	im.FileName, im.Aliases, im.Label, im.ExternalID = c.FileName, c.Aliases, c.Label, c.ExternalID
	if c.Barcode != nil {
		im.Barcode, im.BarcodeSource = c.Barcode, fromLabel
	}
	return im
}

// same reports whether two sidecars say the same.
func (c *sidecar) same(o *sidecar) bool {
	a, errA := json.Marshal(c)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && slices.Equal(a, b)
}

// sidecarPath is the path of the sidecar of the file at path.
func sidecarPath(path string) string {
	if rest, ok := strings.CutPrefix(path, quarantine); ok {
		id, _, _ := strings.Cut(rest, "-")
		return quarantine + id + ".json"
	}
	return strings.TrimSuffix(strings.TrimSuffix(path, ".part"), ".tiff") + ".json"
}

// writeSidecar writes the sidecar of the file at path to disk.
func writeSidecar(st *catalog.Store, path string, c *sidecar) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	to, err := newSpotOf(st, sidecarPath(path))
	if err != nil {
		return err
	}
	defer to.Close()
	via, err := spotOf(st, staging+"sidecar")
	if err != nil {
		return err
	}
	defer via.Close()
	_, err = fsx.WriteFileVia(via.Dir, to.Dir, to.Name, append(data, '\n'), 0o644)
	return full(err)
}

// readSidecar reads the sidecar of the file at path. The error is
// [fs.ErrNotExist] if it has none.
func readSidecar(st *catalog.Store, path string) (*sidecar, error) {
	s, err := spotOf(st, sidecarPath(path))
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
	var c sidecar
	if err := strictjson.UnmarshalKnown(data, &c); err != nil {
		return nil, fmt.Errorf("ingest: a sidecar is damaged: %w", err)
	}
	if c.ID == "" || len(c.ID) > 64 || strings.ContainsAny(c.ID, "/-\x00") {
		return nil, errors.New("ingest: a sidecar is damaged: it holds no id")
	}
	return &c, nil
}

// removeSidecar removes the sidecar of what was the file at path.
func removeSidecar(st *catalog.Store, path string) error {
	s, err := spotOf(st, sidecarPath(path))
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Remove()
}
