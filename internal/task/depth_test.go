package task

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDepths(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		running := make(chan struct{}, 1)
		svc := open(t, url, Kind{Name: SyncStore, Run: func(ctx context.Context, _ *Task) (any, error) {
			running <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		for range 3 {
			submit(t, svc, Submission{Kind: SyncStore})
		}
		submit(t, svc, Submission{Kind: SyncStore, Queue: "night"})
		work(t, svc, map[string]int{DefaultQueue: 1})
		<-running
		list, err := svc.Depths(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []Depth{{DefaultQueue, Running, 1, 0}, {DefaultQueue, Waiting, 2, 0}, {"night", Waiting, 1, 0}}
		if d := cmp.Diff(want, list, cmpopts.IgnoreFields(Depth{}, "Oldest")); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		for _, d := range list {
			if d.Oldest <= 0 || d.Oldest > time.Hour {
				t.Errorf("%s %s: oldest %v", d.Queue, d.State, d.Oldest)
			}
		}
	})
}
