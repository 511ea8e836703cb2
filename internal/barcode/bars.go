package barcode

import (
	"context"
	"image"
	"slices"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/oned"
)

const (
	squeezeBy = 3   // rows averaged into one line across the bars, to reduce noise
	maxLines  = 128 // lines read across a picture, evenly spread
	minRuns   = 24  // black and white runs of the shortest code, 6 digits of ITF, and some more
	maxStarts = 8   // positions in a line at which a code may begin
)

// A symbology is a kind of code made of bars. Lines is how many lines must agree on a
// text: more for kinds without a check character, which match any row of upright
// strokes.
type symbology struct {
	kind   Kind
	reader oned.RowDecoder
	lines  int
	digits int // length of the shortest accepted text
}

// symbologies returns the readers, which keep state and belong to one caller.
func symbologies() []symbology {
	row := func(r gozxing.Reader) oned.RowDecoder { return r.(oned.RowDecoder) }
	return []symbology{
		{Code128, row(oned.NewCode128Reader()), 2, 1},
		{Code93, row(oned.NewCode93Reader()), 2, 1},
		{EAN13, row(oned.NewEAN13Reader()), 3, 13},
		{EAN8, row(oned.NewEAN8Reader()), 4, 8},
		{Code39, row(oned.NewCode39Reader()), 3, 3},
		{ITF, row(oned.NewITFReader()), 4, 6},
		{Codabar, row(oned.NewCodaBarReader()), 4, 5},
	}
}

// A reading is the result of reading one line across the bars.
type reading struct {
	text string
	kind Kind
}

// findBars looks for a code made of bars, upright ones first.
func findBars(ctx context.Context, g *image.Gray) (string, Kind) {
	readers := symbologies()
	for _, turned := range []bool{false, true} {
		if turned {
			g = transpose(g)
		}
		for _, m := range binarized(squeeze(g)) {
			votes := map[reading]int{}
			step := max(1, m.GetHeight()/maxLines)
			for y := step / 2; y < m.GetHeight(); y += step {
				if ctx.Err() != nil {
					return "", ""
				}
				for r := range readLine(readers, m, y) {
					votes[r]++
				}
			}
			if r, ok := elect(votes, readers); ok {
				return r.text, r.kind
			}
		}
	}
	return "", ""
}

// readLine returns all readings of row y of the picture, in both directions.
func readLine(readers []symbology, m *gozxing.BitMatrix, y int) map[reading]bool {
	found := map[reading]bool{}
	rr := runs(nil, m, y)
	for range 2 {
		for _, row := range starts(rr, m.GetWidth()) {
			for _, s := range readers {
				text := attempt(func() (string, error) {
					r, err := s.reader.DecodeRow(y, row, nil)
					if err != nil {
						return "", err
					}
					return r.GetText(), nil
				})
				if len(text) >= s.digits {
					found[reading{text, s.kind}] = true
				}
			}
		}
		slices.Reverse(rr)
		for i, r := range rr {
			rr[i].x0, rr[i].x1 = m.GetWidth()-r.x1, m.GetWidth()-r.x0
		}
	}
	return found
}

// starts returns the line once from its start and once from each white gap that is wide
// enough for a quiet zone. The readers accept the first start character, and print left
// of a code can look like one. The ends are padded with white.
func starts(rr []run, width int) []*gozxing.BitArray {
	const (
		ahead   = 12 // bars whose width is compared with the gap's
		isQuiet = 4  // times as wide; within codes a gap is up to 4 modules wide
	)
	pad := width/8 + 10
	var rows []*gozxing.BitArray
	for i := 0; 2*(len(rr)-i) >= minRuns && len(rows) < maxStarts; i++ {
		if i > 0 && rr[i].x0-rr[i-1].x1 < isQuiet*medianWidth(rr[i:min(i+ahead, len(rr))]) {
			continue
		}
		row := gozxing.NewBitArray(width + 2*pad)
		for _, r := range rr[i:] {
			_ = row.SetRange(pad+r.x0, pad+r.x1) // the range is within the row
		}
		rows = append(rows, row)
	}
	return rows
}

func medianWidth(rr []run) int {
	w := make([]int, len(rr))
	for i, r := range rr {
		w[i] = r.x1 - r.x0
	}
	slices.Sort(w)
	return w[len(w)/2]
}

// elect returns the reading with the most votes, if they are enough for its kind and
// twice as many as for any other.
func elect(votes map[reading]int, readers []symbology) (reading, bool) {
	var best reading
	var most, second int
	for r, n := range votes {
		if n > most {
			best, most, second = r, n, most
		} else {
			second = max(second, n)
		}
	}
	i := slices.IndexFunc(readers, func(s symbology) bool { return s.kind == best.kind })
	return best, i >= 0 && most >= readers[i].lines && most >= 2*second
}

// squeeze returns the picture with each squeezeBy rows averaged into one.
func squeeze(g *image.Gray) *image.Gray {
	if g.Rect.Dy() < squeezeBy {
		return g
	}
	s := image.NewGray(image.Rect(0, 0, g.Rect.Dx(), g.Rect.Dy()/squeezeBy))
	for y := range s.Rect.Dy() {
		for x := range s.Rect.Dx() {
			sum := 0
			for j := range squeezeBy {
				sum += int(g.Pix[(y*squeezeBy+j)*g.Stride+x])
			}
			s.Pix[y*s.Stride+x] = uint8(sum / squeezeBy)
		}
	}
	return s
}

// transpose swaps rows and columns, so that horizontal bars become upright. This also
// mirrors them, which is harmless because lines are read in both directions.
func transpose(g *image.Gray) *image.Gray {
	t := image.NewGray(image.Rect(0, 0, g.Rect.Dy(), g.Rect.Dx()))
	for y := range t.Rect.Dy() {
		for x := range t.Rect.Dx() {
			t.Pix[y*t.Stride+x] = g.Pix[x*g.Stride+y]
		}
	}
	return t
}
