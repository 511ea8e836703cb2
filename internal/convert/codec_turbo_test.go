//go:build turbo

package convert

const codecOnly = true
