package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

type imageCmd struct {
	Map  imageMapCmd  `cmd:"" help:"Set the external ids of many images from a table."`
	Set  imageSetCmd  `cmd:"" help:"Set the label of an image, its id in another application, or the names of its case."`
	Show imageShowCmd `cmd:"" help:"Show an image as JSON."`
}

type imageShowCmd struct {
	databaseFlags
	Image string `arg:"" help:"Id of the image."`
}

func (*imageShowCmd) Help() string {
	return "Example:\n\n  ptiffstore image show qsnnj3jsmaxmvynku2dkpf2smi"
}

// Run prints the image.
func (c *imageShowCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	im, err := cat.Images.Get(ctx, c.Image)
	if err != nil {
		return noImage(c.Image, err)
	}
	st, err := cat.Stores.Get(ctx, im.StoreID)
	if err != nil {
		return fmt.Errorf("store of image %s: %w", im.ID, err)
	}
	return printJSON(std, api.DescribeImage(im, st.Mode))
}

type imageSetCmd struct {
	databaseFlags
	Image      string  `arg:"" help:"Id of the image."`
	ExternalID *string `name:"external-id" placeholder:"ID" help:"Id in another application; empty for none."`
	Label      *string `help:"Display name; empty for none."`
	Accession  *string `placeholder:"NUMBER" help:"Accession number of its case; empty for what the case pattern of the store finds."`
	Part       *string `placeholder:"NAME" help:"Part (specimen) in its case; empty likewise."`
	Block      *string `placeholder:"NAME" help:"Block in its case; empty likewise."`
	Stain      *string `placeholder:"NAME" help:"Stain; empty likewise."`
}

func (*imageSetCmd) Help() string {
	return "Requests to a central server contain the external id, so it can decide who may see the slide.\n\nExample:\n\n  ptiffstore image set qsnnj3jsmaxmvynku2dkpf2smi --external-id case-2031/7"
}

// Run changes the image.
func (c *imageSetCmd) Run(ctx context.Context) error {
	fields := map[string]*string{}
	for name, v := range map[string]*string{"external_id": c.ExternalID, "label": c.Label, "accession": c.Accession, "part": c.Part, "block": c.Block, "stain": c.Stain} {
		if v == nil {
			continue
		}
		if fields[name] = v; *v == "" {
			fields[name] = nil
		}
	}
	if len(fields) == 0 {
		return &exitError{exitUsage, errors.New("nothing to change: use a flag, such as --label or --accession")}
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	return c.withPeople(ctx, "image.set", func(*account.Accounts) (string, error) {
		return c.Image, setImage(ctx, cat, c.Image, fields)
	})
}

// setImage changes fields of an image; nil removes a field.
func setImage(ctx context.Context, cat *catalog.Catalog, id string, fields map[string]*string) error {
	patch, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = cat.Images.Update(ctx, id, func(im *catalog.Image) error { return api.EditImage(im, patch) })
	return noImage(id, err)
}

// noImage returns the error for an unknown image id.
func noImage(id string, err error) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("unknown image %q: its id is in the address of the slide's page", id)
	}
	return err
}

type imageMapCmd struct {
	databaseFlags
	File string `arg:"" help:"File with a line for each image: its id, a comma, and the external id (empty for none); - for standard input."`
}

func (*imageMapCmd) Help() string {
	return "If a line has an error, it is reported, the other lines are applied, and the exit code is 1.\n\nExample:\n\n  ptiffstore image map cases.csv"
}

// Run sets the ids of all lines.
func (c *imageMapCmd) Run(ctx context.Context, std streams) error {
	from := std.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		from = f
	}
	if from == nil {
		return errors.New("no standard input")
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	return c.set(ctx, std, from, cat, a)
}

func (c *imageMapCmd) set(ctx context.Context, std streams, from io.Reader, cat *catalog.Catalog, a *account.Accounts) error {
	table := csv.NewReader(from)
	table.FieldsPerRecord = 2
	set, failed := 0, 0
	for {
		row, err := table.Read()
		if err == io.EOF {
			break
		}
		line, _ := table.FieldPos(0)
		if err == nil {
			id := &row[1]
			if row[1] == "" {
				id = nil
			}
			err = setImage(ctx, cat, row[0], map[string]*string{"external_id": id})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed++
			fmt.Fprintf(std.err, "line %d: %v\n", line, err)
			continue
		}
		set++
		if err := a.Audit.Record(ctx, byCommand("image.set", row[0])); err != nil {
			return err
		}
	}
	if set+failed == 0 {
		return fmt.Errorf("%s: the file is empty", c.File)
	}
	fmt.Fprintf(std.out, "%d set, %d failed\n", set, failed)
	if failed > 0 {
		return errors.New("some lines failed")
	}
	return nil
}
