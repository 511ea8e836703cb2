package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// A caseKey identifies a case: two stores with the same accession number have two cases.
type caseKey struct {
	store     int64
	accession string
}

func (k caseKey) String() string { return strconv.FormatInt(k.store, 10) + "/" + k.accession }

// nameCase names the case of a record by the pattern of its store. Without a pattern it keeps its
// names: it may have been moved here from a store with one.
func (t *tx) nameCase(ctx context.Context, p *pending) error {
	pattern, err := t.casePattern(ctx, p.store)
	if err != nil {
		return err
	}
	if pattern != nil {
		p.Names, _ = pattern.Find(&p.Image)
	}
	p.Names = p.Names.corrected(p.Corrected)
	if p.was != nil {
		t.touchCase(p.was)
	}
	t.touchCase(p.record)
	return nil
}

// touchCase has the case of a record calculated at the end of the transaction.
func (t *tx) touchCase(r *record) {
	if r.Names.Accession != "" {
		t.cases[caseKey{r.store, r.Names.Accession}] = true
	}
}

// casePattern returns the pattern of a store, nil if it has none.
func (t *tx) casePattern(ctx context.Context, store int64) (*CasePattern, error) {
	if p, ok := t.patterns[store]; ok {
		return p, nil
	}
	var fields []byte
	if err := t.QueryRowContext(ctx, `SELECT fields FROM stores WHERE n = $1`, store).Scan(&fields); err != nil {
		return nil, wrap(err, "store")
	}
	var s Store
	if err := json.Unmarshal(fields, &s); err != nil {
		return nil, wrap(err, "store")
	}
	t.patterns[store] = s.compiledPattern()
	return t.patterns[store], nil
}

// compiledPattern returns the pattern of a store, nil if it has none. A pattern that this program
// refuses, which only another version can have stored, counts as none.
func (s *Store) compiledPattern() *CasePattern {
	if s.CasePattern == "" {
		return nil
	}
	p, err := NewCasePattern(s.CasePattern, s.CaseSource)
	if err != nil {
		return nil
	}
	return p
}

// The columns of cases; the first one is its key.
var casesTable = table{"cases", []string{"key", "store", "accession", "name", "words", "images", "newest"}}

// writeCases calculates the cases of which an image has changed.
func (t *tx) writeCases(ctx context.Context) error {
	byStore := map[int64][]string{}
	for k := range t.cases {
		byStore[k.store] = append(byStore[k.store], k.accession)
	}
	for store, accessions := range byStore {
		if err := t.writeCasesOf(ctx, store, accessions); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) writeCasesOf(ctx context.Context, store int64, accessions []string) error {
	rows, err := t.QueryContext(ctx, `SELECT accession, count(*), max(n) FROM images
		WHERE store + 0 = $1 AND accession `+fmt.Sprintf(t.h.among, 2)+` AND shelf + 0 BETWEEN 1 AND 6 GROUP BY accession`, store, t.h.list(accessions))
	if err != nil {
		return wrap(err, "cases")
	}
	defer rows.Close()
	var have [][]any
	found := map[string]bool{}
	for rows.Next() {
		var accession string
		var images, newest int64
		if err := rows.Scan(&accession, &images, &newest); err != nil {
			return wrap(err, "cases")
		}
		found[accession] = true
		have = append(have, []any{caseKey{store, accession}.String(), store, accession, naturalKey(accession), fieldMark + fold(accession), images, newest})
	}
	if err := rows.Err(); err != nil {
		return wrap(err, "cases")
	}
	rows.Close()
	var gone []string
	for _, accession := range accessions {
		if !found[accession] {
			gone = append(gone, caseKey{store, accession}.String())
		}
	}
	if len(gone) > 0 {
		if _, err := t.ExecContext(ctx, `DELETE FROM cases WHERE key `+fmt.Sprintf(t.h.among, 1), t.h.list(gone)); err != nil {
			return wrap(err, "cases")
		}
	}
	return t.upsert(ctx, casesTable, have)
}

// NameCases names the cases of all images of a store by its current pattern, some at a time, and
// returns how many have changed. Without a pattern only corrections remain. A store whose images
// are named by its pattern is not read. The error may be [ErrNotFound].
func (ims *Images) NameCases(ctx context.Context, store string) (int, error) {
	s, err := (&Stores{ims.handle}).Get(ctx, store)
	if err != nil {
		return 0, err
	}
	if s.CasesNamedBy == s.patternName() {
		return 0, nil
	}
	total, after := 0, int64(0)
	for {
		changed, last, err := ims.nameSome(ctx, s, after)
		total += changed
		if err != nil {
			return total, err
		}
		if last == 0 {
			break
		}
		after = last
	}
	name := s.patternName()
	_, err = (&Stores{ims.handle}).Update(ctx, store, func(s *Store) error {
		if s.patternName() == name { // else it has changed meanwhile, and the next scan names them again
			s.CasesNamedBy = name
		}
		return nil
	})
	return total, err
}

// patternName identifies the pattern of a store.
func (s *Store) patternName() string {
	if s.CasePattern == "" {
		return ""
	}
	return string(s.CaseSource) + " " + s.CasePattern
}

// nameSome names the cases of the images behind a number, and returns the number of the last
// one; 0 if there are no more.
func (ims *Images) nameSome(ctx context.Context, s *Store, after int64) (changed int, last int64, err error) {
	err = ims.change(ctx, func(t *tx) error {
		changed, last = 0, 0
		list, err := t.h.records(ctx, t, `i.store = (SELECT n FROM stores WHERE id = $1) AND i.n > $2 ORDER BY i.n LIMIT $3`, s.ID, after, removeChunk)
		if err != nil || len(list) == 0 {
			return err
		}
		last = list[len(list)-1].n
		pattern := s.compiledPattern()
		var changes []*pending
		for _, r := range list {
			names := CaseNames{}
			if pattern != nil {
				names, _ = pattern.Find(&r.Image)
			}
			if names = names.corrected(r.Corrected); names == r.Names {
				continue
			}
			was := *r
			r.Names = names
			changes = append(changes, &pending{record: r, was: &was})
		}
		changed = len(changes)
		return t.put(ctx, changes)
	})
	return changed, last, err
}
