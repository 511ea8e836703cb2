package limit

import (
	"math"

	"golang.org/x/sys/unix"
)

// spareFiles is the number of other open files: the database, logs, uploads, and
// connections that are being refused.
const spareFiles = 256 + maxRefusing

// Connections returns how many connections, at most maximum, the limit of open files allows
// beside that many open slides. It raises that limit as far as possible.
func Connections(maximum, slides int) int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return maximum
	}
	if lim.Cur < lim.Max {
		raised := unix.Rlimit{Cur: lim.Max, Max: lim.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			lim = raised
		}
	}
	files := int(min(lim.Cur, math.MaxInt32)) //nolint:gosec // bounded
	return max(64, min(maximum, files-slides-spareFiles))
}
