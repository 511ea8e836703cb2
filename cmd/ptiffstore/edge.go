package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/slideatlas/ptiffstore/internal/account"
)

type edgeCmd struct {
	Add    edgeAddCmd    `cmd:"" help:"Add an edge server and print its secret once."`
	List   edgeListCmd   `cmd:"" help:"List edge servers."`
	Remove edgeRemoveCmd `cmd:"" help:"Remove an edge server; its cached permissions expire."`
}

type edgeAddCmd struct {
	databaseFlags
	URL  string `arg:"" help:"Base URL of the edge server, to which revocations are sent."`
	JSON bool   `help:"Print JSON."`
}

func (*edgeAddCmd) Help() string {
	return "Write the secret to a file and name it with --edge-secret-file on the edge server. From then on, every revocation is sent there at once.\n\nExample:\n\n  ptiffstore edge add https://tiles.example.org"
}

// Run adds the edge server and prints its secret.
func (c *edgeAddCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "edge.add", func(a *account.Accounts) (string, error) {
		secret, e, err := a.Edges.Add(ctx, c.URL)
		if err != nil {
			return "", err
		}
		if c.JSON {
			return e.ID, printJSON(std, map[string]string{"id": e.ID, "url": e.URL, "secret": secret})
		}
		_, err = fmt.Fprintln(std.out, secret)
		return e.ID, err
	})
}

type edgeListCmd struct {
	databaseFlags
	JSON bool `help:"Print JSON."`
}

func (*edgeListCmd) Help() string { return "Example:\n\n  ptiffstore edge list" }

// Run prints a line for each edge server.
func (c *edgeListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	list, err := a.Edges.List(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		items := make([]map[string]string, len(list))
		for i, e := range list {
			items[i] = map[string]string{"id": e.ID, "url": e.URL}
		}
		return printJSON(std, map[string]any{"items": items, "next_cursor": nil})
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tURL")
	for _, e := range list {
		fmt.Fprintf(w, "%s\t%s\n", e.ID, e.URL)
	}
	return w.Flush()
}

type edgeRemoveCmd struct {
	databaseFlags
	ID string `arg:"" help:"Id of the edge server."`
}

func (*edgeRemoveCmd) Help() string {
	return "Example:\n\n  ptiffstore edge remove ahyhpew3lywaxxvdjt4k5fbhmy"
}

// Run removes the edge server.
func (c *edgeRemoveCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "edge.remove", func(a *account.Accounts) (string, error) {
		err := a.Edges.Delete(ctx, c.ID)
		if errors.Is(err, account.ErrNotFound) {
			err = fmt.Errorf("unknown edge server %q: see ptiffstore edge list", c.ID)
		}
		return c.ID, err
	})
}
