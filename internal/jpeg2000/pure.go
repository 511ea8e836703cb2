//go:build !native || !cgo || !linux

package jpeg2000

// Available reports whether this build decodes JPEG 2000.
func Available() bool { return false }

// Name returns the name and version of the decoder, such as "OpenJPEG 2.5.0"; "" without one.
func Name() string { return "" }

func startHelper() (*helper, error) { return nil, ErrUnavailable }
