package synth

import "testing"

func TestZZ(t *testing.T) {
	i, err := Philips{Seed: 3, Width: 61_200, Height: 45_900, Big: true, Sparse: true, Label: true, Macro: true, Barcode: "x"}.Write("/tmp/sy/big.tiff")
	n := 0
	for _, l := range i.Levels {
		n += l.Tiles - l.Sparse
	}
	t.Log(i.Size, err, n, i.Size/int64(n))
}
