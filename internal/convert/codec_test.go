//go:build !turbo

package convert

// codecOnly leaves out what does not depend on the JPEG codec, and was tested without
// the tag.
const codecOnly = false
