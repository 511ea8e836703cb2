// Package helm pins the version of Helm that tests of the chart use.
package helm
