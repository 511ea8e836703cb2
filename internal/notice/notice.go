// Package notice holds the licences of all that the program is made of.
package notice

import _ "embed"

// Licenses are the names, versions and licences, as text. scripts/licenses makes it.
//
//go:embed licenses.txt
var Licenses string
