//go:build turbo && linux

package render

import (
	"bytes"
	"fmt"
	"image"
	"runtime"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/slideatlas/ptiffstore/internal/jpeg"
)

// turboLibrary is the soname of libturbojpeg since version 1.3; all versions up to 3.1 have
// the functions used here.
const turboLibrary = "libturbojpeg.so.0"

// Values of turbojpeg.h.
const (
	pixelRGBA       = 7 // TJPF_RGBA
	sampling420     = 2 // TJSAMP_420
	flagNoRealloc   = 1 << 10
	flagAccurateDCT = 1 << 12
	flagStopOnWarn  = 1 << 13 // a damaged stream is an error, not a grey area
	flagLimitScans  = 1 << 15
)

// jpegs returns the codec in use: libjpeg-turbo, or that of Go with the reason.
var jpegs = sync.OnceValue(func() *jpegCodec {
	t, err := loadTurbo()
	if err != nil {
		c := stdJPEG
		c.name += fmt.Sprintf(" (libjpeg-turbo: %v)", err)
		return &c
	}
	return &jpegCodec{name: "libjpeg-turbo " + t.version, blends: true, decode: t.decode, encode: t.encode}
})

// A turbo is the TurboJPEG API, called without cgo.
type turbo struct {
	version        string // major
	decompressors  handles
	compressors    handles
	buffers        buffers
	initDecompress func() uintptr
	initCompress   func() uintptr
	destroy        func(handle uintptr) int32
	errorText      func(handle uintptr) string
	bufSize        func(width, height, sampling int32) uintptr
	decompress     func(handle uintptr, jpeg *byte, size uintptr, pix *byte, width, pitch, height, format, flags int32) int32
	compress       func(handle uintptr, pix *byte, width, pitch, height, format int32, jpeg **byte, size *uintptr, sampling, quality, flags int32) int32
}

func loadTurbo() (*turbo, error) {
	lib, err := purego.Dlopen(turboLibrary, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	t := &turbo{version: "2"}
	if _, err := purego.Dlsym(lib, "tj3Init"); err == nil {
		t.version = "3"
	}
	for _, f := range []struct {
		to   any
		name string
	}{
		{&t.initDecompress, "tjInitDecompress"},
		{&t.initCompress, "tjInitCompress"},
		{&t.destroy, "tjDestroy"},
		{&t.errorText, "tjGetErrorStr2"},
		{&t.bufSize, "tjBufSize"},
		{&t.decompress, "tjDecompress2"},
		{&t.compress, "tjCompress2"},
	} {
		at, err := purego.Dlsym(lib, f.name)
		if err != nil {
			return nil, err
		}
		purego.RegisterFunc(f.to, at)
	}
	t.decompressors = newHandles(t.initDecompress, t.destroy)
	t.compressors = newHandles(t.initCompress, t.destroy)
	return t, nil
}

// decode decodes data. Go converts CMYK, as libjpeg-turbo does not.
func (t *turbo) decode(data []byte, h *jpeg.Header) (*image.RGBA, error) {
	if len(h.Components) == 4 {
		return stdDecode(data, h)
	}
	handle, err := t.decompressors.get()
	if err != nil {
		return nil, err
	}
	defer t.decompressors.put(handle)
	img := newPixels(h.Width, h.Height)
	const flags = flagAccurateDCT | flagStopOnWarn | flagLimitScans
	failed := t.decompress(handle, &data[0], uintptr(len(data)),
		&img.Pix[0], int32(h.Width), int32(img.Stride), int32(h.Height), pixelRGBA, flags)
	runtime.KeepAlive(data)
	if failed != 0 {
		recycle(img)
		return nil, fmt.Errorf("JPEG of %d bytes: %s", len(data), t.errorText(handle))
	}
	return img, nil
}

func (t *turbo) encode(img *image.RGBA, quality int) ([]byte, error) {
	handle, err := t.compressors.get()
	if err != nil {
		return nil, err
	}
	defer t.compressors.put(handle)
	w, h := int32(img.Rect.Dx()), int32(img.Rect.Dy())
	buf := t.buffers.get(int(t.bufSize(w, h, sampling420)))
	defer t.buffers.put(buf)
	var pinned runtime.Pinner
	defer pinned.Unpin()
	pinned.Pin(&buf[0])
	out := &struct {
		jpeg *byte
		size uintptr
	}{&buf[0], uintptr(len(buf))}
	failed := t.compress(handle, &img.Pix[0], w, int32(img.Stride), h, pixelRGBA,
		&out.jpeg, &out.size, sampling420, int32(quality), flagNoRealloc|flagAccurateDCT)
	if failed != 0 {
		return nil, fmt.Errorf("encoding %d×%d pixels: %s", w, h, t.errorText(handle))
	}
	return bytes.Clone(buf[:out.size]), nil
}

// handles are idle compressors or decompressors, to be reused by one goroutine at a time.
type handles struct {
	free    chan uintptr
	create  func() uintptr
	destroy func(uintptr) int32
}

func newHandles(create func() uintptr, destroy func(uintptr) int32) handles {
	return handles{make(chan uintptr, runtime.GOMAXPROCS(0)), create, destroy}
}

func (h *handles) get() (uintptr, error) {
	select {
	case handle := <-h.free:
		return handle, nil
	default:
	}
	handle := h.create()
	if handle == 0 {
		return 0, fmt.Errorf("libjpeg-turbo: out of memory")
	}
	return handle, nil
}

func (h *handles) put(handle uintptr) {
	select {
	case h.free <- handle:
	default:
		h.destroy(handle)
	}
}

// buffers pools memory for the largest JPEG that an image can be encoded to, about three
// times the size of its pixels and far more than usual.
type buffers struct{ pool sync.Pool }

func (b *buffers) get(n int) []byte {
	if p, _ := b.pool.Get().(*[]byte); p != nil && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]byte, n)
}

func (b *buffers) put(buf []byte) {
	const most = 8 << 20 // larger ones are rare and not worth pooling
	if cap(buf) <= most {
		b.pool.Put(&buf)
	}
}
