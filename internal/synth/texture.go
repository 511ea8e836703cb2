package synth

import (
	"math"
	"sync"
)

// A texture is a square picture of noise from -1 to 1 that fits itself on all
// sides. Its side is a power of two.
type texture struct {
	side int
	v    []float32
}

// textures are those of patches of one side.
type textures struct {
	fibres texture // running from left to right
	grain  texture // specks of two to four pixels
}

var textureCache sync.Map // side of a patch → func() *textures

// texturesOf returns the textures of patches that are so many pixels wide.
func texturesOf(side int) *textures {
	make := sync.OnceValue(func() *textures {
		t := &textures{}
		t.fibres = newTexture(side, func(x, y float64) float64 {
			x += 0.09 * periodic(1, 3, 3, x, y)
			y += 0.055*periodic(2, 4, 4, x, y) + 0.012*periodic(3, 11, 11, x, y)
			return 0.7*periodic(4, 4, 22, x, y) + 0.5*periodic(5, 9, 61, x, y)
		})
		t.grain = newTexture(side, func(x, y float64) float64 {
			return 0.6*periodic(6, 61, 61, x, y) + 0.5*periodic(7, 127, 127, x, y)
		})
		return t
	})
	f, _ := textureCache.LoadOrStore(side, make)
	return f.(func() *textures)()
}

func newTexture(side int, f func(x, y float64) float64) texture {
	t := texture{side: side, v: make([]float32, side*side)}
	for i := range t.v {
		t.v[i] = float32(f(float64(i%side)/float64(side), float64(i/side)/float64(side)))
	}
	return t
}

// periodic is a noise that repeats itself at whole numbers and has nx × ny waves
// between them.
func periodic(seed uint64, nx, ny int, x, y float64) float64 {
	x, y = x*float64(nx), y*float64(ny)
	fx, fy := math.Floor(x), math.Floor(y)
	wrap := func(f float64, n int) uint64 { return uint64((int(f)%n + n) % n) }
	i0, i1 := wrap(fx, nx), wrap(fx+1, nx)
	j0, j1 := wrap(fy, ny), wrap(fy+1, ny)
	x, y = x-fx, y-fy
	u, v := fade(x), fade(y)
	a := gradient(seed, i0, j0, x, y)
	b := gradient(seed, i1, j0, x-1, y)
	c := gradient(seed, i0, j1, x, y-1)
	d := gradient(seed, i1, j1, x-1, y-1)
	a += (b - a) * u
	c += (d - c) * u
	return (a + (c-a)*v) * 1.5
}

// A turn is how a texture is laid: where it begins and along what it runs.
type turn struct {
	x, y, slope int
	swap        bool
}

func newTurn(colour uint32, side int) turn {
	d := dice(hash(uint64(colour), 41))
	return turn{
		x: int(d.unit() * float32(side)), y: int(d.unit() * float32(side)),
		slope: int(d.unit()*3) - 1, swap: d.unit() < 0.3,
	}
}

// at reads a texture. Slopes are whole numbers, so that it still fits itself.
func (t *texture) at(x, y int, by turn) float32 {
	if by.swap {
		x, y = y, x
	}
	x += by.x
	y += by.y + by.slope*x
	return t.v[y&(t.side-1)*t.side+x&(t.side-1)]
}
