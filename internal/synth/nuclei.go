package synth

import "math"

// A flock says how the nuclei of a zone are strewn: on a grid of perSide²
// places a patch, each place taken by chance.
type flock struct {
	perSide int
	chance  float32
	kinds   []nucleusKind
}

// A nucleusKind is a sort of nucleus, in micrometres.
type nucleusKind struct {
	share  float32 // of those of the zone
	length [2]float32
	width  [2]float32
	along  bool // it runs along the fibres
	colour rgb
}

var (
	lymphocyte = nucleusKind{1, [2]float32{3.0, 3.6}, [2]float32{2.7, 3.3}, false, rgb{82, 48, 128}}
	fibroblast = nucleusKind{1, [2]float32{5, 8.5}, [2]float32{1.2, 1.9}, true, rgb{98, 60, 138}}
	plasma     = nucleusKind{1, [2]float32{3.4, 4.2}, [2]float32{2.8, 3.4}, false, rgb{96, 54, 140}}
	myocyte    = nucleusKind{1, [2]float32{7, 10.5}, [2]float32{1.5, 2.2}, true, rgb{104, 64, 144}}
	columnar   = nucleusKind{1, [2]float32{4.4, 5.6}, [2]float32{2.4, 3.1}, false, rgb{100, 62, 146}}
)

func (k nucleusKind) of(share float32) nucleusKind {
	k.share = share
	return k
}

var flocks = [zones]flock{
	epithelium: {15, 0.9, []nucleusKind{columnar}},
	mucosa:     {11, 0.8, []nucleusKind{lymphocyte.of(0.45), plasma.of(0.35), fibroblast.of(0.2)}},
	submucosa:  {7, 0.5, []nucleusKind{fibroblast.of(0.85), lymphocyte.of(0.15)}},
	muscle:     {7, 0.55, []nucleusKind{myocyte.of(0.95), lymphocyte.of(0.05)}},
	fat:        {3, 0.15, []nucleusKind{fibroblast}},
	lymphoid:   {16, 0.97, []nucleusKind{lymphocyte.of(0.8), plasma.of(0.2)}},
}

// maxNucleus is half the length of the longest nucleus and the strength of its rim.
const maxNucleus = 11 // µm

// A nucleus lies at a place, in pixels.
type nucleus struct {
	x, y          float32
	length, width float32 // half of each
	cos, sin      float32
	colour        rgb
	grain         turn
}

// drawNuclei draws the nuclei of a zone.
func (d *drawing) drawNuclei(z zone) {
	f := &flocks[z]
	step := float64(d.s.side) / float64(f.perSide)
	reach := maxNucleus * d.s.micron
	first := func(at int) int { return int(math.Floor((float64(at) - reach) / step)) }
	last := func(at int) int { return int(math.Floor((float64(at+cellSize) + reach) / step)) }
	for j := first(d.y); j <= last(d.y); j++ {
		for i := first(d.x); i <= last(d.x); i++ {
			if n, ok := d.nucleus(z, f, i, j, float32(step)); ok {
				d.stamp(&n)
			}
		}
	}
}

// nucleus returns the one at a place of the grid. What it is like depends on the
// corners of those patches it can be seen in.
func (d *drawing) nucleus(z zone, f *flock, i, j int, step float32) (n nucleus, ok bool) {
	px, py := floorDiv(i, f.perSide), floorDiv(j, f.perSide)
	h := hash(uint64(z), 61, uint64(i-px*f.perSide), uint64(j-py*f.perSide))
	first, last := i-px*f.perSide == 0, i-px*f.perSide == f.perSide-1
	top, bottom := j-py*f.perSide == 0, j-py*f.perSide == f.perSide-1
	for c := range 4 {
		if first && c%2 == 1 || last && c%2 == 0 || top && c/2 == 1 || bottom && c/2 == 0 {
			continue
		}
		x, y := px+c%2, py+c/2
		if d.key != nil && (x < 0 || x > 1 || y < 0 || y > 1) {
			return n, false // in a patch further away
		}
		h = hash(h, uint64(d.corner(z, x, y)))
	}
	r := dice(h)
	if r.unit() > f.chance {
		return n, false
	}
	n.x = (float32(i) + r.between(0.08, 0.92)) * step
	n.y = (float32(j) + r.between(0.08, 0.92)) * step
	if !d.room(z, n.x, n.y) {
		return n, false
	}
	k := f.pick(r.unit())
	unit := float32(d.s.micron)
	n.length, n.width = unit*r.between(k.length[0], k.length[1]), unit*r.between(k.width[0], k.width[1])
	angle := float64(r.between(0, math.Pi))
	if k.along && z == muscle {
		angle = float64(r.between(-0.25, 0.25))
	}
	n.turn(angle)
	n.paint(k.colour, &r, d.s.side)
	return n, true
}

func (f *flock) pick(at float32) *nucleusKind {
	for i := range f.kinds {
		if at -= f.kinds[i].share; at < 0 {
			return &f.kinds[i]
		}
	}
	return &f.kinds[0]
}

// room reports whether a nucleus of a zone may be at a pixel: in that zone, in
// the tissue, and in no gland.
func (d *drawing) room(z zone, x, y float32) bool {
	if d.key == nil {
		p := d.spot(float64(x), float64(y))
		if p.zone != z || p.edge < 3.5 {
			return false
		}
	}
	if z != mucosa {
		return true
	}
	side := float32(d.s.side)
	g, ok := d.gland(int(x/side+0.5), int(y/side+0.5))
	return !ok || g.depth(x, y) > 1.09
}

func (n *nucleus) turn(angle float64) {
	n.cos, n.sin = float32(math.Cos(angle)), float32(math.Sin(angle))
}

// paint gives a nucleus its own shade.
func (n *nucleus) paint(c rgb, r *dice, side int) {
	shade := r.between(-14, 18)
	n.colour = rgb{c[0] + shade, c[1] + shade, c[2] + shade*0.7}
	n.grain = turn{x: int(r.unit() * float32(side)), y: int(r.unit() * float32(side))}
}

// stamp draws a nucleus: a dark rim, chromatin in specks, and an edge as soft as
// a lens makes it.
func (d *drawing) stamp(n *nucleus) {
	reach := int(n.length + 3)
	x0, x1 := max(int(n.x)-reach-d.x, 0), min(int(n.x)+reach-d.x, cellSize-1)
	y0, y1 := max(int(n.y)-reach-d.y, 0), min(int(n.y)+reach-d.y, cellSize-1)
	soft := 1.3 / n.width
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			dx, dy := float32(x+d.x)+0.5-n.x, float32(y+d.y)+0.5-n.y
			u, v := (dx*n.cos+dy*n.sin)/n.length, (dy*n.cos-dx*n.sin)/n.width
			r := u*u + v*v
			if r > (1+soft)*(1+soft) {
				continue
			}
			r = sqrt(r)
			c := n.colour
			light := 34*(1-smooth(0.35, 0.9, r)) + 30*d.t.grain.at(int(dx)*2, int(dy)*2, n.grain)
			for k := range c {
				c[k] += light
			}
			d.pix[y*cellSize+x].over(c, 0.93*(1-smooth(1-soft, 1+soft, r)))
		}
	}
}
