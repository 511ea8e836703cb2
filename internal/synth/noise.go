package synth

import "math"

// mix scrambles a number so that each of its bits depends on all: the finaliser
// of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hash gives a number that depends on all of v.
func hash(v ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, x := range v {
		h = mix(h ^ mix(x+0x9e3779b97f4a7c15))
	}
	return h
}

// A dice is a sequence of random numbers.
type dice uint64

// unit returns a number of 0 to 1.
func (d *dice) unit() float32 {
	*d += 0x9e3779b97f4a7c15
	return float32(mix(uint64(*d))>>40) / (1 << 24)
}

// between returns a number of a to b.
func (d *dice) between(a, b float32) float32 { return a + (b-a)*d.unit() }

// noise is a smooth function of the plane from -1 to 1 that changes over about
// one unit: gradients at whole numbers, between them interpolated (Perlin, 2002).
func noise(seed uint64, x, y float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	i, j := uint64(int64(fx)), uint64(int64(fy))
	x, y = x-fx, y-fy
	u, v := fade(x), fade(y)
	a := gradient(seed, i, j, x, y)
	b := gradient(seed, i+1, j, x-1, y)
	c := gradient(seed, i, j+1, x, y-1)
	d := gradient(seed, i+1, j+1, x-1, y-1)
	a += (b - a) * u
	c += (d - c) * u
	return (a + (c-a)*v) * 1.5
}

func fade(t float64) float64 { return t * t * t * (t*(t*6-15) + 10) }

// gradient is the product of x,y with one of eight directions.
func gradient(seed, i, j uint64, x, y float64) float64 {
	h := mix(seed + i*0x9e3779b97f4a7c15 + j*0xc2b2ae3d27d4eb4f)
	if h&4 != 0 {
		x, y = y, x
	}
	if h&1 != 0 {
		x = -x
	}
	if h&2 != 0 {
		y = -y
	}
	return x + y*0.4142
}

// smooth goes from 0 at a to 1 at b.
func smooth(a, b, x float32) float32 {
	if x <= a {
		return 0
	}
	if x >= b {
		return 1
	}
	t := (x - a) / (b - a)
	return t * t * (3 - 2*t)
}
