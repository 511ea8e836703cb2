package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A case pattern is tried, set, and names slides at the next sync; a slide is corrected.
func TestCasePattern(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	folder := slidesIn(t, map[string]*slideFile{"S26-7_A1_HE.tiff": plain})
	store := o.says("", "store", "add", folder, "--label", "Scanner 1")
	o.run("", "sync", store)
	pattern := `(?P<accession>S\d\d-\d+)_(?P<block>[A-Z]\d+)_(?P<stain>\w+)`
	tried := strings.Fields(o.says("", "store", "set", "Scanner 1", "--case-pattern", pattern, "--try"))
	if got := strings.Join(tried[len(tried)-8:], " "); got != "- - S26-7_A1_HE.tiff filename S26-7 - A1 HE" {
		t.Errorf("the pattern is said to find %q", got)
	}
	if out := o.says("", "store", "show", store); strings.Contains(out, "case_pattern") {
		t.Errorf("trying has set the pattern:\n%s", out)
	}
	o.refuses("group for the accession number", "", "store", "set", store, "--case-pattern", `(?P<stain>x)`, "--try")
	o.refuses("use --case-pattern too", "", "store", "set", store, "--try")
	o.says("", "store", "set", store, "--case-pattern", pattern, "--case-source", "filename")
	o.run("", "sync", store)
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(o.data, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	page, err := c.Images.List(t.Context(), catalog.Query{Store: store})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	im := page.Items[0].ID
	if out := o.says("", "image", "show", im); !strings.Contains(out, `"accession": "S26-7"`) || !strings.Contains(out, `"stain": "HE"`) {
		t.Errorf("the slide is not named:\n%s", out)
	}
	o.says("", "image", "set", im, "--accession", "S26-8", "--stain", "Ki-67")
	o.says("", "image", "set", im, "--stain", "")
	if out := o.says("", "image", "show", im); !strings.Contains(out, `"accession": "S26-8"`) || !strings.Contains(out, `"stain": "HE"`) {
		t.Errorf("the slide is not corrected:\n%s", out)
	}
}
