package limit

import (
	"math"

	"golang.org/x/sys/unix"
)

// spareFiles are those that are neither connections nor slides: the database, logs,
// uploads, and connections that are just being refused.
const spareFiles = 256 + maxRefusing

// Connections returns how many connections there may be where max are wanted, and so
// many slides are open: the process may have only so many files. It raises its limit as
// far as it may.
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
