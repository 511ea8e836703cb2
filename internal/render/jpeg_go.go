//go:build !turbo || !linux

package render

// jpegs is the codec at work.
func jpegs() *jpegCodec { return &stdJPEG }
