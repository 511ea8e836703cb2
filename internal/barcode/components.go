package barcode

import (
	"cmp"
	"image"
	"slices"

	"github.com/makiuchi-d/gozxing"
)

const (
	minSide       = 8      // pixels; the smallest Data Matrix has 8 modules a side
	maxAspect     = 5      // the longest Data Matrix is 8 × 32 modules, plus tilt
	maxComponents = 200000 // more black areas than that are noise
	maxCandidates = 40     // boxes tried in a picture, largest first
	maxArea       = 4      // their total area, in areas of the picture: frames may be nested
)

// candidates returns the boxes of connected black areas that could be a code or its
// border, largest first. For a Data Matrix this is the solid L on two of its sides,
// whose box is that of the code.
func candidates(m *gozxing.BitMatrix) []image.Rectangle {
	var boxes []image.Rectangle
	for _, r := range components(m) {
		long, short := max(r.Dx(), r.Dy()), min(r.Dx(), r.Dy())
		if short >= minSide && long <= short*maxAspect {
			boxes = append(boxes, r)
		}
	}
	slices.SortStableFunc(boxes, func(a, b image.Rectangle) int {
		return cmp.Compare(area(b), area(a))
	})
	left := maxArea * m.GetWidth() * m.GetHeight()
	boxes = slices.DeleteFunc(boxes, func(r image.Rectangle) bool {
		if area(r) > left {
			return true
		}
		left -= area(r)
		return false
	})
	return boxes[:min(len(boxes), maxCandidates)]
}

func area(r image.Rectangle) int { return r.Dx() * r.Dy() }

// components returns the boxes of connected areas of black pixels, including diagonal
// connections, or nil if there are more than maxComponents.
func components(m *gozxing.BitMatrix) []image.Rectangle {
	var (
		f          forest
		above, row []run
	)
	for y := range m.GetHeight() {
		row = runs(row[:0], m, y)
		first := 0 // run above that may touch this one
		for i := range row {
			r := &row[i]
			for first < len(above) && above[first].x1 < r.x0 {
				first++
			}
			r.component = -1
			for j := first; j < len(above) && above[j].x0 <= r.x1; j++ {
				r.component = f.join(r.component, above[j].component)
			}
			if r.component = f.add(r.component, image.Rect(r.x0, y, r.x1, y+1)); len(f.parent) > maxComponents {
				return nil
			}
		}
		above, row = row, above
	}
	return f.roots()
}

// A run is a black piece of a row, from x0 up to x1.
type run struct{ x0, x1, component int }

// runs appends the black runs of row y to r.
func runs(r []run, m *gozxing.BitMatrix, y int) []run {
	w := m.GetWidth()
	for x := 0; x < w; x++ {
		if !m.Get(x, y) {
			continue
		}
		x0 := x
		for x < w && m.Get(x, y) {
			x++
		}
		r = append(r, run{x0: x0, x1: x})
	}
	return r
}

// A forest is a union-find structure of components. A root is its own parent; its box
// covers the tree.
type forest struct {
	parent []int
	boxes  []image.Rectangle
}

func (f *forest) root(i int) int {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

// join merges two components and returns the root; a may be -1 for none.
func (f *forest) join(a, b int) int {
	b = f.root(b)
	if a < 0 {
		return b
	}
	if a = f.root(a); a != b {
		f.parent[b] = a
		f.boxes[a] = f.boxes[a].Union(f.boxes[b])
	}
	return a
}

// add extends component i by the box, or adds a new component if i is -1, and returns
// it.
func (f *forest) add(i int, box image.Rectangle) int {
	if i < 0 {
		i = len(f.parent)
		f.parent = append(f.parent, i)
		f.boxes = append(f.boxes, box)
	}
	f.boxes[i] = f.boxes[i].Union(box)
	return i
}

// roots returns the boxes of the components.
func (f *forest) roots() []image.Rectangle {
	var boxes []image.Rectangle
	for i, box := range f.boxes {
		if f.parent[i] == i {
			boxes = append(boxes, box)
		}
	}
	return boxes
}
