package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// batch requests each of the paths once, over so many connections. It is for answers that
// take milliseconds of the server's time: the client takes more than wrk.
func batch(ctx context.Context, s *server, paths []string, conns int) (round, error) {
	before, err := processorTime(s.pids)
	if err != nil {
		return round{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(paths) {
					return
				}
				if _, err := getBody(ctx, s.url+paths[i][1:]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return round{}, err
	}
	after, err := processorTime(s.pids)
	n := float64(len(paths))
	return round{rate: n / took.Seconds(), cpu: float64((after - before).Microseconds()) / n}, err
}
