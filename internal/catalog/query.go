package catalog

import (
	"context"
	"fmt"
	"strings"
)

// A Sort is an order of images.
type Sort string

const (
	SortCreated Sort = "created" // order of arrival in the catalog, newest first
	SortName    Sort = "name"    // of the file, case-insensitive, by code point
	SortSize    Sort = "size"    // of the file, smallest first
	// SortState puts images that need attention first: broken, quarantined, unsupported,
	// missing, arriving, available; each newest first.
	SortState Sort = "state"
)

// A Query selects images. The zero value selects all that are neither deleted nor hidden,
// newest first.
type Query struct {
	Store string // id
	// Stores are the ids of the stores to which the query is limited, in addition to Store;
	// nil means all, and an empty list finds nothing. Unknown ids are ignored.
	Stores []string
	// Images are the ids of images that the query selects from as well, whatever Stores
	// says: those that the caller may search although not their whole store. Unknown ids
	// are ignored. If it is nil or empty, only the stores count.
	Images []string
	Q      string // part of a file name, folder, alias, label, barcode or external id; with fewer than 3 characters, the beginning of one
	// ExternalID, if not empty, is the id in another application that the images have.
	ExternalID string
	// Barcode, if not empty, is exactly the text of the barcode that the images have. Images
	// with a barcode of more than 500 bytes are not found by it.
	Barcode string
	// Accession, if not empty, is exactly the accession number of the case of the images.
	Accession string
	State     State
	Sort      Sort
	Cursor    string
	Limit     int  // 50 if 0, 1000 at most
	Hidden    bool // only deleted or hidden images; State is then ignored
	// Labels reports that the caller may see file names, labels, barcodes, accession numbers and external ids.
	// Without it Q is ignored, ExternalID, Barcode and Accession find nothing, and the order by name is replaced by
	// the order of arrival.
	Labels bool
}

// A Page is a part of a list.
type Page struct {
	Items      []Image
	NextCursor string // "" on the last page
}

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// List returns the page of images that follows the query's cursor. An image that exists
// all the time, and whose sort key does not change, is on exactly one page.
//
// A page takes milliseconds with a million images. A search ordered by name or size reads
// and sorts all matches, about 200 ms for a hundred thousand, unless enough of them are
// among the first few thousand images in that order.
//
// The error is [ErrBadCursor] if the cursor belongs to another query, and [ErrNotFound] if
// the store does not exist.
func (ims *Images) List(ctx context.Context, q Query) (*Page, error) {
	s, err := ims.newSearch(ctx, q)
	if err != nil {
		return nil, err
	}
	found, err := s.page(ctx)
	if err != nil {
		return nil, err
	}
	page := &Page{}
	if len(found) > s.Limit {
		found = found[:s.Limit]
		page.NextCursor = ims.sealCursor(s.Query, &found[s.Limit-1])
	}
	if page.Items, err = ims.inOrder(ctx, found); err != nil {
		return nil, err
	}
	return page, nil
}

// ByIDs returns the images with those ids, in no particular order. Unknown ids are
// ignored.
func (ims *Images) ByIDs(ctx context.Context, ids []string) ([]Image, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := ims.records(ctx, ims.read, `s.closing = 0 AND i.id `+fmt.Sprintf(ims.among, 1), ims.list(ids))
	if err != nil {
		return nil, err
	}
	images := make([]Image, len(list))
	for i, r := range list {
		images[i] = r.Image
	}
	return images, nil
}

// ByPrefix returns the images whose ids begin with prefix, which has characters of ids only; at
// most 16. Deleted images are excluded.
func (ims *Images) ByPrefix(ctx context.Context, prefix string) ([]Image, error) {
	// The ends of the range are ids, so that it is right in any collation.
	rest := max(0, len(NewID())-len(prefix))
	list, err := ims.records(ctx, ims.read, `s.closing = 0 AND i.deleted_at IS NULL AND i.id BETWEEN $1 AND $2 ORDER BY i.id LIMIT 16`,
		clean(prefix)+strings.Repeat("2", rest), clean(prefix)+strings.Repeat("z", rest))
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, r := range list {
		if strings.HasPrefix(r.ID, prefix) {
			images = append(images, r.Image)
		}
	}
	return images, nil
}

// inOrder returns the images of a page in order. Images that were removed meanwhile are
// omitted.
func (ims *Images) inOrder(ctx context.Context, found []position) ([]Image, error) {
	if len(found) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(found))
	for i := range found {
		numbers[i] = found[i].n
	}
	list, err := ims.records(ctx, ims.read, `s.closing = 0 AND i.n `+fmt.Sprintf(ims.among, 1), ims.list(numbers))
	if err != nil {
		return nil, err
	}
	byNumber := make(map[int64]*record, len(list))
	for _, r := range list {
		byNumber[r.n] = r
	}
	images := make([]Image, 0, len(found))
	for _, n := range numbers {
		if r := byNumber[n]; r != nil {
			images = append(images, r.Image)
		}
	}
	return images, nil
}
