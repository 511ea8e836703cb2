package inspect

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/source"
)

// Flat images are unsupported, or incomplete.
func TestInspectFlatImages(t *testing.T) {
	t.Parallel()
	var p, j bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 90, 70))
	if err := png.Encode(&p, img); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&j, img, nil); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		want Kind
	}{
		{"png", p.Bytes(), Unsupported},
		{"jpeg", j.Bytes(), Unsupported},
		{"jpeg with something behind it", append(bytes.Clone(j.Bytes()), make([]byte, 500)...), Unsupported},
		{"png half copied", p.Bytes()[:p.Len()-13], Damaged},
		{"jpeg half copied", j.Bytes()[:j.Len()-3], Damaged},
		{"png whose size was set first", append(bytes.Clone(p.Bytes()[:p.Len()-13]), make([]byte, 13)...), Damaged},
		{"a few bytes", []byte("\xff\xd8\xff"), Damaged},
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(dir+"/f", tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := File(context.Background(), source.In(root), "f"); got.Kind != tt.want {
				t.Errorf("kind %d %q, want %d", got.Kind, got.Reason, tt.want)
			}
		})
	}
}
