//go:build !native || !cgo

package codec

import (
	"image"

	"github.com/slideatlas/ptiffstore/internal/planes"
)

const native = false

func codecName() string { return "Go image/jpeg" }

func (j *input) decode() (*planes.Picture, error) { return j.decodeByGo() }

func (j *input) decodeRGBA() (*image.RGBA, error) { return j.decodeRGBAByGo() }

func encode(p *planes.Picture, quality int) ([]byte, error) { return encodeByGo(p, quality), nil }

func encodeRGBA(img *image.RGBA, quality int) ([]byte, error) {
	return encodeRGBAByGo(img, quality), nil
}
