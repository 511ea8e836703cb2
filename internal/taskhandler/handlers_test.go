package taskhandler

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/test/catalogtest"
)

// TestForeignImage runs tasks whose image is not in their store, or whose arguments have
// the wrong keys: they fail and change nothing.
func TestForeignImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := catalogtest.Open(t, filepath.Join(dir, "catalog.db"))
	for _, id := range []string{"own", "foreign"} {
		if _, err := c.Stores.Put(t.Context(), catalog.Store{ID: id, Label: id, Mode: catalog.InPlace, Root: filepath.Join(dir, id)}); err != nil {
			t.Fatal(err)
		}
	}
	im := &catalog.Image{ID: "slide", StoreID: "foreign", Path: "a.tiff", State: catalog.Available, Revision: "r", Identity: fsx.Identity{Ino: 1, Size: 1}}
	if err := c.Images.Put(t.Context(), []*catalog.Image{im}); err != nil {
		t.Fatal(err)
	}
	for _, k := range (&Handlers{Catalog: c}).Kinds() { // without the services that a task needs
		for args, words := range map[string]string{
			`{"store":"own","image":"slide"}`:      "the image is not in the store",
			`{"image":"slide"}`:                    "the image is not in the store",
			`{"store":"own","ſtore":"foreign"}`:    "must be written",
			`{"store":"own","Store":"foreign"}`:    "must be written",
			`{"store":"own","Image":"slide"}`:      "is not known",
			`{"store":"own","store":"foreign"}`:    "is given more than once",
			`{"store":"own","path":"/etc/shadow"}`: "is not known",
		} {
			if k.Name == task.SyncStore || k.Name == task.ResyncStore || k.Name == task.VerifyStore {
				if strings.Contains(args, "image") {
					words = `"image" is not known`
				}
			} else if strings.Contains(args, "Image") {
				words = "must be written"
			}
			_, err := k.Run(t.Context(), &task.Task{Kind: k.Name, Args: json.RawMessage(args)})
			if err == nil || !strings.Contains(fmt.Sprint(err), words) {
				t.Errorf("%s of %s: %v, want %q", k.Name, args, err, words)
			}
		}
	}
}
