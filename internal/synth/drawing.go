package synth

// A drawing makes the pixels of one cell of level 0: of a place on the map, or
// of a patch of the stock, whose corner is then at 0,0 and which is of one zone
// throughout.
type drawing struct {
	s    *scene
	key  *stockKey
	x, y int // of its upper left pixel
	t    *textures

	pix    [cellSize * cellSize]rgb
	ground [zones]bool // those that are seen
	spots  [spotRow * spotRow]spot
}

// spotStep is the distance in pixels at which a drawing reads the map.
const (
	spotStep = 16
	spotRow  = cellSize/spotStep + 1
)

// An rgb is a colour, each component from 0 to 255.
type rgb [3]float32

var glassColour = rgb{250, 249, 250}

func newDrawing(s *scene, x, y int) *drawing {
	return &drawing{s: s, x: x, y: y, t: texturesOf(s.side)}
}

// draw draws tissue, glands, nuclei, and then glass where there is no tissue.
func (d *drawing) draw() []byte {
	d.readMap()
	d.drawGround()
	if d.ground[mucosa] {
		d.drawGlands()
	}
	for z := range zones {
		if d.ground[z] && z != glass {
			d.drawNuclei(z)
		}
	}
	if d.ground[glass] {
		d.drawGlass()
	}
	out := make([]byte, 0, 3*len(d.pix))
	for i := range d.pix {
		for _, v := range d.pix[i] {
			out = append(out, byte(min(max(v+0.5, 0), 255)))
		}
	}
	return out
}

// spot reads the map at a pixel.
func (d *drawing) spot(x, y float64) spot {
	if d.key != nil {
		var p spot
		p.zone, p.weights[d.key.zone], p.edge = d.key.zone, 1, 1e6
		return p
	}
	return d.s.section.at(x/d.s.micron, y/d.s.micron)
}

// corner is the colour of a corner of the patches of a zone.
func (d *drawing) corner(z zone, x, y int) uint32 {
	if d.key == nil {
		return d.s.colour(z, x, y)
	}
	return d.key.corners[y*2+x]
}

func (d *drawing) readMap() {
	for i := range d.spots {
		p := d.spot(float64(d.x+i%spotRow*spotStep), float64(d.y+i/spotRow*spotStep))
		d.spots[i] = p
		for z, w := range p.weights {
			d.ground[z] = d.ground[z] || w > 0
		}
		d.ground[glass] = d.ground[glass] || p.edge < 8
	}
}

// between interpolates a value of the map at a pixel of the cell.
func (d *drawing) between(x, y int, of func(*spot) float32) float32 {
	i := y/spotStep*spotRow + x/spotStep
	u, v := float32(x%spotStep)/spotStep, float32(y%spotStep)/spotStep
	a := of(&d.spots[i])*(1-u) + of(&d.spots[i+1])*u
	b := of(&d.spots[i+spotRow])*(1-u) + of(&d.spots[i+spotRow+1])*u
	return a*(1-v) + b*v
}

// over lays a colour over another.
func (c *rgb) over(by rgb, share float32) {
	for i := range c {
		c[i] += (by[i] - c[i]) * share
	}
}

func blend(a, b rgb, share float32) rgb {
	a.over(b, share)
	return a
}

// drawGlass leaves the pixels beyond the edge of the tissue white.
func (d *drawing) drawGlass() {
	for i := range d.pix {
		x, y := i%cellSize, i/cellSize
		edge := d.between(x, y, func(p *spot) float32 { return p.edge })
		edge += 2 * d.t.grain.at(d.x+x, d.y+y, turn{})
		d.pix[i].over(glassColour, 1-smooth(-1.2, 1.8, edge))
	}
}
