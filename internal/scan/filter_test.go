package scan

import (
	"testing"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Flat images are inspected in stores that convert them.
func TestConvertsFlatImages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		store catalog.Store
		want  bool
	}{
		{"managed", catalog.Store{Mode: catalog.Managed}, true},
		{"that makes none", catalog.Store{Mode: catalog.Managed, NoConvert: true}, false},
		{"with names of its own", catalog.Store{Mode: catalog.Managed, Include: []string{"*.tiff"}}, false},
		{"in place", catalog.Store{Mode: catalog.InPlace}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Accepts(&tt.store, "a.JPG"); got != tt.want {
				t.Errorf("takes a picture: %v, want %v", got, tt.want)
			}
			if !Accepts(&tt.store, "a.tiff") {
				t.Error("takes no TIFF")
			}
		})
	}
}
