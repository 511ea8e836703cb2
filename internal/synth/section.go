package synth

import "math"

// A zone is a kind of tissue.
type zone uint8

const (
	glass      zone = iota // none
	epithelium             // the section's outer surface
	mucosa                 // glands in loose tissue
	submucosa              // loose fibres
	muscle                 // cut lengthwise
	fascicles              // muscle cut across
	fat
	lymphoid // follicles of lymphocytes
	germinal // their light middles
	blood    // in vessels
	zones
)

// A section is the map of a slice of tissue: which zone is where. It follows a
// polyp of the gut: glands outside, then a thin muscle, loose tissue with fat,
// vessels and follicles, and thick muscle inside. Lengths are in micrometres.
type section struct {
	seed      uint64
	short     float64 // the shorter side of the picture
	pieces    []piece
	mucosa    float64 // how thick it is
	submucosa float64 // how deep it goes
	coarse    float64 // wavelength of the mucosa's part of the rim
}

// A piece is an ellipse that noise makes organic.
type piece struct {
	x, y, rx, ry float64
	cos, sin     float64
}

const muscularis = 45 // µm, half of the thin muscle under the mucosa

func newSection(seed uint64, width, height float64) *section {
	short := min(width, height)
	s := &section{
		seed: mix(seed), short: short,
		mucosa:    min(max(short*0.075, 130), 1100),
		submucosa: min(max(short*0.19, 260), 2600),
		coarse:    min(max(short*0.6, 400), 9000),
	}
	d := dice(hash(seed, 1))
	n := 1
	if width > 1.6*height {
		n = 2
	}
	for i := range n {
		share := width / float64(n)
		turn := float64(d.between(-0.4, 0.4))
		s.pieces = append(s.pieces, piece{
			x:   share * (float64(i) + float64(d.between(0.46, 0.54))),
			y:   height * float64(d.between(0.47, 0.53)),
			rx:  share * float64(d.between(0.36, 0.40)),
			ry:  height * float64(d.between(0.33, 0.38)),
			cos: math.Cos(turn), sin: math.Sin(turn),
		})
	}
	return s
}

// A spot is the map at a point.
type spot struct {
	edge    float32        // distance to the edge of the tissue, µm; negative on glass
	weights [zones]float32 // of the zones; the sum is 1, ignoring glass
	zone    zone
	margin  float32 // approximate distance to the next other zone, µm
}

// at reads the map.
func (s *section) at(x, y float64) spot {
	rim := s.rim(x, y)
	e := min(rim, s.crack(x, y))
	p := spot{edge: float32(e)}
	if e < -60 {
		p.margin = float32(-e)
		return p
	}
	p.margin = float32(math.Inf(1))
	depth := rim + 0.35*s.mucosa*s.noise(11, x, y, 1.7*s.mucosa)
	p.inner(s, x, y, depth)
	p.outer(s, x, y, depth, rim)
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

// inner sets the zones below the mucosa.
func (p *spot) inner(s *section, x, y, depth float64) {
	p.weights[fascicles] = 1
	core := 1.4*s.submucosa + 0.2*s.submucosa*s.noise(16, x, y, 0.9*s.submucosa)
	p.override(muscle, 12, core-depth)
	if depth > s.submucosa {
		const wave = 1300
		septum := 16*(1+s.noise(26, x, y, 500)) - abs(s.noise(25, x, y, wave)+0.1*s.noise(27, x, y, 260))*wave/1.5
		p.override(submucosa, 4, septum)
	}
	p.override(submucosa, 10, s.submucosa-depth)
	if depth < s.mucosa || depth > s.submucosa {
		return
	}
	p.override(fat, 6, min(500*(s.noise(13, x, y, 1500)-0.24), s.submucosa-depth-30, depth-s.mucosa-250))
	if r, from := s.blob(17, x, y, 950, 0.55); r > 0 {
		inside := min(r*(1+0.3*s.noise(18, x, y, 170))-from, depth-s.mucosa-150, s.submucosa-depth)
		p.override(muscle, 4, inside)
		p.override(blood, 3, inside-0.3*r-5)
	}
}

// outer sets the zones from the surface to the follicles at the mucosa's base.
func (p *spot) outer(s *section, x, y, depth, rim float64) {
	if depth > s.mucosa+700 {
		return
	}
	side := 0.35 * s.coarse * (s.noise(12, x, y, s.coarse) + 0.35)
	p.override(muscle, 5, min(side, muscularis-abs(depth-s.mucosa-muscularis)))
	p.override(mucosa, 6, min(side, s.mucosa-depth))
	if r, from := s.blob(15, x, y, 1300, 0.6); r > 0 {
		r *= 2
		inside := min(r*(1+0.1*s.noise(19, x, y, 300))-from, r-abs(depth-s.mucosa-40), rim-40)
		p.override(lymphoid, 35, inside)
		p.override(germinal, 25, inside-0.4*r)
	}
	p.override(epithelium, 3, min(side, 30-rim))
}

// override blends a zone over those set so far, where the point is inside of it: inside
// is the distance to its border in micrometres, negative outside. The transition extends
// border micrometres to either side.
func (p *spot) override(z zone, border, inside float64) {
	p.margin = min(p.margin, float32(abs(inside)-border+3))
	if inside <= -border {
		return
	}
	w := smooth(float32(-border), float32(border), float32(inside))
	for i := range p.weights {
		p.weights[i] *= 1 - w
	}
	p.weights[z] += w
}

// noise is noise with a wavelength in micrometres.
func (s *section) noise(n uint64, x, y, wave float64) float64 {
	return noise(s.seed+n, x/wave, y/wave)
}

// blob returns the radius of a round object near a point, and the distance of the point
// from its middle. Each square of the given side in micrometres contains at most one
// complete object; the radius is 0 without one.
func (s *section) blob(n uint64, x, y, square float64, chance float32) (radius, from float64) {
	i, j := math.Floor(x/square), math.Floor(y/square)
	d := dice(hash(s.seed+n, uint64(int64(i)), uint64(int64(j))))
	if d.unit() > chance {
		return 0, 0
	}
	cx, cy := (i+float64(d.between(0.35, 0.65)))*square, (j+float64(d.between(0.35, 0.65)))*square
	u := d.unit()
	return square * float64(0.03+0.15*u*u), math.Hypot(x-cx, y-cy)
}

// rim is the approximate distance of a point to the tissue's outline, positive inside.
func (s *section) rim(x, y float64) float64 {
	e := math.Inf(-1)
	for _, p := range s.pieces {
		dx, dy := x-p.x, y-p.y
		u, v := (dx*p.cos+dy*p.sin)/p.rx, (dy*p.cos-dx*p.sin)/p.ry
		e = max(e, (1-math.Sqrt(u*u+v*v))*min(p.rx, p.ry))
	}
	if e < -0.25*s.short {
		return e
	}
	for i, o := range [...]struct{ wave, height float64 }{{0.45, 0.10}, {0.2, 0.045}, {0.09, 0.014}, {0.04, 0.006}} {
		e += o.height * s.short * s.noise(uint64(i), x, y, o.wave*s.short)
	}
	if abs(e) < 100 {
		e += 7*s.noise(5, x, y, 60) + 3*s.noise(6, x, y, 22)
	}
	return e
}

// crack is the approximate distance of a point to the next crack in the section,
// negative inside.
func (s *section) crack(x, y float64) float64 {
	where := s.noise(21, x, y, 0.3*s.short) - 0.36
	if where < 0 {
		return math.Inf(1)
	}
	const wave = 1400
	line := abs(s.noise(22, x, y, wave)+0.05*s.noise(23, x, y, 160)) * wave / 1.5
	return line + 3*s.noise(24, x, y, 25) - 22*min(1, 4*where)
}

func abs(x float64) float64 { return math.Abs(x) }
