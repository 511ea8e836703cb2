package catalog_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestByStudy finds the images of DICOM series by their identifiers, as long as they have them.
func TestByStudy(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		st, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: "/slides"})
		if err != nil {
			t.Fatal(err)
		}
		image := func(path, study, series string) *catalog.Image {
			return &catalog.Image{StoreID: st.ID, Path: path, State: catalog.Available, Description: catalog.Description{DICOM: &catalog.DICOM{Study: study, Series: series}}}
		}
		list := []*catalog.Image{image("a/~1.1", "1", "1.1"), image("b/~1.1", "1", "1.1"), image("b/~1.2", "1", "1.2"), image("c/~2.1", "2", "2.1"), {StoreID: st.ID, Path: "d.tiff", State: catalog.Available}}
		if err := c.Images.Put(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		paths := func(images []catalog.Image, err error) (list []string) {
			if err != nil {
				t.Error(err)
			}
			for _, im := range images {
				list = append(list, im.Path)
			}
			return list
		}
		want := func(what string, got []string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		want("study", paths(c.Images.ByStudy(t.Context(), "1")), "a/~1.1", "b/~1.1", "b/~1.2")
		want("series", paths(c.Images.BySeries(t.Context(), "1.1")), "a/~1.1", "b/~1.1")
		want("studies", paths(c.Images.ByStudies(t.Context(), []string{"2", "1", "3"})), "a/~1.1", "b/~1.1", "b/~1.2", "c/~2.1")
		want("no studies", paths(c.Images.ByStudies(t.Context(), nil)))
		want("no study", paths(c.Images.ByStudy(t.Context(), "")))
		if _, err := c.Images.Update(t.Context(), list[1].ID, func(im *catalog.Image) error {
			im.DICOM = nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.Images.Delete(t.Context(), list[2].ID); err != nil {
			t.Fatal(err)
		}
		if err := c.Images.Drop(t.Context(), list[3].ID); err != nil {
			t.Fatal(err)
		}
		want("study after changes", paths(c.Images.ByStudy(t.Context(), "1")), "a/~1.1")
		want("dropped", paths(c.Images.ByStudy(t.Context(), "2")))
	})
}

// TestByPrefix finds images by the start of their ids, on both databases.
func TestByPrefix(t *testing.T) {
	onEach(t, func(t *testing.T, c *catalog.Catalog) {
		st, err := c.Stores.Put(t.Context(), catalog.Store{Mode: catalog.InPlace, Root: "/slides"})
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{} // by path
		for path, id := range map[string]string{
			"first": "abcdefghijkl" + "22222222222222", "last": "abcdefghijkl" + "zzzzzzzzzzzzzz", "before": "abcdefghijkk" + "zzzzzzzzzzzzzz",
			"behind": "abcdefghijkm" + "22222222222222", "digits": "abcdefghijk7" + "22222222222222", "deleted": "abcdefghijkl" + "aaaaaaaaaaaaaa",
		} {
			im := catalog.Image{ID: id, StoreID: st.ID, Path: path, State: catalog.Available}
			if err := c.Images.Put(t.Context(), []*catalog.Image{&im}); err != nil {
				t.Fatal(err)
			}
			ids[path] = im.ID
		}
		if err := c.Images.Delete(t.Context(), ids["deleted"]); err != nil {
			t.Fatal(err)
		}
		for prefix, want := range map[string][]string{
			"abcdefghijkl": {"first", "last"}, "abcdefghijk7": {"digits"}, "abcdefghijk2": nil, "abcdefghijkl22222222222222": {"first"}, "zzzzzzzzzzzz": nil,
		} {
			list, err := c.Images.ByPrefix(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, im := range list {
				got = append(got, im.Path)
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", prefix, diff)
			}
		}
	})
}
