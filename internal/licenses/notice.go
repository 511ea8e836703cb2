// Package licenses holds the licences of all that the program is made of.
package licenses

import _ "embed"

// Licenses are the names, versions and licences, as text. scripts/licenses makes it.
//
//go:embed licenses.txt
var Licenses string
