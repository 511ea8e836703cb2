package catalog

import (
	"context"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

// Template is an empty catalog, of which each test gets a copy.
var Template = &pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	c, err := Open(ctx, url)
	if err != nil {
		return err
	}
	return c.Close()
}}
