package synth

import "math"

// A flock is the distribution of the nuclei of a zone: on a grid of perSide² places per
// patch, each with a nucleus by chance.
type flock struct {
	perSide int
	chance  float32
	kinds   []nucleusKind
}

// A nucleusKind is a kind of nucleus or of other small bodies.
type nucleusKind struct {
	share  float32    // of the nuclei of the zone
	length [2]float32 // half of it, µm, from … to
	width  [2]float32
	along  bool // it runs along the fibres
	colour rgb
	light  float32 // how much lighter it is inside than at its rim
}

var (
	lymphocyte  = nucleusKind{1, [2]float32{2.9, 3.6}, [2]float32{2.6, 3.3}, false, rgb{80, 48, 128}, 26}
	centroblast = nucleusKind{1, [2]float32{4.2, 5.4}, [2]float32{3.6, 4.7}, false, rgb{112, 76, 158}, 58}
	fibroblast  = nucleusKind{1, [2]float32{5, 8.5}, [2]float32{1.2, 1.9}, true, rgb{98, 60, 138}, 26}
	plasma      = nucleusKind{1, [2]float32{3.4, 4.2}, [2]float32{2.8, 3.4}, false, rgb{94, 54, 140}, 34}
	myocyte     = nucleusKind{1, [2]float32{7, 10.5}, [2]float32{1.5, 2.2}, true, rgb{108, 66, 146}, 34}
	cutMyocyte  = nucleusKind{1, [2]float32{2.0, 3.0}, [2]float32{1.7, 2.5}, false, rgb{104, 64, 144}, 26}
	columnar    = nucleusKind{1, [2]float32{4.2, 5.4}, [2]float32{2.3, 2.9}, true, rgb{100, 62, 146}, 40}
	redCell     = nucleusKind{1, [2]float32{3.0, 3.5}, [2]float32{2.7, 3.3}, false, rgb{206, 84, 104}, 30}
)

func (k nucleusKind) of(share float32) nucleusKind {
	k.share = share
	return k
}

var flocks = [zones]flock{
	epithelium: {17, 1, []nucleusKind{columnar}},
	mucosa:     {11, 0.8, []nucleusKind{lymphocyte.of(0.4), plasma.of(0.4), fibroblast.of(0.2)}},
	submucosa:  {7, 0.5, []nucleusKind{fibroblast.of(0.85), lymphocyte.of(0.15)}},
	muscle:     {7, 0.6, []nucleusKind{myocyte.of(0.96), lymphocyte.of(0.04)}},
	fascicles:  {8, 0.6, []nucleusKind{cutMyocyte.of(0.92), fibroblast.of(0.08)}},
	fat:        {3, 0.1, []nucleusKind{fibroblast}},
	lymphoid:   {16, 0.97, []nucleusKind{lymphocyte.of(0.85), plasma.of(0.15)}},
	germinal:   {11, 0.9, []nucleusKind{centroblast.of(0.75), lymphocyte.of(0.25)}},
	blood:      {17, 0.75, []nucleusKind{redCell}},
}

// maxNucleus is half the length of the longest nucleus, and a little for its rim.
const maxNucleus = 11 // µm

// A nucleus lies at a place, in pixels.
type nucleus struct {
	x, y          float32
	length, width float32 // half of each
	cos, sin      float32
	colour        rgb
	light         float32
	grain         int // where in the textures its outline and chromatin are
}

// drawNuclei renders the nuclei of a zone.
func (d *drawing) drawNuclei(z zone) {
	f := &flocks[z]
	step := float64(d.s.side) / float64(f.perSide)
	reach := maxNucleus * d.s.micron
	first := func(at int) int { return int(math.Floor((float64(at) - reach) / step)) }
	last := func(at int) int { return int(math.Floor((float64(at+cellSize) + reach) / step)) }
	for j := first(d.y); j <= last(d.y); j++ {
		for i := first(d.x); i <= last(d.x); i++ {
			d.drawNucleus(z, i, j, float32(step))
		}
	}
}

// drawNucleus renders the nucleus at a place of the grid, if there is one and it is
// visible.
func (d *drawing) drawNucleus(z zone, i, j int, step float32) {
	r, ok := d.dice(z, i, j)
	if !ok || r.unit() > flocks[z].chance {
		return
	}
	n := nucleus{x: (float32(i) + r.between(0.08, 0.92)) * step, y: (float32(j) + r.between(0.08, 0.92)) * step}
	k := flocks[z].pick(r.unit())
	unit := float32(d.s.micron)
	n.length, n.width = unit*r.between(k.length[0], k.length[1]), unit*r.between(k.width[0], k.width[1])
	if d.misses(&n) || !d.room(z, n.x, n.y, r.unit()) {
		return
	}
	if k.along {
		n.turn(d.direction(z, i, j, &n) + r.between(-0.2, 0.2))
	} else {
		n.turn(r.between(0, math.Pi))
	}
	n.paint(k, &r)
	d.stamp(&n)
}

// dice returns the random numbers of a place of the grid, which depend on the corners
// of those patches in which the nucleus is visible; false if it is in a patch that is
// too far away.
func (d *drawing) dice(z zone, i, j int) (dice, bool) {
	n := flocks[z].perSide
	px, py := floorDiv(i, n), floorDiv(j, n)
	i, j = i-px*n, j-py*n
	h := hash(uint64(z), 61, uint64(i), uint64(j))
	for c := range 4 {
		if i == 0 && c%2 == 1 || i == n-1 && c%2 == 0 || j == 0 && c/2 == 1 || j == n-1 && c/2 == 0 {
			continue
		}
		x, y := px+c%2, py+c/2
		if d.beyond(x, y) {
			return 0, false
		}
		h = hash(h, uint64(d.corner(z, x, y)))
	}
	return dice(h), true
}

// beyond reports whether a corner does not belong to the rendered patch.
func (d *drawing) beyond(x, y int) bool {
	return d.key != nil && (x < 0 || x > 1 || y < 0 || y > 1)
}

func (f *flock) pick(at float32) *nucleusKind {
	for i := range f.kinds {
		if at -= f.kinds[i].share; at < 0 {
			return &f.kinds[i]
		}
	}
	return &f.kinds[0]
}

// misses reports whether a nucleus is outside of the cell.
func (d *drawing) misses(n *nucleus) bool {
	reach := n.length + 3
	return n.x+reach < float32(d.x) || n.x-reach > float32(d.x+cellSize) ||
		n.y+reach < float32(d.y) || n.y-reach > float32(d.y+cellSize)
}

// room reports whether a nucleus of a zone may be at a pixel: in that zone, in the
// tissue, and outside of glands. Between zones, chance, from 0 to 1, decides.
func (d *drawing) room(z zone, x, y, chance float32) bool {
	if d.key == nil {
		p := d.spot(float64(x), float64(y))
		if p.weights[z] <= chance || p.edge < 3.5 || z == epithelium && (p.edge < 9 || p.edge > 24) {
			return false
		}
	}
	if z != mucosa {
		return true
	}
	half := d.s.side / 2
	g, ok := d.gland(floorDiv(int(x)+half/2, half), floorDiv(int(y)+half/2, half))
	return !ok || g.depth(x, y) > 1.12
}

// direction is where the fibres run at a place of the grid; in the epithelium,
// where the surface is.
func (d *drawing) direction(z zone, i, j int, n *nucleus) float32 {
	if z == epithelium {
		const far = 12
		e := d.spot(float64(n.x), float64(n.y)).edge
		return atan2(d.spot(float64(n.x), float64(n.y+far)).edge-e, d.spot(float64(n.x+far), float64(n.y)).edge-e)
	}
	per := flocks[z].perSide
	x, y := floorDiv(2*i+per, 2*per), floorDiv(2*j+per, 2*per) // the nearest corner
	return newLay(d.corner(z, x, y), z, d.s.side).angle
}

func (n *nucleus) turn(angle float32) { n.cos, n.sin = cos(angle), sin(angle) }

// paint gives a nucleus its own shade.
func (n *nucleus) paint(k *nucleusKind, r *dice) {
	shade := r.between(-14, 18)
	n.colour = rgb{k.colour[0] + shade, k.colour[1] + shade, k.colour[2] + shade*0.7}
	n.light, n.grain = k.light, int(r.unit()*(1<<18))
}

// stamp renders a nucleus: a dark rim, specks of chromatin, and an edge as soft as that
// of a lens.
func (d *drawing) stamp(n *nucleus) {
	reach := int(n.length + 3)
	x0, x1 := max(int(n.x)-reach-d.x, 0), min(int(n.x)+reach-d.x, cellSize-1)
	y0, y1 := max(int(n.y)-reach-d.y, 0), min(int(n.y)+reach-d.y, cellSize-1)
	soft, side, mask := 1.2/n.width, d.s.side, d.s.side-1
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			dx, dy := float32(x+d.x)+0.5-n.x, float32(y+d.y)+0.5-n.y
			u, v := (dx*n.cos+dy*n.sin)/n.length, (dy*n.cos-dx*n.sin)/n.width
			r := u*u + v*v
			if r > (1.12+soft)*(1.12+soft) {
				continue
			}
			at := int(dy)&mask*side + int(dx)&mask + n.grain // the texture is read as a whole, so it need not fit
			r = sqrt(r) * (1 + 0.16*d.t.flakes.v[at&(side*side-1)])
			c := n.colour
			clump := d.t.grain.v[at&(side*side-1)]
			light := n.light*(1-smooth(0.4, 0.92, r+0.15*clump)) + 30*clump
			for k := range c {
				c[k] += light
			}
			d.pix[y*cellSize+x].over(c, 0.93*(1-smooth(1-soft, 1+soft, r)))
		}
	}
}
