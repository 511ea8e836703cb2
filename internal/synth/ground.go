package synth

import "math"

// A groundKind is the tissue between the nuclei of a zone.
type groundKind struct {
	thin, dense rgb
	low, high   float32 // colours of thin and of dense tissue
	grain       float32
	fibrous     bool
	spread      float32 // of the fibres' directions, radians
}

var grounds = [zones]groundKind{
	epithelium: {rgb{216, 180, 212}, rgb{186, 138, 190}, -0.6, 0.6, 0.06, false, 6},
	mucosa:     {rgb{238, 214, 230}, rgb{208, 156, 196}, -0.85, 0.6, 0.05, false, 6},
	submucosa:  {rgb{247, 234, 242}, rgb{226, 158, 196}, -0.5, 0.5, 0.04, true, 1.3},
	muscle:     {rgb{236, 176, 206}, rgb{211, 122, 172}, -0.75, 0.6, 0.05, true, 0.5},
	fascicles:  {rgb{240, 190, 214}, rgb{208, 124, 174}, -1.0, 0.45, 0.04, false, 6},
	fat:        {rgb{251, 249, 251}, rgb{224, 164, 200}, 0, 0, 0, false, 0},
	lymphoid:   {rgb{210, 182, 216}, rgb{176, 136, 190}, -0.6, 0.6, 0.06, false, 6},
	germinal:   {rgb{222, 194, 220}, rgb{194, 154, 200}, -0.6, 0.6, 0.06, false, 6},
	blood:      {rgb{244, 214, 220}, rgb{232, 160, 170}, -0.6, 0.9, 0.05, false, 0},
}

// drawGround fills the cell with the ground of the visible zones.
func (d *drawing) drawGround() {
	for z := zone(1); z < zones; z++ {
		if !d.ground[z] {
			continue
		}
		if z == fat {
			d.membranes()
		} else {
			d.weave(z)
		}
		for i := range (spotRow - 1) * (spotRow - 1) {
			d.lay(z, i%(spotRow-1), i/(spotRow-1))
		}
	}
}

// lay adds the ground of a zone to the pixels between four spots.
func (d *drawing) lay(z zone, x, y int) {
	k, s := &grounds[z], d.spots[y*spotRow+x:]
	span := rgb{k.dense[0] - k.thin[0], k.dense[1] - k.thin[1], k.dense[2] - k.thin[2]}
	a, b, c, e := s[0].weights[z], s[1].weights[z], s[spotRow].weights[z], s[spotRow+1].weights[z]
	if a+b+c+e == 0 {
		return
	}
	for v := range spotStep {
		at := (y*spotStep+v)*cellSize + x*spotStep
		down := float32(v) / spotStep
		share, last := a+(c-a)*down, b+(e-b)*down
		step := (last - share) / spotStep
		for i := at; i < at+spotStep; i++ {
			for n := range span {
				d.pix[i][n] += (k.thin[n] + span[n]*d.density[i]) * share
			}
			share += step
		}
	}
}

// weave sets the density of a zone's ground at each pixel, 0 to 1. Each corner of the
// patch has its own lay of the texture; they are blended in between, and invisible
// parts are left out.
func (d *drawing) weave(z zone) {
	k, side, out := &grounds[z], d.s.side, &d.density
	px, py := floorDiv(d.x, side), floorDiv(d.y, side)
	clear(out[:])
	for c := range 4 {
		x0, y0 := d.x-(px+c%2)*side, d.y-(py+c/2)*side // of the cell, seen from the corner
		var bx, by [cellSize]float32
		top := float32(0)
		for i := range cellSize {
			bx[i], by[i] = reach(x0+i, side), reach(y0+i, side)
			top = max(top, bx[i]*by[cellSize-1], bx[i]*by[0])
		}
		if top < 0.03 {
			continue
		}
		l := newLay(d.corner(z, px+c%2, py+c/2), z, side)
		t := &d.t.flakes
		if k.fibrous {
			t = &d.t.fibres
		}
		mask := side - 1
		for y := range cellSize {
			u := float32(x0)*l.cos + float32(y0+y)*l.sin + l.x
			v := float32(y0+y)*l.cos - float32(x0)*l.sin + l.y
			row, share := out[y*cellSize:(y+1)*cellSize], by[y]
			for x := range row {
				row[x] += t.v[int(v)&mask*side+int(u)&mask] * bx[x] * share
				u += l.cos
				v -= l.sin
			}
		}
	}
	for i, v := range out {
		v = smooth(k.low, k.high, v) + k.grain*d.t.grain.at(d.x+i%cellSize, d.y+i/cellSize)
		out[i] = min(max(v, 0), 1)
	}
}

// reach is the weight of a corner's noise at a distance along one axis, chosen so that
// the sum of two keeps its strength.
func reach(at, side int) float32 {
	t := fade(math.Abs(float64(at)) / float64(side))
	return float32((1 - t) / math.Sqrt(t*t+(1-t)*(1-t)))
}

// A lay is the position of a texture around a corner: turned, and shifted so far that
// coordinates within two patches are positive.
type lay struct {
	x, y, cos, sin float32
	angle          float32
}

func newLay(colour uint32, z zone, side int) lay {
	d := dice(hash(uint64(colour), 41, uint64(z)))
	angle := d.between(-0.5, 0.5) * grounds[z].spread
	far := float32(4 * side)
	return lay{
		x: far + d.unit()*float32(side), y: far + d.unit()*float32(side),
		cos: cos(angle), sin: sin(angle), angle: angle,
	}
}

// membranes renders fat: cells that grow from their middles until they meet.
func (d *drawing) membranes() {
	out, unit := &d.density, float32(d.s.micron)
	x0, y0 := floorDiv(d.x, d.s.side/2)-1, floorDiv(d.y, d.s.side/2)-1
	var middles [9]fatCell
	for i := range middles {
		middles[i] = d.fatCell(x0+i%3, y0+i/3)
	}
	for i := range out {
		x, y := d.x+i%cellSize, d.y+i/cellSize
		wx, wy := float32(x)+7*unit*d.t.warp[0].at(x, y), float32(y)+7*unit*d.t.warp[1].at(x, y)
		first, second := float32(math.MaxFloat32), float32(math.MaxFloat32)
		for j := range middles {
			c := &middles[j]
			r := (c.x-wx)*(c.x-wx) + (c.y-wy)*(c.y-wy)
			if r < first {
				first, second = r, first
			} else if r < second {
				second = r
			}
		}
		gap := (sqrt(second) - sqrt(first)) / unit // µm, twice the distance from the membrane
		out[i] = 1 - smooth(0.8, 3.6, gap+0.8*d.t.grain.at(x, y))
	}
}

// A fatCell grows from a place, in pixels.
type fatCell struct {
	x, y float32
}

func (d *drawing) fatCell(x, y int) fatCell {
	h, ok := d.shared(fat, x, y)
	if !ok { // too far away to be visible
		return fatCell{-1e6, -1e6}
	}
	r, half := dice(h), float32(d.s.side/2)
	return fatCell{half * (float32(x) + r.between(-0.23, 0.23)), half * (float32(y) + r.between(-0.23, 0.23))}
}

// shared returns a number for a place with a large object that crosses the borders of
// patches. There are four places to a patch: at its corner, in the middles of two
// sides, and in its own middle. The number depends on the corners of all patches in
// which the object is visible. It is false if the present patch is not one of these.
func (d *drawing) shared(z zone, x, y int) (uint64, bool) {
	px, py := floorDiv(x, 2), floorDiv(y, 2)
	h := hash(uint64(z), uint64(x&1), uint64(y&1))
	for c := range 4 {
		if c%2 > x&1 || c/2 > y&1 {
			continue
		}
		if d.beyond(px+c%2, py+c/2) {
			return 0, false
		}
		h = hash(h, uint64(d.corner(z, px+c%2, py+c/2)))
	}
	return h, true
}

func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }

func floorDiv(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}
