package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	neturl "net/url"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/oidc"
	"github.com/slideatlas/ptiffstore/internal/server"
)

// accessFlags are the flags of access control.
type accessFlags struct {
	Auth           string   `key:"auth.mode" default:"none" enum:"none,local,central" help:"Access control: none (every client on this machine), local (users and grants in this database) or central (another server decides)."`
	Central        string   `key:"auth.central.url" placeholder:"URL" help:"Central server, with --auth central."`
	CentralCA      string   `key:"auth.central.ca" name:"central-ca" type:"existingfile" placeholder:"FILE" help:"CA certificates (PEM) for the central server. Default: the system's."`
	CentralCookie  string   `key:"auth.central.cookie" name:"central-cookie" placeholder:"NAME" help:"Name of the cookie that is forwarded to the central server. Default: none."`
	CentralPath    string   `key:"auth.central.path" name:"central-path" placeholder:"PATH" help:"Path of the permission check on the central server. Default: /api/v1/auth/check."`
	EdgeSecret     string   `key:"auth.central.edge_secret_file" name:"edge-secret-file" type:"existingfile" placeholder:"FILE" help:"File with the secret of this edge server from the central server, to receive revocations."`
	TrustedProxies []string `key:"trusted_proxies" name:"trusted-proxy" placeholder:"ADDRESS" help:"Trust the X-Forwarded headers of this reverse proxy (address or network); can be repeated."`
	PublicURL      string   `key:"public_url" name:"public-url" placeholder:"URL" help:"URL at which browsers reach this server, for the setup link and the redirect from the OpenID Connect provider."`
	OIDCIssuer     string   `key:"auth.oidc.issuer" name:"oidc-issuer" placeholder:"URL" help:"With --auth local: OpenID Connect provider at which users can also log in."`
	OIDCClient     string   `key:"auth.oidc.client_id" name:"oidc-client-id" placeholder:"ID" help:"Client id of this server at the provider."`
	OIDCSecret     string   `key:"auth.oidc.client_secret_file" name:"oidc-client-secret-file" type:"existingfile" placeholder:"FILE" help:"File with the client secret. Default: none (a public client)."`
	OIDCScopes     []string `key:"auth.oidc.scopes" name:"oidc-scope" default:"openid,profile,email" placeholder:"SCOPE" help:"Scope to request; can be repeated."`
	OIDCGroups     string   `key:"auth.oidc.groups_claim" name:"oidc-groups-claim" default:"groups" placeholder:"CLAIM" help:"Claim that lists a user's groups; dots for nested claims."`
	OIDCAllow      []string `key:"auth.oidc.allow_groups" name:"oidc-allow-group" sep:"none" placeholder:"GROUP" help:"Allow login only for members of this group at the provider; can be repeated. Default: all users of the provider."`
	OIDCLabel      string   `key:"auth.oidc.label" name:"oidc-label" placeholder:"TEXT" help:"Display name of the provider. Default: its host."`
	Sharing        bool     `key:"auth.sharing" name:"sharing" default:"true" negatable:"" help:"With --auth local: let users create share links, which show slides to people without a login. Without it, existing links show nothing."`
	AdminLink      bool     `key:"auth.admin_link" name:"admin-link" default:"true" negatable:"" help:"With --auth local: print a setup link for the first admin while there is no admin."`
}

// check returns an error if the flags contradict each other.
func (o *accessFlags) check() error {
	if o.Auth == "central" && o.Central == "" {
		return &flagError{"auth", errors.New("central needs the URL of the central server: --central https://…")}
	}
	if flag := firstGiven("central", o.Central, "central-ca", o.CentralCA, "central-cookie", o.CentralCookie, "central-path", o.CentralPath, "edge-secret-file", o.EdgeSecret); o.Auth != "central" && flag != "" {
		return &flagError{flag, errors.New("has no effect without --auth central")}
	}
	if err := o.checkPublicURL(); err != nil {
		return err
	}
	if err := o.checkOIDC(); err != nil {
		return err
	}
	_, err := o.proxies()
	return err
}

// firstGiven returns the first of some flags, each with its value after it, that is not
// empty; "" if all are.
func firstGiven(flags ...string) string {
	for i := 0; i < len(flags); i += 2 {
		if flags[i+1] != "" {
			return flags[i]
		}
	}
	return ""
}

func (o *accessFlags) checkPublicURL() error {
	if o.PublicURL == "" {
		return nil
	}
	u, err := neturl.Parse(o.PublicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return &flagError{"public-url", fmt.Errorf("%q is not a URL such as https://slides.example.org", o.PublicURL)}
	}
	return nil
}

func (o *accessFlags) checkOIDC() error {
	flag := firstGiven("oidc-client-id", o.OIDCClient, "oidc-client-secret-file", o.OIDCSecret, "oidc-allow-group", strings.Join(o.OIDCAllow, " "), "oidc-label", o.OIDCLabel)
	switch {
	case o.OIDCIssuer == "" && flag != "":
		return &flagError{flag, errors.New("has no effect without --oidc-issuer")}
	case o.OIDCIssuer != "" && o.Auth != "local":
		return &flagError{"oidc-issuer", errors.New("has no effect without --auth local")}
	case o.OIDCIssuer != "" && (o.OIDCClient == "" || o.PublicURL == ""):
		return &flagError{"oidc-issuer", errors.New("needs --oidc-client-id, and --public-url for the redirect")}
	}
	return nil
}

// proxies are the networks of --trusted-proxy.
func (o *accessFlags) proxies() (httperr.Proxies, error) {
	var list httperr.Proxies
	for _, s := range o.TrustedProxies {
		if err := list.Add(s); err != nil {
			return nil, &flagError{"trusted-proxy", err}
		}
	}
	return list, nil
}

// maxSecret bounds the files of secrets and certificates.
const maxSecret = 1 << 20

// readSecret reads the file of a secret that a flag names.
func readSecret(flag, path string) (string, error) {
	b, err := fsx.ReadFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("%s %s is empty", flag, path)
	}
	return secret, nil
}

// options returns the options of access control. It logs a warning for each secret that
// other users can read.
func (o *accessFlags) options(insecure bool, log *slog.Logger) (a server.Access, err error) {
	a.Password, a.NoSharing = passwordCost, !o.Sharing
	switch o.Auth {
	case "local":
		a.Local = true
		a.OIDC, err = o.oidcOptions()
		warnExposed(log, "--oidc-client-secret-file", o.OIDCSecret)
	case "central":
		var central authz.CentralOptions
		central, err = o.centralOptions(insecure)
		a.Central = &central
		warnExposed(log, "--edge-secret-file", o.EdgeSecret)
	}
	return a, err
}

// oidcOptions returns the OpenID Connect provider at which users log in, or nil.
func (o *accessFlags) oidcOptions() (*oidc.Options, error) {
	if o.OIDCIssuer == "" {
		return nil, nil
	}
	base := strings.TrimSuffix(o.PublicURL, "/")
	oo := &oidc.Options{
		Issuer: o.OIDCIssuer, ClientID: o.OIDCClient, RedirectURL: base + api.OIDCCallback, LoggedOutURL: base + "/login",
		Scopes: o.OIDCScopes, GroupsClaim: o.OIDCGroups, AllowGroups: o.OIDCAllow, Label: o.OIDCLabel,
	}
	var err error
	if o.OIDCSecret != "" {
		oo.ClientSecret, err = readSecret("--oidc-client-secret-file", o.OIDCSecret)
	}
	return oo, err
}

// centralOptions returns how to reach the central server.
func (o *accessFlags) centralOptions(insecure bool) (co authz.CentralOptions, err error) {
	co = authz.CentralOptions{URL: o.Central, Cookie: o.CentralCookie, Path: o.CentralPath, Insecure: insecure}
	if o.CentralCA != "" {
		pem, err := fsx.ReadFile(o.CentralCA, maxSecret)
		if err != nil {
			return co, fmt.Errorf("--central-ca: %w", err)
		}
		if co.Roots = x509.NewCertPool(); !co.Roots.AppendCertsFromPEM(pem) {
			return co, fmt.Errorf("--central-ca %s: the file has no PEM certificate", o.CentralCA)
		}
	}
	if o.EdgeSecret != "" {
		secret, err := readSecret("--edge-secret-file", o.EdgeSecret)
		if err != nil {
			return co, err
		}
		co.EdgeKey = account.EdgeKey(secret)
	}
	return co, nil
}

// inviteAdmin prints the link with which the first admin sets a password, until an admin
// exists. The secret is in the fragment, which browsers do not send and proxies do not log.
func (c *serverFlags) inviteAdmin(ctx context.Context, s *server.Server, to io.Writer) error {
	if !c.AdminLink {
		return nil
	}
	secret, ok, err := s.AdminSecret(ctx)
	if err != nil || !ok {
		return err
	}
	base := url(s.Addr())
	if c.PublicURL != "" {
		base = strings.TrimSuffix(c.PublicURL, "/") + "/"
	} else if s.Addr().Network() == "unix" {
		base = "https://SERVER/" // the reverse proxy's
	}
	database, err := c.url()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "There is no admin yet. This link creates one; it works once, and for 24 hours:\n\n    %ssetup#%s\n\nOr: ptiffstore user add NAME --admin %s\n", base, secret, c.flag(database))
	return err
}
