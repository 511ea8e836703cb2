package synth

import "math"

// What lies between the nuclei of each zone: from thin to dense.
var grounds = [zones][2]rgb{
	epithelium: {{214, 178, 212}, {186, 138, 190}},
	mucosa:     {{240, 216, 230}, {208, 154, 196}},
	submucosa:  {{250, 240, 246}, {222, 146, 188}},
	muscle:     {{240, 186, 212}, {212, 122, 172}},
	fat:        {{250, 248, 250}, {222, 160, 196}},
	lymphoid:   {{212, 184, 218}, {178, 138, 192}},
}

// drawGround fills the cell with the ground of the zones that are seen.
func (d *drawing) drawGround() {
	for z := zone(1); z < zones; z++ {
		if !d.ground[z] {
			continue
		}
		density := d.density(z)
		for i := range d.pix {
			x, y := i%cellSize, i/cellSize
			share := float32(1)
			if d.key == nil {
				share = d.between(x, y, func(p *spot) float32 { return p.weights[z] })
			}
			if share == 0 {
				continue
			}
			c := blend(grounds[z][0], grounds[z][1], density[i])
			for k := range c {
				d.pix[i][k] += c[k] * share
			}
		}
	}
}

// density is how dense the ground is at each pixel, 0 to 1. Each corner of the
// patch has its own lay of the fibres; from one to the next they are blended.
func (d *drawing) density(z zone) *[cellSize * cellSize]float32 {
	var out [cellSize * cellSize]float32
	if z == fat {
		d.membranes(&out)
		return &out
	}
	side := d.s.side
	px, py := floorDiv(d.x, side), floorDiv(d.y, side)
	var turns [4]turn
	for i := range turns {
		turns[i] = newTurn(d.corner(z, px+i%2, py+i/2)+uint32(z)<<16, side)
		if z == muscle {
			turns[i].slope, turns[i].swap = 0, false
		}
	}
	low, high, grain := float32(-0.5), float32(0.55), float32(0.12)
	switch z {
	case muscle:
		low, high = -0.7, 0.6
	case submucosa:
		low, high = -0.45, 0.35
	}
	for y := range cellSize {
		by := shares(d.y+y-py*side, side)
		for x := range cellSize {
			bx := shares(d.x+x-px*side, side)
			v := float32(0)
			for i, t := range turns {
				v += d.t.fibres.at(d.x+x, d.y+y, t) * bx[i%2] * by[i/2]
			}
			out[y*cellSize+x] = min(max(smooth(low, high, v)+grain*d.t.grain.at(d.x+x, d.y+y, turn{}), 0), 1)
		}
	}
	return &out
}

// shares is how much the two sides of a patch count at a distance from the
// first, so that the sum of two noises keeps its strength.
func shares(at, side int) [2]float32 {
	t := float32(fade(float64(at) / float64(side)))
	n := 1 / float32(math.Sqrt(float64(t*t+(1-t)*(1-t))))
	return [2]float32{(1 - t) * n, t * n}
}

// membranes draws fat: cells as they meet when they grow from their centres.
func (d *drawing) membranes(out *[cellSize * cellSize]float32) {
	const step = patchMicrons / 2
	unit := float32(d.s.micron)
	x0, y0 := floorDiv(d.x, d.s.side/2)-1, floorDiv(d.y, d.s.side/2)-1
	var centres [9][2]float32
	n := 3
	for i := range centres {
		centres[i] = d.centre(x0+i%n, y0+i/n)
	}
	_ = step
	for i := range out {
		x, y := float32(d.x+i%cellSize)+0.5, float32(d.y+i/cellSize)+0.5
		first, second := float32(math.MaxFloat32), float32(math.MaxFloat32)
		for _, c := range centres {
			r := (c[0]-x)*(c[0]-x) + (c[1]-y)*(c[1]-y)
			if r < first {
				first, second = r, first
			} else if r < second {
				second = r
			}
		}
		gap := (sqrt(second) - sqrt(first)) / unit // µm, twice the distance from the membrane
		out[i] = 1 - smooth(1, 3.4, gap+1.2*d.t.grain.at(d.x+i%cellSize, d.y+i/cellSize, turn{}))
	}
}

// centre returns the centre of a fat cell: four to a patch, one of them near its
// corner, two near its sides and one inside.
func (d *drawing) centre(x, y int) [2]float32 {
	px, py := floorDiv(x, 2), floorDiv(y, 2)
	h := uint64(51)
	for i := range 4 {
		if (i%2 == 0 || x&1 == 1) && (i/2 == 0 || y&1 == 1) {
			if d.key != nil && (px+i%2 < 0 || px+i%2 > 1 || py+i/2 < 0 || py+i/2 > 1) {
				continue // too far away to be seen
			}
			h = hash(h, uint64(i), uint64(d.corner(fat, px+i%2, py+i/2)))
		}
	}
	r := dice(h)
	half := float32(d.s.side / 2)
	return [2]float32{half * (float32(x) + r.between(-0.17, 0.17)), half * (float32(y) + r.between(-0.17, 0.17))}
}

func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func floorDiv(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}
