package upload

import "time"

// SetScanAge sets the maximum age of the index.
func (u *Uploads) SetScanAge(age time.Duration) { u.scanAge = age }

// Receiving is how many requests are receiving bytes.
func (u *Uploads) Receiving() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.receiving
}
