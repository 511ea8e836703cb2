package synth

import "sync"

// A drawing renders the pixels of one cell of level 0: of a place on the map, or of a
// patch of the stock, whose corner is then at 0,0 and which has a single zone.
type drawing struct {
	s    *scene
	key  *stockKey
	x, y int // of its upper left pixel
	t    *textures

	pix     [cellSize * cellSize]rgb
	density [cellSize * cellSize]float32
	ground  [zones]bool // the visible ones
	spots   [spotRow * spotRow]spot
}

// spotStep is the distance in pixels between samples of the map.
const (
	spotStep = 16
	spotRow  = cellSize/spotStep + 1
)

// An rgb is a colour, each component from 0 to 255.
type rgb [3]float32

var glassColour = rgb{252, 252, 253}

// drawings reuses memory.
var drawings = sync.Pool{New: func() any { return new(drawing) }}

// draw renders a cell of level 0, or of a patch of the stock: tissue, glands, nuclei,
// and then glass where there is no tissue. It returns RGB.
func (s *scene) draw(key *stockKey, x, y int) []byte {
	d := drawings.Get().(*drawing)
	defer drawings.Put(d)
	d.s, d.key, d.x, d.y, d.t = s, key, x, y, texturesOf(s.side)
	clear(d.pix[:])
	d.ground = [zones]bool{}
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
	out := make([]byte, 3*len(d.pix))
	for i := range d.pix {
		for k, v := range d.pix[i] {
			n := int32(v + 0.5)
			if uint32(n) > 255 {
				n = max(min(n, 255), 0)
			}
			out[3*i+k] = byte(n)
		}
	}
	return out
}

// spot reads the map at a pixel.
func (d *drawing) spot(x, y float64) spot {
	if d.key != nil {
		p := spot{zone: d.key.zone, edge: 1e6}
		p.weights[d.key.zone] = 1
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

// around returns the spots around pixel number i, and its position between them.
func (d *drawing) around(i int) (four [4]*spot, u, v float32) {
	x, y := i%cellSize, i/cellSize
	s := d.spots[y/spotStep*spotRow+x/spotStep:]
	four = [4]*spot{&s[0], &s[1], &s[spotRow], &s[spotRow+1]}
	return four, float32(x%spotStep) / spotStep, float32(y%spotStep) / spotStep
}

// drawGlass leaves the pixels beyond the edge of the tissue white.
func (d *drawing) drawGlass() {
	for i := range d.pix {
		s, u, v := d.around(i)
		edge := (s[0].edge*(1-u)+s[1].edge*u)*(1-v) + (s[2].edge*(1-u)+s[3].edge*u)*v
		edge += 2 * d.t.grain.at(d.x+i%cellSize, d.y+i/cellSize)
		d.pix[i].over(glassColour, 1-smooth(-1.2, 1.8, edge))
	}
}

// over blends a colour over another.
func (c *rgb) over(by rgb, share float32) {
	for i := range c {
		c[i] += (by[i] - c[i]) * share
	}
}

func blend(a, b rgb, share float32) rgb {
	a.over(b, share)
	return a
}
