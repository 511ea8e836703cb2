package upload

import "time"

// SetScanAge sets how old the index may get.
func (u *Uploads) SetScanAge(age time.Duration) { u.scanAge = age }
