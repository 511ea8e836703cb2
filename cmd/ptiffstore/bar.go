package main

import (
	"io"
	"os"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// terminalOf returns the terminal that w writes to, or nil.
func terminalOf(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// A bar shows on a terminal how far a command is. Elsewhere it shows nothing: a log or a mail
// of cron has no use for it.
type bar struct {
	bars  *mpb.Progress // nil without a terminal
	bar   *mpb.Bar
	stage atomic.Value // string; what is being done
}

// barSteps is the number of steps of a bar: far more than it has characters.
const barSteps = 1000

func newBar(w io.Writer, stage string) *bar {
	b := &bar{}
	b.stage.Store(stage)
	if f := terminalOf(w); f != nil {
		b.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
		b.bar = b.bars.AddBar(barSteps,
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return b.stage.Load().(string) }, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)),
		)
	}
	return b
}

// set shows the share that is done, from 0 to 1.
func (b *bar) set(share float64) {
	if b.bar != nil {
		b.bar.SetCurrent(min(int64(share*barSteps), barSteps-1)) // a full bar cannot go back
	}
}

// report shows what is done now, and the share of it that is done.
func (b *bar) report(stage string, share float64) {
	b.stage.Store(stage)
	b.set(share)
}

// end completes the bar, or leaves it as it is after an error.
func (b *bar) end(err error) {
	switch {
	case b.bar == nil:
		return
	case err != nil:
		b.bar.Abort(false)
	default:
		b.bar.SetCurrent(barSteps)
	}
	b.bars.Wait()
}
