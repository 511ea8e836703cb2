package api

import (
	"fmt"
	"net/url"
	"strings"
)

// maxAncestors limits the origins in a header.
const maxAncestors = 50

// ParseAncestors checks the origins of sites that may show pages in a frame, and returns them
// in the form in which browsers name them.
func ParseAncestors(list []string) ([]string, error) {
	if len(list) > maxAncestors {
		return nil, fmt.Errorf("has %d origins: %d are possible", len(list), maxAncestors)
	}
	var origins []string
	for _, text := range list {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" ||
			u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Host, "*;,'\" \t") {
			return nil, fmt.Errorf("%q is not an origin such as https://intranet.example.org: give scheme, host and port, without * and path", text)
		}
		host := strings.ToLower(u.Host)
		if u.Scheme == "https" {
			host = strings.TrimSuffix(host, ":443")
		} else {
			host = strings.TrimSuffix(host, ":80")
		}
		origins = append(origins, u.Scheme+"://"+host)
	}
	return origins, nil
}
