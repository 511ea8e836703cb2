package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/source"
	"github.com/slideatlas/ptiffstore/internal/verify"
)

type verifyCmd struct {
	sourceFlags
	Store string `arg:"" optional:"" help:"Id, label, folder or URL of the store. Default: all except those in buckets, because reading a bucket may cost money."`
	Rate  int64  `placeholder:"MB" help:"Maximum read rate, in MB per second; negative for no limit. Default: the store's."`
	JSON  bool   `help:"Print JSON."`
	logFlags
}

func (*verifyCmd) Help() string {
	return "Reads files again, those verified longest ago first, and compares them with their digests. Damaged files are printed. Exits with 2 if a file is damaged.\n\nExample:\n\n  ptiffstore verify 'Scanner 1' --rate 200"
}

// Run verifies stores and prints the results.
func (c *verifyCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	list, err := c.stores(ctx, cat)
	if err != nil {
		return err
	}
	log := c.logger(std.err)
	sources := &source.Pool{Bucket: c.settings(log)}
	defer sources.Close()
	v := &verify.Verifier{Catalog: cat, Sources: sources, Log: log}
	read, damaged, failed := 0, 0, error(nil)
	for i := range list {
		s := &list[i]
		r, err := v.Store(ctx, s.ID, verify.Options{Rate: c.Rate * 1e6})
		read += r.Checked + len(r.Damaged) + len(r.Unreadable)
		damaged += len(r.Damaged)
		if perr := c.print(std, s, r); perr != nil {
			return perr
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("store %s: %w", s.ID, err))
		}
	}
	switch {
	case failed != nil:
		return failed
	case damaged > 0:
		return &exitError{exitFile, fmt.Errorf("%d files are damaged", damaged)}
	case read == 0:
		return errors.New("no file was verified: the catalog has no slides: check ptiffstore store list, and that --data or --database is that of the server")
	}
	return nil
}

func (c *verifyCmd) stores(ctx context.Context, cat *catalog.Catalog) ([]catalog.Store, error) {
	if c.Store == "" {
		list, err := cat.Stores.List(ctx)
		return slices.DeleteFunc(list, func(s catalog.Store) bool { return s.Kind == catalog.S3 }), err
	}
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return nil, err
	}
	return []catalog.Store{*s}, nil
}

func (c *verifyCmd) print(std streams, s *catalog.Store, r verify.Result) error {
	if c.JSON {
		return printJSON(std, struct {
			Store string `json:"store"`
			verify.Result
		}{s.ID, r})
	}
	for _, f := range r.Damaged {
		fmt.Fprintf(std.out, "%s damaged: %s\n", f.Image, f.Reason)
	}
	for _, f := range r.Unreadable {
		fmt.Fprintf(std.out, "%s unreadable: %s\n", f.Image, f.Reason)
	}
	_, err := fmt.Fprintf(std.out, "%s: %d files are undamaged, %d of them hashed for the first time, %d damaged, %d unreadable\n",
		s.Label, r.Checked, r.Hashed, len(r.Damaged), len(r.Unreadable))
	return err
}
