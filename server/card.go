package server

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxText bounds a user's text, in characters.
const maxText = 64 << 10

// openURL is the action that opens a link in the user's browser.
const openURL = "Action.OpenUrl"

// cardPolicy is what a card may do.
type cardPolicy struct {
	actions []string // the allowed ones
	domains []string // allowed for openURL, with their subdomains; in the form of normalDomains
}

// allow checks what a card submits against the allow lists. The agent writes
// cards, and a prompt injection may have written this one.
func (p cardPolicy) allow(submit json.RawMessage) error {
	o, err := parseObject("submitData", submit, "action", "url")
	if err != nil {
		return err
	}
	action, err := o.string("action")
	if err != nil || !slices.Contains(p.actions, action) {
		return &requestError{kind: errForbidden, reason: reasonAction, field: "submitData.action", detail: "submitData.action is not an allowed action."}
	}
	if action != openURL {
		return nil
	}
	target, err := o.string("url")
	if err != nil || !p.allowURL(target) {
		return &requestError{kind: errForbidden, reason: reasonDomain, field: "submitData.url", detail: "submitData.url does not lead to an allowed domain."}
	}
	return nil
}

// allowURL reports whether a link leads to an allowed domain or a subdomain of
// one. What browsers and net/url parse differently (backslashes, spaces, names
// outside ASCII) is refused, not normalized, so that both see the same host.
func (p cardPolicy) allowURL(link string) bool {
	for i := range len(link) {
		if c := link[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" {
		return false
	}
	if port := u.Port(); port != "" && port != "443" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if !isHostname(host) {
		return false
	}
	return slices.ContainsFunc(p.domains, func(domain string) bool {
		return host == domain || strings.HasSuffix(host, "."+domain)
	})
}

// isHostname reports whether s consists of labels of letters, digits and hyphens.
// An escaped dot or an address in brackets does not.
func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// normalDomains is the form in which hosts are compared. An empty entry would
// allow every host that ends in a dot.
func normalDomains(domains []string) []string {
	var normal []string
	for _, d := range domains {
		d = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(d)), ".")
		if isHostname(d) {
			normal = append(normal, d)
		}
	}
	return normal
}

// withCardID returns what the agent is sent for a submitted card: its data with the
// card's id. The other members keep their order and their bytes. A cardId among
// them is replaced by the request's, which is the one that was checked.
func withCardID(submit json.RawMessage, cardID string) (json.RawMessage, error) {
	dec := newDecoder(submit)
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	member := func(name string, value json.RawMessage) error {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
		return nil
	}
	for dec.PeekKind() == jsontext.KindString {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if name == "cardId" {
			continue
		}
		if err := member(name, json.RawMessage(value)); err != nil {
			return nil, err
		}
	}
	id, err := json.Marshal(cardID)
	if err != nil {
		return nil, err
	}
	if err := member("cardId", id); err != nil {
		return nil, err
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
