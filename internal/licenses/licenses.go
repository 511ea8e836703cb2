// Package licenses has the licenses of the program and of all modules and packages in it.
package licenses

import _ "embed"

// Licenses is a text with the names, versions and licenses. scripts/licenses writes it.
//
//go:embed licenses.txt
var Licenses string
