package jpeg2000

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The messages between the program and its helpers, as in helper.h. Both are the same
// program on the same machine.
const (
	greetingMagic = 0x4a324b30
	requestMagic  = 0x4a324b31
	replyMagic    = 0x4a324b32

	greetingSize = 4 * 4
	requestSize  = 10 * 4
	replySize    = 20 * 4
	maxText      = 200
)

// Values of a reply's status.
const (
	statusOK          = 0
	statusDamaged     = 1
	statusUnsupported = 2
	statusMemory      = 3
)

var order = binary.NativeEndian

// appendRequest appends the head of a request.
func appendRequest(b []byte, sequence uint32, size int, o *Options) []byte {
	for _, v := range []int{requestMagic, int(sequence), size, o.Width, o.Height, o.MinWidth, o.MinHeight, o.Components, o.Reduce, 0} {
		b = order.AppendUint32(b, uint32(v))
	}
	return b
}

// readReply reads the reply to a request. Nothing in it is trusted: it must be exactly what
// was asked for. Wrong reports a reply that a helper in order does not give.
func readReply(r io.Reader, sequence uint32, o *Options) (p *Picture, refusal, wrong error) {
	var head [replySize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, err
	}
	field := func(i int) int { return int(order.Uint32(head[4*i:])) }
	if field(0) != replyMagic || uint32(field(1)) != sequence {
		return nil, nil, fmt.Errorf("an unexpected answer")
	}
	size := field(3)
	if status := field(2); status != statusOK {
		if size > maxText {
			return nil, nil, fmt.Errorf("an error of %d bytes", size)
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, nil, err
		}
		return nil, refused(status, text), nil
	}
	p = &Picture{Width: field(4), Height: field(5)}
	if p.Width < o.MinWidth || p.Width > o.Width || p.Height < o.MinHeight || p.Height > o.Height || field(6) != o.Components {
		return nil, nil, fmt.Errorf("an image of %d×%d pixels and %d components", p.Width, p.Height, field(6))
	}
	total := 0
	for i := range o.Components {
		l := Plane{H: field(8 + i), V: field(11 + i), Width: field(14 + i), Height: field(17 + i)}
		if !sampling(l.H) || !sampling(l.V) || i == 0 && (l.H != 1 || l.V != 1) ||
			l.Width != Reduced(ceilDiv(p.Width, l.H), o.Reduce) || l.Height != Reduced(ceilDiv(p.Height, l.V), o.Reduce) {
			return nil, nil, fmt.Errorf("a plane of %d×%d samples for %d×%d pixels", l.Width, l.Height, p.Width, p.Height)
		}
		total += l.Width * l.Height
		p.planes[i] = l
	}
	if size != total {
		return nil, nil, fmt.Errorf("%d bytes instead of %d", size, total)
	}
	p.memory, p.Planes = takeMemory(total), p.planes[:o.Components]
	pixels := p.memory
	if _, err := io.ReadFull(r, pixels); err != nil {
		p.Recycle()
		return nil, nil, err
	}
	for i := range p.Planes {
		l := &p.Planes[i]
		n := l.Width * l.Height
		l.Pix, pixels = pixels[:n:n], pixels[n:]
	}
	return p, nil, nil
}

// refused returns the error that a helper reported. Its text may say anything.
func refused(status int, text []byte) error {
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '?'
		}
	}
	kind := ErrDamaged
	switch status {
	case statusUnsupported:
		kind = ErrUnsupported
	case statusMemory:
		kind = ErrDecoder
	}
	return fmt.Errorf("%w: %s", kind, text)
}

func sampling(n int) bool { return n == 1 || n == 2 || n == 4 }

func ceilDiv(a, b int) int { return (a + b - 1) / b }
