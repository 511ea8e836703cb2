package bucket

import "context"

// A Probe is what [Bucket.Probe] found out.
type Probe struct{}

// Probe x.
func (b *Bucket) Probe(ctx context.Context) (Probe, error) { return Probe{}, ErrUnavailable }
