package synth

import ("testing";"time")

func TestZZ(t *testing.T) {
	b := time.Now()
	i, err := Philips{Seed: 1, Width: 5000, Height: 3800, Label: true, Macro: true, Barcode: "S26-00042", Sparse: true}.Write("/tmp/sy/a.tiff")
	t.Log(i, err, time.Since(b))
	b = time.Now()
	i, err = Philips{Seed: 2, Width: 60500, Height: 45800, Big: true, Label: true, Macro: true, Barcode: "S26-00043", Sparse: true}.Write("/tmp/sy/b.tiff")
	t.Log(i, err, time.Since(b))
}
