package jpeg2000

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A fake is a helper in this process: it gets the head of a request and its data, and writes
// an answer, or closes the pipe by returning false.
type fake func(head [requestSize]byte, data []byte, out io.Writer) bool

// start starts the helper.
func (f fake) start(t *testing.T, ended *atomic.Int32) *helper {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer inR.Close()
		defer outW.Close()
		var head [requestSize]byte
		for {
			if _, err := io.ReadFull(inR, head[:]); err != nil {
				return
			}
			data := make([]byte, order.Uint32(head[8:]))
			if _, err := io.ReadFull(inR, data); err != nil {
				return
			}
			if !f(head, data, outW) {
				return
			}
		}
	}()
	return &helper{in: inW, out: outR, end: func() {
		ended.Add(1)
		inW.Close()
		outR.Close()
	}}
}

// gray answers with an image of 2×2 pixels of 7; change may spoil the fields of the reply.
func gray(change func(fields []uint32)) fake {
	return func(head [requestSize]byte, _ []byte, out io.Writer) bool {
		fields := []uint32{replyMagic, order.Uint32(head[4:]), statusOK, 4, 2, 2, 1, 0, 1, 0, 0, 1, 0, 0, 2, 0, 0, 2, 0, 0}
		if change != nil {
			change(fields)
		}
		var b []byte
		for _, f := range fields {
			b = order.AppendUint32(b, f)
		}
		_, err := out.Write(append(b, 7, 7, 7, 7))
		return err == nil
	}
}

func set(i int, v uint32) fake {
	return gray(func(fields []uint32) { fields[i] = v })
}

var twoByTwo = Options{Width: 2, Height: 2, Components: 1}

// TestHelpersThatFail lets every other helper fail, and then all of them: the first costs
// nothing but time, the second is an error, and the next request works.
func TestHelpersThatFail(t *testing.T) {
	ok := gray(nil)
	for _, tt := range []struct {
		name string
		bad  fake
		want string
	}{
		{"crash", func([requestSize]byte, []byte, io.Writer) bool { return false }, "it crashed"},
		{"crash in its answer", func(_ [requestSize]byte, _ []byte, out io.Writer) bool { out.Write(make([]byte, 9)); return false }, "it crashed"},
		{"hang", func([requestSize]byte, []byte, io.Writer) bool { time.Sleep(time.Second); return false }, "no answer within"},
		{"other magic", set(0, 1), "unexpected"},
		{"answer to another request", set(1, 99), "unexpected"},
		{"larger image", set(4, 3), "an image of 3×2"},
		{"smaller image", set(5, 1), "an image of 2×1"},
		{"other components", set(6, 3), "3 components"},
		{"other sampling", set(8, 3), "a plane"},
		{"larger plane", set(14, 1<<31), "a plane"},
		{"more bytes", set(3, 1<<31), "bytes instead of 4"},
		{"long text", gray(func(f []uint32) { f[2], f[3] = statusDamaged, 1<<30 }), "an error of"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ended atomic.Int32
			helpers := []fake{tt.bad, ok, tt.bad, tt.bad, ok}
			p := newPool(func() (*helper, error) {
				h := helpers[0].start(t, &ended)
				helpers = helpers[1:]
				return h, nil
			})
			p.limit = 100 * time.Millisecond
			defer p.close()
			img, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete())
			if err != nil || string(img.Planes[0].Pix) != "\x07\x07\x07\x07" {
				t.Fatalf("one helper failed: %v", err)
			}
			p.close() // so that the next two are started
			if _, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete()); !errors.Is(err, ErrDecoder) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("two helpers failed: %v, want %q", err, tt.want)
			}
			if _, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete()); err != nil {
				t.Fatalf("the next request: %v", err)
			}
			if n := ended.Load(); n != 4 {
				t.Errorf("%d helpers were ended, want 4", n)
			}
		})
	}
}

// TestRefusal: what a helper says about the data is an error, which no other helper is asked
// about, and the helper is not used again.
func TestRefusal(t *testing.T) {
	var ended, started atomic.Int32
	p := newPool(func() (*helper, error) {
		started.Add(1)
		return fake(func(head [requestSize]byte, _ []byte, out io.Writer) bool {
			var b []byte
			for _, f := range []uint32{replyMagic, order.Uint32(head[4:]), statusDamaged, 4, 16: 0, 19: 0} {
				b = order.AppendUint32(b, f)
			}
			out.Write(append(b, "a\nb\xff"...))
			return true
		}).start(t, &ended), nil
	})
	_, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete())
	if !errors.Is(err, ErrDamaged) || !strings.HasSuffix(err.Error(), ": a?b?") {
		t.Errorf("got %v", err)
	}
	if started.Load() != 1 || ended.Load() != 1 {
		t.Errorf("%d helpers were started and %d ended", started.Load(), ended.Load())
	}
}

// TestBabble: what a helper writes unasked cannot become the answer to the next request.
func TestBabble(t *testing.T) {
	var ended, started atomic.Int32
	wrote := make(chan struct{}, 8)
	p := newPool(func() (*helper, error) {
		n := started.Add(1)
		return fake(func(head [requestSize]byte, data []byte, out io.Writer) bool {
			ok := gray(nil)(head, data, out)
			if n == 1 {
				order.PutUint32(head[4:], order.Uint32(head[4:])+1)
				ok = gray(nil)(head, data, out)
			}
			wrote <- struct{}{}
			return ok
		}).start(t, &ended), nil
	})
	defer p.close()
	for range 2 {
		if _, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete()); err != nil {
			t.Fatal(err)
		}
		<-wrote
	}
	if started.Load() != 2 || ended.Load() != 1 {
		t.Errorf("%d helpers were started and %d ended", started.Load(), ended.Load())
	}
}

// TestCancel: a client that has gone does not wait, and one that waits for a helper neither.
func TestCancel(t *testing.T) {
	var ended atomic.Int32
	p := newPool(func() (*helper, error) {
		return fake(func([requestSize]byte, []byte, io.Writer) bool { time.Sleep(3 * time.Second); return false }).start(t, &ended), nil
	})
	p.slots = make(chan struct{}, 1)
	began := time.Now()
	var waited error
	done := make(chan struct{})
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*20*time.Millisecond)
		defer cancel()
		go func() {
			_, err := p.decode(ctx, []byte{1}, twoByTwo.complete())
			if !errors.Is(err, context.DeadlineExceeded) {
				waited = err
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	if waited != nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", waited, time.Since(began))
	}
	if ended.Load() != 1 {
		t.Errorf("%d helpers were ended, want the one that was used", ended.Load())
	}
}

// TestIdle: helpers that are not used end.
func TestIdle(t *testing.T) {
	var ended atomic.Int32
	p := newPool(func() (*helper, error) { return gray(nil).start(t, &ended), nil })
	p.idle = 20 * time.Millisecond
	for range 2 {
		if _, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete()); err != nil {
			t.Fatal(err)
		}
		before := ended.Load()
		for end := time.Now().Add(5 * time.Second); ended.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the helper did not end")
			}
		}
	}
}

// TestNotStarted: without processes the error says so, and a slot is not lost.
func TestNotStarted(t *testing.T) {
	p := newPool(func() (*helper, error) { return nil, errors.New("no more processes") })
	for range cap(p.slots) + 1 {
		if _, err := p.decode(t.Context(), []byte{1}, twoByTwo.complete()); !errors.Is(err, ErrDecoder) || !strings.Contains(err.Error(), "no more processes") {
			t.Fatal(err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		data []byte
		o    Options
		want error
	}{
		{nil, Options{Width: 1, Height: 1, Components: 1}, ErrDamaged},
		{[]byte{1}, Options{Width: 0, Height: 1, Components: 1}, ErrUnsupported},
		{[]byte{1}, Options{Width: 1 << 13, Height: 1 << 13, Components: 1}, ErrUnsupported},
		{[]byte{1}, Options{Width: 1, Height: 1, Components: 4}, ErrUnsupported},
		{[]byte{1}, Options{Width: 1, Height: 1, Components: 3, Reduce: 33}, ErrUnsupported},
	} {
		if _, err := Decode(t.Context(), tt.data, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.o, err, tt.want)
		}
	}
	if Available() {
		return
	}
	if _, err := Decode(t.Context(), []byte{1}, twoByTwo); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a decoder: %v", err)
	}
}

// FuzzReply reads replies of a helper that has been taken over.
func FuzzReply(f *testing.F) {
	f.Add([]byte{}, 2, 2, 1)
	var b writer
	gray(nil)([requestSize]byte{}, nil, &b)
	f.Add([]byte(b), 2, 2, 1)
	f.Fuzz(func(t *testing.T, reply []byte, w, h, reduce int) {
		o := Options{Width: 1 + w&63, Height: 1 + h&63, Components: 1 + 2*(w>>6&1), Reduce: reduce & 7}.complete()
		p, _, err := readReply(strings.NewReader(string(reply)), 0, &o)
		if err != nil || p == nil {
			return
		}
		for _, l := range p.Planes {
			if len(l.Pix) != l.Width*l.Height || len(l.Pix) > o.Width*o.Height {
				t.Errorf("a plane of %d bytes and %d×%d samples", len(l.Pix), l.Width, l.Height)
			}
		}
	})
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }
