package catalog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

func TestCasePattern(t *testing.T) {
	t.Parallel()
	const usual = `^(?P<accession>S\d\d-\d+)[ ;_](?P<part>[A-Z])(?P<block>\d+)[ ;_](?P<stain>\w+)`
	text := func(s string) *string { return &s }
	for _, tt := range []struct {
		name, pattern string
		source        catalog.CaseSource
		im            catalog.Image
		want          catalog.CaseNames
		from          catalog.CaseSource
	}{
		{"barcode", usual, "", catalog.Image{Description: catalog.Description{Barcode: text("S26-77;A1;HE"), FileName: "S25-1 B2 PAS.tiff"}}, catalog.CaseNames{Accession: "S26-77", Part: "A", Block: "1", Stain: "HE"}, catalog.CaseFromBarcode},
		{"file name", usual, "", catalog.Image{Description: catalog.Description{Barcode: text("77"), FileName: "S25-1 B2 PAS.tiff"}}, catalog.CaseNames{Accession: "S25-1", Part: "B", Block: "2", Stain: "PAS"}, catalog.CaseFromFileName},
		{"folder", `(?P<accession>S\d\d-\d+)`, "", catalog.Image{Path: "2026/S26-00077 Müller/a.tiff", Description: catalog.Description{FileName: "a.tiff"}}, catalog.CaseNames{Accession: "S26-00077"}, catalog.CaseFromFolder},
		{"only the folder", `(?P<accession>S\d\d-\d+)`, catalog.CaseFromFolder, catalog.Image{Path: "S1/a.tiff", Description: catalog.Description{Barcode: text("S26-1"), FileName: "a.tiff"}}, catalog.CaseNames{}, ""},
		{"umlauts, slashes and spaces", `^(?P<accession>.+?);`, "", catalog.Image{Description: catalog.Description{Barcode: text(" H/26 Mu\u0308ller ;x")}}, catalog.CaseNames{Accession: "H/26 Müller"}, catalog.CaseFromBarcode},
		{"many repetitions", `^(?P<accession>\d{2,100})(?P<stain>.{0,200})$`, "", catalog.Image{Description: catalog.Description{FileName: "77HE"}}, catalog.CaseNames{Accession: "77", Stain: "HE"}, catalog.CaseFromFileName},
		{"too long", `^(?P<accession>.+)`, "", catalog.Image{Description: catalog.Description{Barcode: text(strings.Repeat("7", 500))}}, catalog.CaseNames{}, ""},
		{"a name with control characters", `^(?P<accession>\d+)(?P<stain>.*)`, "", catalog.Image{Description: catalog.Description{Barcode: text("7\x01")}}, catalog.CaseNames{Accession: "7"}, catalog.CaseFromBarcode},
		{"an empty accession number", `^(?P<accession>\d*)`, "", catalog.Image{Description: catalog.Description{FileName: "a"}}, catalog.CaseNames{}, ""},
		{"backtracking elsewhere", `^(?P<accession>(a+)+)$`, "", catalog.Image{Description: catalog.Description{FileName: strings.Repeat("a", 150) + "b"}}, catalog.CaseNames{}, ""},
	} {
		p, err := catalog.NewCasePattern(tt.pattern, tt.source)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, from := p.Find(&tt.im); got != tt.want || from != tt.from {
			t.Errorf("%s: %+v from %q, want %+v from %q", tt.name, got, from, tt.want, tt.from)
		}
	}
	for pattern, source := range map[string]catalog.CaseSource{
		`(?P<stain>x)`: "", `(?P<accession>x`: "", `(?P<accession>x)(?P<patient>y)`: "", `(?P<accession>x)(?P<accession>y)`: "",
		`(?P<accession>x)`: "path", `(?P<accession>x)` + strings.Repeat("x", 500): "", `(?P<accession>x)(?=y)`: "", `(?P<accession>((a{1,100}){1,100}){1,100})`: "",
		`(?P<accession>x)` + strings.Repeat(`(.?){1000}`, 40): "",
	} {
		if _, err := catalog.NewCasePattern(pattern, source); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("%.40s: %v, want ErrInvalid", pattern, err)
		}
	}
}

func FuzzCasePattern(f *testing.F) {
	f.Add(`(?P<accession>S\d\d-\d+)`, "S26-77 A1")
	f.Add(`^(?P<accession>.*?)(?P<stain>\pL+)$`, "\xff\x00ü")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := catalog.NewCasePattern(pattern, "")
		if err != nil {
			return
		}
		names, from := p.Find(&catalog.Image{Path: text, Description: catalog.Description{Barcode: &text, FileName: text}})
		if (names.Accession == "") != (from == "") || len(names.Accession) > 800 || strings.TrimSpace(names.Accession) != names.Accession {
			t.Errorf("%+v from %q", names, from)
		}
	})
}

// caseStore adds a store whose cases are the beginnings of file names: "S1_A1_HE.tiff".
func caseStore(t testing.TB, c *catalog.Catalog, root string) string {
	t.Helper()
	s, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: root, CasePattern: `^(?P<accession>[^_]+)_(?P<part>[A-Z])(?P<block>\d+)_(?P<stain>\w+)`})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func caseImages(store string, names ...string) []*catalog.Image {
	var list []*catalog.Image
	for _, name := range names {
		list = append(list, &catalog.Image{StoreID: store, Path: name, State: catalog.Available, Description: catalog.Description{FileName: name}})
	}
	return list
}

func caseNames(list []catalog.Case) []string {
	var names []string
	for _, c := range list {
		names = append(names, fmt.Sprintf("%s:%d", c.Accession, c.Images))
	}
	return names
}

// Cases follow their images: added, named again, corrected, moved, missing, deleted, restored and dropped.
func TestCases(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		a, b := caseStore(t, c, "/a"), caseStore(t, c, "/b")
		images := caseImages(a, "S9_B1_HE", "S10_A1_HE", "S9_A2_PAS", "S9_A10_HE", "other")
		images = append(images, caseImages(b, "S9_A1_HE")...)
		put := func() {
			t.Helper()
			if err := c.Images.Put(t.Context(), images); err != nil {
				t.Fatal(err)
			}
		}
		want := func(q catalog.CaseQuery, names ...string) {
			t.Helper()
			if q.Stores == nil {
				q.Stores = []string{a, b}
			}
			page, err := c.Cases.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(names, caseNames(page.Items)); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", q, diff)
			}
		}
		put()
		want(catalog.CaseQuery{}, "S9:1", "S9:3", "S10:1")
		want(catalog.CaseQuery{Sort: catalog.CasesByAccession}, "S9:3", "S9:1", "S10:1")
		want(catalog.CaseQuery{Stores: []string{a}}, "S9:3", "S10:1")
		want(catalog.CaseQuery{Stores: []string{}})
		want(catalog.CaseQuery{Q: "s1"}, "S10:1")
		want(catalog.CaseQuery{Accession: "S9"}, "S9:1", "S9:3")
		want(catalog.CaseQuery{Accession: "S"})
		found, err := c.Cases.Get(t.Context(), "S9", []string{a})
		if err != nil || len(found) != 1 || !slices.Equal(found[0].Blocks, []string{"A2", "A10", "B1"}) || !slices.Equal(found[0].Stains, []string{"HE", "PAS"}) || found[0].Picture != images[3].ID {
			t.Errorf("the case: %+v, %v", found, err)
		}
		slides, err := c.Cases.Slides(t.Context(), a, "S9")
		var order []string
		for _, im := range slides {
			order = append(order, im.FileName)
		}
		if diff := cmp.Diff([]string{"S9_A2_PAS", "S9_A10_HE", "S9_B1_HE"}, order); diff != "" || err != nil {
			t.Errorf("slides: %v\n%s", err, diff)
		}
		// A correction survives a scan and another pattern.
		correct := func(id string, f func(*catalog.Image)) {
			t.Helper()
			if _, err := c.Images.Update(t.Context(), id, func(im *catalog.Image) error { f(im); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		correct(images[4].ID, func(im *catalog.Image) { im.Corrected.Accession = new("S10") })
		want(catalog.CaseQuery{Accession: "S10"}, "S10:2")
		images = caseImages(a, "other")
		put()
		want(catalog.CaseQuery{Accession: "S10"}, "S10:2")
		if p, err := c.Images.List(t.Context(), catalog.Query{Accession: "S10", Labels: true}); err != nil || len(p.Items) != 2 {
			t.Errorf("images of the case: %v, %v", p, err)
		}
		if p, err := c.Images.List(t.Context(), catalog.Query{Accession: "S10"}); err != nil || len(p.Items) != 0 {
			t.Errorf("images of the case without the right to labels: %v, %v", p, err)
		}
		if _, err := c.Stores.Update(t.Context(), a, func(s *catalog.Store) error { s.CasePattern = `^(?P<accession>S\d)`; return nil }); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Images.NameCases(t.Context(), a); err != nil || n != 4 {
			t.Errorf("NameCases: %d, %v", n, err)
		}
		want(catalog.CaseQuery{Stores: []string{a}}, "S10:1", "S9:3", "S1:1")
		if n, err := c.Images.NameCases(t.Context(), a); err != nil || n != 0 {
			t.Errorf("NameCases again: %d, %v", n, err)
		}
		correct(images[0].ID, func(im *catalog.Image) { im.Corrected.Accession = nil })
		want(catalog.CaseQuery{Stores: []string{a}}, "S9:3", "S1:1")
		// Images in no list belong to no case.
		if err := c.Images.Delete(t.Context(), slides[0].ID); err != nil {
			t.Fatal(err)
		}
		want(catalog.CaseQuery{Stores: []string{a}}, "S9:2", "S1:1")
		if err := c.Images.Restore(t.Context(), slides[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := c.Images.Drop(t.Context(), slides[1].ID, slides[2].ID); err != nil {
			t.Fatal(err)
		}
		want(catalog.CaseQuery{Stores: []string{a}}, "S9:1", "S1:1")
		if err := c.Stores.Delete(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		want(catalog.CaseQuery{}, "S9:1")
	})
}

// A case is found, and an image corrected, by an accession number in any form of Unicode.
func TestAccessionsInAnyForm(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := caseStore(t, c, "/a")
		images := caseImages(store, "Mu\u0308ller/7_A1_HE", "other")
		if err := c.Images.Put(t.Context(), images); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Images.Update(t.Context(), images[1].ID, func(im *catalog.Image) error {
			im.Corrected.Accession = new("Mu\u0308ller/7")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, accession := range []string{"Müller/7", "Mu\u0308ller/7"} {
			found, err := c.Cases.Get(t.Context(), accession, []string{store})
			if diff := cmp.Diff([]string{"Müller/7:2"}, caseNames(found)); diff != "" || err != nil {
				t.Errorf("%q: %v (-want +got):\n%s", accession, err, diff)
			}
			slides, err := c.Cases.Slides(t.Context(), store, accession)
			if err != nil || len(slides) != 2 {
				t.Errorf("%q: %d slides, %v", accession, len(slides), err)
			}
			page, err := c.Images.List(t.Context(), catalog.Query{Accession: accession, Labels: true, Limit: 1})
			if err != nil || len(page.Items) != 1 || page.NextCursor == "" {
				t.Errorf("%q: %+v, %v", accession, page, err)
			}
		}
	})
}

// A list of cases by pages has each case once, in both orders.
func TestCasePages(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		store := caseStore(t, c, "/a")
		var names []string
		for i := range 25 {
			names = append(names, fmt.Sprintf("S%d_A1_HE", i), fmt.Sprintf("S%d_A2_HE", i))
		}
		if err := c.Images.Put(t.Context(), caseImages(store, names...)); err != nil {
			t.Fatal(err)
		}
		for _, sort := range []catalog.CaseSort{catalog.CasesNewest, catalog.CasesByAccession} {
			q := catalog.CaseQuery{Stores: []string{store}, Sort: sort, Limit: 7}
			var got []string
			for range 4 {
				page, err := c.Cases.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got, q.Cursor = append(got, caseNames(page.Items)...), page.NextCursor
			}
			var want []string
			for i := range 25 {
				want = append(want, fmt.Sprintf("S%d:2", i))
			}
			if sort == catalog.CasesNewest {
				slices.Reverse(want)
			}
			if diff := cmp.Diff(want, got); diff != "" || q.Cursor != "" {
				t.Errorf("%s (-want +got):\n%s", sort, diff)
			}
		}
		other := catalog.CaseQuery{Stores: []string{store}, Limit: 7}
		page, err := c.Cases.List(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		other.Cursor, other.Q = page.NextCursor, "s"
		if _, err := c.Cases.List(t.Context(), other); !errors.Is(err, catalog.ErrBadCursor) {
			t.Errorf("the cursor of another list: %v", err)
		}
	})
}

// Cases of a million images are listed and searched in less than 50 ms in 99 of 100 cases.
func TestCasesAreFast(t *testing.T) {
	n, times := 4_000, 1
	if long() {
		n, times = 1_000_000, 40
	}
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		stores := []string{caseStore(t, c, "/a"), caseStore(t, c, "/b"), caseStore(t, c, "/c")}
		for i := 0; i < n; i += 1000 {
			var batch []*catalog.Image
			for j := range 1000 {
				k := i + j
				images := caseImages(stores[k%3], fmt.Sprintf("S%02d-%06d_A%d_HE", 10+k/60_000, k/12, k))
				images[0].Barcode, images[0].ExternalID = new(fmt.Sprint("barcode ", k)), new(fmt.Sprint("external ", k))
				batch = append(batch, images...)
			}
			if err := c.Images.Put(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range []catalog.CaseQuery{
			{Stores: stores},
			{Stores: stores[:1]},
			{Stores: stores, Sort: catalog.CasesByAccession},
			{Stores: stores[1:], Sort: catalog.CasesByAccession},
			{Stores: stores, Q: "S10"},
			{Stores: stores, Q: "000001"},
			{Stores: stores, Q: "none"},
			{Stores: stores[2:], Q: "none"},
			{Stores: stores, Accession: "S10-000001"},
			{Stores: stores, Barcode: "barcode 7"},
			{Stores: stores[1:], ExternalID: "external 8"},
			{Stores: stores, Barcode: "none"},
			{Stores: stores, Q: "S10-0000", Sort: catalog.CasesByAccession},
		} {
			var took []time.Duration
			for range times {
				began := time.Now()
				page, err := c.Cases.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if one := q.Accession + q.Barcode + q.ExternalID; one != "" && one != "none" && len(page.Items) == 0 {
					t.Errorf("%+v finds no case", q)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			if p99 := took[len(took)*99/100]; p99 > 20*time.Millisecond {
				t.Logf("q=%q accession=%q barcode=%q external=%q stores=%d sort=%s: p50 %v, p99 %v", q.Q, q.Accession, q.Barcode, q.ExternalID, len(q.Stores), q.Sort, took[len(took)/2], p99)
			}
		}
	})
}
