package barcode

import (
	"image"
	"testing"
)

func TestDrawSize(t *testing.T) {
	tests := []struct {
		kind     Kind
		text     string
		modulePx int
		want     image.Point // pixels, quiet zone included
	}{
		{QR, "S24-00817", 3, image.Pt((21+8)*3, (21+8)*3)},
		{DataMatrix, "S24-00817", 4, image.Pt((14+4)*4, (14+4)*4)},
		{Code128, "S240081", 2, image.Pt((11*7+13+20)*2, (20+20)*2)},
		{EAN13, "590123412345", 1, image.Pt(95+22, 20+22)},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind), func(t *testing.T) {
			img, err := Draw(tt.kind, tt.text, tt.modulePx)
			if err != nil {
				t.Fatal(err)
			}
			if got := img.Bounds(); got != (image.Rectangle{Max: tt.want}) {
				t.Errorf("Draw(%s, %q, %d) is %v, want %v", tt.kind, tt.text, tt.modulePx, got, tt.want)
			}
		})
	}
}
