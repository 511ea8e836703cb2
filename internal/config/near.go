package config

import (
	"fmt"
	"slices"
	"strings"
)

// mend says what to write instead of a key that there is not, of which prefix stood
// above it.
func mend(name, prefix string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "Did you mean " + near + "?"
	}
	if near := nearest(last(name), known); near != "" {
		return "Did you mean " + near + "?"
	}
	here := []string{}
	for _, k := range known {
		rest, ok := strings.CutPrefix(k, prefix)
		if prefix != "" {
			if rest, ok = strings.CutPrefix(k, prefix+"."); !ok {
				continue
			}
		}
		first, _, _ := strings.Cut(rest, ".")
		if ok && !slices.Contains(here, first) {
			here = append(here, first)
		}
	}
	slices.Sort(here)
	return fmt.Sprintf("Here may stand %s", or(here))
}

// nearest returns the word that was probably meant, "" if none is near. Dots, hyphens
// and underscores count for nothing: log-level is log.level.
func nearest(word string, known []string) string {
	plain := strings.NewReplacer("-", "", "_", "", ".", "")
	w := strings.ToLower(plain.Replace(word))
	best, at := "", len(w)/3+1 // as many letters may be wrong
	for _, k := range known {
		for rest, more := k, true; more; _, rest, more = strings.Cut(rest, ".") { // people leave out what stands above
			if d := distance(w, plain.Replace(rest)); d < at {
				best, at = k, d
			}
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed to make b of a;
// two that changed places count once.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
