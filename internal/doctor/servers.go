package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// expiry is how long before its end a certificate is reported.
const expiry = 30 * 24 * time.Hour

// network returns the checks of other servers.
func (e *examination) network() []check {
	var list []check
	seen := map[string]bool{}
	for i := range e.list {
		base := strings.TrimSuffix(e.list[i].Endpoint, "/")
		if base == "" || seen[base] {
			continue
		}
		seen[base] = true
		list = append(list, check{"endpoint " + base, func(ctx context.Context, n *notes) { e.endpoint(ctx, n, base) }})
	}
	if e.Central != "" {
		list = append(list, check{"central server", e.central})
	}
	for _, other := range []struct{ what, address string }{{"--public-url", e.PublicURL}, {"OpenID Connect provider", e.Issuer}} {
		if other.address == "" {
			continue
		}
		list = append(list, check{other.what, func(ctx context.Context, n *notes) {
			if e.answers(ctx, n, other.address, nil) != nil {
				n.ok("%s answers", other.address)
			}
		}})
	}
	return list
}

// endpoint checks the tile server of a store.
func (e *examination) endpoint(ctx context.Context, n *notes, base string) {
	resp := e.answers(ctx, n, base+"/healthz", nil)
	if resp == nil {
		return
	}
	v := resp.Header.Get(httperr.VersionHeader)
	switch {
	case resp.StatusCode != http.StatusOK:
		n.wrong("check whether the store's endpoint is the address of a ptiffstore, and its log", "it answers /healthz with status %d", resp.StatusCode)
	case v == "":
		n.warn("check whether the store's endpoint is the address of a ptiffstore of this version", "it does not report its version: it is older, or another program")
	case v != e.Version:
		n.warn("use the same version on both", "it has version %s, this program %s", v, e.Version)
	default:
		n.ok("reached, version %s", v)
	}
}

// central checks the central server.
func (e *examination) central(ctx context.Context, n *notes) {
	if e.answers(ctx, n, e.Central, e.Roots) == nil {
		return
	}
	if e.AskCentral != nil {
		if err := e.AskCentral(ctx); err != nil {
			n.wrong("check --central, --central-path and --edge-secret-file; ptiffstore edge add on the central server makes the secret of an edge server", "%s answers with an error: %v", e.Central, plainly(err))
			return
		}
	}
	n.ok("%s answers correctly", e.Central)
}

// answers requests an address and returns the response without its body, or nil after
// adding a finding. It checks the certificate, too.
func (e *examination) answers(ctx context.Context, n *notes, address string, roots *x509.CertPool) *http.Response {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		n.wrong("give a URL such as https://slides.example.org", "invalid URL %q", address)
		return nil
	}
	var chain []*x509.Certificate
	client := &http.Client{
		Timeout: e.Limit * 3 / 4,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			// It is verified below, with a finding for each kind of failure; nothing secret
			// is sent here.
			InsecureSkipVerify: true, //nolint:gosec // see above
			VerifyConnection: func(s tls.ConnectionState) error {
				chain = s.PeerCertificates
				return nil
			},
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		n.wrong("give a URL such as https://slides.example.org", "invalid URL %q", address)
		return nil
	}
	resp, err := client.Do(r)
	if err != nil {
		n.wrong(unreached(err), "cannot reach it from here: %v", cause(err))
		return nil
	}
	resp.Body.Close()
	if len(chain) > 0 && !certificate(n, u.Hostname(), chain, roots) {
		return nil
	}
	skew(n, resp)
	return resp
}

// certificate reports whether clients trust it.
func certificate(n *notes, host string, chain []*x509.Certificate, roots *x509.CertPool) bool {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between})
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, isHost := errors.AsType[x509.HostnameError](err)
	_, isStranger := errors.AsType[x509.UnknownAuthorityError](err)
	left := time.Until(chain[0].NotAfter)
	switch {
	case isInvalid && invalid.Reason == x509.Expired && left < 0:
		n.wrong("renew it, and check why it was not renewed automatically", "its certificate expired %s ago", ago(-left))
	case isHost:
		n.wrong("get one for that name", "its certificate is not for %s", host)
	case isStranger:
		n.wrong("make the server send the intermediate certificates as well, or add the authority: --central-ca, or update-ca-certificates", "its certificate is signed by an unknown authority")
	case err != nil:
		n.wrong("replace it", "its certificate is invalid: %v", err)
	case left < expiry:
		n.warn("renew it", "its certificate expires in %s", ago(left))
		return true
	default:
		return true
	}
	return false
}

// skew compares the clock of the server, which it sends to the second.
func skew(n *notes, resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	if off := time.Since(at).Abs() - time.Second; off > maxSkew {
		n.wrong("synchronize both clocks: timedatectl set-ntp true", "its clock and this machine's differ by %s: signed URLs and proofs are refused", ago(off))
	}
}

// cause returns an error of a client without the address.
func cause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// unreached returns what to do about an unreachable server.
func unreached(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("check the name %s, and the name servers of this machine", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start it, or correct its address: the connection was refused"
	}
	return "check whether it runs, and the network and firewalls in between"
}
