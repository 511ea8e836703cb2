package synth

import "math"

// maxGland is the reach of a gland in micrometres. It is less than a quarter of a
// patch, so that a point can only be in the gland of the nearest place.
const maxGland = 31.5

// A gland is a crypt cut across: a ring of tall cells, with nuclei outside and mucus
// inside, around a lumen.
type gland struct {
	x, y          float32 // pixels
	radius        float32
	oval, corners [2]float32 // how it departs from a circle: waves of twice and three times the angle
	lumen         float32    // share of the radius
	cells         int
	seed          uint64
}

// gland returns the gland at a place: there are four to a patch of mucosa, laid out
// like fat cells.
func (d *drawing) gland(x, y int) (gland, bool) {
	h, ok := d.shared(mucosa, x, y)
	if !ok || !d.hasGland(x, y) {
		return gland{}, false
	}
	r := dice(hash(h, 71))
	if r.unit() < 0.1 {
		return gland{}, false
	}
	unit, half := float32(d.s.micron), float32(d.s.side/2)
	oval, corners, turn1, turn2 := r.between(0.02, 0.12), r.between(0, 0.06), r.between(0, 2*math.Pi), r.between(0, 2*math.Pi)
	g := gland{
		radius:  r.between(15.5, 26),
		oval:    [2]float32{oval * cos(turn1), oval * sin(turn1)},
		corners: [2]float32{corners * cos(turn2), corners * sin(turn2)},
		lumen:   r.between(0.12, 0.34), seed: h,
	}
	free := maxGland - 1.08*g.radius*(1+oval+corners)
	turn := r.between(0, 2*math.Pi)
	g.x = float32(x)*half + unit*free*cos(turn)
	g.y = float32(y)*half + unit*free*sin(turn)
	g.radius *= unit
	g.cells = int(2 * math.Pi * g.radius / unit / 5.8)
	return g, true
}

// hasGland reports whether there is room for a gland.
func (d *drawing) hasGland(x, y int) bool {
	if d.key == nil {
		return d.s.hasGland(x, y)
	}
	return d.key.glands
}

// reach is the radius in the direction of a unit vector.
func (g *gland) reach(x, y float32) float32 {
	x2, y2 := x*x-y*y, 2*x*y // of twice the angle
	return g.radius * (1 + g.oval[0]*x2 + g.oval[1]*y2 + g.corners[0]*(x2*x-y2*y) + g.corners[1]*(x2*y+y2*x))
}

// depth is 0 in the middle of a gland and 1 at its border.
func (g *gland) depth(x, y float32) float32 {
	dx, dy := x-g.x, y-g.y
	r := sqrt(dx*dx+dy*dy) + 1e-6
	return r / g.reach(dx/r, dy/r)
}

// drawGlands renders the visible parts of the glands nearby.
func (d *drawing) drawGlands() {
	half := d.s.side / 2
	for j := floorDiv(d.y, half); j <= floorDiv(d.y+cellSize-1, half)+1; j++ {
		for i := floorDiv(d.x, half); i <= floorDiv(d.x+cellSize-1, half)+1; i++ {
			if g, ok := d.gland(i, j); ok {
				d.drawGland(&g)
			}
		}
	}
}

var (
	basal   = rgb{196, 150, 200} // cytoplasm near the nuclei
	apical  = rgb{222, 194, 224}
	mucus   = rgb{228, 222, 240}
	content = rgb{246, 240, 248} // of the lumen
	sheath  = rgb{226, 160, 198}
)

func (d *drawing) drawGland(g *gland) {
	reach := 1.2 * g.radius
	if g.x+reach < float32(d.x) || g.x-reach > float32(d.x+cellSize) ||
		g.y+reach < float32(d.y) || g.y-reach > float32(d.y+cellSize) {
		return
	}
	for i := range d.pix {
		x, y := float32(d.x+i%cellSize)+0.5, float32(d.y+i/cellSize)+0.5
		depth := g.depth(x, y)
		if depth > 1.08 {
			continue
		}
		c := d.glandColour(g, i, depth, atan2(y-g.y, x-g.x))
		d.pix[i].over(c, 1-smooth(1.04, 1.08, depth))
	}
	g.nuclei(d)
}

// glandColour is the colour of a gland's cells at a pixel.
func (d *drawing) glandColour(g *gland, i int, depth, angle float32) rgb {
	grain := d.t.grain.at(d.x+i%cellSize, d.y+i/cellSize)
	along := (angle/(2*math.Pi) + 0.5) * float32(g.cells)
	k := int(along)
	r := dice(hash(g.seed, uint64(k)))
	side := along - float32(k) - 0.5 // -0.5 to 0.5 across the cell
	c := blend(apical, basal, smooth(0.4, 0.9, depth+0.06*grain))
	if goblet := r.unit(); goblet < 0.6 {
		at, long := r.between(0.5, 0.62), r.between(0.12, 0.2)
		u, v := side/0.42, (depth-at)/long
		c.over(mucus, 0.9*(1-smooth(0.7, 1.05, sqrt(u*u+v*v)+0.1*grain)))
	}
	edge := 0.5 - max(side, -side) // to the next cell
	c.over(rgb{170, 118, 178}, 0.45*(1-smooth(0.02, 0.12, edge)))
	c.over(content, 1-smooth(g.lumen-0.02, g.lumen+0.03, depth+0.05*grain))
	c.over(sheath, smooth(0.95, 1, depth))
	return c
}

// nuclei draws the nuclei of a gland's cells.
func (g *gland) nuclei(d *drawing) {
	unit := float32(d.s.micron)
	for k := range g.cells {
		r := dice(hash(g.seed, uint64(k), 72))
		angle := (float32(k)+0.5+r.between(-0.15, 0.15))/float32(g.cells)*2*math.Pi - math.Pi
		at := g.reach(cos(angle), sin(angle)) * r.between(0.78, 0.85)
		n := nucleus{
			x: g.x + at*cos(angle), y: g.y + at*sin(angle),
			length: unit * r.between(3.3, 4.3), width: unit * r.between(2.1, 2.7),
		}
		if d.misses(&n) {
			continue
		}
		n.turn(angle + r.between(-0.2, 0.2))
		n.paint(&columnar, &r)
		d.stamp(&n)
	}
}

func cos(x float32) float32      { return float32(math.Cos(float64(x))) }
func sin(x float32) float32      { return float32(math.Sin(float64(x))) }
func atan2(y, x float32) float32 { return float32(math.Atan2(float64(y), float64(x))) }
