package catalog

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cases are the cases of all stores: the images with the same accession number in a store.
type Cases struct{ *handle }

// A Case is the images of a store with one accession number, which is patient data.
type Case struct {
	StoreID   string
	Accession string
	Images    int       // that are neither deleted nor hidden
	Blocks    []string  // distinct, in natural order, each behind its part: "A1"
	Stains    []string  // distinct, in natural order
	Newest    time.Time // when its newest image was added
	IDs       []string  // of its images, newest first; at most 1,000
	Picture   string    // id of an available image that represents it; "" without one
}

// A CaseSort is an order of cases.
type CaseSort string

const (
	CasesNewest      CaseSort = "newest"    // the case with the newest image first
	CasesByAccession CaseSort = "accession" // by accession number, in natural order
)

// A CaseQuery selects cases. The zero value selects none, as it has no stores.
type CaseQuery struct {
	Stores []string // ids of the stores whose labels the caller may see
	Q      string   // parts of the accession number, each ignoring case
	// Accession, Barcode and ExternalID, if not empty, are exactly those of the case, or of one of
	// its images.
	Accession, Barcode, ExternalID string
	Sort                           CaseSort // CasesNewest if ""
	Cursor                         string
	Limit                          int // 50 if 0, 500 at most
}

// A CasePage is a part of a list of cases.
type CasePage struct {
	Items      []Case
	NextCursor string // "" on the last page
}

// A casePosition is the position of a case in both orders.
type casePosition struct {
	Newest int64  `json:"n"`
	Name   string `json:"a"`
	Key    string `json:"k"`

	of     caseKey
	images int
}

// maxCaseImages limits the images of a case that are listed.
const maxCaseImages = 1000

// List returns the page of cases that follows the query's cursor. A case that does not change is on
// exactly one page. The error is [ErrBadCursor] if the cursor belongs to another query.
func (cs *Cases) List(ctx context.Context, q CaseQuery) (*CasePage, error) {
	if q.Sort == "" {
		q.Sort = CasesNewest
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	q.Limit = min(q.Limit, 500)
	var after *casePosition
	if q.Cursor != "" {
		var err error
		if after, err = cs.openCaseCursor(q); err != nil {
			return nil, err
		}
	}
	if len(q.Stores) == 0 {
		return &CasePage{}, nil
	}
	stores, err := (&Images{cs.handle}).storesOf(ctx, Query{Stores: q.Stores})
	if err != nil || stores != nil && len(stores) == 0 {
		return &CasePage{}, err
	}
	found, err := cs.positions(ctx, cs.statement(q, stores, after))
	if err != nil {
		return nil, err
	}
	page := &CasePage{}
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.NextCursor = cs.sealCaseCursor(q, found[q.Limit-1])
	}
	page.Items, err = cs.describe(ctx, found)
	return page, err
}

// statement returns the statement that reads the cases of a page, and one more.
func (cs *Cases) statement(q CaseQuery, stores []int64, after *casePosition) (st statement) {
	st.add(`SELECT newest, name, key, store, accession, images FROM cases WHERE 1 = 1`)
	switch {
	case stores == nil:
	case len(stores) == 1:
		st.add(` AND store = %d`, stores[0])
	default:
		st.add(` AND store + 0 IN (%s)`, numbers(stores))
	}
	if q.Accession != "" {
		st.add(` AND accession = `)
		st.arg(composed(q.Accession))
	}
	for _, exact := range []struct{ column, value string }{{"barcode", q.Barcode}, {"external_id", q.ExternalID}} {
		if exact.value != "" {
			st.add(` AND key IN (SELECT CAST(store AS TEXT) || '/' || accession FROM images WHERE %s = `, exact.column)
			st.arg(clean(exact.value))
			st.add(` AND accession IS NOT NULL AND shelf + 0 BETWEEN 1 AND 6)`)
		}
	}
	words := strings.Fields(fold(q.Q))
	for _, word := range words[:min(len(words), maxNeedles)] {
		st.add(` AND %s(words, `, cs.position)
		st.arg(word)
		st.add(`) > 0`)
	}
	// The few cases of an exact match are sorted after they are found: by expressions, or else
	// PostgreSQL reads all cases in order until it meets them.
	newest, name := `newest`, `name`
	if q.Accession+q.Barcode+q.ExternalID != "" {
		newest, name = `newest + 0`, `name || ''`
	}
	if q.Sort == CasesNewest {
		if after != nil {
			st.add(` AND %s < `, newest)
			st.arg(after.Newest)
		}
		st.add(` ORDER BY %s DESC LIMIT %d`, newest, q.Limit+1)
		return st
	}
	if after != nil {
		st.add(` AND (%s, key) > (`, name)
		st.arg(after.Name)
		st.add(`, `)
		st.arg(after.Key)
		st.add(`)`)
	}
	st.add(` ORDER BY %s, key LIMIT %d`, name, q.Limit+1)
	return st
}

// positions returns the positions of the cases that a statement reads.
func (cs *Cases) positions(ctx context.Context, st statement) ([]casePosition, error) {
	rows, err := cs.read.QueryContext(ctx, st.String(), st.args...)
	if err != nil {
		return nil, wrap(err, "cases")
	}
	defer rows.Close()
	var found []casePosition
	for rows.Next() {
		var p casePosition
		if err := rows.Scan(&p.Newest, &p.Name, &p.Key, &p.of.store, &p.of.accession, &p.images); err != nil {
			return nil, wrap(err, "cases")
		}
		found = append(found, p)
	}
	return found, wrap(rows.Err(), "cases")
}

// Get returns the cases with exactly that accession number in the stores with those ids, the
// oldest store first. It returns no error if no store has it.
func (cs *Cases) Get(ctx context.Context, accession string, stores []string) ([]Case, error) {
	page, err := cs.List(ctx, CaseQuery{Stores: stores, Accession: accession, Limit: 500})
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Slides returns the images of a case: those of each part and block together, in natural order,
// then by stain; at most 1,000.
func (cs *Cases) Slides(ctx context.Context, store, accession string) ([]Image, error) {
	list, err := cs.records(ctx, cs.read, `s.closing = 0 AND i.accession = $1 AND i.store + 0 = (SELECT n FROM stores WHERE id = $2) AND i.shelf + 0 BETWEEN 1 AND 6 ORDER BY i.n + 0 DESC LIMIT $3`,
		composed(accession), clean(store), maxCaseImages)
	if err != nil {
		return nil, err
	}
	order := func(r *record) string {
		return naturalKey(r.Names.Part) + "\x00" + naturalKey(r.Names.Block) + "\x00" + naturalKey(r.Names.Stain)
	}
	slices.SortStableFunc(list, func(a, b *record) int { return strings.Compare(order(a), order(b)) })
	images := make([]Image, len(list))
	for i, r := range list {
		images[i] = r.Image
	}
	return images, nil
}

// describe returns the cases at those positions, in their order. Cases that have ended meanwhile are
// omitted.
func (cs *Cases) describe(ctx context.Context, found []casePosition) ([]Case, error) {
	byKey := map[caseKey]*Case{}
	// A pattern may give thousands of images the same accession number: these are read one by one, and
	// not all of their images.
	var usual []string
	for _, p := range found {
		if p.images <= maxUsualCase {
			usual = append(usual, p.of.accession)
		} else if err := cs.addImages(ctx, byKey, `i.accession = $1 AND i.store + 0 = $2 AND i.shelf + 0 BETWEEN 1 AND 6 ORDER BY i.n + 0 DESC LIMIT 1000`, p.of.accession, p.of.store); err != nil {
			return nil, err
		}
	}
	if len(usual) > 0 {
		// Another store may have a large case of the same number.
		err := cs.addImages(ctx, byKey, `i.accession `+fmt.Sprintf(cs.among, 1)+` AND i.store + 0 `+fmt.Sprintf(cs.among, 2)+` AND i.shelf + 0 BETWEEN 1 AND 6 ORDER BY i.n + 0 DESC LIMIT 100000`, cs.list(usual), cs.list(storesOfCases(found)))
		if err != nil {
			return nil, err
		}
	}
	var list []Case
	for _, p := range found {
		c := byKey[p.of]
		if c == nil {
			continue
		}
		for _, names := range [][]string{c.Blocks, c.Stains} {
			slices.SortFunc(names, func(a, b string) int { return strings.Compare(naturalKey(a), naturalKey(b)) })
		}
		c.Images = max(c.Images, p.images)
		list = append(list, *c)
	}
	return list, nil
}

// maxUsualCase is the number of images up to which cases are read together.
const maxUsualCase = 200

func storesOfCases(found []casePosition) []int64 {
	var list []int64
	for _, p := range found {
		if p.images <= maxUsualCase && !slices.Contains(list, p.of.store) {
			list = append(list, p.of.store)
		}
	}
	return list
}

// addImages adds the images that satisfy a condition, newest first, to the descriptions of their
// cases. In its condition the other columns are expressions, so that the database uses the index
// of accession numbers.
func (cs *Cases) addImages(ctx context.Context, byKey map[caseKey]*Case, where string, args ...any) error {
	rows, err := cs.read.QueryContext(ctx, `SELECT i.store, s.id, i.accession, i.id, i.shelf, coalesce(i.part, ''), coalesce(i.block, ''), coalesce(i.stain, ''), i.created_at
		FROM images i JOIN stores s ON s.n = i.store WHERE s.closing = 0 AND `+where, args...)
	if err != nil {
		return wrap(err, "cases")
	}
	defer rows.Close()
	for rows.Next() {
		var k caseKey
		var store, id string
		var n CaseNames
		var shelf int
		var created int64
		if err := rows.Scan(&k.store, &store, &k.accession, &id, &shelf, &n.Part, &n.Block, &n.Stain, &created); err != nil {
			return wrap(err, "cases")
		}
		c := byKey[k]
		if c == nil {
			c = &Case{StoreID: store, Accession: k.accession, Newest: fromMicros(created)}
			byKey[k] = c
		}
		c.add(id, n, stateOn(shelf))
	}
	return wrap(rows.Err(), "cases")
}

// add adds an image, older than those before, to the description of its case.
func (c *Case) add(id string, n CaseNames, state State) {
	c.Images++
	if len(c.IDs) < maxCaseImages {
		c.IDs = append(c.IDs, id)
	}
	if c.Picture == "" && state == Available {
		c.Picture = id
	}
	if block := n.BlockOfPart(); block != "" && !slices.Contains(c.Blocks, block) {
		c.Blocks = append(c.Blocks, block)
	}
	if n.Stain != "" && !slices.Contains(c.Stains, n.Stain) {
		c.Stains = append(c.Stains, n.Stain)
	}
}

// BlockOfPart returns the block behind its part, which is often the beginning of its name already:
// "A1" for part "A" with block "1" or "A1".
func (n CaseNames) BlockOfPart() string {
	if strings.HasPrefix(n.Block, n.Part) {
		return n.Block
	}
	return n.Part + n.Block
}

// sealCaseCursor returns the cursor of the page of q that ends at p.
func (cs *Cases) sealCaseCursor(q CaseQuery, p casePosition) string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // a number and texts
	}
	return base64.RawURLEncoding.EncodeToString(cs.seal.Seal(nil, nil, b, q.context()))
}

func (cs *Cases) openCaseCursor(q CaseQuery) (*casePosition, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return nil, ErrBadCursor
	}
	b, err := cs.seal.Open(nil, nil, sealed, q.context())
	if err != nil {
		return nil, ErrBadCursor
	}
	var p casePosition
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, ErrBadCursor
	}
	return &p, nil
}

// context returns the data that a cursor is bound to: the query except stores and limit.
func (q CaseQuery) context() []byte {
	return fmt.Appendf(nil, "cases %q %q %q %q %q", q.Q, composed(q.Accession), clean(q.Barcode), clean(q.ExternalID), q.Sort)
}
