package config

import (
	"slices"
	"strings"
)

// suggestion returns what to write instead of an unknown key below prefix.
func suggestion(name, prefix string, known []string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, word := range []string{name, last} {
		if near := nearest(word, known); near != "" {
			return "Did you mean " + near + "?"
		}
	}
	var here []string
	for _, k := range known {
		if rest, ok := strings.CutPrefix(k, join(prefix, "")); ok {
			first, _, _ := strings.Cut(rest, ".")
			here = append(here, first)
		}
	}
	slices.Sort(here)
	return "Allowed here: " + or(slices.Compact(here))
}

// nearest returns the known word that word is probably a misspelling of, "" if none is
// similar. Dots, hyphens and underscores are ignored: log-level is log.level.
func nearest(word string, known []string) string {
	plain := strings.NewReplacer("-", "", "_", "", ".", "")
	w := strings.ToLower(plain.Replace(word))
	best, at := "", len(w)/3+1 // so many letters may differ
	for _, k := range known {
		for rest, more := k, true; more; _, rest, more = strings.Cut(rest, ".") { // people leave out the group
			if d := distance(w, plain.Replace(rest)); d < at {
				best, at = k, d
			}
		}
	}
	return best
}

// distance returns the optimal string alignment distance: the number of letters to
// insert, remove, change or swap with their neighbor to get from a to b.
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

// or lists words.
func or(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
