package main

import (
	"context"
	"fmt"
)

type retryCmd struct {
	sourceFlags
	Image string `arg:"" help:"Id of the image."`
	logFlags
}

func (*retryCmd) Help() string {
	return "Inspects the file of a broken or unsupported image again. A quarantined file is moved back to the incoming folder.\n\nExample:\n\n  ptiffstore retry qsnnj3jsmaxmvynku2dkpf2smi"
}

// Run inspects the file again and prints the result.
func (c *retryCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	syncer := c.syncer(cat, c.logger(std.err))
	defer syncer.Sources.Close()
	if err := syncer.Retry(ctx, c.Image); err != nil {
		return err
	}
	im, err := cat.Images.Get(ctx, c.Image)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, im.State, im.Reason)
	return err
}
