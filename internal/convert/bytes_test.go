package convert

import (
	"crypto/sha256"
	"fmt"
	"image"
	"os"
	"testing"
)

// TestSameBytes converts a PNG: the result is the same in all builds, with the codecs in C and
// in pure Go. The digest changes with Go's encoders of JPEG and PNG.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	img := image.NewRGBA(image.Rect(0, 0, 1100, 700))
	for i := range img.Pix {
		x, y := i/4%1100, i/4/1100
		img.Pix[i] = byte(x*(1+i%4)/5 ^ y/3)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	pyramid, err := os.ReadFile(convertFile(t, encodePNG(t, img)))
	if err != nil {
		t.Fatal(err)
	}
	const want = "aa26e5ab7b1f905e1e76fa88b3760777d4ae65203f1354a7bb197c33373cf0ba"
	if got := fmt.Sprintf("%x", sha256.Sum256(pyramid)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}
