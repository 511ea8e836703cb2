//go:build !native || !cgo

package convert

// codecOnly skips tests that do not depend on the JPEG codec, and ran without the tag.
const codecOnly = false
