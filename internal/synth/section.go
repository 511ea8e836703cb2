package synth

import "math"

// A zone is a kind of tissue.
type zone uint8

const (
	glass      zone = iota // none
	epithelium             // what covers the section's outer side
	mucosa                 // glands in loose tissue
	submucosa              // loose fibres
	muscle
	fat
	lymphoid // follicles of lymphocytes
	zones
)

// A section is the map of a slice of tissue: which zone is where. It follows a
// gut cut across: glands outside, then a thin muscle, loose tissue with fat and
// follicles, and the thick muscle inside. Lengths are in micrometres.
type section struct {
	seed          uint64
	width, height float64
	pieces        []piece
	mucosa        float64 // how thick it is
	submucosa     float64 // how deep it goes
	side          float64 // the wavelength of what of the rim is mucosa
}

// A piece is an ellipse that noise makes organic.
type piece struct {
	x, y, rx, ry float64
	cos, sin     float64
}

const muscularis = 45 // µm, the thin muscle under the mucosa

func newSection(seed uint64, width, height float64) *section {
	short := min(width, height)
	s := &section{
		seed: mix(seed), width: width, height: height,
		mucosa:    min(max(short*0.075, 130), 1100),
		submucosa: min(max(short*0.18, 260), 2600),
		side:      min(max(short*0.6, 400), 9000),
	}
	d := dice(hash(seed, 1))
	n := 1
	if width > 1.6*height {
		n = 2
	}
	for i := range n {
		cell := width / float64(n)
		turn := float64(d.between(-0.4, 0.4))
		s.pieces = append(s.pieces, piece{
			x:   cell * (float64(i) + float64(d.between(0.46, 0.54))),
			y:   height * float64(d.between(0.47, 0.53)),
			rx:  cell * float64(d.between(0.36, 0.40)),
			ry:  height * float64(d.between(0.33, 0.38)),
			cos: math.Cos(turn), sin: math.Sin(turn),
		})
	}
	return s
}

// A spot is what the map says of a point.
type spot struct {
	edge    float32        // how far inside of the tissue it is, µm; negative on glass
	weights [zones]float32 // of the zones, 1 in all, as if there were no glass
	zone    zone
	margin  float32 // about how far the zone goes on in all directions, µm
}

// at reads the map.
func (s *section) at(x, y float64) spot {
	e := s.edge(x, y)
	p := spot{edge: float32(e)}
	if e < -60 {
		p.zone, p.margin = glass, float32(-e)
		return p
	}
	depth := e + 0.35*s.mucosa*noise(s.seed+11, x/s.mucosa/1.7, y/s.mucosa/1.7)
	side := s.side * 0.35 * (noise(s.seed+12, x/s.side, y/s.side) + 0.35)
	p.margin = float32(math.Inf(1))
	p.weights[muscle] = 1
	p.override(submucosa, s.submucosa-depth)
	lobes := 130 * (noise(s.seed+13, x/700, y/700) + 0.5*noise(s.seed+14, x/230, y/230) - 0.22)
	p.override(fat, min(lobes, s.submucosa-depth-40, depth-s.mucosa-60))
	p.override(muscle, min(side, muscularis-abs(depth-s.mucosa-muscularis)))
	p.override(mucosa, min(side, s.mucosa-depth))
	follicle := 160 * (noise(s.seed+15, x/520, y/520) - 0.42)
	p.override(lymphoid, min(follicle, 260-abs(depth-s.mucosa-60), e-30))
	p.override(epithelium, min(side, 30-e))
	for z, w := range p.weights {
		if w > p.weights[p.zone] {
			p.zone = zone(z)
		}
	}
	if e < 0 {
		p.zone = glass
	}
	p.margin = min(p.margin, float32(abs(e)))
	return p
}

// override puts a zone over those found so far, where it is inside: by how many
// micrometres is given, negative for outside. Borders are 6 µm wide.
func (p *spot) override(z zone, inside float64) {
	w := smooth(-3, 3, float32(inside))
	for i := range p.weights {
		p.weights[i] *= 1 - w
	}
	p.weights[z] += w
	p.margin = min(p.margin, float32(abs(inside)))
}

// edge is about how far a point is inside of the tissue, in micrometres.
func (s *section) edge(x, y float64) float64 {
	short := min(s.width, s.height)
	e := math.Inf(-1)
	for _, p := range s.pieces {
		dx, dy := x-p.x, y-p.y
		u, v := (dx*p.cos+dy*p.sin)/p.rx, (dy*p.cos-dx*p.sin)/p.ry
		e = max(e, (1-math.Sqrt(u*u+v*v))*min(p.rx, p.ry))
	}
	if e < -0.4*short {
		return e
	}
	for i, o := range [...]struct{ wave, height float64 }{{0.45, 0.10}, {0.2, 0.045}, {0.09, 0.014}, {0.04, 0.006}} {
		e += o.height * short * noise(s.seed+uint64(i), x/(o.wave*short), y/(o.wave*short))
	}
	if abs(e) < 100 {
		e += 7*noise(s.seed+5, x/60, y/60) + 3*noise(s.seed+6, x/22, y/22)
	}
	return e - s.tear(x, y, short)
}

// tear is how deep a point lies in a crack of the section; 0 where there is none.
func (s *section) tear(x, y, short float64) float64 {
	where := noise(s.seed+21, x/(0.3*short), y/(0.3*short)) - 0.35
	if where < 0 {
		return 0
	}
	return 0
}

func abs(x float64) float64 { return math.Abs(x) }
