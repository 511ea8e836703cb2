package slide

import "testing"

// squareRows are the rows of a pyramid whose level 0 fills its grid.
func squareRows(z int) int { return 1 << z }

// TestNames checks the known answers of both conventions. Rows are counted from
// the top; those of the bottom-left names below are 2^z-1 less the y they stand
// for.
func TestNames(t *testing.T) {
	tests := []struct {
		name    string
		origin  Origin
		z, x, y int
	}{
		{"t", TopLeft, 0, 0, 0},
		{"tq", TopLeft, 1, 0, 0},
		{"tr", TopLeft, 1, 1, 0},
		{"tt", TopLeft, 1, 0, 1},
		{"ts", TopLeft, 1, 1, 1},
		{"tqr", TopLeft, 2, 1, 0},
		{"tstq", TopLeft, 3, 4, 6},
		{"t", BottomLeft, 0, 0, 0},
		{"tt", BottomLeft, 1, 0, 1},
		{"tq", BottomLeft, 1, 0, 0},
		{"tr", BottomLeft, 1, 1, 0},
		{"tqr", BottomLeft, 2, 1, 0},
		{"tqsttt", BottomLeft, 5, 8, 15}, // y is 16
	}
	for _, tt := range tests {
		t.Run(string(tt.origin)+" "+tt.name, func(t *testing.T) {
			z, x, y, ok := ParseName(tt.name, tt.origin, squareRows)
			if !ok || z != tt.z || x != tt.x || y != tt.y {
				t.Errorf("ParseName(%q) = %d/%d/%d, %v, want %d/%d/%d", tt.name, z, x, y, ok, tt.z, tt.x, tt.y)
			}
			if got := Name(tt.z, tt.x, tt.y, tt.origin, squareRows); got != tt.name {
				t.Errorf("Name(%d, %d, %d) = %q, want %q", tt.z, tt.x, tt.y, got, tt.name)
			}
		})
	}
}

// TestNamesCountFromBottomRow checks a level that does not fill its grid: y of a
// bottom-left name counts from the bottom row of tiles, not of the grid.
func TestNamesCountFromBottomRow(t *testing.T) {
	rows := func(z int) int { return []int{1, 2, 3}[z] }
	z, x, y, ok := ParseName("ttt", BottomLeft, rows)
	if !ok || z != 2 || x != 0 || y != 2 {
		t.Errorf("ParseName(ttt) = %d/%d/%d, %v, want 2/0/2", z, x, y, ok)
	}
	if got, want := Name(2, 0, 2, BottomLeft, rows), "ttt"; got != want {
		t.Errorf("Name(2, 0, 2) = %q, want %q", got, want)
	}
	if _, _, _, ok := ParseName("tqq", BottomLeft, rows); ok {
		t.Error("ParseName(tqq): found a fourth row of three")
	}
}

func TestNoNames(t *testing.T) {
	none := func(z int) int { return max(0, 4-z) }
	for _, name := range []string{"", "q", "x", "ta", "tT", "t ", "tqrstq", "tttt", "t/", "tq.jpg", string(make([]byte, 1000))} {
		if z, x, y, ok := ParseName(name, TopLeft, none); ok {
			t.Errorf("ParseName(%q) = %d/%d/%d", name, z, x, y)
		}
	}
	for _, a := range [][3]int{{-1, 0, 0}, {1, 2, 0}, {1, 0, 3}, {1, -1, 0}, {40, 0, 0}} {
		if got := Name(a[0], a[1], a[2], TopLeft, none); got != "" {
			t.Errorf("Name(%v) = %q", a, got)
		}
	}
}

// TestNamesRoundTrip checks that every tile has one name of its own.
func TestNamesRoundTrip(t *testing.T) {
	for _, o := range []Origin{TopLeft, BottomLeft} {
		seen := map[string]bool{}
		for y := range 11 {
			for x := range 13 {
				name := Name(4, x, y, o, func(int) int { return 11 })
				if seen[name] {
					t.Fatalf("%s: %q names two tiles", o, name)
				}
				seen[name] = true
				z, x2, y2, ok := ParseName(name, o, func(int) int { return 11 })
				if !ok || z != 4 || x2 != x || y2 != y {
					t.Fatalf("%s: %q is %d/%d/%d, %v, want 4/%d/%d", o, name, z, x2, y2, ok, x, y)
				}
			}
		}
	}
}
