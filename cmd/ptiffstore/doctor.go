package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/doctor"
	"github.com/slideatlas/ptiffstore/internal/instance"
	"github.com/slideatlas/ptiffstore/internal/render"
)

type doctorCmd struct {
	serverFlags
	Host    string        `key:"host" placeholder:"NAME" help:"Name of this host, if workers use another one than the system's."`
	Backups string        `key:"-" type:"path" placeholder:"DIR" help:"Folder of backups, to check the age of the last one."`
	Timeout time.Duration `key:"-" default:"10s" placeholder:"TIME" help:"Maximum time of each check."`
	All     bool          `key:"-" help:"Also print successful checks."`
	JSON    bool          `key:"-" help:"Print JSON."`
}

func (*doctorCmd) Help() string {
	return "Checks the data directory, database, stores, watches, clocks, workers, queues, schedules and connected servers, and changes nothing. Run it as the user that runs the site. Without flags it takes the settings of the server that runs on this machine, or else of its systemd unit; with --data, those of the server with that data directory. Other flags, variables or --config replace them. Exits with 1 if something must be fixed.\n\nExample:\n\n  ptiffstore doctor"
}

// Run prints the report.
func (c *doctorCmd) Run(ctx context.Context, std streams, file *configFile) error {
	var origin string
	var doubt error
	if file.file == nil {
		origin, doubt = c.adopt(instance.Local, file.settings)
	}
	s, err := c.site()
	if err != nil {
		return err
	}
	s.Origin, s.Doubt = origin, doubt
	r := doctor.Examine(ctx, s)
	if c.JSON {
		err = printJSON(std, r)
	} else {
		_, err = fmt.Fprint(std.out, r.Text(c.All))
	}
	if err == nil && !r.Healthy {
		err = errorSick
	}
	return err
}

// errorSick is the exit code of a report with problems.
var errorSick = &exitError{exitFailure, errors.New("the installation has problems")}

// site returns what to examine.
func (c *doctorCmd) site() (doctor.Site, error) {
	dir, err := c.dataFolder()
	if err != nil {
		return doctor.Site{}, err
	}
	s := doctor.Site{
		Version: version, Data: dir, Database: c.database(dir), Host: (&workerFlags{Host: c.Host}).host(), Decoder: render.DecoderName(),
		Listen: c.Listen, Auth: c.Auth, Open: c.Insecure, Refused: c.checkListen(), PublicURL: c.PublicURL, Issuer: c.OIDCIssuer,
		OpenFiles: c.OpenFiles, CacheSize: c.CacheSize << 20, Backups: c.Backups, Bucket: c.bucketFlags.settings(quiet()), Limit: c.Timeout, Secrets: map[string]string{},
	}
	if c.Metrics != "" {
		s.Metrics = local(c.Metrics)
	}
	for flag, file := range map[string]string{"--edge-secret-file": c.EdgeSecret, "--oidc-client-secret-file": c.OIDCSecret} {
		if file != "" {
			s.Secrets[flag] = file
		}
	}
	if c.Auth == "central" && s.Refused == nil {
		s.Refused = c.setCentral(&s)
	}
	return s, nil
}

// setCentral sets how to reach the central server. The error is why a server would not
// start with these flags.
func (c *doctorCmd) setCentral(s *doctor.Site) error {
	s.Central = c.Central
	o, err := c.centralOptions(c.Insecure)
	if err != nil {
		return err
	}
	central, err := authz.NewCentral(o)
	if err != nil {
		return err
	}
	s.Roots = o.Roots
	s.AskCentral = func(ctx context.Context) error {
		// Without credentials the answer is that the client must log in.
		_, err := central.Check(ctx, authz.Credential{}, []authz.Request{{Scope: "tiles"}})
		if err == nil && o.EdgeKey != nil {
			_, err = central.Revocations(ctx, 0)
		}
		return err
	}
	return nil
}
