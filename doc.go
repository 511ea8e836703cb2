// Package ptiffstore is the root of the module: it holds no code, only the tests
// that look at the repository as a whole. The program is cmd/ptiffstore, and what
// is useful without it are the packages tiff and slide.
package ptiffstore
