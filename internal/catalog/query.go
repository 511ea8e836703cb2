package catalog

import (
	"context"
	"fmt"
)

// A Sort is an order of images.
type Sort string

const (
	SortCreated Sort = "created" // the order of arrival in the catalog, newest first
	SortName    Sort = "name"    // of the file, upper and lower case alike, by code point
	SortSize    Sort = "size"    // of the file, smallest first
	// SortState puts first what needs attention: broken, quarantined, unsupported,
	// missing, arriving, available; each newest first.
	SortState Sort = "state"
)

// A Query says which images are wanted. The zero value is all of them that are
// neither deleted nor hidden, newest first.
type Query struct {
	Store string // id
	// Stores are the ids of those that the images may be in, whatever Store says; nil
	// is all, and an empty list finds nothing. Unknown ids are ignored.
	Stores []string
	Q      string // part of file name, alias, label or barcode: anywhere from 3 characters on, below at the beginning
	State  State
	Sort   Sort
	Cursor string
	Limit  int  // 50 if 0, 1000 at most
	Hidden bool // those that are deleted or hidden, instead of all others; State is then of no effect
	// Labels says that the caller may see file names, labels and barcodes. Without
	// it Q is of no effect, and the order by name is by arrival instead.
	Labels bool
}

// A Page is a part of a list.
type Page struct {
	Items      []Image
	NextCursor string // "" at the end
}

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// Images returns the page of images that follows the query's cursor. An image
// that is there all the time, and keeps what it is sorted by, is on exactly one
// page, whatever comes and goes.
//
// A page takes milliseconds among a million images. A search in the order of name or
// size reads and sorts all that match, some 200 ms for a hundred thousand, if those do
// not begin among the first few thousand in that order.
//
// The error is [ErrBadCursor] if the cursor is not of a page of the same query,
// and [ErrNotFound] if there is no such store.
func (c *Catalog) Images(ctx context.Context, q Query) (*Page, error) {
	s, err := c.newSearch(ctx, q)
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
		page.NextCursor = c.sealCursor(s.Query, &found[s.Limit-1])
	}
	if page.Items, err = c.imagesOf(ctx, found); err != nil {
		return nil, err
	}
	return page, nil
}

// imagesOf returns the images of a page, in its order. One that has gone since is
// left out.
func (c *Catalog) imagesOf(ctx context.Context, found []position) ([]Image, error) {
	if len(found) == 0 {
		return nil, nil
	}
	numbers := make([]int64, len(found))
	for i := range found {
		numbers[i] = found[i].n
	}
	list, err := c.records(ctx, c.read, `s.closing = 0 AND i.n `+fmt.Sprintf(c.among, 1), c.list(numbers))
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
