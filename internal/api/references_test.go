package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net/http"
	"strings"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/synth"
)

// Each reference leads to the tile of its chunk, with the size that the array names.
func TestReferences(t *testing.T) {
	st := newSite(t)
	id := st.slides(map[string]synth.Philips{"a.tiff": {}})["a.tiff"]
	path := "/api/v1/images/" + id + "/references.json"
	a := st.get(path)
	var refs struct {
		Version   int
		Templates map[string]string
		Refs      map[string]json.RawMessage
	}
	if err := json.Unmarshal(a.body, &refs); err != nil || a.status != http.StatusOK || refs.Version != 1 {
		t.Fatalf("%d %s, %v", a.status, a.body, err)
	}
	decode := func(key string, v any) {
		t.Helper()
		var text string
		if err := json.Unmarshal(refs.Refs[key], &text); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	var attributes struct {
		Multiscales []struct {
			Datasets []struct {
				Path            string
				Transformations []struct{ Scale []float64 } `json:"coordinateTransformations"`
			}
		}
	}
	decode(".zattrs", &attributes)
	datasets := attributes.Multiscales[0].Datasets
	if len(datasets) != 4 || datasets[1].Transformations[0].Scale[0] != 0.5 {
		t.Errorf("multiscales: %+v", attributes)
	}
	chunks := 0
	for level, d := range datasets {
		var array struct {
			Shape, Chunks []int
			Compressor    struct{ ID string }
		}
		decode(d.Path+"/.zarray", &array)
		rows, columns := (array.Shape[0]+array.Chunks[0]-1)/array.Chunks[0], (array.Shape[1]+array.Chunks[1]-1)/array.Chunks[1]
		if array.Compressor.ID != "imagecodecs_jpeg" || array.Shape[2] != 3 {
			t.Errorf("level %d: %+v", level, array)
		}
		for y := range rows {
			for x := range columns {
				var ref []string
				if err := json.Unmarshal(refs.Refs[fmt.Sprintf("%d/%d.%d.0", level, y, x)], &ref); err != nil || len(ref) != 1 {
					t.Fatalf("chunk %d/%d.%d: %v, %v", level, y, x, ref, err)
				}
				chunks++
				got := st.get(strings.TrimPrefix(strings.Replace(ref[0], "{{u}}", refs.Templates["u"], 1), st.url))
				c, err := jpeg.DecodeConfig(bytes.NewReader(got.body))
				if got.status != http.StatusOK || err != nil || c.Width != array.Chunks[1] || c.Height != array.Chunks[0] {
					t.Errorf("chunk %d/%d.%d: %d, %d×%d, %v", level, y, x, got.status, c.Width, c.Height, err)
				}
			}
		}
	}
	if want := len(refs.Refs) - 2 - 2*len(datasets); chunks != want {
		t.Errorf("%d chunks in the arrays, %d references", chunks, want)
	}
	if a := st.get(path + "?level=2"); a.status != http.StatusOK || strings.Contains(string(a.body), `"0/0.0.0"`) || !strings.Contains(string(a.body), `"2/0.0.0"`) {
		t.Errorf("one level: %d %.300s", a.status, a.body)
	}
	for _, level := range []string{"9", "-1", "x"} {
		if a := st.get(path + "?level=" + level); a.status != http.StatusUnprocessableEntity {
			t.Errorf("level %s: %d, want 422", level, a.status)
		}
	}
}
