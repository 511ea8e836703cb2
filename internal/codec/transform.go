package codec

import "github.com/slideatlas/ptiffstore/internal/planes"

// A block is 8 × 8 samples less 128, and then their coefficients.
type block [64]int32

// load takes the samples from x, y on. Beyond the plane its last column and row repeat.
func (b *block) load(p *planes.Plane, x, y int) {
	for i := range 8 {
		row := p.Pix[min(y+i, p.Height-1)*p.Stride:][:p.Width]
		to := (*[8]int32)(b[8*i:])
		if x+8 <= len(row) {
			from := (*[8]byte)(row[x:])
			for j, v := range from {
				to[j] = int32(v) - 128
			}
			continue
		}
		for j := range to {
			to[j] = int32(row[min(x+j, len(row)-1)]) - 128
		}
	}
}

// Constants of the transform, with constBits bits of fraction.
const (
	constBits = 13
	passBits  = 2 // of fraction between the passes

	c0298 = 2446
	c0390 = 3196
	c0541 = 4433
	c0765 = 6270
	c0899 = 7373
	c1175 = 9633
	c1501 = 12299
	c1847 = 15137
	c1961 = 16069
	c2053 = 16819
	c2562 = 20995
	c3072 = 25172
)

// transform is the accurate forward DCT of libjpeg (jfdctint.c), after Loeffler, Ligtenberg
// and Moschytz 1989: the coefficients times 8.
func (b *block) transform() {
	for i := range 8 {
		d := (*[8]int32)(b[8*i:])
		s0, s1, s2, s3 := d[0]+d[7], d[1]+d[6], d[2]+d[5], d[3]+d[4]
		t7, t6, t5, t4 := d[0]-d[7], d[1]-d[6], d[2]-d[5], d[3]-d[4]
		d[0], d[4] = (s0+s3+s1+s2)<<passBits, (s0+s3-s1-s2)<<passBits
		const shift, half = constBits - passBits, 1 << (constBits - passBits - 1)
		a, c := s1-s2, s0-s3
		z := (a + c) * c0541
		d[2], d[6] = (z+c*c0765+half)>>shift, (z-a*c1847+half)>>shift
		o1, o3, o5, o7 := odd(t4, t5, t6, t7)
		d[1], d[3], d[5], d[7] = (o1+half)>>shift, (o3+half)>>shift, (o5+half)>>shift, (o7+half)>>shift
	}
	for i := range 8 {
		d := (*[57]int32)(b[i:])
		s0, s1, s2, s3 := d[0]+d[56], d[8]+d[48], d[16]+d[40], d[24]+d[32]
		t7, t6, t5, t4 := d[0]-d[56], d[8]-d[48], d[16]-d[40], d[24]-d[32]
		const round = 1 << (passBits - 1)
		d[0], d[32] = (s0+s3+s1+s2+round)>>passBits, (s0+s3-s1-s2+round)>>passBits
		const shift, half = constBits + passBits, 1 << (constBits + passBits - 1)
		a, c := s1-s2, s0-s3
		z := (a + c) * c0541
		d[16], d[48] = (z+c*c0765+half)>>shift, (z-a*c1847+half)>>shift
		o1, o3, o5, o7 := odd(t4, t5, t6, t7)
		d[8], d[24], d[40], d[56] = (o1+half)>>shift, (o3+half)>>shift, (o5+half)>>shift, (o7+half)>>shift
	}
}

// odd returns the odd coefficients of a row or column.
func odd(t4, t5, t6, t7 int32) (o1, o3, o5, o7 int32) {
	z := (t4 + t6 + t5 + t7) * c1175
	z1, z2 := -(t4+t7)*c0899, -(t5+t6)*c2562
	z3, z4 := z-(t4+t6)*c1961, z-(t5+t7)*c0390
	return t7*c1501 + z1 + z4, t6*c3072 + z2 + z3, t5*c2053 + z2 + z4, t4*c0298 + z1 + z3
}
