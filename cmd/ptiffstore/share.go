package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

type shareCmd struct {
	Create shareCreateCmd `cmd:"" help:"Create a share link to slides and print its address once."`
	List   shareListCmd   `cmd:"" help:"List share links (without their secrets)."`
	Revoke shareRevokeCmd `cmd:"" help:"Revoke a share link."`
}

type shareCreateCmd struct {
	databaseFlags
	Images       []string      `arg:"" optional:"" name:"image" help:"Ids of the images, in the order in which they are shown."`
	User         string        `required:"" help:"Name or id of the user whose permissions the link has."`
	Store        string        `help:"Store of a case, with --accession: id, label or folder."`
	Accession    string        `help:"Accession number of a case, instead of images."`
	Expires      time.Duration `default:"168h" placeholder:"TIME" help:"Lifetime, from 1h to 8784h."`
	Title        string        `help:"Shown above the slides to everyone who has the link."`
	PasswordFile string        `name:"password-file" placeholder:"FILE" help:"File with the password of the link on one line; - for standard input. Default: none."`
	WithLabels   bool          `name:"with-labels" help:"Also show labels, macro images, names and barcodes: patient data."`
	PublicURL    string        `name:"public-url" placeholder:"URL" help:"URL at which browsers reach the server, before the printed address."`
	JSON         bool          `help:"Print JSON."`
}

func (*shareCreateCmd) Help() string {
	return "Prints the address, whose secret is not stored: if it is lost, create another link. People who have it see the slides without a login, as long as the user may see them.\n\nExamples:\n\n  ptiffstore share create --user anna qsnnj3jsmaxmvynku2dkpf2smi --expires 48h --public-url https://slides.example.org\n  ptiffstore share create --user anna --store 'Scanner 1' --accession S26-00077"
}

// Run creates the link and prints its address.
func (c *shareCreateCmd) Run(ctx context.Context, std streams) error {
	if (len(c.Images) == 0) == (c.Accession == "") || (c.Store == "") != (c.Accession == "") {
		return usage(errors.New("give the ids of images, or a case with --store and --accession"))
	}
	password, err := c.password(std)
	if err != nil {
		return err
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	return c.withPeople(ctx, "share.add", func(a *account.Accounts) (string, error) {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return "", err
		}
		s := account.Share{User: u.ID, Title: c.Title, Kind: account.ShareSlides, Labels: c.WithLabels, Images: c.Images, ExpiresAt: time.Now().Add(c.Expires)}
		if c.Accession != "" {
			s.Kind = account.ShareCase
			if s.Images, err = c.caseImages(ctx, cat); err != nil {
				return "", err
			}
		}
		if err := c.check(ctx, a, cat, &s, u.Name); err != nil {
			return "", err
		}
		secret, made, err := a.Shares.Add(ctx, s, password)
		if err != nil {
			return "", err
		}
		address := strings.TrimSuffix(c.PublicURL, "/") + api.SharePage(made.ID, secret)
		if c.JSON {
			return made.ID, printJSON(std, struct {
				*account.Share
				URL string `json:"url"`
			}{made, address})
		}
		_, err = fmt.Fprintln(std.out, address)
		return made.ID, err
	})
}

// password reads the file of the password, "" without one.
func (c *shareCreateCmd) password(std streams) (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	in := std.in
	if c.PasswordFile != "-" {
		file, err := os.Open(c.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		defer file.Close()
		in = file
	}
	if in == nil {
		return "", errors.New("--password-file -: there is no standard input")
	}
	password, err := oneLine(in)
	if err != nil {
		return "", fmt.Errorf("--password-file %s: %w", c.PasswordFile, err)
	}
	return password, nil
}

// caseImages returns the ids of the slides of the case.
func (c *shareCreateCmd) caseImages(ctx context.Context, cat *catalog.Catalog) ([]string, error) {
	s, err := findStore(ctx, cat, c.Store)
	if err != nil {
		return nil, err
	}
	images, err := cat.Cases.Slides(ctx, s.ID, c.Accession)
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range images {
		ids = append(ids, images[i].ID)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("store %s has no case with this accession number", s.Label)
	}
	return ids, nil
}

// check returns an error if the user may not see an image.
func (c *shareCreateCmd) check(ctx context.Context, a *account.Accounts, cat *catalog.Catalog, s *account.Share, name string) error {
	rights, err := a.Grants.Rights(ctx, s.User)
	if err != nil {
		return err
	}
	for _, id := range s.Images {
		im, err := cat.Images.Get(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			return fmt.Errorf("unknown image %q", id)
		} else if err != nil {
			return err
		}
		store, err := cat.Stores.Get(ctx, im.StoreID)
		switch {
		case err != nil:
			return err
		case s.Labels && store.HideLabels:
			return fmt.Errorf("image %s: its store hides labels, so a link can't show them", id)
		case s.Labels && !rights.Allows(im.StoreID, id, account.ScopeLabel):
			return fmt.Errorf("image %s: user %s may not see its label", id, name)
		case !store.Public && !rights.Allows(im.StoreID, id, account.ScopeTiles):
			return fmt.Errorf("image %s: user %s may not see it", id, name)
		}
	}
	return nil
}

type shareListCmd struct {
	databaseFlags
	User string `help:"Only links of this user: name or id."`
	JSON bool   `help:"Print JSON."`
}

func (*shareListCmd) Help() string { return "Example:\n\n  ptiffstore share list --user anna" }

// Run prints a line for each link.
func (c *shareListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	user := ""
	if c.User != "" {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return err
		}
		user = u.ID
	}
	links, err := a.Shares.List(ctx, user)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, links)
	}
	names, err := subjects(ctx, a)
	if err != nil {
		return err
	}
	yes := map[bool]string{true: "yes", false: "no"}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tSLIDES\tLABELS\tPASSWORD\tENDS\tVIEWS\tLAST VIEW\tTITLE")
	for i := range links {
		s := &links[i]
		ends := s.ExpiresAt.Local().Format("2006-01-02 15:04")
		if s.RevokedAt != nil {
			ends = "revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%d\t%s\t%s\n", s.ID, names[s.User], len(s.Images), yes[s.Labels], yes[s.Password], ends, s.Views, ago(s.ViewedAt), s.Title)
	}
	return w.Flush()
}

type shareRevokeCmd struct {
	databaseFlags
	Share string `arg:"" help:"Id of the link, not its secret."`
}

func (*shareRevokeCmd) Help() string {
	return "Running servers refuse it within seconds, also to browsers that have opened it.\n\nExample:\n\n  ptiffstore share revoke 4k6yb3vxvkzq7m5gpjw2hdcfsa"
}

// Run revokes the link.
func (c *shareRevokeCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "share.revoke", func(a *account.Accounts) (string, error) {
		err := a.Shares.Revoke(ctx, c.Share)
		if errors.Is(err, account.ErrNotFound) {
			err = fmt.Errorf("unknown share link %q: see ptiffstore share list", c.Share)
		}
		return c.Share, err
	})
}
