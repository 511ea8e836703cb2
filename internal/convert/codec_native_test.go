//go:build native && cgo

package convert

const codecOnly = true
