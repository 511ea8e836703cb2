package synth

import (
	"math"
	"sync"
)

// A texture is a square of noise from -1 to 1 that can be tiled. Its side is a power of
// two.
type texture struct {
	side int
	v    []float32
}

// textures are the textures for patches of one size.
type textures struct {
	fibres texture // running from left to right
	flakes texture // the same in all directions
	grain  texture // specks of a few pixels
	warp   [2]texture
	once   sync.Once // computes the others
}

var (
	textureCache = map[int]*textures{} // by the side of a patch
	textureLock  sync.Mutex            // of the cache
)

// texturesOf returns the textures for patches that are this many pixels wide.
func texturesOf(side int) *textures {
	textureLock.Lock()
	t := textureCache[side]
	if t == nil {
		t = new(textures)
		textureCache[side] = t
	}
	textureLock.Unlock()
	t.once.Do(func() { t.compute(side) })
	return t
}

func (t *textures) compute(side int) {
	t.fibres = newTexture(side, func(x, y float64) float64 {
		x += 0.09 * periodic(1, 3, 3, x, y)
		y += 0.05*periodic(2, 4, 4, x, y) + 0.01*periodic(3, 11, 11, x, y)
		return 0.7*periodic(4, 4, 22, x, y) + 0.45*periodic(5, 9, 61, x, y)
	})
	t.flakes = newTexture(side, func(x, y float64) float64 {
		x += 0.03 * periodic(8, 7, 7, x, y)
		y += 0.03 * periodic(9, 7, 7, x, y)
		return 0.8*periodic(10, 13, 13, x, y) + 0.4*periodic(11, 37, 37, x, y)
	})
	t.grain = newTexture(side, func(x, y float64) float64 {
		return 0.75*periodic(6, 53, 53, x, y) + 0.35*periodic(7, 111, 111, x, y)
	})
	for i := range t.warp {
		t.warp[i] = newTexture(side, func(x, y float64) float64 {
			return 0.8*periodic(12+uint64(i), 4, 4, x, y) + 0.25*periodic(14+uint64(i), 13, 13, x, y)
		})
	}
}

func newTexture(side int, f func(x, y float64) float64) texture {
	t := texture{side: side, v: make([]float32, side*side)}
	parallel(side, func(y int) {
		for x := range side {
			t.v[y*side+x] = float32(f(float64(x)/float64(side), float64(y)/float64(side)))
		}
	})
	return t
}

// at returns a texture's value, repeating it in all directions.
func (t *texture) at(x, y int) float32 {
	return t.v[y&(t.side-1)*t.side+x&(t.side-1)]
}

// periodic is noise with period 1 in x and y, and nx × ny waves in it.
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
