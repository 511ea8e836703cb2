package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A search is the internal form of a query.
type search struct {
	Query
	h       *handle
	stores  []int64   // nil for all
	images  []int64   // of single images besides those of the stores
	shelves []int     // in the order of SortState
	needles []string  // texts that must all occur; nil for all images
	after   *position // nil for the first page
	limit   int       // one more than requested, to detect a next page
}

// A position is the position of an image in an order.
type position struct {
	n     int64  // its number
	shelf int    // in the order of states
	name  string // in the order of names
	size  int64  // in the order of sizes
}

func (ims *Images) newSearch(ctx context.Context, q Query) (*search, error) {
	s := &search{Query: q, h: ims.handle}
	if s.Limit <= 0 {
		s.Limit = defaultLimit
	}
	s.Limit = min(s.Limit, maxLimit)
	s.limit = s.Limit + 1
	switch {
	case q.Sort == "" || q.Sort == SortName && !q.Labels:
		s.Sort = SortCreated
	case q.Sort != SortCreated && q.Sort != SortName && q.Sort != SortSize && q.Sort != SortState:
		return nil, fmt.Errorf("unknown sort order %q", q.Sort)
	}
	if !q.Labels {
		s.Q = ""
	}
	s.ExternalID, s.Barcode, s.Accession = clean(q.ExternalID), clean(q.Barcode), composed(q.Accession)
	s.needles = needles(s.Q)
	switch {
	case q.Hidden:
		s.shelves = []int{shelfHidden, shelfDeleted}
	case q.State != "":
		if s.shelves = []int{shelfOf(q.State)}; s.shelves[0] == 0 {
			return nil, fmt.Errorf("unknown state %q", q.State)
		}
	default:
		for i := 1; i < len(shelves); i++ {
			s.shelves = append(s.shelves, i)
		}
	}
	if q.Cursor != "" {
		var err error
		if s.after, err = ims.openCursor(s.Query); err != nil {
			return nil, err
		}
	}
	var err error
	if s.stores, err = ims.storesOf(ctx, q); err != nil {
		return nil, err
	}
	if s.images, err = ims.numbersOf(ctx, q.Images); err != nil {
		return nil, err
	}
	return s, nil
}

// numbersOf returns the numbers of the images with those ids. It ignores unknown ones.
func (ims *Images) numbersOf(ctx context.Context, ids []string) ([]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := ims.read.QueryContext(ctx, `SELECT n FROM images WHERE id `+fmt.Sprintf(ims.among, 1), ims.list(ids))
	if err != nil {
		return nil, wrap(err, "images")
	}
	defer rows.Close()
	var list []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, wrap(err, "images")
		}
		list = append(list, n)
	}
	return list, wrap(rows.Err(), "images")
}

// storesOf returns the numbers of the stores of a query, or nil for all.
func (ims *Images) storesOf(ctx context.Context, q Query) ([]int64, error) {
	if q.Store != "" {
		var n int64
		err := ims.read.QueryRowContext(ctx, `SELECT n FROM stores WHERE id = $1 AND closing = 0`, clean(q.Store)).Scan(&n)
		if err != nil {
			return nil, wrap(err, "store "+clean(q.Store))
		}
		if q.Stores != nil && !slices.Contains(q.Stores, q.Store) {
			return []int64{}, nil
		}
		return []int64{n}, nil
	}
	if q.Stores == nil {
		return nil, nil
	}
	rows, err := ims.read.QueryContext(ctx, `SELECT n, id FROM stores WHERE closing = 0 ORDER BY n`)
	if err != nil {
		return nil, wrap(err, "stores")
	}
	defer rows.Close()
	wanted := make(map[string]bool, len(q.Stores))
	for _, id := range q.Stores {
		wanted[id] = true
	}
	list, all := []int64{}, true
	for rows.Next() {
		var n int64
		var id string
		if err := rows.Scan(&n, &id); err != nil {
			return nil, wrap(err, "stores")
		}
		if wanted[id] {
			list = append(list, n)
		} else {
			all = false
		}
	}
	if all && len(list) > 0 {
		list = nil // fewer indexes to merge
	}
	return list, wrap(rows.Err(), "stores")
}

// minGram is the number of characters of an entry of the index.
const minGram = 3

// maxNeedles limits the words of a search.
const maxNeedles = 8

// needles returns the texts to find among the words of an image: the words of the query, in
// any order. The index does not contain words shorter than a gram: they narrow the result
// of longer ones, and without those they are found only at the beginning of a field.
func needles(q string) []string {
	list := strings.Fields(fold(q))
	list = list[:min(len(list), maxNeedles)]
	if !slices.ContainsFunc(list, indexed) {
		for i := range list {
			list[i] = fieldMark + list[i]
		}
	}
	return list
}

// indexed reports whether the index contains the parts of a text.
func indexed(text string) bool { return utf8.RuneCountInString(text) >= minGram }

// contains adds the condition that the column has all of the needles.
func (s *search) contains(q *statement, column string) {
	for i, needle := range s.needles {
		if i > 0 {
			q.add(` AND `)
		}
		q.add(`%s(%s, `, s.h.position, column)
		q.arg(needle)
		q.add(`) > 0`)
	}
}

// maxGrams limits the grams in a query of the index. More of them hardly narrow the result.
const maxGrams = 12

// grams returns the parts of the needles to look up in the index.
func (s *search) grams() []string {
	var grams []string
	most := max(maxGrams/max(len(s.needles), 1), 2)
	for _, needle := range s.needles {
		runes := []rune(needle)
		n := len(runes) - minGram + 1
		for i := range min(n, most) {
			at := i
			if n > most { // spread over the needle
				at = i * (n - 1) / (most - 1)
			}
			if g := string(runes[at : at+minGram]); !slices.Contains(grams, g) {
				grams = append(grams, g)
			}
		}
	}
	return grams
}

// page returns the positions of the images on the page, at most limit.
func (s *search) page(ctx context.Context) ([]position, error) {
	if s.Sort != SortState {
		return s.pageOf(ctx)
	}
	// One state after another, each newest first.
	var found []position
	for _, shelf := range s.shelves {
		one := *s
		one.Sort, one.shelves, one.limit, one.after = SortCreated, []int{shelf}, s.limit-len(found), nil
		if s.after != nil {
			if slices.Index(s.shelves, shelf) < slices.Index(s.shelves, s.after.shelf) {
				continue
			}
			if shelf == s.after.shelf {
				one.after = s.after
			}
		}
		some, err := one.pageOf(ctx)
		if err != nil {
			return nil, err
		}
		for i := range some {
			some[i].shelf = shelf
		}
		if found = append(found, some...); len(found) >= s.limit {
			break
		}
	}
	return found, nil
}

// pageOf returns the positions on the page in any order except that of states.
func (s *search) pageOf(ctx context.Context) ([]position, error) {
	if s.ExternalID != "" || s.Barcode != "" || s.Accession != "" {
		if !s.Labels {
			return nil, nil
		}
		return s.read(ctx, s.exactly())
	}
	found, err := s.pageOfStores(ctx)
	if err != nil || len(s.images) == 0 {
		return found, err
	}
	more, err := s.read(ctx, s.singleImages())
	if err != nil {
		return nil, err
	}
	found = append(found, more...)
	slices.SortFunc(found, s.compare)
	found = slices.CompactFunc(found, func(a, b position) bool { return a.n == b.n })
	return found[:min(len(found), s.limit)], nil
}

// compare compares positions like the statements sort them.
func (s *search) compare(a, b position) int {
	if s.Sort == SortCreated {
		return cmp.Compare(b.n, a.n)
	}
	return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.size, b.size), cmp.Compare(a.n, b.n))
}

// singleImages returns the statement that reads the single images of the query in order.
func (s *search) singleImages() (q statement) {
	q.add(`SELECT n, %s AS k FROM images WHERE n IN (%s) AND shelf + 0 IN (%s)`, s.column(), numbers(s.images), numbers(s.shelves))
	s.whole(&q)
	return q
}

// whole completes a statement that reads few images: the store and the words of the query,
// the position after the last page, and the order.
func (s *search) whole(q *statement) {
	if s.Store != "" {
		q.add(` AND store + 0 = (SELECT n FROM stores WHERE id = `)
		q.arg(clean(s.Store))
		q.add(`)`)
	}
	if len(s.needles) > 0 {
		q.add(` AND `)
		s.contains(q, "words")
	}
	s.behind(q, "n", s.column())
	order := "k, n"
	if s.Sort == SortCreated {
		order = "n DESC"
	}
	q.add(` ORDER BY %s LIMIT %d`, order, s.limit)
}

// exactly returns the statement that reads the images of the query with its external id,
// barcode and accession number in order. The other columns are expressions, so that the database
// uses the index of one of these.
func (s *search) exactly() (q statement) {
	q.add(`SELECT n, %s AS k FROM images WHERE shelf + 0 IN (%s)`, s.column(), numbers(s.shelves))
	if s.ExternalID != "" {
		q.add(` AND external_id = `)
		q.arg(s.ExternalID)
	}
	if s.Barcode != "" {
		q.add(` AND barcode = `)
		q.arg(s.Barcode)
	}
	if s.Accession != "" {
		q.add(` AND accession = `)
		q.arg(s.Accession)
	}
	if s.stores != nil {
		// No store and no image has the number 0, and PostgreSQL allows no empty list.
		q.add(` AND (store + 0 IN (%s) OR n + 0 IN (%s))`, numbers(append(s.stores, 0)), numbers(append(s.images, 0)))
	}
	s.whole(&q)
	return q
}

// pageOfStores returns the positions on the page that are in the stores.
//
// A search first reads the next images in order, which finds common texts. The index of
// grams finds rare ones, and those further away.
func (s *search) pageOfStores(ctx context.Context) ([]position, error) {
	if s.stores != nil && len(s.stores) == 0 {
		return nil, nil
	}
	if len(s.needles) == 0 {
		return s.read(ctx, s.inOrder("", s.limit))
	}
	near := s.inOrder(", words", s.walk())
	walk := statement{args: near.args}
	walk.add(`SELECT n, k FROM (%s) w WHERE `, near.text)
	s.contains(&walk, "words")
	walk.add(` LIMIT %d`, s.limit)
	found, err := s.read(ctx, walk)
	if err != nil || len(found) == s.limit {
		return found, err
	}
	last := s.inOrder("", s.walk())
	last.add(` OFFSET %d`, s.walk()-1)
	more, err := s.read(ctx, last)
	if err != nil || len(more) == 0 {
		return found, err // it has read all images
	}
	if s.h.few != nil && s.Sort == SortCreated {
		found, all, err := s.h.few(ctx, s)
		if err != nil || all {
			return found[:min(len(found), s.limit)], err
		}
	}
	return s.read(ctx, s.h.matches(s))
}

// walk returns the number of images to read in order before the index is used. The index
// returns the newest matches quickly, but in other orders only all matches: then reading on
// is worthwhile longer.
func (s *search) walk() int {
	if s.Sort == SortCreated {
		return 1500
	}
	return 3000
}

// read returns the positions in the result of a statement.
func (s *search) read(ctx context.Context, q statement) ([]position, error) {
	rows, err := s.h.read.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return nil, wrap(err, "images")
	}
	defer rows.Close()
	var found []position
	for rows.Next() {
		var p position
		to := any(&p.size)
		if s.Sort == SortName {
			to = &p.name
		}
		if err := rows.Scan(&p.n, to); err != nil {
			return nil, wrap(err, "images")
		}
		found = append(found, p)
	}
	return found, wrap(rows.Err(), "images")
}

// maxArms limits the parts of a compound statement; SQLite allows 500.
const maxArms = 400

// inOrder returns the statement that reads the images in order. The index is ordered for
// each shelf of each store, and the database merges these parts. If there are too many of
// them, it reads the images of all stores.
func (s *search) inOrder(columns string, limit int) (q statement) {
	order := "k, n"
	if s.Sort == SortCreated {
		order = "n DESC"
	}
	order = fmt.Sprintf(` ORDER BY %s LIMIT %d`, order, limit)
	conditions := []string{""}
	switch {
	case s.stores == nil:
	case len(s.stores)*len(s.shelves) <= maxArms:
		conditions = conditions[:0]
		for _, n := range s.stores {
			conditions = append(conditions, fmt.Sprintf(` AND store = %d`, n))
		}
	default:
		conditions[0] = s.among("store + 0")
	}
	arm := s.h.arm
	if len(s.shelves)*len(conditions) == 1 {
		arm = [2]string{}
	}
	for i, shelf := range s.shelves {
		for j, condition := range conditions {
			if i+j > 0 {
				q.add(` UNION ALL `)
			}
			q.add("%s", arm[0])
			q.add(`SELECT n, %s AS k%s FROM images WHERE shelf = %d%s`, s.column(), columns, shelf, condition)
			s.behind(&q, "n", s.column())
			if arm[1] != "" {
				q.add("%s%s", order, arm[1])
			}
		}
	}
	q.add("%s", order)
	return q
}

// among returns the condition that a column is one of the stores; "" for all stores.
func (s *search) among(column string) string {
	if s.stores == nil {
		return ""
	}
	return fmt.Sprintf(` AND %s IN (%s)`, column, numbers(s.stores))
}

// behind adds the condition for positions after the last page.
func (s *search) behind(q *statement, n, column string) {
	switch {
	case s.after == nil:
	case s.Sort == SortCreated:
		q.add(` AND %s < `, n)
		q.arg(s.after.n)
	default:
		q.add(` AND (%s, %s) > (`, column, n)
		q.arg(s.after.key(s.Sort))
		q.add(`, `)
		q.arg(s.after.n)
		q.add(`)`)
	}
}

// column returns the column by which the images are sorted before their numbers.
func (s *search) column() string {
	switch s.Sort {
	case SortName:
		return "name"
	case SortSize:
		return "size"
	}
	return "n"
}

// numbers formats a list of numbers separated by commas.
func numbers[T int | int64](list []T) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

func (p *position) key(s Sort) any {
	if s == SortName {
		return p.name
	}
	return p.size
}
