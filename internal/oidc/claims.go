package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// claims are the provider's statements about a user.
type claims map[string]any

// A person is the part of the claims that this package uses.
type person struct {
	subject     string
	name        string // the login name at the provider
	displayName string
	groups      []string
}

// person requests claims that the ID token lacks from the provider's UserInfo endpoint:
// many providers return names and groups only there.
func (c *Client) person(ctx context.Context, p *oidc.Provider, id *oidc.IDToken, token *oauth2.Token) (*person, error) {
	var all claims
	if err := id.Claims(&all); err != nil {
		return nil, c.unusable("the claims of the id token", err)
	}
	_, hasGroups := all.find(c.o.GroupsClaim)
	if p.UserInfoEndpoint() != "" && (!hasGroups || all.name() == "") {
		more, err := c.userInfo(ctx, p, id, token)
		if err != nil {
			return nil, err
		}
		for k, v := range more {
			if _, ok := all[k]; !ok { // the signed ID token has priority
				all[k] = v
			}
		}
	}
	groups, err := all.groups(c.o.GroupsClaim)
	if err != nil {
		return nil, c.unusable("the list of groups", err)
	}
	return &person{
		subject: id.Subject, name: cut(all.name(), 64), displayName: cut(all.text("name"), 200), groups: groups,
	}, nil
}

func (c *Client) userInfo(ctx context.Context, p *oidc.Provider, id *oidc.IDToken, token *oauth2.Token) (claims, error) {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	switch {
	case err != nil && unreachable(err):
		return nil, c.away(err)
	case err != nil:
		return nil, c.unusable("the UserInfo", err)
	case info.Subject != id.Subject: // OpenID Connect Core, section 5.3.2
		return nil, c.unusable("the UserInfo", errors.New("its subject differs from that of the ID token"))
	}
	var more claims
	if err := info.Claims(&more); err != nil {
		return nil, c.unusable("the UserInfo", err)
	}
	return more, nil
}

// name returns the first claim present that a user would recognize as their name.
func (c claims) name() string {
	for _, claim := range []string{"preferred_username", "email", "name"} {
		if s := c.text(claim); s != "" {
			return s
		}
	}
	return ""
}

func (c claims) text(claim string) string {
	s, _ := c[claim].(string)
	return strings.TrimSpace(s)
}

// find returns a claim: the one with exactly this name, or a nested one if the name has
// dots.
func (c claims) find(claim string) (any, bool) {
	if v, ok := c[claim]; ok {
		return v, true
	}
	var at any = map[string]any(c)
	for part := range strings.SplitSeq(claim, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[part]; !ok {
			return nil, false
		}
	}
	return at, true
}

// groups returns the names in a claim; a missing claim has none.
func (c claims) groups(claim string) ([]string, error) {
	v, ok := c.find(claim)
	if !ok {
		// OpenID Connect Core, section 5.6.2: a distributed claim. Treating it as missing
		// would silently remove the user's groups.
		if elsewhere, _ := c["_claim_names"].(map[string]any); elsewhere[claim] != nil {
			return nil, errors.New("the user has too many groups, so the provider sends only a link to them: configure it to send only the groups for this server")
		}
		return nil, nil
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string: // some providers send a single group as a string
		return []string{v}, nil
	case []any:
		list := make([]string, 0, len(v))
		for _, g := range v {
			name, ok := g.(string)
			if !ok {
				return nil, fmt.Errorf("the claim %s has an item that is not a string", claim)
			}
			list = append(list, name)
		}
		return list, nil
	}
	return nil, fmt.Errorf("the claim %s is not a list of strings", claim)
}

// cut returns the printable characters of s, at most that many.
func cut(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most])
	}
	return strings.TrimSpace(s)
}

// authorized returns the claim azp of an ID token: the client to which it was issued.
func authorized(id *oidc.IDToken) (string, error) {
	var v struct {
		AZP string `json:"azp"`
	}
	if err := id.Claims(&v); err != nil {
		if syntax := (*json.UnmarshalTypeError)(nil); errors.As(err, &syntax) {
			return "", errors.New("azp is not a string")
		}
		return "", err
	}
	return v.AZP, nil
}
