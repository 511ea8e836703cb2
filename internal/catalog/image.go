package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/slideatlas/ptiffstore/internal/fsx"
)

// A State is the state of an image.
type State string

const (
	Available   State = "available"
	Arriving    State = "arriving"    // probably still arriving
	Unsupported State = "unsupported" // complete, but not a supported slide
	Broken      State = "broken"
	Missing     State = "missing" // its file does not exist
	Quarantined State = "quarantined"
)

// shelves are the states in the order of [SortState], those that need attention first. The
// database stores the numbers, so they must not change. Images that are in no list are on
// shelves of their own.
var shelves = [...]State{1: Broken, 2: Quarantined, 3: Unsupported, 4: Missing, 5: Arriving, 6: Available}

const (
	shelfMissing = 4
	shelfHidden  = 7 // missing for a long time
	shelfDeleted = 8 // deleted by a user
)

// shelfOf returns the shelf of images in a state, or 0 for an unknown state.
func shelfOf(s State) int {
	for i, state := range shelves {
		if i > 0 && state == s {
			return i
		}
	}
	return 0
}

// stateOn returns the state of the images on a shelf, or "" if they are in no list.
func stateOn(shelf int) State {
	if shelf <= 0 || shelf >= len(shelves) {
		return ""
	}
	return shelves[shelf]
}

// An Image is one file of a store with its metadata.
type Image struct {
	ID       string
	StoreID  string
	Path     string // below the store's root, in any bytes
	Revision string
	State    State
	Identity fsx.Identity
	Seq      int64 // number of the last change
	Description
	DeletedAt *time.Time // by a user: it is in no list, and sync does not restore it
	CreatedAt time.Time
	UpdatedAt time.Time
}

// A Description is the part of an image that no query searches.
type Description struct {
	FileName       string            `json:"-"` // valid UTF-8
	Aliases        []string          `json:",omitempty"`
	Reason         string            `json:"-"` // why it is not available, for users
	Format         string            `json:",omitempty"`
	Vendor         string            `json:",omitempty"`
	Width          int               `json:",omitempty"` // pixels of level 0, or of its part with the image
	Height         int               `json:",omitempty"`
	Bounds         *Bounds           `json:",omitempty"` // the part of level 0 with the image; nil for all of it
	TileWidth      int               `json:",omitempty"`
	TileHeight     int               `json:",omitempty"`
	MaxZoom        int               `json:",omitempty"`
	Levels         []Level           `json:",omitempty"`
	MPPX           *float64          `json:",omitempty"` // µm per pixel of level 0
	MPPY           *float64          `json:",omitempty"`
	ObjectivePower *float64          `json:",omitempty"`
	Barcode        *string           `json:",omitempty"`
	BarcodeSource  string            `json:",omitempty"` // "file", or "label" if it was read from the label
	Label          *string           `json:",omitempty"` // set by users
	Digest         *string           `json:"-"`          // SHA-256 of the file, hexadecimal
	ExternalID     *string           `json:",omitempty"`
	Names          CaseNames         `json:",omitzero"`  // of its case
	Corrected      CaseCorrections   `json:",omitzero"`  // names of its case that users have set
	FormerStores   []string          `json:",omitempty"` // ids and external ids of the stores that it was in before it was packed
	Associated     []string          `json:",omitempty"`
	Properties     map[string]string `json:",omitempty"`
	Profile        *ColorProfile     `json:",omitempty"` // nil if it was inspected by a version that did not look for one
	Unconverted    bool              `json:",omitempty"` // it could not be converted to a pyramid; Reason explains why
	DICOM          *DICOM            `json:",omitempty"` // of a series of DICOM files; nil for other images
	FirstSeen      time.Time         `json:"-"`          // when these contents were first seen
	LastChange     time.Time         `json:"-"`          // of the file, by the clock of the host that inspects it
	VerifiedAt     *time.Time        `json:"-"`          // when its bytes last matched the digest
	// DamagedAt is when its bytes were found to differ from the digest, although the file
	// was not written to; nil if they match. Damage is the reason. The image is broken
	// until they match again, or the file has another size or mtime.
	DamagedAt    *time.Time `json:",omitempty"`
	Damage       string     `json:",omitempty"`
	MissingSince *time.Time `json:"-"`
	HiddenAt     *time.Time `json:"-"` // missing for so long that it is in no list
}

// Bounds are a part of the largest level, in pixels from its top left.
type Bounds struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

// A ColorProfile says what is known about the colour profile of an image.
type ColorProfile struct {
	None    bool   `json:",omitempty"` // the image has no profile
	Name    string `json:",omitempty"`
	Class   string `json:",omitempty"` // "scnr", "mntr"
	Space   string `json:",omitempty"` // "RGB"
	Version string `json:",omitempty"`
	Size    int    `json:",omitempty"` // bytes
	SRGB    bool   `json:",omitempty"` // there is nothing to convert
	Usable  bool   `json:",omitempty"`
	Reason  string `json:",omitempty"` // why it is not usable
	InTiles bool   `json:",omitempty"` // the tiles carry it themselves
}

// A DICOM has the identifiers of a series of DICOM files, by which its image is found: see
// [Images.ByStudy] and [Images.BySeries].
type DICOM struct {
	Study  string `json:",omitempty"` // StudyInstanceUID
	Series string `json:",omitempty"` // SeriesInstanceUID
	// Open is the number of instances without label and macro, Private that of those two.
	Open    int `json:",omitempty"`
	Private int `json:",omitempty"`
}

// A Level is one stored resolution of an image.
type Level struct {
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	TileWidth  int     `json:"tile_width"`
	TileHeight int     `json:"tile_height"`
	Columns    int     `json:"columns"`
	Rows       int     `json:"rows"`
	Downsample float64 `json:"downsample"`
}

// Images are the images of all stores.
type Images struct{ *handle }

// Get returns an image, or [ErrNotFound], also if it was deleted.
func (ims *Images) Get(ctx context.Context, id string) (*Image, error) {
	return ims.one(ctx, "image "+clean(id), `i.id = $1 AND i.deleted_at IS NULL`, clean(id))
}

// GetAny returns an image, which may be deleted, or [ErrNotFound].
func (ims *Images) GetAny(ctx context.Context, id string) (*Image, error) {
	return ims.one(ctx, "image "+clean(id), `i.id = $1`, clean(id))
}

// ByPath returns the image with that path in a store, which may be deleted, or
// [ErrNotFound].
func (ims *Images) ByPath(ctx context.Context, store, path string) (*Image, error) {
	return ims.one(ctx, "image", `i.store = (SELECT n FROM stores WHERE id = $1) AND i.path = $2`, store, []byte(path))
}

// ByDigest returns the image of a store whose file has that digest, which may be
// deleted; the first one if there are several; or [ErrNotFound].
func (ims *Images) ByDigest(ctx context.Context, store, digest string) (*Image, error) {
	return ims.one(ctx, "image", `i.store = (SELECT n FROM stores WHERE id = $1) AND i.digest = $2 ORDER BY i.n LIMIT 1`, store, clean(digest))
}

// ByFileName returns the images with that file name (case-sensitive), available ones
// first and then the newest first; at most 100. If store is not "", it is limited to that
// store. Deleted images are excluded. A file name is patient data: check the permissions of
// the caller before revealing whether it exists.
func (ims *Images) ByFileName(ctx context.Context, store, name string) ([]Image, error) {
	where, args := `i.file_name = $1 AND i.name = $2 AND i.shelf IN (1, 2, 3, 4, 5, 6, 7)`, []any{clean(name), key(name)}
	if store != "" {
		where, args = where+` AND i.store = (SELECT n FROM stores WHERE id = $3)`, append(args, store)
	}
	list, err := ims.records(ctx, ims.read, where+` ORDER BY CASE i.shelf WHEN 6 THEN 0 ELSE 1 END, i.n DESC LIMIT 100`, args...)
	images := make([]Image, len(list))
	for i, r := range list {
		images[i] = r.Image
	}
	return images, err
}

// ByStudy returns the images whose DICOM files have that StudyInstanceUID, those that were
// added first first; at most 1,000. Deleted images are excluded. Check the permissions of the
// caller before revealing whether there are any.
func (ims *Images) ByStudy(ctx context.Context, study string) ([]Image, error) {
	return ims.byDICOM(ctx, "study", study)
}

// BySeries returns the images whose DICOM files have that SeriesInstanceUID: several if the
// series is in several folders. See [Images.ByStudy].
func (ims *Images) BySeries(ctx context.Context, series string) ([]Image, error) {
	return ims.byDICOM(ctx, "series", series)
}

// ByStudies is [Images.ByStudy] for several studies, of which it returns all images.
func (ims *Images) ByStudies(ctx context.Context, studies []string) ([]Image, error) {
	if len(studies) == 0 {
		return nil, nil
	}
	list, err := ims.records(ctx, ims.read, `i.n IN (SELECT image FROM dicom WHERE study `+fmt.Sprintf(ims.among, 1)+`) AND i.shelf IN (1, 2, 3, 4, 5, 6, 7) ORDER BY i.n`, ims.list(studies))
	images := make([]Image, len(list))
	for i, r := range list {
		images[i] = r.Image
	}
	return images, err
}

// byDICOM returns the images whose column of the table dicom has a value.
func (ims *Images) byDICOM(ctx context.Context, column, uid string) ([]Image, error) {
	list, err := ims.records(ctx, ims.read, `i.n IN (SELECT image FROM dicom WHERE `+column+` = $1) AND i.shelf IN (1, 2, 3, 4, 5, 6, 7) ORDER BY i.n LIMIT 1000`, clean(uid))
	images := make([]Image, len(list))
	for i, r := range list {
		images[i] = r.Image
	}
	return images, err
}

// A record is a row of images.
type record struct {
	Image
	n     int64 // its number, in the order of arrival
	store int64
	shelf int
}

const recordColumns = `i.n, i.store, i.shelf, i.id, s.id, i.path, i.file_name, i.size, i.state, i.reason, i.revision, i.dev, i.ino, i.mtime, i.ctime, i.digest,
	i.first_seen, i.last_change, i.verified_at, i.missing_since, i.hidden_at, i.deleted_at, i.created_at, i.updated_at, c.seq, d.fields`

// one returns the image that satisfies a condition.
func (ims *Images) one(ctx context.Context, what, where string, args ...any) (*Image, error) {
	list, err := ims.records(ctx, ims.read, where, args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, what)
	}
	return &list[0].Image, nil
}

// records returns the images that satisfy a condition.
func (h *handle) records(ctx context.Context, db querier, where string, args ...any) ([]*record, error) {
	rows, err := db.QueryContext(ctx, `SELECT `+recordColumns+` FROM images i
		JOIN stores s ON s.n = i.store JOIN descriptions d ON d.n = i.n JOIN changes c ON c.n = i.n WHERE `+where, args...)
	if err != nil {
		return nil, wrap(err, "images")
	}
	defer rows.Close()
	var list []*record
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, wrap(err, "images")
		}
		list = append(list, r)
	}
	return list, wrap(rows.Err(), "images")
}

func scanRecord(rows *sql.Rows) (*record, error) {
	var r record
	var path, fields []byte
	var dev, ino, first, last, created, updated int64
	var verified, missing, hidden, deleted sql.Null[int64]
	id := &r.Identity
	err := rows.Scan(&r.n, &r.store, &r.shelf, &r.ID, &r.StoreID, &path, &r.FileName, &id.Size, &r.State, &r.Reason, &r.Revision, &dev, &ino, &id.MTime, &id.CTime, &r.Digest,
		&first, &last, &verified, &missing, &hidden, &deleted, &created, &updated, &r.Seq, &fields)
	if err != nil {
		return nil, err
	}
	r.Path = string(path)
	id.Dev, id.Ino = uint64(dev), uint64(ino)
	r.FirstSeen, r.LastChange = fromMicros(first), fromMicros(last)
	r.VerifiedAt, r.MissingSince, r.HiddenAt, r.DeletedAt = when(verified), when(missing), when(hidden), when(deleted)
	r.CreatedAt, r.UpdatedAt = fromMicros(created), fromMicros(updated)
	if err := json.Unmarshal(fields, &r.Description); err != nil {
		return nil, fmt.Errorf("image %s: %w", r.ID, err)
	}
	return &r, nil
}

// wantedShelf returns the shelf for the current state of the image.
func (im *Image) wantedShelf() int {
	switch {
	case im.DeletedAt != nil:
		return shelfDeleted
	case im.HiddenAt != nil:
		return shelfHidden
	}
	return shelfOf(im.State)
}

// words returns the text that a search covers: file name, label, barcode, external id, aliases
// and, in an in-place store, the folder, and the accession number, each preceded by two line breaks, so that the beginning of each can be searched like any other
// part.
func (im *Image) words() string {
	var b strings.Builder
	add := func(s string) {
		if s = fold(s); s != "" {
			b.WriteString(fieldMark)
			b.WriteString(s)
		}
	}
	add(im.FileName)
	for _, p := range []*string{im.Label, im.Barcode, im.ExternalID} {
		if p != nil {
			add(*p)
		}
	}
	for _, a := range im.Aliases {
		add(a)
	}
	add(im.Folder())
	if words := b.String(); !strings.Contains(words, fold(im.Names.Accession)) { // it usually is in one of the others
		add(im.Names.Accession)
	}
	return b.String()
}

// Folder returns the folder of the image's file in an in-place store, relative to the root of
// the store and in valid UTF-8: "" for the root, and for images whose path is not that of a file
// with their name. Like file names, it may be patient data. In a managed store it has no meaning.
func (im *Image) Folder() string {
	dir, name := path.Split(im.Path)
	if clean(name) != im.FileName && !IsSeries(im.Path) {
		return ""
	}
	return clean(strings.TrimSuffix(dir, "/"))
}

const fieldMark = "\n\n"

// fold returns text as it is searched and sorted: composed, in lower case, and without
// control characters.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToLower(norm.NFC.String(clean(s))))
}

// maxKey limits the names in indexes, in bytes: an entry has to fit into a third of a page
// of PostgreSQL, about 2,700 bytes. No file system has longer names.
const maxKey = 1000

// key returns a file name as it is sorted.
func key(name string) string {
	s := fold(name)
	if len(s) > maxKey {
		s = strings.ToValidUTF8(s[:maxKey], "")
	}
	return s
}

// clean returns text in a form that both databases accept: UTF-8 without zero bytes.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

func when(n sql.Null[int64]) *time.Time {
	if !n.Valid {
		return nil
	}
	t := fromMicros(n.V)
	return &t
}

// micros returns microseconds since 1970, or nil.
func micros(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}
