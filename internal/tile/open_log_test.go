package tile

import (
	"testing"
	"time"
)

// A disk that fails is logged once, and then every ten seconds with the number of failures
// in between.
func TestLogsOfAFailingDisk(t *testing.T) {
	st := new(storeState)
	var logged, counted int64
	for at := int64(10 * time.Millisecond); at < int64(35*time.Second); at += int64(10 * time.Millisecond) {
		if n, ok := st.logs(at); ok {
			logged++
			counted += n
		}
	}
	if logged != 4 || counted != 2997 {
		t.Errorf("%d failures logged and %d counted, want 4 and the 2,997 between them", logged, counted)
	}
}
